//! A private PostgreSQL and nothing else, for the tests of what is done with a database.

use super::template::{copy, digest, once};
use super::tools::{Call, mode, root};
use super::{owner, procs};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A server with an empty cluster, on a socket of its own; its `Drop` ends it. It refuses to run as root, so that there it
/// runs as the user of Debian's package.
pub(crate) struct Postgres {
    dir: tempfile::TempDir,
    _owner: File,
}

/// Where the programs of the newest version are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let newest = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .max();
    newest
        .expect("PostgreSQL is installed: tests/prepare")
        .join("bin")
}

/// A program of the server, as its user.
fn program(name: &str) -> Call {
    let path = programs().join(name).display().to_string();
    if !root() {
        return Call::new(&path).dir(Path::new("/"));
    }
    let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    Call::new("setpriv")
        .args(user)
        .args([path])
        .dir(Path::new("/"))
}

/// A cluster as `initdb` makes it.
fn empty() -> PathBuf {
    once(
        "postgres-alone",
        &digest(&[], include_str!("postgres.rs")),
        |into| {
            // Its user may not walk to the target directory.
            let dir = tempfile::tempdir_in("/tmp").expect("a directory");
            mode(dir.path(), 0o755);
            let own = owned(dir.path());
            let data = format!("--pgdata={}", own.join("data").display());
            program("initdb")
                .args([
                    &data,
                    "--username=postgres",
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                ])
                .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
                .run();
            copy(&own, into);
        },
    )
}

/// A directory of the server's user.
fn owned(dir: &Path) -> PathBuf {
    let own = dir.join("cluster");
    std::fs::create_dir(&own).expect("made");
    if root() {
        Call::new("chown")
            .args([Path::new("postgres:"), &own])
            .run();
    }
    own
}

impl Postgres {
    /// It answers when this returns. `more`: further lines of its configuration.
    pub(crate) fn up(more: &str) -> Self {
        owner::sweep();
        let dir = tempfile::Builder::new()
            .prefix(owner::PREFIX)
            .tempdir_in("/tmp")
            .expect("a directory");
        mode(dir.path(), 0o755);
        let server = Self {
            _owner: owner::own(dir.path()),
            dir,
        };
        owned(server.dir.path());
        copy(&empty().join("data"), &server.data());
        server.start(more);
        server
    }

    fn start(&self, more: &str) {
        let own = self.socket();
        let conf = format!(
            "listen_addresses = ''\nunix_socket_directories = '{own}'\nfsync = off\nmax_prepared_transactions = 4\n{more}\n"
        );
        // It is read last.
        std::fs::write(self.data().join("postgresql.auto.conf"), conf).expect("written");
        self.control(&["start", "-w", "-l", &format!("{own}/log")]);
    }

    /// Ends it in good order and starts it with other lines of its configuration.
    pub(crate) fn configure(&self, more: &str) {
        self.control(&["stop", "-m", "fast", "-w"]);
        self.start(more);
    }

    fn data(&self) -> PathBuf {
        self.path("cluster/data")
    }

    fn control(&self, words: &[&str]) {
        let data = self.data().display().to_string();
        program("pg_ctl").args(["-D", &data]).args(words).run();
    }

    /// A path of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of its socket.
    pub(crate) fn socket(&self) -> String {
        self.path("cluster").display().to_string()
    }

    /// Asks as its administrator; columns by `|`, rows by line feeds.
    pub(crate) fn sql(&self, database: &str, script: &str) -> String {
        let path = self.path("script.sql");
        std::fs::write(&path, script).expect("written");
        Call::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
            ])
            .args(["-h", &self.socket(), "-d", database])
            .args([Path::new("-f"), &path])
            .run()
            .trim_end()
            .to_owned()
    }

    /// The dump of a database by the client program, as its administrator.
    pub(crate) fn dump(&self, database: &str) -> String {
        Call::new("pg_dump")
            .args([
                "-U",
                "postgres",
                "-h",
                &self.socket(),
                "--restrict-key=x",
                database,
            ])
            .run()
    }
}

/// Whatever became of the test, nothing of it is left, its shared memory included.
impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data().display().to_string();
        let stop = program("pg_ctl").args(["-D", &data, "-m", "immediate", "-w", "stop"]);
        // It may have ended by itself; what is left is ended below.
        drop(stop.output());
        procs::end_all(self.dir.path());
    }
}
