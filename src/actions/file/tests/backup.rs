//! `file.backup`: always this step's own copy, and nothing lost for it.

use super::{World, action, problem, tells_nothing, whole};
use crate::action::{Context, Direction};
use crate::actions::Do;
use crate::host::files::disk;
use serde_json::json;
use std::path::PathBuf;
use upledger_replay::event::Answer;

const BYTES: &[u8] = b"secret \xff\n";

fn backup(world: &World, to: Option<&str>) -> Do {
    let mut settings = json!({"path": world.text("file")});
    if let Some(to) = to {
        settings["to"] = json!(world.text(to));
    }
    action("file.backup", settings)
}

#[test]
fn a_copy_has_bytes_mode_owner_and_time_and_the_state_directory_is_private() {
    for to in [None, Some("copy")] {
        let world = World::new();
        let path = world.write("file", BYTES);
        let past = world.run(&backup(&world, to));
        let output = past.output.as_ref().unwrap();
        let copy = PathBuf::from(output["path"].as_str().unwrap());
        assert_eq!(whole(&copy), whole(&path));
        assert_eq!(output["bytes"], BYTES.len());
        tells_nothing(&past, BYTES);
        if to.is_none() {
            assert_eq!(copy.parent().unwrap(), world.path("state/undo"));
            assert_eq!(whole_mode(&world.path("state/undo")), 0o700);
        }
    }
}

fn whole_mode(dir: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    dir.metadata().unwrap().permissions().mode() & 0o777
}

/// The second night neither overwrites the first one's copy nor refuses for it.
#[test]
fn each_run_and_each_step_has_a_copy_of_its_own() {
    let mut world = World::new();
    let path = world.write("file", BYTES);
    world.run(&backup(&world, Some("copy")));
    let first = whole(&world.path("copy"));
    world.cx.run = "run-2".into();
    for (step, bytes) in [("step", BYTES), ("again", &b"of the second night"[..])] {
        std::fs::write(&path, bytes).unwrap();
        world.cx.step = step.into();
        let past = world.run(&backup(&world, Some("copy")));
        let own = format!("copy.run-2.{step}");
        let output = past.output.as_ref().unwrap();
        assert_eq!(output["path"], world.text(&own));
        assert_eq!(std::fs::read(world.path(&own)).unwrap(), bytes);
        let shown = world.preview(&backup(&world, Some("copy")), Direction::Do, &past);
        assert!(shown.findings[0].contains(&own), "{shown:?}");
        assert!(shown.commands[0].contains(&own), "{shown:?}");
    }
    assert_eq!(whole(&world.path("copy")), first, "it is as it was");
    // A preview knows no run yet, and says so.
    let cx = Context {
        inert: true,
        ..world.cx.clone()
    };
    let seen = backup(&world, Some("copy")).kind_of().observe(&cx).unwrap();
    assert_eq!(seen.before["copy"], world.text("copy.${run}.again"));

    world.cx.step = "step".into();
    for run in ["run-2", "run-3"] {
        world.cx.run = run.into();
        let past = world.run(&backup(&world, None));
        let copy = past.output.as_ref().unwrap()["path"].clone();
        let name = format!("state/undo/backup-{run}.step.file");
        assert_eq!(copy, world.text(&name));
    }
}

/// Without being asked nothing that is recorded tells what the file held.
#[test]
fn the_digest_is_a_fact_where_the_plan_asks_for_it() {
    let world = World::new();
    world.write("file", BYTES);
    let asked = action(
        "file.backup",
        json!({"path": world.text("file"), "sha256": true}),
    );
    let past = world.run(&asked);
    let output = past.output.unwrap();
    assert_eq!(output["sha256"], disk::digest(BYTES));
}

#[test]
fn a_second_attempt_finds_the_first_ones_copy() {
    let world = World::new();
    world.write("file", BYTES);
    let action = backup(&world, None);
    let past = world.run(&action);
    assert_eq!(world.probe(&action, &past), Answer::Done);
    world.perform(&action, &past).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Done);
}

#[test]
fn death_before_the_rename_is_nothing() {
    let world = World::new();
    world.write("file", BYTES);
    let action = backup(&world, Some("copy"));
    let past = world.observe(&action);
    let temp = disk::temporary(&world.cx, &world.path("copy"));
    std::fs::write(temp, "half").unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Nothing);
    world.perform(&action, &past).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Done);
    assert_eq!(world.names(), ["copy", "file"]);
}

#[test]
fn a_backup_replaces_nothing() {
    let world = World::new();
    world.write("file", BYTES);
    let action = backup(&world, Some("copy"));
    let past = world.observe(&action);
    std::fs::write(world.path("copy"), "something else").unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Unclear);
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("not touched"), "{why}");
    // The name of this run is somebody's, too.
    std::fs::write(world.path("copy.run-1.step"), "something else").unwrap();
    world.refuses(&action, "a backup does not overwrite");
    for there in ["copy", "copy.run-1.step"] {
        let bytes = std::fs::read(world.path(there)).unwrap();
        assert_eq!(bytes, b"something else");
    }
}

#[test]
fn a_file_that_changes_meanwhile_gives_no_copy() {
    let world = World::new();
    let path = world.write("file", BYTES);
    let action = backup(&world, Some("copy"));
    let past = world.observe(&action);
    std::fs::write(&path, "changed").unwrap();
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("changed since it was read"), "{why}");
    assert_eq!(world.names(), ["file"]);
}

#[test]
fn a_damaged_copy_is_no_evidence() {
    let world = World::new();
    world.write("file", BYTES);
    let action = backup(&world, Some("copy"));
    let past = world.run(&action);
    std::fs::write(world.path("copy"), "damaged").unwrap();
    let proof = action.kind_of().verify(&world.cx, &past).unwrap();
    assert_eq!(proof.answer, Answer::Unclear);
}

#[test]
fn through_a_link_of_somebody_else_nothing_is_copied() {
    use std::os::unix::fs::{lchown, symlink};
    let world = World::new();
    world.write("file", BYTES);
    std::fs::create_dir(world.path("there")).unwrap();
    symlink("there", world.path("way")).unwrap();
    let action = backup(&world, Some("way/copy"));
    let past = world.observe(&action);
    lchown(world.path("way"), Some(65534), Some(65534)).expect("as root");
    world.refuses(&action, "a link owned by user 65534");
    // Seen before, and theirs by now: the directory that it led to has become their link.
    std::fs::rename(world.path("there"), world.path("moved")).unwrap();
    symlink("moved", world.path("there")).unwrap();
    lchown(world.path("there"), Some(65534), Some(65534)).expect("as root");
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("a link owned by user 65534"), "{why}");
    assert_eq!(std::fs::read_dir(world.path("moved")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let world = World::new();
    world.refuses(&backup(&world, None), "there is no file");
    std::fs::create_dir(world.path("file")).unwrap();
    world.refuses(&backup(&world, None), "is a directory");
    let kind = "file.backup";
    problem(kind, json!({"path": "x"}), "`path` is not an absolute path");
    problem(
        kind,
        json!({"path": "/x", "to": "y"}),
        "`to` is not an absolute path",
    );
    problem(kind, json!({"path": "/x", "to": "/x"}), "the file itself");
}
