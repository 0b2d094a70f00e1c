//! Data directories: copied, restored as a whole, and left alone while somebody writes in them.

use crate::common::World;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

const PLAN: &str = r#"
upledger: 1
name: uploads
phases:
  - phase: all
    steps:
      - {id: copy, do: {dir.backup: {path: "@/media", to: "@/copy"}}}
      - {id: spoil, do: {shell: "rm @/media/a/one; echo new > @/media/two"}, effect: idempotent, undo: none}
      - {id: back, do: {dir.restore: {backup: copy}}}
"#;

/// Everything in a directory: path, mode, time, and content or target.
fn seen(dir: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(at) = open.pop() {
        let meta = at.symlink_metadata().expect("there");
        let what = if meta.is_symlink() {
            format!("-> {}", at.read_link().expect("a link").display())
        } else if meta.is_dir() {
            let listed = std::fs::read_dir(&at).expect("listed");
            open.extend(listed.map(|e| e.expect("an entry").path()));
            String::new()
        } else {
            let text = std::fs::read_to_string(&at).expect("read");
            format!("{text} {}.{}", meta.mtime(), meta.mtime_nsec())
        };
        let inside = at.strip_prefix(dir).expect("below").display();
        found.push(format!(
            "{inside} {:o} {}:{} {what}",
            meta.mode(),
            meta.uid(),
            meta.gid()
        ));
    }
    found.sort();
    found
}

fn world() -> World {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    std::fs::create_dir_all(world.path("media/a")).expect("made");
    world.write("media/a/one", "1");
    world.write("media/two", "2");
    let mode = std::fs::Permissions::from_mode(0o2750);
    std::fs::set_permissions(world.path("media/a"), mode).expect("its mode");
    std::os::unix::fs::symlink("a/one", world.path("media/link")).expect("linked");
    world
}

/// A hole of a file takes no room in the copy, and a name that is no text is a name.
#[test]
fn holes_and_odd_names_are_copied_as_they_are() {
    use std::ffi::OsStr;
    use std::io::{Seek, SeekFrom, Write};
    use std::os::unix::ffi::OsStrExt;
    let world = world();
    let odd = OsStr::from_bytes(b"\xff odd\n");
    std::fs::write(world.path("media").join(odd), "odd").expect("written");
    let mut image = std::fs::File::create(world.path("media/image")).expect("made");
    image.set_len(64 << 20).expect("long");
    image.write_all(b"begin").expect("written");
    image.seek(SeekFrom::Start(32 << 20)).expect("there");
    image.write_all(b"middle").expect("written");
    drop(image);
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        seen(&world.path("copy")).len(),
        seen(&world.path("media")).len()
    );
    for copy in ["copy/image", "media/image"] {
        let meta = world.path(copy).metadata().expect("copied");
        assert_eq!(meta.len(), 64 << 20);
        assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    }
    let text = std::fs::read(world.path("media").join(odd)).expect("restored");
    assert_eq!(text, b"odd");
}

#[test]
fn a_directory_is_restored_whole_and_the_former_one_comes_back() {
    let world = world();
    let before = seen(&world.path("media"));
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(seen(&world.path("media")), before);
    assert_eq!(seen(&world.path("copy")), before);
    assert_eq!(world.rollback().code, 5);
    assert!(!world.path("media/a/one").exists());
    assert_eq!(world.lines("media/two"), ["new"]);
    let left = std::fs::read_dir(world.path(".")).expect("listed");
    let names = left.map(|e| {
        e.expect("an entry")
            .file_name()
            .into_string()
            .expect("text")
    });
    assert_eq!(names.filter(|n| n.starts_with("media")).count(), 1);
    world.assert_sound();
}

#[test]
fn nothing_is_replaced_in_which_somebody_writes_or_has_written() {
    let world = world();
    let file = std::fs::File::options()
        .append(true)
        .open(world.path("media/two"))
        .expect("opened");
    let mut writer = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::from(file))
        .spawn()
        .expect("sleep");
    let run = world.upledger(&["run", "plan.yaml"]);
    let pid = writer.id().to_string();
    // It is ended whatever the run says.
    writer.kill().expect("killed");
    writer.wait().expect("ended");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.out.contains("open for writing") && run.out.contains(&pid),
        "{run:?}"
    );
    let retry = ["decide", "back", "retry", "--reason", "it is stopped"];
    assert_eq!(world.upledger(&retry).code, 0);
    assert_eq!(world.upledger(&["resume"]).code, 0);
    assert_eq!(world.lines("media/two"), ["2"]);

    world.write("media/three", "3");
    let back = world.rollback();
    assert_eq!(back.code, 6, "{back:?}");
    assert!(back.out.contains("has been changed since"), "{back:?}");
    assert_eq!(world.lines("media/three"), ["3"]);
}

/// What patterns leave out is counted and not copied; a restore, and its undo, leave it as it is by then.
#[test]
fn what_is_left_out_is_neither_copied_nor_replaced() {
    let world = world();
    let plan = PLAN
        .replace(
            r#"to: "@/copy""#,
            r#"to: "@/copy", exclude: ["*.log", "a/cache"]"#,
        )
        .replace("echo new >", "echo later >> @/media/a/app.log; echo new >");
    world.write("plan.yaml", &plan);
    std::fs::create_dir(world.path("media/a/cache")).expect("made");
    world.write("media/a/cache/x", "cached");
    world.write("media/a/app.log", "first\n");
    let before = seen(&world.path("media"));
    let kept = |names: &[String]| -> Vec<String> {
        let out = |line: &&String| !line.contains("app.log") && !line.contains("a/cache");
        names.iter().filter(out).cloned().collect()
    };
    let shown = world.upledger(&["plan", "plan.yaml"]);
    assert!(
        shown.out.contains("left out: 2 entries (*.log, a/cache)"),
        "{shown:?}"
    );
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("2 entries left out"), "{run:?}");
    assert_eq!(seen(&world.path("copy")), kept(&before));
    assert_eq!(kept(&seen(&world.path("media"))), kept(&before));
    assert_eq!(world.lines("media/a/app.log"), ["first", "later"]);
    assert_eq!(world.lines("media/a/cache/x"), ["cached"]);

    world.write("media/a/app.log", "first\nlater\nlast\n");
    let back = world.rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(world.lines("media/two"), ["new"]);
    assert_eq!(world.lines("media/a/app.log"), ["first", "later", "last"]);
    assert_eq!(world.lines("media/a/cache/x"), ["cached"]);
}
