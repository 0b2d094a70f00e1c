//! Rows as `psql --csv` prints them.

use super::Row;

/// What stands for NULL: no value of a database holds it by chance.
pub(super) const NULL: &str = "\u{1}upledger-null\u{1}";

/// The rows of a text.
pub(super) fn rows(text: &[u8]) -> Vec<Row> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), Vec::new());
    let (mut quoted, mut at) = (false, 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' if quoted && text.get(at) == Some(&b'"') => {
                field.push(b'"');
                at += 1;
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => row.push(value(&mut field)),
            b'\n' if !quoted => {
                row.push(value(&mut field));
                rows.push(Row::of(std::mem::take(&mut row)));
            }
            byte => field.push(byte),
        }
    }
    rows
}

fn value(field: &mut Vec<u8>) -> Option<Vec<u8>> {
    let value = std::mem::take(field);
    (value != NULL.as_bytes()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_lines_and_nothing_are_kept_apart() {
        let text = format!("a,\"b,\"\"c\"\"\n d\",\n{NULL},x\n");
        let rows = rows(text.as_bytes());
        let first: Vec<_> = (0..3).map(|n| rows[0].get(n)).collect();
        let wanted = ["a", "b,\"c\"\n d", ""].map(|text| Some(text.to_owned()));
        assert_eq!(first, wanted);
        assert_eq!((rows[1].get(0), rows[1].text(1)), (None, "x".to_owned()));
        assert_eq!(rows.len(), 2);
    }
}
