//! A machine that reads `--json` alone: it drives a run to its end, answers a failure and a doubt, and rolls back. It knows
//! the published schema and nothing else.

use crate::common::{World, kill};
use jsonschema::Validator;
use serde_json::Value;

struct Machine {
    world: World,
    schema: Validator,
}

impl Machine {
    fn new(plan: &str) -> Self {
        let text = include_str!("../../docs/output.schema.json");
        let schema: Value = serde_json::from_str(text).expect("JSON");
        let machine = Self {
            world: World::new(),
            schema: jsonschema::validator_for(&schema).expect("a schema"),
        };
        machine.world.write("plan.yaml", plan);
        machine
    }

    /// Runs a command and returns its lines, each of them as the schema says; the last one tells the exit code.
    fn tell(&self, args: &[&str]) -> Vec<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let done = self.world.upledger(&args);
        let lines: Vec<Value> = done
            .out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{args:?}: {e}: {l}")))
            .collect();
        for line in &lines {
            assert!(self.schema.is_valid(line), "{args:?}: {line:#}");
        }
        let last = lines.last().expect("a last object");
        assert_eq!(last["exit"], done.code, "{args:?}: {last:#}");
        assert!(done.err.is_empty(), "{args:?}: {}", done.err);
        lines
    }

    /// Runs the first of the commands that a result names, its reason filled in.
    fn obey(&self, result: &Value, wanted: &str) -> Vec<Value> {
        let commands = result["next"].as_array().expect("commands");
        let command = commands
            .iter()
            .filter_map(Value::as_str)
            .find(|c| c.contains(wanted))
            .unwrap_or_else(|| panic!("no {wanted} in {commands:?}"));
        let filled = command.replace("'...'", "because");
        let words: Vec<&str> = filled.split_whitespace().skip(1).collect();
        self.tell(&words)
    }
}

fn last(lines: &[Value]) -> &Value {
    lines.last().expect("a last object")
}

const PLAN: &str = r#"
upledger: 1
name: for a machine
phases:
  - phase: all
    steps:
      - {id: first, do: {shell: "echo first >> @/trace"}, on_doubt: ask, undo: {shell: "echo undo first >> @/trace", effect: idempotent}}
      - {id: fails, do: {run: [test, -e, "@/there"]}, effect: pure}
      - {id: slow, do: {shell: "echo slow >> @/trace; while [ ! -e @/go ]; do sleep 0.05; done"}, on_doubt: ask, undo: none}
"#;

#[test]
fn it_answers_a_failure_and_a_doubt_and_rolls_back() {
    let machine = Machine::new(PLAN);
    let world = &machine.world;
    machine.tell(&["check", "plan.yaml"]);
    machine.tell(&["plan", "plan.yaml"]);

    let lines = machine.tell(&["run", "plan.yaml"]);
    assert_eq!(last(&lines)["question"]["kind"], "failed");
    world.write("there", "");
    machine.obey(last(&lines), "decide fails retry");

    // Both who run it die: nobody saw how it ended.
    let mut runner = world.start(&["resume"]);
    world.await_step("slow", "running");
    crate::common::eventually("it has begun", || world.lines("trace").len() == 2);
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    for pid in world.supervisors() {
        kill(pid);
    }
    world.write("go", "");
    let lines = machine.tell(&["resume"]);
    assert_eq!(last(&lines)["question"]["kind"], "doubt");
    assert_eq!(last(&lines)["exit"], 4);
    let lines = machine.obey(last(&lines), "decide slow done");
    let lines = machine.obey(last(&lines), "resume");
    assert_eq!(last(&lines)["state"], "completed");
    assert!(lines.iter().any(|l| l["kind"] == "run.completed"));

    let lines = machine.tell(&["rollback", "--reason", "because"]);
    assert_eq!(last(&lines)["state"], "rolled back");
    assert_eq!(last(&lines)["exit"], 5);
    assert_eq!(world.lines("trace"), ["first", "slow", "undo first"]);
    for command in [
        &["status"][..],
        &["runs"],
        &["log"],
        &["replay", "--at", "3"],
        &["verify"],
        &["explain"],
        &["log", "--output", "first"],
        &["timeline", "--out", "timeline.html"],
        &["report", "--out", "report.html"],
        &["report", "--runs", "..", "--out", "runs.html"],
    ] {
        machine.tell(command);
    }
}

#[test]
fn it_is_told_what_is_wrong_with_a_plan() {
    let machine = Machine::new(
        "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n      - {id: a, do: {run: []}}\n",
    );
    let lines = machine.tell(&["check", "plan.yaml"]);
    assert_eq!(last(&lines)["error"], "plan_refused");
    assert!(lines.iter().any(|l| l["line"] == 6), "{lines:#?}");
}
