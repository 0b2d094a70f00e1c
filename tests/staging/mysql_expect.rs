//! `mysql.expect` and `mysql.query` on a real server: counts and no estimates, facts for later steps, and no writes.
//!
//! Situations 24 and 25 of `tests/cards.md`.

use crate::platform::{Keeping, Options, Platform};

#[test]
fn rows_are_counted_anew_facts_are_handed_on_and_nothing_is_written() {
    let platform = Platform::up(Options {
        keeping: Keeping::Down,
        ..Options::default()
    });
    platform.sql(
        "CREATE TABLE many (id INT PRIMARY KEY, note VARCHAR(20) NOT NULL, p VARCHAR(400)) STATS_PERSISTENT=1 STATS_AUTO_RECALC=0; \
         ANALYZE TABLE many; INSERT INTO many SELECT seq, 'n', REPEAT('x', seq MOD 400) FROM seq_1_to_20000;",
    );
    platform.sql(
        "DELIMITER //\nCREATE FUNCTION sneaks() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM many WHERE id = 1; RETURN 1; END//",
    );
    let login = format!(
        "server: {{socket: {}, user: root}}, database: bk_log_search",
        platform.text("run/mariadb.sock")
    );
    let expect =
        |id: &str, what: &str| format!("{{id: {id}, do: {{mysql.expect: {{{login}, {what}}}}}}}");
    let query = |id: &str, sql: &str| {
        format!("{{id: {id}, do: {{mysql.query: {{{login}, query: \"{sql}\"}}}}}}")
    };
    let done = platform.run(&[
        &query("count", "SELECT COUNT(*) FROM many"),
        &expect("rows", "rows: {many: {exactly: 20000}}"),
        &expect("tables", "tables: {many: {}, gone: {exists: false}}, columns: {many: {note: {type: varchar(20), null: false}, x: {exists: false}}}"),
        &expect(
            "values",
            r#"values: [{query: "SELECT MAX(id) FROM many", equals: 20000}, {query: "SELECT p FROM many WHERE id = 0", is_null: true}]"#,
        ),
        &expect("writable", "writable: true"),
        "{id: tell, do: {run: [echo, {from: count.value}]}, effect: pure, undo: none}",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("| 20000"), "{done:?}");

    // A function that writes is refused by the server, in the session of the query alone.
    let sneaky = platform.run(&[&query("sneaky", "SELECT sneaks()")]);
    assert_eq!(sneaky.code, 1, "{sneaky:?}");
    assert!(sneaky.out.contains("error 1792"), "{sneaky:?}");
    assert_eq!(platform.sql("SELECT COUNT(*) FROM many"), "20000");

    let aborted = platform
        .world()
        .upledger(&["abort", "--reason", "it is refused"]);
    assert_eq!(aborted.code, 12, "{aborted:?}");
    platform.sql("SET GLOBAL read_only = 1");
    let read_only = platform.run(&[&expect("writable", "writable: true")]);
    assert!(read_only.out.contains("is read-only"), "{read_only:?}");
    platform.sql("SET GLOBAL read_only = 0");
    platform
        .world()
        .upledger(&["abort", "--reason", "it is read-only"]);
    platform.sql("DELETE FROM many WHERE id <= 1000");
    let fewer = platform.run(&[&expect("rows", "rows: {many: {exactly: 20000}}")]);
    assert!(
        fewer
            .out
            .contains("SELECT COUNT(*) FROM `many`: 19000, at "),
        "{fewer:?}"
    );
    assert!(fewer.out.contains("exactly 20000"), "{fewer:?}");
}
