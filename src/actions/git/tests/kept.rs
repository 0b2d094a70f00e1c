//! Nobody's work is lost: what is refused, what a checkout that was killed leaves, and what a hostile repository cannot do.

use super::*;
use std::os::unix::process::CommandExt;

#[test]
fn modified_files_are_named_and_kept() {
    let place = Place::new();
    place.cloned();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    place.write("app/same.txt", "somebody's work");
    let said = deploy.observe(&place.context()).unwrap_err().to_string();
    assert!(
        said.contains("modified") && said.contains("same.txt"),
        "{said}"
    );
    let said = step.perform().unwrap_err();
    assert!(said.contains("would be lost: same.txt"), "{said}");
    assert_eq!(step.probe().answer, Answer::Unclear);
    assert_eq!(place.read("app/same.txt"), "somebody's work");
    assert_eq!(place.head(), place.commit("app/1.0"));
}

#[test]
fn untracked_files_in_the_way_are_named_and_kept_even_ignored_ones() {
    for name in ["new/one.txt", "zz.txt", "new"] {
        let place = Place::new();
        place.cloned();
        place.write("app/.git/info/exclude", "zz.txt\n");
        let deploy = place.to("app/2.0");
        let mut step = place.step(&deploy);
        place.write(&format!("app/{name}"), "somebody's work");
        let said = step.perform().unwrap_err();
        assert!(
            said.contains("would be overwritten: ") && said.contains(name),
            "{said}"
        );
        assert_eq!(place.read(&format!("app/{name}")), "somebody's work");
        assert_eq!(place.head(), place.commit("app/1.0"));
    }
}

#[test]
fn a_lock_of_somebody_else_is_named_with_its_age() {
    let place = Place::new();
    place.cloned();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    place.write("app/.git/index.lock", "");
    let said = deploy.observe(&place.context()).unwrap_err().to_string();
    assert!(said.contains("index.lock, 0 s old"), "{said}");
    assert!(said.contains("no visible git process"), "{said}");
    assert_eq!(step.probe().answer, Answer::Unclear);
    // As long as somebody has it open, it is not touched.
    let held = std::fs::File::open(place.path("app/.git/index.lock")).unwrap();
    let said = step.perform().unwrap_err();
    assert!(
        said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
    drop(held);
    // And as long as no checkout of this step has begun, it is nobody's but theirs.
    let said = step.perform().unwrap_err();
    assert!(said.contains("no visible git process"), "{said}");
    step.died_after(Direction::Do, &place.checking_out("app/2.0"));
    let out = step.perform().unwrap();
    assert!(out.contains("a git that was killed left"), "{out}");
    assert_eq!(place.head(), place.commit("app/2.0"));
}

/// A checkout of the second release, noted by an attempt and killed while it writes `zz.txt`.
fn cut_off(place: &Place, step: &mut TestStep<Deploy>) {
    step.died_after(Direction::Do, &place.checking_out("app/2.0"));
    assert_eq!(step.probe().answer, Answer::Nothing, "before its effect");
    let fifo = place.path("began");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let smudge = format!(
        "filter.slow.smudge=head -c 100; echo > '{}'; sleep 600",
        fifo.display()
    );
    let mut git = place
        .command("app")
        .args(["-c", &smudge, "checkout", "-q", "--detach", "app/2.0"])
        .process_group(0)
        .spawn()
        .unwrap();
    // Opening it waits for the filter.
    std::fs::read(&fifo).unwrap();
    let group = rustix::process::Pid::from_child(&git);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    git.wait().unwrap();
    assert!(place.path("app/.git/index.lock").exists());
    assert_eq!(place.read("app/VERSION"), "2.0\n", "it was on its way");
}

#[test]
fn a_checkout_that_was_killed_is_completed_or_undone() {
    for forwards in [true, false] {
        let place = Place::new();
        place.cloned();
        let deploy = place.to("app/2.0");
        let mut step = place.step(&deploy);
        cut_off(&place, &mut step);
        place.write("app/zz.txt", "a line of text\na li");
        assert_eq!(step.probe().answer, Answer::Unclear);
        assert_eq!(step.undone().answer, Answer::Unclear);
        if forwards {
            let out = step.perform().unwrap();
            assert!(out.contains("was interrupted"), "{out}");
            assert_eq!(step.probe().answer, Answer::Done);
            assert_eq!(place.read("app/zz.txt").lines().count(), 100);
        } else {
            step.undo().unwrap();
            assert_eq!(step.undone().answer, Answer::Done);
            assert_eq!(place.read("app/old.txt"), "old\n");
            assert_eq!(
                place.git("app", &["status", "--porcelain"]),
                "",
                "nothing of it is left"
            );
        }
    }
}

#[test]
fn work_of_somebody_in_a_checkout_that_was_killed_is_kept() {
    let place = Place::new();
    place.cloned();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    cut_off(&place, &mut step);
    place.write("app/VERSION", "2.0 and somebody's work\n");
    for said in [step.perform(), step.undo()] {
        let said = said.unwrap_err();
        assert!(said.contains("would be lost: VERSION"), "{said}");
    }
    assert_eq!(place.read("app/VERSION"), "2.0 and somebody's work\n");
}

#[test]
fn what_looks_like_a_checkout_that_was_killed_is_somebodys_where_none_was_noted() {
    let place = Place::new();
    place.cloned();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    place.git("app", &["checkout", "-q", "app/2.0", "--", "VERSION"]);
    let said = step.perform().unwrap_err();
    assert!(said.contains("would be lost: VERSION"), "{said}");
    assert_eq!(place.read("app/VERSION"), "2.0\n");
}

#[test]
fn nothing_of_a_hostile_repository_is_executed() {
    let place = Place::new();
    place.cloned();
    let trap = place.path("trapped");
    let script = format!("#!/bin/sh\ntouch '{}'\n", trap.display());
    for hook in ["post-checkout", "reference-transaction", "monitor"] {
        let name = format!("app/.git/hooks/{hook}");
        place.write(&name, &script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place.path(&name), mode).unwrap();
    }
    place.git(
        "app",
        &[
            "config",
            "core.fsmonitor",
            &place.path("app/.git/hooks/monitor").display().to_string(),
        ],
    );
    std::fs::remove_file(&trap).ok();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    step.perform().unwrap();
    step.undo().unwrap();
    assert!(!trap.exists());
    // The trap works, where nobody guards against it.
    place.git("app", &["checkout", "-q", "--detach", "app/2.0"]);
    assert!(trap.exists());
}

#[test]
fn where_the_fetch_failed_the_undo_has_nothing_to_do_and_loses_nothing() {
    let place = Place::new();
    place.cloned();
    place.write("source/VERSION", "3.0\n");
    place.release("app/3.0", true);
    let deploy = place.to("app/3.0");
    let mut step = place.step(&deploy);
    std::fs::rename(place.path("source"), place.path("gone")).unwrap();
    let said = step.perform().unwrap_err();
    assert!(said.contains("does not provide the commit"), "{said}");
    assert_eq!(step.probe().answer, Answer::Nothing);
    assert_eq!(step.undone().answer, Answer::Done);
    step.undo().unwrap();
    place.write("app/same.txt", "somebody's work");
    let said = step.undo().unwrap_err();
    assert!(said.contains("modified: same.txt"), "{said}");
}

#[test]
fn work_in_a_file_whose_name_is_no_utf_8_is_kept() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    let place = Place::new();
    place.cloned();
    std::fs::write(place.path("source").join(name), "third\n").unwrap();
    place.release("app/3.0", false);
    std::fs::write(place.path("source").join(name), "fourth\n").unwrap();
    place.release("app/4.0", false);
    let file = place.path("app").join(name);
    for (tag, text) in [("app/3.0", "third\n"), ("app/4.0", "fourth\n")] {
        let deploy = place.to(tag);
        let mut step = place.step(&deploy);
        step.perform().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        std::fs::write(&file, "somebody's work").unwrap();
        let said = step.undo().unwrap_err();
        assert!(said.contains("would be lost: caf\u{FFFD}e9.txt"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's work");
        std::fs::write(&file, text).unwrap();
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
        step.perform().unwrap();
    }
    // An untracked one is in the way of a checkout that was cut off, which is completed by force.
    place.git("app", &["checkout", "-q", "--detach", "app/1.0"]);
    let deploy = place.to("app/3.0");
    let mut step = place.step(&deploy);
    std::fs::write(&file, "somebody's work").unwrap();
    assert!(step.perform().is_err());
    step.died_after(Direction::Do, &place.checking_out("app/3.0"));
    place.write("app/VERSION", "2.0\n");
    let said = step.perform().unwrap_err();
    assert!(said.contains("would be overwritten: caf"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's work");
}

#[test]
fn a_commit_that_was_replaced_is_deployed_as_it_is() {
    let place = Place::new();
    place.cloned();
    place.git("app", &["replace", "app/2.0^{commit}", "app/1.0"]);
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    step.perform().unwrap();
    assert_eq!(place.read("app/VERSION"), "2.0\n");
    assert_eq!(step.probe().answer, Answer::Done);
    // The tree of the other commit is no evidence.
    place.git("app", &["reset", "-q", "--hard"]);
    assert_eq!(place.read("app/VERSION"), "1.0\n");
    assert_eq!(step.probe().answer, Answer::Unclear);
}

#[test]
fn files_that_a_flag_hides_from_git_are_named_and_kept() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let place = Place::new();
        place.cloned();
        let deploy = place.to("app/2.0");
        let mut step = place.step(&deploy);
        place.git("app", &["update-index", flag, "same.txt"]);
        place.write("app/same.txt", "somebody's work");
        assert_eq!(place.git("app", &["status", "--porcelain"]), "");
        let said = deploy.observe(&place.context()).unwrap_err().to_string();
        assert!(said.contains("same.txt (a flag hides it"), "{said}");
        let said = step.perform().unwrap_err();
        assert!(said.contains("same.txt (a flag hides it"), "{said}");
        assert_eq!(step.probe().answer, Answer::Unclear);
        assert_eq!(step.undone().answer, Answer::Unclear);
        assert_eq!(place.read("app/same.txt"), "somebody's work");
    }
}

#[test]
fn one_hidden_file_is_found_among_many() {
    let place = Place::new();
    for n in 0..5500 {
        place.write(&format!("source/{}{n}", "n".repeat(200)), "");
    }
    place.write("source/zzz", "");
    place.release("app/3.0", false);
    place.git("", &["clone", "-q", "source", "app"]);
    place.git("app", &["update-index", "--assume-unchanged", "zzz"]);
    let said = place.to("main").observe(&place.context()).unwrap_err();
    assert!(said.to_string().contains("lost: zzz (a flag"), "{said}");
}

#[test]
fn a_clone_with_hidden_work_is_moved_aside() {
    for flag in [
        Some("--assume-unchanged"),
        Some("--skip-worktree"),
        // A commit that nothing but the reflog knows.
        None,
    ] {
        let place = Place::new();
        let deploy = place.to("app/2.0");
        let mut step = place.step(&deploy);
        step.perform().unwrap();
        place.write("app/same.txt", "somebody's work");
        if let Some(flag) = flag {
            place.git("app", &["update-index", flag, "same.txt"]);
        } else {
            place.git("app", &["commit", "-q", "-a", "-m", "work"]);
            place.git("app", &["checkout", "-q", "--detach", "app/2.0"]);
        }
        let out = step.undo().unwrap();
        assert!(out.contains("moved to"), "{flag:?}: {out}");
        assert_eq!(step.undone().answer, Answer::Done);
        let aside = "app.aside-run-1-code";
        if flag.is_none() {
            place.git(aside, &["checkout", "-q", "HEAD@{1}"]);
        }
        assert_eq!(place.read(&format!("{aside}/same.txt")), "somebody's work");
    }
}

#[test]
fn a_commit_that_only_a_tag_keeps_and_settings_of_somebody_are_moved_aside_with_the_clone() {
    for added in ["tag", "hook", "setting", "purged"] {
        let place = Place::new();
        let deploy = place.to("app/2.0");
        let mut step = place.step(&deploy);
        step.perform().unwrap();
        match added {
            "tag" => {
                place.write("app/same.txt", "somebody's work");
                place.git("app", &["commit", "-q", "-a", "-m", "work"]);
                place.git("app", &["tag", "kept"]);
                place.git("app", &["checkout", "-q", "--detach", "app/2.0"]);
                place.git("app", &["reflog", "expire", "--expire=now", "--all"]);
            }
            "hook" => place.write("app/.git/hooks/pre-push", "#!/bin/sh\n"),
            "setting" => drop(place.git("app", &["config", "user.name", "somebody"])),
            // What it was when it was made cannot be told any more.
            _ => step.cx.blobs.clear(),
        }
        let out = step.undo().unwrap();
        assert!(out.contains("moved to"), "{added}: {out}");
        assert_eq!(step.undone().answer, Answer::Done);
        if added == "tag" {
            let aside = "app.aside-run-1-code";
            assert_eq!(
                place.git(aside, &["show", "kept:same.txt"]),
                "somebody's work"
            );
        }
    }
}
