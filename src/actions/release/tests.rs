//! Links switched together, cut off between any two, gone on with and taken back; and what a prune must not take.

use super::prune::Prune;
use super::switch::{Switch, Target};
use crate::action::testing::TestStep;
use crate::action::{Context, Direction, Undoable, stays};
use crate::host::files::mark;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use upledger_replay::event::Answer;

const LINKS: [&str; 3] = ["current", "venv", "static"];

struct Place(tempfile::TempDir);

impl Place {
    /// Three links to `old`, and the directories of `new`.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in LINKS {
            for release in ["old", "new"] {
                std::fs::create_dir_all(place.path(&format!("{name}s/{release}"))).unwrap();
            }
            symlink(format!("{name}s/old"), place.path(name)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn cx(&self) -> Context {
        Context {
            state: self.path("state"),
            run: "run-1".into(),
            step: "switch".into(),
            env: vec![("PATH".into(), std::env::var("PATH").unwrap())],
            ..Context::default()
        }
    }

    fn switch(&self) -> Switch {
        let target = |name: &str| Target {
            path: self.path(name).display().to_string(),
            to: self.path(&format!("{name}s/new")).display().to_string(),
        };
        Switch {
            links: LINKS.map(target).to_vec(),
        }
    }

    fn step(&self) -> TestStep<Switch> {
        TestStep::observed(self.switch(), &self.cx()).unwrap()
    }

    /// Where each link leads.
    fn lead(&self) -> Vec<String> {
        let to = |name: &str| {
            let to = std::fs::read_link(self.path(name)).unwrap();
            to.file_name().unwrap().to_str().unwrap().to_owned()
        };
        LINKS.iter().map(|name| to(name)).collect()
    }
}

#[test]
fn what_is_stored_is_read_for_ever() {
    stays::<Switch>(
        r#"{"links": [{"path": "/srv/current", "target": "releases/1", "led": "/srv/releases/1"},
        {"path": "/srv/venv", "target": null, "led": null}]}"#,
        r#"{"switching": [{"link": "/srv/current", "at": "/srv/current.new-r-s", "from": "releases/1", "to": "/srv/releases/2"}]}"#,
        "null",
    );
    stays::<Prune>(
        r#"{"goes": [{"dir": "/srv/releases/1", "sort": "release"}, {"dir": "/srv/venvs/1", "sort": "virtualenv"},
        {"dir": "/srv/statics/1", "sort": "static"}], "stays": [{"dir": "/srv/releases/2", "why": {"link": "/srv/current"}},
        {"dir": "/srv/venvs/2", "why": {"undo": "run-1"}}, {"dir": "/srv/venvs/3", "why": {"process": "process 7 (x)"}},
        {"dir": "/srv/releases/3", "why": {"changed": "it contains untracked files: x"}}]}"#,
        r#"{"removing": {"dir": "/srv/releases/1", "at": "/srv/releases/1.old-r-s"}}"#,
        "null",
    );
}

#[test]
fn all_links_are_switched_and_switched_back_as_they_stood() {
    let place = Place::new();
    let mut step = place.step();
    assert_eq!(step.probe().answer, Answer::Nothing);
    for _ in 0..2 {
        step.perform().unwrap();
        assert_eq!(place.lead(), ["new"; 3]);
        assert_eq!(step.verify().answer, Answer::Done);
        assert_eq!(step.undone().answer, Answer::Nothing);
    }
    for _ in 0..2 {
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
    }
    let target = std::fs::read_link(place.path("venv")).unwrap();
    assert_eq!(target, PathBuf::from("venvs/old"), "word for word");
}

/// Whatever was switched when everything was cut off, both ways lead out of it.
#[test]
fn some_links_switched_is_told_from_all_and_none_and_both_ways_go_on() {
    for cut in 1..LINKS.len() {
        for forwards in [true, false] {
            let place = Place::new();
            let mut step = place.step();
            for name in &LINKS[..cut] {
                std::fs::remove_file(place.path(name)).unwrap();
                symlink(place.path(&format!("{name}s/new")), place.path(name)).unwrap();
            }
            // The next one was about to be renamed.
            symlink("x", place.path(&format!("{}.new-run-1-switch", LINKS[cut]))).unwrap();
            let look = step.probe();
            assert_eq!(look.answer, Answer::Unclear);
            assert!(look.evidence[0].contains("others are not"), "{look:?}");
            if forwards {
                step.perform().unwrap();
                assert_eq!(step.probe().answer, Answer::Done);
                assert_eq!(place.lead(), ["new"; 3]);
            } else {
                assert_eq!(step.undone().answer, Answer::Nothing);
                step.undo().unwrap();
                assert_eq!(step.undone().answer, Answer::Done);
                assert_eq!(place.lead(), ["old"; 3]);
            }
            let listed = std::fs::read_dir(place.0.path()).unwrap();
            let left = listed
                .flatten()
                .any(|e| e.file_name().to_string_lossy().contains(".new-"));
            assert!(!left, "nothing is left over");
        }
    }
}

#[test]
fn a_link_that_somebody_moved_is_refused_before_any_is_switched() {
    let place = Place::new();
    let mut step = place.step();
    std::fs::remove_file(place.path("static")).unwrap();
    symlink("statics", place.path("static")).unwrap();
    let why = step.perform().unwrap_err();
    assert!(why.contains("has been changed since"), "{why}");
    assert_eq!(place.lead()[..2], ["old", "old"]);
    assert_eq!(step.probe().answer, Answer::Unclear);
    assert_eq!(step.undone().answer, Answer::Unclear);
    let why = step.undo().unwrap_err();
    assert!(why.contains("has been changed since"), "{why}");
}

#[test]
fn a_former_release_that_is_gone_is_no_place_to_go_back_to() {
    let place = Place::new();
    let mut step = place.step();
    step.perform().unwrap();
    std::fs::remove_dir(place.path("currents/old")).unwrap();
    let why = step.undo().unwrap_err();
    assert!(why.contains("no longer exists"), "{why}");
    assert_eq!(place.lead(), ["new"; 3], "none is switched back");
}

#[test]
fn what_is_not_built_and_what_is_no_link_is_refused_by_the_look() {
    let place = Place::new();
    std::fs::remove_dir(place.path("venvs/new")).unwrap();
    let refused = |place: &Place| match TestStep::observed(place.switch(), &place.cx()) {
        Ok(_) => panic!("it is refused"),
        Err(why) => why.to_string(),
    };
    let why = refused(&place);
    assert!(why.contains("there is no directory"), "{why}");
    std::fs::create_dir(place.path("venvs/new")).unwrap();
    std::fs::remove_file(place.path("static")).unwrap();
    std::fs::create_dir(place.path("static")).unwrap();
    let why = refused(&place);
    assert!(why.contains("is a real directory"), "{why}");
    // A link that is not there is made, and its undo removes it.
    std::fs::remove_dir(place.path("static")).unwrap();
    let mut step = place.step();
    step.perform().unwrap();
    assert_eq!(place.lead(), ["new"; 3]);
    step.undo().unwrap();
    assert!(std::fs::symlink_metadata(place.path("static")).is_err());
    let names = step.commands(Direction::Undo);
    assert!(names[0].contains("remove"), "{names:?}");
}

impl Place {
    /// Trees of static files, oldest first.
    fn statics(&self, names: &[&str]) -> Prune {
        for (age, name) in names.iter().rev().enumerate() {
            let dir = self.path(&format!("trees/{name}"));
            std::fs::create_dir_all(&dir).unwrap();
            mark::write(&dir).unwrap();
            let made = std::time::SystemTime::now()
                - std::time::Duration::from_secs(60 * u64::try_from(age).unwrap());
            let mark = std::fs::File::open(dir.join(".upledger")).unwrap();
            mark.set_modified(made).unwrap();
        }
        Prune {
            keep: 1,
            releases: None,
            venvs: None,
            statics: Some(self.path("trees").display().to_string()),
            links: Vec::new(),
            rollbacks: None,
        }
    }

    fn trees(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.path("trees")).unwrap().flatten();
        let mut names: Vec<String> = listed
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_a_link_a_process_or_an_undo_needs_stays_and_the_rest_goes() {
    let place = Place::new();
    let names = [
        "1-old",
        "2-linked",
        "3-undone",
        "4-used",
        "5-relative",
        "6-expired",
        "7-new",
    ];
    let prune = Prune {
        rollbacks: Some(2),
        ..place.statics(&names)
    };
    std::fs::create_dir(place.path("trees/somebodys")).unwrap();
    symlink("trees/2-linked", place.path("serves")).unwrap();
    let mut sleeps = std::process::Command::new("sleep")
        .arg("60")
        .current_dir(place.path("trees/4-used"))
        .spawn()
        .unwrap();
    let text = |run: &str, age: usize, text: String| Undoable {
        run: run.into(),
        age,
        text,
    };
    let below = |name: &str| place.path(name).display().to_string();
    let cx = Context {
        undoable: vec![
            text(
                "night-2",
                0,
                format!("--static={}/css", below("trees/3-undone")),
            ),
            text("night-1", 1, "trees/5-relative".into()),
            text("long-ago", 2, below("trees/6-expired")),
        ],
        ..place.cx()
    };
    let mut step = TestStep::observed(prune, &cx).unwrap();
    assert_eq!(step.probe().answer, Answer::Nothing);
    let said = step.perform().unwrap();
    sleeps.kill().unwrap();
    sleeps.wait().unwrap();
    assert_eq!(step.verify().answer, Answer::Done);
    let kept = [
        "2-linked",
        "3-undone",
        "4-used",
        "5-relative",
        "7-new",
        "somebodys",
    ];
    assert_eq!(place.trees(), kept, "{said}");
    for why in [
        "serves points to it",
        "the rollback of night-2 needs it",
        "(sleep) uses it",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_removal_that_was_cut_off_is_finished() {
    let place = Place::new();
    let prune = place.statics(&["1", "2"]);
    let mut step = TestStep::observed(prune, &place.cx()).unwrap();
    std::fs::rename(
        place.path("trees/1"),
        place.path("trees/1.old-run-1-switch"),
    )
    .unwrap();
    assert_eq!(step.probe().answer, Answer::Nothing);
    step.perform().unwrap();
    assert_eq!(step.verify().answer, Answer::Done);
    assert_eq!(place.trees(), ["2"]);
}
