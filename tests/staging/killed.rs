//! The upgrade of the staging platform, killed with SIGKILL at random moments: the runner, the running command, or both
//! and the supervisor between them. Whoever is asked afterwards looks at the platform and answers `done` where the effect
//! is there and `retry` where it is not. Then the new world is there and every task ran once; the rollback is killed
//! likewise, and the old world is there.
//!
//! `UPLEDGER_ROUNDS` says how many rounds there are (the long tier asks for more), `UPLEDGER_SEED` which moments. A kill
//! that hits nobody does not count, and is made again.

#![expect(
    clippy::print_stderr,
    reason = "whoever repeats a failed round needs its seed"
)]

use crate::acceptance::{Upgrade, World};
use crate::keeper::children;
use crate::platform::{Keeping, patiently};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

/// Rounds where none are asked for.
const ROUNDS: u64 = 3;
/// How often a kill that hit nobody is made again.
const TRIES: u32 = 10;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Runner,
    Command,
    Everybody,
}

/// A command of upledger, how it ends when nobody is killed, and how long it then takes.
#[derive(Debug)]
struct Work<'a> {
    args: &'a [&'a str],
    code: i32,
    usual: Duration,
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

/// One test's platform, and what its kills led to.
struct Torture {
    upgrade: Upgrade,
    old: World,
    new: World,
    victim: Victim,
    random: Random,
    hits: usize,
    /// Questions that were answered `done`, and `retry`.
    done: usize,
    retried: usize,
}

impl Torture {
    /// Kills the victim of some work at a random moment of it and brings the work to its end; `back` undoes it, so that
    /// a kill that hit nobody can be made again.
    fn strike(&mut self, work: &mut Work<'_>, back: &Work<'_>) {
        for _ in 0..TRIES {
            let began = Instant::now();
            let hit = self.kill(work);
            if hit {
                self.settle(work);
                self.hits += 1;
                return;
            }
            // The first time takes longer: it builds a virtualenv that stays.
            work.usual = work.usual.min(began.elapsed());
            let undone = self.upgrade.platform.world().upledger(back.args);
            assert_eq!(undone.code, back.code, "{undone:?}");
        }
        panic!("{TRIES} kills hit nobody");
    }

    /// Lets a command of upledger run, kills its victim after a part of that time, and lets it end. Whether there was
    /// anybody to kill.
    fn kill(&mut self, work: &Work<'_>) -> bool {
        let after = work.usual * u32::try_from(self.random.per_mille()).expect("small") / 1000;
        let began = Instant::now();
        let mut runner = self.upgrade.platform.world().start(work.args);
        // The moment is what is tried here: nothing is waited for.
        std::thread::sleep(after);
        let hit = match self.victim {
            Victim::Runner => kills(Pid::from_child(&runner)) && ended_by_kill(&mut runner),
            Victim::Command | Victim::Everybody => self.kill_command(&mut runner),
        };
        let ended = runner.wait().expect("it ends");
        let word = if hit { "killed" } else { "missed" };
        let (victim, args, took) = (self.victim, work.args, began.elapsed());
        eprintln!("{victim:?} of {args:?} after {took:?}: {word}, {ended}");
        hit
    }

    /// Kills what the supervisor has started, as soon as there is something.
    fn kill_command(&self, runner: &mut Child) -> bool {
        while runner.try_wait().expect("it can be asked").is_none() {
            for supervisor in self.upgrade.platform.world().supervisors() {
                let commands = children(supervisor);
                if commands.is_empty() {
                    continue;
                }
                if self.victim == Victim::Everybody {
                    // The supervisor before its command, whose end it would record.
                    runner.kill().expect("it is our child");
                    crate::common::kill(supervisor);
                }
                let killed = commands.into_iter().filter_map(Pid::from_raw).map(kills);
                if killed.fold(false, |any, one| any | one) {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Resumes, and answers what is asked, until the work has ended.
    fn settle(&mut self, work: &Work<'_>) {
        for _ in 0..10 {
            let world = self.upgrade.platform.world();
            let state = world.status();
            let done = match (state["state"].as_str(), work.code) {
                // Killed before anything was recorded.
                (None | Some("rolled back"), 0) | (Some("completed"), 5) => {
                    world.upledger(work.args)
                }
                (Some("completed" | "rolled back"), _) => return,
                _ => world.upledger(&["resume"]),
            };
            if done.code == work.code {
                return;
            }
            assert!([1, 4, 6].contains(&done.code), "{done:?}");
            let question = world.status()["question"].clone();
            let step = question["step"]
                .as_str()
                .unwrap_or_else(|| panic!("no question after {done:?}"));
            let undone = question["way"] == "undo";
            let there = self.upgrade.has_effect(step, undone, &self.old, &self.new);
            let word = if there { "done" } else { "retry" };
            eprintln!("{} {} {step}: {word}", question["kind"], question["way"]);
            let answer = world.upledger(&["decide", step, word, "--reason", "a test looked"]);
            assert_eq!(answer.code, 0, "{answer:?} after {done:?}");
            self.done += usize::from(there);
            self.retried += usize::from(!there);
        }
        let state = self.upgrade.platform.world().status();
        panic!("it does not come to an end: {state}");
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

    /// The kills did what they are for: a floor for each kind of victim, which chance alone does not miss.
    fn assert_that_it_was_torture(&self) {
        let events = self.upgrade.platform.world();
        let events = events.upledger(&["export", "--jsonl"]).out;
        let recorded = |kind: &str| events.matches(&format!("\"kind\":\"{kind}\"")).count();
        let (adopted, doubted) = (recorded("step.adopted"), recorded("step.doubted"));
        let asked = self.done + self.retried;
        eprintln!(
            "{:?}: {} kills; {adopted} adoptions, {} fences, {doubted} doubts, {asked} questions ({} done, {} retry)",
            self.victim,
            self.hits,
            recorded("step.fenced"),
            self.done,
            self.retried
        );
        let (what, led_to) = match self.victim {
            Victim::Runner => ("adoptions", adopted),
            Victim::Command => ("questions", asked),
            Victim::Everybody => ("doubts", doubted),
        };
        assert!(2 * led_to >= self.hits, "only {led_to} {what}");
    }
}

/// It lived, and is killed.
fn kills(pid: Pid) -> bool {
    kill_process(pid, Signal::KILL).is_ok()
}

/// It did not end by itself before the signal came.
fn ended_by_kill(child: &mut Child) -> bool {
    use std::os::unix::process::ExitStatusExt;
    child.wait().expect("it ends").signal() == Some(9)
}

fn torture(victim: Victim) {
    let upgrade = Upgrade::of(Keeping::Plain);
    let old = upgrade.world();
    let plan = upgrade.plan(Keeping::Plain, "", "");
    let seed = number("UPLEDGER_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |d| d.as_secs())
    });
    let rounds = number("UPLEDGER_ROUNDS").unwrap_or(ROUNDS);
    eprintln!("UPLEDGER_SEED={seed} UPLEDGER_ROUNDS={rounds}");
    let timed = |args: &[&str], code: i32| {
        let began = Instant::now();
        let done = upgrade.platform.world().upledger(args);
        assert_eq!(done.code, code, "{done:?}");
        began.elapsed()
    };
    let (run, rollback) = (
        ["run", plan.as_str()],
        ["rollback", "--reason", "test", "--accept-data-loss"],
    );
    let mut there = Work {
        args: &run,
        code: 0,
        usual: timed(&run, 0),
    };
    let new = upgrade.world();
    let mut back = Work {
        args: &rollback,
        code: 5,
        usual: timed(&rollback, 5),
    };
    eprintln!("not killed: {:?} and {:?}", there.usual, back.usual);
    let mut t = Torture {
        upgrade,
        old,
        new,
        victim,
        random: Random(seed),
        hits: 0,
        done: 0,
        retried: 0,
    };
    for round in 0..rounds {
        t.upgrade
            .platform
            .send_tasks(&format!("round{round}"), 6, 0.5);
        t.strike(&mut there, &back);
        t.upgrade.is_at_2();
        t.tasks_ran_once(round);
        t.strike(&mut back, &there);
        assert_eq!(t.upgrade.world(), t.old, "round {round}");
    }
    t.upgrade.works("1.0");
    t.assert_that_it_was_torture();
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

#[test]
#[ignore = "minutes a round: the long tier runs it (tests/long)"]
fn everybody_is_killed_at_random_moments() {
    torture(Victim::Everybody);
}
