//! Random kills of the runner, the supervisor, an action and a step, alone and in pairs, until every run has ended: no
//! effect happens twice, none is lost, and an operator is asked only where nobody can know.
//!
//! Every command appends a line to `trace`, outside the program's state. The operator answers a question by looking there.
//! How often each way of recovery was really taken is printed, and has a floor.

use crate::common::{World, kill};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Steps that last, so that most kills meet one that runs.
const PLAN: &str = r#"
upledger: 1
name: kills
phases:
  - phase: all
    steps:
      - {id: u1, do: {shell: "echo u1 >> @/trace; sleep 1.4"}, on_doubt: ask, undo: none}
      - id: p1
        do: {shell: "echo p1 >> @/trace; sleep 1.4"}
        probe: {run: [grep, -qx, p1, "@/trace"]}
        effect: probed
        undo: none
      - {id: a1, do: {test.sample: {dir: "@/a1", text: one, pause_ms: 1400}}}
      - {id: u2, do: {shell: "sleep 0.5; echo u2 >> @/trace; sleep 0.9"}, on_doubt: ask, undo: none}
      - {id: a2, do: {test.sample: {dir: "@/a2", text: two, pause_ms: 1400}}}
      - {id: u3, do: {run: [sh, -c, "echo u3 >> $0; exec sleep 1.4", "@/trace"]}, on_doubt: ask, undo: none}
"#;
const EFFECTS: [&str; 4] = ["u1", "p1", "u2", "u3"];
/// Kills in one run; then it is left alone.
const KILLS: u32 = 14;

/// Runs beside each other.
const LANES: u64 = 5;

/// Numbers that look random and come again with the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pause(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(at_most_ms)));
    }
}

/// What was really met.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    runs: u32,
    kills: u32,
    pairs: u32,
    adopted: u32,
    imported: u32,
    fenced: u32,
    doubted: u32,
    asked: u32,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.kills += other.kills;
        self.pairs += other.pairs;
        self.adopted += other.adopted;
        self.imported += other.imported;
        self.fenced += other.fenced;
        self.doubted += other.doubted;
        self.asked += other.asked;
    }

    /// What the record says of the ways of recovery.
    fn read(&mut self, events: &[Value]) {
        let (mut taken_over, mut adopted) = (false, false);
        for event in events {
            match event["kind"].as_str().unwrap_or_default() {
                "step.started" => (taken_over, adopted) = (false, false),
                "run.resumed" => taken_over = true,
                "step.adopted" => {
                    adopted = true;
                    self.adopted += 1;
                }
                "step.fenced" => self.fenced += 1,
                "step.doubted" => self.doubted += 1,
                // The result was read by somebody who has not seen the step run.
                "step.succeeded" | "step.failed" if taken_over && !adopted => self.imported += 1,
                _ => {}
            }
        }
    }
}

/// The processes whose parent is this one.
fn children(parent: i32) -> Vec<i32> {
    let listed = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = listed.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        let fields = fields.unwrap_or_default();
        fields.split(' ').nth(1).and_then(|p| p.parse().ok()) == Some(parent)
    })
    .collect()
}

/// One run from its start to its end.
struct Life {
    world: World,
    random: Random,
    runner: Child,
    tally: Tally,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let world = World::new();
        world.write("plan.yaml", PLAN);
        let runner = world.start(&["run", "plan.yaml"]);
        Self {
            world,
            random: Random(seed),
            runner,
            tally: Tally {
                runs: 1,
                ..Tally::default()
            },
        }
    }

    fn live(mut self, seed: u64) -> Tally {
        let limit = Instant::now() + Duration::from_secs(240);
        loop {
            assert!(Instant::now() < limit, "seed {seed}: it does not end");
            // While the runner starts, right where a step starts, or, mostly, somewhere in a step.
            match self.random.below(8) {
                0 => self.random.pause(500),
                1 if self.tally.kills < KILLS => self.kill_at_a_start(),
                _ => {
                    self.await_step();
                    self.random.pause(400);
                }
            }
            let ended = self.runner.try_wait().expect("it is our child");
            match ended.map(|status| status.code()) {
                None if self.tally.kills < KILLS => self.kill(),
                None => {}
                Some(Some(0)) => break,
                Some(Some(1 | 4)) => self.answer(seed),
                Some(code) => panic!("seed {seed}: exit {code:?}"),
            }
        }
        self.judge(seed);
        self.tally.read(&self.world.events());
        self.tally
    }

    /// Waits until the runner has the lock and a step runs, or the runner has ended.
    fn await_step(&mut self) {
        let over = |runner: &mut Child| runner.try_wait().expect("it is our child").is_some();
        let holder = format!("\"pid\":{},", self.runner.id());
        let drives = |world: &World| {
            let lock = std::fs::read_to_string(world.state().join("runner.lock"));
            lock.is_ok_and(|text| text.contains(&holder)) && !world.supervisors().is_empty()
        };
        while !drives(&self.world) && !over(&mut self.runner) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the runner, and the supervisor if it is there already, where an attempt is about to start: its directory is
    /// new, and its start token is not there.
    fn kill_at_a_start(&mut self) {
        let jobs = self.world.state().join("jobs");
        let listed = || std::fs::read_dir(&jobs).into_iter().flatten().flatten();
        let known: Vec<_> = listed().map(|e| e.path()).collect();
        let limit = Instant::now() + Duration::from_secs(4);
        let starts = |job: std::path::PathBuf| !known.contains(&job) && !job.join("start").exists();
        while !listed().any(|e| starts(e.path())) {
            if Instant::now() > limit || self.runner.try_wait().expect("it is our child").is_some()
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.random.pause(20);
        kill(i32::try_from(self.runner.id()).expect("a process id"));
        self.world.supervisors().into_iter().for_each(kill);
        self.tally.kills += 1;
        self.runner.wait().expect("it is our child");
        self.go_on();
    }

    /// Kills one or two of those who live.
    fn kill(&mut self) {
        let runner = i32::try_from(self.runner.id()).expect("a process id");
        let supervisors = self.world.supervisors();
        let steps: Vec<i32> = supervisors.iter().flat_map(|s| children(*s)).collect();
        let roles = [vec![runner], supervisors, steps];
        let mut living: Vec<&Vec<i32>> = roles.iter().filter(|pids| !pids.is_empty()).collect();
        if self.random.below(4) == 0 {
            living.truncate(1);
        }
        let two = living.len() > 1 && self.random.below(3) == 0;
        self.tally.pairs += u32::from(two);
        let mut runner_dies = false;
        for _ in 0..=u32::from(two) {
            let chosen = self.random.below(living.len() as u64);
            let role = living.swap_remove(usize::try_from(chosen).expect("small"));
            runner_dies |= role[0] == runner;
            role.iter().for_each(|pid| kill(*pid));
            self.tally.kills += 1;
        }
        if runner_dies {
            self.runner.wait().expect("it is our child");
            // Sometimes the step ends meanwhile, and mostly it does not.
            let absent = if self.random.below(4) == 0 { 1500 } else { 50 };
            self.random.pause(absent);
            self.go_on();
        }
    }

    /// A run that was not planned yet is begun anew.
    fn go_on(&mut self) {
        let planned = self.world.upledger(&["status", "--json"]).code == 0;
        let args: &[&str] = if planned {
            &["resume"]
        } else {
            &["run", "plan.yaml"]
        };
        self.runner = self.world.start(args);
    }

    fn has_happened(&self, step: &str) -> bool {
        self.world.lines("trace").iter().any(|line| line == step)
    }

    /// The operator looks, decides, and lets the run go on.
    fn answer(&mut self, seed: u64) {
        let question = self.world.status()["question"].clone();
        if question.is_null() {
            // The runner was killed behind its last record.
            return self.go_on();
        }
        self.tally.asked += 1;
        let step = question["step"].as_str().unwrap_or_default().to_owned();
        let decision = if self.has_happened(&step) {
            "skip"
        } else {
            "retry"
        };
        let args = ["decide", &step, decision, "--reason", "looked"];
        let done = self.world.upledger(&args);
        assert_eq!(done.code, 0, "seed {seed}: {done:?} {question}");
        self.go_on();
    }

    fn judge(&self, seed: u64) {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for line in self.world.lines("trace") {
            *counts.entry(line).or_default() += 1;
        }
        let log = || self.world.upledger(&["log"]).out;
        for effect in EFFECTS {
            let times = counts.get(effect).copied();
            assert_eq!(times, Some(1), "seed {seed}: {effect}\n{}", log());
        }
        for (file, text) in [("a1/text", "one"), ("a2/text", "two")] {
            assert_eq!(
                self.world.lines(file),
                [text],
                "seed {seed}: {file}\n{}",
                log()
            );
        }
        assert!(
            self.world.supervisors().is_empty(),
            "seed {seed}: none is left"
        );
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was met is the result of this test"
)]
fn print(tally: &Tally) {
    println!("{tally:?}");
}

/// So many kills, several runs at a time: they mostly wait.
fn kills(at_least: u32) -> Tally {
    let all = Mutex::new(Tally::default());
    let begun = std::time::SystemTime::now();
    let first = begun.duration_since(std::time::UNIX_EPOCH).expect("now");
    let first = u64::try_from(first.as_micros()).expect("small");
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let all = &all;
            scope.spawn(move || {
                let mut seed = first + lane * 1_000_000_007;
                while all.lock().expect("whole").kills < at_least {
                    let tally = Life::begin(seed).live(seed);
                    all.lock().expect("whole").add(&tally);
                    seed += 1;
                }
            });
        }
    });
    let all = all.into_inner().expect("whole");
    print(&all);
    all
}

#[test]
fn killed_at_random_nothing_happens_twice_and_nothing_is_lost() {
    let wanted = std::env::var("UPLEDGER_KILLS").ok();
    let wanted = wanted.map_or(100, |n| n.parse().expect("a number of kills"));
    let tally = kills(wanted);
    // At 1,200 kills at least a hundred adoptions.
    let floor = |each: u32| wanted / each;
    assert!(tally.adopted >= floor(12), "{tally:?}");
    assert!(tally.imported >= floor(60), "{tally:?}");
    assert!(tally.doubted >= floor(12), "{tally:?}");
    assert!(tally.fenced >= floor(150), "{tally:?}");
    assert!(tally.pairs >= floor(20), "{tally:?}");
}
