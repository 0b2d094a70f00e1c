//! Proves that bytes stay bytes: what is compared, matched and started again is what is there, whether it is text or not; and
//! that sources make text out of what may be none only to show it.

use crate::common::World;
use crate::tidy::{code, root, rust_files, text};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A process of no manager, whose command line holds a word that is no text in any encoding that is known.
struct Odd(Child);

impl Odd {
    /// `word` stands behind the script, which serves until TERM.
    fn start(world: &World, word: &[u8]) -> Self {
        let script = world.write(
            "serve.sh",
            "trap 'exit 0' TERM; while :; do sleep 0.02; done",
        );
        let child = Command::new("/bin/sh")
            .arg(script)
            .arg(OsStr::from_bytes(word))
            .current_dir(world.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        crate::common::eventually("it executes the script", || {
            let shown = std::fs::read(format!("/proc/{}/cmdline", child.id()));
            shown.is_ok_and(|line| line.windows(word.len()).any(|part| part == word))
        });
        Self(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn plan(world: &World, steps: &str) {
    let head = "upledger: 1\nname: bytes\nphases:\n  - phase: all\n    steps:\n";
    world.write("plan.yaml", &format!("{head}{steps}"));
}

#[test]
fn a_command_line_that_is_no_text_is_refused_before_the_stop_or_started_by_the_plan() {
    let world = World::new();
    let mut odd = Odd::start(&world, b"--label=caf\xe9 9");
    let by = "match: \"serve.sh --label=caf\"";
    plan(
        &world,
        &format!("      - {{id: end, do: {{service.stop: {{by: {{{by}}}}}}}}}\n"),
    );
    for command in ["plan", "run"] {
        let done = world.upledger(&[command, "plan.yaml"]);
        assert_eq!(done.code, 3, "{done:?}");
        let said = format!("{}{}", done.out, done.err);
        for part in ["bytes that are no UTF-8", "caf\u{fffd}e9 9", "by.start"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(odd.lives(), "nothing was stopped");
    }
    // The plan says how it is started, so that the undo needs no bytes that it cannot have.
    let start = "start: [/bin/sh, \"@/serve.sh\", \"--label=cafe 9\"]";
    plan(
        &world,
        &format!("      - {{id: end, do: {{service.stop: {{by: {{{by}, {start}}}}}}}}}\n"),
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!odd.lives());
    let back = world.rollback();
    assert_eq!(back.code, 5, "{back:?}");
    plan(
        &world,
        &format!("      - {{id: end, do: {{service.stop: {{by: {{{by}}}}}}}}}\n"),
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "the one that the undo started ends: {done:?}");
}

/// Two jobs whose scripts differ in a byte that is no text, and a pattern that means one of them.
#[test]
fn lines_of_a_crontab_that_differ_in_one_byte_are_two() {
    let world = World::new();
    let (one, other) = (b"5 1 * * * /srv/a\xff run\n", b"5 1 * * * /srv/a\xfe run\n");
    let table = [&one[..], &other[..], b"# \xc8\xd5\xd6\xbe\n"].concat();
    std::fs::write(world.path("tab"), &table).expect("written");
    plan(
        &world,
        "      - {id: off, do: {cron.disable: {match: '(?-u)/srv/a\\xff', file: \"@/tab\"}}}\n",
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let now = std::fs::read(world.path("tab")).expect("the table");
    let lines: Vec<&[u8]> = now.split_inclusive(|b| *b == b'\n').collect();
    assert!(
        lines[0].starts_with(b"#upledger:") && lines[0].ends_with(one),
        "{now:?}"
    );
    assert_eq!(
        lines[1..].concat(),
        [&other[..], b"# \xc8\xd5\xd6\xbe\n"].concat()
    );
    assert_eq!(world.rollback().code, 5);
    assert_eq!(std::fs::read(world.path("tab")).expect("the table"), table);
}

/// Where bytes become text with signs in the place of what is none. Everywhere else they are compared as bytes, decoded by
/// their encoding, escaped so that no two read the same, or refused by name.
const SHOWN_ONLY: [(&str, &str); 11] = [
    ("src/encoding.rs", "a line for people"),
    (
        "src/redact.rs",
        "a line for people, of which text was cut out",
    ),
    ("src/plan/problem.rs", "a line of a plan, for people"),
    (
        "src/cli/complete.rs",
        "a script that this program has written",
    ),
    ("src/cli/live.rs", "a line of a screen"),
    ("src/cli/man.rs", "pages that this program has written"),
    (
        "src/cli/words.rs",
        "a default value that this program names",
    ),
    ("src/demo/", "what commands of the demonstration print"),
    ("ledger/src/busy.rs", "the holder of a lock, for people"),
    (
        "ledger/src/memory.rs",
        "a path for people: the name of the file counts",
    ),
    (
        "ledger/src/schema.rs",
        "what differs, for people: what is expected is ASCII",
    ),
];

#[test]
fn bytes_become_text_with_signs_only_to_be_shown() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for path in ["src", "ledger/src", "replay/src"]
        .iter()
        .flat_map(|d| rust_files(d))
    {
        let inside = path.strip_prefix(root()).expect("below the root");
        let inside = inside.to_string_lossy();
        let lossy = |line: &str| {
            ["from_utf8_lossy", "to_string_lossy"]
                .iter()
                .any(|s| line.contains(s))
        };
        for (number, line) in code(&text(&path)).filter(|(_, line)| lossy(line)) {
            match SHOWN_ONLY.iter().find(|(file, _)| inside.starts_with(file)) {
                Some((file, _)) => drop(used.insert(*file)),
                None if inside.contains("/tests") => {}
                None => wrong.push(format!("{inside}:{number}: {}", line.trim())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (file, why) in SHOWN_ONLY {
        assert!(used.contains(file), "{file} is no exception: {why}");
    }
}
