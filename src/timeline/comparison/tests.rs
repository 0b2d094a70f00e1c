//! The comparison of small timelines: what is the same step, what is a difference, and what is not known.

use super::*;

fn moment(seq: u64) -> Moment {
    Moment {
        ts: "2026-03-14T21:00:00.000000Z".into(),
        us: 1_773_522_000_000_000 + i64::try_from(seq).expect("small") * 1000,
        seq,
    }
}

fn bar(step: &str, way: Direction, outcome: Outcome, took_ms: Option<u64>, seq: u64) -> Bar {
    Bar {
        phase: "all".into(),
        step: step.into(),
        kind: "run".into(),
        target: "local".into(),
        way,
        check: false,
        attempt: 1,
        start: moment(seq),
        end: Some(moment(seq + 1)),
        took_ms,
        outcome,
        settled: None,
        settled_as: None,
        detail: String::new(),
        evidence: Vec::new(),
        command: Vec::new(),
        on_the_way: Vec::new(),
    }
}

fn timeline(run: &str, bars: Vec<Bar>) -> Timeline {
    Timeline {
        schema: "upledger.timeline/1",
        run: run.into(),
        plan: "night".into(),
        digest: "cafe".into(),
        change: None,
        state: "completed".into(),
        shown: "completed".into(),
        actor: "alice".into(),
        from: moment(1),
        until: moment(100),
        events: 100,
        steps: 10,
        unreached: Vec::new(),
        deserted: false,
        bars,
        marks: Vec::new(),
        waits: Vec::new(),
        outages: Vec::new(),
    }
}

fn done(step: &str, ms: u64, seq: u64) -> Bar {
    bar(step, Direction::Do, Outcome::Succeeded, Some(ms), seq)
}

#[test]
fn steps_keep_the_order_of_the_first_run_and_those_of_the_second_alone_stand_where_they_came() {
    let a = timeline(
        "a",
        vec![done("one", 1, 1), done("two", 1, 3), done("four", 1, 5)],
    );
    let b = timeline(
        "b",
        vec![
            done("zero", 1, 1),
            done("one", 1, 3),
            done("half", 1, 5),
            done("four", 1, 7),
            done("five", 1, 9),
        ],
    );
    let compared = compare(&a, &b, None);
    let order: Vec<&str> = compared.rows.iter().map(|r| r.step.as_str()).collect();
    assert_eq!(order, ["zero", "one", "half", "two", "four", "five"]);
    let only: Vec<&str> = compared
        .rows
        .iter()
        .filter(|r| r.a.is_none() || r.b.is_none())
        .map(|r| r.step.as_str())
        .collect();
    assert_eq!(only, ["zero", "half", "two", "five"]);
}

#[test]
fn all_attempts_of_a_step_count_and_one_whose_end_nobody_saw_leaves_no_difference() {
    let a = timeline(
        "a",
        vec![
            bar("one", Direction::Do, Outcome::Failed, Some(4000), 1),
            done("one", 3000, 3),
            bar("two", Direction::Do, Outcome::InDoubt, None, 5),
            done("two", 2000, 7),
            bar("one", Direction::Undo, Outcome::Succeeded, Some(500), 9),
        ],
    );
    let b = timeline("b", vec![done("one", 1000, 1), done("two", 1500, 3)]);
    let rows = compare(&a, &b, None).rows;
    let seen: Vec<_> = rows
        .iter()
        .map(|r| (r.step.as_str(), r.way, r.difference_ms))
        .collect();
    assert_eq!(
        seen,
        [
            ("one", Direction::Do, Some(6000)),
            ("two", Direction::Do, None),
            ("one", Direction::Undo, None),
        ]
    );
    let two = rows[1].a.as_ref().expect("it ran");
    assert_eq!((two.took_ms, two.seen_ms, two.attempts), (None, 2000, 2));
}

#[test]
fn the_first_lines_name_what_took_longer_and_what_went_another_way() {
    let a = timeline(
        "night",
        vec![
            done("quick", 120, 1),
            done("migrate", 312_000, 3),
            bar("serve", Direction::Do, Outcome::Failed, Some(2000), 5),
            bar("serve", Direction::Do, Outcome::Failed, Some(2000), 7),
            done("serve", 2000, 9),
            done("report", 1000, 11),
        ],
    );
    let b = timeline(
        "rehearsal",
        vec![
            done("quick", 20, 1),
            done("migrate", 121_000, 3),
            done("serve", 2100, 5),
            done("slow", 70_000, 7),
        ],
    );
    let lines = compare(&a, &b, Some("copy.jsonl".into())).summary();
    let has = |part: &str| assert!(lines.iter().any(|l| l == part), "{part}: {lines:#?}");
    has("what took longer in night: migrate 5m12s instead of 2m01s; serve 6.0 s instead of 2.1 s");
    has(
        "what ended differently in night than in rehearsal (copy.jsonl): serve: failed (2 times), succeeded instead of succeeded",
    );
    has("only in night: report");
    has("only in rehearsal (copy.jsonl): slow");
    has("both ran the same plan, to the byte");
    assert!(!lines.iter().any(|l| l.contains("quick")), "{lines:#?}");
}

#[test]
fn a_negative_difference_is_a_number_for_spreadsheets() {
    let a = timeline("a", vec![done("one", 1000, 1)]);
    let b = timeline("b", vec![done("one", 3000, 1)]);
    let text = csv(&compare(&a, &b, None));
    let line = text.lines().nth(1).expect("a line");
    assert_eq!(
        line,
        "all,one,local,do,1,1000,succeeded,1,1,3000,succeeded,1,-2000,"
    );
}
