//! What the record holds of a deployment: read for ever, handed on to later steps, and shown before an undo.

use super::*;
use crate::action::{FactKind, facts_of};

const BEFORE_IN_PLACE: &str = r#"{"commit": "0123456789abcdef0123456789abcdef01234567", "name": "refs/tags/app/2.0",
    "layout": {"in_place": {"head": {"commit": "89abcdef0123456789abcdef0123456789abcdef", "branch": "refs/heads/main"},
    "modules": [{"path": "libs/one", "head": {"commit": "89abcdef0123456789abcdef0123456789abcdef", "branch": null}}]}}}"#;
const BEFORE_RELEASE: &str = r#"{"commit": "0123456789abcdef0123456789abcdef01234567", "name": null,
    "layout": {"side_by_side": {"dir": "/srv/releases/app-2.0-0123456789ab", "existed": false,
    "target": "releases/app-1.0-89abcdef0123", "led": true, "old": ["/srv/releases/app-0.9-456789abcdef"],
    "stays": [{"dir": "/srv/releases/app-0.8-6789abcdef01", "why": {"process": "process 7 (python)"}}]}}}"#;
const NOTES: &str = r#"[{"cloning": {"dir": "/srv/app", "at": "/srv/app.new-run-1-code"}},
    {"cloned": {"dir": "/srv/app", "state": {"blob": "00", "len": 64}}},
    {"checking_out": {"dir": "/srv/app", "commit": "0123456789abcdef0123456789abcdef01234567"}},
    {"adding_submodules": {"paths": ["libs/one"]}},
    {"switching": {"link": "/srv/current", "at": "/srv/current.new-run-1-code", "from": null, "to": "/srv/releases/x"}},
    {"removing": {"dir": "/srv/releases/y", "at": "/srv/releases/y.old-run-1-code"}},
    {"moving_aside": {"dir": "/srv/app", "to": "/srv/app.aside-run-1-code"}}]"#;
const OUTPUT: &str =
    r#"{"commit": "0123456789abcdef0123456789abcdef01234567", "release": "/srv/app"}"#;

/// What was read is what would be written.
fn assert_stored<T: Serialize + for<'de> Deserialize<'de>>(text: &str) {
    let read: T = serde_json::from_str(text).unwrap();
    let stored: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), stored);
}

#[test]
fn stored_records_are_read_for_ever() {
    assert_stored::<Before>(BEFORE_IN_PLACE);
    assert_stored::<Before>(BEFORE_RELEASE);
    assert_stored::<Vec<Note>>(NOTES);
    assert_stored::<Deployed>(OUTPUT);
}

#[test]
fn a_record_of_another_version_is_refused_and_so_is_one_whose_commit_is_an_option() {
    let former =
        r#"{"commit": "0123456789abcdef0123456789abcdef01234567", "name": null, "before": null}"#;
    assert!(serde_json::from_str::<Before>(former).is_err());
    let option = BEFORE_IN_PLACE.replace("0123456789abcdef0123456789abcdef01234567", "--force");
    let why = serde_json::from_str::<Before>(&option).unwrap_err();
    assert!(
        why.to_string().contains("'--force' is not a commit"),
        "{why}"
    );
}

#[test]
fn later_steps_get_the_commit_and_the_directory_of_the_release_however_the_step_was_done() {
    let kinds: Vec<_> = facts_of::<Deployed>()
        .into_iter()
        .map(|f| (f.name, f.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("commit".to_owned(), FactKind::Commit),
            ("release".to_owned(), FactKind::Path)
        ]
    );
    for beside in [false, true] {
        let place = Place::new();
        let (deploy, release) = if beside {
            (place.beside("app/2.0"), place.dir("app/2.0"))
        } else {
            (place.to("app/2.0"), place.path("app"))
        };
        let mut step = place.step(&deploy);
        assert_eq!(step.probed().1, None, "nothing is done yet");
        step.perform().unwrap();
        let output = serde_json::json!({"commit": place.commit("app/2.0"), "release": release});
        assert_eq!(step.past.output.as_ref(), Some(&output));
        // Found done, before it ever ran here, and after its outcome was lost.
        assert_eq!(place.step(&deploy).probed().1, Some(output.clone()));
        assert_eq!(step.probed().1, Some(output));
        step.undo().unwrap();
        assert_eq!(step.probed().1, None);
    }
}

#[test]
fn a_preview_names_the_commands_of_either_direction() {
    let place = Place::new();
    let (app, second) = (
        place.path("app").display().to_string(),
        place.commit("app/2.0"),
    );
    let fresh = place.step(&place.to("app/2.0"));
    let source = place.path("source").display().to_string();
    assert_eq!(
        fresh.commands(Direction::Do),
        [
            format!("git clone --no-checkout {source} {app}"),
            format!("git -C {app} checkout --detach {second}")
        ]
    );
    assert_eq!(
        fresh.commands(Direction::Undo),
        [format!(
            "remove {app} if this step created it; move it aside if somebody has worked in it"
        )]
    );
    place.cloned();
    let step = place.step(&place.to("app/2.0"));
    assert_eq!(
        step.commands(Direction::Undo),
        [format!("git -C {app} checkout main")]
    );
    let first = place.deployed("app/1.0");
    let current = place.path("current").display().to_string();
    assert_eq!(
        first.commands(Direction::Undo),
        [format!("remove {current}")]
    );
    let second = place.step(&place.beside("app/2.0"));
    assert_eq!(
        second.commands(Direction::Undo),
        [format!(
            "switch the link {current} to {}",
            place.dir("app/1.0").display()
        )]
    );
}

#[test]
fn what_was_undone_and_done_again_leaves_no_private_file() {
    let place = Place::new();
    let mut step = place.step(&place.to("app/2.0"));
    for _ in 0..2 {
        step.perform().unwrap();
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
    }
    assert!(!place.path("state").exists());
}
