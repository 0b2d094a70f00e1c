//! The helper that talks to the workers, in the application's own interpreter (`inspector.py`).
//!
//! Invariants: it runs as the worker runs, with its user, directory and environment, the step's `env` over that; its one
//! import of the application serves all questions; it ends when our end of its input closes, so with us, however we
//! end; each question has a deadline, after which it is killed. Nothing that it says is shown but through a redactor
//! that also knows what looks secret in the worker's environment.

use super::App;
use super::cmdline::Role;
use super::counts;
use super::find::{self, Live};
use crate::action::{Answers, Context, Error};
use crate::attempt::traceback;
use crate::encoding;
use crate::host::exec;
use crate::redact::{Redactor, SHORTEST};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The program of the helper.
const PROGRAM: &str = include_str!("inspector.py");
/// What the interpreter is told: the program comes over its standard input, so that it stands in no command line.
const READ: &str = "import sys, json; exec(json.loads(sys.stdin.readline()))";
/// How long the import of the application and the connection to the broker may take. A large project needs seconds.
const START: Duration = Duration::from_secs(90);
/// How long everybody has to answer, where it is not known who will. A worker at rest needs some milliseconds.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// How long a look waits for a worker that does not answer at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a question may take beside the answers, by a broker that is slow.
const LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end after its input has.
const END: Duration = Duration::from_secs(2);
/// How many of the last lines of noise are kept.
const KEPT: usize = 50;
/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;
/// Variables of every command's environment; those of the worker say more than those of the runner.
const COMMON: [&str; 11] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "TMPDIR",
];
/// Parts of names of variables that hold secrets.
const SECRET: [&str; 6] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];

/// A task, without what it was called with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) name: String,
}

/// A worker that answered the roll call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Present {
    pub(super) node: String,
    pub(super) pid: i32,
    /// The processes of its pool.
    #[serde(default)]
    pub(super) children: Vec<i32>,
}

/// What the workers of one name said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct WorkerReport {
    pub(super) node: String,
    /// Each of them answered each question.
    pub(super) whole: bool,
    /// What they consume.
    pub(super) queues: Vec<String>,
    pub(super) active: u64,
    pub(super) running: Vec<Task>,
    pub(super) reserved: u64,
    pub(super) waiting: Vec<Task>,
    /// Tasks that wait for their time.
    pub(super) scheduled: u64,
    /// Seconds until the first of them.
    pub(super) due_in: Option<f64>,
}

/// What all of them said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Inspection {
    /// The names that Celery gives to workers, by what they were given.
    #[serde(default)]
    pub(super) names: BTreeMap<String, String>,
    pub(super) roll: Vec<Present>,
    pub(super) reports: Vec<WorkerReport>,
}

/// What the broker says of queues.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Lengths {
    pub(super) queues: BTreeMap<String, u64>,
    /// On Redis: messages that are with a worker, of all applications of this database.
    pub(super) unacked: Option<u64>,
    /// On Redis: seconds after which such a message is delivered again.
    pub(super) visibility: Option<f64>,
}

/// What the helper says first.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hello {
    pub(super) celery: String,
    /// The queues of the application's settings.
    #[serde(default)]
    pub(super) queues: Vec<String>,
    pub(super) driver: String,
    /// The broker's address, without its password.
    pub(super) broker: String,
}

/// The helper, alive.
pub(super) struct Inspector {
    child: Child,
    /// A look's helper ends with its look.
    looks: Option<Answers>,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
    redactor: Redactor,
    pub(super) hello: Hello,
}

/// The environment of commands of an application: the worker's, and over it the step's. Of what every command gets
/// the worker's own comes first.
fn environment(cx: &Context, found: &Live) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = found.environ().into_iter().collect();
    for (name, value) in &cx.env {
        let name = OsString::from(name);
        let common = COMMON.iter().any(|c| *c == name);
        if !(common && env.contains_key(&name)) {
            env.insert(name, value.into());
        }
    }
    env
}

/// Finds the run's secrets, and what looks secret in the environment of a worker.
fn redactor(cx: &Context, env: &BTreeMap<OsString, OsString>) -> Result<Redactor, Error> {
    let mut secrets = cx.secrets.clone();
    for (name, value) in env {
        // As what is said of them is escaped, so that they are found in it.
        let name = encoding::escaped(name.as_bytes());
        let value = encoding::escaped(value.as_bytes());
        let upper = name.to_uppercase();
        let secret = SECRET.iter().any(|part| upper.contains(part)) || upper.contains("BROKER");
        let known = secrets.iter().any(|(_, v)| *v == value);
        // A short or plain value, such as `true`, would blacken half of what is said.
        if secret && !known && value.len() >= SHORTEST.max(6) && !value.starts_with('/') {
            secrets.push((name, value));
        }
    }
    Redactor::new(&secrets).map_err(|e| Error::new(e.to_string()))
}

impl Inspector {
    /// Starts the helper beside a worker or beat that lives, and waits until it has reached the broker.
    ///
    /// # Errors
    /// [`Error`] when the application cannot be imported or the broker not be reached.
    pub(super) fn open(cx: &Context, found: &Live, app: &App) -> Result<Self, Error> {
        let words = &found.cmdline;
        let python = app.python.as_ref().unwrap_or(&found.origin.python);
        let cwd = app.cwd.as_ref().unwrap_or(&found.origin.cwd);
        let setup = json!({
            "module": app.module.as_ref().or(words.module.as_ref()),
            "django": words.django && app.module.is_none(),
            "broker": words.broker,
            "loader": words.loader,
            "config": words.config,
        });
        if !Path::new(cwd).is_dir() {
            return Err(Error::new(format!(
                "{} runs in {cwd}, which no longer exists; set the application's directory: `app: {{cwd: ...}}`",
                found.shown()
            )));
        }
        let env = environment(cx, found);
        let redactor = redactor(cx, &env)?;
        let cannot = |e: &std::io::Error| Error::io(format!("cannot start {python}"), e);
        let mut command = Command::new(python);
        command
            .args(["-c", READ, "upledger"])
            .env_clear()
            .envs(&env)
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        if own.0 == 0 && found.user != own {
            // Log files that the application opens must stay those of its user.
            command.gid(found.user.1).uid(found.user.0);
        }
        let child = match &cx.answers {
            Some(answers) => answers.start(|| command.spawn(), exec::group),
            None => command.spawn(),
        };
        let mut child = child.map_err(|e| cannot(&e))?;
        let (tx, answers) = mpsc::channel();
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&errors);
        let read = lines(child.stdout.take(), move |line| tx.send(line).is_ok()).and_then(|()| {
            lines(child.stderr.take(), move |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line);
                // Noise must not stop the application, nor fill our memory.
                if kept.len() > KEPT {
                    kept.pop_front();
                }
                true
            })
        });
        let input = child.stdin.take();
        let mut inspector = Self {
            child,
            looks: cx.answers.clone(),
            input,
            answers,
            errors,
            redactor,
            hello: Hello {
                celery: String::new(),
                queues: Vec::new(),
                driver: String::new(),
                broker: String::new(),
            },
        };
        read.map_err(|e| cannot(&e))?;
        inspector.write(&Value::from(PROGRAM))?;
        let hello = inspector.ask(&setup, START).map_err(|e| {
            Error::new(format!(
                "the application {} cannot inspect its workers: {e}",
                found.origin.shown()
            ))
        })?;
        inspector.hello = hello;
        Ok(inspector)
    }

    fn write(&mut self, what: &Value) -> Result<(), Error> {
        let text = format!("{what}\n");
        let sent = match &mut self.input {
            Some(input) => input
                .write_all(text.as_bytes())
                .and_then(|()| input.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        sent.map_err(|e| {
            let said = self.last();
            Error::io(
                format!("the inspect helper of the application has exited{said}"),
                &e,
            )
        })
    }

    /// The last lines that the application wrote.
    fn last(&self) -> String {
        // It has just ended or failed; what it wrote is on its way.
        std::thread::sleep(Duration::from_millis(100));
        let said: Vec<String> = {
            let said = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().cloned().collect()
        };
        let text = self.redactor.text(&said.join("\n"));
        let lines = traceback::last(text.lines(), 4);
        if lines.is_empty() {
            String::new()
        } else {
            format!("; its output: {}", lines.join(" | "))
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, what: &Value, limit: Duration) -> Result<T, Error> {
        self.write(what)?;
        let line = match self.answers.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                return Err(Error::new(format!(
                    "no answer within {} s: the broker is unreachable, or the application hangs",
                    limit.as_secs()
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let said = self.last();
                return Err(Error::new(format!(
                    "the inspect helper of the application has exited{said}"
                )));
            }
        };
        let value: Value = serde_json::from_str(&line)
            .map_err(|e| Error::io("the inspect helper of the application was interrupted", &e))?;
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            return Err(Error::new(self.redactor.text(error)));
        }
        serde_json::from_value(value)
            .map_err(|e| Error::io("the answer of the application cannot be parsed", &e))
    }

    /// Asks those that live here what they do, by the names that Celery gives them, until all have answered or for `wait`.
    /// One may answer by another name, when its machine was renamed after it started: where `wait` is not shorter than
    /// [`ANSWER`] and somebody was silent, every worker of the application is asked.
    pub(super) fn look(&mut self, live: &[Live], wait: Duration) -> Result<Inspection, Error> {
        let named = self.question(live, &[], true, wait)?;
        if wait < ANSWER || counts::join(live, named.clone()).silent.is_empty() {
            return Ok(named);
        }
        self.question(live, &[], false, ANSWER)
    }

    /// Asks only workers of these names: the answers of all that live end the wait. One that runs a task in its own process
    /// answers between two tasks.
    pub(super) fn look_at(
        &mut self,
        live: &[Live],
        nodes: &[String],
        wait: Duration,
    ) -> Result<Inspection, Error> {
        self.question(live, nodes, false, wait)
    }

    fn question(
        &mut self,
        live: &[Live],
        nodes: &[String],
        named: bool,
        wait: Duration,
    ) -> Result<Inspection, Error> {
        let names: BTreeSet<String> = live.iter().map(Live::written).collect();
        let ask = json!({
            "do": "look", "nodes": nodes, "named": named, "expected": live.len(), "timeout": wait.as_secs_f64(),
            "names": names,
        });
        self.ask(&ask, LIMIT + wait)
    }

    /// Tells a worker to consume a queue, or not to.
    pub(super) fn consume(&mut self, node: &str, queue: &str, add: bool) -> Result<(), Error> {
        let timeout = ANSWER.as_secs_f64();
        let ask =
            json!({"do": "consume", "node": node, "queue": queue, "add": add, "timeout": timeout});
        self.ask::<Value>(&ask, LIMIT).map(|_| ())
    }

    /// How long queues are.
    pub(super) fn lengths(&mut self, queues: &[String]) -> Result<Lengths, Error> {
        self.ask(&json!({"do": "lengths", "queues": queues}), LIMIT)
    }

    fn kill(&mut self) {
        self.input = None;
        // It may have ended already.
        let _ = self.child.kill();
        let group = exec::group(&self.child);
        let mut reap = || self.child.wait().map(Some);
        let _ = match &self.looks {
            Some(looks) => looks.reap(group, reap),
            None => reap(),
        };
    }

    fn ended(&mut self) -> bool {
        let group = exec::group(&self.child);
        let mut reap = || self.child.try_wait();
        let ended = match &self.looks {
            Some(looks) => looks.reap(group, reap),
            None => reap(),
        };
        !matches!(ended, Ok(None))
    }
}

/// What all workers of an application do now. Looks of the same moment share it.
///
/// # Errors
/// [`Error`] when the application cannot be asked.
pub(super) fn inspect(cx: &Context, live: &[Live], app: &App) -> Result<Inspection, Error> {
    let Some(first) = live.first() else {
        return Ok(Inspection::default());
    };
    let ask = || {
        let mut all = find::all()?;
        all.retain(|l| l.cmdline.role == Role::Worker && l.origin.same(&first.origin));
        let mut inspector = Inspector::open(cx, first, app)?;
        let seen = inspector.look(&all, ANSWER)?;
        let counts = counts::join(&all, seen.clone());
        let silent = !counts.whole();
        match counts.addresses(&all).filter(|_| silent) {
            // One that is busy with a task in its own process answers later.
            Some(names) => inspector.look_at(&all, &names, PATIENCE),
            None => Ok(seen),
        }
    };
    let Some(answers) = &cx.answers else {
        return ask();
    };
    let words = &first.cmdline;
    // Which step asks makes no difference.
    let own = |(name, _): &&(String, String)| !name.starts_with("UPLEDGER_");
    let env: Vec<&(String, String)> = cx.env.iter().filter(own).collect();
    let question = format!(
        "{:?}",
        (
            &first.origin,
            app,
            (&words.broker, &words.loader, &words.config),
            first.user,
            env
        )
    );
    answers.shared(vec!["celery inspect".into(), question], |_| true, ask)
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.input = None;
        let until = Instant::now() + END;
        while Instant::now() < until {
            if self.ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

/// Reads lines on a thread of its own, until the end of the pipe or until `take` has had enough.
fn lines(
    pipe: Option<impl Read + Send + 'static>,
    mut take: impl FnMut(String) -> bool + Send + 'static,
) -> std::io::Result<()> {
    let Some(pipe) = pipe else {
        return Ok(());
    };
    std::thread::Builder::new().spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if !take(encoding::escaped(line.trim_ascii_end())) {
                return;
            }
        }
    })?;
    Ok(())
}
