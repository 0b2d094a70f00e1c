//! The ledger is the only state: each kind of action that has an undo is run, `undo/` loses all that no event names,
//! and the rollback brings the world back as it was.
//!
//! One row for each kind of the registry. A new kind fails the test until it has one: settings that tell whether it has
//! an undo, and where it has one, a world for it here or the test of another file that does the same.

use crate::keeper::{Place, SERVER};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use upledger::actions::Do;

/// A kind, settings for it (`@/` is the world's directory and `%` its port), and how its undo is proved.
struct Row(&'static str, &'static str, Proof);

enum Proof {
    /// It has none.
    NoUndo,
    /// In a world that is made so, and compared by what is seen.
    Here {
        make: fn(&Place),
        see: fn(&Place) -> String,
    },
    /// By a test that rolls back with `World::rollback`.
    In {
        file: &'static str,
        test: &'static str,
    },
}

use Proof::{Here, In, NoUndo};

const ROWS: &[Row] = &[
    Row("run", r#"["true"]"#, NoUndo),
    Row("shell", r#""true""#, NoUndo),
    Row("file.backup", r#"{"path": "@/file"}"#, NoUndo),
    Row(
        "file.replace",
        r#"{"path": "@/file", "content": "wanted\n", "mode": "0600"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row(
        "file.restore",
        r#"{"path": "@/file", "from": "@/plan.yaml"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row(
        "file.line",
        r#"{"path": "@/file", "match": "^DEBUG=", "line": "DEBUG=0"}"#,
        Here {
            make: file,
            see: tree,
        },
    ),
    Row("config.backup", r#"{"paths": ["@/file"]}"#, NoUndo),
    Row(
        "config.diff",
        r#"{"path": "@/file", "with": "@/plan.yaml"}"#,
        NoUndo,
    ),
    Row(
        "config.set",
        r#"{"path": "@/file", "format": "dotenv", "edits": [{"key": "DEBUG", "value": "0"}]}"#,
        Here {
            make: assignments,
            see: tree,
        },
    ),
    Row("dir.backup", r#"{"path": "@/sites"}"#, NoUndo),
    Row(
        "dir.restore",
        r#"{"backup": "copy"}"#,
        In {
            file: "behaviour/directories.rs",
            test: "a_directory_is_restored_whole_and_the_former_one_comes_back",
        },
    ),
    Row("env.set", r#"{"variables": {"A": "1"}}"#, NoUndo),
    Row(
        "env.capture",
        r#"{"source": "@/env.sh", "names": ["A"]}"#,
        NoUndo,
    ),
    Row(
        "test.sample",
        r#"{"dir": "@/sample", "text": "wanted\n"}"#,
        Here {
            make: sample,
            see: sampled,
        },
    ),
    Row(
        "mysql.backup",
        r#"{"server": {"socket": "/s"}, "database": "d"}"#,
        NoUndo,
    ),
    Row("mysql.restore", r#"{"backup": "dump"}"#, NoUndo),
    Row(
        "expect.config",
        r#"{"path": "@/file", "format": "dotenv", "values": [{"key": "A", "value": "1"}]}"#,
        NoUndo,
    ),
    Row("expect.process", r#"{"match": "x"}"#, NoUndo),
    Row("expect.port", r#"{"port": 1}"#, NoUndo),
    Row("expect.stopped", r#"{"ports": [1]}"#, NoUndo),
    Row("expect.file", r#"{"path": "/"}"#, NoUndo),
    Row("expect.command", r#"{"argv": ["true"]}"#, NoUndo),
    Row(
        "process.start",
        r#"{"argv": ["sleep", "1000"], "pidfile": "@/pid", "log": "@/log"}"#,
        Here {
            make: |_| {},
            see: daemon,
        },
    ),
    Row(
        "process.stop",
        r#"{"pidfile": "@/pid"}"#,
        Here {
            make: started_daemon,
            see: daemon,
        },
    ),
    Row(
        "gunicorn.stop",
        "{}",
        In {
            file: "staging/gunicorn.rs",
            test: "a_request_in_flight_finishes_and_the_undo_brings_the_same_server_back",
        },
    ),
    Row(
        "gunicorn.start",
        r#"{"by": {"pidfile": "@/pid", "start": ["gunicorn"], "log": "@/log"}}"#,
        In {
            file: "staging/gunicorn.rs",
            test: "a_request_in_flight_finishes_and_the_undo_brings_the_same_server_back",
        },
    ),
    Row("gunicorn.reload", "{}", NoUndo),
    Row(
        "nginx.stop",
        r#"{"conf": "@/nginx.conf"}"#,
        Here {
            make: started_nginx,
            see: page,
        },
    ),
    Row(
        "nginx.start",
        r#"{"conf": "@/nginx.conf", "url": "http://127.0.0.1:%/"}"#,
        Here {
            make: configured_nginx,
            see: page,
        },
    ),
    Row("nginx.reload", "{}", NoUndo),
    Row(
        "nginx.maintenance",
        r#"{"file": "@/maintenance.conf", "content": "return 503;\n", "conf": "@/nginx.conf",
            "url": "http://127.0.0.1:%/"}"#,
        Here {
            make: started_nginx,
            see: page,
        },
    ),
    Row(
        "supervisor.update",
        r#"{"groups": ["app"]}"#,
        In {
            file: "staging/programs.rs",
            test: "an_update_is_shown_before_and_its_undo_stops_what_it_started",
        },
    ),
    Row(
        "service.stop",
        r#"{"by": {"pidfile": "@/app.pid", "log": "@/log"}}"#,
        Here {
            make: started_server,
            see: page,
        },
    ),
    Row(
        "service.start",
        r#"{"by": {"pidfile": "@/app.pid", "start": ["python3", "@/server.py", "%", "@/app.pid", "fork"],
            "log": "@/log", "cwd": "@/"}, "ready": {"port": "%"}}"#,
        Here {
            make: server,
            see: page,
        },
    ),
    Row(
        "celery.stop",
        "{}",
        In {
            file: "staging/celery_drain.rs",
            test: "running_and_prefetched_tasks_are_done_once_and_waiting_ones_are_left_to_the_new_worker",
        },
    ),
    Row(
        "celery.start",
        r#"{"by": {"pidfile": "@/pid", "start": ["celery"], "log": "@/log"}}"#,
        In {
            file: "staging/celery_services.rs",
            test: "supervisord_keeps_both_a_beat_starts_behind_a_stale_pidfile_and_broken_libraries_are_told",
        },
    ),
    Row(
        "git.deploy",
        r#"{"repo": "@/source", "ref": "app/2.0", "into": "@/app"}"#,
        Here {
            make: clone,
            see: checkout,
        },
    ),
    Row(
        "release.switch",
        r#"{"links": [{"path": "@/current", "to": "@/two"}, {"path": "@/other", "to": "@/two"}]}"#,
        Here {
            make: linked,
            see: leads,
        },
    ),
    Row(
        "release.prune",
        r#"{"keep": 1, "releases": "@/releases"}"#,
        NoUndo,
    ),
    Row(
        "timer.disable",
        r#"{"timers": ["backup"]}"#,
        In {
            file: "systemd/services.rs",
            test: "timers_start_nothing_and_their_jobs_are_waited_for",
        },
    ),
    Row(
        "timer.enable",
        r#"{"timers": ["backup"]}"#,
        In {
            file: "systemd/services.rs",
            test: "timers_start_nothing_and_their_jobs_are_waited_for",
        },
    ),
    Row(
        "cron.disable",
        r#"{"match": "job", "file": "@/crontab"}"#,
        Here {
            make: crontab,
            see: tree,
        },
    ),
    Row(
        "cron.enable",
        r#"{"match": "off", "file": "@/crontab"}"#,
        Here {
            make: crontab,
            see: tree,
        },
    ),
    Row(
        "pip.install",
        r#"{"venv": "@/venv", "python": "/usr/bin/python3", "requirements": ["@/base.txt"]}"#,
        In {
            file: "behaviour/pip.rs",
            test: "a_virtualenv_is_built_beside_the_old_one_switched_to_and_taken_back",
        },
    ),
    Row(
        "pre_commit.install",
        r#"{"repo": "@/repo", "venv": "@/venv"}"#,
        Here {
            make: hooks,
            see: hook_files,
        },
    ),
    Row("django.check", r#"{"python": "/usr/bin/python3"}"#, NoUndo),
    Row(
        "django.collectstatic",
        r#"{"python": "/usr/bin/python3"}"#,
        In {
            file: "staging/static_files.rs",
            test: "a_release_is_collected_compared_served_and_taken_back",
        },
    ),
    Row("redis.backup", "{}", NoUndo),
    Row(
        "redis.restore",
        r#"{"backup": "dump"}"#,
        In {
            file: "staging/redis_restore.rs",
            test: "a_server_in_append_only_mode_is_restored_and_its_undo_brings_its_files_back",
        },
    ),
    Row("redis.expect", r#"{"role": "master"}"#, NoUndo),
    Row(
        "mysql.expect",
        r#"{"server": {"socket": "/s"}, "values": [{"query": "SELECT 1", "equals": 1}]}"#,
        NoUndo,
    ),
    Row(
        "mysql.query",
        r#"{"server": {"socket": "/s"}, "query": "SELECT 1"}"#,
        NoUndo,
    ),
    Row(
        "django.migrate",
        r#"{"python": "/usr/bin/python3", "backup": "dump"}"#,
        In {
            file: "staging/migrate.rs",
            test: "a_release_that_dies_half_way_comes_back_by_the_restore_of_its_backup",
        },
    ),
    Row(
        "django.fake",
        r#"{"python": "/usr/bin/python3", "app": "shop", "name": "0002_price"}"#,
        In {
            file: "staging/migrate_fake.rs",
            test: "one_migration_is_recorded_where_the_schema_holds_all_of_it",
        },
    ),
    Row(
        "django.command",
        r#"{"python": "/usr/bin/python3", "name": "sync", "failure": ["Sorry"]}"#,
        NoUndo,
    ),
    Row("http.check", r#"{"url": "http://127.0.0.1:1/"}"#, NoUndo),
];

/// Writes a file with a mode and a time of its own.
fn old(place: &Place, name: &str, text: &str) {
    let path = place.path(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("its own");
    let file = std::fs::File::options().append(true).open(&path);
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    file.and_then(|f| f.set_modified(time)).expect("its own");
}

fn script(place: &Place, name: &str, text: &str) {
    let path = place.write(name, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its own");
}

fn file(place: &Place) {
    old(place, "file", "A=1\r\nDEBUG=1\n\nno end");
}

fn assignments(place: &Place) {
    old(place, "file", "A=1\r\nDEBUG=1\n# no end");
}

fn crontab(place: &Place) {
    old(
        place,
        "crontab",
        "# comment\n0 1 * * * root job\n#0 2 * * * root off\n",
    );
}

/// The plain files of the world, each with its bytes, mode, owner and time.
fn sample(place: &Place) {
    std::fs::create_dir(place.path("sample")).expect("made");
    place.write("sample/text", "former\n");
}

fn sampled(place: &Place) -> String {
    std::fs::read_to_string(place.path("sample/text")).expect("there")
}

fn tree(place: &Place) -> String {
    files_of(&place.path(""), &["plan.yaml", "verify.py"])
}

fn files_of(dir: &Path, but: &[&str]) -> String {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut files: Vec<String> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .filter(|e| !but.iter().any(|b| e.file_name() == *b))
        .map(|e| {
            let (bytes, meta) = (std::fs::read(e.path()), e.metadata().expect("there"));
            let of = (
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
            );
            format!(
                "{:?} {of:?} {:?}",
                e.file_name(),
                bytes.expect("readable").escape_ascii().to_string()
            )
        })
        .collect();
    files.sort();
    files.join("\n")
}

fn started_daemon(place: &Place) {
    let done = place.run(&[
        r#"{id: before, do: {process.start: {argv: [sleep, "1000"], pidfile: @/pid, log: @/log}}}"#,
    ]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// Whether the process of the pidfile lives.
fn daemon(place: &Place) -> String {
    let text = std::fs::read(place.path("pid")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let cmdline = format!("/proc/{}/cmdline", record["pid"]);
    let words = std::fs::read(cmdline).unwrap_or_default();
    words.escape_ascii().to_string()
}

fn server(place: &Place) {
    place.write("server.py", SERVER);
}

fn started_server(place: &Place) {
    server(place);
    let (port, server, pid) = (
        place.port.to_string(),
        place.path("server.py"),
        place.path("app.pid"),
    );
    let [server, pid] = [server, pid].map(|p| p.display().to_string());
    let argv = ["python3", &server, &port, &pid, "fork"];
    let started = place.spawn(&argv, "log").wait();
    assert!(started.is_ok_and(|s| s.success()));
    place.await_port();
    crate::common::eventually("its pidfile is there", || pid_of(place).is_some());
}

fn pid_of(place: &Place) -> Option<i32> {
    place.lines("app.pid").first()?.parse().ok()
}

const NGINX: &str = "pid @/nginx.pid;
error_log @/error.log;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @/b; proxy_temp_path @/p; fastcgi_temp_path @/f; uwsgi_temp_path @/u; scgi_temp_path @/s;
  server { listen 127.0.0.1:%; location / { include @/maintenance*.conf; return 200 'serves'; } }
}
";

fn configured_nginx(place: &Place) {
    place.write("nginx.conf", &NGINX.replace('%', &place.port.to_string()));
    old(place, "maintenance.conf", "# of the administrator\n");
}

fn started_nginx(place: &Place) {
    configured_nginx(place);
    let started = Command::new("nginx")
        .arg("-c")
        .arg(place.path("nginx.conf"))
        .arg("-e")
        .arg(place.path("error.log"))
        .status()
        .expect("nginx; install it with: apt-get install -y nginx-light");
    assert!(started.success());
    place.await_port();
}

/// What is served, and the maintenance page's file where there is one.
fn page(place: &Place) -> String {
    let answer = place.get("/").unwrap_or_default();
    let status = answer.lines().next().unwrap_or_default();
    let file = std::fs::read(place.path("maintenance.conf")).unwrap_or_default();
    format!("{status} {:?}", file.escape_ascii().to_string())
}

fn git(place: &Place, dir: &str, words: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words)
        .current_dir(place.path(dir))
        .output()
        .expect("git; install it with: apt-get install -y git");
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn clone(place: &Place) {
    std::fs::create_dir(place.path("source")).expect("made");
    git(place, "source", &["init", "-q", "-b", "main"]);
    for version in ["1.0", "2.0"] {
        place.write("source/version", version);
        git(place, "source", &["add", "-A"]);
        git(place, "source", &["commit", "-q", "-m", version]);
        git(place, "source", &["tag", &format!("app/{version}")]);
    }
    git(place, "", &["clone", "-q", "source", "app"]);
    git(place, "app", &["checkout", "-q", "app/1.0"]);
    place.write("app/own", "of the operator");
}

fn checkout(place: &Place) -> String {
    let mut seen = git(place, "app", &["log", "-1", "--format=%H%d", "HEAD"]);
    seen += &git(place, "app", &["status", "--porcelain=v2", "--branch"]);
    let _ = write!(seen, "{:?}", place.lines("app/version"));
    seen
}

/// What pre-commit does with the files of its hooks.
const PRE_COMMIT: &str = r##"#!/bin/sh -e
hook=.git/hooks/pre-commit
case $1 in
install)
  if [ -e $hook ] && ! grep -q 'generated by pre-commit' $hook; then mv $hook $hook.legacy; fi
  printf '#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\nINSTALL_PYTHON=/bin/sh\n' > $hook
  chmod 755 $hook;;
uninstall)
  rm -f $hook
  if [ -e $hook.legacy ]; then mv $hook.legacy $hook; fi;;
esac
"##;

fn hooks(place: &Place) {
    for dir in ["repo", "venv", "venv/bin"] {
        std::fs::create_dir(place.path(dir)).expect("made");
    }
    git(place, "repo", &["init", "-q", "--template="]);
    std::fs::create_dir(place.path("repo/.git/hooks")).expect("made");
    place.write("repo/.pre-commit-config.yaml", "repos: []\n");
    script(place, "venv/bin/pre-commit", PRE_COMMIT);
    script(
        place,
        "repo/.git/hooks/pre-commit",
        "#!/bin/sh\nexit 0 # of the team\n",
    );
}

/// A link to the first of two directories; a second link is not there yet.
fn linked(place: &Place) {
    for dir in ["one", "two"] {
        std::fs::create_dir(place.path(dir)).expect("created");
    }
    std::os::unix::fs::symlink(place.path("one"), place.path("current")).expect("linked");
}

fn leads(place: &Place) -> String {
    let lead = |link: &str| format!("{link}: {:?}", std::fs::read_link(place.path(link)).ok());
    ["current", "other"].map(lead).join("\n")
}

fn hook_files(place: &Place) -> String {
    files_of(&place.path("repo/.git/hooks"), &[])
}

/// Runs one step of that kind, forgets what no event names, and rolls back.
fn comes_back(kind: &str, settings: &str, make: fn(&Place), see: fn(&Place) -> String) {
    let place = Place::new();
    make(&place);
    let before = see(&place);
    let settings = settings.split_whitespace().collect::<Vec<_>>().join(" ");
    let done = place.run(&[&format!("{{id: it, do: {{{kind}: {settings}}}}}")]);
    assert_eq!(done.code, 0, "{kind}: {done:?}");
    assert_ne!(see(&place), before, "{kind} has changed something");
    let back = place.rollback();
    assert_eq!(back.code, 5, "{kind}: {back:?}");
    assert_eq!(see(&place), before, "{kind}: {back:?}");
}

/// That the row tells the truth of its kind.
fn prove(Row(kind, settings, proof): &Row) {
    let sample = settings.replace('@', "/srv").replace('%', "80");
    let action: Do = serde_json::from_str(&format!(r#"{{"{kind}": {sample}}}"#))
        .unwrap_or_else(|e| panic!("{kind}: {e}"));
    let has_undo = action.kind_of().properties().has_undo;
    assert_eq!(has_undo, !matches!(proof, NoUndo), "{kind} has an undo");
    match proof {
        NoUndo => {}
        Here { make, see } => comes_back(kind, settings, *make, *see),
        In { file, test } => {
            let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
            let text = std::fs::read_to_string(tests.join(file)).expect("readable");
            let from = text.find(&format!("\nfn {test}()"));
            let body = from.and_then(|at| text[at..].split("\n}").next());
            // Its own `back` or `rollback` ends in that of the world.
            let rolls_back = body.is_some_and(|b| b.contains("back()"));
            assert!(
                rolls_back,
                "{kind}: {file} has no test {test} that rolls back"
            );
        }
    }
}

#[test]
fn each_undo_works_from_the_ledger_and_the_bytes_that_it_names() {
    let mut families: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for kind in Do::KINDS {
        let rows: Vec<&Row> = ROWS.iter().filter(|Row(of, ..)| of == kind).collect();
        let [row] = rows[..] else {
            panic!(
                "{kind} has {} rows in this table, and needs one",
                rows.len()
            );
        };
        let family = kind.split('.').next().unwrap_or(kind);
        families.entry(family).or_default().push(row);
    }
    // They mostly wait. Those of one family may see each other's processes.
    std::thread::scope(|scope| {
        for rows in families.into_values() {
            scope.spawn(move || rows.into_iter().for_each(prove));
        }
    });
}

#[test]
fn what_no_event_names_is_forgotten_and_what_one_names_stays() {
    let place = Place::new();
    file(&place);
    let step = r#"{id: it, do: {file.replace: {path: @/file, content: new}}}"#;
    assert_eq!(place.run(&[step]).code, 0);
    let undo = place.state().join("undo");
    std::fs::write(undo.join("of-nobody"), "").expect("written");
    std::fs::create_dir(undo.join("a-note")).expect("made");
    place.forget_unnamed();
    let left: Vec<_> = std::fs::read_dir(&undo).expect("undo").flatten().collect();
    let [kept] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(
        std::fs::read(kept.path()).expect("readable"),
        b"A=1\r\nDEBUG=1\n\nno end"
    );
}
