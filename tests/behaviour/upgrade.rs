//! A small platform upgraded by typed actions alone. The runner is killed with SIGKILL after every third record (in the
//! long tier after every one), forwards and backwards, and resumed: the same end, no double effect.

use crate::common::{World, for_each_record};
use crate::ports::free_port;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// A server that leaves a line at each start and answers with the release that its directory holds.
const SERVER: &str = r#"
import http.server, sys
release = open(sys.argv[2] + "/release").read().strip()
open(sys.argv[3], "a").write("start " + release + "\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(sys.argv[4]).read().encode()
        self.send_response(200); self.end_headers(); self.wfile.write(release.encode() + b" " + body)
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

const PLAN: &str = r#"
upledger: 1
name: platform RELEASE
vars: {dir: "@", port: "PORT"}
phases:
  - phase: stop
    steps:STOP
      - {id: silent, do: {expect.port: {port: "${port}", open: false}}}
  - phase: code
    steps:
      - {id: code, do: {git.deploy: {repo: "${dir}/repo", ref: v/RELEASE, into: "${dir}/app"}}}
      - {id: conf, do: {file.replace: {path: "${dir}/app.conf", content: "greeting = hello\nlevel = RELEASE\n"}}}
      - {id: level, do: {file.line: {path: "${dir}/app.conf", match: "^greeting", line: "greeting = RELEASE"}}}
      - {id: copy, do: {file.backup: {path: "${dir}/app.conf"}}}
  - phase: start
    steps:
      - {id: start, do: {process.start: {argv: [python3, "${dir}/server.py", "${port}", "${dir}/app", "${dir}/starts", "${dir}/app.conf"], pidfile: "${dir}/pid", log: "${dir}/log", ready: {port: "${port}"}}}}
      - {id: answers, do: {http.check: {url: "http://127.0.0.1:${port}/", contains: "RELEASE", within: 10s}}}
"#;

const STOP: &str = r#"
      - {id: stop, do: {process.stop: {pidfile: "${dir}/pid", port: "${port}", grace: 5s}}}"#;

struct Platform {
    world: World,
    port: u16,
}

impl Drop for Platform {
    fn drop(&mut self) {
        let text = std::fs::read(self.world.path("pid")).unwrap_or_default();
        let pidfile: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if let Some(pid) = pidfile["pid"].as_i64().and_then(|p| i32::try_from(p).ok()) {
            crate::common::kill(pid);
        }
    }
}

fn git(world: &World, args: &[&str]) {
    let done = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "-c",
            "init.defaultBranch=main",
        ])
        .arg("-C")
        .arg(world.path("repo"))
        .args(args)
        .output()
        .expect("git; install it with: apt-get install -y git");
    assert!(done.status.success(), "{done:?}");
}

/// A platform at release 1 that answers.
fn platform() -> Platform {
    let world = World::new();
    let port = free_port();
    std::fs::create_dir(world.path("repo")).expect("made");
    git(&world, &["init", "--quiet"]);
    for release in ["1", "2"] {
        world.write("repo/release", release);
        git(&world, &["add", "."]);
        git(&world, &["commit", "--quiet", "-m", release]);
        git(&world, &["tag", &format!("v/{release}")]);
    }
    std::fs::write(world.path("server.py"), SERVER).expect("written");
    for (name, release, stop) in [("install.yaml", "1", ""), ("upgrade.yaml", "2", STOP)] {
        let plan = PLAN
            .replace("STOP", stop)
            .replace("RELEASE", release)
            .replace("PORT", &port.to_string());
        world.write(name, &plan);
    }
    let done = world.upledger(&["run", "install.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    Platform { world, port }
}

impl Platform {
    /// What it answers over HTTP.
    fn answer(&self) -> String {
        use std::io::{Read, Write};
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()
    }

    fn is_at(&self, release: &str, starts: &[&str]) {
        let greeting = if release == "1" { "1" } else { "2" };
        assert_eq!(
            self.answer(),
            format!("{release} greeting = {greeting}\nlevel = {release}\n")
        );
        assert_eq!(self.world.lines("starts"), starts);
    }

    /// Runs a command with the runner killed after a record; false when there were fewer.
    fn killed_after(&self, args: &[&str], record: u32) -> bool {
        let mut command = self.world.command(args);
        let done = command
            .env("UPLEDGER_FAILPOINT", format!("append:{record}"))
            .output();
        done.expect("the program starts").status.signal() == Some(9)
    }
}

/// From one record that is killed after to the next. The long tier takes each (`UPLEDGER_EVERY_RECORD=1`); the golden
/// plan in `torture.rs` is always killed after each.
fn stride() -> u32 {
    match std::env::var_os("UPLEDGER_EVERY_RECORD") {
        Some(_) => 1,
        None => 3,
    }
}

#[test]
fn forwards_killed_after_every_third_record() {
    let kills = for_each_record(stride(), |record| {
        let platform = platform();
        if !platform.killed_after(&["run", "upgrade.yaml"], record) {
            platform.is_at("2", &["start 1", "start 2"]);
            return false;
        }
        let done = platform.world.upledger(&["resume"]);
        if done.code == 13 {
            let state = platform.world.status();
            let begun = state["plan"] == "platform 2";
            assert_eq!(begun, state["state"] == "completed" && begun, "{state}");
            if !begun {
                assert_eq!(platform.world.upledger(&["run", "upgrade.yaml"]).code, 0);
            }
        } else {
            assert_eq!(done.code, 0, "after record {record}: {done:?}");
        }
        platform.is_at("2", &["start 1", "start 2"]);
        true
    });
    assert!(kills >= 19, "only {kills} records were reached");
}

#[test]
fn backwards_killed_after_every_third_record() {
    let kills = for_each_record(stride(), |record| {
        let platform = platform();
        assert_eq!(platform.world.upledger(&["run", "upgrade.yaml"]).code, 0);
        let run = platform.world.status()["run"]
            .as_str()
            .expect("a run")
            .to_owned();
        let back = ["rollback", &run, "--reason", "test"];
        let reached = platform.killed_after(&back, record);
        if reached {
            let mut code = platform.world.upledger(&["resume", &run]).code;
            let state = platform.world.upledger(&["status", &run, "--json"]).out;
            if code == 13 && state.contains(r#""state":"completed""#) {
                // Killed before the rollback was recorded.
                code = platform.world.upledger(&back).code;
            }
            let over = code == 13 && state.contains(r#""state":"rolled back""#);
            assert!(
                code == 5 || over,
                "after record {record}: exit {code}: {state}"
            );
        }
        platform.is_at("1", &["start 1", "start 2", "start 1"]);
        reached
    });
    assert!(kills >= 12, "only {kills} records were reached");
}

/// Every file below a directory with its content and times, git's own lock-free housekeeping included.
fn tree(
    dir: &std::path::Path,
) -> std::collections::BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut found = std::collections::BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let meta = std::fs::symlink_metadata(&path).expect("there");
            if meta.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap_or_default();
                found.insert(
                    path.display().to_string(),
                    (bytes, meta.modified().expect("a time")),
                );
            }
        }
    }
    found
}

#[test]
fn the_preview_changes_nothing_and_predicts_the_run() {
    let platform = platform();
    let world = &platform.world;
    let before = tree(&world.path(""));
    let shown = world.upledger(&["plan", "upgrade.yaml"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown.out.contains("-greeting = 1") && shown.out.contains("+greeting = hello"),
        "{}",
        shown.out
    );
    let json = world.upledger(&["plan", "upgrade.yaml", "--json"]);
    assert_eq!(tree(&world.path("")), before, "nothing was written");
    platform.is_at("1", &["start 1"]);

    let verdicts = |done: &crate::common::Done| -> Vec<(String, String)> {
        let text = done.out.lines().last().unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let steps = value["steps"].as_array().expect("steps").clone();
        let word = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        steps
            .iter()
            .map(|s| (word(&s["step"]), word(&s["verdict"])))
            .collect()
    };
    let runs = |verdicts: &[(String, String)]| -> Vec<String> {
        verdicts
            .iter()
            .filter(|(_, v)| v != "already")
            .map(|(s, _)| s.clone())
            .collect()
    };
    let made = || -> Vec<String> {
        let run = world.status()["run"].as_str().expect("a run").to_owned();
        let log = world.upledger(&["log", &run, "--json"]).out;
        log.lines()
            .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
            .filter(|e| e["kind"] == "step.started")
            .map(|e| {
                e["data"]["at"]["part"]["step"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    };
    let predicted = runs(&verdicts(&json));
    assert_eq!(world.upledger(&["run", "upgrade.yaml"]).code, 0);
    assert_eq!(made(), predicted);

    // The same plan where nothing is stopped first: what is there already is not done again.
    let same = world.write(
        "same.yaml",
        &std::fs::read_to_string(world.path("upgrade.yaml"))
            .expect("there")
            .replace(
                "      - {id: stop, do: {process.stop",
                "      - {id: stop, when: {var: port, is: never}, do: {process.stop",
            )
            .replace("open: false", "open: true"),
    );
    let same = same.display().to_string();
    let verdicts = verdicts(&world.upledger(&["plan", &same, "--json"]));
    let code = verdicts.iter().find(|(s, _)| s == "code").expect("a step");
    assert_eq!(code.1, "already", "{verdicts:?}");
    let predicted: Vec<String> = verdicts
        .iter()
        .filter(|(_, v)| !["already", "left_out"].contains(&v.as_str()))
        .map(|(s, _)| s.clone())
        .collect();
    let done = world.upledger(&["run", &same]);
    assert_eq!(done.code, 0, "{done:?}");
    let started = made();
    let sure = |word: &str| {
        verdicts
            .iter()
            .filter(|(_, v)| v == word)
            .map(|(s, _)| s)
            .collect::<Vec<_>>()
    };
    let sure = [sure("run"), sure("change")].concat();
    assert!(!sure.is_empty(), "{verdicts:?}");
    for step in sure {
        assert!(started.contains(step), "{step} was to run: {verdicts:?}");
    }
    assert!(
        started.iter().all(|s| predicted.contains(s)),
        "{started:?} {verdicts:?}"
    );
}
