//! `git.deploy` through the binary: a preview names the commit and refuses a tag that is not there, a resolved plan
//! deploys what was approved, releases side by side are switched, killed, resumed and switched back; `check` refuses a
//! wrong order.

use crate::common::{World, eventually, kill};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn git(world: &World, words: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words)
        .current_dir(world.path("source"))
        .output()
        .expect("git; install it with: apt-get install -y git");
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn release(world: &World, version: &str) {
    world.write("source/VERSION", version);
    git(world, &["add", "-A"]);
    git(world, &["commit", "-q", "-m", version]);
    git(world, &["tag", &format!("bklog/{version}")]);
}

fn world() -> World {
    let world = World::new();
    std::fs::create_dir(world.path("source")).expect("made");
    git(&world, &["init", "-q", "-b", "main"]);
    release(&world, "4.6.3");
    release(&world, "4.6.4");
    world
}

fn plan(world: &World, steps: &str) {
    let head = "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n";
    world.write("plan.yaml", &format!("{head}{steps}"));
}

fn in_place(world: &World, reference: &str) {
    plan(
        world,
        &format!(
            "      - {{id: code, do: {{git.deploy: {{repo: @/source, ref: {reference}, into: @/app}}}}}}\n"
        ),
    );
}

#[test]
fn the_preview_names_the_commit_and_a_tag_that_is_not_there_would_fail() {
    let world = world();
    in_place(&world, "bklog/4.6.4");
    let commit = git(&world, &["rev-parse", "bklog/4.6.4"]);
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    let line = format!("refs/tags/bklog/4.6.4 is commit {commit}");
    assert!(seen.out.contains(&line), "{seen:?}");
    in_place(&world, "release/v4.6.4");
    let seen = world.upledger(&["plan", "plan.yaml", "--out", "resolved.json"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    assert!(
        seen.out.contains("would fail") && seen.out.contains("did you mean bklog/4.6.4?"),
        "{seen:?}"
    );
    assert!(seen.err.contains("1 step would fail"), "{seen:?}");
    assert!(!world.path("resolved.json").exists());
    let seen = world.upledger(&["plan", "plan.yaml", "--json"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    assert!(seen.out.contains(r#""verdict":"fail""#), "{seen:?}");
    assert!(!world.path("app").exists());
}

#[test]
fn a_resolved_plan_holds_the_commit_and_a_tag_that_moves_is_refused() {
    let world = world();
    in_place(&world, "bklog/4.6.4");
    let commit = git(&world, &["rev-parse", "bklog/4.6.4"]);
    let seen = world.upledger(&["plan", "plan.yaml", "--out", "tag.json"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    let resolved = std::fs::read_to_string(world.path("tag.json")).expect("written");
    assert!(
        resolved.contains(&format!("\"commit\": \"{commit}\"")),
        "{resolved}"
    );
    in_place(&world, "main");
    let seen = world.upledger(&["plan", "plan.yaml", "--out", "branch.json"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    world.write("source/VERSION", "4.6.5");
    git(&world, &["commit", "-q", "-a", "-m", "later"]);
    git(&world, &["tag", "-f", "bklog/4.6.4"]);
    let seen = world.upledger(&["plan", "tag.json"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    assert!(seen.out.contains("resolve the plan again"), "{seen:?}");
    // Before anything is done, and before a run is opened.
    let done = world.upledger(&["run", "tag.json"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("code: bklog/4.6.4 was"), "{done:?}");
    assert!(done.err.contains("resolve the plan again"), "{done:?}");
    assert!(!world.path("app").exists());
    assert_ne!(world.upledger(&["status"]).code, 0, "no run was opened");
    // Of a branch, the commit that was approved is deployed.
    let done = world.upledger(&["run", "branch.json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let version = std::fs::read_to_string(world.path("app/VERSION")).expect("deployed");
    assert_eq!(version, "4.6.4");
    world.assert_sound();
}

#[test]
fn releases_side_by_side_are_switched_and_switched_back() {
    let world = world();
    let step = |reference: &str| {
        format!(
            "      - {{id: code, do: {{git.deploy: {{repo: @/source, ref: {reference}, releases: @/releases, current: @/current, version_file: {{path: VERSION, contains: \"4.6\"}}}}}}}}\n"
        )
    };
    let version = || std::fs::read_to_string(world.path("current/VERSION")).ok();
    plan(&world, &step("bklog/4.6.3"));
    assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
    assert_eq!(version().as_deref(), Some("4.6.3"));
    plan(&world, &step("bklog/4.6.4"));
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert!(seen.out.contains("it will point to"), "{seen:?}");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(version().as_deref(), Some("4.6.4"));
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(version().as_deref(), Some("4.6.3"));
    world.assert_sound();
}

#[test]
fn an_upgrade_in_a_wrong_order_is_refused_at_its_line_and_a_why_is_recorded() {
    let world = world();
    let step = |id: &str, action: &str| format!("      - {{id: {id}, do: {{{action}}}WHY}}\n");
    let code = step(
        "code",
        "git.deploy: {repo: @/source, ref: main, into: @/app}",
    );
    let off = step("cron", "cron.disable: {match: bklog, file: @/crontab}").replace("WHY", "");
    let on = step("again", "cron.enable: {file: @/crontab}").replace("WHY", "");
    let quiet =
        step("quiet", "expect.stopped: {processes: [no-such-process-7]}").replace("WHY", "");
    let plain = code.replace("WHY", "");
    plan(&world, &format!("{off}{quiet}{plain}{on}"));
    let seen = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    plan(&world, &format!("{plain}{off}{quiet}{on}"));
    let seen = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    let said = "`code` comes before `cron` (line 7), but code, dependencies and static files change after the services have stopped";
    assert!(seen.err.contains(said), "{seen:?}");
    assert!(seen.err.contains("plan.yaml:6:") && seen.err.contains("move `code` after `cron`"));
    let zh = world.upledger(&["--lang", "zh", "check", "plan.yaml"]);
    assert!(
        zh.err.contains("`code` 排在 `cron`（第 7 行）之前"),
        "{zh:?}"
    );
    let why = code.replace("WHY", ", why: \"the job reads nothing of it\"");
    plan(&world, &format!("{why}{off}{quiet}{on}"));
    let seen = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(
        seen.out.contains("why: the job reads nothing of it"),
        "{seen:?}"
    );
    plan(&world, &format!("{off}{quiet}{plain}"));
    let seen = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(
        seen.out.contains("`cron` disables scheduled jobs"),
        "{seen:?}"
    );
}

/// Every process that works for this world: the runner, the supervisor, the action and its git.
fn workers(world: &World) -> Vec<i32> {
    let dir = world.path("").display().to_string();
    let works = |proc: &Path| {
        let words = std::fs::read(proc.join("cmdline")).unwrap_or_default();
        let named = String::from_utf8_lossy(&words).contains(dir.trim_end_matches('/'));
        let fds = std::fs::read_dir(proc.join("fd"));
        let mut open = fds.into_iter().flatten().flatten();
        named || open.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(&dir)))
    };
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path())))
        .filter(|(pid, path)| u32::try_from(*pid) != Ok(std::process::id()) && works(path))
        .map(|(pid, _)| pid)
        .collect()
}

/// What the kill waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    CloneBegan,
    ReleaseIsThere,
}

#[test]
fn everything_is_killed_in_the_middle_and_the_link_never_leads_to_half_a_release() {
    for moment in [Moment::CloneBegan, Moment::ReleaseIsThere] {
        for forwards in [true, false] {
            let world = world();
            let step = |reference: &str| {
                format!(
                    "      - {{id: code, do: {{git.deploy: {{repo: @/source, ref: {reference}, releases: @/releases, current: @/current}}}}}}\n"
                )
            };
            plan(&world, &step("bklog/4.6.3"));
            assert_eq!(world.upledger(&["run", "plan.yaml"]).code, 0);
            plan(&world, &step("bklog/4.6.4"));
            let mut child = world.start(&["run", "plan.yaml"]);
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                let listed = std::fs::read_dir(world.path("releases")).expect("made");
                let names: Vec<String> = listed
                    .map(|e| {
                        e.expect("an entry")
                            .file_name()
                            .to_string_lossy()
                            .into_owned()
                    })
                    .filter(|n| n.starts_with("bklog-4.6.4-"))
                    .collect();
                let clone = names.iter().any(|n| n.contains(".new-"));
                let reached = match moment {
                    Moment::CloneBegan => clone,
                    Moment::ReleaseIsThere => !clone && !names.is_empty(),
                };
                if reached {
                    break;
                }
                assert!(Instant::now() < deadline, "{moment:?} never came");
                std::thread::sleep(Duration::from_millis(1));
            }
            eventually("all are dead", || {
                let left = workers(&world);
                left.iter().for_each(|pid| kill(*pid));
                left.is_empty()
            });
            child.wait().expect("it ended");
            let version = || std::fs::read_to_string(world.path("current/VERSION")).ok();
            let now = version();
            assert!(
                now.as_deref() == Some("4.6.3")
                    || (moment == Moment::ReleaseIsThere && now.as_deref() == Some("4.6.4")),
                "{moment:?}: {now:?}"
            );
            let ended = if forwards {
                world.upledger(&["resume"])
            } else {
                world.upledger(&["rollback", "--reason", "killed"])
            };
            let (code, wanted) = if forwards { (0, "4.6.4") } else { (5, "4.6.3") };
            // The run may have ended between the release and the kill.
            let over = moment == Moment::ReleaseIsThere && forwards && ended.code == 13;
            assert!(ended.code == code || over, "{moment:?}: {ended:?}");
            assert_eq!(version().as_deref(), Some(wanted), "{moment:?}: {ended:?}");
            let listed = std::fs::read_dir(world.path("releases")).expect("made");
            for entry in listed.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                assert!(!name.contains(".new-"), "{moment:?}: {name} is left over");
            }
            world.assert_sound();
        }
    }
}
