//! Variables that are given for one run, by `--var NAME=VALUE` and `--vars FILE`: they take the place of those under
//! `vars:`. A given value is text and stands for itself: no variable is substituted in it.

use super::literal::Literals;
use super::load::read_text;
use super::outline::{Key, Kind, Node, Span, Style, outline};
use super::problem::{Fault, Refusal, did_you_mean};
use super::variables::{THE_RUN, is_name};
use crate::text::plan as say;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use upledger_replay::state::Run;

/// What messages call the arguments.
const ARGUMENTS: &str = "--var";

/// The given variables.
#[derive(Debug, Default)]
pub struct Given {
    file: Source,
    arguments: Source,
    /// Those of a run that is amended, where nothing is given now.
    former: Former,
}

/// The variables of a run that is amended.
#[derive(Debug, Default)]
struct Former {
    /// All of them.
    values: BTreeMap<String, String>,
    /// Those that were given.
    given: BTreeSet<String>,
}

/// The variables of one source, and the text that messages about them point into.
#[derive(Debug, Default)]
struct Source {
    name: String,
    text: String,
    values: BTreeMap<String, (String, Span)>,
}

impl Given {
    /// Reads a file, a YAML map of names and values, and arguments, `NAME=VALUE` each. An argument takes precedence over the file.
    ///
    /// # Errors
    /// [`Refusal`], which points into the file or at the argument; its `unreadable` tells that there is no such file.
    pub fn read(file: Option<&Path>, arguments: &[String]) -> Result<Self, Refusal> {
        Ok(Self {
            file: file.map_or_else(|| Ok(Source::default()), Source::of_file)?,
            arguments: Source::of_arguments(arguments)?,
            former: Former::default(),
        })
    }

    /// With the variables of a run: what was given for it stays as it is, and what the plan file has no value for.
    #[must_use]
    pub fn or_of_run(self, run: &Run) -> Self {
        let values = run.plan.vars.iter();
        Self {
            former: Former {
                values: values.map(|v| (v.key.clone(), v.value.clone())).collect(),
                given: run.given.iter().cloned().collect(),
            },
            ..self
        }
    }

    /// The value of the run for a variable of the plan file, which has a value there or none.
    pub(crate) fn former(&self, name: &str, has_value: bool) -> Option<&str> {
        let takes = !has_value || self.former.given.contains(name);
        let value = self.former.values.get(name).filter(|_| takes)?;
        Some(value)
    }

    /// Nothing is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    /// Names and values; a later one takes precedence over an earlier one.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        let sources = [&self.file, &self.arguments].into_iter();
        let values = sources.flat_map(|s| &s.values);
        values.map(|(name, (value, _))| (name.as_str(), value.as_str()))
    }

    /// Those that were given for the run.
    pub(crate) fn former_given(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.former.given.iter();
        names.filter_map(|name| Some((name.as_str(), self.former(name, true)?)))
    }

    /// Names of all that are given, with those that have the value of a run.
    pub(crate) fn names(&self, kept: &BTreeSet<String>) -> Vec<String> {
        let names = self.values().map(|(name, _)| name.to_owned());
        let all: BTreeSet<String> = names.chain(kept.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// Refuses what the plan does not know, and what it calls a secret.
    pub(crate) fn check(
        &self,
        known: &BTreeSet<String>,
        secrets: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        for source in [&self.file, &self.arguments] {
            let faults = source.values.iter().filter_map(|(name, (_, span))| {
                if secrets.contains(name) {
                    Some(Fault::new(*span, say::given_secret(name)).hint(say::secret_sources()))
                } else if known.contains(name) {
                    None
                } else {
                    let mut fault = Fault::new(*span, say::given_unknown(name));
                    fault.hint = did_you_mean(name, known.iter().map(String::as_str));
                    Some(fault)
                }
            });
            source.refuse_if(faults.collect(), &[])?;
        }
        Ok(())
    }
}

impl Source {
    fn of_file(path: &Path) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        let mut this = Self {
            text: read_text(path)?,
            name,
            values: BTreeMap::new(),
        };
        let (root, mut faults) = match outline(&this.text) {
            Ok(read) => read,
            Err(fault) => return this.refuse_if(vec![fault], &[]).map(|()| this),
        };
        if !matches!(root.kind, Kind::Map(_)) {
            faults.push(Fault::new(root.span, say::given_is_a_map()).hint(say::write_vars()));
        }
        this.take(&root, faults)?;
        Ok(this)
    }

    fn of_arguments(arguments: &[String]) -> Result<Self, Refusal> {
        let mut this = Self {
            name: ARGUMENTS.into(),
            text: arguments.join("\n"),
            values: BTreeMap::new(),
        };
        let (mut faults, mut entries, mut start) = (Vec::new(), Vec::new(), 0);
        for argument in arguments {
            let span = Span {
                start,
                end: start + argument.len(),
            };
            start = span.end + 1;
            match argument.split_once('=') {
                None => {
                    faults.push(Fault::new(span, say::no_assignment()).hint(say::assignment()));
                }
                Some((name, value)) => {
                    let key = Key {
                        text: name.into(),
                        span,
                    };
                    let kind = Kind::Scalar(value.into(), Style::Quoted);
                    entries.push((key, Node { span, kind }));
                }
            }
        }
        let whole = Span {
            start: 0,
            end: this.text.len(),
        };
        let kind = Kind::Map(entries);
        this.take(&Node { span: whole, kind }, faults)?;
        Ok(this)
    }

    /// Takes the values over, or refuses them.
    fn take(&mut self, root: &Node, mut faults: Vec<Fault>) -> Result<(), Refusal> {
        let mut literals = Literals::of(&self.text);
        literals.look(root);
        faults.append(&mut literals.faults);
        for (key, node) in root.entries() {
            let name = &key.text;
            if !is_name(name) {
                let fault = Fault::new(key.span, say::no_variable_name(name));
                faults.push(fault.hint(say::name_rule()));
            } else if let Kind::Scalar(value, _) = &node.kind
                && !node.is_null()
            {
                if value.contains('\0') {
                    faults.push(Fault::new(key.span, say::nul()));
                }
                if value.contains(THE_RUN) {
                    faults.push(Fault::new(key.span, say::literal_run()));
                }
                let place = (value.clone(), key.span);
                if self.values.insert(name.clone(), place).is_some() {
                    faults.push(Fault::new(key.span, say::given_twice(name)));
                }
            } else {
                faults.push(Fault::new(key.span, say::no_single_value(name)));
            }
        }
        self.refuse_if(faults, &literals.masked)
    }

    fn refuse_if(&self, faults: Vec<Fault>, masked: &[Span]) -> Result<(), Refusal> {
        if faults.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(&self.name, &self.text, faults, masked))
    }
}
