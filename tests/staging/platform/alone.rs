//! A private MariaDB and nothing else, for the tests of what is done with a database.

use super::template::{copy, digest, once};
use super::tools::{Call, mode, root};
use super::{mariadb, owner, patiently, procs};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A server with an empty data directory, on a socket of its own; its `Drop` ends it.
pub(crate) struct Maria {
    dir: tempfile::TempDir,
    _owner: File,
}

/// A data directory as the installer makes it.
fn empty() -> PathBuf {
    let how = concat!(include_str!("alone.rs"), include_str!("conf/my.cnf"));
    once("mariadb-alone", &digest(&[], how), |into| {
        std::fs::create_dir(into).expect("made");
        let mut install = Call::new("mariadb-install-db").args([
            "--no-defaults".to_owned(),
            format!("--datadir={}", into.join("data").display()),
            "--auth-root-authentication-method=normal".to_owned(),
            "--skip-test-db".to_owned(),
        ]);
        if root() {
            install = install.args(["--user=root"]);
        }
        install.run();
    })
}

impl Maria {
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
        copy(&empty().join("data"), &server.path("data"));
        server.start(more);
        server
    }

    /// A path of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> String {
        self.path("mariadb.sock").display().to_string()
    }

    /// Starts it again.
    pub(crate) fn start(&self, more: &str) {
        let (data, log) = (self.path("data"), self.path("log"));
        let conf = mariadb::settings(&data, self.dir.path(), &log, None);
        let path = self.path("my.cnf");
        std::fs::write(&path, format!("{conf}\n{more}\n")).expect("written");
        mariadb::serve(&path, &log);
        mariadb::await_socket(Path::new(&self.socket()));
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        procs::end_all(self.dir.path());
    }

    /// Ends it in good order and starts it with other lines.
    pub(crate) fn restart(&self, more: &str) {
        self.sql("SHUTDOWN");
        patiently("MariaDB has ended", || {
            procs::below(self.dir.path()).is_empty()
        });
        self.start(more);
    }

    /// Asks as its administrator; columns by tabs, rows by line feeds.
    pub(crate) fn sql(&self, query: &str) -> String {
        mariadb::ask(Path::new(&self.socket()), None, query)
    }

    /// Runs a script, in one session.
    pub(crate) fn load(&self, script: &str) {
        let path = self.path("script.sql");
        std::fs::write(&path, script).expect("written");
        let command = format!(
            "mariadb --no-defaults --user=root --socket={} < {}",
            self.socket(),
            path.display()
        );
        Call::new("sh").args(["-c", &command]).run();
    }

    /// The dump of a schema by the client program, as its administrator.
    pub(crate) fn dump(&self, schema: &str) -> String {
        Call::new("mariadb-dump")
            .args([
                "--no-defaults",
                "--user=root",
                "--single-transaction",
                "--routines",
                "--events",
                "--triggers",
            ])
            .args([
                "--hex-blob",
                "--order-by-primary",
                "--skip-dump-date",
                "--default-character-set=utf8mb4",
            ])
            .args([format!("--socket={}", self.socket()), schema.to_owned()])
            .run()
    }
}

/// Whatever became of the test, nothing of it is left.
impl Drop for Maria {
    fn drop(&mut self) {
        procs::end_all(self.dir.path());
    }
}
