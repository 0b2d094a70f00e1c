//! The database that release 1.0 has made, and its static files.

use super::template::{digest, lay, once, project, staging};
use super::tools::{Call, root};
use super::virtualenv::virtualenv;
use super::{mariadb, patiently, procs};
use std::path::{Path, PathBuf};

/// The database of release 1.0 (`mysql`) and its collected static files (`static`); with a million rows when asked.
pub(super) fn database(rows: bool) -> PathBuf {
    let made_of = [project().join("1.0"), staging().join("wheels/stamp")];
    let made_of: Vec<&Path> = made_of.iter().map(PathBuf::as_path).collect();
    let how = concat!(
        include_str!("database.rs"),
        include_str!("mariadb.rs"),
        include_str!("conf/my.cnf")
    );
    let name = if rows { "database-rows" } else { "database" };
    once(name, &digest(&made_of, how), |into| {
        let made = std::panic::catch_unwind(|| make_database(into, rows));
        procs::end_all(into);
        if let Err(panic) = made {
            std::panic::resume_unwind(panic);
        }
    })
}

fn make_database(into: &Path, rows: bool) {
    let (data, socket, log) = (
        into.join("mysql"),
        into.join("mariadb.sock"),
        into.join("log"),
    );
    std::fs::create_dir(into).expect("made");
    std::fs::write(
        into.join("my.cnf"),
        mariadb::settings(&data, into, &log, None),
    )
    .expect("written");
    let mut install = Call::new("mariadb-install-db").args([
        format!("--defaults-file={}", into.join("my.cnf").display()),
        format!("--datadir={}", data.display()),
        "--auth-root-authentication-method=normal".to_owned(),
        "--skip-test-db".to_owned(),
    ]);
    if root() {
        install = install.args(["--user=root"]);
    }
    install.run();
    mariadb::serve(&into.join("my.cnf"), &log);
    mariadb::await_socket(&socket);
    let (name, user, password) = (mariadb::DATABASE, mariadb::USER, mariadb::PASSWORD);
    mariadb::ask(
        &socket,
        None,
        &format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb4; \
             CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}', '{user}'@'localhost' IDENTIFIED BY '{password}'; \
             GRANT ALL ON *.* TO '{user}'@'127.0.0.1', '{user}'@'localhost'"
        ),
    );
    let work = into.join("code");
    lay(&project().join("1.0"), &work);
    let manage = |args: &[&str]| {
        Call::new(virtualenv("1.0").join("bin/python").to_str().expect("text"))
            .args(["manage.py"])
            .args(args)
            .env("DB_HOST", "localhost")
            .env("DB_SOCKET", socket.to_str().expect("text"))
            .env("DB_PASSWORD", password)
            .env("STATIC_ROOT", into.join("static").to_str().expect("text"))
            .dir(&work)
            .run();
    };
    manage(&["migrate", "--verbosity=0"]);
    manage(&["collectstatic", "--noinput", "--verbosity=0"]);
    let many = if rows { 1_000_000 } else { 1000 };
    mariadb::ask(
        &socket,
        None,
        &format!(
            "USE {name}; INSERT INTO log_index (host, message) SELECT CONCAT('host-', seq MOD 100), \
             CONCAT('line ', seq, ' of the log, ', SHA1(seq)) FROM seq_1_to_{many}; SHUTDOWN"
        ),
    );
    patiently("MariaDB has ended", || procs::below(into).is_empty());
}
