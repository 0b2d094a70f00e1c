//! A plan in a few words and events in one line each, for the tests beside this file.

use upledger_replay::decide::{self, Next, Now};
use upledger_replay::event::*;
use upledger_replay::plan::*;
use upledger_replay::state::{Run, When};

/// A step: its id, effect, what doubt leads to, whether it has a probe, its undo.
pub(crate) fn step(
    id: &str,
    effect: Effect,
    on_doubt: OnDoubt,
    has_probe: bool,
    undo: Undo,
) -> Step {
    Step {
        id: id.into(),
        targets: vec![LOCAL.into()],
        action: ActionSpec::new("run", serde_json::json!(["true"])),
        probe: None,
        verify: None,
        has_probe,
        undo,
        effect,
        on_doubt,
        timeout_ms: None,
        retry: Retry::default(),
        left_out: None,
        why: None,
        live: false,
        env: vec![],
        env_files: vec![],
        cwd: None,
        cwd_from: None,
        after_rollback: false,
        closes: false,
        opens: false,
        restores: false,
        uses: Vec::new(),
        facts: vec![],
    }
}

/// An undo that may be repeated.
pub(crate) fn undo() -> Undo {
    Undo::Action(UndoAction {
        action: ActionSpec::new("run", serde_json::json!(["true"])),
        probe: None,
        verify: None,
        has_probe: false,
        effect: Effect::Idempotent,
        on_doubt: OnDoubt::Ask,
        env: Vec::new(),
    })
}

pub(crate) fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        upledger: 1,
        name: "test".into(),
        environment: None,
        change: None,
        on_failure: OnFailure::Ask,
        vars: vec![],
        secrets: vec![],
        phases: steps
            .into_iter()
            .map(|s| Phase {
                phase: format!("phase of {}", s.id),
                steps: vec![s],
            })
            .collect(),
    }
}

pub(crate) fn when(seq: u64) -> When {
    When {
        seq,
        ts: "2026-12-01T00:00:00.000000Z".into(),
        mono: seq,
        boot: "b".into(),
    }
}

/// A time in the boot of every event.
pub(crate) fn now() -> Now {
    Now {
        wall: 0,
        mono: 1_000_000,
        boot: "b".into(),
    }
}

pub(crate) fn next(run: &Run) -> Next {
    decide::next(run, &now())
}

pub(crate) fn run(plan: Plan) -> Run {
    Run::new(
        "r",
        RunPlanned {
            digest: String::new(),
            plan: plan.into(),
            warnings: vec![],
            contract: CONTRACT,
            given: Vec::new(),
        },
        when(0),
    )
}

pub(crate) fn at(step: &str, way: Direction, attempt: u32) -> Attempt {
    Attempt {
        part: TaskKey::local(step, way),
        attempt,
    }
}

pub(crate) fn started(step: &str, way: Direction, attempt: u32) -> Event {
    Event::StepStarted(Started {
        at: at(step, way, attempt),
        nonce: "n".into(),
        spec: String::new(),
        command: vec![],
        observed: serde_json::Value::Null,
        timeout_ms: None,
        inputs: vec![],
    })
}

pub(crate) fn succeeded(step: &str, way: Direction, attempt: u32) -> Event {
    Event::StepSucceeded(Succeeded {
        at: at(step, way, attempt),
        evidence: vec![],
        facts: vec![],
        produced: None,
        printed: None,
        output: None,
        took_ms: None,
    })
}

pub(crate) fn failed(step: &str, way: Direction, attempt: u32, failure: Failure) -> Event {
    Event::StepFailed(Failed {
        at: at(step, way, attempt),
        failure,
        detail: String::new(),
        tail: vec![],
        printed: None,
        output: None,
        took_ms: None,
        left_behind: false,
    })
}

pub(crate) fn doubted(step: &str, way: Direction, attempt: u32) -> Event {
    may_run(step, way, attempt, Doubt::Unseen)
}

pub(crate) fn may_run(step: &str, way: Direction, attempt: u32, doubt: Doubt) -> Event {
    Event::StepDoubted(Doubted {
        at: at(step, way, attempt),
        doubt,
        cause: String::new(),
        tail: vec![],
    })
}

pub(crate) fn probed(step: &str, way: Direction, attempt: u32, answer: Answer) -> Event {
    Event::StepProbed(Probed {
        at: at(step, way, attempt),
        answer,
        evidence: vec![],
        produced: None,
    })
}

pub(crate) fn decided(step: &str, way: Direction, decision: Decision) -> Event {
    Event::StepDecided(Decided {
        part: TaskKey::local(step, way),
        decision,
        reason: String::new(),
        evidence: vec![],
        produced: None,
    })
}

pub(crate) fn satisfied(step: &str, way: Direction) -> Event {
    Event::StepSatisfied(Satisfied {
        part: TaskKey::local(step, way),
        evidence: vec![],
        produced: None,
    })
}

pub(crate) fn refused(step: &str, way: Direction) -> Event {
    Event::StepRefused(Refusal {
        part: TaskKey::local(step, way),
        detail: "no".into(),
    })
}

pub(crate) fn noted(step: &str, way: Direction, attempt: u32) -> Event {
    Event::StepNoted(Noted {
        at: at(step, way, attempt),
        note: serde_json::json!({"noted": attempt}),
    })
}

pub(crate) fn reason() -> Reason {
    Reason { reason: "r".into() }
}

pub(crate) fn rollback(to: Option<&str>) -> Event {
    Event::RollbackStarted(RollbackStarted {
        to: to.map(Into::into),
        reason: "r".into(),
        accept_data_loss: false,
        looks_again: true,
    })
}
