//! The order rules: an upgrade stops the front end first, confirms that everything has stopped, makes changes, and starts
//! in reverse order.
//!
//! A pure function of the stages that actions declare ([`Properties::stages`](crate::action::Properties::stages)); a step
//! without a stage is subject to no rule. Every rule concerns two steps on the same host, one of which comes too early;
//! that step is named, and its `why:` overrides the rule and is recorded as a warning.
//!
//! What is built aside, where nobody uses it yet, may be built at any time before it is used: the outage holds the switch alone.
//! A step of a phase with `live: true` needs services that run, so that what stops one comes after it.
//!
//! A plan may have several rounds (stop A, change it, start it; then B): a rule does not apply across the end of a round,
//! so that only harmful orders are refused.
//!
//! Not considered: the application that a step belongs to. Two applications on one host whose steps are interleaved may
//! need a `why:`. Steps that are skipped by a condition are ignored.

use super::outline::Span;
use super::traffic::Serving;
use super::warning::Warning;
use crate::action::{Service, Stage};
use crate::text::plan as say;
use std::collections::{BTreeMap, BTreeSet};

const SERVICES: [Service; 5] = [
    Service::Front,
    Service::Schedule,
    Service::Beat,
    Service::Workers,
    Service::Web,
];
/// What has a place of its own in the order of stops, and so in the order of starts.
const INNER: [Service; 3] = [Service::Beat, Service::Workers, Service::Web];
const CHANGES: [Stage; 4] = [
    Stage::Code,
    Stage::Dependencies,
    Stage::Static,
    Stage::Switch,
];

/// What is done with data, in this order.
const DATA: [Stage; 3] = [Stage::Backup, Stage::Migrate, Stage::Command];

/// A step, as far as the rules are concerned.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) id: String,
    /// Where it is written.
    pub(crate) at: Span,
    pub(crate) why: Option<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) stages: Vec<Stage>,
    /// The service that it stops or starts, where its settings name one of any kind.
    pub(crate) serving: Option<Serving>,
    /// It changes nothing that serves.
    pub(crate) aside: bool,
    /// It is in a phase with `live: true`.
    pub(crate) live: bool,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    FrontClosesFirst,
    BeatStopsFirst,
    ConfirmedAfterStops,
    ConfirmedBeforeStarts,
    StoppedBeforeChanges,
    ConfirmedBeforeChanges,
    StoppedBeforeData,
    ConfirmedBeforeData,
    ChangedBeforeStarts,
    DataBeforeStarts,
    ConfiguredBeforeStarts,
    CodeBeforeData,
    BackupBeforeMigrate,
    MigrateBeforeCommands,
    CodeBeforeItsUse,
    BuiltBeforeSwitch,
    LiveBeforeStops,
    ReverseStart,
    FrontOpensLast,
    ScheduleLast,
}

impl Rule {
    /// The rule in words.
    pub(crate) fn said(self) -> String {
        match self {
            Self::FrontClosesFirst => say::front_closes_first(),
            Self::BeatStopsFirst => say::beat_stops_first(),
            Self::ConfirmedAfterStops => say::confirmed_after_stops(),
            Self::ConfirmedBeforeStarts => say::confirmed_before_starts(),
            Self::StoppedBeforeChanges => say::stopped_before_changes(),
            Self::ConfirmedBeforeChanges => say::confirmed_before_changes(),
            Self::StoppedBeforeData => say::stopped_before_data(),
            Self::ConfirmedBeforeData => say::confirmed_before_data(),
            Self::ChangedBeforeStarts => say::changed_before_starts(),
            Self::DataBeforeStarts => say::data_before_starts(),
            Self::ConfiguredBeforeStarts => say::configured_before_starts(),
            Self::CodeBeforeData => say::code_before_data(),
            Self::BackupBeforeMigrate => say::backup_before_migrate(),
            Self::MigrateBeforeCommands => say::migrate_before_commands(),
            Self::CodeBeforeItsUse => say::code_before_its_use(),
            Self::BuiltBeforeSwitch => say::built_before_switch(),
            Self::LiveBeforeStops => say::live_before_stops(),
            Self::ReverseStart => say::reverse_start(),
            Self::FrontOpensLast => say::front_opens_last(),
            Self::ScheduleLast => say::schedule_last(),
        }
    }
}

/// One step stands too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    /// Index of the step that stands too early.
    pub(crate) early: usize,
    pub(crate) rule: Rule,
    /// Index of the step that it has to come after.
    pub(crate) late: usize,
}

/// What the rules say of a plan.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Refused.
    pub(crate) breaches: Vec<Breach>,
    /// What is allowed and worth a warning.
    pub(crate) warnings: Vec<Warning>,
}

/// Checks the order of a plan's steps.
pub(crate) fn check(text: &str, steps: &[Placed]) -> Order {
    let mut places: BTreeMap<&str, Places> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        for target in &step.targets {
            let of = places.entry(target).or_default();
            for stage in &step.stages {
                of.stages.entry(*stage).or_default().push(at);
            }
            if step.aside {
                of.aside.insert(at);
            }
            if step.live {
                of.live.insert(at);
            }
        }
    }
    let found: BTreeSet<Breach> = places.values().flat_map(Places::breaches).collect();
    let mut order = Order::default();
    for breach in found {
        let early = &steps[breach.early];
        match &early.why {
            None => order.breaches.push(breach),
            Some(why) => order.warnings.push(Warning::new(text, early.at, || {
                say::early_on_purpose(
                    &early.id,
                    &steps[breach.late].id,
                    breach.rule.said(),
                    why.trim(),
                )
            })),
        }
    }
    for (at, what) in places.values().flat_map(Places::never_started) {
        let step = &steps[at];
        if step.why.is_none() {
            order.warnings.push(Warning::new(text, step.at, || {
                say::never_reversed(&step.id, stops(what))
            }));
        }
    }
    order
}

/// What a stop does, in words.
fn stops(service: Service) -> String {
    match service {
        Service::Front => say::closes_front(),
        Service::Schedule => say::switches_jobs_off(),
        Service::Beat => say::stops_beat(),
        Service::Workers => say::stops_workers(),
        Service::Web => say::stops_web(),
    }
}

/// Where on one host each stage stands, in the order of the plan.
#[derive(Default)]
struct Places {
    stages: BTreeMap<Stage, Vec<usize>>,
    /// Steps that change nothing that serves.
    aside: BTreeSet<usize>,
    /// Steps beside living services.
    live: BTreeSet<usize>,
}

impl Places {
    fn of(&self, stage: Stage) -> &[usize] {
        self.stages.get(&stage).map_or(&[], Vec::as_slice)
    }

    /// The first one after a step.
    fn next(&self, stage: Stage, after: usize) -> Option<usize> {
        let all = self.of(stage);
        all.get(all.partition_point(|at| *at <= after)).copied()
    }

    /// The last one before a step.
    fn last(&self, stage: Stage, before: usize) -> Option<usize> {
        let all = self.of(stage);
        all.get(..all.partition_point(|at| *at < before))?
            .last()
            .copied()
    }

    /// The last one after a step, in the same round: before what ends it.
    fn late(&self, stage: Stage, after: usize, end: Option<usize>) -> Option<usize> {
        self.last(stage, end.unwrap_or(usize::MAX))
            .filter(|at| *at > after)
    }

    /// The step that has stopped a service which is still down when a step begins.
    fn down(&self, service: Service, at: usize) -> Option<usize> {
        let stopped = self.last(Stage::Stop(service), at)?;
        let started = self.last(Stage::Start(service), at);
        started
            .is_none_or(|started| started < stopped)
            .then_some(stopped)
    }

    fn breaches(&self) -> Vec<Breach> {
        let mut found = Vec::new();
        for (stage, all) in &self.stages {
            for at in all {
                let mut add = |rule: Rule, late: Option<usize>| {
                    found.extend(late.map(|late| Breach {
                        early: *at,
                        rule,
                        late,
                    }));
                };
                match *stage {
                    Stage::Stop(service) => self.stop(service, *at, &mut add),
                    Stage::Confirm => {
                        for service in SERVICES {
                            add(
                                Rule::ConfirmedAfterStops,
                                self.stop_unconfirmed(service, *at),
                            );
                        }
                    }
                    Stage::Code | Stage::Dependencies | Stage::Static | Stage::Switch => {
                        self.change(*stage, *at, &mut add);
                    }
                    Stage::Backup | Stage::Migrate | Stage::Command => {
                        self.data(*stage, *at, &mut add);
                    }
                    // What reads it says when it is too late: a start.
                    Stage::Configure => {}
                    Stage::Start(service) => self.start(service, *at, &mut add),
                }
            }
        }
        for at in &self.live {
            // What has stopped a service is what comes too early.
            let stopped = SERVICES.map(|service| self.down(service, *at));
            found.extend(stopped.into_iter().flatten().map(|early| Breach {
                early,
                rule: Rule::LiveBeforeStops,
                late: *at,
            }));
        }
        // If a step must come after several others, report only the last of them.
        let mut last: BTreeMap<(usize, Rule), usize> = BTreeMap::new();
        for breach in found {
            let late = last
                .entry((breach.early, breach.rule))
                .or_insert(breach.late);
            *late = breach.late.max(*late);
        }
        last.into_iter()
            .map(|((early, rule), late)| Breach { early, rule, late })
            .collect()
    }

    fn stop(&self, service: Service, at: usize, add: &mut dyn FnMut(Rule, Option<usize>)) {
        let end = self.next(Stage::Start(service), at);
        let mut first = |rule, other| {
            if self.down(other, at).is_none() {
                add(rule, self.late(Stage::Stop(other), at, end));
            }
        };
        if matches!(service, Service::Workers | Service::Web) {
            first(Rule::FrontClosesFirst, Service::Front);
        }
        if service == Service::Workers {
            first(Rule::BeatStopsFirst, Service::Beat);
        }
    }

    /// The last stop after a confirmation that no other confirmation follows.
    fn stop_unconfirmed(&self, service: Service, confirmed: usize) -> Option<usize> {
        let end = self.next(Stage::Start(service), confirmed);
        let stop = self.late(Stage::Stop(service), confirmed, end)?;
        let again = self.next(Stage::Confirm, stop);
        // The next confirmation counts only while the service is down; if there are several before it, name the last one.
        let counts = again.is_some_and(|again| end.is_none_or(|end| again < end));
        let nearest = self.last(Stage::Confirm, stop) == Some(confirmed);
        (!counts && nearest).then_some(stop)
    }

    /// A step that needs stopped services: they stop before it, and that is confirmed before it.
    fn stopped(
        &self,
        at: usize,
        [stopped_first, confirmed_first]: [Rule; 2],
        add: &mut dyn FnMut(Rule, Option<usize>),
    ) {
        for service in SERVICES {
            let end = self.next(Stage::Start(service), at);
            let stop = self.late(Stage::Stop(service), at, end);
            add(stopped_first, stop);
            if let Some(stopped) = self.down(service, at)
                && self
                    .last(Stage::Confirm, at)
                    .is_none_or(|seen| seen < stopped)
            {
                let confirmed = self.late(Stage::Confirm, at, end);
                add(confirmed_first, confirmed);
            }
        }
    }

    fn data(&self, stage: Stage, at: usize, add: &mut dyn FnMut(Rule, Option<usize>)) {
        let rules = [Rule::StoppedBeforeData, Rule::ConfirmedBeforeData];
        self.stopped(at, rules, add);
        let starts = SERVICES.map(|service| self.next(Stage::Start(service), at));
        let end = starts.into_iter().flatten().min();
        let mut first = |rule, other| {
            if self.last(other, at).is_none() {
                add(rule, self.late(other, at, end));
            }
        };
        if stage != Stage::Backup {
            first(Rule::BackupBeforeMigrate, Stage::Backup);
            // Static files are nothing to it.
            for change in CHANGES.into_iter().filter(|c| *c != Stage::Static) {
                first(Rule::CodeBeforeData, change);
            }
        }
        if stage == Stage::Command {
            first(Rule::MigrateBeforeCommands, Stage::Migrate);
        }
    }

    fn change(&self, stage: Stage, at: usize, add: &mut dyn FnMut(Rule, Option<usize>)) {
        if !self.aside.contains(&at) {
            let rules = [Rule::StoppedBeforeChanges, Rule::ConfirmedBeforeChanges];
            self.stopped(at, rules, add);
        }
        for first in CHANGES {
            if first < stage && self.last(first, at).is_none() {
                let rule = match stage {
                    Stage::Switch => Rule::BuiltBeforeSwitch,
                    _ => Rule::CodeBeforeItsUse,
                };
                // What a live phase builds is for a later round.
                let next = self.next(first, at);
                let own = |next: &usize| self.live.contains(&at) || !self.live.contains(next);
                add(rule, next.filter(own));
            }
        }
    }

    fn start(&self, service: Service, at: usize, add: &mut dyn FnMut(Rule, Option<usize>)) {
        let end = self.next(Stage::Stop(service), at);
        let changes = CHANGES.map(|stage| (stage, Rule::ChangedBeforeStarts));
        let data = DATA.map(|stage| (stage, Rule::DataBeforeStarts));
        let configured = [(Stage::Configure, Rule::ConfiguredBeforeStarts)];
        for (change, rule) in changes.into_iter().chain(data).chain(configured) {
            // What a live phase builds is for a later round.
            let late = self.late(change, at, end);
            let late = late.filter(|late| !self.live.contains(late));
            add(rule, late);
        }
        let stops = SERVICES.map(|s| self.next(Stage::Stop(s), at));
        let next_stop = stops.into_iter().flatten().min();
        add(
            Rule::ConfirmedBeforeStarts,
            self.late(Stage::Confirm, at, next_stop),
        );
        for other in INNER.into_iter().filter(|other| *other != service) {
            // A stop in between is a separate round.
            let others_end = self.next(Stage::Stop(other), at);
            let end = end.into_iter().chain(others_end).min();
            let late = self.late(Stage::Start(other), at, end);
            match service {
                Service::Front => add(Rule::FrontOpensLast, late),
                Service::Schedule => add(Rule::ScheduleLast, late),
                // Stopped against the rules, which is reported there.
                Service::Workers if other == Service::Beat => {}
                Service::Beat | Service::Workers | Service::Web => {
                    let own = self.last(Stage::Stop(service), at);
                    let others = self.down(other, at);
                    if own.zip(others).is_some_and(|(own, others)| own < others) {
                        add(Rule::ReverseStart, late);
                    }
                }
            }
        }
    }

    /// Steps that stop something which no later step starts.
    fn never_started(&self) -> Vec<(usize, Service)> {
        let mut found = Vec::new();
        for service in SERVICES {
            let last = self.of(Stage::Start(service)).last().copied();
            let never = self.of(Stage::Stop(service)).iter();
            found.extend(
                never
                    .filter(|stop| last.is_none_or(|start| start < **stop))
                    .map(|stop| (*stop, service)),
            );
        }
        found.sort_unstable();
        found
    }
}
