//! What holds in every world: one function for each invariant, asked after every act.
//!
//! They read the record with their own eyes (`tale`) and the deeds of the commands, and never what the fold made of it, so
//! that a fault of the fold or of a decision is not its own judge.
//!
//! Not to be expressed here, because the model holds neither bytes nor secrets, and proved where those are: I11 (no secret in
//! any artefact) by `tests/behaviour/secrets.rs` and `src/redact/tests.rs`; of I12 the digest of what is executed, of I13
//! the bytes of the output (`tests/behaviour/attempt.rs`), of I14 the damage to a file (`ledger/tests/{flip,tamper,place}.rs`,
//! `tests/behaviour/record.rs`). Here I12 is that nothing is imported from a directory of another spec, I13 that the record
//! has every note or says why not, and I14 that an event in the wrong place is refused and changes nothing.

use super::acts::is_no_return;
use super::tale::{
    Held, Standing, Tale, executed, intent_of, job_of, left_nothing, let_go, may_follow,
    outcome_of, that,
};
use super::truth::{
    a_failed_undo_is_asked_about, failure_is_true, result_is, satisfied_is_true, turns_round,
};
use super::world::{Deed, Dir, Process, Supervisor, World};
use crate::world::started;
use upledger_replay::attempt::Command;
use upledger_replay::decide::Next;
use upledger_replay::event::*;
use upledger_replay::plan::Undo;
use upledger_replay::state::Ended;
use upledger_replay::verdict::Token;

/// What is new since the act before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub(super) ledger: usize,
    pub(super) marks: usize,
}

impl Since {
    pub(super) fn of(world: &World) -> Self {
        Self {
            ledger: world.ledger.len(),
            marks: world.marks.len(),
        }
    }
}

type Invariant = fn(&World, Since) -> Held;

/// Those that are asked after every act.
const AFTER_EVERY_ACT: [(&str, Invariant); 12] = [
    ("I1", i01_no_effect_without_an_earlier_durable_intent),
    ("I2", i02_an_attempt_is_executed_once_at_most),
    ("I3", i03_nothing_happens_beside_a_living_attempt),
    ("I4", i04_what_was_acknowledged_is_kept_to),
    ("I5", i05_what_is_recorded_is_what_happened),
    ("I6", i06_nothing_is_repeated_without_a_reason_on_record),
    (
        "I7",
        i07_what_was_done_is_reversed_once_and_in_reverse_order,
    ),
    ("I8", i08_a_runners_state_is_that_of_the_record),
    ("I9", i09_every_question_can_be_answered),
    ("I10", i10_nothing_is_left_behind_at_the_end),
    ("I12", i12_nothing_is_imported_from_another_spec),
    ("I13", i13_what_was_noted_is_recorded_or_its_loss_is_marked),
];

/// All of them.
pub(super) fn check(world: &World, since: Since) -> Held {
    for (name, invariant) in AFTER_EVERY_ACT {
        invariant(world, since).map_err(|why| format!("{name} is broken: {why}"))?;
    }
    Ok(())
}

/// The events that are new, each with its place.
fn new_events(world: &World, since: Since) -> impl Iterator<Item = (usize, &Event)> {
    (world.ledger.iter().enumerate().skip(since.ledger)).map(|(i, entry)| (i, &entry.0))
}

fn i01_no_effect_without_an_earlier_durable_intent(world: &World, since: Since) -> Held {
    for mark in &world.marks[since.marks..] {
        if mark.deed != Deed::Executed {
            continue;
        }
        let job = &world.jobs[mark.job];
        let intent = intent_of(world, &job.at).filter(|(_, s)| s.nonce == job.nonce);
        that(intent.is_some_and(|(i, _)| i < mark.ledger), || {
            format!("{:?} was executed without an intent", job.at)
        })?;
        let over = outcome_of(world, &job.at, mark.ledger);
        let alive = matches!(over, Some(Event::StepDoubted(d)) if d.doubt != Doubt::Unseen);
        that(over.is_none() || alive, || {
            format!("{:?} was executed after {over:?}", job.at)
        })?;
    }
    Ok(())
}

fn i02_an_attempt_is_executed_once_at_most(world: &World, since: Since) -> Held {
    for mark in &world.marks[since.marks..] {
        let at = &world.jobs[mark.job].at;
        let same =
            |m: &&super::world::Mark| m.deed == Deed::Executed && world.jobs[m.job].at == *at;
        let times = world.marks.iter().filter(same).count();
        that(times <= 1, || format!("{at:?} was executed {times} times"))?;
    }
    for (i, event) in new_events(world, since) {
        if let Event::StepStarted(s) = event {
            let before = Tale::of(world, i).attempts(&s.at.part);
            that(s.at.attempt == before + 1, || {
                format!(
                    "attempt {} of {} comes after {before}",
                    s.at.attempt, s.at.part
                )
            })?;
        }
    }
    Ok(())
}

fn i03_nothing_happens_beside_a_living_attempt(world: &World, since: Since) -> Held {
    for mark in &world.marks[since.marks..] {
        let me = &world.jobs[mark.job];
        for (i, other) in world.jobs.iter().enumerate() {
            if i == mark.job && mark.deed != Deed::LookedAt {
                continue;
            }
            let runs = matches!(other.command, Process::Begun(_));
            that(!runs || let_go(world, &other.at, mark.ledger), || {
                format!("{:?}: {:?} while {:?} runs", mark.deed, me.at, other.at)
            })?;
            let told = match outcome_of(world, &other.at, mark.ledger) {
                Some(Event::StepFailed(f)) => f.left_behind,
                Some(Event::StepSucceeded(s)) => !s.evidence.is_empty(),
                _ => let_go(world, &other.at, mark.ledger),
            };
            that(!other.child || told, || {
                format!(
                    "{:?}: {:?} beside what {:?} left",
                    mark.deed, me.at, other.at
                )
            })?;
        }
    }
    // What may still run lets nothing be started, as far as the record knows, whatever is proposed.
    for (i, event) in new_events(world, since) {
        if matches!(event, Event::StepStarted(_) | Event::StepSatisfied(_)) {
            that(not_over(world, i).is_none(), || {
                format!("{event:?} while {:?} is not over", not_over(world, i))
            })?;
        }
    }
    if since.ledger == world.ledger.len() {
        return Ok(());
    }
    let Some(open) = not_over(world, world.ledger.len()) else {
        return Ok(());
    };
    for unit in world.state.units() {
        for way in [Direction::Do, Direction::Undo] {
            let event = first_try(unit.key(way), unit.part(way).attempts + 1);
            that(world.state.check(&event).is_err(), || {
                format!("{event:?} would be accepted while {open:?} is not over")
            })?;
        }
    }
    Ok(())
}

/// An attempt that is open, or in a doubt in which it may still run and about which nobody has decided.
fn not_over(world: &World, upto: usize) -> Option<&Attempt> {
    let over = |at: &Attempt| match outcome_of(world, at, upto) {
        None => false,
        Some(Event::StepDoubted(d)) => d.doubt == Doubt::Unseen || let_go(world, at, upto),
        Some(_) => true,
    };
    let attempts = world.jobs.iter().map(|job| &job.at);
    let mut open = attempts
        .filter(|at| intent_of(world, at).is_some_and(|(intent, _)| intent < upto) && !over(at));
    open.next()
}

fn first_try(part: TaskKey, attempt: u32) -> Event {
    let mut event = started(&part.step, part.way, attempt);
    if let Event::StepStarted(s) = &mut event {
        s.at.part = part;
    }
    event
}

fn i04_what_was_acknowledged_is_kept_to(world: &World, since: Since) -> Held {
    that(world.told <= world.ledger.len(), || {
        "what was told is gone".into()
    })?;
    for (i, event) in new_events(world, since) {
        let Event::StepStarted(started) = event else {
            continue;
        };
        let tale = Tale::of(world, i);
        let mut stop: Option<&Event> = None;
        for event in tale.events.iter().copied() {
            match event {
                Event::PauseRequested(_) if !matches!(stop, Some(Event::AbortRequested(_))) => {
                    stop = Some(event);
                }
                Event::AbortRequested(_)
                | Event::RunAborted(_)
                | Event::RunCompleted(_)
                | Event::RollbackCompleted(_) => stop = Some(event),
                Event::RunResumed(_) if !matches!(stop, Some(Event::AbortRequested(_))) => {
                    stop = None;
                }
                Event::RollbackStarted(_) => stop = None,
                _ => {}
            }
        }
        that(stop.is_none(), || format!("{event:?} after {stop:?}"))?;
        let part = &started.at.part;
        let standing = tale.standing(world.place(part));
        that(part.way == Direction::Undo || !standing.settled, || {
            format!("{part} is started again, and was done")
        })?;
        let tries = tale.tries(part);
        if let Some(Event::StepDecided(d)) = tries.last {
            that(d.decision == Decision::Retry, || {
                format!("{part} is started, and it was decided: {:?}", d.decision)
            })?;
        }
    }
    Ok(())
}

fn i05_what_is_recorded_is_what_happened(world: &World, since: Since) -> Held {
    for (i, event) in new_events(world, since) {
        let place = event.part().map(|part| (world.place(part), part));
        match event {
            Event::StepSucceeded(s) => {
                let (_, job) = job_of(world, &s.at)?;
                result_is(job, |o| {
                    o.ending.command == Command::Exited(0) && o.ending.killed.is_none()
                })?;
                that(job.produced && job.looked == Some(Answer::Done), || {
                    format!("false green: {:?} saw {:?}", s.at, job.looked)
                })?;
            }
            Event::StepFailed(f) => failure_is_true(world, f)?,
            Event::StepFenced(at) => {
                let (index, job) = job_of(world, at)?;
                let barred = job.token == Some(Token::Fenced) && !job.seen_held;
                that(!executed(world, index) && barred, || {
                    format!("{at:?} is recorded as never started: {job:?}")
                })?;
            }
            Event::StepDoubted(d) => {
                let (_, job) = job_of(world, &d.at)?;
                let silent = job.result.is_some_and(|o| o.ending.failure().is_none());
                let holds = match d.doubt {
                    Doubt::Unseen => {
                        let unseen = job.result.is_none() || (silent && !job.produced);
                        job.token == Some(Token::Started) && unseen && !job.supervisor.holds()
                    }
                    Doubt::Alive => job.token.is_some(),
                    Doubt::Lost => job.seen_as != Dir::There,
                };
                that(holds, || format!("doubt {:?} about {job:?}", d.doubt))?;
            }
            Event::StepProbed(p) => {
                if let Some((place, part)) = place
                    && p.answer != Answer::Unclear
                    && !world.jobs.iter().any(|j| j.place == place && j.lives())
                {
                    that(p.answer == world.truth(place, part.way), || {
                        format!("{part} is said to be {:?}", p.answer)
                    })?;
                }
            }
            Event::StepSatisfied(_) => {
                if let Some((place, part)) = place {
                    satisfied_is_true(world, i, place, part)?;
                }
            }
            Event::RunCompleted(_) => {
                let tale = Tale::of(world, i);
                let open = (0..world.things.len()).find(|place| !tale.standing(*place).settled);
                that(open.is_none(), || format!("completed without {open:?}"))?;
            }
            Event::RollbackCompleted(_) => {
                let tale = Tale::of(world, i);
                let rollback = tale.rollback().ok_or("no rollback was under way")?;
                let behind = tale.behind(rollback);
                let left = (behind..world.things.len()).find(|place| tale.is_to_undo(*place));
                that(left.is_none(), || format!("rolled back without {left:?}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn i06_nothing_is_repeated_without_a_reason_on_record(world: &World, since: Since) -> Held {
    for (i, event) in new_events(world, since) {
        if let Event::StepStarted(started) = event {
            may_follow(world, &Tale::of(world, i), &started.at.part)?;
        }
    }
    // The judge: what began to take effect, and is to begin again, is not said to have left nothing.
    for mark in &world.marks[since.marks..] {
        if mark.deed != Deed::Began {
            continue;
        }
        let me = &world.jobs[mark.job];
        for earlier in &world.marks {
            let other = &world.jobs[earlier.job];
            if earlier.deed != Deed::Began || earlier.job == mark.job || other.at.part != me.at.part
            {
                continue;
            }
            let Some((intent, _)) = intent_of(world, &me.at) else {
                continue;
            };
            let outcome = outcome_of(world, &other.at, intent);
            that(outcome.is_some_and(|e| !left_nothing(e)), || {
                format!(
                    "{:?} takes effect after {:?} did: {outcome:?}",
                    me.at, other.at
                )
            })?;
        }
    }
    Ok(())
}

fn i07_what_was_done_is_reversed_once_and_in_reverse_order(world: &World, since: Since) -> Held {
    for (i, event) in new_events(world, since) {
        let part = match event {
            Event::StepStarted(s) => &s.at.part,
            Event::StepSatisfied(s) => &s.part,
            Event::RollbackStarted(r) => {
                turns_round(world, i, r)?;
                continue;
            }
            _ => continue,
        };
        let tale = Tale::of(world, i);
        let place = world.place(part);
        let rollback = tale.rollback();
        if part.way == Direction::Do {
            that(rollback.is_none(), || {
                format!("{part} goes forwards in a rollback")
            })?;
            continue;
        }
        let Some(rollback) = rollback else {
            return Err(format!("{part} without a rollback"));
        };
        that(place >= tale.behind(rollback), || {
            format!("{part}, which was to stay")
        })?;
        let Standing {
            touched, passed, ..
        } = tale.standing(place);
        that(touched && !passed, || {
            format!("{part}: nothing is there to reverse")
        })?;
        for later in place..world.things.len() {
            let unit = &world.state.units()[later];
            that(later == place || !tale.is_to_undo(later), || {
                format!(
                    "{part} before {} on {}, which came later",
                    unit.step, unit.target
                )
            })?;
            let gone = is_no_return(tale.undo(later)) && tale.is_to_undo(later);
            that(!gone, || format!("{part} behind a point of no return"))?;
            that(later == place || !tale.standing(later).stuck, || {
                format!("{part} while the undo of {} is stuck", unit.step)
            })?;
        }
        that(*tale.undo(place) != Undo::Nothing, || {
            format!("{part} has no undo")
        })?;
    }
    if since.ledger < world.ledger.len() {
        a_failed_undo_is_asked_about(world)?;
    }
    Ok(())
}

fn i08_a_runners_state_is_that_of_the_record(world: &World, _: Since) -> Held {
    for runner in world.runners.iter().flatten() {
        if runner.folded == world.ledger.len() {
            that(runner.base == world.state, || {
                "a runner's state differs".into()
            })?;
        }
    }
    Ok(())
}

/// The whole record, read anew from its text, folds as it did event by event.
pub(super) fn i08_the_record_says_everything(world: &World) -> Held {
    let mut run = world.planned();
    for entry in &world.ledger {
        let text = serde_json::to_string(&entry.0).map_err(|e| e.to_string())?;
        let event: Event = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        run.apply(&event, &entry.1).map_err(|e| e.to_string())?;
    }
    that(run == world.state, || {
        "I8 is broken: the record folds otherwise".into()
    })
}

/// Whatever is offered as an answer is accepted: no question is a dead end.
fn i09_every_question_can_be_answered(world: &World, since: Since) -> Held {
    let Next::Ask(question) = world.next() else {
        return Ok(());
    };
    if since.ledger == world.ledger.len() {
        return Ok(());
    }
    let back = Event::RollbackStarted(RollbackStarted {
        to: None,
        reason: String::new(),
        accept_data_loss: false,
        looks_again: true,
    });
    let answers = question.answers.iter().map(|decision| {
        Event::StepDecided(Decided {
            part: question.part.clone(),
            decision: *decision,
            reason: String::new(),
            evidence: vec![],
            produced: None,
        })
    });
    let back = question.may_roll_back.then_some(back);
    for answer in answers.chain(back) {
        if let Err(why) = world.state.check(&answer) {
            return Err(format!("{question:?} is asked, and {why}"));
        }
    }
    that(!question.answers.is_empty(), || {
        format!("{question:?} has no answer")
    })
}

/// When nothing goes wrong any more and nobody comes, a resume leads to an end, a stop or one question.
pub(super) fn i09_it_comes_to_rest(world: &World, acts: usize) -> Held {
    let next = world.next();
    let rests = matches!(next, Next::End(_) | Next::Ask(_) | Next::Stop(_));
    that(rests && world.lock.is_none(), || {
        format!("I9 is broken: after {acts} acts without a fault, {next:?} is next")
    })
}

fn i10_nothing_is_left_behind_at_the_end(world: &World, _: Since) -> Held {
    let lockers = world.runners.iter().flatten().count();
    that(world.lock.is_none() || lockers > 0, || {
        "the lock has no holder".into()
    })?;
    if world.state.ended.is_none() {
        return Ok(());
    }
    let all = world.ledger.len();
    for job in &world.jobs {
        if intent_of(world, &job.at).is_none_or(|(_, s)| s.nonce != job.nonce)
            || let_go(world, &job.at, all)
        {
            continue;
        }
        let runs = matches!(job.command, Process::Begun(_));
        that(!runs, || {
            format!("{:?} runs, and the run has ended", job.at)
        })?;
        let may_start = matches!(
            job.supervisor,
            Supervisor::Coming | Supervisor::Locked | Supervisor::Linked | Supervisor::Tokened
        );
        let barred = job.token == Some(Token::Fenced) || job.kill || job.dir != Dir::There;
        that(!may_start || barred, || {
            format!(
                "{:?} may start, and the run has ended: {:?}",
                job.at, world.state.ended
            )
        })?;
    }
    let open = world.state.open();
    that(
        open.is_none() || world.state.ended == Some(Ended::Aborted),
        || format!("{open:?} is open, and the run has ended"),
    )
}

fn i12_nothing_is_imported_from_another_spec(world: &World, since: Since) -> Held {
    for (_, event) in new_events(world, since) {
        let at = match event {
            Event::StepSucceeded(s) => &s.at,
            Event::StepFailed(f) if f.failure != Failure::NotStarted => &f.at,
            _ => continue,
        };
        let (_, job) = job_of(world, at)?;
        that(job.seen_as == Dir::There, || {
            format!(
                "{at:?} is imported from a directory that is {:?}",
                job.seen_as
            )
        })?;
    }
    Ok(())
}

fn i13_what_was_noted_is_recorded_or_its_loss_is_marked(world: &World, since: Since) -> Held {
    for (i, event) in new_events(world, since) {
        let (at, printed) = match event {
            Event::StepSucceeded(s) => (&s.at, s.printed.as_ref()),
            Event::StepFailed(f) => (&f.at, f.printed.as_ref()),
            Event::StepFenced(at) => (at, None),
            Event::StepDoubted(d) if d.doubt != Doubt::Lost => (&d.at, None),
            _ => continue,
        };
        let (_, job) = job_of(world, at)?;
        let recorded: Vec<&Event> = world.ledger[..i]
            .iter()
            .map(|e| &e.0)
            .filter(|e| matches!(e, Event::StepNoted(_) | Event::StepEscalated(_)))
            .filter(|e| e.attempt() == Some(at))
            .collect();
        let spooled = job.spool.iter().take(recorded.len());
        let same = spooled.eq(recorded.iter().copied());
        // A command that may still run may still write.
        let alive = matches!(event, Event::StepDoubted(d) if d.doubt == Doubt::Alive);
        that(same && (alive || recorded.len() == job.spool.len()), || {
            format!("{at:?} wrote {:?}, and {recorded:?} is recorded", job.spool)
        })?;
        if let (Some(printed), Some(outcome)) = (printed, job.result) {
            that(printed.dropped == outcome.dropped, || {
                format!("output of {at:?} is missing")
            })?;
        }
    }
    Ok(())
}

/// What the record has once it can not have twice; and where an intent or an outcome of it were missing, what comes after
/// would be refused.
pub(super) fn i14_an_event_out_of_place_is_refused(world: &World) -> Held {
    let structural = |event: &Event| {
        matches!(
            event,
            Event::StepStarted(_)
                | Event::StepSucceeded(_)
                | Event::StepFailed(_)
                | Event::StepFenced(_)
                | Event::StepDoubted(_)
                | Event::StepSatisfied(_)
                | Event::StepSkipped(_)
        )
    };
    let mut run = world.planned();
    for entry in &world.ledger {
        run.apply(&entry.0, &entry.1).map_err(|e| e.to_string())?;
        if structural(&entry.0) {
            let before = run.clone();
            let twice = run.apply(&entry.0, &entry.1);
            that(twice.is_err() && run == before, || {
                format!("I14 is broken: {:?} is accepted twice", entry.0)
            })?;
        }
    }
    for missing in 0..world.ledger.len() {
        let event = &world.ledger[missing].0;
        let left_out = matches!(event, Event::StepSatisfied(_) | Event::StepSkipped(_));
        if left_out || !structural(event) {
            continue;
        }
        let later = world.ledger[missing + 1..].iter().any(|e| structural(&e.0));
        let mut run = world.folded(missing)?;
        let mut rest = world.ledger[missing + 1..].iter();
        let refused = rest.any(|e| run.apply(&e.0, &e.1).is_err());
        that(refused || !later, || {
            format!("I14 is broken: {:?} is not missed", world.ledger[missing].0)
        })?;
    }
    Ok(())
}
