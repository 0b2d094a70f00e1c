//! The former contract, while kinds move to `crate::action` one by one.

use crate::action::{Context, Error, Invocation, Look, Observed, Properties, Stage};
use crate::attempt::spool::{Entry, Spool};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Where something is kept that an undo puts back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerKept {
    /// Where it is.
    pub at: String,
    /// What it was.
    pub of: String,
}

impl Context {
    /// No run at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// `undo/` in the state directory.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made.
    pub fn undo_dir(&self) -> Result<PathBuf, Error> {
        use std::os::unix::fs::DirBuilderExt;
        let dir = self.state.join("undo");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|e| Error::io(format!("cannot make {}", dir.display()), &e))?;
        Ok(dir)
    }

    /// An escalation.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made durable; it must not be done then.
    pub fn mark(&self, log: &mut dyn Write, what: &str) -> Result<(), Error> {
        if let Some(path) = &self.spool {
            let what = self.redactor()?.text(what);
            Spool::open(path)
                .and_then(|mut s| s.append(&Entry::Escalated { what: what.clone() }))
                .map_err(|e| Error::io(format!("cannot record before it is done: {what}"), &e))?;
        }
        let _ = writeln!(log, "{what}").and_then(|()| log.flush());
        Ok(())
    }

    fn produced(&self) -> Result<(), Error> {
        let Some(path) = &self.spool else {
            return Ok(());
        };
        let entry = Entry::Produced {
            output: Value::Null,
            blobs: Vec::new(),
        };
        Spool::open(path)
            .and_then(|mut s| s.append(&entry))
            .map_err(|e| Error::io("cannot write the attempt's spool", &e))
    }
}

/// One kind of action.
///
/// Defaults describe an action without evidence of its own: unsafe, no probe, no undo.
pub trait Action: Send + Sync {
    /// What running it twice would mean.
    fn effect(&self) -> Effect {
        Effect::Unsafe
    }

    /// [`Action::probe`] gives a real answer.
    fn has_probe(&self) -> bool {
        false
    }

    /// [`Action::undo`] and [`Action::undone`] exist.
    fn has_undo(&self) -> bool {
        false
    }

    /// Without an undo of its own, the plan has to say how it is reversed.
    fn needs_undo(&self) -> bool {
        self.effect() != Effect::Pure
    }

    /// It is read-only, so it may serve as a step's `probe` or `verify`.
    fn looks(&self) -> bool {
        false
    }

    /// Where it stands in an upgrade, for the order rules of `check` : `nginx.stop` says
    /// `vec![Stage::Stop(Service::Front)]`, `expect.stopped` says `vec![Stage::Confirm]`, `celery.start` of a beat says
    /// `vec![Stage::Start(Service::Beat)]`. More than one where one step does several at once; none where its place
    /// cannot be known.
    fn stages(&self) -> Vec<Stage> {
        Vec::new()
    }

    /// What of it is looked for in the step's `cwd`, where it cannot do without one: `manage.py`, a requirement file.
    fn below_cwd(&self) -> Option<&str> {
        None
    }

    /// Rules about its settings that types cannot say; each problem in one line.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the supervisor starts.
    fn invocation(&self) -> Invocation {
        Invocation::Own
    }

    /// The program that it starts itself, and the directory that it names for it: a preview looks whether they are there.
    fn program(&self) -> Option<(&str, Option<&str>)> {
        None
    }

    /// What is there now, and all that the undo will need.
    ///
    /// # Errors
    /// [`Error`] when it cannot see; the step is not started then.
    fn observe(&self, _cx: &Context) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    /// What it does, in lines for people and in their language; the intent holds them in English.
    fn commands(&self, cx: &Context) -> Vec<String>;

    /// What the look before found that a reader of the preview wants to know, in lines, such as the commit of a tag.
    fn found(&self, _observed: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Its settings with what the look before found written in, so that what is approved is what runs: a tag becomes a
    /// commit. None where there is nothing to write in.
    fn resolved(&self, _observed: &Value) -> Option<Value> {
        None
    }

    /// Its settings hold what was approved and the world may have left behind, such as the commit of a tag: a run looks
    /// at once whether that still is so, before it stops anything.
    fn approved(&self) -> bool {
        false
    }

    /// A unified diff of what it would change now, where it can be shown.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn diff(&self, _cx: &Context) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Whether it is done. Before the first attempt `observed` is what [`Action::observe`] has just returned.
    ///
    /// # Errors
    /// [`Error`] when it cannot see; that counts as unclear.
    fn probe(&self, _cx: &Context, _observed: &Value) -> Result<Look, Error> {
        Ok(Look::unclear("this action has no probe"))
    }

    /// Does it, in a process of its own. What it writes to `log` is the step's output.
    ///
    /// # Errors
    /// [`Error`] fails the attempt.
    fn perform(&self, _cx: &Context, _observed: &Value, _log: &mut dyn Write) -> Result<(), Error> {
        Err(Error::new("this action is a command"))
    }

    /// The evidence after it ran: `Done` agrees, everything else fails the attempt.
    ///
    /// # Errors
    /// [`Error`] when it cannot see; that fails the attempt.
    fn verify(&self, _cx: &Context, _observed: &Value) -> Result<Look, Error> {
        Ok(Look {
            answer: Answer::Done,
            evidence: Vec::new(),
        })
    }

    /// What [`Action::undo`] does, for people who read a plan.
    fn undoing(&self) -> Option<String> {
        None
    }

    /// Where the former content is that [`Action::undo`] puts back, for people whom the undo has left alone with it.
    fn kept(&self, _cx: &Context, _observed: &Value) -> Vec<FormerKept> {
        Vec::new()
    }

    /// Reverses it from what was observed, in a process of its own. It must cope with a step that is half done.
    ///
    /// # Errors
    /// [`Error`] fails the attempt.
    fn undo(&self, _cx: &Context, _observed: &Value, _log: &mut dyn Write) -> Result<(), Error> {
        Err(Error::new("this action has no undo"))
    }

    /// Whether things are as observed again: evidence after the undo, and its probe.
    ///
    /// # Errors
    /// [`Error`] when it cannot see.
    fn undone(&self, _cx: &Context, _observed: &Value) -> Result<Look, Error> {
        Ok(Look::unclear("this action has no undo"))
    }
}

pub(super) fn observe<A: Action>(a: &A, cx: &Context) -> Result<Observed, Error> {
    let before = a.observe(cx)?;
    cx.show_diff(|| a.diff(cx))?;
    Ok(Observed {
        resolved: a.resolved(&before),
        before,
    })
}

pub(super) fn properties<A: Action>(a: &A) -> Properties {
    Properties {
        effect: a.effect(),
        has_probe: a.has_probe(),
        has_undo: a.has_undo(),
        needs_undo: a.needs_undo(),
        looks: a.looks(),
        stages: a.stages(),
        below_cwd: a.below_cwd().map(Into::into),
        program: a
            .program()
            .map(|(p, d)| (p.to_owned(), d.map(str::to_owned))),
        approved: a.approved(),
    }
}

pub(super) fn perform(cx: &Context, done: Result<(), Error>) -> Result<(), Error> {
    done?;
    cx.produced()
}

/// The calls of a kind that has not moved yet.
macro_rules! former {
    ($($variant:ident($kind:ty)),* $(,)?) => {
        $(
        impl crate::action::Erased for $kind {
            fn properties(&self) -> crate::action::Properties { former::properties(self) }
            fn problems(&self) -> Vec<String> { former::Action::problems(self) }
            fn invocation(&self) -> crate::action::Invocation { former::Action::invocation(self) }
            fn facts() -> Vec<crate::action::Fact> { Vec::new() }
            fn outline(&self, direction: crate::action::Direction) -> Vec<String> {
                match direction {
                    crate::action::Direction::Do => former::Action::commands(self, &Context::default()),
                    crate::action::Direction::Undo => former::Action::undoing(self).into_iter().collect(),
                }
            }
            fn observe(&self, cx: &Context) -> Result<crate::action::Observed, Error> { former::observe(self, cx) }
            fn understands(&self, _past: &crate::action::RawPast) -> Result<(), Error> { Ok(()) }
            fn preview(&self, direction: crate::action::Direction, past: &crate::action::RawPast) -> Result<crate::action::Preview, Error> {
                Ok(crate::action::Preview {
                    commands: crate::action::Erased::outline(self, direction),
                    findings: former::Action::found(self, &past.before),
                    kept: Vec::new(),
                })
            }
            fn probe(&self, cx: &Context, past: &crate::action::RawPast) -> Result<(Look, Option<serde_json::Value>), Error> {
                Ok((former::Action::probe(self, cx, &past.before)?, None))
            }
            fn perform(&self, cx: &Context, past: &crate::action::RawPast, log: &mut dyn std::io::Write) -> Result<(), Error> {
                former::perform(cx, former::Action::perform(self, cx, &past.before, log))
            }
            fn verify(&self, cx: &Context, past: &crate::action::RawPast) -> Result<Look, Error> {
                former::Action::verify(self, cx, &past.before)
            }
            fn undo(&self, cx: &Context, past: &crate::action::RawPast, log: &mut dyn std::io::Write) -> Result<(), Error> {
                former::perform(cx, former::Action::undo(self, cx, &past.before, log))
            }
            fn undone(&self, cx: &Context, past: &crate::action::RawPast) -> Result<Look, Error> {
                former::Action::undone(self, cx, &past.before)
            }
        }
    )*};
}
pub(super) use former;
