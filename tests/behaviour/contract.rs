//! The contract of an action, by a kind that is there for this test alone: what it notes, keeps and produces is in the
//! record whoever dies when; previews and intents name what is really done; later steps use its output in settings, in
//! `cwd` and in `env`, also when it was found done or decided done; and what does not exist is refused before it starts.

use crate::common::{Done, World};
use serde_json::Value;

/// `make` produces facts, the other steps use them. `ENV` goes into the environment of `make`.
const PLAN: &str = r#"
upledger: 1
name: facts
phases:
  - phase: all
    steps:
      - {id: make, do: {test.sample: {dir: "@/made", text: hello}} ENV}
      - id: shell
        do: {shell: 'echo "$PWD $BYTES $TEXT" >> "$TRACE"'}
        cwd: {from: make.dir}
        env: {BYTES: {from: make.bytes}, TEXT: {from: make.text}, TRACE: "@/trace"}
        effect: idempotent
        undo: {shell: 'echo "undone in $PWD" >> "$TRACE"', effect: idempotent}
      - {id: same, do: {expect.file: {path: {from: make.file}, sha256: {from: make.sha256}}}}
      - {id: copy, do: {test.sample: {dir: "@/copy", text: {from: make.commit}, times: {from: make.bytes}}}}
"#;

struct Facts(World);

impl std::ops::Deref for Facts {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Facts {
    fn new(env: &str) -> Self {
        let world = World::new();
        let here = world.path("").display().to_string();
        let plan = PLAN.replace("ENV", env).replace("@/", &here);
        std::fs::write(world.path("plan.yaml"), plan).expect("written");
        Self(world)
    }

    /// With a place where `make` dies, once.
    fn dying(place: &str) -> Self {
        Self::new(&format!(
            ", env: {{UPLEDGER_FAILPOINT: \"{place}@@/died\"}}"
        ))
    }

    #[track_caller]
    fn up(&self, args: &[&str], code: i32) -> Done {
        let done = self.upledger(args);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        done
    }

    /// The events of the newest run of these kinds, about one step.
    fn events(&self, kind: &str, step: &str) -> Vec<Value> {
        let log = self.up(&["log", "--json"], 0).out;
        log.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|e| {
                e["kind"] == kind && e.to_string().contains(&format!("\"step\":\"{step}\""))
            })
            .collect()
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// All later steps had the facts of `make`.
    #[track_caller]
    fn used(&self, times: usize) {
        let made = self.path("made").display().to_string();
        let trace = self.lines("trace");
        assert_eq!(trace, vec![format!("{made} 5 hello"); times]);
        let commit = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c";
        assert_eq!(self.read("copy/text"), Some(commit.repeat(5)));
    }
}

#[test]
fn a_later_step_uses_what_was_produced_found_done_and_decided_done() {
    let facts = Facts::new("");
    facts.up(&["run", "plan.yaml"], 0);
    facts.used(1);
    let started = facts.events("step.started", "copy").pop().expect("started");
    let inputs = started["data"]["inputs"].to_string();
    assert!(
        inputs.contains("make.commit") && inputs.contains("2cf24dba"),
        "{inputs}"
    );
    let ended = facts.events("step.succeeded", "make").pop().expect("ended");
    assert_eq!(ended["data"]["produced"]["bytes"], 5);

    // A rerun finds it done: what it would have produced is recorded, and used.
    facts.up(&["run", "plan.yaml"], 0);
    let found = facts
        .events("step.satisfied", "make")
        .pop()
        .expect("found done");
    assert_eq!(found["data"]["produced"]["text"], "hello");
    facts.used(2);

    // It died behind its effect, and a person decides.
    let facts = Facts::dying("sample-written");
    facts.up(&["run", "plan.yaml"], 1);
    assert!(facts.lines("trace").is_empty());
    facts.up(&["decide", "make", "done", "--reason", "it is there"], 0);
    let decided = facts.events("step.decided", "make").pop().expect("decided");
    assert_eq!(decided["data"]["produced"]["bytes"], 5);
    facts.up(&["resume"], 0);
    facts.used(1);
}

#[test]
fn the_undo_has_the_facts_that_the_step_had() {
    let facts = Facts::new("");
    facts.up(&["run", "plan.yaml"], 0);
    facts.up(&["rollback", "--reason", "test"], 5);
    let made = facts.path("made").display().to_string();
    assert_eq!(
        facts.lines("trace"),
        [format!("{made} 5 hello"), format!("undone in {made}")]
    );
    assert!(!facts.path("made").exists() && !facts.path("copy").exists());
    // The intent of an undo names what the undo does.
    let undone = facts.events("step.started", "make").pop().expect("begun");
    assert_eq!(
        undone["data"]["command"],
        serde_json::json!(["undo of test.sample", format!("remove {made}")])
    );
}

#[test]
fn whoever_dies_between_note_and_effect_and_between_effect_and_output_loses_nothing() {
    for (place, there) in [("sample-noted", "former"), ("sample-written", "hello")] {
        let facts = Facts::dying(place);
        std::fs::create_dir(facts.path("made")).expect("made");
        facts.write("made/text", "former");
        facts.up(&["run", "plan.yaml"], 1);
        assert_eq!(facts.read("made/text").as_deref(), Some(there), "{place}");
        let noted = facts.events("step.noted", "make");
        assert_eq!(noted.len(), 1, "{noted:?}");
        assert_eq!(
            noted[0]["data"]["note"],
            serde_json::json!({"writes": {"len": 5}})
        );
        assert!(facts.lines("trace").is_empty(), "no step without its facts");
        // Undone from the note: the former content is back, and the record names it without telling it.
        facts.up(&["rollback", "--reason", "test"], 5);
        assert_eq!(
            facts.read("made/text").as_deref(),
            Some("former"),
            "{place}"
        );
        let begun = facts.events("step.started", "make");
        let kept = begun[0]["data"]["observed"]["former"]["blob"]
            .as_str()
            .expect("kept");
        assert!(facts.state().join("undo").join(kept).exists());
        // And a further attempt comes to its end.
        facts.up(&["run", "plan.yaml"], 0);
        facts.used(1);
    }
    // The undo dies between its note and its effect, and behind it.
    for place in ["sample-undo-noted", "sample-undone"] {
        let facts = Facts::dying(place);
        facts.up(&["run", "plan.yaml"], 0);
        facts.up(&["rollback", "--reason", "test"], 6);
        facts.up(&["decide", "make", "retry", "--reason", "again"], 0);
        facts.up(&["resume"], 5);
        assert!(!facts.path("made").exists(), "{place}");
    }
}

#[test]
fn the_preview_says_what_depends_on_a_fact_and_shows_where_it_goes() {
    let facts = Facts::new("");
    let shown = facts.up(&["plan", "plan.yaml"], 0).out;
    for part in [
        "depends on the fact make.bytes",
        "expect {from: make.file} with sha256 {from: make.sha256}",
        "depends on the fact make.commit",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_fact_that_is_not_there_refuses_the_step_before_it_starts() {
    let world = World::new();
    let plan = r#"
upledger: 1
name: printed
phases:
  - phase: all
    steps:
      - {id: say, do: {shell: 'echo "{\"dir\": \"here\"}"'}, effect: pure, probe: {run: [test, -e, "@/known"]}, facts: {dir: {json: .dir}}}
      - {id: use, do: {test.sample: {dir: {from: say.dir}, text: x}}}
"#;
    world.write("plan.yaml", plan);
    // It does not fit: it is no absolute path.
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 1);
    let log = world.upledger(&["log", "--json"]).out;
    assert!(
        log.contains("step.refused") && log.contains("say.dir is 'here'"),
        "{log}"
    );
    assert!(log.contains("`dir` is not an absolute path: here"), "{log}");
    assert_eq!(world.upledger(&["abort", "--reason", "test"]).code, 12);
    // It is not known, because nothing was printed.
    world.write("known", "");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out.contains("the fact say.dir is not known"),
        "{done:?}"
    );
}
