//! Where things are, and plans that know it.

use super::{Platform, mariadb, template};
use crate::common::Done;
use std::fmt::Write;
use std::path::{Path, PathBuf};

impl Platform {
    /// A path below the platform's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }

    /// Writes a file below the platform's directory.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// A file below the platform's directory; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read(self.path(name))
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// The variables of every plan that `plan` and `run` write.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let wheels = template::staging().join("wheels");
        vec![
            ("root", self.text("").trim_end_matches('/').to_owned()),
            ("code", self.text("code")),
            ("repo", self.text("app.git")),
            ("venvs", self.text("venvs")),
            ("venv", self.text("venv")),
            ("python", self.text("venv/bin/python")),
            ("static", self.text("static")),
            ("envfile", self.text("etc/bklog.env")),
            ("wheels", wheels.to_str().expect("text").to_owned()),
            ("port", self.ports.nginx.to_string()),
            ("web_port", self.ports.gunicorn.to_string()),
            ("db_port", self.ports.mariadb.to_string()),
            ("db_socket", self.text("run/mariadb.sock")),
            ("db_name", mariadb::DATABASE.to_owned()),
            ("db_user", mariadb::USER.to_owned()),
            ("redis_port", self.ports.redis.to_string()),
            ("broker", self.broker_url()),
            ("url", format!("http://127.0.0.1:{}", self.ports.nginx)),
        ]
    }

    /// Where Redis listens.
    pub(crate) fn redis_port(&self) -> u16 {
        self.ports.redis
    }

    /// Fills in `@name@` for each variable.
    pub(super) fn fill(&self, text: &str) -> String {
        let password = ("db_password", mariadb::PASSWORD.to_owned());
        self.variables()
            .into_iter()
            .chain([password])
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("@{name}@"), &value)
            })
    }

    /// Writes a plan into the world: its head and variables, then this text, which begins with `phases:` or another key.
    /// The secret `db` is the database's password.
    pub(crate) fn plan(&self, name: &str, rest: &str) -> PathBuf {
        let mut plan = String::from("upledger: 1\nname: staging\nvars:\n");
        for (name, value) in self.variables() {
            // A plan holds no password, and RabbitMQ's guest has one.
            if name == "broker" && value.contains('@') {
                continue;
            }
            writeln!(plan, "  {name}: \"{value}\"").expect("text takes text");
        }
        let password = self.path("etc/db.pass");
        std::fs::write(&password, mariadb::PASSWORD).expect("written");
        super::tools::mode(&password, 0o600);
        writeln!(plan, "secrets: {{db: {{file: {}}}}}", password.display()).expect("text");
        plan.push_str(rest);
        let path = self.world.path(name);
        std::fs::write(&path, plan).expect("written");
        path
    }

    /// Runs a plan of one phase that has these steps, each a line such as `{id: web, do: {...}}`.
    pub(crate) fn run(&self, steps: &[&str]) -> Done {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let plan = self.plan(
            "plan.yaml",
            &format!("phases:\n  - phase: all\n    steps:\n{steps}"),
        );
        self.world.upledger(&["run", path_text(&plan)])
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("text")
}
