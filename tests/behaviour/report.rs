//! The compliance report of a run and the page of a period: every number is that of the events, what nothing says is absent,
//! what steps and people say is inert, and no control is said to be complied with.

use crate::common::{World, eventually, kill};
use crate::ports::free_port;
use jsonschema::Validator;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A web application that is stopped and started as Gunicorn is, which its file is named like.
const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"good")
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

const BY: &str =
    r#"{process: {pidfile: "@/web.pid", argv: [python3, "@/gunicorn", "PORT"], log: "@/web.log"}}"#;

const INSTALL: &str = r#"
upledger: 1
name: install
phases:
  - phase: all
    steps:
      - {id: up, do: {gunicorn.start: {by: BY, ready: {port: PORT}}}}
      - {id: serves, do: {http.check: {url: "http://127.0.0.1:PORT/", within: 10s}}}
"#;

const NIGHT: &str = r#"
upledger: 1
name: night
environment: production
change: {id: CR-7, reason: "<b>bold</b>", risk: low, impact: the shop is down, services: [shop]}
vars: {release: "2"}
phases:
  - phase: before
    steps:
      - {id: ready, do: {http.check: {url: "http://127.0.0.1:PORT/", within: 10s}}}
  - phase: stop
    steps:
      - {id: web, do: {gunicorn.stop: {by: BY}}}
  - phase: "work | phase"
    steps:
      - {id: copy, do: {file.backup: {path: "@/data", sha256: true}}}
      - {id: conf, do: {file.replace: {path: "@/app.conf", content: "level = 2\n"}}}
      - {id: slow, do: {shell: "echo slow >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
      - {id: fails, do: {shell: "printf '=cmd() <script>alert(2)</script> \\033]0;x\\007\\342\\200\\256evil\\n'; test -e @/fixed"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
      - {id: long, do: {shell: "echo long >> @/trace; exec sleep 60"}, on_doubt: ask, undo: {run: ["true"], effect: idempotent}}
  - phase: start
    steps:
      - {id: start, do: {gunicorn.start: {by: BY, ready: {port: PORT}}}}
      - {id: answers, do: {http.check: {url: "http://127.0.0.1:PORT/", within: 10s}}, after_rollback: true}
"#;

/// A machine with a web application that runs.
struct Shop(World);

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
        let shop = Self(World::new());
        let port = free_port().to_string();
        shop.write("gunicorn", SERVER);
        shop.write("data", "orders");
        for (name, plan) in [("install.yaml", INSTALL), ("night.yaml", NIGHT)] {
            shop.write(name, &plan.replace("BY", BY).replace("PORT", &port));
        }
        let done = shop.upledger(&["run", "install.yaml"]);
        assert_eq!(done.code, 0, "{done:?}");
        shop
    }

    fn name(&self) -> String {
        self.status()["run"].as_str().expect("a name").to_owned()
    }

    /// The night up to its middle: the runner and its supervisor are killed while a step runs.
    fn is_interrupted(&self) {
        let mut runner = self.start(&["run", "night.yaml"]);
        eventually("the slow step has begun", || {
            self.lines("trace") == ["slow"]
        });
        self.await_step("slow", "running");
        runner.kill().expect("it lives");
        runner.wait().expect("it is dead");
        for pid in self.supervisors() {
            kill(pid);
        }
        eventually("the supervisor is gone", || self.supervisors().is_empty());
    }

    /// The rest of it: a doubt that is decided, a failure, a command that is killed on request.
    fn goes_on(&self) {
        self.write("go", "");
        let trace = self.path("trace");
        eventually("the step has ended", || !is_open(&trace));
        assert_eq!(self.upledger(&["resume"]).code, 4);
        self.decides("slow", "done", "<i>seen</i>");
        assert_eq!(self.upledger(&["resume"]).code, 1);
        let said = "=HYPERLINK(\"http://x\") <img src=x onerror=alert(3)> | a ` b";
        assert_eq!(self.upledger(&["note", said]).code, 0);
        self.decides("fails", "retry", "again");
        self.write("fixed", "");
        let mut runner = self.start(&["resume"]);
        eventually("the long step has begun", || self.lines("trace").len() == 2);
        self.await_step("long", "running");
        let asked = self.upledger(&["kill-step", "--reason", "it takes too long"]);
        assert_eq!(asked.code, 0, "{asked:?}");
        assert_eq!(runner.wait().expect("it ends").code(), Some(1));
        self.decides("long", "skip", "not needed");
        let done = self.upledger(&["resume"]);
        assert_eq!(done.code, 0, "{done:?}");
    }

    fn decides(&self, step: &str, decision: &str, reason: &str) {
        let done = self.upledger(&["decide", step, decision, "--reason", reason]);
        assert_eq!(done.code, 0, "{done:?}");
    }

    /// A report in a format, as a file.
    fn written(&self, name: &str, args: &[&str]) -> String {
        let all = [&["report", "--out", name], args].concat();
        let done = self.upledger(&all);
        assert_eq!(done.code, 0, "{done:?}");
        std::fs::read_to_string(self.path(name)).expect("written")
    }

    /// The report for programs: as its schema says, and as the events say, by an independent reader.
    fn agrees(&self, name: &str, run: &str) -> Value {
        let report: Value = serde_json::from_str(&self.written(name, &[run])).expect("JSON");
        is_valid(&report);
        self.recomputed(name, &[run]);
        report
    }

    fn recomputed(&self, name: &str, more: &[&str]) {
        let export = self.upledger(&["export", "--jsonl"]);
        std::fs::write(self.path("events.jsonl"), export.out).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour/report.py");
        let said = Command::new("python3")
            .arg(script)
            .args([self.path("events.jsonl"), self.path(name)])
            .args(more)
            .output()
            .expect("python3");
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            "agrees\n",
            "{said:?}"
        );
    }
}

/// Somebody has the file open that a step writes to, or its shell still waits.
fn is_open(trace: &Path) -> bool {
    let dir = trace.parent().expect("a directory").display().to_string();
    let listed = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = listed.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    let waits = format!("echo slow >> {dir}/trace");
    lines
        .into_iter()
        .any(|line| String::from_utf8_lossy(&line).contains(&waits))
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/report.schema.json")).expect("JSON")
}

fn is_valid(written: &Value) {
    let schema: Validator = jsonschema::validator_for(&schema()).expect("a schema");
    let wrong: Vec<String> = schema
        .iter_errors(written)
        .map(|e| format!("{e} at {}", e.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn value<'a>(report: &'a Value, block: &str, field: &str) -> &'a Value {
    &report[block][field]["value"]
}

/// Elements are closed in the order in which they were opened, ids are unique, and links lead to one.
fn is_well_formed(world: &World, page: &str) {
    let script = r##"
import html.parser, sys
class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(); self.open = []; self.ids = []; self.links = []; self.tags = {}
    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        attrs = dict(attrs)
        if "id" in attrs: self.ids.append(attrs["id"])
        for name in ("href", "src"):
            if name in attrs: self.links.append(attrs[name])
        if any(name.startswith("on") for name in attrs): sys.exit(f"a handler: {attrs}")
        if tag not in ("meta", "br", "link"): self.open.append(tag)
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: sys.exit(f"{tag} at {self.getpos()} closes nothing")
reader = Reader()
reader.feed(open(sys.argv[1], encoding="utf-8").read())
reader.close()
if reader.open: sys.exit(f"never closed: {reader.open}")
if len(set(reader.ids)) != len(reader.ids): sys.exit(f"an id twice: {reader.ids}")
for link in reader.links:
    if not link.startswith("#") or link[1:] not in reader.ids: sys.exit(f"leads nowhere: {link}")
if "script" in reader.tags or "img" in reader.tags: sys.exit(f"{reader.tags}")
"##;
    let said = Command::new("python3")
        .args(["-c", script])
        .arg(world.path(page))
        .output()
        .expect("python3");
    assert!(said.status.success(), "{page}: {said:?}");
}

#[test]
fn a_night_with_all_that_can_go_wrong_is_told_with_its_proof_at_every_stage() {
    let shop = Shop::new();
    shop.is_interrupted();
    let run = shop.name();

    // Interrupted: users are out, an attempt is open, and nothing is made up about either.
    let report = shop.agrees("interrupted.json", &run);
    assert_eq!(value(&report, "result", "state"), "running");
    assert_eq!(*value(&report, "result", "ended_at"), Value::Null);
    assert_eq!(*value(&report, "result", "outage"), Value::Null);
    assert_eq!(*value(&report, "result", "users_let_in"), false);
    assert_eq!(*value(&report, "execution", "outcomes_recorded"), false);
    is_well_formed_in_all(&shop, "interrupted", &run);

    shop.goes_on();
    let report = shop.agrees("completed.json", &run);
    assert_eq!(value(&report, "result", "state"), "completed");
    assert!(value(&report, "result", "outage").as_u64().expect("ms") > 0);
    for (block, field, wanted) in [
        ("failure", "failures", 2),
        ("failure", "doubts", 1),
        ("failure", "decisions", 3),
        ("failure", "kills", 1),
        ("failure", "rollbacks", 0),
        ("tests", "backups_made", 1),
    ] {
        assert_eq!(*value(&report, block, field), wanted, "{block}.{field}");
    }
    let doubt = &report["failure"]["doubted_steps"][0];
    assert_eq!(
        (&doubt["step"], &doubt["decision"]),
        (&"slow".into(), &"done".into())
    );
    let detectors = value(&report, "failure", "detectors");
    assert_eq!(*detectors, serde_json::json!(["exit code", "operator"]));
    let skipped = value(&report, "failure", "skipped_by_decision");
    assert_eq!(*skipped, serde_json::json!(["long: not needed"]));
    assert_eq!(
        report["tests"]["backups"][0]["sha256"]
            .as_str()
            .map(str::len),
        Some(64)
    );
    let written = value(&report, "changed", "configuration").to_string();
    assert!(written.contains("app.conf"), "{written}");
    is_well_formed_in_all(&shop, "completed", &run);

    assert_eq!(shop.rollback().code, 5);
    let report = shop.agrees("back.json", &run);
    assert_eq!(value(&report, "result", "state"), "rolled back");
    assert_eq!(*value(&report, "failure", "rollbacks"), 1);
    assert_eq!(*value(&report, "failure", "rollback_reason"), "test");
    // The second time, users are out from the undo that stops the application to the check behind the one that starts it.
    assert_eq!(
        report["result"]["outages"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(*value(&report, "result", "users_let_in"), true);
    let confirmed = value(&report, "failure", "state_confirmed").to_string();
    assert!(confirmed.contains("answers"), "{confirmed}");
    assert_eq!(
        *value(&report, "changed", "in_place"),
        serde_json::json!(["copy"])
    );
    is_well_formed_in_all(&shop, "back", &run);

    // All runs on one page, and the same in the list of runs.
    let period = shop.written("period.json", &["--runs", ".."]);
    let period: Value = serde_json::from_str(&period).expect("JSON");
    is_valid(&period);
    shop.recomputed("period.json", &[]);
    let listed = shop.upledger(&["runs", "--json"]).out;
    let listed: Vec<Value> = listed
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let runs = period["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    for (run, line) in runs.iter().zip(&listed) {
        for (key, said) in run.as_object().expect("an object") {
            assert_eq!(line[key], *said, "{key}");
        }
    }
    is_well_formed_in_all(&shop, "period", "--runs=..");
    let nobody = shop.written("nobody.json", &["--runs", "..2020-01-01"]);
    let nobody: Value = serde_json::from_str(&nobody).expect("JSON");
    assert_eq!(nobody["runs"], serde_json::json!([]));
    let md = shop.written("nobody.md", &["--runs", "..2020-01-01"]);
    assert!(md.contains("No run began in this time."), "{md}");
    inert(&shop, &run);
}

/// Pages in both languages are HTML.
fn is_well_formed_in_all(shop: &Shop, stage: &str, what: &str) {
    for lang in ["en", "zh"] {
        let page = format!("{stage}-{lang}.html");
        shop.written(&page, &[what, "--lang", lang]);
        is_well_formed(shop, &page);
    }
}

fn inert(shop: &Shop, run: &str) {
    let page = shop.written("inert.html", &[run]);
    assert!(page.contains("&lt;img src=x onerror=alert(3)&gt;"));
    assert!(page.contains("&lt;b&gt;bold"), "the reason of the change");
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
    let md = shop.written("inert.md", &[run]);
    for text in [&page, &md] {
        for never in [
            "<script",
            "<img",
            "<b>bold",
            "<i>seen",
            "http://www",
            "url(",
            "@import",
            "\u{1b}",
            "\u{202e}",
        ] {
            assert!(!text.contains(never), "{never}");
        }
        assert!(!text.to_lowercase().contains("compliant"));
    }
    // No cell is cut in two by what is written in it.
    for table in md.split("\n\n").filter(|part| part.starts_with("| ")) {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut lines = table.lines();
        let head = cells(lines.next().expect("a head"));
        for line in lines.filter(|l| l.starts_with('|')) {
            assert_eq!(cells(line), head, "{line}");
        }
    }
}

#[test]
fn the_chinese_report_quotes_the_chinese_standard_and_leaves_no_english_heading() {
    let world = World::new();
    world.write("plan.yaml", "upledger: 1\nname: short\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {run: [\"true\"]}, effect: idempotent, undo: none}\n");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let done = world.upledger(&["report", "--lang", "zh", "--format", "md"]);
    assert_eq!(done.code, 0, "{done:?}");
    let quoted = "应严格控制变更性运维，经过审批后才可改变连接、安装系统组件或调整配置参数，操作过程中应保留不可更改的审计日志，操作结束后应同步更新配置信息库。";
    assert!(done.out.contains(quoted), "{}", done.out);
    for heading in done.out.lines().filter(|l| l.starts_with("## ")) {
        assert!(heading.contains(|c: char| c > '\u{4e00}'), "{heading}");
    }
    assert!(done.out.contains("未记录："), "{}", done.out);
    // What programs read is English all the same.
    let json = world.upledger(&["report", "--lang", "zh", "--format", "json"]);
    let wide = json
        .out
        .contains(|c: char| ('\u{4e00}'..='\u{9fff}').contains(&c));
    assert!(!wide, "{}", json.out);
    // The commands that make the pages are named where a run has ended, and work as they are.
    let status = world.upledger(&["status"]).out;
    for name in ["timeline", "report"] {
        let line = status
            .lines()
            .find(|l| l.contains(&format!("upledger {name} ")));
        let words = line
            .expect("it is named")
            .split("upledger ")
            .nth(1)
            .expect("a command");
        let done = world.upledger(&words.split_whitespace().collect::<Vec<_>>());
        assert_eq!(done.code, 0, "{done:?}");
        assert!(world.path(&format!("{name}.html")).exists());
    }
}

#[test]
fn a_checkpoint_that_was_kept_elsewhere_is_evidence_for_the_events_that_it_covers() {
    let world = World::new();
    world.write("plan.yaml", "upledger: 1\nname: short\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {run: [\"true\"]}, effect: idempotent, undo: none}\n");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    let report = |args: &[&str]| -> Value {
        let args = [&["report", "--format", "json"], args].concat();
        serde_json::from_str(&world.upledger(&args).out).expect("JSON")
    };
    let before = report(&[]);
    assert_eq!(before["integrity"]["anchored"]["source"], "absent");
    assert_eq!(before["integrity"]["remembered"]["value"], true);
    let kept = before["integrity"]["checkpoint"]["value"]
        .as_str()
        .expect("a checkpoint");
    world.write("kept", kept);
    let after = report(&["--checkpoint", "kept"]);
    let events = &after["integrity"]["events_verified"]["value"];
    assert_eq!(after["integrity"]["anchored"]["value"], *events);
    assert!(
        after["integrity"]["level"]["value"]
            .as_str()
            .expect("text")
            .starts_with("L3")
    );
    let judged = |report: &Value| -> Value {
        let all = report["controls"].as_array().expect("controls");
        let one = all
            .iter()
            .find(|c| c["clause"] == "10.3.3")
            .expect("PCI DSS");
        one["evidence"].clone()
    };
    assert_eq!(
        (judged(&before), judged(&after)),
        ("absent".into(), "partial".into())
    );
}

/// A file that a command was killed over is not there; one that is there is never written over.
#[test]
fn a_file_is_there_whole_or_not_at_all_and_never_in_the_place_of_another() {
    let world = World::new();
    world.write("plan.yaml", "upledger: 1\nname: short\nphases:\n  - phase: all\n    steps:\n      - {id: one, do: {run: [\"true\"]}, effect: idempotent, undo: none}\n");
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    for args in [
        &["report"][..],
        &["timeline"],
        &["export"],
        &["report", "--runs", ".."],
    ] {
        let args = [args, &["--out", "page.html"]].concat();
        let mut killed = world.command(&args);
        let killed = killed.env("UPLEDGER_FAILPOINT", "new-file").output();
        assert_eq!(killed.expect("it starts").status.code(), None, "{args:?}");
        assert!(!world.path("page.html").exists(), "{args:?}");
        let done = world.upledger(&args);
        assert_eq!(done.code, 0, "{done:?}");
        let written = std::fs::read(world.path("page.html")).expect("written");
        let again = world.upledger(&args);
        assert_eq!(again.code, 2, "{again:?}");
        assert!(again.err.contains("page.html"), "{again:?}");
        assert_eq!(
            std::fs::read(world.path("page.html")).expect("there"),
            written
        );
        std::fs::remove_file(world.path("page.html")).expect("removed");
        for dead in std::fs::read_dir(world.path("")).expect("listed").flatten() {
            let name = dead.file_name();
            if name.to_string_lossy().starts_with(".upledger-") {
                std::fs::remove_file(dead.path()).expect("removed");
            }
        }
    }
    let none = world.upledger(&["report", "--out", "no/such/page.html"]);
    assert_eq!(none.code, 2, "{none:?}");
    for range in ["2026-11-31..", "yesterday", "2026-12-01..2026-11-01"] {
        let done = world.upledger(&["report", "--runs", range]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains("RFC 3339"), "{done:?}");
    }
}

/// `UPDATE_DOCS=1` writes it anew.
#[test]
fn the_schema_is_that_of_the_types() {
    let made = format!("{:#}\n", upledger::compliance::schema());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/report.schema.json");
    assert!(kept == made, "UPDATE_DOCS=1 writes it anew");
}

/// A run of so many steps, written by the journal itself: what a machine would take hours for.
fn long_run(world: &World, steps: usize) {
    use serde_json::json;
    use upledger::home::Home;
    use upledger::journal::{Committed, Journal};
    use upledger_replay::event::{Event, RunPlanned};
    let step = |n: usize| {
        json!({
            "id": format!("s{n:05}"), "targets": ["local"], "action": {"run": ["/bin/true"]}, "probe": null, "verify": null,
            "has_probe": false, "undo": "nothing", "effect": "idempotent", "on_doubt": "retry", "timeout_ms": null,
            "retry": {"times": 0, "wait_ms": 0}, "left_out": null, "why": null, "env": [], "cwd": null, "facts": [],
        })
    };
    let plan: upledger_replay::plan::Plan = serde_json::from_value(json!({
        "upledger": 1, "name": "long", "environment": null, "change": null, "on_failure": "ask", "vars": [], "secrets": [],
        "phases": [{"phase": "all", "steps": (0..steps).map(step).collect::<Vec<_>>()}],
    }))
    .expect("a plan");
    let home = Home {
        state: world.state(),
        memory: world.path("memory"),
    };
    let mut journal = Journal::create_or_open(&home).expect("a ledger");
    let planned = Event::RunPlanned(RunPlanned {
        digest: upledger::plan::load::digest(&plan),
        plan: plan.into(),
        warnings: Vec::new(),
        contract: upledger_replay::event::CONTRACT,
        given: Vec::new(),
    });
    let event = |kind: &str, data: Value| -> Event {
        serde_json::from_value(json!({"kind": kind, "data": data})).expect("an event")
    };
    let mut events = vec![planned];
    for n in 0..steps {
        let part = json!({"step": format!("s{n:05}"), "target": "local", "way": "do"});
        let at = json!({"part": part, "attempt": 1});
        events.push(event(
            "step.started",
            json!({"at": at, "nonce": format!("{n:032x}"), "spec": "0".repeat(64), "command": ["/bin/true"],
                "observed": null, "timeout_ms": null}),
        ));
        events.push(event(
            "step.succeeded",
            json!({"at": at, "evidence": ["exit code 0"], "facts": [], "output": null, "took_ms": 7}),
        ));
    }
    events.push(event("run.completed", json!({})));
    for some in events.chunks(1000) {
        for event in some {
            journal.stage(Some("long"), event).expect("it follows");
        }
        assert!(matches!(journal.commit(), Ok(Committed::Done(_))));
    }
}

/// Ten thousand events are a page that a browser opens, in a time that grows with them and not with their square.
#[test]
fn a_run_of_ten_thousand_events_is_one_page() {
    let world = World::new();
    long_run(&world, 5000);
    let began = std::time::Instant::now();
    let done = world.upledger(&["report", "--out", "long.html"]);
    assert_eq!(done.code, 0, "{done:?}");
    let took = began.elapsed();
    let page = std::fs::metadata(world.path("long.html")).expect("written");
    assert!(page.len() < 3_000_000, "{}", page.len());
    // Without optimization, on whatever machine; a fold over its own past would take minutes.
    assert!(took.as_secs() < 30, "{took:?}");
    is_well_formed(&world, "long.html");
    let shop = Shop(world);
    let report = shop.agrees("long.json", "long");
    assert_eq!(*value(&report, "execution", "succeeded"), 5000);
    assert_eq!(
        report["execution"]["attempts"].as_array().map(Vec::len),
        Some(5000)
    );
}
