//! Reads a plan file and checks all of it: first limits, then the tree, then every rule. Checking continues after a problem
//! where possible, so that all problems are reported at once.

use super::facts;
use super::file::{self, PHASE_NOT_BUILT, PLAN_NOT_BUILT, STEP_NOT_BUILT};
use super::given::Given;
use super::hints;
pub use super::limits::{LIMIT, RESOLVED_LIMIT, STEPS, VERSION};
use super::literal::Literals;
use super::live;
use super::order::{self, Placed};
use super::outline::{Kind, Node, Span, outline};
use super::problem::{About, Fault, Refusal};
use super::read::read_leniently;
use super::resolved;
use super::rules::{Before, is_id, prepare, resolve};
use super::samples::WithSamples;
use super::traffic::{Serving, Traffic};
use super::uses::Earlier;
use super::variables::{Variables, is_name};
use super::warning::{Warning, line};
use crate::action::Live;
use crate::encoding::Charset;
use crate::text::plan as say;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use upledger_ledger::to_canonical;
use upledger_replay::plan::{Change, OnFailure, Pair, Phase, Plan, Secret, SecretSource, Step};

/// A plan that may run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The plan, resolved.
    pub plan: Plan,
    /// Its digest: 64 hexadecimal digits.
    pub digest: String,
    /// Warnings: allowed, but probably a mistake.
    pub warnings: Vec<Warning>,
    /// Names of the variables that were given, now or for the run that is amended.
    pub given: Vec<String>,
    /// Those of the run.
    pub kept: BTreeSet<String>,
}

/// A plan's canonical JSON.
///
/// A plan holds text, booleans and integers only. Where a key of a setting is not plain, and nothing can be recorded of the
/// plan, it is the text that serde_json writes, whose maps are sorted.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let other = |_| serde_json::to_value(plan).map(|v| v.to_string());
    to_canonical(plan).or_else(other).unwrap_or_default()
}

/// The digest of a plan: SHA-256 of its canonical JSON, in hexadecimal.
#[must_use]
pub fn digest(plan: &Plan) -> String {
    Sha256::digest(text(plan).as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Reads a plan file with the variables that were given for it, or a resolved plan, which has all of its own.
///
/// # Errors
/// [`Refusal`] with all that is wrong; its `unreadable` tells a file that cannot be read from a plan that is refused.
pub fn load(path: &Path, given: &Given) -> Result<Checked, Refusal> {
    load_given(&path.display().to_string(), &read_text(path)?, given)
}

/// The text of a file that a person has written, or of a resolved plan.
pub(super) fn read_text(path: &Path) -> Result<String, Refusal> {
    let name = path.display().to_string();
    let unreadable = |e: &std::io::Error| {
        let mut refusal = Refusal::whole(&name, say::cannot_read(&name, e), None);
        refusal.unreadable = true;
        refusal
    };
    // Non-blocking: opening a pipe could wait for a writer indefinitely.
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| unreadable(&e))?;
    let meta = file.metadata().map_err(|e| unreadable(&e))?;
    if !meta.is_file() {
        return Err(unreadable(&std::io::Error::other(say::no_regular_file())));
    }
    if usize::try_from(meta.len()).is_ok_and(|n| n > RESOLVED_LIMIT) {
        return Err(Refusal::too_large(&name, meta.len(), LIMIT));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(RESOLVED_LIMIT).unwrap_or(u64::MAX);
    file.by_ref()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(&e))?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
        let what = match Charset::of(e.as_bytes()) {
            Some(charset) => say::other_encoding(charset.name()),
            None => say::not_utf8(),
        };
        let mut refusal = Refusal::whole(&name, what, Some(say::save_as_utf8()));
        refusal.problems.iter_mut().for_each(|p| p.line = line);
        refusal
    })
}

/// Checks the text of a plan file, or of a resolved plan. `name` is what messages call it.
///
/// # Errors
/// [`Refusal`] with all that is wrong.
pub fn load_text(name: &str, text: &str) -> Result<Checked, Refusal> {
    load_given(name, text, &Given::default())
}

fn load_given(name: &str, text: &str, given: &Given) -> Result<Checked, Refusal> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if resolved::looks_resolved(text) {
        if text.len() > RESOLVED_LIMIT {
            return Err(Refusal::too_large(name, text.len(), RESOLVED_LIMIT));
        }
        if !given.is_empty() {
            let hint = Some(say::resolve_with_variables());
            return Err(Refusal::whole(name, say::resolved_has_variables(), hint));
        }
        return resolved::load(name, text);
    }
    if text.len() > LIMIT {
        return Err(Refusal::too_large(name, text.len(), LIMIT));
    }
    if let Some(at) = text.find('\0') {
        let fault = Fault::new(
            Span {
                start: at,
                end: at + 1,
            },
            say::nul(),
        )
        .hint(say::plan_is_text());
        return Err(Refusal::new(name, text, vec![fault], &[]));
    }
    let (root, faults) = outline(text).map_err(|f| Refusal::new(name, text, vec![f], &[]))?;
    let mut loader = Loader {
        text,
        given,
        known: BTreeSet::new(),
        kept: BTreeSet::new(),
        faults,
        literals: Literals::of(text),
        warnings: Vec::new(),
        placed: Vec::new(),
    };
    let whole = root.span;
    let plan = loader.plan(root);
    let Loader {
        mut faults,
        literals,
        warnings,
        known,
        kept,
        ..
    } = loader;
    faults.extend(literals.faults);
    match plan {
        Some(plan) if faults.is_empty() => {
            given.check(&known, &literals.secrets)?;
            let digest = digest(&plan);
            Ok(Checked {
                plan,
                digest,
                warnings,
                given: given.names(&kept),
                kept,
            })
        }
        Some(_) | None => {
            // A misspelt name is why another has no value.
            given.check(&known, &literals.secrets)?;
            if faults.is_empty() {
                faults.push(Fault::new(whole, say::no_plan()));
            }
            Err(Refusal::new(name, text, faults, &literals.masked))
        }
    }
}

struct Loader<'t> {
    text: &'t str,
    given: &'t Given,
    /// Variables that the plan defines or uses.
    known: BTreeSet<String>,
    /// Those that have the value of the run that is amended.
    kept: BTreeSet<String>,
    faults: Vec<Fault>,
    literals: Literals,
    warnings: Vec<Warning>,
    /// The steps that are not left out, for the order rules.
    placed: Vec<Placed>,
}

impl<'t> Loader<'t> {
    fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Takes out the keys that the design names and that are not built, one fault each.
    fn not_built(&mut self, node: &mut Node, keys: &[&str]) {
        let Kind::Map(entries) = &mut node.kind else {
            return;
        };
        entries.retain(|(key, _)| {
            let built = !keys.contains(&key.text.as_str());
            if !built {
                self.fault(Fault::new(key.span, say::not_built(&key.text)).hint(say::promises()));
            }
            built
        });
    }

    /// The tree is taken apart on the way: it is many times as large as the text, and so is the plan.
    fn plan(&mut self, mut root: Node) -> Option<Plan> {
        if !matches!(root.kind, Kind::Map(_)) {
            self.fault(Fault::new(root.span, say::plan_is_a_map()));
            return None;
        }
        self.not_built(&mut root, &PLAN_NOT_BUILT);
        let secrets: BTreeSet<String> = root
            .get("secrets")
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|(k, _)| k.text.clone())
            .collect();
        self.literals.secrets.clone_from(&secrets);
        let mut variables = Variables::new(
            self.text,
            root.get("vars"),
            self.given,
            secrets.clone(),
            &mut self.faults,
        );
        if let Some(vars) = root.get("vars") {
            hints::wide(vars, &mut self.faults);
            self.literals.look(vars);
        }
        let all_facts = facts::of_all(&root);
        let phases = root.take("phases");
        let head = self.head(&root, &mut variables);
        let mut before = Before {
            secrets,
            used: BTreeSet::new(),
            facts: BTreeMap::new(),
            all_facts,
            steps: Vec::new(),
            env: BTreeMap::new(),
            env_file: None,
            environment: head.as_ref().and_then(|h| h.environment.clone()),
        };
        if let Some(head) = &head {
            before.take_environment(head, &root, &mut self.faults);
        }
        let mut phases = self.phases(phases, &mut variables, &mut before);
        Traffic::of(&self.placed).mark(&mut phases);
        self.order(self.text);
        let defined = root.get("vars").map_or(&[][..], Node::entries).iter();
        self.known.extend(defined.map(|(key, _)| key.text.clone()));
        self.known.extend(variables.used.iter().cloned());
        self.kept.clone_from(&variables.kept);
        for name in variables.values().keys() {
            if !variables.used.contains(name) {
                let at = root.span_at(&["vars", name]);
                let say = || say::unused_variable(name);
                self.warnings.push(Warning::new(self.text, at, say));
            }
        }
        for name in before.secrets.difference(&before.used) {
            let at = root.span_at(&["secrets", name]);
            let say = || say::unused_secret(name);
            self.warnings.push(Warning::new(self.text, at, say));
        }
        let head = head?;
        Some(Plan {
            upledger: head.upledger,
            name: head.name,
            environment: head.environment,
            change: head.change.map(|c| Change {
                id: c.id,
                reason: c.reason,
                risk: c.risk,
                impact: c.impact,
                services: c.services,
            }),
            on_failure: head.on_failure.map_or(OnFailure::Ask, OnFailure::from),
            vars: variables
                .values()
                .iter()
                .map(|(k, v)| Pair {
                    key: k.clone(),
                    value: v.clone(),
                })
                .collect(),
            secrets: head
                .secrets
                .into_iter()
                .map(|(name, source)| Secret {
                    name: name.0,
                    source: match source {
                        file::SecretSource::Env(e) => SecretSource::Env(e),
                        file::SecretSource::File(f) => SecretSource::File(f),
                        file::SecretSource::Command(c) => SecretSource::Command(c),
                    },
                })
                .collect(),
            phases,
        })
    }

    /// The order rules.
    fn order(&mut self, text: &str) {
        let order = order::check(text, &self.placed);
        for breach in order.breaches {
            let (early, late) = (&self.placed[breach.early], &self.placed[breach.late]);
            let line = line(text, late.at);
            let message = say::too_early(&early.id, &late.id, line, breach.rule.said());
            let fault = Fault::new(early.at, message).hint(say::move_it(&early.id, &late.id));
            self.faults.push(fault);
        }
        self.warnings.extend(order.warnings);
    }

    /// Everything but the phases, which are read one by one.
    fn head(&mut self, root: &Node, variables: &mut Variables<'_>) -> Option<file::File> {
        let mut node = root.clone();
        if let Kind::Map(entries) = &mut node.kind {
            for (key, value) in entries {
                match key.text.as_str() {
                    "env" | "env_file" => {
                        hints::wide(value, &mut self.faults);
                        self.literals.look(value);
                        *value = variables.put_in(value, &mut self.faults);
                    }
                    "name" | "environment" | "change" => {
                        *value = variables.put_in(value, &mut self.faults);
                        variables.refuse_run(value, &mut self.faults);
                    }
                    "secrets" => {
                        variables.refuse(value, &say::no_variables_in("secrets"), &mut self.faults);
                        self.sources(value);
                    }
                    // Problems of variables have already been reported.
                    "vars" => value.kind = Kind::Map(Vec::new()),
                    _ => {}
                }
            }
        }
        if root
            .get("vars")
            .is_some_and(|n| !matches!(n.kind, Kind::Map(_)) && !n.is_null())
        {
            self.fault(
                Fault::new(root.span_at(&["vars"]), say::vars_are_a_map())
                    .about(About::Variables)
                    .hint(say::write_vars()),
            );
        }
        let head: file::File = read_leniently(&node, &mut self.faults)?;
        if head.name.starts_with(['\u{201c}', '\u{2018}', '\u{300c}']) {
            let at = root.span_at(&["name"]);
            self.warnings
                .push(Warning::new(self.text, at, say::quotes_in_name));
        }
        if head.upledger != VERSION {
            self.fault(
                Fault::new(root.span_at(&["upledger"]), say::version(head.upledger))
                    .hint(say::reads_version(VERSION)),
            );
        }
        if head.name.trim().is_empty() {
            self.fault(Fault::new(
                root.span_at(&["name"]),
                say::plan_without_name(),
            ));
        }
        for name in head.secrets.keys() {
            let at = root
                .get("secrets")
                .map_or(root.span, |n| n.key_span(&name.0));
            if !is_name(&name.0) {
                self.fault(Fault::new(at, say::no_secret_name(&name.0)).hint(say::name_rule()));
            }
            if let Some(file::SecretSource::Command(c)) = head.secrets.get(name)
                && c.first().is_none_or(String::is_empty)
            {
                self.fault(Fault::new(at, say::empty_secret_command()));
            }
        }
        Some(head)
    }

    /// Takes out secrets that are not a map: what stands there may be the secret itself.
    fn sources(&mut self, secrets: &mut Node) {
        let Kind::Map(entries) = &mut secrets.kind else {
            return;
        };
        entries.retain(|(key, value)| {
            if matches!(value.kind, Kind::Map(_)) {
                return true;
            }
            self.literals.masked.push(value.span);
            self.faults.push(
                Fault::new(key.span, say::secret_without_source(&key.text))
                    .hint(say::secret_sources()),
            );
            false
        });
    }

    fn phases(
        &mut self,
        list: Option<Node>,
        variables: &mut Variables<'_>,
        before: &mut Before,
    ) -> Vec<Phase> {
        let Some(list) = list else {
            return Vec::new();
        };
        let Kind::List(phases) = list.kind else {
            self.fault(Fault::new(list.span, say::phases_are_a_list()).hint(say::begin_phases()));
            return Vec::new();
        };
        if phases.is_empty() {
            self.fault(Fault::new(list.span, say::no_phase()));
        }
        let (mut out, mut ids, mut count) = (Vec::new(), BTreeMap::new(), 0_usize);
        for mut phase in phases {
            if phase.get("steps").is_none()
                && (phase.get("id").is_some() || phase.get("do").is_some())
            {
                self.fault(Fault::new(phase.span, say::step_for_phase()).hint(say::add_phases()));
                continue;
            }
            self.not_built(&mut phase, &PHASE_NOT_BUILT);
            let list = phase.take("steps");
            if let Some(name) = phase.get("phase") {
                variables.refuse(name, &say::no_variables_in_phase(), &mut self.faults);
            }
            let head: Option<file::Phase> = read_leniently(&phase, &mut self.faults);
            if head.as_ref().is_some_and(|h| h.phase.trim().is_empty()) {
                self.fault(Fault::new(
                    phase.span_at(&["phase"]),
                    say::phase_without_name(),
                ));
            }
            let live = head.as_ref().is_some_and(|h| h.live);
            let mut steps = Vec::new();
            if let Some(list) = list {
                match list.kind {
                    Kind::List(items) if items.is_empty() => {
                        self.fault(Fault::new(list.span, say::no_step()));
                    }
                    Kind::List(items) => {
                        for item in items {
                            count += 1;
                            if count == STEPS + 1 {
                                self.fault(Fault::new(item.span, say::too_many_steps(STEPS)));
                            }
                            if count <= STEPS {
                                steps.extend(self.step(item, live, &mut ids, variables, before));
                            }
                        }
                    }
                    Kind::Scalar(..) | Kind::Map(_) => {
                        self.fault(
                            Fault::new(list.span, say::steps_are_a_list()).hint(say::begin_steps()),
                        );
                    }
                }
            }
            out.extend(head.map(|h| Phase {
                phase: h.phase,
                steps,
            }));
        }
        out
    }

    fn step(
        &mut self,
        mut node: Node,
        live: bool,
        ids: &mut BTreeMap<String, Span>,
        variables: &mut Variables<'_>,
        before: &mut Before,
    ) -> Option<Step> {
        self.not_built(&mut node, &STEP_NOT_BUILT);
        if let Some(id) = node.get("id")
            && let Some(text) = id.text()
        {
            if !is_id(text) {
                self.fault(Fault::new(id.span, say::no_id(text)).hint(say::id_rule()));
            } else if let Some(first) = ids.get(text) {
                let line = line(self.text, *first);
                self.fault(Fault::new(id.span, say::two_ids(text, line)).hint(say::unique_ids()));
            } else {
                ids.insert(text.to_owned(), id.span);
            }
        }
        for key in [
            "do", "probe", "verify", "undo", "env", "env_file", "cwd", "why",
        ] {
            if let Some(value) = node.get(key) {
                self.literals.look(value);
            }
        }
        for key in [
            "id", "do", "probe", "verify", "undo", "env", "env_file", "cwd",
        ] {
            if let Some(value) = node.get(key) {
                hints::wide(value, &mut self.faults);
            }
        }
        hints::doubtful(self.text, &node, variables.values(), &mut self.warnings);
        let said = self.faults.len();
        let unset = variables.unset.len();
        let prepared = prepare(&node, variables, &mut self.faults);
        let told = self.faults.len();
        let samples = WithSamples::new(&prepared, before);
        let step: Option<file::Step> = read_leniently(&samples.node, &mut self.faults);
        let resolved = step.as_ref().and_then(|step| {
            let faults = &mut self.faults;
            let resolved = resolve(step, &prepared, &samples, variables, before, faults, said)?;
            Some(Step { live, ..resolved })
        });
        let unset = variables.unset.get(unset..).unwrap_or_default();
        let follows = |fault: &Fault| fault.span.is_some_and(|span| unset.contains(&span));
        let mut rest = self.faults.split_off(told.min(self.faults.len()));
        rest.retain(|fault| !follows(fault));
        self.faults.append(&mut rest);
        if let Some(step) = step.as_ref().filter(|_| live)
            && let Some((why, hint)) = live::problem(&step.id, &step.action, step.why.as_deref())
        {
            self.fault(Fault::new(node.span_at(&["do"]), why).hint(hint));
        }
        samples.rephrase(self.faults.get_mut(said..).unwrap_or_default());
        hints::shapes(&prepared, self.faults.get_mut(said..).unwrap_or_default());
        if resolved.as_ref().is_some_and(|s| {
            s.effect == upledger_replay::plan::Effect::Pure
                && s.undo != upledger_replay::plan::Undo::Nothing
        }) && let Some(s) = &resolved
        {
            let at = node.span_at(&["undo"]);
            let say = || say::pure_with_undo(&s.id);
            self.warnings.push(Warning::new(self.text, at, say));
        }
        if let Some(s) = resolved
            .as_ref()
            .filter(|s| s.has_probe && !s.facts.is_empty())
        {
            let at = node.span_at(&["facts"]);
            let say = || say::facts_and_probe(&s.id);
            self.warnings.push(Warning::new(self.text, at, say));
        }
        let left_out = resolved.as_ref().is_some_and(|s| s.left_out.is_some());
        if let (Some(read), Some(s)) = (&step, &resolved)
            && !left_out
        {
            self.placed.push(Placed {
                id: s.id.clone(),
                at: node.span_at(&["id"]),
                why: s.why.clone(),
                targets: s.targets.clone(),
                stages: read.action.kind_of().properties().stages,
                serving: Serving::of(&read.action),
                aside: read.action.kind_of().properties().live == Live::Harmless,
                live,
            });
        }
        let handed_on = facts::of_step(&node)
            .into_iter()
            .map(|(f, _)| (f, left_out));
        before.facts.extend(handed_on);
        before.steps.extend(step.as_ref().map(|s| Earlier {
            id: s.id.clone(),
            kind: s.action.kind().into(),
            left_out,
            verified: s.verify.is_some(),
        }));
        resolved
    }
}
