//! `release.switch`: several symbolic links, each to a directory of the new release, as one step with one undo.
//!
//! Each link is switched by a rename, so that it leads to the former place or to the new one at every instant. The links
//! follow each other without anything in between; what a crash leaves between two of them is known by where each leads, and
//! the next attempt, or the undo, goes on from there.
//!
//! Invariants: nothing is switched unless every link leads where it was seen to lead or where it is to lead, and every place is
//! a directory; a link that somebody moved meanwhile is refused before the first one is switched, and so is anything that is no
//! link. The undo switches back what this step may have switched, and refuses before the first link when a former place is gone.
//! Left out: who uses the links; a process that works in the former release stays there until it is started anew.

use crate::action::values::absolute;
use crate::action::{
    Action, Consequences, Context, Direction, Error, Look, Past, Preview, Properties, Stage, Work,
};
use crate::failpoint;
use crate::host::files::entry::{self, beside};
use crate::host::files::link::Link;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use upledger_replay::event::Answer;
use upledger_replay::plan::Effect;

/// Switches several symbolic links to the directories of a new release, as one step with one undo: the code, its virtualenv
/// and its static files change together. What the links lead to is built before, by `git.deploy` and `pip.install` without
/// `current` and `django.collectstatic` with `into`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The links, in the order in which they are switched; the undo goes in the reverse order.
    pub links: Vec<Target>,
}

/// A symbolic link and where it is to lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The symbolic link, an absolute path. It is created if it does not exist.
    pub path: String,
    /// The directory that it points to afterwards, an absolute path, such as `{from: code.release}`.
    pub to: String,
}

/// Where the links led, in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    links: Vec<Former>,
}

/// A link as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    /// The link.
    path: String,
    /// What it held, as it stood there; none when there was no link.
    target: Option<String>,
    /// The directory that it led to, links resolved; none when it led to none.
    led: Option<String>,
}

/// All links are switched, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// Each of these links is switched.
    Switching(Vec<Turn>),
}

/// One link on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The link.
    link: String,
    /// The name under which the new link is made.
    at: String,
    /// Where it leads.
    from: Option<String>,
    /// Where it will lead; none: it is removed.
    to: Option<String>,
}

/// Where the link leads, of the two places where it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Former,
    Switched,
}

impl Target {
    fn link(&self) -> Link<'_> {
        Link(Path::new(&self.path))
    }

    fn target(&self) -> Result<Option<String>, Error> {
        self.link().target(|| {
            format!(
                "move it to a place of its own once, while the service is stopped, and put a link in its place: mv {path} \
                 {path}.before && ln -s {path}.before {path}",
                path = self.path
            )
        })
    }

    fn is_there(&self) -> Result<(), Error> {
        if Path::new(&self.to).is_dir() {
            return Ok(());
        }
        Err(Error::new(format!(
            "there is no directory {}, to which {} is to point",
            self.to, self.path
        ))
        .remedy("build it in an earlier step"))
    }

    /// Where it leads now; an error when that is neither of the two.
    fn position(&self, former: &Former) -> Result<Position, Error> {
        let now = self.target()?;
        let leads = |to: &str| self.link().would_lead_to(to, Path::new(&self.to));
        match &now {
            Some(now) if leads(now) => Ok(Position::Switched),
            now if *now == former.target => Ok(Position::Former),
            _ => Err(self.link().moved(now.as_deref(), former.target.as_deref())),
        }
    }

    /// It led to the new place before this step.
    fn led_there(&self, former: &Former) -> bool {
        let leads = |to: &String| self.link().would_lead_to(to, Path::new(&self.to));
        former.target.as_ref().is_some_and(leads)
    }
}

/// Where a link leads, for people.
fn shown(path: &str, to: Option<&str>) -> String {
    match to {
        Some(to) => format!("{path} points to {to}"),
        None => format!("{path} does not exist"),
    }
}

/// The link in a few words below the directory that all links have in common, so that they fit into one line.
fn briefly(root: &Path, path: &str, to: Option<&str>) -> String {
    let short = |path: &str| {
        let inside = Path::new(path).strip_prefix(root).ok();
        let inside = inside.filter(|_| root != Path::new("/"));
        let inside = inside.and_then(Path::to_str).filter(|p| !p.is_empty());
        inside.unwrap_or(path).to_owned()
    };
    match to {
        Some(to) => format!("{} -> {}", short(path), short(to)),
        None => format!("{} does not exist", short(path)),
    }
}

/// Where links lead, all of them in one line.
fn together(links: &[(String, Option<String>)]) -> String {
    let (first, rest) = match links {
        [(path, to)] => return shown(path, to.as_deref()),
        [] => return String::new(),
        [(first, _), rest @ ..] => (Path::new(first), rest),
    };
    let mut roots = first.ancestors().skip(1);
    let root = roots.find(|root| {
        rest.iter()
            .all(|(path, _)| Path::new(path).starts_with(root))
    });
    let root = root.unwrap_or(Path::new("/"));
    let each = links
        .iter()
        .map(|(path, to)| briefly(root, path, to.as_deref()));
    let each = each.collect::<Vec<_>>().join(", ");
    match root == Path::new("/") {
        true => each,
        false => format!("{}: {each}", root.display()),
    }
}

impl Switch {
    /// Each link with where it led.
    fn each<'a>(
        &'a self,
        before: &'a Before,
    ) -> impl DoubleEndedIterator<Item = (&'a Target, &'a Former)> {
        self.links.iter().zip(&before.links)
    }

    /// What earlier attempts made beside the links, and have left.
    fn leftovers(&self, cx: &Context) -> Vec<PathBuf> {
        let new = |link: &Target| beside(Path::new(&link.path), cx, "new");
        let mut left: Vec<PathBuf> = self.links.iter().map(new).collect();
        left.retain(|path| entry::exists(path));
        left
    }

    /// Switches all of these, of which each was looked at.
    fn turn(&self, work: &mut Work<'_, Note>, turns: Vec<(Link<'_>, Turn)>) -> Result<(), Error> {
        if turns.is_empty() {
            return Ok(());
        }
        let note = turns.iter().map(|(_, turn)| turn.clone()).collect();
        work.note(Note::Switching(note))?;
        match work.direction() {
            Direction::Do => failpoint::hit("switch-noted"),
            Direction::Undo => failpoint::hit("back-noted"),
        }
        for (link, turn) in &turns {
            let (from, to) = (turn.from.as_deref(), turn.to.as_deref());
            link.switch(Path::new(&turn.at), from, to)?;
            work.log_line(&shown(&turn.link, to));
            match work.direction() {
                Direction::Do => failpoint::hit("switch-one"),
                Direction::Undo => failpoint::hit("back-one"),
            }
        }
        match work.direction() {
            Direction::Do => failpoint::hit("switch-all"),
            Direction::Undo => failpoint::hit("back-all"),
        }
        Ok(())
    }

    fn one(&self, work: &Work<'_, Note>, path: &str, from: Option<&str>, to: Option<&str>) -> Turn {
        let at = beside(Path::new(path), work.cx(), "new");
        Turn {
            link: path.into(),
            at: at.display().to_string(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        }
    }
}

impl Action for Switch {
    type Before = Before;
    type Note = Note;
    type Output = ();

    fn properties(&self) -> Properties {
        Properties {
            // Half of it is no harm: the next attempt goes on.
            effect: Effect::Idempotent,
            ..Properties::reversible().at(Stage::Switch)
        }
        .writing(self.links.iter().map(|link| &link.path))
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.links.is_empty() {
            wrong.push(text::empty("links"));
        }
        for (at, link) in self.links.iter().enumerate() {
            wrong.extend(absolute("path", &link.path));
            wrong.extend(absolute("to", &link.to));
            if Path::new(&link.path).file_name().is_none() {
                wrong.push(text::path_needs_name("path"));
            }
            if Path::new(&link.to).starts_with(&link.path) {
                wrong.push(text::link_above_itself(&link.path, &link.to));
            }
            if self.links.iter().take(at).any(|l| l.path == link.path) {
                wrong.push(text::twice(&link.path));
            }
        }
        wrong
    }

    fn outline(&self, direction: Direction) -> Vec<String> {
        match direction {
            Direction::Do => {
                let turn = |link: &Target| phrases::switch_link(&link.path, &link.to);
                self.links.iter().map(turn).collect()
            }
            Direction::Undo => {
                let back = |link: &Target| text::undo_switch(&link.path);
                self.links.iter().rev().map(back).collect()
            }
        }
    }

    fn observe(&self, _cx: &Context) -> Result<Before, Error> {
        let mut links = Vec::new();
        for link in &self.links {
            link.link().has_place()?;
            link.is_there()?;
            let target = link.target()?;
            let led = target.as_deref().and_then(|t| link.link().resolve(t));
            links.push(Former {
                path: link.path.clone(),
                led: led
                    .filter(|to| to.is_dir())
                    .map(|to| to.display().to_string()),
                target,
            });
        }
        Ok(Before { links })
    }

    fn preview(&self, direction: Direction, past: &Past<Self>) -> Preview {
        let before = &past.before;
        let commands = match direction {
            Direction::Do => self.outline(direction),
            Direction::Undo => self
                .each(before)
                .rev()
                .map(|(link, former)| match &former.target {
                    Some(target) => phrases::switch_link(&link.path, target),
                    None => phrases::remove(&link.path),
                })
                .collect(),
        };
        let findings = self.each(before).filter(|_| direction == Direction::Do);
        Preview {
            commands,
            findings: findings
                .map(|(link, former)| match &former.target {
                    Some(from) => text::leads_to(&link.path, from, &link.to),
                    None => text::no_link_yet(&link.path, &link.to),
                })
                .collect(),
            kept: Vec::new(),
        }
    }

    fn probe(&self, _cx: &Context, past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        let (mut links, mut positions) = (Vec::new(), Vec::new());
        for (link, former) in self.each(&past.before) {
            match link.position(former) {
                Ok(position) => positions.push(position),
                Err(e) => return Ok((Look::unclear(e.to_string()), None)),
            }
            links.push((link.path.clone(), link.target()?));
            if let Err(e) = link.is_there() {
                return Ok((Look::unclear(e.to_string()), None));
            }
        }
        let mut evidence = vec![together(&links)];
        let all = |wanted| positions.iter().all(|p| *p == wanted);
        let answer = if all(Position::Switched) {
            Answer::Done
        } else if all(Position::Former) {
            Answer::Nothing
        } else {
            evidence.insert(0, "some links are switched and others are not".into());
            Answer::Unclear
        };
        let done = (answer == Answer::Done).then_some(());
        Ok((Look { answer, evidence }, done))
    }

    fn perform(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        for left in self.leftovers(work.cx()) {
            entry::remove(&left)?;
        }
        let mut turns = Vec::new();
        for (link, former) in self.each(&past.before) {
            link.is_there()?;
            if link.position(former)? == Position::Former {
                let from = former.target.as_deref();
                turns.push((
                    link.link(),
                    self.one(work, &link.path, from, Some(&link.to)),
                ));
            }
        }
        self.turn(work, turns)
    }

    fn undo(&self, work: &mut Work<'_, Note>, past: &Past<Self>) -> Result<(), Error> {
        for left in self.leftovers(work.cx()) {
            entry::remove(&left)?;
        }
        let mut turns = Vec::new();
        for (link, former) in self.each(&past.before).rev() {
            let position = link.position(former)?;
            if let (Some(target), Some(led)) = (&former.target, &former.led)
                && !link.link().resolves_to_directory(target)
            {
                return Err(Error::new(format!(
                    "not switched back: {} pointed to {target} ({led}), which no longer exists",
                    link.path
                ))
                .remedy("restore it, and try again"));
            }
            if position == Position::Switched && !link.led_there(former) {
                let now = link.target()?;
                let turn = self.one(work, &link.path, now.as_deref(), former.target.as_deref());
                turns.push((link.link(), turn));
            }
        }
        self.turn(work, turns)
    }

    fn consequences(&self, _cx: &Context, _past: &Past<Self>) -> Result<Consequences, Error> {
        // Links are switched; what they lead to stays.
        Ok(Consequences::none())
    }

    fn undone(&self, cx: &Context, past: &Past<Self>) -> Result<Look, Error> {
        if let Some(left) = self.leftovers(cx).first() {
            return Ok(Look::nothing(format!("{} is left over", left.display())));
        }
        let (mut back, mut links) = (true, Vec::new());
        for (link, former) in self.each(&past.before) {
            let now = link.target()?;
            let text = shown(&link.path, now.as_deref());
            let as_before = now == former.target;
            if !as_before && link.position(former).is_err() {
                return Ok(Look::unclear(text));
            }
            if as_before && former.led.is_some() && !link.link().0.is_dir() {
                return Ok(Look::unclear(format!("{text}, which no longer exists")));
            }
            back &= as_before || link.led_there(former);
            links.push((link.path.clone(), now));
        }
        let evidence = vec![together(&links)];
        let answer = match back {
            true => Answer::Done,
            false => Answer::Nothing,
        };
        Ok(Look { answer, evidence })
    }
}
