//! Proves that the published format page and this crate name the same schema, to the byte.

use upledger_ledger::{APPLICATION_ID, DDL, FORMAT, USER_VERSION};

#[test]
fn the_page_has_the_schema_of_the_program() {
    let page = include_str!("../../docs/ledger-format.md");
    let (_, rest) = page.split_once("```sql\n").unwrap();
    let (schema, _) = rest.split_once("\n```").unwrap();
    assert_eq!(schema, DDL.join(";\n") + ";");
    assert!(page.contains(&format!("application_id = {APPLICATION_ID:#X}").replace("0X", "0x")));
    assert!(page.contains(&format!("user_version = {USER_VERSION}")));
    assert!(page.starts_with(&format!("# The ledger file, format `{FORMAT}`")));
}
