//! Proves that an opening shows exactly what reading gives back, and nothing of an event that did not pass; and that a
//! draft that is a text is held to what the text says.

use crate::support::{Home, append, draft, identity};
use serde_json::json;
use upledger_ledger::{Append, AppendError, Data, Draft, Ledger, OpenError, View};

/// Everything that is shown of an event.
fn summary(view: &View<'_>) -> String {
    format!("{view:?}")
}

#[test]
fn each_way_of_opening_shows_what_reading_gives_back() {
    let home = Home::new();
    let mut seen = Vec::new();
    let mut see = |view: &View<'_>| seen.push(summary(view));
    let mut ledger =
        Ledger::create_or_open_seeing(home.place(), home.memory(), identity(), &mut see).unwrap();
    let odd = json!({"text": "\u{1}\"\\ 步骤", "data": {"kind": [null, -1]}});
    append(
        &mut ledger,
        &[draft(0), Draft::of_run("a \"run\"", "note.added", odd)],
    );
    drop(ledger);
    assert_eq!(seen.len(), 1, "the genesis was there, and nothing else");

    let ledger = home.ledger();
    let read: Vec<String> = ledger
        .read_all()
        .map(|record| summary(&record.unwrap().view()))
        .collect();
    drop(ledger);
    assert_eq!(read.len(), 4);
    for way in 0..3 {
        let mut seen = Vec::new();
        let see = &mut |view: &View<'_>| seen.push(summary(view));
        let (place, memory) = (home.place(), home.memory());
        let opened = match way {
            0 => Ledger::create_or_open_seeing(place, memory, identity(), see),
            1 => Ledger::open_existing_seeing(place, memory, identity(), see),
            _ => Ledger::open_read_seeing(place, Some(memory), see),
        };
        opened.unwrap();
        assert_eq!(seen, read, "{way}");
    }
}

#[test]
fn an_event_that_does_not_pass_is_not_shown_and_none_behind_it() {
    let home = Home::new();
    home.filled(9);
    for damage in ["body = replace(body, '\"n\":3', '\"n\":4')", "ts = 'then'"] {
        let raw = home.raw();
        raw.execute_batch("BEGIN; DROP TRIGGER event_no_update")
            .unwrap();
        let trigger = upledger_ledger::DDL[4];
        raw.execute_batch(&format!(
            "UPDATE event SET {damage} WHERE seq = 5; {trigger}; COMMIT"
        ))
        .unwrap();
        let mut seen = Vec::new();
        let see = &mut |view: &View<'_>| seen.push(view.seq);
        let error = Ledger::open_read_seeing(home.place(), None, see).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_)), "{error:?}");
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn a_text_is_stored_as_it_is_and_any_other_than_the_canonical_one_is_refused() {
    let home = Home::new();
    let mut ledger = home.ledger();
    let text = |text: &str| Draft {
        data: Data::Text(text.into()),
        ..draft(0)
    };
    let appended = append(&mut ledger, &[text("{\"a\":[1,{}],\"b\":\"\\n\"}")]);
    assert_eq!(appended.records[1].data(), "{\"a\":[1,{}],\"b\":\"\\n\"}");
    let head = ledger.head();
    for bad in [
        "",
        "[]",
        "{",
        "{} ",
        "{\"b\":1,\"a\":2}",
        "{\"a\":0.5}",
        "{},\"kind\":\"x\"",
    ] {
        for drafts in [vec![text(bad)], vec![draft(1), text(bad)]] {
            let index = drafts.len() - 1;
            let result = ledger.append(&head, drafts, &Append::default());
            let refused =
                matches!(result, Err(AppendError::Refused { index: at, .. }) if at == index);
            assert!(refused, "{bad}: {result:?}");
            assert_eq!(ledger.head(), head);
        }
    }
}
