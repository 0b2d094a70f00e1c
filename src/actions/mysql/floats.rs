//! Columns of the type FLOAT: every dump program writes six digits of them, and a value may have more.
//!
//! Invariant: two tables count as the same but for these digits only where every value, written as text, is the same.

use crate::action::Error;
use crate::host::mysql::{ServerError, Session, ident, literal};
use std::collections::BTreeMap;

/// The columns of the type FLOAT of a schema, by table.
///
/// # Errors
/// [`Error`] when that cannot be asked.
pub(super) fn columns(
    session: &mut Session,
    schema: &str,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let rows = session.query(&format!(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {} AND data_type = 'float' \
         ORDER BY table_name, ordinal_position",
        literal(schema)
    ))?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        found.entry(row.text(0)).or_default().push(row.text(1));
    }
    Ok(found)
}

/// Whether a table and its copy in another schema hold the same, as their values are written as text.
///
/// # Errors
/// [`Error`] when one of them cannot be read.
pub(super) fn same_as_text(
    session: &mut Session,
    schema: &str,
    copy: &str,
    table: &str,
) -> Result<bool, Error> {
    let columns = session.query(&format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(schema),
        literal(table)
    ))?;
    let values: Vec<String> = columns
        .iter()
        .map(|row| {
            format!(
                "COALESCE(SHA2(CAST({} AS BINARY), 256), 'null')",
                ident(&row.text(0))
            )
        })
        .collect();
    // The sum does not depend on the order of the rows, and hears of a row that is there twice.
    let row = format!("SHA2(CONCAT_WS(',', {}), 256)", values.join(", "));
    let sums = format!("COUNT(*), SUM(CAST(CONV(LEFT({row}, 12), 16, 10) AS UNSIGNED))");
    let mut sum = |schema: &str| {
        let place = format!("{}.{}", ident(schema), ident(table));
        let cannot = |e: ServerError| Error::io(format!("cannot read the table {table}"), &e);
        let found = session.query_patiently(format!("SELECT {sums} FROM {place}"));
        let found = found.map_err(cannot)?;
        let row = found.first();
        Ok::<_, Error>(row.map(|row| [row.get(0), row.get(1)]))
    };
    Ok(sum(schema)? == sum(copy)?)
}
