//! `git.deploy`, `process.start` and `http.check` in one plan: a small real upgrade by the real binary, and its rollback.

use crate::common::{World, kill};
use crate::ports::free_port;
use std::process::Command;

const PLAN: &str = r#"
upledger: 1
name: release ${to}
vars: {to: app/2.0, port: %}
phases:
  - phase: upgrade
    steps:
      - id: stop
        do: {process.stop: {pidfile: @/pid, port: "${port}"}}
      - id: code
        do: {git.deploy: {repo: @/source, ref: "${to}", into: @/app, version_file: {path: health, contains: "2.0"}}}
      - id: web
        do:
          process.start:
            argv: [python3, -m, http.server, --bind, 127.0.0.1, --directory, @/app, "${port}"]
            pidfile: @/pid
            log: @/log
            ready: {port: "${port}"}
      - id: healthy
        do: {http.check: {url: "http://127.0.0.1:${port}/health", contains: EXPECTED, json: {/version: "2.0"}, within: 1s}}
"#;

/// Ends the server of the test, whatever became of the test.
struct Site(World);

impl Drop for Site {
    fn drop(&mut self) {
        let text = std::fs::read(self.0.path("pid")).unwrap_or_default();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if let Some(pid) = record["pid"].as_i64().and_then(|p| i32::try_from(p).ok()) {
            kill(pid);
        }
    }
}

fn git(world: &World, words: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words)
        .current_dir(world.path("source"))
        .output()
        .expect("git; install it with: apt-get install -y git");
    assert!(done.status.success(), "{words:?}: {done:?}");
}

fn site(expected: &str) -> Site {
    let world = World::new();
    std::fs::create_dir(world.path("source")).expect("made");
    git(&world, &["init", "-q", "-b", "main"]);
    for version in ["1.0", "2.0"] {
        world.write(
            "source/health",
            &format!(r#"{{"state": "good", "version": "{version}"}}"#),
        );
        git(&world, &["add", "-A"]);
        git(&world, &["commit", "-q", "-m", version]);
        git(&world, &["tag", &format!("app/{version}")]);
    }
    let port = free_port().to_string();
    let plan = PLAN.replace('%', &port).replace("EXPECTED", expected);
    world.write("plan.yaml", &plan);
    Site(world)
}

#[test]
fn a_release_is_deployed_started_checked_and_taken_back() {
    let site = site("good");
    let world = &site.0;
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("HEAD is"), "{done:?}");
    let log = world.upledger(&["log", "--json"]).out;
    assert!(
        log.contains("as expected; saw status 200"),
        "the check was run: {log}"
    );
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(!world.path("pid").exists() && !world.path("app").exists());
    world.assert_sound();
}

#[test]
fn a_health_page_that_answers_200_with_the_wrong_text_stops_the_run() {
    let site = site("excellent");
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out.contains("the text 'excellent' is missing (within 1 s)\n  saw status 200 and '{\"state\": \"good\""),
        "{done:?}"
    );
}

#[test]
fn a_look_over_http_serves_as_the_evidence_of_another_step() {
    let site = site("good");
    let world = &site.0;
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let plan = std::fs::read_to_string(world.path("plan.yaml")).expect("readable");
    let (head, _) = plan
        .split_once("      - id: stop")
        .expect("the plan's head");
    let head = head.replace("to: app/2.0, ", "").replace("${to}", "x");
    let step = |text: &str| {
        format!(
            "{head}      - {{id: touch, do: {{run: [touch, @/x]}}, on_doubt: ask, undo: none, verify: {{http.check: {{url: 'http://127.0.0.1:${{port}}/health', contains: {text}, within: 0s}}}}}}\n"
        )
    };
    world.write("plan.yaml", &step("good"));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    world.write("plan.yaml", &step("bad"));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("verification failed"), "{done:?}");
}
