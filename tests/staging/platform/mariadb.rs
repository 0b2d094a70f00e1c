//! A private MariaDB: a socket in the platform's directory, and a port for the application.

use super::tools::{Call, root};
use super::{Platform, patiently};
use std::path::Path;

pub(super) const DATABASE: &str = "bk_log_search";
pub(super) const USER: &str = "bklog";
pub(super) const PASSWORD: &str = "bklog-Secret-7";

/// The settings of a server on this data directory; without a port it has a socket only.
pub(super) fn settings(data: &Path, run: &Path, log: &Path, port: Option<u16>) -> String {
    let network = port.map_or("skip-networking".to_owned(), |port| {
        format!("bind-address=127.0.0.1\nport={port}")
    });
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    include_str!("conf/my.cnf")
        .replace("@user@", if root() { "user=root" } else { "" })
        .replace("@network@", &network)
        .replace("@data@", &text(data))
        .replace("@run@", &text(run))
        .replace("@log@", &text(log))
}

pub(super) fn configure(platform: &Platform) {
    let text = settings(
        &platform.path("data/mysql"),
        &platform.path("run"),
        &platform.path("log/mariadb.log"),
        Some(platform.ports.mariadb),
    );
    platform.write("etc/my.cnf", &text);
}

pub(super) fn start(platform: &Platform) {
    serve(
        &platform.path("etc/my.cnf"),
        &platform.path("log/mariadb.log"),
    );
}

/// Starts a server by its file of settings.
pub(super) fn serve(settings: &Path, log: &Path) {
    Call::new("mariadbd")
        .args([format!("--defaults-file={}", settings.display())])
        .daemon(log);
}

pub(super) fn await_up(platform: &Platform) {
    await_socket(&platform.path("run/mariadb.sock"));
}

pub(super) fn await_socket(socket: &Path) {
    patiently("MariaDB answers", || {
        client(socket, "SELECT 1").output().status.success()
    });
}

/// Asks as its administrator.
pub(super) fn ask(socket: &Path, database: Option<&str>, query: &str) -> String {
    client(socket, query)
        .args(database.map(|d| format!("--database={d}")))
        .run()
        .trim_end()
        .to_owned()
}

fn client(socket: &Path, query: &str) -> Call {
    Call::new("mariadb").args([
        "--no-defaults",
        &format!("--socket={}", socket.display()),
        "--user=root",
        "--batch",
        "--skip-column-names",
        &format!("--execute={query}"),
    ])
}
