//! Real repositories in a directory of the test's own: deployed, deployed again, refused, cut off, undone, undone again.

mod bytes;
mod kept;
mod record;
mod releases;
mod submodules;

use super::*;
use crate::action::testing::TestStep;
use std::path::PathBuf;
use std::process::Command;
use upledger_replay::event::Answer;

struct Place(tempfile::TempDir);

impl Place {
    /// A repository with the releases `app/1.0` and `app/2.0` (tags) and the branch `main` at the second.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("source")).unwrap();
        place.git("source", &["init", "-q", "-b", "main"]);
        for (name, text) in [
            ("VERSION", "1.0\n"),
            ("old.txt", "old\n"),
            ("same.txt", "same\n"),
            (".gitignore", "*.pyc\nlocal\n"),
        ] {
            place.write(&format!("source/{name}"), text);
        }
        place.release("app/1.0", false);
        place.write("source/VERSION", "2.0\n");
        place.write("source/new/one.txt", "one\n");
        place.write("source/zz.txt", &"a line of text\n".repeat(100));
        place.write("source/.gitattributes", "zz.txt filter=slow\n");
        std::fs::remove_file(place.path("source/old.txt")).unwrap();
        place.release("app/2.0", true);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, dir: &str) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(self.path(dir))
            .env_clear()
            .envs(self.context().env)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"]);
        command
    }

    fn git(&self, dir: &str, words: &[&str]) -> String {
        let done = self.command(dir).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn release(&self, tag: &str, annotated: bool) {
        self.git("source", &["add", "-A"]);
        self.git("source", &["commit", "-q", "-m", tag]);
        if annotated {
            self.git("source", &["tag", "-a", "-m", tag, tag]);
        } else {
            self.git("source", &["tag", tag]);
        }
    }

    fn commit(&self, name: &str) -> String {
        self.git("source", &["rev-parse", &format!("{name}^{{commit}}")])
    }

    /// A working clone on `main`, one commit behind.
    fn cloned(&self) {
        self.git("", &["clone", "-q", "source", "app"]);
        self.git("app", &["reset", "-q", "--hard", "app/1.0"]);
    }

    fn context(&self) -> Context {
        let path = std::env::var("PATH").unwrap();
        Context {
            state: self.path("state"),
            run: "run-1".into(),
            step: "code".into(),
            env: vec![
                ("PATH".into(), path),
                ("HOME".into(), self.0.path().display().to_string()),
            ],
            cwd: None,
            secrets: Vec::new(),
            ..Context::default()
        }
    }

    fn to(&self, reference: &str) -> Deploy {
        Deploy {
            shared: None,
            repo: self.path("source").display().to_string(),
            reference: reference.into(),
            into: Some(self.path("app").display().to_string()),
            releases: None,
            current: None,
            keep: None,
            fetch: true,
            submodules: false,
            commit: None,
            version_file: None,
        }
    }

    fn step(&self, deploy: &Deploy) -> TestStep<Deploy> {
        TestStep::observed(deploy.clone(), &self.context()).unwrap()
    }

    /// What an attempt notes that was cut off while it made that clone.
    fn cloning(&self, name: &str) -> Note {
        let dir = self.path(name).display().to_string();
        let at = format!("{dir}.new-run-1-code");
        Note::Cloning { dir, at }
    }

    /// What an attempt notes that was cut off while git went to that commit.
    fn checking_out(&self, reference: &str) -> Note {
        Note::CheckingOut {
            dir: self.path("app").display().to_string(),
            commit: self.commit(reference),
        }
    }

    fn head(&self) -> String {
        self.git("app", &["rev-parse", "HEAD"])
    }

    fn names(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = listed
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            // The state directory of the test's own.
            .filter(|name| name != "state")
            .collect();
        names.sort();
        names
    }
}

#[test]
fn tags_with_slashes_branches_and_commits_are_cloned_and_the_clone_is_removed_again() {
    let place = Place::new();
    let second = place.commit("app/2.0");
    for name in ["app/1.0", "app/2.0", "main", "refs/tags/app/2.0", &second] {
        let deploy = place.to(name);
        let mut step = place.step(&deploy);
        assert_eq!(step.past().before.commit, place.commit(name), "{name}");
        assert_eq!(step.probe().answer, Answer::Nothing);
        for _ in 0..2 {
            step.perform().unwrap();
            assert_eq!(place.head(), place.commit(name));
            assert_eq!(
                place.git("app", &["rev-parse", "--abbrev-ref", "HEAD"]),
                "HEAD"
            );
            assert_eq!(step.probe().answer, Answer::Done);
        }
        assert_eq!(step.undone().answer, Answer::Nothing);
        for _ in 0..2 {
            step.undo().unwrap();
            assert_eq!(step.undone().answer, Answer::Done);
            assert_eq!(place.names(), ["source"], "{name}");
        }
    }
}

#[test]
fn a_clone_on_a_branch_goes_to_the_commit_and_back_to_its_branch() {
    let place = Place::new();
    place.cloned();
    place.write("app/local", "kept");
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    let Layout::InPlace(tree) = step.past().before.layout else {
        panic!("it is in place")
    };
    let branch = tree.head.unwrap().branch;
    assert_eq!(branch.as_deref(), Some("refs/heads/main"));
    assert_eq!(step.probe().answer, Answer::Nothing);
    step.perform().unwrap();
    assert_eq!(
        (place.head(), place.read("app/VERSION")),
        (place.commit("app/2.0"), "2.0\n".into())
    );
    let look = step.verify();
    assert!(
        look.answer == Answer::Done && look.evidence[1].contains("app/2.0"),
        "{look:?}"
    );
    assert_eq!(step.undone().answer, Answer::Nothing);
    for _ in 0..2 {
        step.undo().unwrap();
        assert_eq!(
            place.git("app", &["symbolic-ref", "HEAD"]),
            "refs/heads/main"
        );
        assert_eq!(place.head(), place.commit("app/1.0"));
        assert_eq!(step.undone().answer, Answer::Done);
    }
    // A branch that has moved meanwhile is not what was there: the commit is.
    step.perform().unwrap();
    place.git("app", &["branch", "-f", "main", "app/2.0"]);
    assert!(step.undo().unwrap().contains("branch has moved"));
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.read("app/local"), "kept");
}

#[test]
fn what_was_not_there_is_fetched_and_a_tag_that_moves_changes_nothing() {
    let place = Place::new();
    place.cloned();
    place.write("source/VERSION", "3.0\n");
    place.release("app/3.0", true);
    let third = place.commit("app/3.0");
    let offline = Deploy {
        fetch: false,
        ..place.to("app/3.0")
    };
    let said = offline.observe(&place.context()).unwrap_err().to_string();
    assert!(
        said.contains("neither a branch nor a tag app/3.0"),
        "{said}"
    );
    let deploy = place.to("app/3.0");
    let mut step = place.step(&deploy);
    place.git("source", &["tag", "-f", "app/3.0", "app/1.0"]);
    assert!(step.perform().unwrap().contains("fetching"));
    assert_eq!(place.head(), third);
    assert_eq!(step.probe().answer, Answer::Done);
    // Now the clone has it all.
    let back = Deploy {
        fetch: false,
        ..place.to("app/2.0")
    };
    let mut step = place.step(&back);
    step.perform().unwrap();
    assert_eq!(place.head(), place.commit("app/2.0"));
}

#[test]
fn a_clone_that_was_cut_off_is_made_anew_and_one_with_somebodys_files_is_moved_aside() {
    let place = Place::new();
    let deploy = place.to("main");
    let mut step = place.step(&deploy);
    step.died_after(Direction::Do, &place.cloning("app"));
    place.write("app.new-run-1-code/.git/half", "");
    assert_eq!(step.probe().answer, Answer::Nothing);
    step.perform().unwrap();
    assert_eq!(place.names(), ["app", "source"]);
    place.write("app/local", "somebody's");
    let out = step.undo().unwrap();
    assert!(out.contains("moved to"), "{out}");
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.read("app.aside-run-1-code/local"), "somebody's");
}

#[test]
fn what_a_clone_or_its_removal_leaves_when_cut_off_is_not_undone_until_it_is_gone() {
    let removing = |place: &Place| {
        let dir = place.path("app").display().to_string();
        let at = format!("{dir}.old-run-1-code");
        (Direction::Undo, Note::Removing { dir, at })
    };
    let cloning = |place: &Place| (Direction::Do, place.cloning("app"));
    for (left, note) in [
        (
            "app.new-run-1-code",
            &cloning as &dyn Fn(&Place) -> (Direction, Note),
        ),
        ("app.old-run-1-code", &removing),
    ] {
        let place = Place::new();
        let deploy = place.to("main");
        let mut step = place.step(&deploy);
        assert_eq!(step.undone().answer, Answer::Done);
        let (direction, note) = note(&place);
        step.died_after(direction, &note);
        assert_eq!(step.undone().answer, Answer::Done, "before its effect");
        place.write(&format!("{left}/.git/half"), "");
        assert_eq!(step.undone().answer, Answer::Nothing);
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
        assert_eq!(place.names(), ["source"]);
    }
}

#[test]
fn a_clone_that_somebody_made_meanwhile_is_not_touched_in_either_direction() {
    let place = Place::new();
    let deploy = place.to("app/2.0");
    let mut step = place.step(&deploy);
    place.cloned();
    let said = step.perform().unwrap_err();
    assert!(said.contains("has been created since"), "{said}");
    assert_eq!(place.head(), place.commit("app/1.0"));
    let said = step.undo().unwrap();
    assert!(said.contains("was not made by this step"), "{said}");
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["app", "source"]);
}

#[test]
fn what_an_attempt_left_whose_notes_a_look_has_ended_is_known_by_its_name() {
    for undo in [false, true] {
        let place = Place::new();
        let mut step = place.step(&place.to("main"));
        place.write("app.new-run-1-code/.git/half", "");
        assert_eq!(step.undone().answer, Answer::Nothing);
        if !undo {
            step.perform().unwrap();
            assert_eq!(step.probe().answer, Answer::Done);
        }
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
        assert_eq!(place.names(), ["source"]);
    }
}

#[test]
fn names_that_mean_two_things_and_directories_that_are_no_clone_are_refused() {
    let place = Place::new();
    place.git("source", &["branch", "app/1.0", "main"]);
    let said = place
        .to("app/1.0")
        .observe(&place.context())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("refs/tags/app/1.0 and refs/heads/app/1.0"),
        "{said}"
    );
    let said = place
        .to("nothing")
        .observe(&place.context())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("neither a branch nor a tag nothing"),
        "{said}"
    );
    let below = Deploy {
        into: Some(place.path("source/new").display().to_string()),
        ..place.to("main")
    };
    assert!(below.observe(&place.context()).is_err());
    std::fs::create_dir(place.path("app")).unwrap();
    assert!(place.to("main").observe(&place.context()).is_err());
}

#[test]
fn the_version_file_is_evidence() {
    let place = Place::new();
    let with = |equals: Option<&str>, contains: Option<&str>, path: &str| Deploy {
        version_file: Some(VersionFile {
            path: path.into(),
            equals: equals.map(Into::into),
            contains: contains.map(Into::into),
        }),
        ..place.to("app/2.0")
    };
    let good = with(Some("2.0"), None, "VERSION");
    let mut step = place.step(&good);
    step.perform().unwrap();
    assert_eq!(step.probe().answer, Answer::Done);
    for (deploy, said) in [
        (
            with(Some("2"), None, "VERSION"),
            "should contain '2' but contains '2.0'",
        ),
        (with(None, Some("3.0"), "VERSION"), "should contain '3.0'"),
        (with(None, Some("x"), "NONE"), "no file NONE"),
    ] {
        let look = deploy.verify(&place.context(), &step.past()).unwrap();
        assert_eq!(look.answer, Answer::Unclear);
        assert!(look.evidence[0].contains(said), "{look:?}");
    }
    assert!(good.problems().is_empty());
    for bad in [
        with(None, None, "x"),
        with(Some("a"), None, "../x"),
        with(Some("a"), None, "/x"),
    ] {
        assert_eq!(bad.problems().len(), 1);
    }
}

#[test]
fn repositories_that_are_commands_or_options_are_problems() {
    let place = Place::new();
    for good in [
        "/srv/app.git",
        "https://x/y.git",
        "git@host:team/app.git",
        "file:///srv/app",
    ] {
        let deploy = Deploy {
            repo: good.into(),
            ..place.to("main")
        };
        assert_eq!(deploy.problems(), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "ext::sh -c x",
        "--upload-pack=x",
        "-x:y",
        "app.git",
        "../app",
        "foo://x",
    ] {
        let deploy = Deploy {
            repo: bad.into(),
            ..place.to("main")
        };
        assert_eq!(deploy.problems().len(), 1, "{bad}");
    }
    let read = serde_json::from_str::<Deploy>(r#"{"repo": "/r", "ref": "main", "into": "app"}"#);
    assert!(read.unwrap().problems()[0].contains("`into`"));
}

#[test]
fn a_missing_name_is_sure_to_fail_and_what_may_be_meant_is_named() {
    let place = Place::new();
    place.git("source", &["tag", "bklog/4.6.4"]);
    for (slip, meant) in [
        ("bklog-4.6.4", "; did you mean bklog/4.6.4?"),
        ("release/v4.6.4", "; did you mean bklog/4.6.4?"),
        ("app/2.1", "; did you mean app/2.0?"),
        ("mian", "; did you mean main?"),
    ] {
        let trouble = place.to(slip).observe(&place.context()).unwrap_err();
        assert!(trouble.is_certain());
        let said = trouble.to_string();
        assert!(said.ends_with(meant), "{said}");
    }
    let trouble = place
        .to("unheard-of")
        .observe(&place.context())
        .unwrap_err();
    assert!(trouble.is_certain() && !trouble.to_string().contains("mean"));
    // A repository that does not answer is another matter.
    let away = Deploy {
        repo: place.path("away").display().to_string(),
        ..place.to("main")
    };
    assert!(!away.observe(&place.context()).unwrap_err().is_certain());
}

#[test]
fn what_was_approved_is_what_is_deployed() {
    let place = Place::new();
    let planned = |name: &str| -> Deploy {
        let deploy = place.to(name);
        let step = place.step(&deploy);
        let past = step.past();
        let preview = deploy.preview(Direction::Do, &past);
        assert!(preview.findings[0].contains(&place.commit(name)));
        deploy.resolved(&past.before).unwrap()
    };
    let (tag, branch) = (planned("app/2.0"), planned("main"));
    let second = place.commit("app/2.0");
    assert_eq!(tag.commit.as_ref(), Some(&second));
    assert!(tag.problems().is_empty());
    assert_eq!(place.step(&tag).past().before.commit, second);
    place.write("source/VERSION", "3.0\n");
    place.release("app/3.0", false);
    place.git("source", &["tag", "-f", "app/2.0", "app/3.0"]);
    // A tag that moved is refused, for sure; of a branch that moved on, the approved commit is deployed.
    let trouble = tag.observe(&place.context()).unwrap_err();
    assert!(trouble.is_certain());
    let said = trouble.to_string();
    assert!(
        said.contains(&second) && said.contains("resolve the plan again"),
        "{said}"
    );
    let mut step = place.step(&branch);
    assert_eq!(step.past().before.commit, second);
    step.perform().unwrap();
    assert_eq!(
        (place.head(), place.read("app/VERSION")),
        (second, "2.0\n".into())
    );
    assert_eq!(step.probe().answer, Answer::Done);
}
