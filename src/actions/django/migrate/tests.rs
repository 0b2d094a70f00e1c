//! How far a migration came, by rows and facts; and what is stored is read for ever.

use super::judge::{Stand, stand};
use super::seen::{DatabaseState, table_of};
use super::{Database, Migrate, Note};
use serde_json::{Value, json};

const STORED: &str = r#"{"databases": [{"alias": "default", "schema": "app", "server": "db1:3306/data/", "shown": "default: app",
    "applied": ["shop.0001_initial"], "plan": [{"app": "shop", "name": "0002_more", "operations": [
        {"what": "AddField: Add field price to Item", "reversible": true, "changes": {"column shop_item.price": "int NOT NULL"}},
        {"what": "RunPython: Raw Python operation", "data": true, "reversible": false},
        {"what": "AddField: Add field stock to Item", "reversible": true, "changes": {"column shop_item.stock": "int NOT NULL",
            "index shop_item (stock)": ""}}]}],
    "tables": {"shop_item": "aa"}, "facts": {"blob": "bb", "len": 12}, "warnings": ["irreversible: shop.0002_more"]}]}"#;

#[test]
fn what_is_stored_stays_readable() {
    let notes = [
        r#"{"runs": {"alias": "default"}}"#,
        r#"{"connected": {"alias": "default", "id": 7, "started": 1796036010}}"#,
        r#"{"begins": {"alias": "default", "migration": "shop.0002_more", "schema": "aa"}}"#,
        r#"{"failed": {"alias": "default", "migration": "shop.0002_more", "operation": null, "error": "1062"}}"#,
        r#"{"hook_failed": {"alias": "default", "receiver": "shop.ping", "error": "OSError"}}"#,
        r#"{"ended": {"alias": "default"}}"#,
        r#""restores""#,
        r#"{"restoring": {"dropping": ["app"]}}"#,
        r#""restored""#,
    ];
    for note in notes {
        crate::action::stays::<Migrate>(STORED, note, r#"{"applied": 1, "schema": "app"}"#);
    }
}

fn database() -> Database {
    let before: Value = serde_json::from_str(STORED).unwrap();
    serde_json::from_value(before["databases"][0].clone()).unwrap()
}

/// The schema with these facts of the table, its digest, and these rows.
fn seen(facts: &Value, digest: &str, applied: &Value) -> DatabaseState {
    let value = json!({
        "server": {"alias": "default", "schema": "app", "user": "", "hostname": "", "port": "", "datadir": "", "server_uuid": "",
            "version": "", "wait_timeout": "", "lock_wait_timeout": "", "started": 0, "given": "", "applied": applied},
        "plan": [], "squashes": [], "whole": digest, "ever": true, "gone": [], "orphans": [], "tables": {"shop_item": digest},
        "rows": {}, "memory": 0, "processes": [], "lock": null, "facts": {"shop_item": facts}
    });
    serde_json::from_value(value).unwrap()
}

fn begun() -> Vec<Note> {
    vec![Note::Begins {
        alias: "default".into(),
        migration: "shop.0002_more".into(),
        schema: Some("aa".into()),
    }]
}

fn head(stand: &Stand) -> String {
    match stand {
        Stand::Half(half) => half.head(),
        other => format!("{other:?}"),
    }
}

#[test]
fn rows_facts_and_notes_tell_how_far_it_came() {
    let (database, rows) = (database(), json!(["shop.0001_initial"]));
    let price = json!({"column shop_item.price": "int NOT NULL"});
    let leftover = json!({"column shop_item.price": "int NOT NULL DEFAULT 0"});
    let without_index =
        json!({"column shop_item.price": "int NOT NULL", "column shop_item.stock": "int NOT NULL"});
    for (facts, digest, notes, wanted) in [
        (json!({}), "aa", vec![], "NotStarted"),
        (json!({}), "aa", begun(), "NotStarted"),
        (
            price.clone(),
            "bb",
            begun(),
            "half applied: 1 of 2 operations are in the schema; a data step",
        ),
        // The statement that drops the default did not run, so that the data step was not reached.
        (leftover, "bb", begun(), "shop.0002_more is half applied"),
        (
            without_index,
            "bb",
            begun(),
            "half applied: 1 of 2 operations are in the schema; a data step",
        ),
    ] {
        let now = seen(&facts, digest, &rows);
        let found = head(&stand(&database, notes.iter(), &now, None));
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
    let all = json!(["shop.0001_initial", "shop.0002_more"]);
    assert_eq!(
        stand(&database, [].iter(), &seen(&price, "bb", &all), None),
        Stand::Applied
    );
    let foreign = json!(["shop.0001_initial", "auth.0001_initial"]);
    let found = stand(
        &database,
        [].iter(),
        &seen(&json!({}), "aa", &foreign),
        None,
    );
    assert!(
        matches!(found, Stand::Foreign(rows) if rows[0].starts_with("auth.0001_initial is recorded"))
    );
}

#[test]
fn a_data_step_that_began_first_is_never_taken_for_nothing() {
    let mut database = database();
    database.plan[0].operations.swap(0, 1);
    let now = seen(&json!({}), "aa", &json!(["shop.0001_initial"]));
    let found = head(&stand(&database, begun().iter(), &now, None));
    assert!(
        found.contains("its data step may have changed rows"),
        "{found}"
    );
    assert_eq!(
        stand(&database, [].iter(), &now, None),
        Stand::NotStarted,
        "it had not begun"
    );
}

#[test]
fn the_table_of_a_fact_is_known() {
    for (key, table) in [
        ("table orders", "orders"),
        ("column orders.level", "orders"),
        ("primary key orders (id)", "orders"),
        ("foreign key tag.item_id -> item.id", "tag"),
        ("unique orders (a, b)", "orders"),
    ] {
        assert_eq!(table_of(key), table);
    }
}
