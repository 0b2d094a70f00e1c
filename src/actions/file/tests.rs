//! Proves, on real files: each action on files is done once however often it is started, notices strangers, survives
//! its own death, and is put back to the byte.

mod backup;
mod line;
mod replace;

use crate::actions::{Context, Do, Error};
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
        let cx = Context {
            state: dir.path().join("state"),
            run: "run-1".into(),
            step: "step".into(),
            env: Vec::new(),
            cwd: None,
            secrets: Vec::new(),
            ..Context::empty()
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

    fn kept(&self, bytes: &[u8]) -> PathBuf {
        self.path("state/undo").join(super::disk::digest(bytes))
    }

    fn observe(&self, action: &Do) -> Value {
        action.action().observe(&self.cx).unwrap()
    }

    fn probe(&self, action: &Do, observed: &Value) -> Answer {
        action.action().probe(&self.cx, observed).unwrap().answer
    }

    fn undone(&self, action: &Do, observed: &Value) -> Answer {
        action.action().undone(&self.cx, observed).unwrap().answer
    }

    fn perform(&self, action: &Do, observed: &Value) -> Result<(), Error> {
        action
            .action()
            .perform(&self.cx, observed, &mut std::io::sink())
    }

    fn undo(&self, action: &Do, observed: &Value) -> Result<(), Error> {
        action
            .action()
            .undo(&self.cx, observed, &mut std::io::sink())
    }

    /// Look, act, prove: as the runner does.
    fn run(&self, action: &Do) -> Value {
        let observed = self.observe(action);
        assert_eq!(self.probe(action, &observed), Answer::Nothing);
        self.perform(action, &observed).unwrap();
        let proof = action.action().verify(&self.cx, &observed).unwrap();
        assert_eq!(proof.answer, Answer::Done, "{proof:?}");
        assert!(!proof.evidence.is_empty());
        observed
    }

    #[track_caller]
    fn refuses(&self, action: &Do, why: &str) {
        let trouble = action.action().observe(&self.cx).unwrap_err().to_string();
        assert!(trouble.contains(why), "{trouble}");
    }
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
    let problems = action(kind, settings).action().problems();
    assert!(problems.iter().any(|p| p.contains(part)), "{problems:?}");
}

#[test]
fn a_mode_is_octal_digits_and_nothing_else() {
    use super::mode::Mode;
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
        steps[1].action,
        json!({"file.replace": {"path": "/srv/app/.env", "content": "A=1\n", "mode": "0600"}})
    );
    assert_eq!(steps[2].action["file.replace"]["mode"], "0640");
    for (step, undo) in steps.iter().zip([false, true, true, true, true]) {
        assert!(step.has_probe);
        let own = matches!(step.undo, upledger_replay::plan::Undo::Own { .. });
        assert_eq!(own, undo, "{}", step.id);
    }
}
