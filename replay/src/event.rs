//! The events: past-tense facts, each with what a reader may rely on.
//!
//! A kind is its own version: its fields never change meaning, and an incompatible shape gets a new kind. An unknown
//! kind or field is an error, because a fold that skips what it does not know would decide on half the truth.

pub use crate::own;
use crate::plan::{LOCAL, Pair, Plan};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Forwards or backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The step itself.
    Do,
    /// Its reversal.
    Undo,
}

/// One step on one target, in one direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskKey {
    /// The step's id.
    pub step: String,
    /// Where.
    pub target: String,
    /// Forwards or backwards.
    pub way: Direction,
}

impl TaskKey {
    /// The step itself on this machine.
    #[must_use]
    pub fn local(step: &str, way: Direction) -> Self {
        Self {
            step: step.into(),
            target: LOCAL.into(),
            way,
        }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.way == Direction::Undo {
            f.write_str("undo of ")?;
        }
        f.write_str(&self.step)?;
        if self.target != LOCAL {
            write!(f, " on {}", self.target)?;
        }
        Ok(())
    }
}

/// An event of a run or of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
pub enum Event {
    /// First record of a ledger; names the digest algorithm.
    #[serde(rename = "ledger.created")]
    LedgerCreated(Value),
    /// A process began to write; carries who, from where, with which program.
    #[serde(rename = "session.opened")]
    SessionOpened(Value),
    /// The file was older than remembered, and a person decided to go on with it.
    #[serde(rename = "ledger.restored")]
    LedgerRestored(Value),
    /// The run exists and this plan is what it runs. Nothing has been done yet.
    #[serde(rename = "run.planned")]
    RunPlanned(RunPlanned),
    /// Another plan takes the place of the run's own; steps that have succeeded are the same in it.
    #[serde(rename = "run.amended")]
    RunAmended(RunAmended),
    /// A runner took the run over. Attempts left open before it are its to resolve.
    #[serde(rename = "run.resumed")]
    RunResumed(Reason),
    /// The runner is to stop before the next step.
    #[serde(rename = "run.pause_requested")]
    PauseRequested(Reason),
    /// The runner is to end the run before the next step.
    #[serde(rename = "run.abort_requested")]
    AbortRequested(Reason),
    /// The run ended without completing; what was done stays done.
    #[serde(rename = "run.aborted")]
    RunAborted(Empty),
    /// Every step is done, satisfied or skipped.
    #[serde(rename = "run.completed")]
    RunCompleted(Empty),
    /// The run goes backwards from here.
    #[serde(rename = "rollback.started")]
    RollbackStarted(RollbackStarted),
    /// Everything that the rollback was to reverse is reversed or passed over by decision.
    #[serde(rename = "rollback.completed")]
    RollbackCompleted(Empty),
    /// The intent: durable before the attempt can have any effect. Holds everything that an undo will need.
    #[serde(rename = "step.started")]
    StepStarted(Started),
    /// What an action made durable on the way, before it came true: its undo and its next attempt may rely on it.
    #[serde(rename = "step.noted")]
    StepNoted(Noted),
    /// The step was not started, because its look before or its inputs failed: it took no attempt number and left nothing.
    #[serde(rename = "step.refused")]
    StepRefused(Refusal),
    /// It was done before this run came; it was not run and will not be undone.
    #[serde(rename = "step.satisfied")]
    StepSatisfied(Satisfied),
    /// Left out by the plan's own condition.
    #[serde(rename = "step.skipped")]
    StepSkipped(Skipped),
    /// The attempt ended well and the evidence agrees.
    #[serde(rename = "step.succeeded")]
    StepSucceeded(Succeeded),
    /// The attempt ended badly, or the evidence disagrees.
    #[serde(rename = "step.failed")]
    StepFailed(Failed),
    /// The attempt never started and never will: provably no effect.
    #[serde(rename = "step.fenced")]
    StepFenced(Attempt),
    /// A runner found the attempt running and waits for it.
    #[serde(rename = "step.adopted")]
    StepAdopted(Attempt),
    /// The attempt started and nobody saw how it ended.
    #[serde(rename = "step.doubted")]
    StepDoubted(Doubted),
    /// A read-only look at what an attempt in doubt or a failed one left.
    #[serde(rename = "step.probed")]
    StepProbed(Probed),
    /// A person settled a doubt or a failure.
    #[serde(rename = "step.decided")]
    StepDecided(Decided),
    /// A person ordered the running command to be killed.
    #[serde(rename = "step.kill_requested")]
    KillRequested(KillRequested),
    /// A running action used its last means, such as KILL; that was durable in the job directory before it was done.
    #[serde(rename = "step.escalated")]
    StepEscalated(Escalated),
    /// A remark for the timeline.
    #[serde(rename = "note.added")]
    NoteAdded(Note),
}

/// What an event is about.
enum About<'a> {
    Attempt(&'a Attempt),
    TaskKey(&'a TaskKey),
    Run,
}

impl Event {
    fn about(&self) -> About<'_> {
        match self {
            Self::StepStarted(Started { at, .. })
            | Self::StepNoted(Noted { at, .. })
            | Self::StepSucceeded(Succeeded { at, .. })
            | Self::StepFailed(Failed { at, .. })
            | Self::StepFenced(at)
            | Self::StepAdopted(at)
            | Self::StepDoubted(Doubted { at, .. })
            | Self::StepProbed(Probed { at, .. })
            | Self::KillRequested(KillRequested { at, .. })
            | Self::StepEscalated(Escalated { at, .. }) => About::Attempt(at),
            Self::StepRefused(Refusal { part, .. })
            | Self::StepSatisfied(Satisfied { part, .. })
            | Self::StepSkipped(Skipped { part, .. })
            | Self::StepDecided(Decided { part, .. }) => About::TaskKey(part),
            Self::LedgerCreated(_)
            | Self::SessionOpened(_)
            | Self::LedgerRestored(_)
            | Self::RunPlanned(_)
            | Self::RunAmended(_)
            | Self::RunResumed(_)
            | Self::PauseRequested(_)
            | Self::AbortRequested(_)
            | Self::RunAborted(_)
            | Self::RunCompleted(_)
            | Self::RollbackStarted(_)
            | Self::RollbackCompleted(_)
            | Self::NoteAdded(_) => About::Run,
        }
    }

    /// It changes no decision: behind it, an event that was possible before it still is.
    #[must_use]
    pub fn is_neutral(&self) -> bool {
        matches!(self, Self::NoteAdded(_) | Self::SessionOpened(_))
    }

    /// The last decision can still be decided anew behind it: it says nothing of a step, and does not go on.
    pub(crate) fn leaves_decision(&self) -> bool {
        matches!(
            self,
            Self::NoteAdded(_) | Self::PauseRequested(_) | Self::AbortRequested(_)
        )
    }

    /// The part that it is about, where it is about one: of all parts, it changes this one's unit alone.
    #[must_use]
    pub fn part(&self) -> Option<&TaskKey> {
        match self.about() {
            About::Attempt(at) => Some(&at.part),
            About::TaskKey(part) => Some(part),
            About::Run => None,
        }
    }

    /// The attempt that it is about, where it is about one.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self.about() {
            About::Attempt(at) => Some(at),
            About::TaskKey(_) | About::Run => None,
        }
    }

    /// Its kind, as it is recorded.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LedgerCreated(_) => "ledger.created",
            Self::SessionOpened(_) => "session.opened",
            Self::LedgerRestored(_) => "ledger.restored",
            Self::RunPlanned(_) => "run.planned",
            Self::RunAmended(_) => "run.amended",
            Self::RunResumed(_) => "run.resumed",
            Self::PauseRequested(_) => "run.pause_requested",
            Self::AbortRequested(_) => "run.abort_requested",
            Self::RunAborted(_) => "run.aborted",
            Self::RunCompleted(_) => "run.completed",
            Self::RollbackStarted(_) => "rollback.started",
            Self::RollbackCompleted(_) => "rollback.completed",
            Self::StepStarted(_) => "step.started",
            Self::StepNoted(_) => "step.noted",
            Self::StepRefused(_) => "step.refused",
            Self::StepSatisfied(_) => "step.satisfied",
            Self::StepSkipped(_) => "step.skipped",
            Self::StepSucceeded(_) => "step.succeeded",
            Self::StepFailed(_) => "step.failed",
            Self::StepFenced(_) => "step.fenced",
            Self::StepAdopted(_) => "step.adopted",
            Self::StepDoubted(_) => "step.doubted",
            Self::StepProbed(_) => "step.probed",
            Self::StepDecided(_) => "step.decided",
            Self::KillRequested(_) => "step.kill_requested",
            Self::StepEscalated(_) => "step.escalated",
            Self::NoteAdded(_) => "note.added",
        }
    }
}

/// No data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Why somebody asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In their words.
    pub reason: String,
}

/// `run.planned`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlanned {
    /// SHA-256 of the plan's canonical JSON, hex.
    pub digest: String,
    /// The plan that runs. It is large, so whoever needs it shares it.
    pub plan: Arc<Plan>,
    /// Warnings that the operator saw, such as a weak file system under the ledger.
    pub warnings: Vec<String>,
    /// Which contract of actions its events follow: [`CONTRACT`], or 0 for a run that was begun before there was one.
    #[serde(default, skip_serializing_if = "crate::contract::is_zero")]
    pub contract: u32,
    /// Names of the variables that were given with the command, in the place of those of the plan file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
}

/// The contract of new runs: observations, notes and outputs are typed, and kept content has a salted digest.
pub const CONTRACT: u32 = 1;

/// `run.amended`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunAmended {
    /// SHA-256 of the plan's canonical JSON, hex.
    pub digest: String,
    /// The plan that runs from here on.
    pub plan: Arc<Plan>,
    /// Ids of the steps that are other than before, new, or left out: for people.
    pub steps: Vec<String>,
    /// Warnings that the operator saw.
    pub warnings: Vec<String>,
    /// Why.
    pub reason: String,
    /// Names of the variables that were given for it or for the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
}

/// `rollback.started`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackStarted {
    /// The last step that stays done; nothing stays when absent.
    pub to: Option<String>,
    /// Why.
    pub reason: String,
    /// A person accepts that what users have written is lost.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub accept_data_loss: bool,
    /// What only looks behind that step is done again afterwards; not so in older records.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub looks_again: bool,
}

/// One try of one part, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// What is tried.
    pub part: TaskKey,
    /// From 1, never used twice.
    pub attempt: u32,
}

/// `step.started`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// Which try of what.
    pub at: Attempt,
    /// Makes the job directory's name unguessable and unique.
    pub nonce: String,
    /// SHA-256 of the job's spec, hex: argv, environment names, limits.
    pub spec: String,
    /// The command, for the reader: argv or script, secrets as names.
    pub command: Vec<String>,
    /// What was there before, and all that the undo needs.
    pub observed: Value,
    /// The limit that the supervisor enforces, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Outputs of earlier steps that were put into its settings, `cwd` and environment, by `step.name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Pair>,
}

/// `step.noted`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// During which try of what.
    pub at: Attempt,
    /// The note, as its kind of action defines it.
    pub note: Value,
}

/// `step.refused`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What.
    pub part: TaskKey,
    /// Why, in lines for people.
    pub detail: String,
}

/// `step.satisfied`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Satisfied {
    /// What.
    pub part: TaskKey,
    /// What the look saw.
    pub evidence: Vec<String>,
    /// What the step would have produced, as the look found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Value>,
}

/// `step.skipped`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// What.
    pub part: TaskKey,
    /// Which condition.
    pub reason: String,
}

/// What the command printed, after redaction, by its salted digest; the salt lies beside the ledger's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Printed {
    /// `SHA-256(salt || content)` of the stored output, hex.
    pub sha256: String,
    /// Bytes stored.
    pub len: u64,
    /// Bytes that were printed and not stored.
    pub dropped: u64,
}

/// What the command printed, as runs before [`CONTRACT`] recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// SHA-256 of the stored output, hex, without a salt.
    pub sha256: String,
    /// Bytes stored.
    pub len: u64,
    /// Bytes that were printed and not stored.
    pub dropped: u64,
}

/// `step.succeeded`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succeeded {
    /// Which try of what.
    pub at: Attempt,
    /// What the checks saw.
    pub evidence: Vec<String>,
    /// Facts read from what it printed, for later steps.
    pub facts: Vec<Pair>,
    /// What the action produced, for later steps and for its undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Value>,
    /// What it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Printed>,
    /// What it printed, of a run before [`CONTRACT`].
    pub output: Option<Output>,
    /// Wall duration by the boot clock, in milliseconds; absent when nobody saw it.
    pub took_ms: Option<u64>,
}

/// `step.failed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Which try of what.
    pub at: Attempt,
    /// What kind of failure.
    pub failure: Failure,
    /// One line for people.
    pub detail: String,
    /// Last lines of the output.
    pub tail: Vec<String>,
    /// What it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Printed>,
    /// What it printed, of a run before [`CONTRACT`].
    pub output: Option<Output>,
    /// Wall duration by the boot clock, in milliseconds.
    pub took_ms: Option<u64>,
    /// Processes that it started were still alive, so it is not tried again without a person's word.
    pub left_behind: bool,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It ended with this exit code.
    Exit(i32),
    /// A signal that upledger did not send ended it.
    Signal(i32),
    /// The time limit passed, and the supervisor killed it.
    Timeout,
    /// A person had it killed.
    Killed,
    /// It could not be started: provably no effect.
    NotStarted,
    /// It ended well, and the evidence says otherwise.
    Evidence,
}

/// Kinds of doubt, by what may settle them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Its processes are gone, and nobody saw how it ended: a look may settle it.
    Unseen,
    /// Its processes were still alive: a look would be too early, so only a person settles it.
    Alive,
    /// Its job directory is missing, or not the one that was intended: whether it still runs cannot be told, so only a
    /// person settles it.
    Lost,
}

/// `step.doubted`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubted {
    /// Which try of what.
    pub at: Attempt,
    /// What kind of doubt.
    pub doubt: Doubt,
    /// What was found.
    pub cause: String,
    /// Last lines of the output.
    pub tail: Vec<String>,
}

/// What a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Nothing of it happened.
    Nothing,
    /// Half done, or it cannot tell.
    Unclear,
}

/// `step.probed`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// About which try of what.
    pub at: Attempt,
    /// The answer.
    pub answer: Answer,
    /// What the look saw.
    pub evidence: Vec<String>,
    /// What the step produced, as the look found it, where it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Value>,
}

/// What a person may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is done.
    Done,
    /// Run it again.
    Retry,
    /// Go on without it.
    Skip,
    /// It failed.
    Fail,
}

/// `step.decided`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// About what.
    pub part: TaskKey,
    /// What was decided.
    pub decision: Decision,
    /// Why, in their words.
    pub reason: String,
    /// What the step's own check saw, for `done`.
    pub evidence: Vec<String>,
    /// What the step produced, as that check found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<Value>,
}

/// `step.kill_requested`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillRequested {
    /// Which try of what.
    pub at: Attempt,
    /// Why, in their words.
    pub reason: String,
}

/// `step.escalated`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalated {
    /// During which try of what.
    pub at: Attempt,
    /// What was done, to whom, and why.
    pub what: String,
}

/// `note.added`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// In their words.
    pub text: String,
}
