//! The rules for a step that types cannot express, and the step as it will run.

use super::env_rules::{env_file, env_names, env_vars, input};
use super::facts::{self, Known};
use super::file;
use super::only_for;
use super::outline::{Kind, Node, Span, Style};
use super::problem::{About, Fault, did_you_mean};
use super::samples::{WithSamples, problems};
use super::traffic;
use super::uses::{self, Earlier};
use super::variables::{Variables, is_name};
use crate::action::values::absolute;
use crate::actions::Do;
use crate::text::plan as say;
use std::collections::{BTreeMap, BTreeSet};
use upledger_replay::plan::{
    Effect, EnvFile, Fact, Input, LOCAL, OnDoubt, Retry, Step, Undo, UndoAction,
};

/// Most retries of a step.
const RETRIES: u32 = 100;
/// Longest wait and longest attempt: thirty days. More is probably a mistake.
const LONGEST: u64 = 30 * 86_400_000;

/// Whether this may be the id of a step.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Whether this is a path that facts are read by: `.rows`, `.hosts[0].id`.
fn is_path(path: &str) -> bool {
    path.starts_with(['.', '[']) && path.split(['.', '[', ']']).any(|k| !k.is_empty())
}

/// What is known from earlier steps.
pub(crate) struct Before {
    /// Names of the plan's secrets.
    pub(crate) secrets: BTreeSet<String>,
    /// Secrets that a step uses.
    pub(crate) used: BTreeSet<String>,
    /// `step.fact` of the steps before, and whether the step is left out.
    pub(crate) facts: BTreeMap<String, bool>,
    /// Facts of all steps, also of those that come later.
    pub(crate) all_facts: BTreeMap<String, Known>,
    /// The steps before.
    pub(crate) steps: Vec<Earlier>,
    /// The environment of all steps.
    pub(crate) env: BTreeMap<String, Input>,
    /// The file of the plan with more of it.
    pub(crate) env_file: Option<EnvFile>,
    /// The environment that the plan is for.
    pub(crate) environment: Option<String>,
}

impl Before {
    /// Takes over the environment of all steps, which a plan gives beside them.
    pub(crate) fn take_environment(
        &mut self,
        head: &file::File,
        root: &Node,
        faults: &mut Vec<Fault>,
    ) {
        let node = root.get("env");
        env_names(head.env.keys(), node, root, faults);
        for (_, value) in node.map_or(&[][..], Node::entries) {
            match value.entries() {
                [(key, name)] if key.text == "secret" => {
                    if let Some(text) = name.text() {
                        self.secret(text, name.span, faults);
                    }
                }
                [(key, _)] if key.text == "from" => {
                    let fault = Fault::new(value.span, say::no_fact_before_steps());
                    faults.push(fault.hint(say::env_of_its_step()));
                }
                _ => {}
            }
        }
        self.env = head
            .env
            .iter()
            .map(|(k, v)| (k.clone(), input(v)))
            .collect();
        self.env_file = env_file(head.env_file.as_ref(), root, faults);
    }

    /// What is known of a fact; one that does not exist may be anything.
    pub(crate) fn known(&self, fact: &str) -> Known {
        self.all_facts.get(fact).copied().flatten()
    }

    fn secret(&mut self, name: &str, at: Span, faults: &mut Vec<Fault>) {
        self.used.insert(name.to_owned());
        if !self.secrets.contains(name) {
            let mut f = Fault::new(at, say::no_secret(name));
            f.hint = did_you_mean(name, self.secrets.iter().map(String::as_str))
                .or_else(|| Some(say::define_secret(name)));
            faults.push(f);
        }
    }

    fn fact(&self, name: &str, at: Span, left_out: bool, faults: &mut Vec<Fault>) {
        match self.facts.get(name) {
            Some(false) => {}
            Some(true) if left_out => {}
            Some(true) => {
                faults.push(Fault::new(at, say::fact_left_out(name)));
            }
            None if self.all_facts.contains_key(name) => faults
                .push(Fault::new(at, say::fact_too_early(name)).hint(say::facts_come_before())),
            None => {
                let mut f = Fault::new(at, say::no_fact(name));
                f.hint = did_you_mean(name, self.facts.keys().map(String::as_str))
                    .or_else(|| self.handed_on(name))
                    .or_else(|| Some(say::facts_are_named()));
                faults.push(f);
            }
        }
    }

    /// The facts that the named step produces.
    fn handed_on(&self, fact: &str) -> Option<String> {
        let (step, _) = fact.split_once('.')?;
        let of_step = format!("{step}.");
        let names = self.facts.keys().filter(|f| f.starts_with(&of_step));
        let names: Vec<String> = names.map(|f| format!("`{f}`")).collect();
        (!names.is_empty()).then(|| say::step_hands_on(step, crate::text::list(&names)))
    }
}

/// Puts variables into a step's strings and refuses what may not stand in a command.
pub(crate) fn prepare(node: &Node, variables: &mut Variables<'_>, faults: &mut Vec<Fault>) -> Node {
    let Kind::Map(entries) = &node.kind else {
        return node.clone();
    };
    let mut out = Vec::new();
    for (key, value) in entries {
        let value = match key.text.as_str() {
            "do" | "probe" | "verify" | "undo" => action(value, variables, faults),
            "env" | "env_file" | "cwd" | "why" => variables.put_in(value, faults),
            _ => {
                variables.refuse(value, &say::no_variables_in(&key.text), faults);
                value.clone()
            }
        };
        out.push((key.clone(), value));
    }
    Node {
        span: node.span,
        kind: Kind::Map(out),
    }
}

fn action(node: &Node, variables: &mut Variables<'_>, faults: &mut Vec<Fault>) -> Node {
    let Kind::Map(entries) = &node.kind else {
        // A value would choose what is done.
        variables.refuse(node, &say::no_variables_as_action(), faults);
        return node.clone();
    };
    let mut out = Vec::new();
    for (key, value) in entries {
        let value = match key.text.as_str() {
            "effect" | "on_doubt" => {
                variables.refuse(value, &say::no_variables_in(&key.text), faults);
                value.clone()
            }
            "shell" => variables.script(value, faults),
            "run" => words(&variables.put_in(value, faults), faults),
            "probe" | "verify" => action(value, variables, faults),
            _ => variables.put_in(value, faults),
        };
        out.push((key.clone(), value));
    }
    Node {
        span: node.span,
        kind: Kind::Map(out),
    }
}

/// The words of a command: numbers are words too, and a secret is none.
fn words(node: &Node, faults: &mut Vec<Fault>) -> Node {
    let Kind::List(items) = &node.kind else {
        return node.clone();
    };
    let mut word = |item: &Node| {
        let kind = match &item.kind {
            Kind::Scalar(text, Style::Plain) if !item.is_null() => {
                Kind::Scalar(text.clone(), Style::Quoted)
            }
            Kind::Map(entries) if entries.iter().any(|(k, _)| k.text == "secret") => {
                faults.push(
                    Fault::new(item.span, say::secret_as_word()).hint(say::words_are_public()),
                );
                Kind::Scalar("secret".into(), Style::Quoted)
            }
            // serde would take `[x]` for `{from: x}`.
            Kind::List(_) => {
                faults.push(Fault::new(item.span, say::not_a_word()));
                Kind::Scalar("list".into(), Style::Quoted)
            }
            Kind::Scalar(..) | Kind::Map(_) => item.kind.clone(),
        };
        Node {
            span: item.span,
            kind,
        }
    };
    Node {
        span: node.span,
        kind: Kind::List(items.iter().map(&mut word).collect()),
    }
}

/// The step as it will run; none when its action cannot be kept. `prepared` is the step's tree, `samples` the same with
/// samples of facts, as which `step` was read; the faults from `said` on are about this step.
pub(crate) fn resolve(
    step: &file::Step,
    prepared: &Node,
    samples: &WithSamples,
    variables: &mut Variables<'_>,
    before: &mut Before,
    faults: &mut Vec<Fault>,
    said: usize,
) -> Option<Step> {
    let node = &samples.node;
    let at = |path: &[&str]| node.span_at(path);
    if step.on.as_deref().is_some_and(|on| on != LOCAL) {
        faults.push(Fault::new(node.key_span("on"), say::other_hosts()).hint(say::on_local()));
    }
    let behaviour = step.action.kind_of().properties();
    problems(&step.action, node.get("do"), at(&["do"]), faults);
    let written = match &step.undo {
        Some(file::Undo::Action(written)) => Some(written),
        Some(file::Undo::Nothing | file::Undo::PointOfNoReturn(_)) | None => None,
    };
    let all = [
        (&["do"][..], Some(&step.action)),
        (&["probe"], step.probe.as_ref()),
        (&["verify"], step.verify.as_ref()),
        (&["undo"], written.map(|u| &u.action)),
        (&["undo", "probe"], written.and_then(|u| u.probe.as_ref())),
        (&["undo", "verify"], written.and_then(|u| u.verify.as_ref())),
    ];
    for (place, action) in all {
        let wrong = action.and_then(|a| only_for::problem(a, before.environment.as_deref()));
        faults.extend(wrong.map(|(why, hint)| Fault::new(at(place), why).hint(hint)));
        let below = action.and_then(|a| a.kind_of().properties().below_cwd);
        if let Some(name) = below.filter(|_| step.cwd.is_none()) {
            let fault = Fault::new(at(place), say::below_cwd(&name)).hint(say::give_cwd(&name));
            faults.push(fault);
        }
    }
    look(step.probe.as_ref(), "probe", node, faults);
    look(step.verify.as_ref(), "verify", node, faults);
    let left_out = step
        .when
        .as_ref()
        .and_then(|w| when(w, node, variables, faults));
    references(prepared, before, left_out.is_some(), faults);
    let has_probe = step.probe.is_some() || behaviour.has_probe;
    let effect = step.effect.map_or(behaviour.effect, Effect::from);
    // A missing key may be present under a similar, unknown name.
    let mut guesses = Vec::new();
    doubt(step, effect, has_probe, node, &mut guesses);
    let undo = undo(step, effect, samples, faults, &mut guesses)?;
    let resembles = |f: &Fault| {
        let mut keys = ["`effect`", "`on_doubt`", "`probe`", "`undo`"].into_iter();
        f.about == About::UnknownKey
            && keys.any(|key| f.hint.as_ref().is_some_and(|h| h.contains(key)))
    };
    if !faults.iter().skip(said).any(resembles) {
        faults.extend(guesses);
    }
    let uses = uses::named(all.iter().filter_map(|(_, action)| *action));
    for used in &uses {
        if let Some((why, hint)) =
            uses::problem(used, &before.steps, left_out.is_some(), step.undo.is_some())
        {
            faults.push(Fault::new(uses::place(prepared, used), why).hint(hint));
        }
    }
    limits(step, node, faults);
    if step.after_rollback {
        after_rollback(step, effect, &undo, prepared, faults);
    }
    let cwd = cwd(step.cwd.as_ref(), at(&["cwd"]), before, faults);
    env_names(step.env.keys(), node.get("env"), node, faults);
    if let (Some(written), Some(of)) = (written, node.get("undo")) {
        env_names(written.env.keys(), of.get("env"), of, faults);
    }
    let own_file = env_file(step.env_file.as_ref(), node, faults);
    let mut env = before.env.clone();
    env.extend(step.env.iter().map(|(k, v)| (k.clone(), input(v))));
    let restores = traffic::restores(&undo, written.map(|u| &u.action), &step.action);
    Some(Step {
        id: step.id.clone(),
        targets: vec![LOCAL.into()],
        action: samples.kept("do", &step.action, faults)?,
        probe: samples.maybe("probe", step.probe.as_ref(), faults)?,
        verify: samples.maybe("verify", step.verify.as_ref(), faults)?,
        has_probe,
        undo,
        effect,
        on_doubt: step.on_doubt.map_or(OnDoubt::Ask, OnDoubt::from),
        timeout_ms: step.timeout.map(|t| t.0),
        retry: step.retry.map_or_else(Retry::default, |r| Retry {
            times: r.times,
            wait_ms: r.wait.map_or(0, |w| w.0),
        }),
        left_out,
        why: step.why.clone(),
        env: env_vars(env),
        env_files: before.env_file.iter().cloned().chain(own_file).collect(),
        // Its phase says so.
        live: false,
        cwd: cwd.0,
        cwd_from: cwd.1,
        // The other steps say that.
        closes: false,
        opens: false,
        restores,
        uses: uses::ids(&uses, &before.steps),
        after_rollback: step.after_rollback,
        facts: step
            .facts
            .iter()
            .map(|(name, f)| Fact {
                name: name.0.clone(),
                json: f.json.clone(),
            })
            .collect(),
    })
}

/// The working directory: a path, or the fact that is one.
fn cwd(
    cwd: Option<&file::Cwd>,
    at: Span,
    before: &Before,
    faults: &mut Vec<Fault>,
) -> (Option<String>, Option<String>) {
    match cwd {
        None => (None, None),
        Some(file::Cwd::Path(path)) => {
            if let Some(problem) = absolute("cwd", path) {
                faults.push(Fault::new(at, problem).hint(say::cwd_rule()));
            }
            (Some(path.clone()), None)
        }
        Some(file::Cwd::From { from }) => {
            if let Some(problem) = facts::no_directory(from, before.known(from)) {
                faults.push(Fault::new(at, problem));
            }
            (None, Some(from.clone()))
        }
    }
}

/// A check after a rollback is one, and speaks of what is there then.
fn after_rollback(
    step: &file::Step,
    effect: Effect,
    undo: &Undo,
    prepared: &Node,
    faults: &mut Vec<Fault>,
) {
    let at = prepared.key_span("after_rollback");
    let is_look = step.action.kind_of().properties().looks;
    if !is_look || effect != Effect::Pure || *undo != Undo::Nothing {
        faults.push(Fault::new(at, say::no_check(&step.id)).hint(say::only_checks()));
    }
    let parts = ["do", "verify"]
        .into_iter()
        .filter_map(|key| prepared.get(key));
    let in_env = prepared.get("env").map_or(&[][..], Node::entries);
    let from_env = in_env.iter().any(|(_, value)| value.get("from").is_some());
    let from_cwd = prepared
        .get("cwd")
        .is_some_and(|cwd| cwd.get("from").is_some());
    if from_env || from_cwd || parts.into_iter().any(|p| !facts::references(p).is_empty()) {
        faults.push(Fault::new(at, say::check_with_facts(&step.id)).hint(say::facts_are_undone()));
    }
}

/// A look of a step, or of its undo.
fn look(action: Option<&Do>, role: &str, of: &Node, faults: &mut Vec<Fault>) {
    let Some(action) = action else { return };
    let at = of.key_span(role);
    if !action.kind_of().properties().looks {
        faults.push(Fault::new(at, say::no_look(action.kind(), role)));
    }
    problems(action, of.get(role), at, faults);
}

fn when(
    when: &file::When,
    node: &Node,
    variables: &mut Variables<'_>,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    if !variables.has(&when.var) {
        let mut f = Fault::new(node.span_at(&["when", "var"]), say::no_variable(&when.var))
            .about(About::NoVariable);
        f.hint = variables
            .meant(&when.var)
            .or_else(|| Some(say::define_variable()));
        faults.push(f);
        return None;
    }
    let value = variables.value(&when.var)?;
    // In English: it becomes a part of the plan and of its digest.
    (value != when.is.0).then(|| format!("{} is '{value}', not '{}'", when.var, when.is.0))
}

/// Facts and secrets that the step refers to.
fn references(node: &Node, before: &mut Before, left_out: bool, faults: &mut Vec<Fault>) {
    let undo = node.get("undo");
    let actions = [
        node.get("do"),
        node.get("probe"),
        node.get("verify"),
        undo,
        undo.and_then(|n| n.get("probe")),
        undo.and_then(|n| n.get("verify")),
    ];
    for action in actions.into_iter().flatten() {
        for reference in facts::references(action) {
            before.fact(&reference.fact, reference.name, left_out, faults);
        }
        for (_, settings) in action
            .entries()
            .iter()
            .filter(|(k, _)| !matches!(k.text.as_str(), "probe" | "verify" | "env"))
        {
            secrets(settings, before, faults);
        }
    }
    if let Some(from) = node.get("cwd").and_then(|cwd| cwd.get("from"))
        && let Some(name) = from.text()
    {
        before.fact(name, from.span, left_out, faults);
    }
    let envs = [node.get("env"), undo.and_then(|n| n.get("env"))];
    let values = envs.into_iter().flatten().flat_map(Node::entries);
    for (_, value) in values {
        match value.entries() {
            [(key, name)] if key.text == "secret" => {
                if let Some(text) = name.text() {
                    before.secret(text, name.span, faults);
                }
            }
            [(key, name)] if key.text == "from" => {
                if let Some(text) = name.text() {
                    before.fact(text, name.span, left_out, faults);
                }
            }
            _ => {}
        }
    }
}

fn secrets(node: &Node, before: &mut Before, faults: &mut Vec<Fault>) {
    match &node.kind {
        Kind::Scalar(..) => {}
        Kind::List(items) => items.iter().for_each(|n| secrets(n, before, faults)),
        Kind::Map(entries) => match entries.as_slice() {
            [(key, name)] if key.text == "secret" => {
                if let Some(text) = name.text() {
                    before.secret(text, name.span, faults);
                }
            }
            _ => entries.iter().for_each(|(_, n)| secrets(n, before, faults)),
        },
    }
}

fn doubt(step: &file::Step, effect: Effect, has_probe: bool, node: &Node, faults: &mut Vec<Fault>) {
    let at = |key: &str| {
        if node.get(key).is_some() {
            node.key_span(key)
        } else {
            node.key_span("id")
        }
    };
    match effect {
        Effect::Probed if !has_probe => {
            faults.push(Fault::new(at("effect"), say::needs_probe()).hint(say::write_probe()))
        }
        Effect::Unsafe if step.on_doubt.is_none() => {
            faults.push(Fault::new(at("effect"), say::unsafe_step(&step.id)).hint(say::say_doubt()))
        }
        Effect::Pure | Effect::Idempotent | Effect::Probed | Effect::Unsafe => {}
    }
}

fn undo(
    step: &file::Step,
    effect: Effect,
    samples: &WithSamples,
    faults: &mut Vec<Fault>,
    guesses: &mut Vec<Fault>,
) -> Option<Undo> {
    let node = &samples.node;
    let key = node.key_span("undo");
    let written = match &step.undo {
        None if effect == Effect::Pure => return Some(Undo::Nothing),
        None if step.action.kind_of().properties().has_undo => {
            return Some(Undo::Own {
                on_doubt: OnDoubt::Ask,
            });
        }
        None if !step.action.kind_of().properties().needs_undo => return Some(Undo::Nothing),
        None => {
            let message = say::no_undo(&step.id);
            guesses.push(Fault::new(node.key_span("id"), message).hint(say::say_undo()));
            return Some(Undo::Nothing);
        }
        Some(file::Undo::Nothing) => return Some(Undo::Nothing),
        Some(file::Undo::PointOfNoReturn(reason)) => {
            if reason.trim().is_empty() {
                faults.push(Fault::new(key, say::no_return_needs_reason()));
            }
            return Some(Undo::PointOfNoReturn(reason.clone()));
        }
        Some(file::Undo::Action(written)) => written,
    };
    let behaviour = written.action.kind_of().properties();
    let written_at = node.get("undo").unwrap_or(node);
    problems(&written.action, node.get("undo"), key, faults);
    look(written.probe.as_ref(), "probe", written_at, faults);
    look(written.verify.as_ref(), "verify", written_at, faults);
    let effect = written.effect.map_or(behaviour.effect, Effect::from);
    let has_probe = written.probe.is_some() || behaviour.has_probe;
    if effect == Effect::Probed && !has_probe {
        let at = written_at.key_span("effect");
        faults.push(Fault::new(at, say::needs_probe()).hint(say::undo_probe()));
    }
    Some(Undo::Action(UndoAction {
        action: samples.kept("undo", &written.action, faults)?,
        probe: samples.maybe("undo.probe", written.probe.as_ref(), faults)?,
        verify: samples.maybe("undo.verify", written.verify.as_ref(), faults)?,
        has_probe,
        effect,
        on_doubt: written.on_doubt.map_or(OnDoubt::Ask, OnDoubt::from),
        env: env_vars(
            written
                .env
                .iter()
                .map(|(k, v)| (k.clone(), input(v)))
                .collect(),
        ),
    }))
}

fn limits(step: &file::Step, node: &Node, faults: &mut Vec<Fault>) {
    if let Some(timeout) = step.timeout
        && !(1..=LONGEST).contains(&timeout.0)
    {
        faults.push(Fault::new(node.span_at(&["timeout"]), say::timeout_rule()));
    }
    if let Some(retry) = step.retry {
        if retry.times > RETRIES {
            faults.push(Fault::new(
                node.span_at(&["retry", "times"]),
                say::too_many_retries(RETRIES),
            ));
        }
        if retry.wait.is_some_and(|w| w.0 > LONGEST) {
            faults.push(Fault::new(
                node.span_at(&["retry", "wait"]),
                say::pause_rule(),
            ));
        }
    }
    for (name, fact) in &step.facts {
        let span = node.get("facts").map_or(node.span, |n| n.key_span(&name.0));
        if !is_name(&name.0) {
            faults.push(Fault::new(span, say::no_fact_name(&name.0)).hint(say::fact_name_rule()));
        }
        if !is_path(&fact.json) {
            faults.push(Fault::new(span, say::fact_path()));
        }
        let kind = step.action.kind();
        if Do::facts_of(kind).iter().any(|f| f.name == name.0) {
            let message = say::fact_is_produced(kind, &name.0);
            faults.push(Fault::new(span, message).hint(say::rename_fact()));
        }
    }
}
