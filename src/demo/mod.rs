//! The demonstration: a real upgrade of a small web shop, in a directory of its own, by the same commands that a person
//! would type.
//!
//! Everything in it is real: a git repository with two releases, an SQLite database, a process on a port, a migration
//! that may not run twice. This module builds the place, starts the program's own commands as children, and checks from
//! outside, by HTTP and by the migration's journal, that each story ends as promised. It knows nothing of ledgers.

mod shop;

use crate::report::paint::{Tone, plain};
use crate::report::{clip, pad, rows, safe};
use crate::text::{demo as text, lang, screen, verify};
use shop::{Error, Shop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What happens to the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Nothing: it goes through.
    Plain,
    /// The runner is killed with SIGKILL in the middle of the migration, and the run is taken over.
    Kill,
    /// The new release is broken, and the run is rolled back.
    Fail,
}

/// Where everything is afterwards.
#[derive(Debug)]
pub struct Summary {
    /// The demonstration's directory.
    pub dir: PathBuf,
    /// The state directory in it.
    pub state: PathBuf,
    /// The memory of heads in it.
    pub memory: PathBuf,
    /// What was promised and seen, in lines.
    pub seen: Vec<String>,
    /// The timeline of the upgrade, as a page.
    pub timeline: PathBuf,
    /// Its compliance report, as a page.
    pub report: PathBuf,
}

/// Why the demonstration did not end as promised.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The shop.
    #[error(transparent)]
    Shop(#[from] Error),
    /// A promise was not kept, or a command of ours ended otherwise.
    #[error("{0}")]
    Broken(String),
}

/// The verifier that auditors use, as `upledger verifier` prints it.
const VERIFIER: &str = "verify.py";

/// The pages of the upgrade.
const TIMELINE: &str = "timeline.html";
const REPORT: &str = "report.html";

struct Stage<'a> {
    shop: Shop,
    program: PathBuf,
    show: &'a mut dyn FnMut(&str),
    seen: Vec<String>,
    interrupted: Arc<AtomicBool>,
}

/// Columns of a line of the demonstration: it is to be read at a glance, and each command shows all of it.
const WIDTH: usize = 80;
/// Columns of the time before the verb of an event, and of the verb.
const TIME: usize = 10;
const VERB: usize = 11;

/// How much of what a command prints is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Its outcomes and its questions; not what steps print, nor that they start.
    Outcomes,
    /// The same, and how far a step is.
    Progress,
    /// Its verdict alone.
    Verdict,
}

impl Shown {
    /// The line, where it is shown; `printed` is the last line of the step's output.
    fn line(self, line: &str, printed: &mut Option<String>) -> Option<String> {
        let bare = plain(line);
        let verb = bare.get(TIME..).unwrap_or_default();
        let starts = [screen::start(), screen::undo()];
        let starts = starts.iter().any(|word| verb.starts_with(&pad(word, VERB)));
        let head = bare.starts_with(screen::ledger_head("", "").trim());
        let output = bare
            .trim_start()
            .strip_prefix("| ")
            .filter(|_| bare.starts_with(' '));
        if let Some(output) = output {
            *printed = Some(output.to_owned());
        } else if starts {
            *printed = None;
        }
        let counts = output.is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit()));
        let shown = match self {
            Self::Verdict => bare.starts_with(&verdict()),
            Self::Outcomes => !starts && output.is_none() && !head,
            Self::Progress => !starts && !head && (output.is_none() || counts),
        };
        if !shown || bare.is_empty() {
            return None;
        }
        // What the outcome rests on was printed before it, and is not shown.
        let words = verb.split("  ").filter(|words| !words.is_empty());
        let done = verb.starts_with(&pad(&screen::done(), VERB));
        let basis = printed.take_if(|_| done && words.count() < 4);
        let line = basis.map_or_else(|| line.to_owned(), |seen| format!("{line}  {seen}"));
        Some(clip(&line, WIDTH))
    }
}

/// What the verdict on a sound ledger begins with.
fn verdict() -> String {
    let holds = verify::holds(0);
    let end = holds.find([':', '：']).unwrap_or(holds.len());
    holds[..end].to_owned()
}

/// Looks for a shop that a step starts after the demonstration was interrupted.
const LATE: u32 = 25;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(200);

/// Plays a story. `say` gets every line as it comes.
///
/// # Errors
/// [`DemoError`] when anything is not as promised.
pub fn play(story: Story, dir: PathBuf, show: &mut dyn FnMut(&str)) -> Result<Summary, DemoError> {
    let program = std::env::current_exe().map_err(|e| Error::io("cannot find this program", &e))?;
    // Handled, not deadly: whoever interrupts a demonstration does not want its shop to live on. The commands that it
    // runs hear Ctrl-C by themselves and end.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|e| Error::io("cannot listen for signals", &e))?;
    }
    show(&text::title());
    let place = dir.display().to_string();
    let shop = Shop::build(dir, story == Story::Fail)?;
    let [old, new] = shop.tags();
    for line in rows(&[
        (text::directory(), place),
        (text::releases(), text::tags(old, new)),
    ]) {
        show(&line);
    }
    let mut stage = Stage {
        shop,
        program,
        show,
        seen: Vec::new(),
        interrupted,
    };
    let played = stage.play(story);
    stage.shop.close();
    if played.is_err() {
        // A step that was under way goes on without its runner and may still start the shop.
        for _ in 0..LATE {
            std::thread::sleep(PAUSE);
            stage.shop.close();
        }
    }
    played?;
    (stage.show)(&text::stopped());
    Ok(Summary {
        state: stage.shop.path("state"),
        memory: stage.shop.path("memory"),
        timeline: stage.shop.path(TIMELINE),
        report: stage.shop.path(REPORT),
        dir: stage.shop.dir,
        seen: stage.seen,
    })
}

impl Stage<'_> {
    fn play(&mut self, story: Story) -> Result<(), DemoError> {
        self.upledger(&["run", "install.yaml", "--quiet"], 0)?;
        let before = self.ask(&text::before())?;
        match story {
            Story::Plain => self.upledger(&["run", "upgrade.yaml"], 0)?,
            Story::Kill => self.kill()?,
            Story::Fail => {
                self.upledger(&["run", "upgrade.yaml"], 1)?;
                self.upledger(&["rollback", "--reason", "the new release is broken"], 5)?;
            }
        }
        let when = if story == Story::Fail {
            text::back()
        } else {
            text::after()
        };
        let after = self.ask(&when)?;
        let starts = self.shop.migration_starts()?;
        self.promise(starts == 1, &text::migration_began_once())?;
        if story == Story::Fail {
            self.promise(after == before, &text::old_answers())?;
        } else {
            let new = after
                .iter()
                .any(|a| a.contains(r#""release": "2.0""#) && a.contains(r#""health": "ok""#));
            self.promise(new, &text::new_answers())?;
        }
        self.verify_ledger()?;
        // What they write is named at the end.
        self.silently(&["timeline", "--out", TIMELINE])?;
        self.silently(&["report", "--out", REPORT])
    }

    fn promise(&mut self, kept: bool, what: &str) -> Result<(), DemoError> {
        if !kept {
            return Err(DemoError::Broken(text::not_as_promised(what)));
        }
        self.seen.push(what.into());
        Ok(())
    }

    /// What the shop answers, to be compared.
    fn ask(&mut self, when: &str) -> Result<Vec<String>, DemoError> {
        let mut answers = Vec::new();
        for path in ["/orders/7", "/health"] {
            let answer = self.shop.get(path)?;
            let line = format!("{}  GET {path:<9}  {}", pad(when, 11), safe(&answer));
            (self.show)(&clip(&line, WIDTH));
            answers.push(answer);
        }
        (self.show)("");
        Ok(answers)
    }

    fn start(&mut self, args: &[&str]) -> Result<Child, DemoError> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Err(DemoError::Broken(text::interrupted()));
        }
        let shown: Vec<String> = args
            .iter()
            .map(|a| {
                if a.contains(' ') {
                    format!("'{a}'")
                } else {
                    (*a).to_owned()
                }
            })
            .collect();
        (self.show)(&format!("$ upledger {}", shown.join(" ")));
        self.spawn(args)
    }

    fn spawn(&self, args: &[&str]) -> Result<Child, DemoError> {
        let child = Command::new(&self.program)
            .args(args)
            // Whoever shows the lines takes them off again where none are wanted.
            .args(["--color", "always"])
            .current_dir(&self.shop.dir)
            .env("UPLEDGER_LANG", lang().code())
            .env("UPLEDGER_STATE", self.shop.path("state"))
            .env("UPLEDGER_MEMORY", self.shop.path("memory"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Ok(child.map_err(|e| Error::io("cannot start this program", &e))?)
    }

    /// Runs one of our commands and shows its outcomes.
    fn upledger(&mut self, args: &[&str], expected: i32) -> Result<(), DemoError> {
        self.finish(args, expected, Shown::Outcomes)?;
        (self.show)("");
        Ok(())
    }

    /// Runs one of our commands that ends well, and shows nothing.
    fn silently(&self, args: &[&str]) -> Result<(), DemoError> {
        let output = self.spawn(args)?.wait_with_output();
        let output = output.map_err(|e| Error::io("cannot wait for this program", &e))?;
        ended(args, 0, output.status)
    }

    fn finish(&mut self, args: &[&str], expected: i32, shown: Shown) -> Result<(), DemoError> {
        let mut child = self.start(args)?;
        // Errors are few and short: they fit into the pipe until the end.
        if let Some(stdout) = child.stdout.take() {
            let mut printed = None;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                shown
                    .line(&line, &mut printed)
                    .iter()
                    .for_each(|line| (self.show)(line));
            }
        }
        let output = child
            .wait_with_output()
            .map_err(|e| Error::io("cannot wait for this program", &e))?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            (self.show)(line);
        }
        ended(args, expected, output.status)
    }

    /// The runner dies by SIGKILL when the migration has told of its first thousand orders; then the run is taken over.
    fn kill(&mut self) -> Result<(), DemoError> {
        let mut child = self.start(&["run", "upgrade.yaml"])?;
        let (mut killed, mut printed) = (false, None);
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let shown = Shown::Progress.line(&line, &mut printed);
                shown.iter().for_each(|line| (self.show)(line));
                if line.contains("| 1000 of ") {
                    killed = child.kill().is_ok();
                    break;
                }
            }
        }
        let status = child
            .wait()
            .map_err(|e| Error::io("cannot wait for this program", &e))?;
        (self.show)(&text::killed(child.id()));
        (self.show)("");
        self.promise(killed && status.code().is_none(), &text::runner_killed())?;
        self.upledger(&["resume"], 0)
    }

    /// Both verifiers: ours, and the script that an auditor runs.
    fn verify_ledger(&mut self) -> Result<(), DemoError> {
        let script = Command::new(&self.program)
            .arg("verifier")
            .output()
            .map_err(|e| Error::io("cannot start this program", &e))?;
        self.shop.write(VERIFIER, &script.stdout)?;
        self.finish(&["verify"], 0, Shown::Verdict)?;
        (self.show)("$ python3 verify.py state/ledger.db");
        let lines = self.shop.python(&[VERIFIER, "state/ledger.db"])?;
        let verdict = lines.lines().find_map(|line| line.strip_prefix("VERDICT"));
        let verdict = verdict.and_then(|words| words.split(';').next());
        let verdict = verdict.ok_or_else(|| DemoError::Broken(text::not_as_promised(VERIFIER)))?;
        (self.show)(&Tone::Good.lead(verdict.trim()));
        (self.show)("");
        self.seen.push(text::both_accept());
        Ok(())
    }
}

/// Whether a command has ended as expected.
fn ended(args: &[&str], expected: i32, status: ExitStatus) -> Result<(), DemoError> {
    if status.code() == Some(expected) {
        return Ok(());
    }
    let code = status
        .code()
        .map_or_else(text::by_signal, |c| c.to_string());
    let args = args.join(" ");
    Err(DemoError::Broken(text::ended_otherwise(
        args, code, expected,
    )))
}
