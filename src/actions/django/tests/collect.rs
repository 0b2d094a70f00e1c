//! `django.collectstatic` against an application that is a script: whatever is noted is durable before it comes true, the
//! former directory comes back by what the record names, whoever dies when, and others' work stays.

use super::super::check::Check;
use super::super::collectstatic::{Before, Collectstatic};
use super::super::tree;
use crate::action::{Blob, Context, Direction, Erased, Noted, Past, RawPast};
use crate::attempt::job::JobDir;
use crate::attempt::spool::Entry;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use upledger_replay::event::Answer;

/// An application whose command puts `new.css` into its static root, and whose answers tell whether it is there.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let answer = json!({
            "static_root": site.at("static"), "static_url": "/static/", "storage": "s", "version": "2", "settings": "s",
            "django": "4.2", "root": site.at("static"), "files": 2, "digest": "d",
        });
        let script = format!(
            "#!/bin/sh\nroot={root}\ncase $1 in\n-c) test -e $root/new.css; printf '\\n%s%s, \"missing\": %s}}\\n' \"$3\" '{open}' $?;;\n\
             *) mkdir -p $root; echo new > $root/new.css; echo \"1 static file copied to '$root'.\";;\nesac\n",
            root = site.at("static").display(),
            open = answer.to_string().trim_end_matches('}'),
        );
        std::fs::write(site.at("python"), script).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(site.at("python"), mode).unwrap();
        std::fs::write(site.at("manage.py"), "").unwrap();
        site
    }

    fn with_former() -> Self {
        let site = Self::new();
        std::fs::create_dir(site.at("static")).unwrap();
        std::fs::write(site.at("static/old.css"), "old").unwrap();
        site
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn action(&self) -> Collectstatic {
        let settings = json!({"python": self.at("python"), "manage": self.at("manage.py")});
        serde_json::from_value(settings).unwrap()
    }

    fn context(&self, blobs: &[Blob]) -> Context {
        Context {
            state: self.at("state"),
            run: "r".into(),
            step: "static".into(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            blobs: blobs.to_vec(),
            ..Context::default()
        }
    }

    /// Looks before the first attempt.
    fn observed(&self) -> Record {
        let cx = self.context(&[]);
        let seen = Erased::observe(&self.action(), &cx).unwrap();
        Record {
            past: RawPast {
                before: seen.before,
                ..RawPast::default()
            },
            blobs: cx.take_kept(),
            attempts: 0,
        }
    }

    /// What lies beside the application.
    fn beside(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.at(""))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("static"))
            .collect();
        names.sort();
        names
    }
}

/// What the ledger holds of the step.
struct Record {
    past: RawPast,
    blobs: Vec<Blob>,
    attempts: u32,
}

impl Record {
    /// An attempt in a process of its own, whose spool is imported.
    fn attempt(&mut self, site: &Site, direction: Direction) {
        self.attempts += 1;
        let job = JobDir::at(site.at(&format!("job-{}", self.attempts)));
        std::fs::create_dir(job.path()).unwrap();
        let cx = Context {
            spool: Some(job.spool()),
            ..site.context(&self.blobs)
        };
        let (action, mut log) = (site.action(), Vec::new());
        match direction {
            Direction::Do => Erased::perform(&action, &cx, &self.past, &mut log).unwrap(),
            Direction::Undo => Erased::undo(&action, &cx, &self.past, &mut log).unwrap(),
        }
        for entry in job.spooled().unwrap() {
            match entry {
                Entry::Noted { note, blobs } => {
                    self.blobs.extend(blobs);
                    self.past.notes.push(Noted {
                        direction,
                        attempt: self.attempts,
                        note,
                    });
                }
                Entry::Produced { output, .. } if direction == Direction::Do => {
                    self.past.output = Some(output);
                }
                other => assert_eq!(direction, Direction::Undo, "{other:?}"),
            }
        }
    }

    fn perform(&mut self, site: &Site) -> Value {
        self.attempt(site, Direction::Do);
        self.past.output.clone().unwrap()
    }

    fn undo(&mut self, site: &Site) {
        self.attempt(site, Direction::Undo);
        let cx = site.context(&self.blobs);
        let look = site.action().undone(&cx, &self.past).unwrap();
        assert_eq!(look.answer, Answer::Done, "{look:?}");
    }

    fn probe(&self, site: &Site) -> (Answer, Option<Value>) {
        let action = site.action();
        let (look, output) =
            Erased::probe(&action, &site.context(&self.blobs), &self.past).unwrap();
        (look.answer, output)
    }

    /// As if the attempt had died behind that many of its notes.
    fn forget_after(&mut self, notes: usize) {
        self.past.notes.truncate(notes);
        self.past.output = None;
    }

    fn noted(&self) -> Vec<Value> {
        self.past.notes.iter().map(|n| n.note.clone()).collect()
    }
}

#[test]
fn what_is_collected_is_noted_and_taken_back_by_the_record_alone() {
    let site = Site::with_former();
    let former = tree::look(&site.at("static")).unwrap();
    let mut record = site.observed();
    assert_eq!(record.probe(&site), (Answer::Nothing, None));
    let output = record.perform(&site);
    assert_eq!(output, json!({"root": site.at("static"), "files": 2}));
    let notes = record.noted();
    assert_eq!(notes[..2], [json!("copies"), json!("collects")]);
    assert_eq!(notes[2]["left"]["files"], 2);
    // A step that is found done has its output.
    assert_eq!(record.probe(&site), (Answer::Done, Some(output)));
    // Nothing is kept in the state directory: the copy lies beside the directory.
    assert!(!site.at("state/undo").exists());
    record.undo(&site);
    assert_eq!(tree::look(&site.at("static")).unwrap(), former);
    assert_eq!(site.beside(), ["static"]);
}

#[test]
fn whoever_dies_when_the_former_directory_comes_back_or_the_step_is_finished() {
    for (died_after, collected) in [(1, false), (2, false), (2, true)] {
        for again in [false, true] {
            let site = Site::with_former();
            let former = tree::look(&site.at("static")).unwrap();
            let mut record = site.observed();
            record.perform(&site);
            // The world and the record as they were at that moment.
            record.forget_after(died_after);
            if !collected {
                std::fs::remove_file(site.at("static/new.css")).unwrap();
                assert_eq!(tree::look(&site.at("static")).unwrap(), former);
            }
            if again {
                record.perform(&site);
                let collects = record.noted().into_iter().filter(|n| n == "collects");
                assert_eq!(collects.count(), 1, "it is noted once");
                record.undo(&site);
                assert_eq!(site.beside(), ["static"]);
            } else {
                record.undo(&site);
                // Collected, and its end was not noted: nobody knows whose it is, so it is kept.
                let kept = site.beside().len() - 1;
                assert_eq!(kept, usize::from(collected), "{:?}", site.beside());
            }
            assert_eq!(
                tree::look(&site.at("static")).unwrap(),
                former,
                "{died_after} {again}"
            );
        }
    }
}

#[test]
fn without_a_note_nothing_is_taken_for_its_own_work() {
    for site in [Site::new(), Site::with_former()] {
        let mut record = site.observed();
        // It died before it did anything; somebody else puts a file there.
        std::fs::create_dir_all(site.at("static")).unwrap();
        std::fs::write(site.at("static/theirs.css"), "x").unwrap();
        record.undo(&site);
        assert!(site.at("static/theirs.css").exists());
        assert_eq!(site.beside(), ["static"]);
    }
}

#[test]
fn a_directory_that_was_not_there_is_removed_again_and_strangers_files_are_kept() {
    let site = Site::new();
    let mut record = site.observed();
    record.perform(&site);
    record.undo(&site);
    assert_eq!(site.beside(), Vec::<String>::new());
    // Twice does no harm.
    record.undo(&site);

    let site = Site::new();
    let mut record = site.observed();
    record.perform(&site);
    std::fs::write(site.at("static/theirs.css"), "x").unwrap();
    record.undo(&site);
    let kept = site.beside();
    assert_eq!(kept.len(), 1);
    assert!(site.at(&kept[0]).join("theirs.css").exists());
}

#[test]
fn the_preview_of_the_undo_names_what_it_does() {
    let site = Site::with_former();
    let past = site.observed().past;
    let action = site.action();
    let lines = |direction| action.preview(direction, &past).unwrap().commands;
    let done = lines(Direction::Do);
    let words = format!(
        "{} {} collectstatic --noinput",
        site.at("python").display(),
        site.at("manage.py").display()
    );
    assert_eq!(done, [words]);
    let findings = action.preview(Direction::Do, &past).unwrap().findings;
    assert!(findings[0].contains("(1 file) is kept as"), "{findings:?}");
    let root = site.at("static").display().to_string();
    let undo = lines(Direction::Undo);
    assert!(
        undo[0].contains(".static.upledger-") && undo[0].contains(&root),
        "{undo:?}"
    );
    let bare = Site::new();
    let undo = bare
        .action()
        .preview(Direction::Undo, &bare.observed().past)
        .unwrap()
        .commands;
    assert!(undo[0].ends_with("which did not exist before"), "{undo:?}");
}

/// A record of this version is read for ever.
#[test]
fn what_was_stored_is_understood() {
    const STORED: &str = r#"{
        "before": {"root": "/srv/static", "former": {"tree": {"blob": "0a", "len": 64}, "files": 3},
            "manifest": {"blob": "0b", "len": 64}, "version": "1", "files": 5, "copy": "/srv/.static.upledger-x"},
        "notes": [
            {"direction": "do", "attempt": 1, "note": "copies"},
            {"direction": "do", "attempt": 1, "note": "collects"},
            {"direction": "do", "attempt": 1, "note": {"left": {"tree": {"blob": "0c", "len": 64}, "files": 5}}}
        ],
        "output": {"root": "/srv/static", "files": 5}
    }"#;
    let raw: RawPast = serde_json::from_str(STORED).unwrap();
    let past: Past<Collectstatic> = raw.read().unwrap();
    let again = RawPast {
        before: serde_json::to_value::<&Before>(&past.before).unwrap(),
        notes: past
            .notes
            .iter()
            .map(|n| Noted {
                direction: n.direction,
                attempt: n.attempt,
                note: serde_json::to_value(&n.note).unwrap(),
            })
            .collect(),
        output: past
            .output
            .as_ref()
            .map(|o| serde_json::to_value(o).unwrap()),
        later: Vec::new(),
    };
    assert_eq!(again, raw);
    let nothing: RawPast =
        serde_json::from_str(r#"{"before": null, "notes": [], "output": null}"#).unwrap();
    nothing.read::<Check>().expect("a look has no past");
}
