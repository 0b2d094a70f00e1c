//! The demonstration: a real upgrade of a small web shop, in a directory of its own, by the same commands that a person
//! would type.
//!
//! Everything in it is real: a git repository with two releases, an SQLite database, a process on a port, a migration
//! that may not run twice. This module builds the place, starts the program's own commands as children, and checks from
//! outside, by HTTP and by the migration's journal, that each story ends as promised. It knows nothing of ledgers.

mod shop;

use crate::report::{pad, rows, safe};
use crate::text::{demo as text, lang};
use shop::{Error, Shop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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

struct Stage<'a> {
    shop: Shop,
    program: PathBuf,
    show: &'a mut dyn FnMut(&str),
    seen: Vec<String>,
    interrupted: Arc<AtomicBool>,
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
    show("");
    let place = dir.display().to_string();
    let shop = Shop::build(dir, story == Story::Fail)?;
    let [old, new] = shop.tags();
    for line in rows(&[
        (text::directory(), place),
        (text::releases(), text::tags(old, new)),
    ]) {
        show(&line);
    }
    show("");
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
    (stage.show)("");
    Ok(Summary {
        state: stage.shop.path("state"),
        memory: stage.shop.path("memory"),
        dir: stage.shop.dir,
        seen: stage.seen,
    })
}

impl Stage<'_> {
    fn play(&mut self, story: Story) -> Result<(), DemoError> {
        self.upledger(&["run", "install.yaml"], 0)?;
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
        self.verify_ledger()
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
            (self.show)(&format!(
                "{}  GET {path:<9}  {}",
                pad(when, 11),
                safe(&answer)
            ));
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
        let child = Command::new(&self.program)
            .args(args)
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

    /// Runs one of our commands and shows what it prints.
    fn upledger(&mut self, args: &[&str], expected: i32) -> Result<(), DemoError> {
        let child = self.start(args)?;
        self.finish(child, args, expected)
    }

    fn finish(&mut self, mut child: Child, args: &[&str], expected: i32) -> Result<(), DemoError> {
        // Errors are few and short: they fit into the pipe until the end.
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                (self.show)(&line);
            }
        }
        let output = child
            .wait_with_output()
            .map_err(|e| Error::io("cannot wait for this program", &e))?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            (self.show)(line);
        }
        (self.show)("");
        if output.status.code() == Some(expected) {
            return Ok(());
        }
        let code = output
            .status
            .code()
            .map_or_else(text::by_signal, |c| c.to_string());
        Err(DemoError::Broken(text::ended_otherwise(
            args.join(" "),
            code,
            expected,
        )))
    }

    /// The runner dies by SIGKILL when the migration has told of its first thousand orders; then the run is taken over.
    fn kill(&mut self) -> Result<(), DemoError> {
        let mut child = self.start(&["run", "upgrade.yaml"])?;
        let mut killed = false;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                (self.show)(&line);
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
        self.upledger(&["verify"], 0)?;
        (self.show)("$ python3 verify.py state/ledger.db");
        let lines = self.shop.python(&[VERIFIER, "state/ledger.db"])?;
        for line in lines.lines() {
            (self.show)(line);
        }
        (self.show)("");
        self.seen.push(text::both_accept());
        Ok(())
    }
}
