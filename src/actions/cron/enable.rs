//! `cron.enable`: jobs of a crontab that were commented out are put on again. All but the choice of the lines is
//! `switch`'s.

use super::disable::{is_refuse, problems};
use super::switch::{self, Before, Fate, Fates, NoMatch, ON, Switch, Switched};
use super::table;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Family, Look, Past, Preview, Properties,
    Service, Stage, Work,
};
use crate::actions::Do;
use crate::text::actions as phrases;
use crate::time::Length;
use regex::bytes::{Regex, RegexSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Enables jobs of a crontab that were commented out: those of every `cron.disable` of this run, or all that `match`,
/// regardless of who commented them out. A job that somebody else has enabled meanwhile is reported, and counts as done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// A regular expression for the whole line of a job, without the comment character. Comments that contain no job never
    /// match. Default: the lines that this run has commented out.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The user of the crontab. Default, without `file`: the user that runs upledger. Another user's crontab requires root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A crontab file that cron reads directly, such as `/etc/cron.d/bklog`, as an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What to do when there is no such line. Default: `refuse`.
    #[serde(default, skip_serializing_if = "is_refuse")]
    pub absent: NoMatch,
}

impl Enable {
    fn regex(&self) -> Result<Option<Regex>, Error> {
        let compiled = self.pattern.as_deref().map(Regex::new).transpose();
        compiled.map_err(|e| Error::io("`match` is no regular expression", &e))
    }

    /// The jobs that the plan disables in this crontab.
    fn disabled(&self, cx: &Context) -> Result<RegexSet, Error> {
        let place = (self.user.as_ref(), self.file.as_ref());
        let patterns = cx.family.iter().filter_map(|kin| match &kin.action {
            Do::CronDisable(disable) => {
                let (user, file, pattern) = disable.jobs();
                ((user, file) == place).then(|| pattern.to_owned())
            }
            _ => None,
        });
        RegexSet::new(patterns)
            .map_err(|e| Error::io("`match` of a `cron.disable` is no regular expression", &e))
    }
}

impl Switch for Enable {
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
        None
    }

    fn which(&self) -> String {
        match &self.pattern {
            Some(pattern) => phrases::commented_matching(pattern),
            None => phrases::commented_by_run(),
        }
    }

    fn state(&self) -> &'static str {
        ON
    }

    fn fate<'a>(&'a self, cx: &Context, text: &[u8]) -> Result<Fates<'a>, Error> {
        let regex = self.regex()?;
        let disabled = self.disabled(cx)?;
        let run = format!("{}:", cx.run).into_bytes();
        let on: BTreeSet<Vec<u8>> = table::lines(text)
            .filter(|line| table::is_job(line))
            .map(<[u8]>::to_vec)
            .collect();
        Ok(Box::new(move |line| {
            let found = |job: &[u8], mark: Option<&[u8]>| match &regex {
                Some(regex) => regex.is_match(job),
                None => mark.is_some_and(|m| m.starts_with(&run)),
            };
            match table::commented(line) {
                // Somebody has written it anew beside it: twice in the table, it would run twice.
                Some((job, mark)) if found(job, mark) && mark.is_some() && on.contains(job) => {
                    Fate::Again
                }
                Some((job, mark)) if found(job, mark) => Fate::Becomes(job.to_vec()),
                None if table::is_job(line) && found(line, None) => Fate::Already,
                // This run has disabled it, or was to, and somebody else has enabled it.
                None if table::is_job(line) && regex.is_none() && disabled.is_match(line) => {
                    Fate::Again
                }
                Some(_) | None => Fate::Other,
            }
        }))
    }
}

impl Action for Enable {
    type Before = Before;
    type Note = ();
    type Output = Switched;

    fn properties(&self) -> Properties {
        Properties {
            family: Some(Family::Before),
            ..Properties::reversible().at(Stage::Start(Service::Schedule))
        }
    }

    fn problems(&self) -> Vec<String> {
        problems(
            self.pattern.as_ref(),
            self.user.as_ref(),
            self.file.as_ref(),
        )
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
