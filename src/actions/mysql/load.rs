//! A dump on its way into a schema: unpacked, split into statements, and executed in a session that is set up here.
//!
//! Invariants: no client program and no shell takes part, so that no version of one decides, and no row is printed by one;
//! every statement stays in the schema that is meant, whatever the dump says; the session does not depend on the header of
//! the dump; nothing is skipped on an error. Events are created disabled, until a last pass creates them as they were.

use super::write::{TRAILER, chooses_schema, table_of};
use crate::action::Error;
use crate::encoding;
use crate::host::mysql::{ServerError, Session, Statement, Statements, ident};
use regex::bytes::Regex;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const CHUNK: usize = 128 << 10;
/// How many statements wait at most: a large one is as large as a packet.
const AHEAD: usize = 2;
/// How much of a definition that failed is shown.
const SHOWN: usize = 120;

/// What of a dump is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All, with events disabled.
    All,
    /// Definitions without rows, with events disabled.
    Definitions,
    /// Events, as they were.
    Events,
}

/// A dump, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) file: &'a Path,
    /// The schema that was dumped.
    pub(super) from: &'a str,
    /// The schema that gets it.
    pub(super) into: &'a str,
    pub(super) part: Part,
}

enum Item {
    Table(String),
    Code(Vec<u8>),
    /// The end: whether it was one.
    End(io::Result<bool>),
}

static EVENT: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?is-u)^(?:/\*M?!\d+ )?\s*(CREATE|DROP)\b(?:\s*\*/)?\s*(?:/\*M?!\d+ )?\s*(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`@`(?:[^`]|``)*`|\S+))?(?:\s*\*/)?\s*(?:/\*M?!\d+ )?\s*EVENT\b";
    Regex::new(text).expect("a pattern of ours")
});
static ENABLED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?is-u)(\bON COMPLETION (?:NOT )?PRESERVE )ENABLE\b").expect("a pattern of ours")
});
static SET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i-u)^(?:/\*M?!\d+ )?\s*SET\b").expect("a pattern of ours"));
static ROWS: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?i-u)^(?:/\*M?!\d+ )?\s*(?:INSERT|REPLACE|LOCK TABLES|UNLOCK TABLES|ALTER TABLE .* (?:DISABLE|ENABLE) KEYS)\b";
    Regex::new(text).expect("a pattern of ours")
});
static ALTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i-u)^\s*ALTER DATABASE (`(?:[^`]|``)*`)").expect("a pattern of ours")
});

/// What is executed of a statement; none where it is left out.
fn wanted(load: &Load<'_>, code: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let shown = || encoding::text(&code[..code.len().min(SHOWN)]).into_owned();
    if chooses_schema(code) {
        let what = format!("the dump leaves its schema, and is refused: {}", shown());
        return Err(Error::new(what));
    }
    let event = EVENT.captures(code);
    match load.part {
        Part::Events if event.is_none() && !SET.is_match(code) && !ALTER.is_match(code) => {
            return Ok(None);
        }
        Part::Definitions if ROWS.is_match(code) => return Ok(None),
        Part::All | Part::Definitions | Part::Events => {}
    }
    if let Some(found) = ALTER.captures(code) {
        let name = &found[1];
        if name != ident(load.from).as_bytes() {
            let what = format!(
                "the dump changes another schema, and is refused: {}",
                shown()
            );
            return Err(Error::new(what));
        }
        let end = found.get(1).map_or(0, |m| m.end());
        let rest = &code[end..];
        return Ok(Some(
            [b"ALTER DATABASE ", ident(load.into).as_bytes(), rest].concat(),
        ));
    }
    let creates = event.is_some_and(|e| e[1].eq_ignore_ascii_case(b"CREATE"));
    if creates && load.part != Part::Events {
        return Ok(Some(
            ENABLED.replace(code, &b"${1}DISABLE"[..]).into_owned(),
        ));
    }
    Ok(Some(code.to_vec()))
}

/// Executes a dump; `each` hears how many bytes are done, and the table in work.
///
/// # Errors
/// [`Error`] when the dump cannot be read to its end, and when the server refuses a statement.
pub(super) fn load(
    session: &mut Session,
    load: Load<'_>,
    each: &mut dyn FnMut(u64, &str),
) -> Result<(), Error> {
    prepare(session, load.into)?;
    let file = File::open(load.file)
        .map_err(|e| Error::io(format!("cannot read {}", load.file.display()), &e))?;
    let (items, queue) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || unpack(file, &items));
        // Where it fails, the queue is gone with it, and the thread ends.
        execute(session, &load, queue, each)
    })
}

/// The session, whatever the header of the dump says.
fn prepare(session: &mut Session, into: &str) -> Result<(), Error> {
    session.execute(&format!("USE {}", ident(into)))?;
    session.execute(
        "SET SESSION time_zone='+00:00', foreign_key_checks=0, unique_checks=0, sql_mode='NO_AUTO_VALUE_ON_ZERO', sql_notes=0, \
         autocommit=1, wait_timeout=86400, net_read_timeout=3600",
    )?;
    session.execute("SET NAMES utf8mb4")?;
    // A limit of the server for queries would end a long statement of the restore.
    let limits = [("max_statement_time", "0"), ("max_execution_time", "0")];
    for (name, value) in limits {
        if session.variable(name)?.is_some() {
            session.execute(&format!("SET SESSION {name}={value}"))?;
        }
    }
    Ok(())
}

fn execute(
    session: &mut Session,
    load: &Load<'_>,
    queue: Receiver<Item>,
    each: &mut dyn FnMut(u64, &str),
) -> Result<(), Error> {
    let (mut table, mut done) = (String::new(), 0);
    for item in queue {
        let code = match item {
            Item::Table(name) => {
                table = name;
                continue;
            }
            Item::Code(code) => code,
            Item::End(end) => {
                let file = load.file.display();
                let whole =
                    end.map_err(|e| Error::io(format!("cannot read the dump {file}"), &e))?;
                return match whole {
                    true => Ok(()),
                    false => Err(Error::new(format!("the dump {file} is not complete"))),
                };
            }
        };
        done += code.len() as u64;
        each(done, &table);
        let Some(code) = wanted(load, &code)? else {
            continue;
        };
        let code = String::from_utf8(code).map_err(|_| {
            Error::new(format!(
                "the dump holds a definition in another character set than UTF-8, behind the table {table}"
            ))
            .remedy("create the routine, trigger, event or view again in a session with utf8mb4")
        })?;
        let head = head(&code);
        session
            .execute_patiently(code)
            .map_err(|e| refused(load.into, &table, &head, &e))?;
    }
    Err(Error::new("the dump was not read to its end"))
}

/// What may be shown of a statement: rows are not.
fn head(code: &str) -> String {
    if ROWS.is_match(code.as_bytes()) {
        return code
            .split('(')
            .next()
            .unwrap_or_default()
            .trim()
            .chars()
            .take(SHOWN)
            .collect();
    }
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN).collect()
}

fn refused(into: &str, table: &str, head: &str, e: &ServerError) -> Error {
    let place = match table {
        "" => String::new(),
        table => format!(" at the table {table}"),
    };
    let what = format!("the restore into {into} stopped{place}, at: {head}");
    let error = Error::io(what, e);
    match e.number {
        None | Some(2006 | 2013 | 1153) => error.remedy(
            "compare `max_allowed_packet` of the server with the largest statement of the dump, and look into the server's log",
        ),
        Some(1227) => error.remedy("the account needs SET USER or SUPER to create what runs as another account"),
        Some(1205) => error.remedy("end the session that holds a lock on the schema"),
        Some(_) => error,
    }
}

/// Reads a dump, on a thread of its own. It ends when nobody hears it any more.
fn unpack(file: File, items: &SyncSender<Item>) {
    let end = read(file, items);
    // Whoever hears it no more knows why.
    let _ = items.send(Item::End(end));
}

fn read(file: File, items: &SyncSender<Item>) -> io::Result<bool> {
    let mut decoder = zstd::stream::read::Decoder::new(file)?;
    let mut statements = Statements::default();
    let mut chunk = vec![0; CHUNK];
    let mut trailer = false;
    let mut each = |statement: Statement<'_>| {
        let item = match statement {
            Statement::Code(code) => Item::Code(code.to_vec()),
            Statement::Comment(line) => {
                trailer |= line.starts_with(TRAILER);
                match table_of(line) {
                    Some(table) => Item::Table(table),
                    None => return Ok(()),
                }
            }
        };
        items
            .send(item)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    loop {
        match decoder.read(&mut chunk)? {
            0 => break,
            n => statements.feed(&chunk[..n], &mut each)?,
        }
    }
    let complete = statements.finish(&mut each)?;
    Ok(complete && trailer)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn part(part: Part, code: &str) -> Option<String> {
        let load = Load {
            file: Path::new("/x"),
            from: "d",
            into: "s",
            part,
        };
        let code = wanted(&load, code.as_bytes()).unwrap();
        code.map(|c| String::from_utf8(c).unwrap())
    }

    const CREATE: &str = "/*!50106 CREATE*/ /*!50117 DEFINER=`a b`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS \
        '2026-11-30 10:37:38' ON COMPLETION NOT PRESERVE ENABLE DO set @x='PRESERVE ENABLE' \n*/ ";

    #[test]
    fn an_event_is_created_disabled_until_its_own_pass() {
        let disabled = CREATE.replacen("ENABLE DO", "DISABLE DO", 1);
        assert_eq!(part(Part::All, CREATE).unwrap(), disabled);
        assert_eq!(part(Part::Definitions, CREATE).unwrap(), disabled);
        assert_eq!(part(Part::Events, CREATE).unwrap(), CREATE);
        let drop = "/*!50106 DROP EVENT IF EXISTS `e` */";
        assert_eq!(part(Part::Events, drop).unwrap(), drop);
        assert!(part(Part::Events, "/*!50003 SET time_zone = 'SYSTEM' */").is_some());
        assert!(part(Part::Events, "CREATE TABLE `event` (a int)").is_none());
    }

    #[test]
    fn definitions_are_tried_without_rows() {
        for rows in [
            "INSERT INTO `a` VALUES (1)",
            "LOCK TABLES `a` WRITE",
            "/*!40000 ALTER TABLE `a` DISABLE KEYS */",
        ] {
            assert_eq!(part(Part::Definitions, rows), None, "{rows}");
            assert!(part(Part::All, rows).is_some());
        }
        assert!(part(Part::Definitions, "CREATE TABLE `insert` (a int)").is_some());
    }

    #[test]
    fn a_statement_stays_in_its_schema() {
        let alter = part(
            Part::All,
            "ALTER DATABASE `d` CHARACTER SET latin1 COLLATE latin1_bin",
        );
        assert_eq!(
            alter.unwrap(),
            "ALTER DATABASE `s` CHARACTER SET latin1 COLLATE latin1_bin"
        );
        let load = Load {
            file: Path::new("/x"),
            from: "d",
            into: "s",
            part: Part::All,
        };
        assert!(wanted(&load, b"ALTER DATABASE `prod` CHARACTER SET latin1").is_err());
        assert!(wanted(&load, b"USE `prod`").is_err());
    }

    #[test]
    fn no_row_is_shown() {
        assert_eq!(
            head("INSERT INTO `a` VALUES (1,'secret')"),
            "INSERT INTO `a` VALUES"
        );
        assert_eq!(
            head("CREATE TABLE `a` (\n  `id` int)"),
            "CREATE TABLE `a` ( `id` int)"
        );
    }
}
