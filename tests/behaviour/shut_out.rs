//! When users are shut out and let in again, in plans without a front: what they write is given up by a person alone, and the
//! timeline and the report tell every outage of the run and of its rollback.

use crate::common::{Done, World, kill};
use crate::ports::free_port;
use serde_json::Value;
use std::process::Command;

const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"good")
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

const BY: &str =
    r#"{process: {pidfile: "@/web.pid", argv: [python3, "@/server", "PORT"], log: "@/web.log"}}"#;
const UP: &str = "{id: up, do: {service.start: {by: BY, ready: {url: URL}}}}";
const STOP: &str = "{id: stop, do: {service.stop: {by: BY, port: PORT}}}";
const COPY: &str = r#"{id: copy, do: {dir.backup: {path: "@/data"}}}"#;
const CHANGE: &str = r#"{id: change, do: {shell: "echo 2 > @/data/schema"}, on_doubt: ask, undo: {dir.restore: {backup: copy}}}"#;
const START: &str = "{id: start, do: {service.start: {by: BY, ready: {url: URL}}}}";
const SERVES: &str = "{id: serves, do: {http.check: {url: URL, within: 10s}}}";
const NEVER: &str = "{id: works, do: {http.check: {url: URL, contains: better, within: 4s}}}";

/// A machine with a service that runs, and with what its users have written.
struct Shop(World, String);

impl std::ops::Deref for Shop {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let text = std::fs::read(self.path("web.pid")).unwrap_or_default();
        let pidfile: Value = serde_json::from_slice(&text).unwrap_or_default();
        if let Some(pid) = pidfile["pid"].as_i64().and_then(|p| i32::try_from(p).ok()) {
            kill(pid);
        }
    }
}

impl Shop {
    fn new() -> Self {
        let shop = Self(World::new(), free_port().to_string());
        shop.write("server", SERVER);
        std::fs::create_dir(shop.path("data")).expect("made");
        shop.write("data/schema", "1\n");
        shop.plan(&[UP]);
        let done = shop.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{done:?}");
        shop
    }

    fn plan(&self, steps: &[&str]) {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let plan = format!(
            "upledger: 1\nname: shop\non_failure: rollback\nphases:\n  - phase: all\n    steps:\n{steps}"
        );
        let plan = plan
            .replace("BY", BY)
            .replace("URL", "\"http://127.0.0.1:PORT/\"");
        self.write("plan.yaml", &plan.replace("PORT", &self.1));
    }

    fn row(&self) -> bool {
        self.path("data/row").exists()
    }

    fn back(&self, more: &[&str]) -> Done {
        self.upledger(&[&["rollback", "--reason", "test"], more].concat())
    }

    /// The timeline and the report, as an independent reader of the events finds them right.
    fn recomputed(&self) -> (Value, Value) {
        let run = self.status()["run"].as_str().expect("a name").to_owned();
        let export = self.upledger(&["export", "--jsonl"]);
        std::fs::write(self.path("events.jsonl"), export.out).expect("written");
        let both = ["timeline", "report"].map(|what| {
            let name = format!("{what}.json");
            let _ = std::fs::remove_file(self.path(&name));
            let done = self.upledger(&[what, "--format", "json", "--out", &name]);
            assert_eq!(done.code, 0, "{done:?}");
            let script = format!("{}/tests/behaviour/{what}.py", env!("CARGO_MANIFEST_DIR"));
            let said = Command::new("python3")
                .arg(script)
                .args([self.path("events.jsonl"), self.path(&name)])
                .arg(&run)
                .output()
                .expect("python3");
            assert_eq!(
                String::from_utf8_lossy(&said.stdout),
                "agrees\n",
                "{said:?}"
            );
            let text = std::fs::read_to_string(self.path(&name)).expect("written");
            serde_json::from_str(&text).expect("JSON")
        });
        let [timeline, report] = both;
        (timeline, report)
    }
}

/// By which step users were shut out and let in each time, and in which direction.
fn outages(timeline: &Value) -> Vec<(&str, &str, &str)> {
    let all = timeline["outages"].as_array().expect("outages").iter();
    all.map(|o| {
        let of = |key: &str| o[key].as_str().unwrap_or("-");
        (of("closed_by"), of("opened_by"), of("way"))
    })
    .collect()
}

fn micros(moment: &Value) -> i64 {
    moment["us"].as_i64().expect("a moment")
}

#[test]
fn what_users_wrote_while_a_check_waited_is_not_given_up_by_the_plan_itself() {
    let shop = Shop::new();
    shop.plan(&[STOP, COPY, CHANGE, START, NEVER]);
    let mut runner = shop.start(&["run", "plan.yaml"]);
    shop.await_step("start", "done");
    shop.write("data/row", "an order\n");
    assert_eq!(runner.wait().expect("it ends").code(), Some(1), "it asks");
    assert!(shop.row(), "the order is there");
    let refused = shop.back(&[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    for said in [
        "--accept-data-loss",
        "undoing change",
        "when start reopened the service",
    ] {
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
    assert!(shop.row());
    let done = shop.back(&["--accept-data-loss"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(!shop.row());

    let (timeline, report) = shop.recomputed();
    assert_eq!(
        outages(&timeline),
        [("stop", "start", "do"), ("start", "stop", "undo")]
    );
    let undone = report["execution"]["attempts"].as_array().expect("rows");
    let undone = undone.iter().find(|row| row["step"] == "undo of change");
    assert_eq!(undone.expect("it was undone")["action"], "dir.restore");
}

#[test]
fn before_users_are_let_in_the_plan_rolls_back_by_itself() {
    let shop = Shop::new();
    let fails = r#"{id: fails, do: {run: ["false"]}, effect: idempotent, undo: none}"#;
    shop.plan(&[STOP, COPY, CHANGE, fails, START]);
    let done = shop.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 5, "{done:?}");
    let (timeline, _) = shop.recomputed();
    assert_eq!(outages(&timeline), [("stop", "stop", "do")]);
}

#[test]
fn the_outage_of_a_rollback_is_told_beside_that_of_the_run_and_nobody_waits_between_them() {
    let shop = Shop::new();
    shop.plan(&[SERVES, STOP, COPY, CHANGE, START]);
    let done = shop.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    // Longer than what counts as a wait.
    std::thread::sleep(std::time::Duration::from_millis(1300));
    let done = shop.back(&["--accept-data-loss"]);
    assert_eq!(done.code, 5, "{done:?}");

    let (timeline, report) = shop.recomputed();
    assert_eq!(
        outages(&timeline),
        [("stop", "start", "do"), ("start", "stop", "undo")]
    );
    let ms = |o: &Value| (micros(&o["until"]) - micros(&o["from"])) / 1000;
    let all = timeline["outages"].as_array().expect("outages");
    let sum: i64 = all.iter().map(ms).sum();
    assert!(all.iter().all(|o| ms(o) > 0), "{all:?}");
    assert_eq!(report["result"]["outage"]["value"], sum);
    assert_eq!(timeline["waits"], serde_json::json!([]));

    // Each is said, and of which direction it is; and so are the steps that are not done any more.
    let said = |what: &str| {
        let summary = timeline["summary"].as_array().expect("lines").iter();
        let mut lines = summary.filter_map(Value::as_str);
        assert!(
            lines.any(|line| line.contains(what)),
            "{what}: {timeline:#}"
        );
    };
    said("2 times");
    said("in the rollback: ");
    said("the plan has 5 steps: 2 done, 3 undone; ");
    let runs = shop.upledger(&["runs"]);
    assert!(runs.out.contains(" 2/5 "), "{runs:?}");
    let page = shop.upledger(&["timeline", "--format", "md"]);
    let impact = page.out.matches("the service was unavailable for ").count();
    assert_eq!(impact, 2, "{page:?}");
}
