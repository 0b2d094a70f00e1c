//! What the index answers is what a look at every unit answers, whatever happened; and what was folded can be taken back.

use crate::walk::{draws, every_kind};
use crate::world::*;
use proptest::prelude::*;
use upledger_replay::event::*;
use upledger_replay::plan::Undo;
use upledger_replay::runs::Runs;
use upledger_replay::state::{Run, Status, Task};

use Direction::{Do, Undo as Back};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn keys<'a>(units: impl Iterator<Item = &'a Task>) -> Vec<TaskKey> {
    units.map(|u| u.key(Do)).collect()
}

/// Every question that the index answers, answered by a look at every unit and every step.
fn assert_index(run: &Run) {
    let units = run.units();
    let steps: Vec<_> = run.plan.steps().collect();
    let undo = |u: &Task| &steps[u.index].1.undo;
    for (place, unit) in units.iter().enumerate() {
        assert_eq!(run.place(&unit.key(Do)), Some(place));
        assert_eq!(run.unit(&unit.key(Back)), Some(unit));
        let (phase, step) = run.step(unit).expect("it has a step");
        assert_eq!((phase, step), steps[unit.index]);
        assert_eq!(run.step_named(&unit.step), Some(step));
        let of_step = units.iter().filter(|u| u.step == unit.step);
        assert_eq!(
            run.units_of(&unit.step),
            of_step.cloned().collect::<Vec<_>>()
        );
    }
    assert_eq!(run.place(&TaskKey::local("nowhere", Do)), None);
    assert_eq!(run.step_named("nowhere"), None);
    assert!(run.units_of("nowhere").is_empty());

    let unsettled = units.iter().filter(|u| !u.forward.settled());
    assert_eq!(keys(run.unsettled()), keys(unsettled));
    let touched = || units.iter().filter(|u| u.forward.touched);
    assert_eq!(keys(run.touched()), keys(touched()));
    let no_return = touched().any(|u| matches!(undo(u), Undo::PointOfNoReturn(_)));
    assert_eq!(run.is_past_no_return(), no_return);

    let kept = run.rollback_to.as_ref();
    let kept = kept.map(|to| steps.iter().position(|(_, s)| s.id == *to));
    let to_undo = touched().rev().filter(|u| {
        kept.is_none_or(|kept| Some(u.index) > kept)
            && !u.backward.settled()
            && *undo(u) != Undo::Nothing
    });
    assert_eq!(keys(run.to_undo()), keys(to_undo));

    let parts = || units.iter().flat_map(|u| [(u, Do), (u, Back)]);
    let open = parts().find(|(u, w)| u.part(*w).status == Status::Running);
    assert_eq!(run.open(), open.map(|(u, w)| u.key(w)));
    let attempt = open.map(|(u, w)| u.part(w).attempts);
    assert_eq!(run.open_attempt().map(|a| a.attempt), attempt);
    let may_run = parts().find(|(u, w)| u.part(*w).may_still_run());
    assert_eq!(run.may_still_run(), may_run);
}

fn book() -> Runs {
    let mut book = Runs::default();
    let planned = Event::RunPlanned(RunPlanned {
        digest: String::new(),
        plan: every_kind().into(),
        warnings: vec![],
        contract: CONTRACT,
        given: Vec::new(),
    });
    book.apply(Some("r"), &planned, &when(0)).unwrap();
    book
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_index_answers_as_a_look_at_every_unit(draws in draws(60)) {
        let mut run = run(every_kind());
        assert_index(&run);
        for (i, draw) in draws.iter().enumerate() {
            let event = draw.of(&run);
            let before = run.clone();
            let check = run.check(&event);
            let applied = run.apply(&event, &when(i as u64 + 1));
            prop_assert_eq!(&check, &applied);
            if applied.is_err() {
                prop_assert_eq!(&run, &before, "a refused event changes nothing: {:?}", event);
            }
            assert_index(&run);
        }
    }

    #[test]
    fn what_was_folded_is_taken_back_newest_first(draws in draws(40)) {
        let mut book = book();
        let mut folded = Vec::new();
        for (i, draw) in draws.iter().enumerate() {
            let event = draw.of(book.run("r").unwrap());
            let before = book.clone();
            let savepoint = book.savepoint(Some("r"), &event);
            if book.apply(Some("r"), &event, &when(i as u64 + 1)).is_ok() {
                folded.push((savepoint, before));
            }
        }
        while let Some((savepoint, before)) = folded.pop() {
            book.revert(savepoint);
            prop_assert_eq!(&book, &before);
        }
    }
}

#[test]
fn a_run_that_was_planned_is_taken_back_too() {
    let mut book = book();
    let run = book.run("r").unwrap();
    let planned = Event::RunPlanned(RunPlanned {
        digest: String::new(),
        plan: run.plan.clone(),
        warnings: vec![],
        contract: CONTRACT,
        given: Vec::new(),
    });
    book.apply(Some("r"), &Event::RunAborted(Empty {}), &when(1))
        .unwrap();
    let before = book.clone();
    let savepoint = book.savepoint(Some("s"), &planned);
    book.apply(Some("s"), &planned, &when(2)).unwrap();
    assert_ne!(book, before);
    book.revert(savepoint);
    assert_eq!(book, before);
}
