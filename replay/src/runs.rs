//! All runs of one ledger, folded together, and the rules that hold between them.

use crate::event::{Direction, Event};
use crate::state::{Ended, Refused, Run, When};
use alloc::string::String;
use alloc::vec::Vec;

/// Every run of a ledger, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runs {
    /// The runs.
    pub runs: Vec<Run>,
}

/// Why no run is to be rolled back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoRollback<'a> {
    /// There is none.
    NoRun,
    /// The newest is rolled back.
    RolledBack(&'a Run),
    /// The newest did nothing.
    NothingDone(&'a Run),
}

impl Runs {
    /// Folds one event; `run` is the name in its envelope.
    ///
    /// # Errors
    /// [`Refused`] when the state does not allow it; nothing has changed then.
    pub fn apply(&mut self, run: Option<&str>, event: &Event, when: &When) -> Result<(), Refused> {
        let refuse = |why: &str| {
            Err(Refused {
                what: "the event".into(),
                why: why.into(),
            })
        };
        match (run, event) {
            (
                None,
                Event::LedgerCreated(_)
                | Event::SessionOpened(_)
                | Event::LedgerRestored(_)
                | Event::NoteAdded(_),
            ) => Ok(()),
            (None, _) => refuse("it names no run"),
            (Some(name), Event::RunPlanned(planned)) => {
                if self.run(name).is_some() {
                    return refuse("a run of that name exists");
                }
                if let Some(open) = self.open() {
                    return refuse(&alloc::format!("the run {} is open", open.name));
                }
                self.runs
                    .push(Run::new(name, planned.clone(), when.clone()));
                Ok(())
            }
            (Some(name), Event::RollbackStarted(_)) => {
                if let Some(newer) = self.effective_after(name) {
                    let newer = &newer.name;
                    return refuse(&alloc::format!(
                        "the run {newer} came after it: roll that one back first"
                    ));
                }
                self.apply_to(name, event, when)
            }
            (Some(name), _) => self.apply_to(name, event, when),
        }
    }

    fn apply_to(&mut self, name: &str, event: &Event, when: &When) -> Result<(), Refused> {
        match self.place(name).and_then(|place| self.runs.get_mut(place)) {
            Some(run) => run.apply(event, when),
            None => Err(Refused {
                what: "the event".into(),
                why: alloc::format!("no run {name} was planned"),
            }),
        }
    }

    /// Where the run of that name is. Most often the newest is asked for.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.runs.iter().rposition(|r| r.name == name)
    }

    /// The run of that name.
    #[must_use]
    pub fn run(&self, name: &str) -> Option<&Run> {
        self.runs.get(self.place(name)?)
    }

    /// The run that has not ended; there is at most one.
    #[must_use]
    pub fn open(&self) -> Option<&Run> {
        self.runs.iter().rev().find(|r| r.ended.is_none())
    }

    /// The newest run that counts as the target's present.
    #[must_use]
    pub fn effective(&self) -> Option<&Run> {
        self.runs.iter().rev().find(|r| r.effective())
    }

    /// The newest run that counts as the target's present, where that came after the run of this name: it has to be rolled
    /// back first.
    #[must_use]
    pub fn effective_after(&self, name: &str) -> Option<&Run> {
        let later = self.runs.get(self.place(name)? + 1..)?;
        later.iter().rev().find(|r| r.effective())
    }

    /// The run that a rollback without a name means: the newest, where there is anything of it to reverse. The one before
    /// it is never meant: whoever types the command twice does not want two upgrades reversed.
    ///
    /// # Errors
    /// [`NoRollback`].
    pub fn to_roll_back(&self) -> Result<&Run, NoRollback<'_>> {
        let newest = self.runs.last().ok_or(NoRollback::NoRun)?;
        if newest.effective() {
            Ok(newest)
        } else if newest.ended == Some(Ended::RolledBack) {
            Err(NoRollback::RolledBack(newest))
        } else {
            Err(NoRollback::NothingDone(newest))
        }
    }

    /// The runs that can still be rolled back, one after the other, newest first. What came before a run that has passed
    /// a point of no return is out of reach; the run itself is not, for a person may go on past it.
    pub fn reversible(&self) -> impl Iterator<Item = &Run> {
        let mut reached = true;
        self.runs
            .iter()
            .rev()
            .filter(|run| run.effective())
            .take_while(move |run| {
                let now = reached;
                reached = !run.is_past_no_return();
                now
            })
    }

    /// The run that a command without a name means: the open one, else the newest.
    #[must_use]
    pub fn default_run(&self) -> Option<&Run> {
        self.open().or(self.runs.last())
    }

    /// A name for a new run: `<slug>-<date>-<n>`, the first free `n`.
    #[must_use]
    pub fn new_name(&self, plan: &str, date: &str) -> String {
        let mut slug = String::new();
        for c in plan.chars() {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.trim_matches(|c| c == '-' || c == '.');
        let slug = if slug.is_empty() { "run" } else { slug };
        let slug: String = slug.chars().take(48).collect();
        let mut n: u32 = 1;
        loop {
            let name = alloc::format!("{slug}-{date}-{n}");
            if self.run(&name).is_none() {
                return name;
            }
            n += 1;
        }
    }
}

/// The direction, as a word.
#[must_use]
pub fn way_word(way: Direction) -> &'static str {
    match way {
        Direction::Do => "do",
        Direction::Undo => "undo",
    }
}
