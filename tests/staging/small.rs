//! Small Django projects, made by a test file by file, on the MariaDB of a platform: each with a schema of its own.

use crate::common::Done;
use crate::platform::{Call, Keeping, Options, Platform};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Child;

/// The servers that the projects of one test share.
pub(crate) struct Ground(Platform);

impl std::ops::Deref for Ground {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.0
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self(Platform::up(Options {
            keeping: Keeping::Down,
            ..Options::default()
        }))
    }

    /// A project of that name with an empty schema of that name and one application, `shop`.
    pub(crate) fn project(&self, name: &str) -> Project<'_> {
        self.sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        let project = Project {
            ground: self,
            name: name.to_owned(),
        };
        for dir in ["proj", "shop/migrations", "shop/management/commands"] {
            std::fs::create_dir_all(project.path(dir)).expect("made");
        }
        for package in [
            "proj",
            "shop",
            "shop/migrations",
            "shop/management",
            "shop/management/commands",
        ] {
            project.write(&format!("{package}/__init__.py"), "");
        }
        project.write("shop/models.py", "");
        let socket = self.text("run/mariadb.sock");
        project.write(
            "proj/settings.py",
            &format!(
                "import os, pymysql\npymysql.version_info = (2, 2, 1, 'final', 0)\npymysql.install_as_MySQLdb()\n\
                 SECRET_KEY = 'x'\nSILENCED_SYSTEM_CHECKS = ['mysql.W002']\nUSE_TZ = True\nINSTALLED_APPS = ['shop']\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n\
                 DATABASES = {{'default': {{'ENGINE': 'django.db.backends.mysql', 'NAME': os.environ.get('DB_NAME', '{name}'), \
                 'USER': os.environ.get('DB_USER', 'root'), 'OPTIONS': {{'unix_socket': '{socket}'}}}}}}\n"
            ),
        );
        project.write(
            "manage.py",
            "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'proj.settings')\n\
             from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
        );
        project
    }
}

/// One project.
pub(crate) struct Project<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) name: String,
}

/// A migration with its head.
pub(crate) fn migration(after: &str, operations: &str) -> String {
    let (functions, operations) = operations.split_once("---\n").unwrap_or(("", operations));
    let dependencies = match after {
        "" => "[]".to_owned(),
        after => format!("[('shop', '{after}')]"),
    };
    format!(
        "from django.db import migrations, models\n{functions}\nclass Migration(migrations.Migration):\n    initial = {}\n    \
         dependencies = {dependencies}\n    operations = [{operations}]\n",
        if after.is_empty() { "True" } else { "False" }
    )
}

/// `AddField` of a number to the items.
pub(crate) fn number(field: &str) -> String {
    format!("migrations.AddField('Item', '{field}', models.IntegerField(default=0))")
}

impl Project<'_> {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.ground.path(&format!("{}/{name}", self.name))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// The model of items with these fields beside its name.
    pub(crate) fn models(&self, fields: &[&str]) {
        let mut text = String::from(
            "from django.db import models\nclass Item(models.Model):\n    name = models.CharField(max_length=50)\n",
        );
        for field in fields {
            let _ = writeln!(text, "    {field} = models.IntegerField(default=0)");
        }
        self.write("shop/models.py", &text);
    }

    pub(crate) fn migration(&self, name: &str, after: &str, operations: &str) {
        self.write(
            &format!("shop/migrations/{name}.py"),
            &migration(after, operations),
        );
    }

    /// The first migration, applied.
    pub(crate) fn initial(&self) {
        self.models(&[]);
        self.migration(
            "0001_initial",
            "",
            "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.CharField(max_length=50))])",
        );
        self.manage(&["migrate", "--verbosity=0"]);
    }

    pub(crate) fn manage(&self, args: &[&str]) -> String {
        Call::new(&self.ground.text("venv/bin/python"))
            .args(["manage.py"])
            .args(args)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .dir(&self.path(""))
            .run()
    }

    pub(crate) fn sql(&self, query: &str) -> String {
        self.ground.sql(&format!("USE {}; {query}", self.name))
    }

    /// The migrations that are recorded.
    pub(crate) fn rows(&self) -> String {
        let rows = self.sql("SELECT name FROM django_migrations WHERE app = 'shop' ORDER BY id");
        rows.lines().collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn columns(&self, table: &str) -> String {
        self.sql(&format!(
            "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = '{}' AND \
             table_name = '{table}'",
            self.name
        ))
    }

    /// The plan: the migration, without a way back, with more settings.
    pub(crate) fn plan(&self, more: &str) -> String {
        let step = format!(
            "{{id: schema, cwd: \"{}\", do: {{django.migrate: {{python: \"${{python}}\"{more}}}}}, undo: {{point_of_no_return: test}}}}",
            self.path("").display().to_string().trim_end_matches('/'),
        );
        self.plan_of(&[&step])
    }

    pub(crate) fn plan_of(&self, steps: &[&str]) -> String {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let rest = format!("phases:\n  - phase: all\n    steps:\n{steps}");
        let name = format!("{}.yaml", self.name);
        self.ground.plan(&name, &rest).display().to_string()
    }

    /// An application that runs this when it is ready.
    pub(crate) fn ready(&self, head: &str, body: &str) {
        let body = body.replace('\n', "\n        ");
        self.write(
            "shop/apps.py",
            &format!("from django.apps import AppConfig\n{head}\nclass ShopConfig(AppConfig):\n    name = 'shop'\n    def ready(self):\n        {body}\n"),
        );
    }

    /// Runs the plan; what was said includes the record.
    pub(crate) fn migrate(&self, more: &str, code: i32) -> Done {
        self.up(&["run", &self.plan(more)], code)
    }

    pub(crate) fn up(&self, args: &[&str], code: i32) -> Done {
        let mut done = self.ground.world().upledger(args);
        done.out.clear();
        let log = self.ground.world().upledger(&["log", "--json"]).out;
        let plans =
            |line: &&str| line.contains("\"run.planned\"") || line.contains("\"session.opened\"");
        for line in log.lines().filter(|line| !plans(line)) {
            done.out.push_str(line);
            done.out.push('\n');
        }
        assert_eq!(done.code, code, "{args:?}: {}", end_of(&done.out));
        done
    }

    /// The newest run is given up, so that another may begin.
    pub(crate) fn abort(&self) {
        self.ground.world().upledger(&["abort", "--reason", "test"]);
    }

    /// A run that has to fail, and is given up.
    pub(crate) fn fails(&self, more: &str, words: &[&str]) {
        let done = self.migrate(more, 1);
        says(&done.out, words);
        self.abort();
    }

    /// The evidence of a preview.
    pub(crate) fn previewed(&self, more: &str) -> String {
        let plan = self.plan(more);
        let done = self.ground.world().upledger(&["plan", &plan, "--json"]);
        done.out
    }

    /// The program begins, and goes on beside the test.
    pub(crate) fn begin(&self, plan: &str) -> Child {
        self.ground
            .world()
            .command(&["run", plan])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts")
    }
}

/// A client of the database, with a transaction of its own; it ends with the test.
pub(crate) struct Client(Child);

impl Client {
    /// It says this, and then nothing.
    pub(crate) fn idle(project: &Project<'_>, words: &str) -> Self {
        use std::io::{BufRead, Write};
        let socket = project.ground.text("run/mariadb.sock");
        let mut child = std::process::Command::new("mariadb")
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
                "--unbuffered",
            ])
            .args([
                format!("--socket={socket}"),
                format!("--database={}", project.name),
            ])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("a client");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin
            .write_all(format!("{words}\nselect 'said';\n").as_bytes())
            .expect("it listens");
        let out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        let said = out.lines().map_while(Result::ok).any(|line| line == "said");
        assert!(said, "{words}");
        child.stdin = Some(stdin);
        Self(child)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end tells what became of it; the whole fills screens.
pub(crate) fn end_of(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(4000);
    text.chars().skip(skipped).collect()
}

/// All of these words are said.
#[track_caller]
pub(crate) fn says(done: &str, words: &[&str]) {
    for word in words {
        assert!(done.contains(word), "{word}: {}", end_of(done));
    }
}
