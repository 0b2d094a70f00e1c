//! `file.replace`, and with it the machine of `file.line`.

use super::{World, action, problem, tells_nothing, whole};
use crate::action::Direction;
use crate::actions::Do;
use crate::host::files::disk;
use rustix::fs::{FileType, Mode};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use upledger_replay::event::Answer;

const OLD: &[u8] = b"old \xff\0 bytes\r\nno end";
const NEW: &str = "new\n";

fn replace(world: &World) -> Do {
    action(
        "file.replace",
        json!({"path": world.text("file"), "content": NEW}),
    )
}

#[test]
fn a_replaced_file_keeps_owner_and_mode_and_comes_back_whole() {
    let world = World::new();
    let path = world.write("file", OLD);
    let before = whole(&path);
    let action = replace(&world);
    let past = world.run(&action);
    let after = whole(&path);
    assert_eq!(after.0, NEW.as_bytes());
    assert_eq!((after.1, after.2, after.3), (before.1, before.2, before.3));
    assert_eq!(world.names(), ["file"]);

    assert_eq!(world.undone(&action, &past), Answer::Nothing);
    for _ in 0..2 {
        world.undo(&action, &past).unwrap();
        assert_eq!(whole(&path), before);
        assert_eq!(world.undone(&action, &past), Answer::Done);
    }
    assert_eq!(world.names(), ["file"]);
}

#[test]
fn a_second_run_finds_it_done_and_a_second_attempt_changes_nothing() {
    let world = World::new();
    let path = world.write("file", OLD);
    let action = replace(&world);
    let past = world.run(&action);
    let after = whole(&path);
    world.perform(&action, &past).unwrap();
    assert_eq!(whole(&path), after);
    assert_eq!(world.probe(&action, &world.observe(&action)), Answer::Done);
}

#[test]
fn a_file_that_was_not_there_is_made_and_removed_again() {
    let world = World::new();
    let action = replace(&world);
    let past = world.run(&action);
    assert_eq!(whole(&world.path("file")).1, 0o644);
    for _ in 0..2 {
        world.undo(&action, &past).unwrap();
        assert_eq!(world.names(), [""; 0]);
        assert_eq!(world.undone(&action, &past), Answer::Done);
    }
}

#[test]
fn a_mode_alone_is_a_change_too() {
    let world = World::new();
    let path = world.write("file", NEW.as_bytes());
    let before = whole(&path);
    let settings = json!({"path": world.text("file"), "content": NEW, "mode": "4600"});
    let action = action("file.replace", settings);
    let diff = world.diff(&action).unwrap();
    assert_eq!(diff.as_deref(), Some("mode 0640 -> 4600\n"));
    let past = world.run(&action);
    assert_eq!(whole(&path).1, 0o4600);
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
}

#[test]
fn former_content_is_kept_where_only_the_runner_can_read_it() {
    let world = World::new();
    world.write("file", OLD);
    let past = world.observe(&replace(&world));
    tells_nothing(&past, OLD);
    tells_nothing(&past, NEW.as_bytes());
    let kept = world.kept(&past);
    assert_eq!(std::fs::read(&kept).unwrap(), OLD);
    assert_eq!(whole(&kept).1, 0o600);
    let dir = kept.parent().unwrap().metadata().unwrap();
    assert_eq!(dir.permissions().mode() & 0o777, 0o700);
}

#[test]
fn death_before_the_rename_is_nothing_and_leaves_nothing_after_the_next_attempt() {
    for undo in [false, true] {
        let world = World::new();
        let path = world.write("file", OLD);
        let before = whole(&path);
        let action = replace(&world);
        let past = world.observe(&action);
        std::fs::write(disk::temporary(&world.cx, &path), "half").unwrap();
        assert_eq!(world.names().len(), 2);

        assert_eq!(world.probe(&action, &past), Answer::Nothing);
        assert_eq!(world.undone(&action, &past), Answer::Nothing);
        if undo {
            world.undo(&action, &past).unwrap();
            assert_eq!(whole(&path), before);
            assert_eq!(world.undone(&action, &past), Answer::Done);
        } else {
            world.perform(&action, &past).unwrap();
            assert_eq!(world.probe(&action, &past), Answer::Done);
        }
        assert_eq!(world.names(), ["file"]);
    }
}

#[test]
fn death_after_the_rename_is_done_and_is_undone() {
    let world = World::new();
    let path = world.write("file", OLD);
    let before = whole(&path);
    let action = replace(&world);
    let past = world.observe(&action);
    world.perform(&action, &past).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Done);
    // The undo dies before its rename, too.
    std::fs::write(disk::temporary(&world.cx, &path), "half").unwrap();
    assert_eq!(world.undone(&action, &past), Answer::Nothing);
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
    assert_eq!(world.names(), ["file"]);
}

#[test]
fn a_strangers_edit_is_never_overwritten() {
    let world = World::new();
    let path = world.write("file", OLD);
    let action = replace(&world);
    let past = world.observe(&action);
    let edited = |when: &str| {
        std::fs::write(&path, "a stranger's").unwrap();
        let (why, said) = match when {
            "before" => (world.perform(&action, &past), "has been changed since"),
            _ => (world.undo(&action, &past), "has been edited since"),
        };
        let why = why.unwrap_err().to_string();
        assert!(why.contains(said), "{why}");
        assert_eq!(std::fs::read(&path).unwrap(), b"a stranger's");
        assert_eq!(world.probe(&action, &past), Answer::Unclear);
        assert_eq!(world.undone(&action, &past), Answer::Unclear);
    };
    edited("before");
    std::fs::write(&path, OLD).unwrap();
    world.perform(&action, &past).unwrap();
    edited("after");
}

#[test]
fn a_file_that_somebody_removed_is_not_made_again_but_is_put_back() {
    let world = World::new();
    let path = world.write("file", OLD);
    let before = whole(&path);
    let action = replace(&world);
    let past = world.observe(&action);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Unclear);
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("has been removed since"), "{why}");
    assert_eq!(world.undone(&action, &past), Answer::Nothing);
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
}

#[test]
fn a_strangers_file_where_none_was_stays() {
    let world = World::new();
    let action = replace(&world);
    let past = world.observe(&action);
    std::fs::write(world.path("file"), "a stranger's").unwrap();
    assert!(world.perform(&action, &past).is_err());
    assert!(world.undo(&action, &past).is_err());
    assert_eq!(std::fs::read(world.path("file")).unwrap(), b"a stranger's");
}

#[test]
fn a_link_is_written_through_and_stays_a_link() {
    let world = World::new();
    let path = world.write("target", OLD);
    let before = whole(&path);
    std::os::unix::fs::symlink("target", world.path("file")).unwrap();
    let action = replace(&world);
    let past = world.run(&action);
    assert_eq!(whole(&path).0, NEW.as_bytes());
    let link = || std::fs::read_link(world.path("file")).unwrap();
    assert_eq!(link(), Path::new("target"));
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
    assert_eq!(link(), Path::new("target"));
}

#[test]
fn a_link_that_was_turned_elsewhere_is_not_followed() {
    let world = World::new();
    world.write("target", OLD);
    world.write("other", OLD);
    std::os::unix::fs::symlink("target", world.path("file")).unwrap();
    let action = replace(&world);
    let past = world.observe(&action);
    std::fs::remove_file(world.path("file")).unwrap();
    std::os::unix::fs::symlink("other", world.path("file")).unwrap();
    assert_eq!(world.probe(&action, &past), Answer::Unclear);
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("now points to"), "{why}");
    for name in ["target", "other"] {
        assert_eq!(std::fs::read(world.path(name)).unwrap(), OLD);
    }
}

#[test]
fn a_strangers_link_is_not_undone() {
    let link = |to: &str, at: &Path| std::os::unix::fs::symlink(to, at).unwrap();
    // What was there before; whether our own content lies where the stranger's link leads.
    for (former, ours) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = World::new();
        let path = world.path("file");
        if former {
            world.write("file", OLD);
        }
        let action = replace(&world);
        let past = world.run(&action);
        std::fs::remove_file(&path).unwrap();
        link("other", &path);
        if ours {
            world.write("other", NEW.as_bytes());
        }
        let why = world.undo(&action, &past).unwrap_err().to_string();
        let part = if ours { "now points to" } else { "is dangling" };
        assert!(why.contains(part) && why.contains("not touched"), "{why}");
        assert_eq!(world.undone(&action, &past), Answer::Unclear);
        assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("other"));
        assert_eq!(world.path("other").exists(), ours);
    }
}

#[test]
fn the_target_of_a_link_is_put_back_when_somebody_removed_it_and_not_when_the_link_was_turned() {
    let world = World::new();
    let path = world.write("target", OLD);
    let before = whole(&path);
    let file = world.path("file");
    std::os::unix::fs::symlink("target", &file).unwrap();
    let action = replace(&world);
    let past = world.run(&action);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.undone(&action, &past), Answer::Nothing);
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
    assert_eq!(world.undone(&action, &past), Answer::Done);

    world.perform(&action, &past).unwrap();
    world.write("other", OLD);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("other", &file).unwrap();
    assert!(world.undo(&action, &past).is_err());
    assert_eq!(world.undone(&action, &past), Answer::Unclear);
    assert_eq!(whole(&path).0, NEW.as_bytes());
}

#[test]
fn what_is_no_plain_file_is_refused_before_anything_changes() {
    let world = World::new();
    let file = world.path("file");
    std::fs::create_dir(&file).unwrap();
    world.refuses(&replace(&world), "is a directory");
    std::fs::remove_dir(&file).unwrap();

    std::os::unix::fs::symlink("nowhere", &file).unwrap();
    world.refuses(&replace(&world), "is dangling");
    std::fs::remove_file(&file).unwrap();

    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, mode, 0).unwrap();
    world.refuses(&replace(&world), "not a regular file");
    std::fs::remove_file(&file).unwrap();

    std::fs::write(&file, OLD).unwrap();
    std::fs::hard_link(&file, world.path("second")).unwrap();
    world.refuses(&replace(&world), "2 hard links");
    std::fs::remove_file(world.path("second")).unwrap();

    let large = std::fs::File::create(&file).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    world.refuses(&replace(&world), "larger than 64 MiB");

    let settings = json!({"path": world.text("no/such/dir/file"), "content": NEW});
    world.refuses(&action("file.replace", settings), "cannot find");
}

#[test]
fn content_from_another_file_is_fixed_when_it_is_looked_at() {
    let world = World::new();
    let path = world.write("file", OLD);
    let settings = json!({"path": world.text("file"), "from": world.text("from")});
    let action = action("file.replace", settings);
    world.refuses(&action, "there is no file");
    std::fs::write(world.path("from"), b"\0wanted").unwrap();
    let past = world.observe(&action);
    std::fs::write(world.path("from"), "changed").unwrap();
    let why = world.perform(&action, &past).unwrap_err().to_string();
    assert!(why.contains("changed since it was read"), "{why}");
    assert_eq!(std::fs::read(&path).unwrap(), OLD);
    assert_eq!(world.names(), ["file", "from"]);
    std::fs::write(world.path("from"), b"\0wanted").unwrap();
    world.perform(&action, &past).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"\0wanted");
}

#[test]
fn a_damaged_or_lost_copy_is_noticed_before_the_file_is_touched() {
    let world = World::new();
    let path = world.write("file", OLD);
    let action = replace(&world);
    let past = world.run(&action);
    for (bytes, word) in [(Some("other"), "damaged"), (None, "is gone")] {
        match bytes {
            Some(bytes) => std::fs::write(world.kept(&past), bytes).unwrap(),
            None => std::fs::remove_file(world.kept(&past)).unwrap(),
        }
        let why = world.undo(&action, &past).unwrap_err().to_string();
        assert!(why.contains(word), "{why}");
        assert_eq!(std::fs::read(&path).unwrap(), NEW.as_bytes());
    }
}

#[test]
fn the_preview_is_a_unified_diff() {
    let world = World::new();
    let path = world.write("file", b"a\nb\nc\n");
    let file = world.text("file");
    let settings = json!({"path": file, "content": "a\nB\nc\n"});
    let replace = action("file.replace", settings);
    let diff = world.diff(&replace).unwrap();
    assert_eq!(
        diff.unwrap(),
        format!("--- {file}\n+++ {file}\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n")
    );

    std::fs::write(&path, "a\nB\nc\n").unwrap();
    assert_eq!(world.diff(&replace), Ok(None));

    std::fs::write(&path, OLD).unwrap();
    let diff = world.diff(&replace).unwrap().unwrap();
    assert!(diff.contains("binary: 20 bytes, sha256 "), "{diff}");

    std::fs::remove_file(&path).unwrap();
    let diff = world.diff(&replace).unwrap().unwrap();
    assert!(diff.starts_with("--- /dev/null\n"), "{diff}");
    assert!(diff.ends_with("@@ -0,0 +1,3 @@\n+a\n+B\n+c\n"), "{diff}");

    std::fs::create_dir(&path).unwrap();
    let trouble = world.diff(&replace).unwrap_err();
    assert!(trouble.to_string().contains("is a directory"));
}

#[test]
fn what_is_done_and_undone_is_told_from_the_same_look() {
    let world = World::new();
    let action = replace(&world);
    let file = world.text("file");
    let undo = |past: &_| world.preview(&action, Direction::Undo, past);
    let made = undo(&world.observe(&action));
    assert_eq!(
        (made.commands, made.kept),
        (vec![format!("remove {file}")], vec![])
    );

    world.write("file", OLD);
    let past = world.observe(&action);
    let back = undo(&past);
    let [line] = &back.commands[..] else {
        panic!("{back:?}")
    };
    let start = format!("restore {file}: {} bytes, mode 0640, owner ", OLD.len());
    assert!(line.starts_with(&start), "{line}");
    let done = world.preview(&action, Direction::Do, &past);
    assert_eq!(
        done.commands,
        [format!("replace {file} with 4 bytes of the plan")]
    );
    for kept in [&back.kept, &done.kept] {
        assert_eq!(world.cx.kept_at(&kept[0].0), world.kept(&past));
        assert_eq!(kept[0].1, file);
    }
}

#[test]
fn the_undo_needs_nothing_but_the_kept_file() {
    let world = World::new();
    let path = world.write("file", OLD);
    let before = whole(&path);
    let action = replace(&world);
    world.observe(&action);
    let past = world.run(&action);
    for entry in std::fs::read_dir(world.path("state/undo")).unwrap() {
        let path = entry.unwrap().path();
        if path != world.kept(&past) {
            std::fs::remove_file(path).unwrap();
        }
    }
    world.undo(&action, &past).unwrap();
    assert_eq!(whole(&path), before);
}

#[test]
fn extended_attributes_stay_with_the_file() {
    let world = World::new();
    let path = world.write("file", OLD);
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(&path, "user.origin", b"hand", flags) {
        // An older tmpfs has none to keep.
        Err(rustix::io::Errno::NOTSUP) => return,
        set => set.unwrap(),
    }
    let action = replace(&world);
    let past = world.run(&action);
    let origin = || {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(&path, "user.origin", &mut value[..]).unwrap();
        value[..len].to_vec()
    };
    assert_eq!(origin(), b"hand");
    world.undo(&action, &past).unwrap();
    assert_eq!(origin(), b"hand");
}

#[test]
fn settings_that_say_nothing_or_too_much_are_refused() {
    let kind = "file.replace";
    problem(
        kind,
        json!({"path": "etc/x", "content": ""}),
        "`path` is not an absolute path",
    );
    problem(
        kind,
        json!({"path": "/x", "from": "y"}),
        "`from` is not an absolute path",
    );
    problem(
        kind,
        json!({"path": "/x"}),
        "`content` or `from` is missing",
    );
    problem(
        kind,
        json!({"path": "/x", "content": "", "from": "/y"}),
        "are mutually exclusive",
    );
}

/// Whoever owns a link chooses the file behind it: with the runner's power they would write where they may not.
#[test]
fn through_a_link_of_somebody_else_nothing_is_written() {
    use std::os::unix::fs::{lchown, symlink};
    let world = World::new();
    let target = world.write("target", OLD);
    let link = target.with_file_name("file");
    symlink(&target, &link).unwrap();
    lchown(&link, Some(4711), Some(4711)).expect("as root");
    world.refuses(&replace(&world), "a link owned by user 4711");
    assert_eq!(std::fs::read(&target).unwrap(), OLD);
}
