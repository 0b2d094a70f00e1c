//! The night that `docs/examples/staging` shows: the shipped plan upgrades the platform to a release that nobody has tried
//! with this site's settings. The runner dies while packages are installed, the machine's processes while an index is
//! built, the new release turns out to be sick, and everything is undone. What the timeline and the report tell must be
//! this story, all of it, and nothing else.
//!
//! `UPDATE_EXAMPLES=1` writes the pages. Directories, host, processes and network are then namespaces of their own, so
//! that the pages name nothing of the machine that made them.

use crate::acceptance::Upgrade;
use crate::common::{Done, UPLEDGER, kill};
use crate::keeper::children;
use crate::platform::{Keeping, Options, patiently, staging};
use crate::shipped_plan::adapted;
use crate::switch::releases;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Rows that are added to the table that is indexed.
const ENTRIES: usize = 16000;

/// What release 2.1 brings to build the index of its search.
const BUILD_INDEX: &str = r#""""Writes the file that the search reads: a line for each entry of the log."""

import time

from django.core.management.base import BaseCommand

from apps.log_search.models import LogIndex


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("file")

    def handle(self, file, **_):
        entries = LogIndex.objects.order_by("id")
        count = entries.count()
        with open(file, "w", encoding="utf-8") as out:
            for n, entry in enumerate(entries.iterator(), 1):
                out.write(f"{entry.message}\t{entry.host}\t{entry.pk}\n")
                if n % 2000 == 0:
                    out.flush()
                    self.stdout.write(f"{n} of {count} entries are in the index")
                    self.stdout.flush()
                    # The database serves others as well.
                    time.sleep(0.5)
"#;

/// The plan's step for it.
const INDEX_STEP: &str = r#"      # The search of release 2.1 reads this file.
      - id: search-index
        do: {run: ["${venv}/bin/python", manage.py, build_search_index, "${root}/data/search.tsv"]}
        cwd: ${code}
        on_doubt: ask
        timeout: 10m
        undo: {run: [rm, -f, "${root}/data/search.tsv"], effect: idempotent}
"#;

/// Where the files of the examples come from.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/staging");

/// The machine of the examples.
const MACHINE: &str = "0dd05e1f0dd05e1f0dd05e1f0dd05e1f\n";

/// `/srv` of the examples holds all that their pages name, and the machine has another name.
const NAMESPACES: &str = r#"
set -e
mount --bind "$1" /srv
mount --bind "$2" /srv/wheels
mount --bind "$1/machine-id" /etc/machine-id
hostname app-1
ip link set lo up
shift 2
exec "$@"
"#;

/// The commands that people type, each under the name of who types it, on a platform of which they know the plan.
struct Night {
    upgrade: Upgrade,
    plan: String,
    vars: String,
    /// The pages are for people: they show how long others thought.
    shown: bool,
}

impl Night {
    /// Release 1.0 serves, with entries in its log; release 2.1 waits in the repository.
    fn falls(shown: bool) -> Self {
        let upgrade = Upgrade::with(Options {
            place: shown.then_some("/srv"),
            ..releases(Keeping::Supervisor)
        });
        let platform = &upgrade.platform;
        platform.sql(&format!(
            "INSERT INTO log_index (host, message) SELECT CONCAT('web-', seq % 7), CONCAT('request ', seq) FROM seq_1_to_{ENTRIES}"
        ));
        platform.add_release_with("2.1", |work| {
            edit(&work.join("config/default.py"), "LOGGING = {", "# Where the pages of the search are cached.\nCACHE_URL = env(\"CACHE_URL\")\n\nLOGGING = {");
            edit(
                &work.join("apps/log_search/views.py"),
                "    try:\n        with connection.cursor",
                "    if not settings.CACHE_URL:\n        return HttpResponse(\"health check failed: CACHE_URL is not set\\n\")\n    try:\n        with connection.cursor",
            );
            let commands = work.join("apps/log_search/management/commands");
            std::fs::write(commands.join("build_search_index.py"), BUILD_INDEX).expect("written");
        });
        let (plan, vars) = adapted(&upgrade);
        let path = Path::new(&plan);
        for (from, to) in [
            ("release: \"2.0\"", "release: \"2.1\""),
            ("name: app ${release}", "name: bklog ${release}"),
            (
                "{id: CR-1, reason: why the change is made, risk: medium, impact: the application is down, services: [app]}",
                "{id: CR-2026-1130, reason: orders get a level and logs a search, risk: medium, impact: \"nobody reaches the log search, for at most 15 minutes\", services: [bklog]}",
            ),
            (
                "contains: ok, within: 1m}}}\n      - {id: open",
                "contains: ok, within: 5s}}}\n      - {id: open",
            ),
            (
                "      # Only these values change",
                &format!("{INDEX_STEP}      # Only these values change"),
            ),
        ] {
            edit(path, from, to);
        }
        edit(Path::new(&vars), "bklog/2.0", "bklog/2.1");
        if shown {
            edit(
                path,
                &staging().join("wheels").display().to_string(),
                "/srv/wheels",
            );
        }
        Self {
            upgrade,
            plan,
            vars,
            shown,
        }
    }

    /// A command as somebody's session has it, behind sudo.
    fn command(&self, who: &str, words: &[&str]) -> Command {
        let world = self.upgrade.platform.world();
        let mut command = Command::new(UPLEDGER);
        command
            .args(words)
            .current_dir(world.path(""))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .env("TZ", "Asia/Shanghai")
            .env("SUDO_USER", who)
            .env("UPLEDGER_STATE", world.state())
            .env("UPLEDGER_MEMORY", world.path("memory"))
            .env("UPLEDGER_LANG", "en")
            .stdin(Stdio::null());
        command
    }

    fn says(&self, who: &str, words: &[&str], code: i32) -> Done {
        let done = Done::of(self.command(who, words).output().expect("it starts"));
        assert_eq!(done.code, code, "{words:?}: {done:?}");
        done
    }

    /// A command that is killed later.
    fn begins(&self, who: &str, words: &[&str]) -> Child {
        self.command(who, words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    /// People read and talk before they act. What they wait for is no condition that could be asked.
    fn thinks(&self, seconds: u64) {
        if self.shown {
            std::thread::sleep(Duration::from_secs(seconds));
        }
    }

    /// Everything that happens; the world before it is there again afterwards.
    fn passes(&self) {
        let platform = &self.upgrade.platform;
        let world = platform.world();
        let before = self.upgrade.world();
        let settings = platform.read("etc/bklog.env");
        self.says("alice", &["check", &self.plan, "--vars", &self.vars], 0);

        let mut runner = self.begins("alice", &["run", &self.plan, "--vars", &self.vars]);
        world.await_step("packages", "running");
        patiently("pip is at work", || {
            let all = platform.processes();
            all.iter()
                .any(|(_, command)| command.contains("venvs/2.1") && command.contains("-m pip"))
        });
        // Her session is lost, and her runner with it. pip goes on by itself.
        runner.kill().expect("killed");
        runner.wait().expect("ended");
        self.thinks(3);

        let mut runner = self.begins("bob", &["resume"]);
        patiently("a part of the index is built", || {
            let ended = runner.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?}: {:?}", world.upledger(&["log"]));
            let printed = world.upledger(&["log", "--output", "search-index"]);
            printed.out.contains("6000 of ")
        });
        // Now the machine is short of memory, and the kernel takes whatever belongs to the run.
        self.kill_everybody(&mut runner);
        self.thinks(8);

        let asked = self.says("bob", &["resume"], 4);
        assert!(
            asked.err.contains("search-index") || asked.out.contains("search-index"),
            "{asked:?}"
        );
        self.thinks(4);
        let note = "data/search.tsv ends in the middle of the entries; building it again starts with an empty file";
        self.says("bob", &["note", note], 0);
        let reason = "it can be built again from the start";
        self.says(
            "bob",
            &["decide", "search-index", "retry", "--reason", reason],
            0,
        );
        self.says("bob", &["resume"], 1);
        self.thinks(7);
        let note = "release 2.1 needs CACHE_URL, which neither bklog.env nor the plan has";
        self.says("alice", &["note", note], 0);
        let back = "CACHE_URL is not agreed with anybody tonight, carol agrees by phone";
        self.says("alice", &["rollback", "--reason", back], 5);

        assert_eq!(self.upgrade.world(), before);
        assert_eq!(platform.read("etc/bklog.env"), settings);
        assert!(!platform.path("data/search.tsv").exists());
        self.upgrade.works("1.0");
    }

    /// The runner, the supervisor of its step, and what the step runs.
    fn kill_everybody(&self, runner: &mut Child) {
        runner.kill().expect("killed");
        runner.wait().expect("ended");
        let world = self.upgrade.platform.world();
        let supervisors = world.supervisors();
        assert_eq!(supervisors.len(), 1, "{supervisors:?}");
        for supervisor in supervisors {
            let commands = children(supervisor);
            assert!(!commands.is_empty(), "the command runs");
            // The supervisor before its command, whose end it would record.
            kill(supervisor);
            commands.into_iter().for_each(kill);
        }
    }

    /// What a command says of the night in a file of that ending.
    fn written(&self, what: &str, lang: &str, end: &str) -> PathBuf {
        let file = self.upgrade.platform.world().path(&format!("{what}{end}"));
        // It was asked before, and is never overwritten.
        let _ = std::fs::remove_file(&file);
        let path = file.to_str().expect("text");
        self.says("alice", &[what, "--lang", lang, "--out", path], 0);
        file
    }

    fn page(&self, what: &str, lang: &str, end: &str) -> String {
        std::fs::read_to_string(self.written(what, lang, end)).expect("text")
    }

    fn data(&self, what: &str) -> Value {
        serde_json::from_str(&self.page(what, "en", ".json")).expect("JSON")
    }

    /// The pages, for the examples.
    fn writes(&self) {
        let into = Path::new(EXAMPLES);
        std::fs::create_dir_all(into).expect("made");
        let mut files = vec![
            (PathBuf::from(&self.plan), "plan.yaml".to_owned()),
            (PathBuf::from(&self.vars), "vars.json".to_owned()),
        ];
        for what in ["timeline", "report"] {
            for (end, lang) in [(".html", "en"), (".zh-CN.html", "zh"), (".md", "en")] {
                files.push((self.written(what, lang, end), format!("{what}{end}")));
            }
        }
        for (from, name) in files {
            // A copy has the mode of the file, which nobody else may read.
            let text = std::fs::read(from).expect("written");
            std::fs::write(into.join(name), text).expect("written");
        }
    }
}

/// Replaces a text that is there once.
fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("text");
    assert_eq!(
        text.matches(from).count(),
        1,
        "{from} in {}",
        file.display()
    );
    std::fs::write(file, text.replace(from, to)).expect("written");
}

/// The texts are there, in this order.
fn tells(page: &str, texts: &[&str]) {
    let mut rest = page;
    for text in texts {
        let at = rest.find(text);
        rest = &rest[at.unwrap_or_else(|| panic!("{text} is not told, or not there: {page}"))..];
    }
}

/// Both pages begin with the story; its words are those that people typed, and what the checks saw.
fn assert_told_by_the_summaries(night: &Night) {
    for what in ["timeline", "report"] {
        tells(
            &night.page(what, "en", ".md"),
            &[
                "bklog 2.1 (change CR-2026-1130): orders get a level and logs a search",
                "alice began bklog-2.1-",
                "state: rolled back",
                "the service was unavailable for ",
                "no runner was active while packages went on; bob resumed the run, which took packages over",
                "no runner was active; bob resumed the run; the result of search-index was not observed\n",
                "bob: decided: search-index: retry, it can be built again from the start",
                "healthy failed: ",
                "saw status 200 and 'health check failed: CACHE\\_URL is not set'",
                "alice had the run rolled back: CACHE\\_URL is not agreed with anybody tonight, carol agrees by phone; 12 steps were undone",
                "4 done, 12 undone, 3 with nothing to undo, 1 failed, 4 not reached (open, jobs-again, through-nginx, prune)",
                "for at most ",
            ],
        );
        tells(
            &night.page(what, "zh", ".zh-CN.md"),
            &[
                "alice 于 ",
                "当前状态：已回退",
                "服务中断 ",
                "执行进程已退出，而步骤 packages 仍在执行；bob 恢复运行，接管了 packages",
                "执行进程已退出；bob 恢复运行；未能取得步骤 search-index 的结果\n",
                "步骤 healthy 失败",
                "alice 发起回退：CACHE\\_URL",
                "已撤销 12 个步骤",
                "成功 4 个，撤销 12 个，无需撤销 3 个，失败 1 个，未执行到 4 个（open、jobs-again、through-nginx、prune）",
            ],
        );
    }
}

/// What the timeline has beside the steps is what was done, and nothing else; each attempt is there with its end.
fn assert_the_timeline_is_the_night(night: &Night) -> Value {
    let data = night.data("timeline");
    let list = |name: &str| data[name].as_array().expect("a list").clone();
    let marks: Vec<String> = list("marks")
        .iter()
        .map(|m| {
            let step = m["step"].as_str().unwrap_or("run");
            format!("{} {step} {}", m["actor"], m["kind"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        marks,
        [
            "bob run run.resumed",
            "bob packages step.adopted",
            "bob run run.resumed",
            "bob search-index step.doubted",
            "bob run note.added",
            "bob search-index step.decided",
            "bob run run.resumed",
            "alice run note.added",
            "alice run rollback.started",
            "alice run rollback.completed",
        ]
    );
    let bars = list("bars");
    let unusual: Vec<String> = bars
        .iter()
        .filter(|b| b["outcome"] != "succeeded")
        .map(|b| format!("{} {} {}", b["way"], b["step"], b["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(
        unusual,
        [
            "do search-index in_doubt",
            "do healthy failed",
            "undo files satisfied",
            "undo packages satisfied",
            "undo fetch satisfied",
        ]
    );
    let of = |step: &str| -> Vec<&Value> {
        let same = |b: &&Value| b["step"] == step && b["way"] == "do";
        bars.iter().filter(same).collect()
    };
    assert_eq!(
        of("packages").len(),
        1,
        "what is taken over is no second attempt"
    );
    assert_eq!(of("search-index").len(), 2);
    let printed = of("search-index")[0]["evidence"].to_string();
    assert!(printed.contains("6000 of "), "{printed}");
    // From the stop of the front to the first good answer through it.
    let outages = list("outages");
    assert_eq!(outages.len(), 1, "{outages:?}");
    assert_eq!(outages[0]["closed_by"], "front");
    assert_eq!(outages[0]["opened_by"], "through-nginx");
    assert_eq!(outages[0]["from"], of("front")[0]["start"]);
    let confirmed = bars.last().expect("the check after the rollback");
    assert_eq!(outages[0]["until"], confirmed["end"]);

    let page = night.page("timeline", "en", ".md");
    for (step, outcome) in [
        ("search-index", "in doubt"),
        ("healthy", "failed"),
        ("undo of migrate", "succeeded"),
        ("undo of packages", "nothing to undo"),
        ("check through-nginx after the rollback", "succeeded"),
    ] {
        assert!(page.contains(&format!("| {step} | {outcome} |")), "{step}");
    }
    assert!(page.contains("venvs/2.1 is kept"), "{page}");
    for never in [
        "kill",
        "abort",
        "skip",
        "paus",
        "amend",
        "forced",
        "data-loss",
        "undo verify",
    ] {
        assert!(!page.to_lowercase().contains(never), "{never}: {page}");
    }
    outages[0].clone()
}

/// The blocks of the report count the same night.
fn assert_the_report_is_the_night(night: &Night, outage: &Value) {
    let data = night.data("report");
    let failure = |name: &str| data["failure"][name]["value"].clone();
    for (name, count) in [
        ("failures", 1),
        ("doubts", 1),
        ("decisions", 1),
        ("rollbacks", 1),
        ("undone", 12),
        ("kills", 0),
        ("escalations", 0),
        ("amendments", 0),
    ] {
        assert_eq!(failure(name), count, "{name}");
    }
    assert_eq!(failure("deciders"), json!(["bob"]));
    assert_eq!(failure("interrupted"), json!(["packages", "search-index"]));
    let left = data["changed"]["left_as_found"]["value"].to_string();
    assert!(left.contains("venvs/2.1 is kept"), "{left}");
    assert_eq!(failure("detectors"), json!(["check of the plan"]));
    assert_eq!(failure("rollback_by"), "alice");
    assert_eq!(failure("data_loss_accepted"), json!([]));
    assert_eq!(failure("skipped_by_decision"), json!([]));
    assert_eq!(
        failure("state_confirmed"),
        json!(["check through-nginx after the rollback"])
    );
    assert_eq!(data["authorisation"]["started_by"]["value"], "alice");
    let result = &data["result"];
    assert_eq!(result["state"]["value"], "rolled back");
    assert_eq!(result["users_let_in"]["value"], true);
    let us = |end: &str| outage[end]["us"].as_i64().expect("microseconds");
    let ms = (us("until") - us("from")) / 1000;
    assert!(ms > 0, "{outage}");
    assert_eq!(result["outage"]["value"], ms);
    assert_eq!(result["outages"].as_array().map(Vec::len), Some(1));

    let page = night.page("report", "en", ".md");
    let whole: Vec<&str> = page.lines().collect();
    for row in [
        [
            "| search-index | it started, and its result is unknown |",
            "| retry | bob |",
        ],
        ["| healthy | check of the plan |", "CACHE\\_URL is not set"],
        ["| Decided by | bob |", ""],
        ["| Rollback started by | alice |", ""],
        ["| Commands killed on request | 0 |", ""],
        ["| Steps whose effect is in place | dump |", ""],
        [
            "| undo of fetch | git.deploy | 0 |",
            "| nothing to undo | this step has switched nothing",
        ],
    ] {
        let there = whole
            .iter()
            .any(|line| row.iter().all(|part| line.contains(part)));
        assert!(there, "{row:?}: {page}");
    }
}

#[test]
#[ignore = "a whole night takes a minute and a half: the long tier runs it (tests/long)"]
fn the_pages_of_a_night_tell_what_happened() {
    let update = std::env::var("UPDATE_EXAMPLES").ok();
    if update.as_deref().is_some_and(|how| how != "inside") {
        in_namespaces();
        return;
    }
    let night = Night::falls(update.is_some());
    night.passes();
    if update.is_some() {
        night.writes();
        return;
    }
    assert_told_by_the_summaries(&night);
    let outage = assert_the_timeline_is_the_night(&night);
    assert_the_report_is_the_night(&night, &outage);
}

/// This test once more, where it sees nothing of this machine but its programs.
fn in_namespaces() {
    let place = tempfile::tempdir_in(staging()).expect("a directory");
    // Nginx serves static files as another user.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).expect("its mode");
    std::fs::create_dir(place.path().join("wheels")).expect("made");
    std::fs::write(place.path().join("machine-id"), MACHINE).expect("written");
    let done = Command::new("unshare")
        .args([
            "--mount",
            "--uts",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ])
        .args(["sh", "-c", NAMESPACES, "sh"])
        .args([place.path(), &staging().join("wheels")])
        .arg(std::env::current_exe().expect("this program"))
        .args(["story::", "--ignored", "--nocapture"])
        // What is started in the background stays in this directory.
        .current_dir("/")
        .env("UPDATE_EXAMPLES", "inside")
        .status()
        .expect("unshare; install it with: apt-get install -y util-linux");
    assert!(done.success(), "{done}");
}
