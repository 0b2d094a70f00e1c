//! `file.backup`: always this step's own copy, and nothing lost for it.

use super::{World, action, problem, tells_nothing, whole};
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

#[test]
fn a_copy_that_was_there_before_is_never_taken_for_this_steps() {
    let mut world = World::new();
    world.write("file", BYTES);
    world.run(&backup(&world, Some("copy")));
    // `run` demands that the probe before the first attempt says: nothing.
    world.cx.run = "run-2".into();
    world.run(&backup(&world, Some("copy")));

    world.run(&backup(&world, None));
    world.cx.run = "run-3".into();
    world.run(&backup(&world, None));
    let backups = std::fs::read_dir(world.path("state/undo")).unwrap().count();
    assert_eq!(backups, 2, "each run has its own");
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
    world.refuses(&action, "already exists with other content");
    assert_eq!(world.probe(&action, &past), Answer::Unclear);
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("not touched"), "{why}");
    assert_eq!(
        std::fs::read(world.path("copy")).unwrap(),
        b"something else"
    );
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
