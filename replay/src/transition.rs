//! The rules of a run as one table: what has to hold for each event, where its part has to stand, and where it stands
//! then. What else an event leaves behind is kept by `fold`.
//!
//! Invariants: a part has at most one open attempt; attempt numbers never repeat; an attempt in doubt or failed is
//! followed by another only as the plan or a person allows.

use crate::event::{Answer, Decision, Direction, Event, Failure, RollbackStarted, TaskKey};
use crate::state::{Ended, Refused, Run, Status, Task, TaskState};
use Left::{AsBefore, Something};
use OfPart::{Asked, ItsTurn, LastAttempt, LeftOut, MayTry, NextAttempt, NotAlive, Untouched};
use OfRun::{
    AllReversed, AllSettled, Amendable, Going, KnownStay, Never, NoLoss, NoneMayRun, NoneOpen,
    NotRolledBack, Unended,
};
use Status::{Failed, InDoubt, Pending, Ready, Running, Satisfied, Skipped, Succeeded, Undone};
use alloc::format;
use alloc::string::{String, ToString as _};

/// Of the run: anything may be done about it.
const LIVE: &[OfRun] = &[Unended];
/// Of the run: nothing of it runs.
const QUIET: &[OfRun] = &[Unended, NoneOpen, NoneMayRun];
/// Of the run: nothing of it runs, and something may.
const GOING: &[OfRun] = &[Unended, NoneOpen, NoneMayRun, Going];

const UNTRIED: Stands = Stands(&[Pending, Undone], "it was tried already");
const UNSETTLED: Stands = Stands(
    &[Pending, Undone, Ready, Failed, InDoubt],
    "it is settled already",
);
const OPEN: Stands = Stands(&[Running], "the attempt is not open");
const OVER: Stands = Stands(
    &[Failed, InDoubt],
    "the attempt is neither in doubt nor failed",
);
const ASKED: Stands = Stands(&[Ready, Failed, InDoubt], "nothing is asked about it");
const UNFAILED: Stands = Stands(&[Ready, InDoubt], "it has failed already");
const PASSABLE: Stands = Stands(
    &[Pending, Ready, Failed, InDoubt],
    "nothing is asked about it",
);

/// The table.
#[rustfmt::skip]
fn rule(event: &Event) -> Rule {
    use Event::*;
    match event {
        // What happens      needs of the run,       of its part,                    of where that stands, and makes of it
        LedgerCreated(_) | SessionOpened(_) | LedgerRestored(_)
                         => run (&[Never("it does not belong to a run")]),
        RunPlanned(_)    => run (&[Never("the run is planned already")]),
        RunAmended(_)    => run (&[Unended, NoneOpen, NoneMayRun, Amendable]),
        NoteAdded(_)     => run (&[]),

        RunResumed(_) | PauseRequested(_) | AbortRequested(_)
                         => run (LIVE),
        RunAborted(_)    => run (QUIET),
        RunCompleted(_)  => run (&[Unended, NoneOpen, AllSettled]),
        RollbackStarted(_)
                         => run (&[NotRolledBack, NoneMayRun, KnownStay, NoLoss]),
        RollbackCompleted(_)
                         => run (&[Unended, NoneOpen, NoneMayRun, AllReversed]),

        StepSkipped(_)   => part(QUIET, &[ItsTurn, LeftOut],             UNTRIED).to(Skipped),
        StepSatisfied(_) => part(QUIET, &[ItsTurn, MayTry, Untouched],   UNSETTLED).to(Satisfied),
        StepRefused(_)   => part(QUIET, &[ItsTurn, MayTry],              UNSETTLED).to(Failed),
        StepStarted(_)   => part(GOING, &[ItsTurn, MayTry, NextAttempt], UNSETTLED).to(Running).left(Something),

        StepAdopted(_) | StepNoted(_) | StepEscalated(_) | KillRequested(_)
                         => part(LIVE, &[LastAttempt], OPEN),
        StepSucceeded(_) => part(LIVE, &[LastAttempt], OPEN).to(Succeeded),
        StepFailed(f) if f.failure == Failure::NotStarted
                         => part(LIVE, &[LastAttempt], OPEN).to(Failed).left(AsBefore),
        StepFailed(_)    => part(LIVE, &[LastAttempt], OPEN).to(Failed),
        StepFenced(_)    => part(LIVE, &[LastAttempt], OPEN).to(Ready).left(AsBefore),
        StepDoubted(_)   => part(LIVE, &[LastAttempt], OPEN).to(InDoubt),

        StepProbed(p)    => match p.answer {
            Answer::Done    => part(LIVE, &[LastAttempt, NotAlive], OVER).to(Succeeded),
            Answer::Nothing => part(LIVE, &[LastAttempt, NotAlive], OVER).to(Ready).left(AsBefore),
            Answer::Unclear => part(LIVE, &[LastAttempt, NotAlive], OVER),
        },
        StepDecided(d)   => match d.decision {
            Decision::Done  => part(LIVE, &[Asked], ASKED).to(Succeeded).left(Something),
            Decision::Retry => part(LIVE, &[Asked], ASKED).to(Ready),
            Decision::Skip  => part(LIVE, &[Asked], PASSABLE).to(Skipped),
            Decision::Fail  => part(LIVE, &[Asked], UNFAILED).to(Failed),
        },
    }
}

/// What has to hold of the run.
#[derive(Debug, Clone, Copy)]
enum OfRun {
    /// Nothing makes it possible.
    Never(&'static str),
    /// It has not ended.
    Unended,
    /// It has not ended with everything reversed.
    NotRolledBack,
    /// Nobody asked for a stop.
    Going,
    /// No attempt is open.
    NoneOpen,
    /// No attempt in doubt may still run.
    NoneMayRun,
    /// It goes forwards, and every step is settled.
    AllSettled,
    /// It goes backwards, and nothing is left to reverse and to check.
    AllReversed,
    /// The plan has the step that is to stay done.
    KnownStay,
    /// Nothing that users wrote would be lost, or a person has accepted that.
    NoLoss,
    /// It goes forwards, and the other plan fits what has been started.
    Amendable,
}

/// What has to hold of a part.
#[derive(Debug, Clone, Copy)]
enum OfPart {
    /// It is the next one in the direction of travel.
    ItsTurn,
    /// The plan leaves it out.
    LeftOut,
    /// Nothing that this run did may be there of it.
    Untouched,
    /// After a failure or in doubt, the plan or a person allows another attempt.
    MayTry,
    /// The event is about the attempt after the last.
    NextAttempt,
    /// The event is about the last attempt.
    LastAttempt,
    /// The last attempt cannot be running any more.
    NotAlive,
    /// The event answers what is asked about it.
    Asked,
}

/// How a part may stand, and what is said of one that stands otherwise.
#[derive(Debug, Clone, Copy)]
struct Stands(&'static [Status], &'static str);

/// A row of the table.
struct Rule {
    run: &'static [OfRun],
    /// For an event that is about a part.
    part: Option<(&'static [OfPart], Stands)>,
    becomes: Becomes,
}

/// What an event makes of its part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Becomes {
    /// How it stands then; as it stood when absent.
    pub(crate) status: Option<Status>,
    /// What of it may be there then; what was there when absent.
    pub(crate) left: Option<Left>,
}

/// What of a part may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Something.
    Something,
    /// What was there before its last attempt, which provably left nothing.
    AsBefore,
}

fn run(run: &'static [OfRun]) -> Rule {
    Rule {
        run,
        part: None,
        becomes: Becomes::default(),
    }
}

fn part(of_run: &'static [OfRun], of_part: &'static [OfPart], stands: Stands) -> Rule {
    Rule {
        part: Some((of_part, stands)),
        ..run(of_run)
    }
}

impl Rule {
    fn to(mut self, status: Status) -> Self {
        self.becomes.status = Some(status);
        self
    }

    fn left(mut self, left: Left) -> Self {
        self.becomes.left = Some(left);
        self
    }
}

/// The part that an event is about, with its unit and the place of that.
struct Subject<'a> {
    key: &'a TaskKey,
    place: usize,
    unit: &'a Task,
    part: &'a TaskState,
}

/// Holds, or what is said where it does not.
fn that(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

impl Run {
    /// Whether the state allows an event.
    ///
    /// # Errors
    /// [`Refused`] when it does not.
    pub fn check(&self, event: &Event) -> Result<(), Refused> {
        self.allowed(event).map(drop)
    }

    /// What an event would make of its part, where the state allows the event.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn allowed(&self, event: &Event) -> Result<Becomes, Refused> {
        let rule = rule(event);
        self.follows(event, &rule)
            .map(|()| rule.becomes)
            .map_err(|why| Refused {
                what: event.kind().into(),
                why,
            })
    }

    fn follows(&self, event: &Event, rule: &Rule) -> Result<(), String> {
        for need in rule.run {
            self.holds(*need, event)?;
        }
        let (Some(key), Some((needs, stands))) = (event.part(), rule.part) else {
            return Ok(());
        };
        let Some((place, unit)) = self.subject(event) else {
            return Err(format!("the plan has no step {}", key.step));
        };
        let part = unit.part(key.way);
        let subject = Subject {
            key,
            place,
            unit,
            part,
        };
        for need in needs {
            self.holds_of(&subject, *need, event)?;
        }
        let Stands(statuses, otherwise) = stands;
        that(statuses.contains(&part.status), otherwise)
    }

    /// The unit that an event is about, and its place. A decision may replace the one before it: it is about the unit as
    /// it was when the question was asked.
    pub(crate) fn subject(&self, event: &Event) -> Option<(usize, &Task)> {
        let key = event.part()?;
        let place = self.place(key)?;
        let decided = self.decided.as_deref();
        let former = decided.filter(|d| d.unit.key(d.way) == *key);
        let unit = match (event, former) {
            (Event::StepDecided(_), Some(former)) => &former.unit,
            (_, _) => self.units.get(place)?,
        };
        Some((place, unit))
    }

    fn holds(&self, need: OfRun, event: &Event) -> Result<(), String> {
        match need {
            Never(why) => Err(why.into()),
            Unended => that(self.ended.is_none(), "the run has ended"),
            NotRolledBack => that(
                self.ended != Some(Ended::RolledBack),
                "the run is rolled back",
            ),
            Going => that(
                self.pause.is_none() && self.abort.is_none() && !self.held,
                "the run is asked to stop",
            ),
            NoneOpen => match self.open() {
                Some(part) => Err(format!("an attempt of {part} is open")),
                None => Ok(()),
            },
            NoneMayRun => match self.may_still_run() {
                Some((unit, _)) => Err(format!(
                    "{} may still run; decide about it first",
                    unit.step
                )),
                None => Ok(()),
            },
            AllSettled => that(
                self.way == Direction::Do && self.unsettled().next().is_none(),
                "a step is not settled",
            ),
            AllReversed => that(
                self.way == Direction::Undo && self.left_backwards().next().is_none(),
                "something is left to reverse",
            ),
            Amendable => {
                let Event::RunAmended(amended) = event else {
                    return Ok(());
                };
                self.amendable(&amended.plan).map_err(|why| why.to_string())
            }
            NoLoss => {
                let Event::RollbackStarted(rollback) = event else {
                    return Ok(());
                };
                let lost = || self.loss_window(rollback.to.as_deref()).is_some();
                that(
                    rollback.accept_data_loss || !lost(),
                    "it would discard what users have written since they were let in, and nobody has accepted that",
                )
            }
            KnownStay => {
                let Event::RollbackStarted(RollbackStarted { to: Some(to), .. }) = event else {
                    return Ok(());
                };
                that(
                    self.step_named(to).is_some(),
                    format!("the plan has no step {to}"),
                )
            }
        }
    }

    fn holds_of(&self, subject: &Subject<'_>, need: OfPart, event: &Event) -> Result<(), String> {
        let Subject {
            key,
            place,
            unit,
            part,
        } = *subject;
        match need {
            ItsTurn => self.its_turn(place, unit, key.way),
            LeftOut => that(
                self.step(unit).is_some_and(|(_, s)| s.left_out.is_some()),
                "the plan does not leave it out",
            ),
            Untouched => that(
                !part.touched || part.status == Undone,
                "this run may have done something of it",
            ),
            MayTry => match part.status {
                InDoubt => that(
                    self.may_repeat(unit, key.way),
                    "its last attempt is in doubt",
                ),
                Failed => that(
                    key.way == Direction::Do && self.may_retry(unit),
                    "its last attempt failed, and nobody decided on another",
                ),
                Pending | Running | Satisfied | Succeeded | Ready | Skipped | Undone => Ok(()),
            },
            NextAttempt => that(
                event.attempt().map(|at| at.attempt) == part.attempts.checked_add(1),
                format!(
                    "the next attempt is number {}",
                    part.attempts.saturating_add(1)
                ),
            ),
            LastAttempt if part.attempts == 0 => Err("no attempt of it was made".into()),
            LastAttempt => that(
                event.attempt().map(|at| at.attempt) == Some(part.attempts),
                format!("the last attempt is number {}", part.attempts),
            ),
            NotAlive => that(!part.may_still_run(), "it may still run"),
            Asked => {
                let Event::StepDecided(decided) = event else {
                    return Ok(());
                };
                self.answers(subject, decided.decision)
            }
        }
    }

    /// It is the next unit in the direction of travel, and this is the direction.
    fn its_turn(&self, place: usize, unit: &Task, way: Direction) -> Result<(), String> {
        that(way == self.way, "the run goes the other way")?;
        match way {
            Direction::Do => that(
                !self.is_unsettled_before(place),
                "an earlier step is not settled",
            ),
            Direction::Undo => that(
                self.is_next_to_undo(place, unit) || self.is_next_to_check(place, unit),
                "it is not the next to be undone",
            ),
        }
    }

    /// Something is asked about it, to which this is an answer.
    fn answers(&self, subject: &Subject<'_>, decision: Decision) -> Result<(), String> {
        let Subject {
            key,
            place,
            unit,
            part,
        } = *subject;
        that(
            key.way == self.way || part.may_still_run(),
            "the run goes the other way",
        )?;
        if key.way == Direction::Undo
            && self.is_no_return(unit)
            && self.is_next_to_undo(place, unit)
        {
            return that(
                decision == Decision::Skip,
                "a point of no return can only be passed over with `skip`",
            );
        }
        let lost = part.status == Ready && part.losses > 0;
        that(
            lost || OVER.0.contains(&part.status),
            "nothing is asked about it",
        )
    }
}
