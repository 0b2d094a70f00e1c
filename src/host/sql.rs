//! What the servers of databases share: a row of a result, what of an error is shown, and whether a statement only reads.
//!
//! The words of a statement are one of two walls: the session of a query is read-only, too.

use crate::encoding;
use crate::text::queries as text;

/// How much of an error of the server is shown: it may repeat a statement, row data included.
const SHOWN: usize = 300;

/// The part of an error that is shown.
pub(crate) fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str(" ...");
    }
    shown
}

/// A row of a result, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row(Vec<Option<Vec<u8>>>);

impl Row {
    /// Of the values of its columns.
    pub(crate) fn of(values: Vec<Option<Vec<u8>>>) -> Self {
        Self(values)
    }

    /// A value; none where it is NULL or there is no such column.
    pub(crate) fn get(&self, column: usize) -> Option<String> {
        let value = self.0.get(column)?.as_ref()?;
        Some(encoding::escaped(value))
    }

    /// A value; empty where it is NULL.
    pub(crate) fn text(&self, column: usize) -> String {
        self.get(column).unwrap_or_default()
    }

    /// A whole number; 0 where it is NULL or none.
    pub(crate) fn number(&self, column: usize) -> u64 {
        self.text(column).parse().unwrap_or(0)
    }

    /// How many columns it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MariaDB and MySQL.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// What a query begins with.
const READS: [&str; 9] = [
    "SELECT", "WITH", "SHOW", "EXPLAIN", "TABLE", "VALUES", "DESCRIBE", "DESC", "CHECKSUM",
];
/// How many of them PostgreSQL has.
const COMMON: usize = 6;
/// Words of a query that write all the same, or take locks. No read-only session refuses all of them.
const WRITES: [&str; 19] = [
    "INTO",
    "OUTFILE",
    "DUMPFILE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "GRANT",
    "SETVAL",
    "NEXTVAL",
    "LASTVAL",
    "GET_LOCK",
    "SLEEP",
    "LOAD_FILE",
    "PROCEDURE",
    "PG_SLEEP",
];
/// Of these a query may contain, as the names of functions or in `FOR UPDATE`, what follows here.
const FUNCTIONS: [&str; 2] = ["INSERT", "REPLACE"];
/// In these, such words are names of what is shown: `SHOW CREATE PROCEDURE`.
const SHOWS: [&str; 1] = ["SHOW"];

/// A word of a statement, in capitals, and whether a parenthesis follows.
struct Word {
    text: String,
    call: bool,
}

/// The words of a statement outside of strings, quoted names and comments; none where there is more than one statement,
/// or a comment that the server would carry out.
fn words(sql: &str, dialect: Dialect) -> Option<Vec<Word>> {
    let bytes = sql.as_bytes();
    let (mut words, mut at, mut ended) = (Vec::new(), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let comment = match dialect {
            Dialect::Mysql => rest.starts_with(b"-- ") || rest.starts_with(b"--\n") || byte == b'#',
            Dialect::Postgres => rest.starts_with(b"--"),
        };
        if comment {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") {
                return None;
            }
            at += commented(rest, dialect);
            continue;
        }
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if ended {
            return None;
        }
        match byte {
            b';' => {
                ended = true;
                at += 1;
            }
            b'\'' | b'"' | b'`' => {
                // In PostgreSQL a backslash escapes in `E'...'` alone.
                let escapes = match dialect {
                    Dialect::Mysql => byte != b'`',
                    Dialect::Postgres => {
                        byte == b'\'' && at > 0 && bytes[at - 1].eq_ignore_ascii_case(&b'E')
                    }
                };
                at += quoted(rest, byte, escapes);
            }
            b'$' if dialect == Dialect::Postgres => at += dollar_quoted(rest),
            b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => {
                let inside =
                    |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$' || *b >= 0x80;
                let len = rest.iter().position(|b| !inside(b)).unwrap_or(rest.len());
                let text = sql.get(at..at + len)?.to_ascii_uppercase();
                at += len;
                let next = bytes.get(at..).unwrap_or_default();
                let next = next.iter().find(|b| !b.is_ascii_whitespace());
                words.push(Word {
                    text,
                    call: next == Some(&b'('),
                });
            }
            _ => at += 1,
        }
    }
    Some(words)
}

/// The length of a comment, which PostgreSQL nests.
fn commented(rest: &[u8], dialect: Dialect) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(next) = rest.get(at..at + 2) else {
            return rest.len();
        };
        match next {
            b"*/" => depth -= 1,
            b"/*" if dialect == Dialect::Postgres => depth += 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    at
}

/// The length of `$tag$...$tag$`; of the dollar alone where that is none.
fn dollar_quoted(rest: &[u8]) -> usize {
    let inside = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let len = rest.iter().skip(1).position(|b| !inside(b));
    let Some(tag) = len
        .and_then(|len| rest.get(..len + 2))
        .filter(|tag| tag.ends_with(b"$"))
    else {
        return 1;
    };
    let body = rest.get(tag.len()..).unwrap_or_default();
    let end = body.windows(tag.len()).position(|w| w == tag);
    end.map_or(rest.len(), |end| end + 2 * tag.len())
}

/// The length of what is quoted.
fn quoted(rest: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' if escapes => at += 2,
            b if b == quote && rest.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Why that is no query that only reads.
pub(crate) fn problem(sql: &str, dialect: Dialect) -> Option<String> {
    let Some(words) = words(sql, dialect) else {
        return Some(text::several_statements(sql));
    };
    let first = words.first().map_or("", |w| w.text.as_str());
    let reads = match dialect {
        Dialect::Mysql => &READS[..],
        Dialect::Postgres => &READS[..COMMON],
    };
    if !reads.contains(&first) {
        return Some(text::no_query(sql));
    }
    if SHOWS.contains(&first) {
        return None;
    }
    let writes = |word: &&Word| {
        let name = word.text.as_str();
        WRITES.contains(&name) && !(word.call && FUNCTIONS.contains(&name))
    };
    let found = words.iter().find(writes)?;
    Some(text::writes(sql, &found.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_is_a_query() {
        for good in [
            "SELECT COUNT(*) FROM orders",
            "select replace(name, 'drop table', '') from `delete` -- insert",
            "WITH a AS (SELECT 1) SELECT * FROM a;",
            "SHOW CREATE PROCEDURE p",
            "SELECT 'a; b', \"it''s\", '\\'' /* ; */",
            "checksum table orders",
        ] {
            assert_eq!(problem(good, Dialect::Mysql), None, "{good}");
        }
    }

    #[test]
    fn what_writes_waits_or_is_more_than_one_is_none() {
        for bad in [
            "UPDATE orders SET a = 1",
            "SELECT 1; DROP TABLE orders",
            "SELECT * FROM orders INTO OUTFILE '/tmp/x'",
            "SELECT /*!50000 SLEEP(9) */ 1",
            "SELECT GET_LOCK('a', 9)",
            "SELECT * FROM orders FOR UPDATE",
            "SELECT NEXTVAL(s)",
            "EXPLAIN DELETE FROM orders",
            "WITH a AS (SELECT 1) DELETE FROM orders",
            "CALL p()",
            "",
        ] {
            assert!(problem(bad, Dialect::Mysql).is_some(), "{bad}");
        }
    }

    #[test]
    fn postgresql_quotes_and_comments_in_its_own_way() {
        for good in [
            "SELECT 1 # 2 --x",
            r"SELECT 'a\' AS b",
            r"SELECT E'it\'s; ' AS b",
            "SELECT $$; DROP TABLE a$$, $x$ $$ ; $x$",
            "SELECT /* a /* b */ ; */ $1",
            "TABLE orders",
        ] {
            assert_eq!(problem(good, Dialect::Postgres), None, "{good}");
        }
        for bad in [
            "SELECT 1 # 2; DROP TABLE a",
            r"SELECT 'a\'; DROP TABLE a",
            "SELECT $$a$$; DROP TABLE a",
            "SELECT pg_sleep(9)",
            "CHECKSUM TABLE a",
            "COPY a TO STDOUT",
        ] {
            assert!(problem(bad, Dialect::Postgres).is_some(), "{bad}");
        }
    }
}
