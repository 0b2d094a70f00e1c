//! Proves, on real files: each action on files is done once however often it is started, notices strangers, survives
//! its own death, and is put back to the byte.

mod backup;
mod line;
mod replace;
mod restore;

use super::{backup::Backup, line::Line, replace::Replace, restore::Restore};
use crate::action::{Context, Direction, Error, Preview, RawPast, stays};
use crate::actions::Do;
use crate::attempt::job::JobDir;
use crate::attempt::spool::{Entry, SpoolReader};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;

/// A directory, and a context in it.
struct World {
    dir: tempfile::TempDir,
    cx: Context,
}

/// All of a file that is put back.
type Whole = (Vec<u8>, u32, u32, u32, (i64, i64));

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let cx = Context {
            spool: Some(JobDir::at(state.clone()).spool()),
            state,
            run: "run-1".into(),
            step: "step".into(),
            ..Context::default()
        };
        Self { dir, cx }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A file with a mode, an owner and a time of its own.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        }
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_000_000);
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
        path
    }

    /// What lies in the directory beside the state.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n != "state")
            .collect();
        names.sort();
        names
    }

    /// Where the former content of a step is kept.
    fn kept(&self, past: &RawPast) -> PathBuf {
        let blob = past.before["former"]["content"]["blob"].as_str().unwrap();
        self.path("state/undo").join(blob)
    }

    fn observe(&self, action: &Do) -> RawPast {
        let before = action.kind_of().observe(&self.cx).unwrap().before;
        RawPast {
            before,
            ..RawPast::default()
        }
    }

    fn probe(&self, action: &Do, past: &RawPast) -> Answer {
        action.kind_of().probe(&self.cx, past).unwrap().0.answer
    }

    fn undone(&self, action: &Do, past: &RawPast) -> Answer {
        action.kind_of().undone(&self.cx, past).unwrap().answer
    }

    fn perform(&self, action: &Do, past: &RawPast) -> Result<(), Error> {
        let kind = action.kind_of();
        kind.perform(&self.cx, past, &mut std::io::sink())
    }

    fn undo(&self, action: &Do, past: &RawPast) -> Result<(), Error> {
        let kind = action.kind_of();
        kind.undo(&self.cx, past, &mut std::io::sink())
    }

    fn preview(&self, action: &Do, direction: Direction, past: &RawPast) -> Preview {
        action.kind_of().preview(direction, past).unwrap()
    }

    /// What would change now.
    fn diff(&self, action: &Do) -> Result<Option<String>, Error> {
        let cx = Context {
            inert: true,
            ..self.cx.clone()
        };
        action.kind_of().observe(&cx)?;
        Ok(cx.take_diff())
    }

    /// What the last attempt has produced.
    fn produced(&self) -> Value {
        let job = JobDir::at(self.cx.state.clone());
        match SpoolReader::default().read(&job).unwrap().pop() {
            Some(Entry::Produced { output, .. }) => output,
            other => panic!("{other:?}"),
        }
    }

    /// Look, act, prove: as the runner does.
    fn run(&self, action: &Do) -> RawPast {
        let mut past = self.observe(action);
        assert_eq!(self.probe(action, &past), Answer::Nothing);
        self.perform(action, &past).unwrap();
        let proof = action.kind_of().verify(&self.cx, &past).unwrap();
        assert_eq!(proof.answer, Answer::Done, "{proof:?}");
        assert!(!proof.evidence.is_empty());
        let (look, output) = action.kind_of().probe(&self.cx, &past).unwrap();
        assert_eq!((look.answer, output), (Answer::Done, Some(self.produced())));
        past.output = Some(self.produced());
        past
    }

    #[track_caller]
    fn refuses(&self, action: &Do, why: &str) {
        let trouble = action.kind_of().observe(&self.cx).unwrap_err().to_string();
        assert!(trouble.contains(why), "{trouble}");
    }
}

/// Nothing that is recorded holds a digest that tells what a file held.
fn tells_nothing(past: &RawPast, bytes: &[u8]) {
    let recorded = serde_json::to_string(past).unwrap();
    assert!(
        !recorded.contains(&crate::host::files::disk::digest(bytes)),
        "{recorded}"
    );
}

fn whole(path: &Path) -> Whole {
    let meta = path.symlink_metadata().unwrap();
    (
        std::fs::read(path).unwrap(),
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        (meta.mtime(), meta.mtime_nsec()),
    )
}

fn action(kind: &str, settings: Value) -> Do {
    serde_json::from_value(json!({ kind: settings })).unwrap()
}

#[track_caller]
fn problem(kind: &str, settings: Value, part: &str) {
    let problems = action(kind, settings).kind_of().problems();
    assert!(problems.iter().any(|p| p.contains(part)), "{problems:?}");
}

#[test]
fn a_mode_is_octal_digits_and_nothing_else() {
    use crate::host::files::mode::Mode;
    for (text, bits) in [("0640", 0o640), ("755", 0o755), ("4755", 0o4755)] {
        let mode: Mode = text.parse().unwrap();
        assert_eq!(mode.bits(), bits);
        assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
    }
    for bad in ["", "64", "00640", "0o640", "648", "rw-", "-640", "+640"] {
        assert!(bad.parse::<Mode>().is_err(), "{bad}");
    }
}

#[test]
fn plans_with_these_actions_are_read_with_their_variables() {
    let plan = r#"
upledger: 1
name: files
vars: {root: /srv/app, mode: "0600"}
phases:
  - phase: p
    steps:
      - {id: b, do: {file.backup: {path: "${root}/.env", to: "${root}/.env.bak"}}}
      - {id: r, do: {file.replace: {path: "${root}/.env", content: "A=1\n", mode: "${mode}"}}}
      - {id: plain, do: {file.replace: {path: "${root}/x", from: "${root}/y", mode: 0640}}}
      - {id: l, do: {file.line: {path: "${root}/.env", match: "^A=", line: A=2, absent: append}}}
      - {id: g, do: {file.line: {path: "${root}/.env", match: "^A=", remove: true}}}
"#;
    let checked =
        crate::plan::load_text("plan.yaml", plan).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let steps: Vec<_> = checked.plan.steps().map(|(_, s)| s).collect();
    assert_eq!(
        steps[1].action.to_value(),
        json!({"file.replace": {"path": "/srv/app/.env", "content": "A=1\n", "mode": "0600"}})
    );
    assert_eq!(steps[2].action.settings["mode"], "0640");
    for (step, undo) in steps.iter().zip([false, true, true, true, true]) {
        assert!(step.has_probe);
        let own = matches!(step.undo, upledger_replay::plan::Undo::Own { .. });
        assert_eq!(own, undo, "{}", step.id);
    }
}

#[test]
fn what_is_stored_stays_readable() {
    const EDITED: &str = r#"{"target": "/srv/app/.env", "mode": "0640",
        "former": {"content": {"blob": "aa", "len": 12}, "mode": "0640", "uid": 0, "gid": 33,
            "mtime": {"sec": 1700000000, "nsec": 5}},
        "wanted": {"blob": "bb", "len": 14}}"#;
    const NEW: &str = r#"{"target": "/srv/app/.env", "mode": "0644", "former": null,
        "wanted": {"blob": "bb", "len": 14}}"#;
    const WRITTEN: &str = r#"{"path": "/srv/app/.env"}"#;
    const BACKED_UP: &str = r#"{"source": "/srv/app/.env", "copy": "/var/lib/upledger/undo/backup-b-0", "there": null,
        "file": {"content": {"blob": "aa", "len": 12}, "mode": "0640", "uid": 0, "gid": 33,
            "mtime": {"sec": 1700000000, "nsec": 5}}}"#;
    const COPY: &str = r#"{"path": "/var/lib/upledger/undo/backup-b-0", "bytes": 12}"#;
    for before in [EDITED, NEW] {
        stays::<Replace>(before, "null", WRITTEN);
        stays::<Line>(before, "null", WRITTEN);
    }
    const DIGESTED: &str = r#"{"path": "/backup/.env", "bytes": 12, "sha256": "cc"}"#;
    const RESTORED: &str = r#"{"target": "/srv/app/.env", "source": "/backup/.env", "there": "1:2 3.000000004",
        "former": {"content": {"blob": "aa", "len": 12}, "mode": "0640", "uid": 0, "gid": 33,
            "mtime": {"sec": 1700000000, "nsec": 5}},
        "wanted": {"content": {"blob": "bb", "len": 14}, "mode": "0640", "uid": 0, "gid": 33,
            "mtime": {"sec": 1700000000, "nsec": 5}}}"#;
    for output in [COPY, DIGESTED] {
        stays::<Backup>(BACKED_UP, "null", output);
    }
    stays::<Restore>(RESTORED, "null", WRITTEN);
}

#[test]
fn the_outputs_are_facts_that_fit_where_a_path_is_wanted() {
    use crate::action::FactKind;
    for (kind, settings, facts) in [
        (
            "file.replace",
            json!({"path": "/x", "content": ""}),
            &[("path", FactKind::Path)][..],
        ),
        (
            "file.line",
            json!({"path": "/x", "match": "a", "line": "b"}),
            &[("path", FactKind::Path)],
        ),
        (
            "file.backup",
            json!({"path": "/x"}),
            &[
                ("bytes", FactKind::Number),
                ("path", FactKind::Path),
                ("sha256", FactKind::Digest),
            ],
        ),
        (
            "file.restore",
            json!({"path": "/x", "from": "/y"}),
            &[("path", FactKind::Path)],
        ),
    ] {
        let all = Do::facts_of(action(kind, settings).kind());
        let all: Vec<_> = all.iter().map(|f| (f.name.as_str(), f.kind)).collect();
        assert_eq!(all, facts, "{kind}");
    }
}
