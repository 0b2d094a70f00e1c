//! What the record holds of an installation, and the undo that works from it: stored records are read for ever, only
//! what the notes of a step name is removed, and a death between a note and its effect is survived.

use super::super::record::{Before, Installed, Note};
use super::super::venv::Venv;
use super::super::{Install, State};
use crate::action::testing::TestStep;
use crate::action::{Action, Context, Direction, FactKind, facts_of};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;

const BEFORE: &str = r#"{"complete": false, "python": {"implementation": "cpython", "version": "3.11.2", "base": "/usr"},
    "files": [{"path": "/srv/app/requirements.txt", "digest": {"blob": "00", "len": 64}}], "hashes": true,
    "current": "venvs/1.0", "led": true}"#;
const NOTES: &str = r#"[{"building": {"venv": "/srv/venvs/2.0", "at": "/srv/venvs/2.0.new-run-1-pip"}},
    {"switching": {"link": "/srv/venv", "at": "/srv/venv.new-run-1-pip", "from": "venvs/1.0", "to": "/srv/venvs/2.0"}},
    {"removing": {"venv": "/srv/venvs/2.0", "at": "/srv/venvs/2.0.old-run-1-pip"}}]"#;
const OUTPUT: &str = r#"{"venv": "/srv/venvs/2.0", "python": "/srv/venvs/2.0/bin/python"}"#;

#[test]
fn stored_records_are_read_for_ever() {
    fn assert_stored<T: Serialize + for<'de> Deserialize<'de>>(text: &str) {
        let read: T = serde_json::from_str(text).unwrap();
        let stored: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), stored);
    }
    assert_stored::<Before>(BEFORE);
    assert_stored::<Vec<Note>>(NOTES);
    assert_stored::<Installed>(OUTPUT);
    let facts = facts_of::<Installed>();
    assert!(facts.iter().all(|f| f.kind == FactKind::Path), "{facts:?}");
}

/// A directory with an empty requirement file.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.path("none.txt"), "# nothing\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn install(&self, link: &str, smoke: &str) -> Install {
        serde_json::from_value(json!({
            "venv": self.text("venv"), "current": self.text(link), "python": "/usr/bin/python3",
            "requirements": [self.text("none.txt")], "free": "1MiB", "no_index": true, "find_links": [self.text("")],
            "smoke": [["bin/python", "-c", smoke]], "undo_removes": true,
        }))
        .unwrap()
    }

    fn context(&self, run: &str) -> Context {
        Context {
            state: self.path("state"),
            run: run.into(),
            step: "pip".into(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..Context::default()
        }
    }

    fn step(&self, run: &str, link: &str, smoke: &str) -> TestStep<Install> {
        TestStep::observed(self.install(link, smoke), &self.context(run)).unwrap()
    }

    /// What an attempt of that run notes before it makes the virtualenv.
    fn building(&self, run: &str) -> Note {
        let venv = self.text("venv");
        let at = format!("{venv}.new-{run}-pip");
        Note::Building { venv, at }
    }

    fn names(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = listed
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "state")
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_run_removes_only_what_its_own_notes_say_it_made_and_nobody_else_relies_on() {
    let place = Place::new();
    let mut first = place.step("run-a", "one", "1");
    assert_eq!(first.probed().1, None, "nothing is done yet");
    assert_eq!(
        first.commands(Direction::Undo),
        [
            format!("remove {}", place.text("one")),
            format!("{} is removed if this step created it", place.text("venv"))
        ]
    );
    first.perform().unwrap();
    let output = json!({"venv": place.text("venv"), "python": place.text("venv/bin/python")});
    assert_eq!(first.past.output.as_ref(), Some(&output));
    assert_eq!(
        first.commands(Direction::Undo),
        [
            format!("remove {}", place.text("one")),
            format!("remove {}", place.text("venv"))
        ]
    );
    // Found done, and done with its outcome lost.
    assert_eq!(
        place.step("run-b", "one", "1").probed().1,
        Some(output.clone())
    );
    assert_eq!(first.probed().1, Some(output));

    // Another run finds it finished, and only switches a link of its own.
    let mut second = place.step("run-b", "two", "2");
    assert!(second.commands(Direction::Do)[0].contains("/bin/python -c 2"));
    second.perform().unwrap();
    assert_eq!(second.verify().answer, Answer::Done);
    assert_eq!(
        second.commands(Direction::Undo),
        [format!("remove {}", place.text("two"))]
    );
    let said = first.undo().unwrap();
    assert!(said.contains("the run run-b uses it"), "{said}");
    let look = first.undone();
    assert_eq!(look.answer, Answer::Done, "{look:?}");
    assert!(look.evidence[0].contains("run-b uses it"), "{look:?}");
    assert_eq!(second.verify().answer, Answer::Done);
    let said = second.undo().unwrap();
    assert!(said.contains("is kept"), "{said}");
    assert_eq!(second.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["none.txt", "venv"]);
}

#[test]
fn a_death_between_a_note_and_its_effect_is_survived_in_either_direction() {
    let place = Place::new();
    let mut step = place.step("run-a", "link", "1");
    step.died_after(Direction::Do, &place.building("run-a"));
    assert_eq!(step.probe().answer, Answer::Nothing);
    assert_eq!(step.undone().answer, Answer::Done, "before its effect");
    // Cut off before the directory had its name.
    std::fs::create_dir_all(place.path("venv.new-run-a-pip/.upledger")).unwrap();
    assert_eq!(step.undone().answer, Answer::Nothing);
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["none.txt"]);
    std::fs::create_dir_all(place.path("venv.new-run-a-pip/.upledger")).unwrap();
    step.perform().unwrap();
    assert_eq!(step.probe().answer, Answer::Done);
    // Before the link is switched back, and in the middle of the removal.
    let link = place.text("link");
    let at = format!("{link}.new-run-a-pip");
    std::os::unix::fs::symlink("half", &at).unwrap();
    let (from, to) = (Some(place.text("venv")), None);
    let switching = Note::Switching { link, at, from, to };
    step.died_after(Direction::Undo, &switching);
    assert_eq!(step.undone().answer, Answer::Nothing);
    let at = place.text("venv.old-run-a-pip");
    let venv = place.text("venv");
    step.died_after(Direction::Undo, &Note::Removing { venv, at });
    std::fs::remove_file(place.path("link")).unwrap();
    std::fs::rename(place.path("venv"), place.path("venv.old-run-a-pip")).unwrap();
    assert_eq!(step.undone().answer, Answer::Nothing);
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["none.txt"]);
}

#[test]
fn one_that_was_finished_and_not_switched_to_is_still_this_steps() {
    let place = Place::new();
    let mut step = place.step("run-a", "link", "1");
    step.perform().unwrap();
    std::fs::remove_file(place.path("link")).unwrap();
    assert_eq!(step.probe().answer, Answer::Nothing);
    // After that answer the step is looked at anew, and begins without notes.
    let mut step = place.step("run-a", "link", "1");
    assert!(step.past().before.complete);
    let said = step.perform().unwrap();
    assert!(said.contains("is already complete"), "{said}");
    assert!(step.undo().unwrap().contains("removed"));
    assert_eq!(place.names(), ["none.txt"]);
}

#[test]
fn a_half_built_one_is_taken_over_and_then_it_is_nobody_elses() {
    let place = Place::new();
    let mut first = place.step("run-a", "one", "1");
    first.died_after(Direction::Do, &place.building("run-a"));
    let venv = Venv::at(&place.text("venv"));
    venv.make(&first.cx, &place.path("made")).unwrap();
    std::fs::write(place.path("venv/left"), "").unwrap();
    let mut second = place.step("run-b", "two", "1");
    second.perform().unwrap();
    assert!(!place.path("venv/left").exists(), "it was built anew");
    let said = first.undo().unwrap();
    assert!(said.contains("the run run-b uses it"), "{said}");
    assert_eq!(first.undone().answer, Answer::Done);
    assert!(second.undo().unwrap().contains("removed"));
    assert_eq!(second.undone().answer, Answer::Done);
    assert_eq!(place.names(), ["none.txt"]);
}

#[test]
fn one_that_came_between_the_look_and_an_undo_without_a_note_stays() {
    let place = Place::new();
    let mut step = place.step("run-a", "link", "1");
    // As this run would have begun it: the mark alone tells nothing.
    let venv = Venv::at(&place.text("venv"));
    venv.make(&step.cx, &place.path("made")).unwrap();
    assert!(matches!(venv.state().unwrap(), State::Half(_)));
    assert!(step.undo().unwrap().contains("is kept"));
    assert_eq!(step.undone().answer, Answer::Done);
    assert!(place.path("venv").is_dir());
}

#[test]
fn the_record_holds_no_digest_by_which_a_requirement_file_could_be_guessed() {
    let place = Place::new();
    let step = place.step("run-a", "link", "1");
    let sha256 = crate::host::files::disk::digest(b"# nothing\n");
    let record = step.past.before.to_string();
    assert!(record.contains("none.txt") && !record.contains(&sha256));
    assert!(!Path::new(&place.text("state")).exists(), "nothing is kept");
    std::fs::write(place.path("none.txt"), "# something\n").unwrap();
    let mut step = step;
    let said = step.perform().unwrap_err();
    assert!(said.contains("none.txt has changed since"), "{said}");
    assert_eq!(place.names(), ["none.txt"]);
    assert!(step.past.notes.is_empty());
    assert!(step.action.observe(&step.cx).is_ok());
}
