//! `cron.disable`: the jobs of a crontab that match are put off. All but the choice of the lines is `switch`'s.

use super::switch::{self, Before, Fate, Fates, NoMatch, OFF, Switch, Switched};
use super::table;
use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Preview, Properties, Service,
    Stage, Work,
};
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Comments out the matching jobs of a crontab: exactly these lines, prefixed with `#upledger:RUN:STEP`; every other byte
/// is kept. Running jobs continue and are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disable {
    /// A regular expression that is searched for in the whole line of a job. Comments and settings such as `MAILTO=` never
    /// match. A job that is already commented out counts as disabled.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The user of the crontab. Default, without `file`: the user that runs upledger. Another user's crontab requires root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A crontab file that cron reads directly, such as `/etc/cron.d/bklog`, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What to do when no job matches, enabled or disabled. Default: `refuse`.
    #[serde(default, skip_serializing_if = "is_refuse")]
    pub absent: NoMatch,
    /// How long to wait for running jobs of these lines; the step fails if one is still running. A process that cron has
    /// started for the same user and that matches no other line counts as one of them. Default: running jobs are only
    /// named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Length>,
}

pub(super) fn is_refuse(absent: &NoMatch) -> bool {
    *absent == NoMatch::Refuse
}

/// What is wrong with the settings that both actions have.
pub(super) fn problems(
    pattern: Option<&String>,
    user: Option<&String>,
    file: Option<&String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(pattern) = pattern {
        wrong.extend(
            Regex::new(pattern)
                .err()
                .map(|e| text::no_regex("match", e)),
        );
        if pattern.is_empty() {
            wrong.push(text::every_job());
        }
    }
    if user.is_some() && file.is_some() {
        wrong.push(text::exclude("user", "file"));
    }
    if user.is_some_and(String::is_empty) {
        wrong.push(text::empty("user"));
    }
    if let Some(file) = file {
        wrong.extend(absolute("file", file));
        // What run-parts runs are scripts; a line of one that is commented out is a broken script.
        let scripts = ["hourly", "daily", "weekly", "monthly"];
        if scripts
            .iter()
            .any(|d| file.starts_with(&format!("/etc/cron.{d}/")))
        {
            wrong.push(text::no_crontab(file));
        }
    }
    wrong
}

impl Disable {
    /// The crontab and the jobs that it disables there.
    pub(super) fn jobs(&self) -> (Option<&String>, Option<&String>, &str) {
        (self.user.as_ref(), self.file.as_ref(), &self.pattern)
    }

    fn regex(&self) -> Result<Regex, Error> {
        Regex::new(&self.pattern).map_err(|e| Error::io("`match` is no regular expression", &e))
    }
}

impl Switch for Disable {
    fn user(&self) -> Option<&String> {
        self.user.as_ref()
    }

    fn file(&self) -> Option<&String> {
        self.file.as_ref()
    }

    fn absent(&self) -> NoMatch {
        self.absent
    }

    fn wait(&self) -> Option<Length> {
        self.wait
    }

    fn which(&self) -> String {
        phrases::job_matching(&self.pattern)
    }

    fn state(&self) -> &'static str {
        OFF
    }

    fn mark(&self, cx: &Context) -> Vec<u8> {
        table::mark(&cx.run, &cx.step)
    }

    fn fate<'a>(&'a self, cx: &Context, _text: &[u8]) -> Result<Fates<'a>, Error> {
        let regex = self.regex()?;
        let mark = self.mark(cx);
        Ok(Box::new(move |line| {
            if table::is_job(line) {
                if regex.is_match(line) {
                    return Fate::Becomes([mark.as_slice(), line].concat());
                }
            } else if table::commented(line).is_some_and(|(job, _)| regex.is_match(job)) {
                return Fate::Already;
            }
            Fate::Other
        }))
    }
}

impl Action for Disable {
    type Before = Before;
    type Note = ();
    type Output = Switched;

    fn properties(&self) -> Properties {
        Properties::reversible().at(Stage::Stop(Service::Schedule))
    }

    fn problems(&self) -> Vec<String> {
        problems(Some(&self.pattern), self.user.as_ref(), self.file.as_ref())
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        switch::outline(self, direction)
    }

    fn observe(&self, cx: &Context) -> Result<Before, Error> {
        switch::observe(self, cx)
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        switch::preview(self, direction, &past.before)
    }

    fn probe(&self, cx: &Context, past: &Past<Self>) -> Result<(Look, Option<Switched>), Error> {
        switch::probe(self, cx, &past.before)
    }

    fn perform(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<Switched, Error> {
        switch::perform(self, work, &past.before)
    }

    fn undo(&self, work: &mut Work<'_, ()>, past: &Past<Self>) -> Result<(), Error> {
        switch::undo(self, work, &past.before)
    }

    fn consequences(&self, cx: &Context, past: &Past<Self>) -> Result<Consequences, Error> {
        switch::consequences::consequences(self, cx, &past.before)
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        switch::undone(self, cx, &past.before)
    }
}
