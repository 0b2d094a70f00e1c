//! The shop that is upgraded: its directory, its repository, its answers. Real git, real Python, real files.

use crate::actions::process::stop::Stop;
use crate::time::Length;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a release adds to the repository; the later file wins.
struct Release {
    tag: &'static str,
    files: &'static [(&'static str, &'static str)],
}

const V1: Release = Release {
    tag: "shop/1.0",
    files: &[
        ("shop.py", include_str!("v1/shop.py")),
        ("seed.py", include_str!("v1/seed.py")),
    ],
};
const V2: Release = Release {
    tag: "shop/2.0",
    files: &[
        ("shop.py", include_str!("v2/shop.py")),
        ("migrate.py", include_str!("v2/migrate.py")),
    ],
};
/// The broken release: the new one with a slip in the name of a column, as no compiler would find it.
const BROKEN: &str = "shop/2.1";
const SLIP: (&str, &str) = ("sum(cents)", "sum(net_cents)");

const INSTALL: &str = include_str!("install.yaml");
const UPGRADE: &str = include_str!("upgrade.yaml");
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the shop cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    pub(super) fn io(what: &str, cause: &dyn std::error::Error) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// The shop in its directory.
pub(super) struct Shop {
    pub(super) dir: PathBuf,
    port: u16,
    next: &'static str,
}

impl Shop {
    /// Makes the repository with its releases and writes the plans.
    pub(super) fn build(dir: PathBuf, broken: bool) -> Result<Self, Error> {
        let next = if broken { BROKEN } else { V2.tag };
        let shop = Self {
            port: free_port()?,
            next,
            dir,
        };
        shop.python(&["-c", "import sqlite3, http.server"])?;
        let source = shop.dir.join("source");
        std::fs::create_dir_all(&source).map_err(|e| Error::io("cannot make a directory", &e))?;
        shop.git(&source, &["init", "--quiet"])?;
        for (release, tag) in [(V1, V1.tag), (V2, next)] {
            for (name, text) in release.files {
                let text = if tag == BROKEN {
                    text.replace("2.0", "2.1").replace(SLIP.0, SLIP.1)
                } else {
                    (*text).into()
                };
                std::fs::write(source.join(name), text)
                    .map_err(|e| Error::io("cannot write a file", &e))?;
            }
            shop.git(&source, &["add", "."])?;
            shop.git(&source, &["commit", "--quiet", "-m", tag])?;
            shop.git(&source, &["tag", tag])?;
        }
        shop.git(
            &shop.dir,
            &["clone", "--quiet", "--bare", "source", "shop.git"],
        )?;
        let (_, release) = next.split_once('/').unwrap_or_default();
        for (name, plan) in [("install.yaml", INSTALL), ("upgrade.yaml", UPGRADE)] {
            let text = plan
                // A JSON string is a YAML string, whatever the path holds; `$` would begin a variable.
                .replace(
                    "@DIR@",
                    &serde_json::Value::from(shop.dir.display().to_string().replace("${", "$${"))
                        .to_string(),
                )
                .replace("@PORT@", &shop.port.to_string())
                .replace("@RELEASE@", release);
            shop.write(name, text.as_bytes())?;
        }
        Ok(shop)
    }

    /// The releases, old and new.
    pub(super) fn tags(&self) -> [&'static str; 2] {
        [V1.tag, self.next]
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        std::fs::write(self.path(name), bytes)
            .map_err(|e| Error::io(&format!("cannot write {name}"), &e))
    }

    /// How often the migration was started, by its own journal.
    pub(super) fn migration_starts(&self) -> Result<usize, Error> {
        let text = std::fs::read_to_string(self.path("migrations.log"))
            .map_err(|e| Error::io("cannot read the migration's journal", &e))?;
        Ok(text
            .lines()
            .filter(|l| l.starts_with("migration began"))
            .count())
    }

    /// What the shop answers, one line.
    pub(super) fn get(&self, path: &str) -> Result<String, Error> {
        let what = |e: &std::io::Error| {
            Error::io(
                &format!("the shop on port {} does not answer", self.port),
                e,
            )
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| what(&e))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .map_err(|e| what(&e))?;
        // HTTP/1.0: the server ends the answer by closing.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").map_err(|e| what(&e))?;
        let mut text = String::new();
        stream
            .take(1 << 16)
            .read_to_string(&mut text)
            .map_err(|e| what(&e))?;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok(body.trim_end().to_owned())
    }

    /// Runs a script in the shop's directory and returns what it printed.
    pub(super) fn python(&self, args: &[&str]) -> Result<String, Error> {
        output(
            Command::new("python3")
                .arg("-I")
                .args(args)
                .current_dir(&self.dir),
            "python3",
        )
    }

    fn git(&self, at: &Path, args: &[&str]) -> Result<String, Error> {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=shop", "-c", "user.email=shop@localhost"])
            .args([
                "-c",
                "commit.gpgsign=false",
                "-c",
                "tag.gpgsign=false",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(args)
            .current_dir(at);
        output(&mut command, "git")
    }

    /// Ends the shop's process: a demonstration leaves nothing running.
    pub(super) fn close(&self) {
        let stop = Stop {
            pidfile: self.path("shop.pid").display().to_string(),
            grace: Length(5000),
            port: None,
        };
        // What still lives then is said by nobody; the demonstration has told what it had to.
        let _ = stop.stop_now();
    }
}

fn output(command: &mut Command, name: &str) -> Result<String, Error> {
    let done = command.stdin(Stdio::null()).output().map_err(|e| {
        Error(format!(
            "cannot start {name}: {e}; install it with: apt-get install -y {name}"
        ))
    })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(Error(format!(
        "{name} failed: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    )))
}

/// A port on which nothing listens now.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|l| l.local_addr())
        .map(|a| a.port())
        .map_err(|e| Error::io("no free port", &e))
}
