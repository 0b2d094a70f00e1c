//! `nginx.maintenance`: a maintenance page is switched on by a file that Nginx reads, and off by its absence.
//!
//! The file is placed atomically (or removed), the configuration is tested with it, Nginx is reloaded, and the page is
//! asked for: only its answer counts. A configuration that is not good with the file is put back before anything is
//! loaded. The undo puts the file back byte for byte and reloads.

use super::Nginx;
use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Preview, Properties, Service,
    Stage, Work,
};
use crate::actions::file::replace::Replace;
use crate::actions::file::{absent, edit};
use crate::actions::service::stop::half_a_minute;
use crate::failpoint;
use crate::host::files::trust;
use crate::host::http::{self, Asker, Request, short};
use crate::host::process::note::Note;
use crate::host::service::by::By;
use crate::host::service::{Found, Kind, ManagedService, ReloadService, manager_of};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Switches a maintenance page on or off: creates or removes a file that the configuration includes or tests for, reloads
/// Nginx, and requests a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// The file that switches the page; an absolute path. A link owned by a user other than root and the runner is refused,
    /// and so is a file in a world-writable directory.
    pub file: String,
    /// The content of the file while the page is on. Default: empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// `on` creates the file, `off` removes it. Default: on.
    #[serde(default = "yes")]
    pub on: bool,
    /// The page to request.
    pub url: String,
    /// The expected status. Default: 503 when on, 200 when off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// Text in its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// The program. Default: `nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// The configuration file, its `-c`; an absolute path. Default: that of the running Nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conf: Option<String>,
    /// Its `-p`; an absolute path. Default: that of the running Nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Its manager. Default: the only Nginx that runs on this machine, with this configuration if one is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The time limit until the page answers as expected. Default: 30s.
    #[serde(default = "half_a_minute")]
    pub within: Length,
}

fn yes() -> bool {
    true
}

impl Maintenance {
    fn kind(&self) -> Nginx {
        Nginx::of(
            self.binary.as_deref(),
            self.conf.as_deref(),
            self.prefix.as_deref(),
        )
    }

    fn with<T>(&self, act: impl FnOnce(&ReloadService<'_>) -> T) -> T {
        let kind = self.kind();
        let manager = manager_of(self.by.as_ref());
        act(&ReloadService {
            service: ManagedService {
                manager: &*manager,
                kind: &kind,
            },
            ready: None,
            within: self.within,
        })
    }

    fn replace(&self) -> Replace {
        Replace {
            path: self.file.clone(),
            content: Some(self.content.clone()),
            from: None,
            mode: None,
        }
    }

    fn status(&self) -> u16 {
        self.status.unwrap_or(if self.on { 503 } else { 200 })
    }

    fn expected(&self) -> String {
        let status = self.status();
        match &self.contains {
            Some(text) => phrases::with_text(status, text),
            None => status.to_string(),
        }
    }

    /// Whether the file makes the difference.
    fn probe_file(&self, cx: &Context, before: &Before) -> Result<Look, Error> {
        Ok(match &before.file {
            File::Placed(file) => edit::probe(&self.replace(), cx, file)?.0,
            File::Removed(file) => file.probe(cx)?,
        })
    }

    fn put_back(&self, work: &mut Work<'_, Note>, before: &Before) -> Result<(), Error> {
        match &before.file {
            File::Placed(file) => edit::undo(&self.replace(), work, file),
            File::Removed(file) => file.undo(work),
        }
    }

    fn file_undone(&self, cx: &Context, before: &Before) -> Result<Look, Error> {
        match &before.file {
            File::Placed(file) => edit::undone(&self.replace(), cx, file),
            File::Removed(file) => file.undone(cx),
        }
    }

    /// The lines for people, given those of the file and of the reload.
    fn lines(&self, direction: Direction, file: Vec<String>, nginx: String) -> Vec<String> {
        let mut lines = file;
        lines.extend([self.kind().testing(), phrases::hup(nginx)]);
        if direction == Direction::Do {
            lines.push(phrases::get(&self.url, self.expected()));
        }
        lines
    }

    /// The page answers as this step wants it; what it answers.
    fn page(&self, cx: &Context) -> Result<(bool, String), Error> {
        let request = Request {
            url: &self.url,
            timeout: ANSWER,
            ..Request::default()
        };
        let reply = match Asker::new(&request)?.ask(&request) {
            Ok(reply) => reply,
            Err(miss) => return Ok((false, format!("{}: {miss}", self.url))),
        };
        let text = self.contains.as_ref();
        let right =
            reply.status == self.status() && text.is_none_or(|t| reply.text().contains(t.as_str()));
        let start = short(&reply.text(), &cx.redactor()?);
        Ok((
            right,
            format!("{} answers {} and '{start}'", self.url, reply.status),
        ))
    }

    /// Asks until it answers so, or not so any more.
    fn await_page(&self, cx: &Context, wanted: bool) -> Result<(bool, String), Error> {
        let deadline = Instant::now() + Duration::from_millis(self.within.0);
        loop {
            let (right, said) = self.page(cx)?;
            if right == wanted || Instant::now() >= deadline {
                return Ok((right == wanted, said));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn reload(&self, work: &mut Work<'_, Note>) -> Result<(), Error> {
        let found = self.with(|reload| reload.observe(work.cx()))?;
        self.with(|reload| reload.perform(work, &found))
    }
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    file: File,
    /// The Nginx that runs.
    nginx: Found,
    /// The page answered as wanted already.
    answered: bool,
}

/// The file that makes the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum File {
    Placed(edit::Before),
    Removed(absent::Before),
}

impl Action for Maintenance {
    type Before = Before;
    type Note = Note;
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            effect: Effect::Idempotent,
            ..Properties::reversible()
        }
        .at(if self.on {
            Stage::Stop(Service::Front)
        } else {
            Stage::Start(Service::Front)
        })
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.by.iter().flat_map(By::problems).collect();
        problems.extend(self.kind().problems());
        problems.extend(absolute("file", &self.file));
        problems.extend(http::problem(&self.url));
        if !(100..=599).contains(&self.status()) {
            problems.push(text::status_range(self.status()));
        }
        if self.contains.as_deref() == Some("") {
            problems.push(text::every_page());
        }
        if !self.on && !self.content.is_empty() {
            problems.push(text::exclude("content", "on: false"));
        }
        problems
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        let file = match (direction, self.on) {
            (Direction::Do, true) => edit::outline(&self.replace(), direction),
            (Direction::Do, false) => vec![phrases::remove(&self.file)],
            (Direction::Undo, _) => vec![text::undo_file(&self.file)],
        };
        self.lines(direction, file, self.kind().name().into())
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        trust::ours(&self.file)?;
        let nginx = self.with(|reload| reload.observe(cx))?;
        self.kind().test(cx, nginx.masters.first())?;
        let file = if self.on {
            File::Placed(edit::observe(&self.replace(), cx)?)
        } else {
            File::Removed(absent::observe(&self.file, cx)?)
        };
        let (answered, _) = self.page(cx)?;
        Ok(Before {
            file,
            nginx,
            answered,
        })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let file = match &before.file {
            File::Placed(file) => edit::preview(&self.replace(), direction, file),
            File::Removed(file) => file.preview(direction),
        };
        let nginx = match direction {
            Direction::Do => before.nginx.shown(),
            // Which one runs then is looked at then.
            Direction::Undo => self.kind().name().into(),
        };
        Preview {
            commands: self.lines(direction, file.commands, nginx),
            ..file
        }
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let mut look = self.probe_file(cx, &past.before)?;
        if look.answer != Answer::Done {
            return Ok((look, None));
        }
        let (right, said) = self.page(cx)?;
        look.evidence.push(said);
        if !right {
            look.answer = Answer::Unclear;
            look.evidence.push(format!("expected {}", self.expected()));
        }
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        let (cx, before) = (work.cx(), &past.before);
        // What it was when it was looked at, somebody may have changed since.
        trust::ours(&self.file)?;
        match &before.file {
            File::Placed(file) => drop(edit::perform(&self.replace(), work, file)?),
            File::Removed(file) => file.perform(work)?,
        }
        failpoint::hit("maintenance-placed");
        if let Err(why) = self.kind().test(cx, before.nginx.masters.first()) {
            self.put_back(work, before)?;
            return Err(why);
        }
        self.reload(work)?;
        let (right, said) = self.await_page(cx, true)?;
        if !right {
            return Err(Error::new(format!(
                "expected {}, but {said}",
                self.expected()
            )));
        }
        work.log_line(&said);
        Ok(())
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        self.put_back(work, &past.before)?;
        self.kind()
            .test(work.cx(), past.before.nginx.masters.first())?;
        self.reload(work)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        match &past.before.file {
            File::Placed(file) => edit::consequences(&self.replace(), cx, file),
            File::Removed(file) => file.consequences(cx),
        }
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        let mut look = self.file_undone(cx, &past.before)?;
        if look.answer != Answer::Done {
            return Ok(look);
        }
        let (right, said) = self.page(cx)?;
        look.evidence.push(said);
        if right && !past.before.answered {
            look.answer = Answer::Nothing;
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Former files as they are stored.
    const PLACED: &str = r#"{"file": {"placed": {"target": "/srv/maintenance.on", "mode": "0644", "former": null,
        "wanted": {"blob": "bb", "len": 0}}}, "nginx": {"masters": [], "ports": [80]}, "answered": false}"#;
    const REMOVED: &str = r#"{"file": {"removed": {"target": "/srv/maintenance.on", "former":
        {"content": {"blob": "aa", "len": 3}, "mode": "0644", "uid": 0, "gid": 33,
            "mtime": {"sec": 1700000000, "nsec": 5}}}}, "nginx": {"masters": [], "ports": []}, "answered": true}"#;

    fn maintenance(file: &str, on: bool) -> Maintenance {
        let settings = json!({"file": file, "url": "http://127.0.0.1:9/", "on": on});
        serde_json::from_value(settings).unwrap()
    }

    fn past(stored: &str) -> Past<Maintenance> {
        Past::new(serde_json::from_str(stored).unwrap())
    }

    #[test]
    fn what_is_stored_stays_readable() {
        for stored in [PLACED, REMOVED] {
            let note = r#"{"reloading": {"process": {"pid": 7, "starttime": 9, "boot": "b"}}}"#;
            crate::action::stays::<Maintenance>(stored, note, "null");
        }
    }

    #[test]
    fn the_undo_tells_what_it_puts_back_and_asks_for_no_page() {
        for (on, stored, first) in [
            (true, PLACED, "remove /srv/maintenance.on"),
            (
                false,
                REMOVED,
                "restore /srv/maintenance.on: 3 bytes, mode 0644, owner 0:33",
            ),
        ] {
            let action = maintenance("/srv/maintenance.on", on);
            let undo = action.preview(Direction::Undo, &past(stored));
            assert_eq!(undo.commands, [first, "nginx -t", "HUP to Nginx"]);
            let ahead = action.preview(Direction::Do, &past(stored));
            assert!(ahead.commands[3].starts_with("GET http://127.0.0.1:9/ "));
            assert_eq!(ahead.kept, undo.kept);
        }
    }

    #[test]
    fn it_is_not_placed_through_a_link_of_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("page");
        std::os::unix::fs::symlink(dir.path().join("target"), &page).unwrap();
        std::os::unix::fs::lchown(&page, Some(4711), Some(4711)).expect("as root");
        for (on, stored) in [(true, PLACED), (false, REMOVED)] {
            let action = maintenance(page.to_str().unwrap(), on);
            let cx = Context::default();
            let why = action.observe(&cx).unwrap_err().to_string();
            assert!(why.contains("a link owned by user 4711"), "{why}");
            let mut log = Vec::new();
            let mut work = Work::new(&cx, Direction::Do, &mut log).unwrap();
            let why = action.perform(&mut work, &past(stored)).unwrap_err();
            assert!(
                why.to_string().contains("a link owned by user 4711"),
                "{why}"
            );
        }
        assert!(!dir.path().join("target").exists());
    }
}
