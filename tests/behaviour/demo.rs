//! The demonstration ends as promised, each of its three stories, and leaves a ledger that both verifiers accept.

use crate::common::{Done, World};
use std::path::PathBuf;
use unicode_width::UnicodeWidthStr;

/// Plays a story in a world's directory.
fn play(world: &World, story: &[&str]) -> (Done, PathBuf) {
    let dir = world.path("demo");
    let mut args = vec!["demo", "--dir"];
    let text = dir.display().to_string();
    args.push(&text);
    args.extend(story);
    (world.upledger(&args), dir)
}

fn migrations(dir: &std::path::Path) -> usize {
    let text = std::fs::read_to_string(dir.join("migrations.log")).unwrap_or_default();
    text.matches("migration began").count()
}

/// What is shown is read at a glance: fewer than sixty lines, none wider than a terminal but those with a path of this
/// program, and each verdict in one line.
fn is_short(done: &Done) {
    assert!(done.out.lines().count() < 60, "{}", done.out);
    let paths = |l: &&str| !l.contains('/') || l.starts_with(|c: char| c.is_ascii_digit());
    for line in done.out.lines().filter(paths) {
        assert!(line.width() <= 80, "{line}");
    }
    for verdict in ["SOUND: ", "SOUND: all "] {
        let found = done.out.lines().filter(|l| l.starts_with(verdict));
        assert!(found.count() > 0, "{verdict}: {}", done.out);
    }
    let checked = done.out.lines().filter(|l| l.starts_with("checked  "));
    assert!(checked.count() >= 3, "{}", done.out);
}

/// Nothing of the shop lives any more.
fn is_silent(dir: &std::path::Path) -> bool {
    let name = dir.join("shop").display().to_string();
    !std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .any(|e| {
            std::fs::read(e.path().join("cmdline"))
                .is_ok_and(|c| String::from_utf8_lossy(&c).contains(&name))
        })
}

#[test]
fn the_upgrade_goes_through() {
    let world = World::new();
    let (done, dir) = play(&world, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains(r#""release": "2.0""#), "{}", done.out);
    is_short(&done);
    assert_eq!(migrations(&dir), 1);
    assert!(is_silent(&dir));
    // The world's directory is where it was started.
    assert!(
        !world.path("undo").exists(),
        "it keeps to its own directory"
    );
}

#[test]
fn the_runner_is_killed_and_the_migration_runs_once() {
    let world = World::new();
    let (done, dir) = play(&world, &["--kill"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("adopted"), "{}", done.out);
    is_short(&done);
    assert!(done.out.contains(r#""release": "2.0""#), "{}", done.out);
    assert_eq!(migrations(&dir), 1);
    assert!(is_silent(&dir));
}

#[test]
fn the_broken_release_is_rolled_back_and_the_old_one_answers_with_the_old_data() {
    let world = World::new();
    let (done, dir) = play(&world, &["--fail"]);
    assert_eq!(done.code, 0, "{done:?}");
    is_short(&done);
    let answers = |when: &str| -> Vec<String> {
        done.out
            .lines()
            .filter(|l| l.starts_with(when))
            .map(|l| l[when.len()..].trim().to_owned())
            .collect()
    };
    assert_eq!(answers("before").len(), 2, "{}", done.out);
    assert_eq!(answers("before"), answers("rolled back"));
    assert_eq!(migrations(&dir), 1);
    assert!(is_silent(&dir));
}

#[test]
fn it_speaks_chinese_and_json() {
    let world = World::new();
    let (done, _) = play(&world, &["--lang", "zh"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("新版本正常服务"), "{}", done.out);

    let world = World::new();
    let (done, dir) = play(&world, &["--json"]);
    let value: serde_json::Value = serde_json::from_str(&done.out).expect("one JSON object");
    assert_eq!(value["dir"], dir.display().to_string());
    assert_eq!(value["seen"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let world = World::new();
    std::fs::create_dir(world.path("demo")).expect("made");
    world.write("demo/mine", "keep me");
    let (done, dir) = play(&world, &[]);
    assert_eq!(done.code, 2, "{done:?}");
    assert_eq!(std::fs::read_dir(dir).expect("there").count(), 1);
}

#[test]
fn interrupted_it_leaves_nothing_running() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = World::new();
        let dir = world.path("demo");
        let text = dir.display().to_string();
        let mut demo = world.start(&["demo", "--dir", &text]);
        crate::common::eventually("the shop runs", || !is_silent(&dir));
        let pid = i32::try_from(demo.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        kill_process(pid, signal).expect("it lives");
        assert_eq!(demo.wait().expect("it ends").code(), Some(1), "{signal:?}");
        assert!(is_silent(&dir), "{signal:?}");
    }
}
