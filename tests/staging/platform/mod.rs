//! One private platform: `Platform::up` makes it, its `Drop` ends every process of it and removes every file.
//!
//! Invariants: nothing listens outside of 127.0.0.1 and the private directory; nothing is shared between two platforms
//! but the read-only templates below `target/staging`; no process is looked for by its name, only by the private
//! directory.

mod alone;
mod apps;
mod client;
mod cron;
mod database;
mod mariadb;
mod options;
mod owner;
mod paths;
mod ports;
mod postgres;
mod procs;
mod rabbit;
mod redis;
mod repository;
mod supervisor;
mod template;
mod tools;
mod virtualenv;
mod web;

pub(crate) use alone::Maria;
pub(crate) use client::Client;
pub(crate) use cron::{CRONTAB, CronUser};
pub(crate) use options::{Broker, Keeping, Options};
pub(crate) use postgres::Postgres;
pub(crate) use procs::end_all;

use crate::common::World;
use std::fs::File;
use std::path::Path;
pub(crate) use template::staging;
pub(crate) use tools::{Call, patiently, root, some_of};
pub(crate) use virtualenv::virtualenv;

/// The platform of one test.
pub(crate) struct Platform {
    world: World,
    dir: tempfile::TempDir,
    ports: ports::Ports,
    options: Options,
    _owner: File,
}

impl Platform {
    /// Everything is up and answers when this returns; release 1.0 serves.
    pub(crate) fn up(options: Options) -> Self {
        let platform = Self::laid_out(options);
        mariadb::start(&platform);
        redis::start(&platform);
        if options.broker == Broker::Rabbit {
            rabbit::start(&platform);
        }
        mariadb::await_up(&platform);
        redis::await_up(&platform);
        if options.broker == Broker::Rabbit {
            rabbit::await_up(&platform);
        }
        if options.keeping != Keeping::Down {
            platform.start_apps();
            platform.await_apps();
        }
        platform
    }

    /// The directories, the code, the virtualenv, the data and all configuration; nothing runs yet.
    fn laid_out(options: Options) -> Self {
        owner::sweep();
        let dir = match options.place {
            Some(place) => named(place, "bklog"),
            None => tempfile::Builder::new()
                .prefix(owner::PREFIX)
                .tempdir_in("/tmp")
                .expect("a directory"),
        };
        // The web user walks through it.
        tools::mode(dir.path(), 0o755);
        let platform = Self {
            world: options
                .place
                .map_or_else(World::new, |place| World::of(named(place, "upledger"))),
            _owner: owner::own(dir.path()),
            dir,
            ports: ports::Ports::take(),
            options,
        };
        for name in ["etc", "run", "log", "data", "data/redis", "venvs", "backup"] {
            std::fs::create_dir(platform.path(name)).expect("made");
        }
        template::copy(&repository::repository(), &platform.path("app.git"));
        template::copy(
            &database::database(options.rows).join("mysql"),
            &platform.path("data/mysql"),
        );
        template::copy(
            &database::database(false).join("static"),
            &platform.path("static"),
        );
        platform.give_virtualenv("1.0");
        tools::link(Path::new("venvs/1.0"), &platform.path("venv"));
        platform.clone_code("bklog/1.0");
        if options.releases {
            platform.lay_out_releases();
        }
        platform.write(
            "etc/bklog.env",
            &platform.fill(include_str!("conf/bklog.env")),
        );
        mariadb::configure(&platform);
        redis::configure(&platform);
        web::configure(&platform);
        supervisor::configure(&platform);
        platform
    }

    /// Puts a release's virtualenv to `venvs/RELEASE`, for tests that do not install it themselves. It is a link to a
    /// template that all platforms share: never install into it.
    pub(crate) fn give_virtualenv(&self, release: &str) {
        let at = self.path(&format!("venvs/{release}"));
        let template = virtualenv::virtualenv(release);
        match self.options.place {
            // Nothing leads out of a place that is shown.
            Some(_) => template::copy(&template, &at),
            None => tools::link(&template, &at),
        }
    }

    /// Checks out a release's code, and lets `venv` name its virtualenv when there is one in `venvs`.
    pub(crate) fn switch_to(&self, release: &str) {
        let venv = Path::new("venvs").join(release);
        if self.dir.path().join(&venv).exists() {
            std::fs::remove_file(self.path("venv")).expect("the link");
            tools::link(&venv, &self.path("venv"));
        }
        let tag = format!("bklog/{release}");
        Call::new("git")
            .args(["-C", &self.text("code"), "checkout", "-q", "--detach", &tag])
            .run();
    }

    /// Turns the code and the static files into releases that links lead to.
    fn lay_out_releases(&self) {
        for (dir, link, release) in [
            ("releases", "code", "releases/first"),
            ("statics", "static", "statics/first"),
        ] {
            std::fs::create_dir(self.path(dir)).expect("made");
            std::fs::rename(self.path(link), self.path(release)).expect("moved");
            tools::link(&self.path(release), &self.path(link));
        }
        // The application looks for its site beside its code.
        for name in ["etc", "run"] {
            tools::link(
                &Path::new("..").join(name),
                &self.path(&format!("releases/{name}")),
            );
        }
    }

    /// A release that differs from 2.0 in its version and in one static file.
    pub(crate) fn add_release(&self, version: &str) {
        self.add_release_with(version, |_| ());
    }

    /// A release that differs from 2.0 in its version and in what is done with its files.
    pub(crate) fn add_release_with(&self, version: &str, change: impl FnOnce(&Path)) {
        let work = self.text("data/work");
        let git = |words: &[&str]| {
            let own = [
                "-C",
                &work,
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@localhost",
            ];
            Call::new("git").args(own).args(words).run()
        };
        Call::new("git")
            .args([
                "clone",
                "-q",
                "--branch",
                "bklog/2.0",
                &self.text("app.git"),
                &work,
            ])
            .run();
        self.write("data/work/VERSION", &format!("{version}\n"));
        change(&self.path("data/work"));
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", version]);
        let tag = format!("bklog/{version}");
        git(&["tag", &tag]);
        git(&["push", "-q", "origin", &tag]);
        std::fs::remove_dir_all(&work).expect("removed");
    }

    fn clone_code(&self, tag: &str) {
        let (from, into) = (self.text("app.git"), self.text("code"));
        Call::new("git").args(["clone", "-q", &from, &into]).run();
        Call::new("git")
            .args(["-C", &into, "checkout", "-q", "--detach", tag])
            .run();
    }

    /// What the worker, beat and the web application talk to.
    pub(crate) fn broker_url(&self) -> String {
        match self.options.broker {
            Broker::Redis => format!("redis://127.0.0.1:{}/0", self.ports.redis),
            Broker::Rabbit => format!("amqp://guest:guest@127.0.0.1:{}//", self.ports.rabbit),
        }
    }

    /// Starts the web application, the worker, beat and Nginx, by supervisor or by hand.
    pub(crate) fn start_apps(&self) {
        if self.options.keeping == Keeping::Supervisor {
            supervisor::start(self);
            return;
        }
        apps::start_worker(self);
        apps::start_beat(self);
        web::start_gunicorn(self);
        web::start_nginx(self);
    }

    /// The command of `gunicorn`, `worker` or `beat` in the foreground, or of `nginx`, which goes to the background.
    pub(crate) fn command_of(&self, name: &str) -> Vec<String> {
        match name {
            "gunicorn" => web::gunicorn_argv(self),
            "worker" => apps::worker_argv(self),
            "beat" => apps::beat_argv(self),
            _ => web::nginx_argv(self),
        }
    }

    /// Waits until they answer.
    pub(crate) fn await_apps(&self) {
        patiently("the web application answers through Nginx", || {
            self.client()
                .get("/readiness/")
                .is_ok_and(|a| a.status == 200)
        });
        patiently("the worker is ready", || apps::worker_is_ready(self));
    }

    /// The upledger of this test, with a state of its own.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Asks Nginx.
    pub(crate) fn client(&self) -> Client {
        Client::at(self.ports.nginx)
    }

    /// Where Nginx answers.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.nginx)
    }

    /// Where Gunicorn answers.
    pub(crate) fn web(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.gunicorn)
    }

    /// The release that answers through Nginx.
    pub(crate) fn release(&self) -> String {
        let answer = self.client().get("/version").expect("an answer");
        let page: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        page["release"].as_str().expect("a release").to_owned()
    }

    /// The interpreter that `venv` names, in the code that is checked out.
    pub(crate) fn python(&self, args: &[&str]) -> Call {
        Call::new(&self.text("venv/bin/python"))
            .args(args)
            .dir(&self.path("code"))
    }

    /// `manage.py` of the code that is checked out.
    pub(crate) fn manage(&self, args: &[&str]) -> Call {
        self.python(&["manage.py"]).args(args)
    }

    /// Sends tasks `PREFIX-0`, `PREFIX-1`, ... that take so many seconds each.
    pub(crate) fn send_tasks(&self, prefix: &str, count: usize, seconds: f64) {
        let (count, seconds) = (count.to_string(), seconds.to_string());
        self.manage(&["send_tasks", "--prefix", prefix, &count, &seconds])
            .run();
    }

    /// The names of the tasks that a worker began, one for each time.
    pub(crate) fn tasks_started(&self) -> Vec<String> {
        self.rows("SELECT task FROM started_tasks ORDER BY id")
    }

    /// The names of the tasks that a worker ended, one for each time.
    pub(crate) fn tasks_done(&self) -> Vec<String> {
        self.rows("SELECT task FROM done_tasks ORDER BY id")
    }

    /// How many ticks of beat a worker has run.
    pub(crate) fn ticks(&self) -> usize {
        self.sql("SELECT COUNT(*) FROM ticks")
            .parse()
            .expect("a number")
    }

    /// Asks the database as its administrator; columns by tabs, rows by line feeds.
    pub(crate) fn sql(&self, query: &str) -> String {
        mariadb::ask(
            &self.path("run/mariadb.sock"),
            Some(mariadb::DATABASE),
            query,
        )
    }

    fn rows(&self, query: &str) -> Vec<String> {
        self.sql(query).lines().map(str::to_owned).collect()
    }

    /// Starts MariaDB again, which was killed.
    pub(crate) fn start_database(&self) {
        mariadb::start(self);
        mariadb::await_up(self);
    }

    /// Asks Redis.
    pub(crate) fn redis(&self, words: &[&str]) -> String {
        redis::ask(self, words)
    }

    /// Every process of this platform, whoever started it: its id and its command.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        procs::below(self.dir.path())
    }

    /// The process of a pidfile in `run/`, when it lives.
    pub(crate) fn pid(&self, name: &str) -> Option<i32> {
        let text = std::fs::read_to_string(self.path(&format!("run/{name}.pid"))).ok()?;
        let pid = text.trim().parse().ok()?;
        procs::lives(pid).then_some(pid)
    }
}

/// A directory of just this name.
fn named(parent: &str, name: &str) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let dir = builder.prefix(name).rand_bytes(0).tempdir_in(parent);
    dir.expect("a directory that is not there yet")
}

/// Whatever became of the test, nothing of the platform is left.
impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            template::keep_logs(self.dir.path());
        }
        // Runs of upledger first: they could start things again.
        procs::end_all(&self.world.path(""));
        procs::end_all(self.dir.path());
    }
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Platform").field(&self.dir.path()).finish()
    }
}
