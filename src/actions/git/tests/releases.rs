//! Releases side by side: switched only when whole, nobody's link or directory is lost, killed anywhere and gone on with.

use super::*;
use std::io::Write;
use std::os::unix::fs::symlink;

impl Place {
    pub(super) fn beside(&self, reference: &str) -> Deploy {
        Deploy {
            into: None,
            releases: Some(self.path("releases").display().to_string()),
            current: Some(self.path("current").display().to_string()),
            ..self.to(reference)
        }
    }

    pub(super) fn dir(&self, reference: &str) -> PathBuf {
        let commit = self.commit(reference);
        let name = reference.replace('/', "-");
        self.path("releases")
            .join(format!("{name}-{}", &commit[..12]))
    }

    fn leads(&self) -> PathBuf {
        std::fs::read_link(self.path("current")).unwrap()
    }

    fn releases(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.path("releases")).unwrap();
        let mut names: Vec<String> = listed
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(super) fn deployed(&self, reference: &str) -> TestStep<Deploy> {
        let mut step = self.step(&self.beside(reference));
        step.perform().unwrap();
        assert_eq!(step.probe().answer, Answer::Done);
        step
    }
}

#[test]
fn each_release_has_its_directory_and_the_link_is_switched_and_switched_back() {
    let place = Place::new();
    let mut first = place.deployed("app/1.0");
    assert_eq!(place.leads(), place.dir("app/1.0"));
    assert_eq!(place.read("current/VERSION"), "1.0\n");
    let deploy = place.beside("app/2.0");
    let mut step = place.step(&deploy);
    assert_eq!(step.probe().answer, Answer::Nothing);
    assert_eq!(step.undone().answer, Answer::Done);
    for _ in 0..2 {
        step.perform().unwrap();
        assert_eq!(place.leads(), place.dir("app/2.0"));
        assert_eq!(place.read("current/VERSION"), "2.0\n");
        assert_eq!(step.undone().answer, Answer::Nothing);
    }
    let look = step.verify();
    assert!(look.evidence[0].contains("current points to"), "{look:?}");
    for _ in 0..2 {
        step.undo().unwrap();
        assert_eq!(place.leads(), place.dir("app/1.0"));
        assert_eq!(step.undone().answer, Answer::Done);
    }
    // The release stays and is used again; the first undo of all takes the link away.
    let mut again = place.step(&deploy);
    let Layout::SideBySide(release) = again.past().before.layout else {
        panic!("it is side by side")
    };
    assert!(release.existed);
    again.perform().unwrap();
    again.undo().unwrap();
    first.undo().unwrap();
    assert_eq!(first.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["releases", "source"]);
}

#[test]
fn a_relative_link_is_put_back_as_it_was_written() {
    let place = Place::new();
    place.write("releases/before/VERSION", "0.9\n");
    symlink("releases/before", place.path("current")).unwrap();
    let mut step = place.deployed("app/1.0");
    step.undo().unwrap();
    assert_eq!(place.leads(), PathBuf::from("releases/before"));
    assert_eq!(place.read("current/VERSION"), "0.9\n");
}

#[test]
fn a_directory_or_file_at_the_place_of_the_link_is_refused_with_a_remedy() {
    let place = Place::new();
    place.write("current/VERSION", "0.9\n");
    let deploy = place.beside("app/1.0");
    let said = deploy.observe(&place.context()).unwrap_err().to_string();
    assert!(
        said.contains("not a symbolic link") && said.contains("mv ") && said.contains("into:"),
        "{said}"
    );
    assert_eq!(place.read("current/VERSION"), "0.9\n");
    // It came between the look and the work.
    std::fs::remove_dir_all(place.path("current")).unwrap();
    let mut step = place.step(&deploy);
    place.write("current/VERSION", "0.9\n");
    assert!(step.perform().is_err());
    assert_eq!(step.probe().answer, Answer::Unclear);
    assert_eq!(place.read("current/VERSION"), "0.9\n");
}

#[test]
fn a_link_that_somebody_moved_is_refused() {
    let place = Place::new();
    place.deployed("app/1.0");
    let deploy = place.beside("app/2.0");
    let mut step = place.step(&deploy);
    std::fs::remove_file(place.path("current")).unwrap();
    symlink("/somewhere", place.path("current")).unwrap();
    for said in [step.perform(), step.undo()] {
        assert!(
            said.unwrap_err()
                .contains("has been changed since it pointed to")
        );
    }
    assert_eq!(step.probe().answer, Answer::Unclear);
    assert_eq!(step.undone().answer, Answer::Unclear);
    assert_eq!(place.leads(), PathBuf::from("/somewhere"));
}

/// Does something at the first word of an attempt, which is when it has looked and begins to clone.
struct Meanwhile<F>(Option<F>);

impl<F: FnOnce()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(act) = self.0.take() {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_link_that_somebody_moved_during_the_clone_is_refused() {
    let place = Place::new();
    place.deployed("app/1.0");
    place.write("hotfix/VERSION", "1.1\n");
    let deploy = place.beside("app/2.0");
    let mut step = place.step(&deploy);
    let mut out = Meanwhile(Some(|| {
        std::fs::remove_file(place.path("current")).unwrap();
        symlink(place.path("hotfix"), place.path("current")).unwrap();
    }));
    let said = step.attempt(Direction::Do, &mut out);
    assert!(out.0.is_none(), "somebody was there");
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("has been changed since it pointed to"),
        "{said}"
    );
    assert_eq!(place.leads(), place.path("hotfix"));
    assert_eq!(place.names(), ["current", "hotfix", "releases", "source"]);
    // Who switches to the same release is no stranger.
    std::fs::remove_file(place.path("current")).unwrap();
    symlink(place.dir("app/2.0"), place.path("current")).unwrap();
    step.perform().unwrap();
}

#[test]
fn a_link_is_not_switched_back_to_a_release_that_is_gone() {
    let place = Place::new();
    place.deployed("app/1.0");
    let deploy = place.beside("app/2.0");
    let mut step = place.step(&deploy);
    let former = place.dir("app/1.0");
    let away = place.path("away");
    std::fs::rename(&former, &away).unwrap();
    // Not even switched yet, it leads to nothing and is not "as before".
    assert_eq!(step.undone().answer, Answer::Unclear);
    step.perform().unwrap();
    let said = step.undo().unwrap_err();
    assert!(
        said.contains("no longer exists: restore it first"),
        "{said}"
    );
    assert_eq!(place.leads(), place.dir("app/2.0"));
    std::fs::rename(&away, &former).unwrap();
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.leads(), former);
    // One that led to nothing before leads to nothing again.
    std::fs::remove_file(place.path("current")).unwrap();
    symlink("/nowhere", place.path("current")).unwrap();
    let mut step = place.step(&deploy);
    step.perform().unwrap();
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
}

#[test]
fn the_link_is_not_switched_to_a_release_whose_version_file_disagrees() {
    let place = Place::new();
    place.deployed("app/1.0");
    let deploy = Deploy {
        version_file: Some(VersionFile {
            path: "VERSION".into(),
            equals: Some("2.1".into()),
            contains: None,
        }),
        ..place.beside("app/2.0")
    };
    let mut step = place.step(&deploy);
    let said = step.perform().unwrap_err();
    assert!(
        said.contains("should contain '2.1' but contains '2.0'"),
        "{said}"
    );
    assert_eq!(place.leads(), place.dir("app/1.0"));
    assert!(!place.dir("app/2.0").exists(), "it did not get its name");
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.releases().len(), 1);
}

#[test]
fn what_a_killed_attempt_left_is_made_anew_or_removed_and_what_is_not_ours_is_refused() {
    let place = Place::new();
    place.deployed("app/1.0");
    let deploy = place.beside("app/2.0");
    let mut step = place.step(&deploy);
    let half = format!("{}.new-run-1-code", place.dir("app/2.0").display());
    let link = place.path("current.new-run-1-code");
    for forwards in [true, false] {
        let name = place.dir("app/2.0").display().to_string();
        let (dir, at) = (name.clone(), half.clone());
        step.died_after(Direction::Do, &Note::Cloning { dir, at });
        let switching = Note::Switching {
            link: place.path("current").display().to_string(),
            at: link.display().to_string(),
            from: Some(place.dir("app/1.0").display().to_string()),
            to: Some(name),
        };
        step.died_after(Direction::Do, &switching);
        std::fs::create_dir_all(format!("{half}/.git")).unwrap();
        symlink("/half", &link).unwrap();
        assert_eq!(step.probe().answer, Answer::Nothing);
        assert_eq!(step.undone().answer, Answer::Nothing);
        if forwards {
            step.perform().unwrap();
            assert_eq!(step.probe().answer, Answer::Done);
        }
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
        assert!(!PathBuf::from(&half).exists() && !link.is_symlink());
        assert_eq!(place.leads(), place.dir("app/1.0"));
    }
    // One whose notes a look has ended, of a commit that is not meant any more.
    let moved = place.path("releases/main-0.new-run-1-code");
    std::fs::create_dir(&moved).unwrap();
    assert_eq!(step.undone().answer, Answer::Nothing);
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert!(!moved.exists());
    // A directory by its name that is no release, and one in which somebody worked.
    let dir = place.dir("app/2.0");
    place.write(
        &format!("releases/{}/same.txt", dir.file_name().unwrap().display()),
        "somebody's work",
    );
    let said = deploy.observe(&place.context()).unwrap_err().to_string();
    assert!(said.contains("same.txt"), "{said}");
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::create_dir(&dir).unwrap();
    assert!(deploy.observe(&place.context()).is_err());
    assert!(step.perform().is_err());
    assert_eq!(place.leads(), place.dir("app/1.0"));
}

#[test]
fn old_releases_are_removed_but_not_the_former_one_nor_those_with_work() {
    let place = Place::new();
    for n in 3..8 {
        place.write("source/VERSION", &format!("{n}.0\n"));
        place.release(&format!("app/{n}.0"), false);
    }
    for n in 1..6 {
        place.deployed(&format!("app/{n}.0"));
        // Their age is told by their time.
        let note = place.dir(&format!("app/{n}.0")).join(".git/upledger-clone");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n * 1000);
        std::fs::File::options()
            .write(true)
            .open(note)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    std::fs::write(place.dir("app/1.0").join("notes"), "somebody's").unwrap();
    std::fs::write(place.dir("app/2.0").join("x.pyc"), "made").unwrap();
    place.write("releases/by-hand/VERSION", "somebody's");
    let deploy = Deploy {
        keep: Some(3),
        ..place.beside("app/6.0")
    };
    let mut step = place.step(&deploy);
    let Layout::SideBySide(release) = step.past().before.layout else {
        panic!("it is side by side")
    };
    let old: Vec<PathBuf> = release.old.iter().map(PathBuf::from).collect();
    assert_eq!(
        old,
        ["app/1.0", "app/2.0", "app/3.0"].map(|r| place.dir(r)),
        "the new one, the former one and one more are kept"
    );
    let out = step.perform().unwrap();
    assert!(
        out.contains("is kept: it contains untracked files: notes"),
        "{out}"
    );
    assert_eq!(place.releases().len(), 5, "{:?}", place.releases());
    for kept in ["app/1.0", "app/4.0", "app/5.0", "app/6.0"] {
        assert!(place.dir(kept).exists(), "{kept}");
    }
    assert_eq!(place.read("releases/by-hand/VERSION"), "somebody's");
    step.undo().unwrap();
    assert_eq!(place.leads(), place.dir("app/5.0"));
}

#[test]
fn old_releases_that_a_link_leads_to_or_a_process_uses_stay_and_it_is_told_why() {
    let place = Place::new();
    for n in 3..10 {
        place.write("source/VERSION", &format!("{n}.0\n"));
        place.release(&format!("app/{n}.0"), false);
    }
    for n in 1..9 {
        place.deployed(&format!("app/{n}.0"));
    }
    let dir = |n: u32| place.dir(&format!("app/{n}.0"));
    let name = |n: u32| dir(n).file_name().unwrap().to_owned();
    symlink(dir(1), place.path("current-worker")).unwrap();
    symlink(name(2), place.path("releases/stable")).unwrap();
    let sleeper = |words: &[&str], at: PathBuf| {
        Command::new("sleep")
            .args(words)
            .current_dir(at)
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut works = sleeper(&["600"], dir(3));
    let file = std::fs::File::open(dir(4).join("VERSION")).unwrap();
    let mut opened = Command::new("sleep")
        .arg("600")
        .stdin(file)
        .spawn()
        .unwrap();
    std::fs::copy("/bin/sleep", dir(5).join("worker.pyc")).unwrap();
    let mut runs = Command::new(dir(5).join("worker.pyc"))
        .arg("600")
        .spawn()
        .unwrap();
    let deploy = Deploy {
        keep: Some(2),
        ..place.beside("app/9.0")
    };
    let mut step = place.step(&deploy);
    // 6 is used only after the look.
    let mut late = sleeper(&["600"], dir(6));
    let out = step.perform();
    for child in [&mut works, &mut opened, &mut runs, &mut late] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let out = out.unwrap();
    for n in 1..7 {
        assert!(dir(n).exists(), "{n}: {out}");
    }
    assert!(!dir(7).exists(), "{out}");
    let shown = deploy.preview(Direction::Do, &step.past()).findings;
    let shown = shown.join("\n");
    for (n, why) in [
        (
            1,
            format!("{} points to it", place.path("current-worker").display()),
        ),
        (
            2,
            format!("{} points to it", place.path("releases/stable").display()),
        ),
        (3, format!("process {} (sleep) uses it", works.id())),
        (4, format!("process {} (sleep) uses it", opened.id())),
        (5, format!("process {} (worker.pyc) uses it", runs.id())),
    ] {
        let line = format!("{} is kept: {why}", dir(n).display());
        assert!(
            out.contains(&line) && shown.contains(&line),
            "{line}: {out} {shown}"
        );
    }
    let line = format!("process {} (sleep) uses it", late.id());
    assert!(out.contains(&line), "{line}: {out}");
    assert!(!shown.contains(&line), "{shown}");
}

#[test]
fn where_it_is_written_twice_or_not_at_all_is_a_problem() {
    let place = Place::new();
    assert_eq!(place.beside("main").problems(), Vec::<String>::new());
    let nowhere = Deploy {
        into: None,
        ..place.to("main")
    };
    let both = Deploy {
        into: Some("/srv/app".into()),
        ..place.beside("main")
    };
    let half = Deploy {
        releases: None,
        ..place.beside("main")
    };
    let nothing_switched = Deploy {
        current: None,
        keep: Some(2),
        ..place.beside("main")
    };
    let shared = |files: &[&str], dirs: &[&str]| Shared {
        dir: "/srv/shared".into(),
        files: files.iter().map(ToString::to_string).collect(),
        dirs: dirs.iter().map(ToString::to_string).collect(),
    };
    let outside = Deploy {
        shared: Some(shared(&["../x"], &[])),
        ..place.beside("main")
    };
    let inside_another = Deploy {
        shared: Some(shared(&["media/x"], &["media"])),
        ..place.beside("main")
    };
    let in_place = Deploy {
        shared: Some(shared(&[".env"], &[])),
        ..place.to("main")
    };
    let one = Deploy {
        keep: Some(1),
        ..place.beside("main")
    };
    let offline = Deploy {
        fetch: false,
        ..place.beside("main")
    };
    let same = Deploy {
        current: place.beside("main").releases,
        ..place.beside("main")
    };
    let relative = Deploy {
        current: Some("current".into()),
        ..place.beside("main")
    };
    let short = Deploy {
        commit: Some("0a1b2c3".into()),
        ..place.beside("main")
    };
    for bad in [
        nowhere,
        both,
        half,
        nothing_switched,
        outside,
        inside_another,
        in_place,
        one,
        offline,
        same,
        relative,
        short,
    ] {
        assert_eq!(bad.problems().len(), 1, "{bad:?}: {:?}", bad.problems());
    }
}

impl Place {
    /// A release that nobody uses yet, with what all releases share.
    fn aside(&self, reference: &str) -> Deploy {
        Deploy {
            current: None,
            shared: Some(Shared {
                dir: self.path("shared").display().to_string(),
                files: vec![".env".into()],
                dirs: vec!["media".into(), "new".into()],
            }),
            ..self.beside(reference)
        }
    }
}

#[test]
fn a_release_aside_is_made_with_its_links_and_nothing_is_switched() {
    let place = Place::new();
    let deploy = place.aside("app/2.0");
    let refused = TestStep::observed(deploy.clone(), &place.context());
    let why = refused.err().unwrap().to_string();
    assert!(why.contains("there is no shared file"), "{why}");
    place.write("shared/.env", "secret\n");
    let mut step = place.step(&deploy);
    assert_eq!(step.probe().answer, Answer::Nothing);
    for _ in 0..2 {
        step.perform().unwrap();
        assert_eq!(step.verify().answer, Answer::Done);
    }
    assert!(!place.path("current").exists());
    let dir = place.dir("app/2.0");
    assert_eq!(
        std::fs::read_to_string(dir.join(".env")).unwrap(),
        "secret\n"
    );
    assert!(dir.join("media").is_dir(), "it was created");
    // The commit has a directory of that name; what is shared takes its place, and counts as unchanged.
    assert_eq!(
        std::fs::read_link(dir.join("new")).unwrap(),
        place.path("shared/new")
    );
    // A link that is missing is no complete release, and is made again; a file in its place is somebody's.
    std::fs::remove_file(dir.join(".env")).unwrap();
    assert_eq!(step.probe().answer, Answer::Nothing);
    step.perform().unwrap();
    assert_eq!(step.probe().answer, Answer::Done);
    std::fs::remove_file(dir.join(".env")).unwrap();
    std::fs::write(dir.join(".env"), "mine").unwrap();
    let why = step.perform().unwrap_err();
    assert!(why.contains("exists and does not point to"), "{why}");
    std::fs::remove_file(dir.join(".env")).unwrap();
    step.perform().unwrap();
    // The undo leaves the release, and what was shared.
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert!(dir.is_dir() && place.path("shared/.env").is_file());
    // For a prune the links are none of the release's content, and a file is.
    assert_eq!(
        super::super::reason_to_stay(&place.context(), &dir).unwrap(),
        None
    );
    std::fs::write(dir.join("notes.txt"), "mine").unwrap();
    let why = super::super::reason_to_stay(&place.context(), &dir).unwrap();
    assert!(why.is_some_and(|why| why.contains("notes.txt")));
}
