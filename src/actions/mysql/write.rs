//! A dump on its way into files: from the dump program through the compression into a file of each schema.
//!
//! Invariants: there is no shell and no pipeline; how the program ended, its trailer, and that its last statement was
//! complete are all judged; a statement that chooses a schema separates the files and stands in none of them, so that a
//! file goes where whoever restores it says. A text of a row never begins a line of a dump.

use crate::action::{Context, Error};
use crate::actions::dump::{self, Compressed};
use crate::encoding;
use crate::host::exec::Piped;
use crate::host::mysql::{Dump, Login, Program, Statement, Statements, ident};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

const CHUNK: usize = 128 << 10;
/// The size of the pipe from the dump program.
const PIPE: usize = 1 << 20;
/// How many chunks wait at most to be looked at.
const AHEAD: usize = 8;
/// What begins the part of a dump that belongs to every file.
const FOOTER: &[u8] = b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE";
/// The last line of a dump.
pub(super) const TRAILER: &[u8] = b"-- Dump completed";

/// A dump in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) file: dump::Written,
    pub(super) largest: u64,
    pub(super) largest_table: String,
}

/// The file of a schema while it grows.
struct Output {
    file: Compressed,
    largest: u64,
    largest_table: String,
}

impl Output {
    fn create(dir: &Path, number: usize, database: &str) -> Result<Self, Error> {
        // A schema's name may hold anything; the manifest says which file is whose.
        let plain = database
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c));
        let name = match plain && !database.is_empty() {
            true => format!("{database}.sql.zst"),
            false => format!("schema-{number}.sql.zst"),
        };
        Ok(Self {
            file: Compressed::create(dir, name)?,
            largest: 0,
            largest_table: String::new(),
        })
    }

    fn finish(self) -> Result<Written, Error> {
        Ok(Written {
            file: self.file.finish()?,
            largest: self.largest,
            largest_table: self.largest_table,
        })
    }
}

/// What the statements say while they pass.
#[derive(Default)]
struct Watch {
    largest: u64,
    largest_table: String,
    table: String,
    trailer: bool,
    chooses: Option<String>,
}

impl Watch {
    fn see(&mut self, statement: Statement<'_>) {
        match statement {
            Statement::Comment(line) => {
                self.trailer |= line.starts_with(TRAILER);
                if let Some(table) = table_of(line) {
                    self.table = table;
                }
            }
            Statement::Code(code) => {
                let len = code.len() as u64;
                if len > self.largest {
                    self.largest = len;
                    self.largest_table.clone_from(&self.table);
                }
                if chooses_schema(code) {
                    let shown = encoding::text(&code[..code.len().min(100)]);
                    self.chooses = Some(shown.into_owned());
                }
            }
        }
    }
}

/// The table of a comment such as "-- Dumping data for table `a`".
pub(super) fn table_of(comment: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(comment).ok()?;
    let name = text.split_once(" table `")?.1.strip_suffix('`')?;
    Some(name.replace("``", "`"))
}

/// It leaves the schema in which it is to be.
pub(super) fn chooses_schema(code: &[u8]) -> bool {
    let begin = code[..code.len().min(200)].to_ascii_uppercase();
    let words = encoding::text(&begin).replace("/*!32312", " ");
    let mut words = words
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| {
            // The numbers of versions, as in `/*!40000`.
            !w.is_empty() && !w.chars().all(|c| c.is_ascii_digit()) && *w != "M"
        });
    matches!(
        (words.next(), words.next()),
        (Some("USE"), _) | (Some("CREATE" | "DROP"), Some("DATABASE" | "SCHEMA"))
    )
}

/// Dumps the schemas into files of a new directory; `each` hears how many bytes have come.
///
/// # Errors
/// [`Error`] when the program fails or its dump is not complete, and when a file cannot be written.
pub(super) fn write(
    cx: &Context,
    program: &Program,
    login: &Login,
    dump: Dump<'_>,
    dir: &Path,
    each: &mut dyn FnMut(u64),
) -> Result<Vec<Written>, Error> {
    let mut outputs = Vec::new();
    for (number, database) in dump.databases.iter().enumerate() {
        outputs.push(Output::create(dir, number, database)?);
    }
    if let [one] = outputs.as_mut_slice() {
        one.file.compress_aside()?;
    }
    let mut piped = program.start(cx, login, dump)?;
    let mut watch = Watch::default();
    let copied = match outputs.as_mut_slice() {
        [one] => copy(&mut piped, one, &mut watch, each),
        several => separate(&mut piped, dump.databases, several, &mut watch, each),
    };
    let complete = copied?;
    let ended = piped.end()?;
    let name = &program.name;
    if ended.code != Some(0) {
        let reached = match watch.table.as_str() {
            "" => String::new(),
            table => format!("; the last table that it reached was {table}"),
        };
        return Err(Error::new(format!(
            "{name} failed: {}{reached}",
            ended.shown
        )));
    }
    if let Some(statement) = watch.chooses {
        return Err(Error::new(format!(
            "the dump chooses a schema: {statement}"
        )));
    }
    if !(complete && watch.trailer) {
        return Err(Error::new(format!(
            "{name} ended with success, but its dump is not complete: the last table that it reached was {}",
            watch.table
        )));
    }
    outputs.into_iter().map(Output::finish).collect()
}

fn unread(cause: &io::Error) -> Error {
    Error::io("cannot read the dump", cause)
}

/// Everything into one file; whether the last statement was complete. Statements are looked at on a thread of their own,
/// so that the dump program is not kept waiting.
fn copy(
    piped: &mut Piped,
    output: &mut Output,
    watch: &mut Watch,
    each: &mut dyn FnMut(u64),
) -> Result<bool, Error> {
    // A wider pipe means fewer waits; the usual one does as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&piped.output, PIPE);
    let (chunks, queue) = sync_channel::<Vec<u8>>(AHEAD);
    let complete = std::thread::scope(|scope| {
        let seen = scope.spawn(move || {
            let (mut statements, mut watch) = (Statements::default(), Watch::default());
            for chunk in queue {
                feed(&mut statements, &chunk, &mut watch)?;
            }
            Ok((end(statements, &mut watch)?, watch))
        });
        let copied = pour(piped, output, chunks, each);
        let seen: Result<(bool, Watch), Error> = seen
            .join()
            .unwrap_or_else(|_| Err(Error::new("the dump could not be looked at")));
        let (complete, found) = seen?;
        *watch = found;
        copied.map(|()| complete)
    })?;
    output.largest = watch.largest;
    output.largest_table.clone_from(&watch.largest_table);
    Ok(complete)
}

fn pour(
    piped: &mut Piped,
    output: &mut Output,
    chunks: SyncSender<Vec<u8>>,
    each: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = match piped.output.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unread(&e)),
        };
        // Whoever looks at them has an error of its own to tell.
        let _ = chunks.send(chunk[..n].to_vec());
        output.file.put(&chunk[..n])?;
        each(output.file.plain());
    }
}

fn feed(statements: &mut Statements, bytes: &[u8], watch: &mut Watch) -> Result<(), Error> {
    statements.feed(bytes, &mut |statement| {
        watch.see(statement);
        Ok(())
    })
}

fn end(statements: Statements, watch: &mut Watch) -> Result<bool, Error> {
    statements.finish(&mut |statement| {
        watch.see(statement);
        Ok::<(), Error>(())
    })
}

/// Each schema into its file, with the beginning and the end that all share.
fn separate(
    piped: &mut Piped,
    databases: &[String],
    outputs: &mut [Output],
    watch: &mut Watch,
    each: &mut dyn FnMut(u64),
) -> Result<bool, Error> {
    let uses: Vec<Vec<u8>> = databases
        .iter()
        .map(|d| format!("USE {};", ident(d)).into())
        .collect();
    let mut statements = Statements::default();
    let mut lines = BufReader::with_capacity(CHUNK, &mut piped.output);
    let (mut header, mut footer) = (Vec::new(), Vec::new());
    let (mut current, mut ends): (Option<usize>, bool) = (None, false);
    let (mut line, mut done) = (Vec::new(), 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(|e| unread(&e))? == 0 {
            break;
        }
        done += line.len() as u64;
        if statements.is_between() {
            let chosen = uses
                .iter()
                .position(|u| line.trim_ascii_end() == u.as_slice());
            if let Some(chosen) = chosen {
                let output = &mut outputs[chosen];
                if output.file.plain() == 0 {
                    output.file.put(&header)?;
                }
                current = Some(chosen);
                continue;
            }
            ends |= line.starts_with(FOOTER);
        }
        feed(&mut statements, &line, watch)?;
        match current {
            None => header.extend_from_slice(&line),
            Some(_) if ends => footer.extend_from_slice(&line),
            Some(n) => {
                outputs[n].file.put(&line)?;
                if watch.largest > outputs[n].largest {
                    outputs[n].largest = watch.largest;
                    outputs[n].largest_table.clone_from(&watch.largest_table);
                }
                watch.largest = 0;
            }
        }
        each(done);
    }
    for output in outputs.iter_mut() {
        if output.file.plain() == 0 {
            // A schema without anything in it.
            output.file.put(&header)?;
        }
        output.file.put(&footer)?;
    }
    end(statements, watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_its_schema_is_recognised() {
        for leaves in [
            "USE `prod`",
            "use prod",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `prod`",
            "/*!40000 DROP DATABASE IF EXISTS `prod`*/",
            "DROP SCHEMA x",
        ] {
            assert!(chooses_schema(leaves.as_bytes()), "{leaves}");
        }
        for stays in [
            "INSERT INTO `use` VALUES (1)",
            "CREATE TABLE `database` (a int)",
            "SET @a=1",
            "DROP TABLE x",
        ] {
            assert!(!chooses_schema(stays.as_bytes()), "{stays}");
        }
    }

    #[test]
    fn a_comment_names_its_table() {
        assert_eq!(
            table_of(b"-- Dumping data for table `a``b`").as_deref(),
            Some("a`b")
        );
        assert_eq!(table_of(b"-- Host: localhost"), None);
    }
}
