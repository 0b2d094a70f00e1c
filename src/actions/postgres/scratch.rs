//! Databases of our own names: a copy that is looked at, one that is about to take a place, one whose place was taken.
//!
//! Invariants: the names are of this state directory, this step and this database, so that what is there under one of them is
//! what a killed attempt has left; no other database is ever dropped; a copy that is looked at is dropped on every exit.

use super::contents::{self, Contents};
use super::manifest::Manifest;
use crate::action::{Context, Data, Error, Work};
use crate::actions::dump::Pace;
use crate::host::files::disk;
use crate::host::postgres::{Client, Program, ident};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

/// How much of the name of the database is in that of ours. Names have 63 bytes.
const PART: usize = 30;
/// What a newer `pg_dump` sets, and the version that knows it.
const NEWER: [(&str, u32); 1] = [("SET transaction_timeout = ", 170_000)];

/// What one of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A copy that is looked at.
    Verify,
    /// The restored one, before it has its name.
    New,
    /// The former one, which has lost its name.
    Former,
}

/// The name of one of ours.
pub(super) fn name(cx: &Context, role: Role, database: &str) -> String {
    let digest =
        disk::digest(format!("{}\n{}\n{database}", cx.state.display(), cx.step).as_bytes());
    let part = database
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(PART);
    let role = match role {
        Role::Verify => "verify",
        Role::New => "new",
        Role::Former => "former",
    };
    format!(
        "upledger_{role}_{}_{}",
        part.collect::<String>(),
        &digest[..8]
    )
}

/// A server, and the database to which statements about others are sent.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) client: &'a Client,
    pub(super) maintenance: &'a str,
    pub(super) program: &'a Program,
}

impl Site<'_> {
    pub(super) fn execute(&self, sql: &str) -> Result<(), Error> {
        self.client.patiently(self.maintenance, sql)?;
        Ok(())
    }

    pub(super) fn drop(&self, name: &str) -> Result<(), Error> {
        let dropped = self.execute(&format!("DROP DATABASE IF EXISTS {}", ident(name)));
        dropped.map_err(|e| Error::io(format!("cannot drop the database {name}"), &e))
    }

    /// What a database holds, by a dump of it.
    pub(super) fn contents(&self, name: &str) -> Result<Contents, Error> {
        let mut piped = self.program.start(self.client, name, None)?;
        let (found, complete) = contents::read(&mut piped.output, &mut |_| Ok(()))?;
        let ended = piped.end()?;
        match (ended.code, complete) {
            (Some(0), true) => Ok(found),
            _ => Err(Error::new(format!(
                "cannot see what {name} holds: {}",
                ended.shown
            ))),
        }
    }

    /// Makes a copy of the backup under one of our names, and compares it with the backup. It is dropped where that fails.
    ///
    /// # Errors
    /// [`Error`] when it cannot be made, or is not the same.
    pub(super) fn copy<N: Data>(
        &self,
        work: &mut Work<'_, N>,
        manifest: &Manifest,
        directory: &Path,
        name: &str,
    ) -> Result<(), Error> {
        self.drop(name)?;
        let sql = manifest.properties.create(name);
        if let Err(e) = self.client.patiently(self.maintenance, &sql) {
            let error = Error::io(format!("cannot create the database {name}"), &e);
            return Err(match e.is_denied() {
                true => error.remedy(
                    "the role needs CREATEDB, and to be a member of the database's owner; a backup by another role sets \
                     `verify: none`",
                ),
                false => error,
            });
        }
        let made = self.fill(work, manifest, directory, name);
        if made.is_err() {
            // The reason is another one; the next attempt drops what is left.
            let _ = self.drop(name);
        }
        made
    }

    fn fill<N: Data>(
        &self,
        work: &mut Work<'_, N>,
        manifest: &Manifest,
        directory: &Path,
        name: &str,
    ) -> Result<(), Error> {
        let mut pace = Pace::of(manifest.plain_bytes);
        self.load(&manifest.path(directory), name, &mut |done| {
            pace.tell(work, done)
        })?;
        work.log_line(&format!(
            "loaded {} into {name}",
            pace.rate(manifest.plain_bytes)
        ));
        let found = self.contents(name)?;
        let wrong = manifest.contents.differs(&found);
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Error::new(format!(
                "the copy that was restored from the dump of {} differs: {}",
                manifest.database,
                wrong.join("; ")
            ))),
        }
    }

    fn load(&self, file: &Path, name: &str, each: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let unread =
            |e: std::io::Error| Error::io(format!("cannot read the dump {}", file.display()), &e);
        let packed = File::open(file).map_err(unread)?;
        let decoder = zstd::stream::read::Decoder::new(packed).map_err(unread)?;
        let mut lines = BufReader::with_capacity(128 << 10, decoder);
        let mut piped = self.client.load(name)?;
        let (mut line, mut done, mut refused) = (Vec::new(), 0, None);
        let unknown = |line: &[u8]| {
            NEWER.iter().any(|(begin, version)| {
                line.starts_with(begin.as_bytes()) && self.client.number < *version
            })
        };
        // Only the beginning of a dump sets what a server may not know.
        let mut begins = true;
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(unread)? == 0 {
                break;
            }
            done += line.len() as u64;
            each(done);
            begins &= !line.starts_with(b"-- Name: ");
            if begins && unknown(&line) {
                continue;
            }
            let input = piped.input.as_mut();
            if let Some(Err(e)) = input.map(|input| input.write_all(&line)) {
                // How it ends tells why it hears no more.
                refused = Some(e);
                break;
            }
        }
        let ended = piped.end()?;
        match (ended.code, refused) {
            (Some(0), None) => Ok(()),
            _ => Err(Error::new(format!(
                "the restore into {name} stopped: {}",
                ended.shown
            ))),
        }
    }
}
