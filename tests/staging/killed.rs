//! The upgrade of the staging platform, killed with SIGKILL at random moments: the runner, and in rounds of their own the
//! running command. After `resume`, and where it is asked a `decide`, the new world is there and every task ran once;
//! then the rollback is killed likewise, and the old world is there.
//!
//! `UPLEDGER_ROUNDS` says how many rounds there are (the long tier asks for 20), `UPLEDGER_SEED` which moments.

#![expect(
    clippy::print_stderr,
    reason = "whoever repeats a failed round needs its seed"
)]

use crate::acceptance::Upgrade;
use crate::platform::{Keeping, patiently};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

/// Rounds where none are asked for.
const ROUNDS: u64 = 3;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Runner,
    Command,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Numbers below 1000 that differ from seed to seed; splitmix64, whose low bits are as good as its high ones.
struct Random(u64);

impl Random {
    fn per_mille(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000
    }
}

/// One test's platform, and what its kills hit.
struct Torture {
    upgrade: Upgrade,
    plan: String,
    victim: Victim,
    random: Random,
    hits: u64,
    /// Questions that a person was asked, and runners that took over.
    asked: u64,
}

impl Torture {
    /// Lets a command of upledger run, kills its victim after a part of that time, and lets it end.
    fn killed(&mut self, args: &[&str], usual: Duration) {
        let after = usual * u32::try_from(self.random.per_mille()).expect("small") / 1000;
        let began = Instant::now();
        let mut runner = self.upgrade.platform.world().start(args);
        std::thread::sleep(after);
        match self.victim {
            Victim::Runner => {
                let lives = runner.try_wait().expect("it can be asked").is_none();
                self.hits += u64::from(lives);
                // It may have ended by itself.
                let _ = runner.kill();
            }
            Victim::Command => self.kill_command(&mut runner),
        }
        runner.wait().expect("it ends");
        eprintln!(
            "{:?} of {args:?} killed after {:?}",
            self.victim,
            began.elapsed()
        );
    }

    /// Kills what the supervisor has started, as soon as there is something.
    fn kill_command(&mut self, runner: &mut Child) {
        while runner.try_wait().expect("it can be asked").is_none() {
            for supervisor in self.upgrade.platform.world().supervisors() {
                for child in children(supervisor) {
                    if kill_process(child, Signal::KILL).is_ok() {
                        self.hits += 1;
                        return;
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resumes, and answers what is asked, until the run has ended with this code.
    fn settle(&mut self, start: &[&str], ended: i32) {
        let upgrade = &self.upgrade;
        let world = upgrade.platform.world();
        for _ in 0..10 {
            let state = world.status();
            let done = match state["state"].as_str() {
                // Killed before anything was recorded.
                None | Some("rolled back") if ended == 0 => world.upledger(start),
                Some("completed") if ended == 5 => world.upledger(start),
                Some("completed" | "rolled back") => return,
                _ => world.upledger(&["resume"]),
            };
            if done.code == ended {
                return;
            }
            assert!([1, 4, 6].contains(&done.code), "{done:?}");
            self.asked += 1;
            let state = world.status();
            let step = state["question"]["step"]
                .as_str()
                .unwrap_or_else(|| panic!("no question in {state}"));
            let answer = world.upledger(&["decide", step, "retry", "--reason", "a test looked"]);
            assert_eq!(answer.code, 0, "{answer:?} after {done:?}");
        }
        panic!("it does not come to an end: {}", world.status());
    }

    fn tasks_ran_once(&self, round: u64) {
        let platform = &self.upgrade.platform;
        let prefix = format!("round{round}-");
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        patiently("the tasks of the round are done", || {
            platform
                .tasks_done()
                .iter()
                .filter(|t| t.starts_with(&prefix))
                .count()
                >= 6
        });
        for task in platform
            .tasks_done()
            .into_iter()
            .filter(|t| t.starts_with(&prefix))
        {
            *seen.entry(task).or_default() += 1;
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
        assert!(seen.values().all(|n| *n == 1), "{seen:?}");
    }
}

fn children(of: i32) -> Vec<Pid> {
    let text =
        std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|p| p.parse().ok().and_then(Pid::from_raw))
        .collect()
}

fn torture(victim: Victim) {
    let upgrade = Upgrade::of(Keeping::Plain);
    let before = upgrade.world();
    let plan = upgrade.plan(Keeping::Plain, "", "");
    let seed = number("UPLEDGER_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |d| d.as_secs())
    });
    let rounds = number("UPLEDGER_ROUNDS").unwrap_or(ROUNDS);
    eprintln!("UPLEDGER_SEED={seed} UPLEDGER_ROUNDS={rounds}");
    let mut t = Torture {
        upgrade,
        plan,
        victim,
        random: Random(seed),
        hits: 0,
        asked: 0,
    };
    let plan = t.plan.clone();
    let (there, back) = (["run", plan.as_str()], ["rollback", "--reason", "test"]);
    let timed = |t: &Torture, args: &[&str], code: i32| {
        let began = Instant::now();
        let done = t.upgrade.platform.world().upledger(args);
        assert_eq!(done.code, code, "{done:?}");
        began.elapsed()
    };
    let forwards = timed(&t, &there, 0);
    let backwards = timed(&t, &back, 5);
    eprintln!("not killed: {forwards:?} and {backwards:?}");
    for round in 0..rounds {
        t.upgrade
            .platform
            .send_tasks(&format!("round{round}"), 6, 0.5);
        t.killed(&there, forwards);
        t.settle(&there, 0);
        t.upgrade.is_at_2();
        t.tasks_ran_once(round);
        t.killed(&back, backwards);
        t.settle(&back, 5);
        assert_eq!(t.upgrade.world(), before, "round {round}");
    }
    t.upgrade.works("1.0");
    eprintln!(
        "{} of {} kills hit, {} questions",
        t.hits,
        2 * rounds,
        t.asked
    );
    assert!(t.hits >= rounds, "only {} kills hit anything", t.hits);
}

#[test]
#[ignore = "minutes a round: the long tier runs it (tests/long)"]
fn the_runner_is_killed_at_random_moments() {
    torture(Victim::Runner);
}

#[test]
#[ignore = "minutes a round: the long tier runs it (tests/long)"]
fn the_running_command_is_killed_at_random_moments() {
    torture(Victim::Command);
}
