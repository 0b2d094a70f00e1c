//! On a real terminal: the moving part of the screen, questions, Ctrl-C once and twice, resizing, 80 columns, dumb
//! terminals and readers that leave.

use crate::common::{UPLEDGER, World, eventually};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A program on a terminal of its own, and what the terminal shows.
struct Terminal {
    keys: File,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    /// Ends when nobody has the other side open any more, with all read that was written there.
    reader: JoinHandle<()>,
}

fn size(rows: u16, cols: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn cells(n: u16) -> std::num::NonZero<u16> {
    n.try_into().expect("a terminal has cells")
}

impl Terminal {
    fn start(world: &World, term: &str, args: &[&str]) -> Self {
        Self::start_with(world, term, args, None)
    }

    fn start_with(
        world: &World,
        term: &str,
        args: &[&str],
        variable: Option<(&str, &str)>,
    ) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        tcsetwinsize(&master, size(24, 80)).expect("sized");
        let name = ptsname(&master, Vec::new())
            .expect("a name")
            .into_string()
            .expect("text");
        let slave = || {
            File::options()
                .read(true)
                .write(true)
                .open(&name)
                .expect("the other side")
        };
        let base = world.command(args);
        // A session of its own on this terminal, so that Ctrl-C is a signal.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", UPLEDGER])
            .args(args)
            .current_dir(base.get_current_dir().expect("a directory"))
            .envs(base.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env_remove("NO_COLOR")
            .envs(variable)
            .env("TERM", term)
            .stdin(Stdio::from(slave()))
            .stdout(Stdio::from(slave()))
            .stderr(Stdio::from(slave()))
            .spawn()
            .expect("setsid; install it with: apt-get install -y util-linux");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 500)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let keys = File::from(master);
        let mut reads = keys.try_clone().expect("a second handle");
        let (shown, bytes) = (Arc::clone(&screen), Arc::clone(&raw));
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // The other side is closed: EIO.
            while let Ok(n @ 1..) = reads.read(&mut chunk) {
                shown.lock().expect("unpoisoned").process(&chunk[..n]);
                bytes
                    .lock()
                    .expect("unpoisoned")
                    .extend_from_slice(&chunk[..n]);
            }
        });
        Self {
            keys,
            child,
            screen,
            raw,
            reader,
        }
    }

    fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("unpoisoned");
        let (_, cols) = screen.screen().size();
        screen
            .screen()
            .rows(0, cols.get())
            .map(|r| r.trim_end().to_owned())
            .collect()
    }

    fn shows(&self, text: &str) -> bool {
        self.rows().iter().any(|r| r.contains(text))
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("pressed");
    }

    fn resize(&self, rows: u16, cols: u16) {
        tcsetwinsize(self.keys.as_fd(), size(rows, cols)).expect("sized");
        self.screen
            .lock()
            .expect("unpoisoned")
            .screen_mut()
            .set_size(cells(rows), cells(cols));
    }

    fn ends(&mut self) -> i32 {
        let status = self.child.wait().expect("it ends");
        eventually("all that was written is read", || self.reader.is_finished());
        status.code().unwrap_or(-1)
    }

    fn written(&self) -> usize {
        self.raw.lock().expect("unpoisoned").len()
    }

    /// What a terminal of this size shows of all that was written from there on.
    fn drawn(&self, from: usize, rows: u16, cols: u16) -> Vec<String> {
        let mut screen = vt100::Parser::new(cells(rows), cells(cols), 0);
        screen.process(&self.raw.lock().expect("unpoisoned")[from..]);
        let rows = screen.screen().rows(0, cols);
        rows.map(|r| r.trim_end().to_owned()).collect()
    }
}

const PLAN: &str = r#"
upledger: 1
name: on a terminal
phases:
  - phase: prepare
    steps:
      - {id: first, do: {run: [echo, hello]}, effect: pure}
  - phase: work
    steps:
      - {id: slow, do: {shell: "for i in one two three four five; do echo part $i of a line that is longer than eighty columns, so that it has to be cut off somewhere; done; while [ ! -e @/go ]; do sleep 0.05; done"}, effect: pure}
      - {id: last, do: {run: [test, -e, "@/good"]}, effect: pure}
"#;

fn started(term: &str) -> (World, Terminal) {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    let terminal = Terminal::start(&world, term, &["run", "plan.yaml"]);
    (world, terminal)
}

#[test]
fn the_screen_shows_the_running_step_and_its_last_lines_and_then_only_what_stays() {
    let (world, mut terminal) = started("xterm");
    eventually("the step and its last line are shown", || {
        terminal.shows("2/3  work / slow") && terminal.shows("| part five of a line")
    });
    let rows = terminal.rows();
    assert!(
        !rows.iter().any(|r| r.contains("| part two")),
        "three lines are shown: {rows:#?}"
    );
    assert!(rows.iter().any(|r| r.contains("00:00:0")), "{rows:#?}");
    world.write("go", "");
    assert_eq!(terminal.ends(), 1);
    let rows = terminal.rows();
    assert!(
        !rows
            .iter()
            .any(|r| r.contains("2/3") || r.contains("| part")),
        "{rows:#?}"
    );
    for stays in [
        "start        slow",
        "done         slow",
        "failed       last",
        "last failed:",
        "upledger decide last retry",
        "after deciding: upledger resume",
    ] {
        assert!(rows.iter().any(|r| r.contains(stays)), "{stays}: {rows:#?}");
    }
    let raw = terminal.raw.lock().expect("unpoisoned").clone();
    let text = String::from_utf8_lossy(&raw).into_owned();
    assert!(text.is_ascii(), "no sign has a doubtful width");
    assert!(
        text.contains("\x1b[31mfailed\x1b[0m       last"),
        "{text:?}"
    );
    assert!(text.contains("\x1b[31mlast failed\x1b[0m: "), "{text:?}");
}

/// Colours say nothing that the words do not say; where they are not wanted, nothing of them is left.
#[test]
fn colours_are_for_terminals_that_want_them() {
    let colour = regex::Regex::new("\x1b\\[[0-9;]*m").expect("a pattern");
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("go", "");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let shown = |term: &str, args: &[&str], no_color: bool| {
        let mut terminal = match no_color {
            true => Terminal::start_with(&world, term, args, Some(("NO_COLOR", "1"))),
            false => Terminal::start(&world, term, args),
        };
        assert_eq!(terminal.ends(), 0);
        let raw = terminal.raw.lock().expect("unpoisoned").clone();
        String::from_utf8_lossy(&raw).into_owned()
    };
    for (term, args, no_color, coloured) in [
        ("xterm", &["status"][..], false, true),
        ("xterm", &["runs"], false, true),
        ("xterm", &["status"], true, false),
        ("xterm", &["status", "--color", "always"], true, true),
        ("xterm", &["status", "--color=never"], false, false),
        (
            "xterm",
            &["status", "--json", "--color", "always"],
            false,
            false,
        ),
        ("dumb", &["status"], false, false),
    ] {
        let text = shown(term, args, no_color);
        assert_eq!(
            colour.is_match(&text),
            coloured,
            "{term} {args:?}: {text:?}"
        );
        assert!(text.contains("failed"), "{text:?}");
    }
    // In a pipe: only for whoever asks.
    for (args, coloured) in [
        (&["status"][..], false),
        (&["status", "--color", "always"], true),
    ] {
        let done = world.upledger(args);
        assert_eq!(colour.is_match(&done.out), coloured, "{done:?}");
    }
    let told = world.upledger(&["status", "nothing"]).err;
    assert!(told.starts_with("error: "), "{told:?}");
}

/// A cleaner that names each file leaves room for what stands before and behind it.
#[test]
fn many_lines_that_are_alike_are_folded_while_it_runs_and_when_it_has_failed() {
    let world = World::new();
    let script = "echo no space left on device; for i in $(seq 60); do echo Deleting a/$i.css; done; echo given up; while [ ! -e @/go ]; do sleep 0.05; done; exit 3";
    let plan = PLAN.replace("test, -e, \"@/good\"", "sh, -c, \"SCRIPT\"");
    world.write("plan.yaml", &plan.replace("SCRIPT", script));
    let mut terminal = Terminal::start(&world, "xterm", &["run", "plan.yaml"]);
    eventually("the first step runs", || terminal.shows("2/3  work / slow"));
    world.write("go", "");
    assert_eq!(terminal.ends(), 1);
    let rows = terminal.rows();
    for shown in [
        "  | no space left on device",
        "  | Deleting a/1.css",
        "  | [upledger: 58 more lines like these]",
        "  | Deleting a/60.css",
        "  | given up",
    ] {
        assert!(rows.iter().any(|r| r == shown), "{shown}: {rows:#?}");
    }
    let whole = world.upledger(&["log", "--output", "last"]).out;
    assert_eq!(whole.matches("Deleting").count(), 60, "{whole}");
}

/// Whoever watches is told who executes the run and what can be done from there, and not what the keys of that person do.
#[test]
fn watch_speaks_to_those_who_watch() {
    use rustix::process::{Pid, Signal, kill_process};
    let world = World::new();
    world.write("plan.yaml", PLAN);
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("slow", "running");
    let mut terminal = Terminal::start(&world, "xterm", &["watch"]);
    eventually("it is said who executes the run", || {
        terminal.shows("run by ") && terminal.shows("read-only view")
    });
    eventually("the step is shown", || terminal.shows("2/3  work / slow"));
    let pid = i32::try_from(runner.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a pid"), Signal::INT).expect("it lives");
    eventually("the stop is shown", || terminal.shows("asked for a stop"));
    assert!(!terminal.shows("Ctrl-C again"), "{:#?}", terminal.rows());
    world.write("go", "");
    assert_eq!(terminal.ends(), 4);
    assert_eq!(runner.wait().expect("it ends").code(), Some(4));
}

/// The remedy for an unknown action names them all.
#[test]
fn an_error_is_broken_at_the_width_of_the_terminal() {
    let world = World::new();
    world.write(
        "plan.yaml",
        &PLAN.replace("run: [echo, hello]", "bogus: {from: /a, to: /b}"),
    );
    let mut terminal = Terminal::start(&world, "xterm", &["check", "plan.yaml"]);
    assert_eq!(terminal.ends(), 3);
    let raw = terminal.raw.lock().expect("unpoisoned").clone();
    let text = String::from_utf8_lossy(&raw)
        .replace("\x1b[31m", "")
        .replace("\x1b[0m", "");
    assert!(text.contains("any command can be written"), "{text}");
    for line in text.lines().map(str::trim_end) {
        assert!(line.len() <= 80, "{line}");
    }
    // In a file a line stays one line, so that it is found by its words.
    let told = world.upledger(&["check", "plan.yaml"]).err;
    assert!(told.lines().any(|l| l.len() > 200), "{told}");
}

#[test]
fn ctrl_c_once_stops_after_the_step() {
    let (world, mut terminal) = started("xterm");
    eventually("the step runs", || terminal.shows("2/3  work / slow"));
    terminal.press(b"\x03");
    eventually("the pause is shown", || {
        terminal.shows("interrupted at the terminal")
    });
    world.write("go", "");
    assert_eq!(terminal.ends(), 4);
    assert!(terminal.shows("upledger resume"), "{:#?}", terminal.rows());
    assert_eq!(world.status()["state"], "paused");
}

#[test]
fn ctrl_c_twice_leaves_the_step_running() {
    let (world, mut terminal) = started("xterm");
    eventually("the step runs", || terminal.shows("2/3  work / slow"));
    terminal.press(b"\x03");
    eventually("the pause is shown", || {
        terminal.shows("interrupted at the terminal")
    });
    terminal.press(b"\x03");
    assert_eq!(terminal.ends(), 11);
    assert!(
        terminal.shows("the step keeps running"),
        "{:#?}",
        terminal.rows()
    );
    world.write("go", "");
    world.write("good", "");
    assert_eq!(world.upledger(&["resume"]).code, 0);
}

#[test]
fn a_terminal_that_is_resized_shows_the_same() {
    let (world, mut terminal) = started("xterm");
    eventually("the step and its last line are shown", || {
        terminal.shows("2/3  work / slow") && terminal.shows("| part five of a line")
    });
    for (rows, cols) in [(20, 50), (6, 24), (40, 120)] {
        let before = terminal.written();
        terminal.resize(rows, cols);
        eventually("the step is drawn again, and its lines fit in", || {
            let drawn = terminal.drawn(before, rows, cols);
            let steps = drawn.iter().filter(|r| r.contains("2/3  work / slow"));
            steps.count() == 1 && drawn.iter().any(|r| r.contains("| part three"))
        });
    }
    world.write("good", "");
    world.write("go", "");
    assert_eq!(terminal.ends(), 0);
    assert!(terminal.shows("completed"), "{:#?}", terminal.rows());
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let (world, mut terminal) = started("dumb");
    eventually("the output is shown", || terminal.shows("| part five"));
    world.write("good", "");
    world.write("go", "");
    assert_eq!(terminal.ends(), 0);
    let raw = terminal.raw.lock().expect("unpoisoned").clone();
    assert!(!raw.contains(&0x1b), "nothing moves the cursor");
}

#[test]
fn a_terminal_that_stands_still_stops_no_run() {
    let (world, mut terminal) = started("xterm");
    eventually("the step runs", || terminal.shows("2/3  work / slow"));
    terminal.press(b"\x13");
    world.write("good", "");
    world.write("go", "");
    eventually("the run ends all the same", || {
        world.status()["state"] == "completed"
    });
    terminal.press(b"\x11");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn watch_shows_what_another_drives_and_ends_with_it() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    let mut runner = world.start(&["run", "plan.yaml"]);
    world.await_step("slow", "running");
    let mut terminal = Terminal::start(&world, "xterm", &["watch"]);
    eventually("the step and its last line are shown", || {
        terminal.shows("2/3  work / slow") && terminal.shows("| part five of a line")
    });
    world.write("go", "");
    assert_eq!(terminal.ends(), 1);
    assert!(
        terminal.shows("upledger decide last retry"),
        "{:#?}",
        terminal.rows()
    );
    assert_eq!(runner.wait().expect("it ends").code(), Some(1));
    // In a pipe it prints plain lines and says the same.
    let piped = world.upledger(&["watch"]);
    assert_eq!(piped.code, 1);
    assert!(
        piped.out.contains("upledger decide last retry"),
        "{piped:?}"
    );
}

#[test]
fn a_reader_that_leaves_after_one_line_stops_nothing() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    world.write("go", "");
    world.write("good", "");
    let base = world.command(&[]);
    let status = Command::new("sh")
        .args(["-c", &format!("{UPLEDGER} run plan.yaml | head -1")])
        .current_dir(base.get_current_dir().expect("a directory"))
        .envs(base.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .output()
        .expect("sh");
    assert_eq!(String::from_utf8_lossy(&status.stdout).lines().count(), 1);
    assert!(status.stderr.is_empty(), "{status:?}");
    eventually("the run completes", || {
        world.status()["state"] == "completed"
    });
}

/// Rows that the terminal itself broke would begin anywhere.
#[test]
fn a_preview_is_broken_between_words_below_its_own_column() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    let mut terminal = Terminal::start(&world, "xterm", &["plan", "plan.yaml"]);
    assert_eq!(terminal.ends(), 0);
    let raw = terminal.raw.lock().expect("unpoisoned").clone();
    let text = String::from_utf8_lossy(&raw).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert!(lines.iter().all(|l| l.len() <= 80), "{lines:#?}");
    let first = lines
        .iter()
        .position(|l| l.contains("for i in"))
        .expect("slow");
    let column = lines[first].find("for i in").expect("its command");
    let next = lines[first + 1];
    assert_eq!(next.len() - next.trim_start().len(), column, "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|l| l.contains("3 run; nothing was changed")),
        "{lines:#?}"
    );
}

/// What is printed above a running step is broken by us, too: a terminal would cut it anywhere, and the screen's own
/// count of its rows would be wrong.
#[test]
fn what_stays_above_a_running_step_is_fitted_to_the_terminal() {
    let (world, mut terminal) = started("xterm");
    eventually("the step runs", || terminal.shows("2/3  work / slow"));
    let english = "a remark of quite a number of words ".repeat(4);
    let chinese =
        "执行进程已退出（步骤仍在继续），用命令重新接管；“否则”会丢失《记录》。".repeat(2);
    assert_eq!(world.upledger(&["note", english.trim()]).code, 0);
    assert_eq!(world.upledger(&["note", &chinese]).code, 0);
    eventually("both are shown", || terminal.shows("《记录》。"));
    world.write("good", "");
    world.write("go", "");
    assert_eq!(terminal.ends(), 0);
    let rows = terminal.rows();
    let set_in = " ".repeat(23);
    // What a terminal breaks begins in its first column.
    for part in [
        "number of words a",
        "remark of quite",
        "丢失《记录》",
        "接管；“否则”会",
    ] {
        let found = rows.iter().find(|r| r.contains(part));
        let broken = rows
            .iter()
            .any(|r| r.starts_with(&format!("{set_in}{part}")));
        assert!(broken, "{part}: {found:?} of {rows:#?}");
    }
}

#[test]
fn at_a_terminal_a_completed_run_is_rolled_back_when_its_name_is_typed() {
    let world = World::new();
    world.write("go", "");
    world.write("good", "");
    // One step that a rollback has something to say about.
    let changes = PLAN.replacen("effect: pure", "effect: idempotent, undo: none", 1);
    world.write("plan.yaml", &changes);
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let run = world.status()["run"].as_str().expect("a name").to_owned();
    let events = world.events().len();
    for (typed, code, said) in [
        ("yes\r", 2, "that is not the name"),
        ("\r", 2, "that is not the name"),
        // Ctrl-C is an answer, too, whatever stands in the line.
        ("\x03", 2, "was not confirmed"),
        (&format!("{run}\x03"), 2, "was not confirmed"),
        (&format!("{run}\r"), 5, "rolled back"),
    ] {
        assert_eq!(world.events().len(), events, "nothing was recorded");
        let mut terminal =
            Terminal::start(&world, "xterm", &["rollback", "--reason", "wrong release"]);
        eventually("it asks", || terminal.shows("type its name"));
        terminal.press(typed.as_bytes());
        assert_eq!(terminal.ends(), code, "{typed:?}: {:#?}", terminal.rows());
        assert!(terminal.shows(said), "{typed:?}: {:#?}", terminal.rows());
    }
    assert_eq!(world.status()["state"], "rolled back");
}

#[test]
fn nothing_that_a_look_or_a_step_starts_can_ask_at_the_terminal() {
    let world = World::new();
    let script = "if read answer < /dev/tty; then echo asked; else echo nobody to ask; fi 2>&1";
    let plan = format!(
        "upledger: 1\nname: asks\nphases:\n  - phase: p\n    steps:\n      - {{id: look, do: {{expect.command: {{argv: [sh, -c, \"{script}\"], stdout_contains: nobody}}}}}}\n      - {{id: step, do: {{shell: \"{script} | grep nobody\"}}, effect: pure}}\n"
    );
    world.write("plan.yaml", &plan);
    let mut terminal = Terminal::start(&world, "xterm", &["run", "plan.yaml"]);
    let began = std::time::Instant::now();
    assert_eq!(terminal.ends(), 0, "{:#?}", terminal.rows());
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
}
