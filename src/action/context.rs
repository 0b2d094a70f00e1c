//! Where an action is, and what it may use.

use super::{Blob, Error, Kept, RawPast};
use crate::actions::Do;
use crate::redact::Redactor;
use crate::system::signals::kill_group;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a look may take at least; a step's longer `timeout` is its looks' too.
pub const LOOK: Duration = Duration::from_secs(60);
/// How long an answer may be shared.
const SHARED: Duration = Duration::from_secs(5);

/// Where an action is, and what it may use. It travels to the attempt's process over a pipe, never over a disk.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Context {
    /// The state directory of this machine.
    pub state: PathBuf,
    /// Name of the run.
    pub run: String,
    /// Id of the step.
    pub step: String,
    /// The whole environment of commands that the action starts, secrets put in.
    pub env: Vec<(String, String)>,
    /// Working directory, where the step names one.
    pub cwd: Option<PathBuf>,
    /// The secrets that the step names.
    pub secrets: Vec<(String, String)>,
    /// The step's time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The steps of its family before or behind it in the plan, where the kind has to know them.
    #[serde(default)]
    pub family: Vec<Kin>,
    /// The programs or units of its manager that did not run when an earlier step of the run stopped others of them.
    #[serde(default)]
    pub was_down: Vec<String>,
    /// For an undo: what later steps of the run have seen and noted about the same file, or about services. What they have
    /// written or brought back is not somebody else's.
    #[serde(default)]
    pub later: Vec<RawPast>,
    /// The salts of kept content that the step's past names.
    pub blobs: Vec<Blob>,
    /// Nothing is kept, and what would change is shown: a preview.
    pub inert: bool,
    /// It is beside a living service: the application's own code must not change its databases.
    #[serde(default)]
    pub live: bool,
    /// What the undos of earlier runs name, where the kind removes what none of them needs.
    #[serde(default)]
    pub undoable: Vec<Undoable>,
    /// The earlier steps that its settings name.
    #[serde(default)]
    pub uses: Vec<Used>,
    /// The attempt's spool; none for looks, which have no effect.
    pub spool: Option<PathBuf>,
    /// What looks of the same moment share; none at work, where everything is asked anew.
    #[serde(skip)]
    pub answers: Option<Answers>,
    /// What this look leaves beside its answer.
    #[serde(skip)]
    pub seen: Arc<Mutex<Byproducts>>,
}

/// An earlier step of the plan whose kind is of the same family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kin {
    /// Its id.
    pub step: String,
    /// Its action.
    pub action: Do,
    /// What it observed before it changed anything; null where it has not run.
    pub before: serde_json::Value,
}

/// An earlier step that a setting names by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// The id.
    pub step: String,
    /// Its action, with the facts put in where they are known.
    pub action: Do,
    /// What it observed before it changed anything; null where it has not run.
    pub before: serde_json::Value,
    /// What it produced, where it is done.
    pub produced: Option<serde_json::Value>,
}

/// A text that the record holds of a step which can still be undone; a path may be a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Undoable {
    /// Name of the run.
    pub run: String,
    /// How many of these runs came after it.
    pub age: usize,
    /// The text.
    pub text: String,
}

/// What a look leaves beside its answer.
#[derive(Debug, Default)]
pub struct Byproducts {
    /// Kept since that was last asked.
    kept: Vec<Blob>,
    /// Kept before.
    taken: Vec<Blob>,
    diff: Option<String>,
}

impl Context {
    fn seen(&self) -> MutexGuard<'_, Byproducts> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keeping(&self, blob: Blob) {
        self.seen().kept.push(blob);
    }

    /// What was kept since this was last asked.
    #[must_use]
    pub fn take_kept(&self) -> Vec<Blob> {
        let mut seen = self.seen();
        let kept = std::mem::take(&mut seen.kept);
        seen.taken.extend_from_slice(&kept);
        kept
    }

    pub(super) fn salt_of(&self, kept: &Kept) -> Option<[u8; 16]> {
        let just = self.seen();
        let mut known = self.blobs.iter().chain(&just.kept).chain(&just.taken);
        known.find(|b| b.kept == *kept).map(|b| b.salt)
    }

    /// Shows what would change now, as a unified diff. It is made in a preview alone, and never recorded.
    ///
    /// # Errors
    /// What `diff` meets.
    pub fn show_diff(
        &self,
        diff: impl FnOnce() -> Result<Option<String>, Error>,
    ) -> Result<(), Error> {
        if self.inert {
            let diff = diff()?;
            self.seen().diff = diff;
        }
        Ok(())
    }

    /// The diff of the last look.
    #[must_use]
    pub fn take_diff(&self) -> Option<String> {
        self.seen().diff.take()
    }

    /// What follows looks again at what may have changed.
    pub(crate) fn look_anew(&self) {
        if let Some(answers) = &self.answers {
            answers.forget();
        }
    }

    /// What finds the secrets. Whatever an action shows a part of has to pass it whole first: a cut could leave half
    /// a secret that nobody finds any more.
    ///
    /// # Errors
    /// [`Error`] when a secret is too short to be found.
    pub fn redactor(&self) -> Result<Redactor, Error> {
        Redactor::new(&self.secrets).map_err(|e| Error::new(e.to_string()))
    }

    /// How long one of its looks may take: a minute, or as long as the step itself.
    #[must_use]
    pub fn patience(&self) -> Duration {
        LOOK.max(Duration::from_millis(self.timeout_ms.unwrap_or(0)))
    }

    /// A step that a setting names.
    ///
    /// # Errors
    /// [`Error`] when the plan has none of that id.
    pub fn used(&self, step: &str) -> Result<&Used, Error> {
        let mut known = self.uses.iter();
        known
            .find(|used| used.step == step)
            .ok_or_else(|| Error::new(format!("the plan has no step {step}")))
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// [`Error`] when the run has no secret of that name.
    pub fn secret(&self, name: &str) -> Result<&str, Error> {
        self.secrets
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .ok_or_else(|| Error::new(format!("there is no secret named {name}")))
    }
}

/// What looks of the same moment were answered.
///
/// Before a step the runner observes and probes, and each asks the same; the steps of a preview ask the same manager and
/// the same application. A client such as supervisorctl takes half a second to start, so that only the first one asks;
/// who asks the same meanwhile waits for its answer.
///
/// Invariants: only looks share answers, an action at work always asks; an answer that is on its way to another is not
/// kept; whoever waits for a change, or looks after one, takes no answer from before. Looks that were given up leave no
/// process behind: the process groups of their commands are killed, and no further one is started.
#[derive(Debug, Clone)]
pub struct Answers {
    shared: Arc<Shared>,
    /// Answers from before are not taken.
    since: Arc<Mutex<Option<Instant>>>,
    /// How long an answer counts.
    lasts: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Asked>,
    /// An answer has come.
    answered: Condvar,
}

/// Those of this process that live.
static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl Default for Answers {
    fn default() -> Self {
        Self::lasting(SHARED)
    }
}

type Answer = (Instant, Vec<String>, Arc<dyn Any + Send + Sync>);

#[derive(Default)]
struct Asked {
    answers: Vec<Answer>,
    /// Questions whose answer is waited for.
    open: Vec<Vec<String>>,
    /// Process groups of commands that run now.
    groups: Vec<i32>,
    given_up: bool,
    /// Something was not started, because of that.
    refused: bool,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Answers {
    /// Whose answers count that long.
    #[must_use]
    pub fn lasting(lasts: Duration) -> Self {
        let shared = Arc::default();
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|weak| weak.strong_count() > 0);
        all.push(Arc::downgrade(&shared));
        Self {
            shared,
            since: Arc::default(),
            lasts,
        }
    }

    /// The same answers for another step, which begins anew by itself.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            since: Arc::default(),
            ..self.clone()
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        let asked = self.shared.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question, asked once by all that want it; `keeps` says whether others may have it, too.
    pub(crate) fn shared<T: Clone + Send + Sync + 'static>(
        &self,
        question: Vec<String>,
        keeps: impl FnOnce(&T) -> bool,
        ask: impl FnOnce() -> T,
    ) -> T {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let counts =
            |at: Instant| at.elapsed() < self.lasts && since.is_none_or(|since| at >= since);
        let mut asked = self.asked();
        loop {
            let mut answers = asked.answers.iter();
            let known = answers.find(|(at, q, _)| *q == question && counts(*at));
            if let Some(answer) = known.and_then(|(_, _, a)| a.downcast_ref::<T>()) {
                return answer.clone();
            }
            if !asked.open.contains(&question) {
                break;
            }
            let woken = self.shared.answered.wait(asked);
            asked = woken.unwrap_or_else(PoisonError::into_inner);
        }
        asked.open.push(question.clone());
        drop(asked);
        let open = Open {
            answers: self,
            question: &question,
        };
        let at = Instant::now();
        let answer = ask();
        if keeps(&answer) {
            let mut asked = self.asked();
            asked.answers.retain(|(_, q, _)| *q != question);
            let kept: Arc<dyn Any + Send + Sync> = Arc::new(answer.clone());
            asked.answers.push((at, question.clone(), kept));
        }
        drop(open);
        answer
    }

    /// The moment is over.
    pub(crate) fn forget(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Starts a command of a look; none when the check was cancelled. Nobody can give it up in between.
    pub(crate) fn start<T>(
        &self,
        start: impl FnOnce() -> std::io::Result<T>,
        group: impl FnOnce(&T) -> i32,
    ) -> std::io::Result<T> {
        let mut asked = self.asked();
        if asked.given_up {
            asked.refused = true;
            return Err(std::io::Error::other("the check was cancelled"));
        }
        let started = start()?;
        asked.groups.push(group(&started));
        Ok(started)
    }

    /// Looks whether that command has ended. Nobody kills its group once it is reaped.
    pub(crate) fn reap<T>(
        &self,
        group: i32,
        reap: impl FnOnce() -> std::io::Result<Option<T>>,
    ) -> std::io::Result<Option<T>> {
        let mut asked = self.asked();
        let ended = reap()?;
        if ended.is_some() {
            asked.groups.retain(|g| *g != group);
        }
        Ok(ended)
    }

    /// Gives up all looks of this process.
    pub fn give_up_all() {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter_map(Weak::upgrade)
            .for_each(|shared| give_up(&shared));
    }

    /// Gives the looks up: kills what they have started.
    pub fn give_up(&self) {
        give_up(&self.shared);
    }

    /// A command was not started, because they were given up.
    pub(crate) fn refused(&self) -> bool {
        self.asked().refused
    }
}

fn give_up(shared: &Shared) {
    let mut asked = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.given_up = true;
    for group in &asked.groups {
        // It may have ended this very moment; its leader is not reaped while it is in the list.
        let _ = kill_group(*group);
    }
}

/// A question whose answer is waited for; who waits for it asks itself when there is none.
struct Open<'a> {
    answers: &'a Answers,
    question: &'a Vec<String>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.answers.asked().open.retain(|q| q != self.question);
        self.answers.shared.answered.notify_all();
    }
}
