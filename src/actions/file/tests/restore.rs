//! `file.restore`: all of the copy comes back, nobody's work is lost for it, and nothing is written under a process that
//! writes there itself.

use super::{World, action, problem, tells_nothing, whole};
use crate::actions::Do;
use crate::host::files::disk;
use serde_json::json;
use std::process::{Child, Command, Stdio};
use upledger_replay::event::Answer;

const COPY: &[u8] = b"secret \xff\n";
const NOW: &[u8] = b"what the night made of it\n";

fn restore(world: &World) -> Do {
    let settings = json!({"path": world.text("file"), "from": world.text("copy")});
    action("file.restore", settings)
}

fn world() -> World {
    let world = World::new();
    world.write("copy", COPY);
    std::fs::write(world.path("file"), NOW).unwrap();
    world
}

/// A process that has the file open to write, until it is dropped.
struct Writer(Child);

impl Writer {
    fn new(world: &World) -> Self {
        let file = std::fs::File::options()
            .append(true)
            .open(world.path("file"))
            .unwrap();
        let sleep = Command::new("sleep")
            .arg("600")
            .stdout(Stdio::from(file))
            .spawn();
        Self(sleep.unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn bytes_mode_owner_and_time_of_the_copy_come_back_and_the_undo_is_byte_for_byte() {
    for there in [true, false] {
        let world = world();
        let path = world.path("file");
        if !there {
            std::fs::remove_file(&path).unwrap();
        }
        let before = there.then(|| whole(&path));
        let past = world.run(&restore(&world));
        assert_eq!(whole(&path), whole(&world.path("copy")));
        tells_nothing(&past, COPY);
        tells_nothing(&past, NOW);
        assert_eq!(past.output.as_ref().unwrap()["path"], world.text("file"));

        for _ in 0..2 {
            world.undo(&restore(&world), &past).unwrap();
            assert_eq!(world.undone(&restore(&world), &past), Answer::Done);
            match &before {
                Some(before) => assert_eq!(whole(&path), *before),
                None => assert!(!path.exists()),
            }
        }
    }
}

/// What was like the copy before is no work of this step.
#[test]
fn a_file_that_is_like_the_copy_is_restored_all_the_same() {
    let world = world();
    world.write("file", COPY);
    let past = world.run(&restore(&world));
    assert_eq!(world.probe(&restore(&world), &past), Answer::Done);
}

#[test]
fn a_file_of_any_size_is_kept_and_comes_back() {
    let world = world();
    let path = world.path("file");
    let large = std::fs::File::create(&path).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    drop(large);
    let past = world.run(&restore(&world));
    assert_eq!(std::fs::read(&path).unwrap(), COPY);
    world.undo(&restore(&world), &past).unwrap();
    assert_eq!(path.metadata().unwrap().len(), (64 << 20) + 1);
    std::fs::write(world.kept(&past), "damaged").unwrap();
    world.perform(&restore(&world), &past).unwrap();
    let why = world.undo(&restore(&world), &past).unwrap_err().to_string();
    assert!(why.contains("damaged"), "{why}");
    assert_eq!(std::fs::read(&path).unwrap(), COPY);
}

#[test]
fn who_writes_to_the_file_is_named_and_nothing_is_written_under_it() {
    let world = world();
    let action = restore(&world);
    let past = world.observe(&action);
    let writer = Writer::new(&world);
    let pid = writer.0.id().to_string();
    world.refuses(&action, &pid);
    world.refuses(&action, "has it open for writing");
    // It came between the look and the step.
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(
        why.contains(&pid) && why.contains("stop what uses it"),
        "{why}"
    );
    assert_eq!(std::fs::read(world.path("file")).unwrap(), NOW);
    drop(writer);
    world.perform(&action, &past).unwrap();

    let writer = Writer::new(&world);
    let why = world.undo(&action, &past).unwrap_err().to_string();
    assert!(why.contains(&writer.0.id().to_string()), "{why}");
    assert_eq!(std::fs::read(world.path("file")).unwrap(), COPY);
    let now = action.kind_of().consequences(&world.cx, &past).unwrap();
    assert_eq!(now.lost, Some(Vec::new()));
    assert!(now.refuses[0].contains("open for writing"), "{now:?}");
    drop(writer);
    world.undo(&action, &past).unwrap();
    assert_eq!(std::fs::read(world.path("file")).unwrap(), NOW);
}

#[test]
fn what_somebody_changed_is_not_touched_in_either_direction() {
    let world = world();
    let action = restore(&world);
    let past = world.observe(&action);
    std::fs::write(world.path("file"), "of somebody else").unwrap();
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("changed since it was inspected"), "{why}");
    assert_eq!(world.probe(&action, &past), Answer::Unclear);

    std::fs::write(world.path("file"), NOW).unwrap();
    let past = world.run(&action);
    std::fs::write(world.path("file"), "of somebody else").unwrap();
    let why = world.undo(&action, &past).unwrap_err().to_string();
    assert!(why.contains("edited since"), "{why}");
    assert_eq!(world.undone(&action, &past), Answer::Unclear);
    let now = action.kind_of().consequences(&world.cx, &past).unwrap();
    assert!(now.refuses[0].contains("edited since"), "{now:?}");
    assert_eq!(
        std::fs::read(world.path("file")).unwrap(),
        b"of somebody else"
    );
}

#[test]
fn a_copy_that_changes_meanwhile_gives_nothing() {
    let world = world();
    let action = restore(&world);
    let past = world.observe(&action);
    std::fs::write(world.path("copy"), "another").unwrap();
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("changed since it was read"), "{why}");
    assert_eq!(std::fs::read(world.path("file")).unwrap(), NOW);
    assert_eq!(world.names(), ["copy", "file"]);
}

#[test]
fn death_before_the_rename_is_nothing() {
    let world = world();
    let action = restore(&world);
    let past = world.observe(&action);
    let temp = disk::temporary(&world.cx, &world.path("file"));
    std::fs::write(&temp, "half").unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Nothing);
    assert_eq!(world.undone(&action, &past), Answer::Nothing, "a leftover");
    world.perform(&action, &past).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Done);
    assert_eq!(world.names(), ["copy", "file"]);
}

#[test]
fn what_cannot_be_restored_is_refused() {
    let world = world();
    std::fs::hard_link(world.path("file"), world.path("other")).unwrap();
    world.refuses(&restore(&world), "2 hard links");
    std::fs::remove_file(world.path("other")).unwrap();
    std::os::unix::fs::symlink("copy", world.path("link")).unwrap();
    let of_itself = json!({"path": world.text("link"), "from": world.text("copy")});
    world.refuses(&action("file.restore", of_itself), "the file itself");
    std::fs::remove_file(world.path("copy")).unwrap();
    world.refuses(&restore(&world), "there is no file");
    let kind = "file.restore";
    problem(
        kind,
        json!({"path": "x", "from": "/y"}),
        "`path` is not an absolute path",
    );
    problem(
        kind,
        json!({"path": "/x", "from": "y"}),
        "`from` is not an absolute path",
    );
    problem(kind, json!({"path": "/x", "from": "/x"}), "the file itself");
}
