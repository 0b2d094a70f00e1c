//! What a plain dump of `pg_dump` holds: each object by its heading, with a digest of its statements and its rows.
//!
//! Invariants: two dumps of databases that hold the same have equal contents, whichever order the objects have, and whatever
//! the names of the databases are; rows are counted and part of the digest; a dump counts as complete by its trailer. A line
//! of a definition or of a row is never taken for the trailer or for rows.

use crate::action::Error;
use crate::encoding;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

/// How much is read at once.
const CHUNK: usize = 128 << 10;
const TRAILER: &[u8] = b"-- PostgreSQL database dump complete";
/// Lines that say how the next object is stored, or protect the reader of the dump, and belong to no object.
const BETWEEN: [&[u8]; 4] = [
    b"SET default_tablespace = ",
    b"SET default_table_access_method = ",
    b"\\restrict ",
    b"\\unrestrict ",
];
/// The kind of rows.
const ROWS: &str = "TABLE DATA";

/// What a database holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    /// Objects by their kind, schema and name, such as `TABLE public.orders`.
    pub(super) objects: BTreeMap<String, Object>,
    /// Owners of the objects. A comment of a function may look like a heading, so that these may be more.
    pub(super) owners: BTreeSet<String>,
}

/// An object, or the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    /// SHA-256 of its lines in the dump.
    pub(super) digest: String,
    /// How many rows they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
}

impl Contents {
    /// The key of the rows of a table.
    pub(super) fn rows_of(schema: &str, table: &str) -> String {
        format!("{ROWS} {schema}.{table}")
    }

    pub(super) fn tables(&self) -> u64 {
        let others = [ROWS, "TABLE ATTACH"];
        let is_table = |key: &&String| {
            key.starts_with("TABLE ") && !others.iter().any(|other| key.starts_with(other))
        };
        self.objects.keys().filter(is_table).count() as u64
    }

    pub(super) fn rows(&self) -> u64 {
        self.objects.values().filter_map(|o| o.rows).sum()
    }

    /// How another one differs, in lines.
    pub(super) fn differs(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, object) in &self.objects {
            let Some(now) = other.objects.get(key) else {
                found.push(format!("{key} is missing"));
                continue;
            };
            match (object.rows, now.rows) {
                (Some(rows), Some(there)) if rows != there => {
                    found.push(format!("{key} has {there} rows, not {rows}"));
                }
                (Some(rows), Some(_)) if object.digest != now.digest => {
                    found.push(format!("{key} has {rows} rows, but not the same ones"));
                }
                _ if object != now => found.push(format!("{key} has another definition")),
                _ => {}
            }
        }
        let more = other
            .objects
            .keys()
            .filter(|key| !self.objects.contains_key(*key));
        found.extend(more.map(|key| format!("{key} is there and should not be")));
        found
    }
}

/// Reads a dump while it passes.
#[derive(Default)]
struct Reader {
    contents: Contents,
    key: Option<String>,
    kind: String,
    sum: Sha256,
    rows: Option<u64>,
    /// Rows come, until their end.
    copies: bool,
    trailer: bool,
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        if self.copies {
            match line {
                br"\." => self.copies = false,
                _ => self.rows = Some(self.rows.unwrap_or(0) + 1),
            }
            return self.add(line);
        }
        if let Some(heading) = Heading::of(line) {
            self.close();
            self.contents.owners.extend(heading.owner);
            self.key = Some(heading.key);
            self.kind = heading.kind;
            return;
        }
        self.trailer |= line == TRAILER;
        let between = BETWEEN.iter().any(|begin| line.starts_with(begin));
        if between || line.is_empty() || line.starts_with(b"--") {
            return;
        }
        if self.kind == ROWS && line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;") {
            self.copies = true;
            self.rows = Some(0);
        }
        self.add(line);
    }

    fn add(&mut self, line: &[u8]) {
        self.sum.update((line.len() as u64).to_le_bytes());
        self.sum.update(line);
    }

    fn close(&mut self) {
        let sum = std::mem::take(&mut self.sum).finalize();
        let rows = self.rows.take();
        let Some(key) = self.key.take() else {
            // The settings of the session that loads it.
            return;
        };
        let object = Object {
            digest: sum.iter().map(|b| format!("{b:02x}")).collect(),
            rows,
        };
        // Functions of one name have their arguments in it; what else has the same name is counted.
        let mut unique = key.clone();
        let mut count = 1;
        while self.contents.objects.contains_key(&unique) {
            count += 1;
            unique = format!("{key} ({count})");
        }
        self.contents.objects.insert(unique, object);
    }
}

struct Heading {
    key: String,
    kind: String,
    owner: Option<String>,
}

impl Heading {
    /// Of `-- Name: a; Type: TABLE; Schema: public; Owner: app`.
    fn of(line: &[u8]) -> Option<Self> {
        let rest = line
            .strip_prefix(b"-- Name: ")
            .or_else(|| line.strip_prefix(b"-- Data for Name: "))?;
        let text = encoding::text(rest);
        let (name, rest) = text.rsplit_once("; Type: ")?;
        let (kind, rest) = rest.split_once("; Schema: ")?;
        let (schema, owner) = rest.split_once("; Owner: ")?;
        // A tablespace may follow.
        let owner = owner
            .split_once("; Tablespace: ")
            .map_or(owner, |(owner, _)| owner);
        let named = |text: &str| (!["", "-"].contains(&text)).then(|| text.to_owned());
        let place = named(schema).map_or_else(String::new, |schema| schema + ".");
        Some(Self {
            key: format!("{kind} {place}{name}"),
            kind: kind.to_owned(),
            owner: named(owner),
        })
    }
}

/// Reads a dump to its end: what it holds, and whether its trailer came. `each` gets every line with its line feed.
///
/// # Errors
/// Those of `each`, and [`Error`] when it cannot be read.
pub(super) fn read(
    dump: impl Read,
    each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(Contents, bool), Error> {
    let mut lines = BufReader::with_capacity(CHUNK, dump);
    let (mut reader, mut line) = (Reader::default(), Vec::new());
    loop {
        line.clear();
        let n = lines.read_until(b'\n', &mut line);
        if n.map_err(|e| Error::io("cannot read the dump", &e))? == 0 {
            break;
        }
        reader.line(line.strip_suffix(b"\n").unwrap_or(&line));
        each(&line)?;
    }
    reader.close();
    let complete = reader.trailer && !reader.copies;
    Ok((reader.contents, complete))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET statement_timeout = 0;\n\n\
        --\n-- Name: f(integer); Type: FUNCTION; Schema: public; Owner: app\n--\n\n\
        CREATE FUNCTION public.f(integer) RETURNS text LANGUAGE sql AS $$\nCOPY x FROM stdin;\n-- PostgreSQL\n$$;\n\n\
        SET default_tablespace = '';\n\n\
        --\n-- Name: a; Type: TABLE; Schema: public; Owner: postgres\n--\n\nCREATE TABLE public.a (id integer);\n\n\
        --\n-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: postgres\n--\n\n\
        COPY public.a (id) FROM stdin;\n1\n-- PostgreSQL database dump complete\n\\.\n\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n";

    fn contents(text: &str) -> (Contents, bool) {
        read(text.as_bytes(), &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn objects_and_rows_are_told_apart_and_the_trailer_is_no_row() {
        let (found, complete) = contents(DUMP);
        assert!(complete);
        let keys: Vec<_> = found.objects.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "FUNCTION public.f(integer)",
                "TABLE DATA public.a",
                "TABLE public.a"
            ]
        );
        assert_eq!((found.tables(), found.rows()), (1, 2));
        assert_eq!(found.owners.iter().collect::<Vec<_>>(), ["app", "postgres"]);
        let cut = &DUMP[..DUMP.len() - 60];
        assert!(!contents(cut).1, "only a row says that it is complete");
    }

    #[test]
    fn a_difference_is_named_and_what_protects_the_reader_is_none() {
        let (one, _) = contents(DUMP);
        let (other, _) = contents(&DUMP.replace("abc", "xyz"));
        assert!(one.differs(&other).is_empty());
        let (other, _) = contents(
            &DUMP
                .replace("stdin;\n1\n", "stdin;\n2\n")
                .replace("(id integer)", "(id bigint)"),
        );
        let wanted = [
            "TABLE DATA public.a has 2 rows, but not the same ones",
            "TABLE public.a has another definition",
        ];
        assert_eq!(one.differs(&other), wanted);
    }
}
