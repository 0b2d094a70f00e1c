//! Somebody else, such as a configuration management, enables a job between `cron.disable` and its end: that is reported,
//! with the warning that it may have run, and is no failure; and no job runs twice for it.

use crate::common::{Done, World};

const JOB: &str = "5 4 * * * app /srv/app/report --all";
const MOVED: &str = "6 5 * * * app /srv/app/report --all";
const OTHER: &str = "1 1 * * * app /srv/app/clean";

/// Disables the jobs, lets somebody edit the crontab by that script, and enables them again.
fn run(before: &str, script: &str) -> (World, Done) {
    let world = World::new();
    world.write("tab", before);
    let steps = [
        "{id: off, do: {cron.disable: {match: /srv/app/, file: \"@/tab\"}}}",
        "{id: edit, do: {shell: '@SCRIPT'}, effect: idempotent, undo: none}",
        "{id: on, do: {cron.enable: {file: \"@/tab\"}}}",
    ];
    let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
    let head = "upledger: 1\nname: others\nphases:\n  - phase: all\n    steps:\n";
    let plan = format!("{head}{}", steps.replace("@SCRIPT", script));
    world.write("plan.yaml", &plan);
    let done = world.upledger(&["run", "plan.yaml"]);
    (world, done)
}

fn table(world: &World) -> String {
    std::fs::read_to_string(world.path("tab")).expect("the crontab")
}

#[test]
fn a_job_that_was_written_anew_with_another_time_is_reported_and_stays() {
    let (world, done) = run(
        &format!("# job\n{JOB}\n"),
        &format!("printf \"# job\\n%s\\n\" \"{MOVED}\" > @/tab"),
    );
    assert_eq!(done.code, 0, "{done:?}");
    for part in [
        "line 2 already on",
        "warning: line 2 was enabled by somebody else since `cron.disable`, and may have run meanwhile",
    ] {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
    // The rollback leaves what is theirs, and is not stuck on it.
    let back = world.rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert!(back.out.contains("enabled by somebody else"), "{back:?}");
    assert_eq!(table(&world), format!("# job\n{MOVED}\n"));
}

#[test]
fn a_job_that_was_written_beside_the_disabled_line_is_not_enabled_twice() {
    let (world, done) = run(&format!("{JOB}\n"), &format!("echo \"{JOB}\" >> @/tab"));
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("enabled by somebody else"), "{done:?}");
    let active = |text: &str| text.lines().filter(|l| *l == JOB).count();
    assert_eq!(active(&table(&world)), 1, "{}", table(&world));
    assert_eq!(world.rollback().code, 5);
    assert_eq!(active(&table(&world)), 1, "{}", table(&world));
}

#[test]
fn of_two_jobs_the_one_that_is_still_disabled_is_enabled() {
    let (world, done) = run(
        &format!("{JOB}\n{OTHER}\n"),
        &format!("sed -i \"s|^#.*report.*|{MOVED}|\" @/tab"),
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("warning: line 1 was enabled"), "{done:?}");
    assert_eq!(table(&world), format!("{MOVED}\n{OTHER}\n"));
}

#[test]
fn a_job_that_a_later_step_disables_is_not_reported() {
    let world = World::new();
    world.write("tab", &format!("{JOB}\n{OTHER}\n"));
    world.write(
        "plan.yaml",
        "upledger: 1\nname: others\nphases:\n  - phase: all\n    steps:\n      - {id: off, do: {cron.disable: {match: report, file: \"@/tab\"}}}\n      - {id: on, do: {cron.enable: {file: \"@/tab\"}}}\n      - {id: more, do: {cron.disable: {match: clean, file: \"@/tab\"}}}\n",
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!done.out.contains("somebody else"), "{done:?}");
    assert_eq!(world.rollback().code, 5);
    assert_eq!(table(&world), format!("{JOB}\n{OTHER}\n"));
}

#[test]
fn without_any_job_of_theirs_the_step_is_still_refused() {
    let (_, done) = run(&format!("{JOB}\n"), "echo > @/tab");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out
            .contains("there are no jobs that this run has commented out"),
        "{done:?}"
    );
}
