//! Releases that are prepared beside the living service and switched to: killed at every place of it the links lead to one
//! release; two nights, each pruned to one release, go back to where the first began; nothing beside the service writes to
//! its database.

use crate::acceptance::{Upgrade, World, tree};
use crate::common::kill;
use crate::keeper::children;
use crate::platform::{Keeping, Options, Platform, patiently, some_of};
use std::path::Path;
use std::time::{Duration, Instant};

/// The plan after its variables: `RELEASE` is deployed, `FORMER` the migration that its undo goes back to.
pub(crate) const PLAN: &str = include_str!("prepared.yaml");

pub(crate) fn releases(keeping: Keeping) -> Options {
    Options {
        keeping,
        releases: true,
        ..Options::default()
    }
}

/// Where the three links lead.
fn lead(platform: &Platform) -> Vec<String> {
    ["code", "venv", "static"]
        .iter()
        .map(|link| {
            let to = platform
                .path(link)
                .canonicalize()
                .expect("it leads somewhere");
            to.display().to_string()
        })
        .collect()
}

fn night(upgrade: &Upgrade, release: &str, former: &str) -> String {
    let plan = PLAN.replace("RELEASE", release).replace("FORMER", former);
    upgrade.plan_of(&plan, Keeping::Plain, "", "")
}

fn there(platform: &Platform, dir: &str) -> Vec<String> {
    let listed = std::fs::read_dir(platform.path(dir))
        .expect("there")
        .flatten();
    let real = listed.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let mut names: Vec<String> = real
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Night 1 and night 2, then both rolled back. Each night prunes to one release, and takes nothing that a rollback needs.
#[test]
#[ignore = "four upgrades there and back: the long tier runs it (tests/long)"]
fn two_nights_each_pruned_to_one_release_go_back_to_where_the_first_began() {
    let upgrade = Upgrade::with(releases(Keeping::Plain));
    let platform = &upgrade.platform;
    platform.add_release("3.0");
    upgrade.works("1.0");
    let (before, links) = (upgrade.world().without_data(), lead(platform));
    let data = upgrade.data();
    let world = platform.world();
    let mut nights: Vec<(World, Vec<String>)> = Vec::new();
    for (release, former) in [("2.0", "0001"), ("3.0", "0002")] {
        let done = world.upledger(&["run", &night(&upgrade, release, former)]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(platform.release(), release);
        upgrade.works(release);
        nights.push((upgrade.world().without_data(), lead(platform)));
    }
    assert_ne!(nights[0].1, nights[1].1);
    // All of them are needed: by a link, or by what can be rolled back.
    assert_eq!(there(platform, "statics"), ["2.0", "3.0", "first"]);
    assert_eq!(there(platform, "releases").len(), 3);
    let events = serde_json::to_string(&world.events()).expect("JSON");
    assert!(events.contains("is kept: the rollback of"), "{events}");

    let back = world.upledger(&["rollback", "--reason", "night 2"]);
    assert_eq!(back.code, 5, "{back:?}");
    let now = (upgrade.world().without_data(), lead(platform));
    assert_eq!(now, nights.remove(0));
    upgrade.works("2.0");
    let first = world.upledger(&["runs", "--json"]);
    let first: serde_json::Value = serde_json::from_str(
        first
            .out
            .lines()
            .find(|l| l.contains("completed"))
            .expect("a run"),
    )
    .expect("JSON");
    let name = first["run"].as_str().expect("its name").to_owned();
    let back = world.upledger(&["rollback", &name, "--reason", "night 1"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(upgrade.world().without_data(), before);
    assert_eq!(lead(platform), links);
    data.is_kept(&upgrade);
    upgrade.works("1.0");

    // What was rolled back needs nothing any more: another night leaves its own release and the first.
    let done = world.upledger(&["run", &night(&upgrade, "3.0", "0001")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(there(platform, "statics"), ["3.0", "first"]);
    assert_eq!(there(platform, "venvs"), ["3.0"], "1.0 is a link");
}

/// Night 1 finds its services by a pattern, night 2 by their pidfiles.
#[test]
#[ignore = "three upgrades that vary another test: the long tier runs it (tests/long)"]
fn two_nights_that_find_their_services_in_different_ways_go_back_or_refuse_before_anything_changes()
{
    let upgrade = Upgrade::with(releases(Keeping::Plain));
    let platform = &upgrade.platform;
    platform.add_release("3.0");
    upgrade.works("1.0");
    let (before, data) = (upgrade.world().without_data(), upgrade.data());
    let world = platform.world();
    let pattern = |plan: String, step: &str, of: &str| {
        // From `by: {` to the end of its braces.
        let at = plan.find(&format!("{{id: {step},")).expect("the step");
        let by = at + plan[at..].find("by: {").expect("who keeps it") + 4;
        let mut depth = 0;
        let end = plan[by..]
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth == 0
            })
            .expect("its end")
            .0;
        format!(
            "{}{{match: \"{of}\"}}{}",
            &plan[..by],
            &plan[by + end + 1..]
        )
    };
    let path = night(&upgrade, "2.0", "0001");
    let mut plan = std::fs::read_to_string(&path).expect("the plan");
    plan = pattern(plan, "web-off", "${root}/.*gunicorn");
    plan = pattern(plan, "beat-off", "${root}/.*celery_app beat");
    plan = pattern(plan, "workers-off", "${root}/.*celery_app worker");
    std::fs::write(&path, plan).expect("written");
    let done = world.upledger(&["run", &path]);
    assert_eq!(done.code, 0, "{done:?}");
    let first = world.status()["run"].as_str().expect("a run").to_owned();
    let done = world.upledger(&["run", &night(&upgrade, "3.0", "0002")]);
    assert_eq!(done.code, 0, "{done:?}");
    let back = world.upledger(&["rollback", "--reason", "night 2"]);
    assert_eq!(back.code, 5, "{back:?}");
    upgrade.works("2.0");
    let between = upgrade.world();
    let back = world.upledger(&["rollback", &first, "--reason", "night 1"]);
    if back.code == 5 {
        upgrade.works("1.0");
        assert_eq!(platform.release(), "1.0");
        assert_eq!(upgrade.world().without_data(), before);
        data.is_kept(&upgrade);
    } else {
        assert_eq!(
            upgrade.world(),
            between,
            "refused before anything changes: {back:?}"
        );
        upgrade.works("2.0");
    }
}

/// What is prepared and switched, with the failpoint in every step: `@` is the hook.
const KILLED: &str = r#"phases:
  - phase: prepare
    live: true
    steps:
      - {id: code, do: {git.deploy: {repo: "${repo}", ref: bklog/2.0, releases: "${root}/releases"}}, ENV}
      - {id: deps, do: {pip.install: {venv: "${venvs}/2.0", python: /usr/bin/python3, requirements: ["${root}/none.txt"], smoke: [[bin/python, -c, "import json"]]}}, ENV}
      - {id: files, do: {django.collectstatic: {python: "${venvs}/1.0/bin/python", into: "${root}/statics/2.0"}}, cwd: {from: code.release}, ENV}
  - phase: switch
    steps:
      - {id: switch, do: {release.switch: {links: [{path: "${code}", to: {from: code.release}}, {path: "${venv}", to: {from: deps.venv}}, {path: "${static}", to: {from: files.root}}]}}, ENV}
"#;

/// Places of prepare, of the switch and of its undo.
const FORWARDS: [&str; 15] = [
    "release-shared",
    "release-cloned",
    "release-made",
    "pip-made",
    "pip-venv",
    "pip-proved",
    "aside-before-collected",
    "aside-collected",
    "aside-whole",
    "aside-named",
    "switch-noted",
    "switch-one:1",
    "switch-one:2",
    "switch-one:3",
    "switch-all",
];
const BACKWARDS: [&str; 5] = [
    "back-noted",
    "back-one:1",
    "back-one:2",
    "back-one:3",
    "back-all",
];

/// One world in which everybody is killed at a place.
struct Killed<'a> {
    platform: &'a Platform,
    old: Vec<String>,
}

impl Killed<'_> {
    /// The plan, which stops at that place when it first comes by.
    fn plan(&self, point: &str) -> String {
        let hook = self.platform.path("hook");
        if hook.exists() {
            std::fs::remove_file(&hook).expect("removed");
        }
        let env = format!(
            "env: {{UPLEDGER_FAILPOINT: 'stop={point}@{}'}}",
            hook.display()
        );
        let plan = self
            .platform
            .plan("killed.yaml", &KILLED.replace("ENV", &env));
        plan.to_str().expect("text").to_owned()
    }

    /// Starts a command and kills runner, supervisor and action at the place.
    fn kill_at(&self, point: &str, args: &[&str]) {
        let world = self.platform.world();
        let mut runner = world.start(args);
        let limit = Instant::now() + Duration::from_secs(180);
        while !self.platform.path("hook").exists() {
            let ended = runner.try_wait().expect("our child");
            assert!(
                ended.is_none() && Instant::now() < limit,
                "{point} never came: {ended:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let supervisors = world.supervisors();
        let actions: Vec<i32> = supervisors.iter().flat_map(|s| children(*s)).collect();
        assert!(!actions.is_empty(), "{point}: an action is at work");
        runner.kill().expect("our child");
        supervisors
            .iter()
            .chain(&actions)
            .for_each(|pid| kill(*pid));
        runner.wait().expect("it ends");
        patiently("all are dead", || world.supervisors().is_empty());
    }

    fn assert_old(&self, point: &str) {
        assert_eq!(lead(self.platform), self.old, "{point}");
    }

    fn assert_new(&self, point: &str) {
        let now = lead(self.platform);
        assert!(now[0].contains("/releases/bklog-2.0-"), "{point}: {now:?}");
        assert!(now[1].ends_with("/venvs/2.0"), "{point}: {now:?}");
        assert!(now[2].ends_with("/statics/2.0"), "{point}: {now:?}");
    }

    fn assert_nothing_is_left_over(&self, point: &str) {
        for dir in ["", "releases", "venvs", "statics"] {
            let listed = std::fs::read_dir(self.platform.path(dir))
                .expect("there")
                .flatten();
            for entry in listed {
                let name = entry.file_name().to_string_lossy().into_owned();
                assert!(
                    !name.contains(".new-") && !name.contains(".old-"),
                    "{point}: {name}"
                );
            }
        }
    }

    /// What was built is gone, so that it is built again.
    fn forget(&self) {
        for dir in ["releases", "venvs", "statics"] {
            for name in there(self.platform, dir) {
                if name.contains("2.0") {
                    let path = self.platform.path(dir).join(name);
                    std::fs::remove_dir_all(path).expect("removed");
                }
            }
        }
    }
}

#[test]
fn killed_at_twenty_places_the_links_lead_to_one_release() {
    let platform = Platform::up(releases(Keeping::Down));
    platform.write("none.txt", "");
    let killed = Killed {
        old: lead(&platform),
        platform: &platform,
    };
    let world = platform.world();
    let roll_back = ["rollback", "--reason", "test"];
    for (at, point) in some_of(&FORWARDS).into_iter().enumerate() {
        // What is built stays, but where its own building is cut off.
        if !point.starts_with("switch") {
            let built = ["release", "pip", "aside"]
                .iter()
                .position(|p| point.starts_with(p));
            let dir = ["releases", "venvs", "statics"][built.expect("it builds")];
            for name in there(&platform, dir).iter().filter(|n| n.contains("2.0")) {
                std::fs::remove_dir_all(platform.path(dir).join(name)).expect("removed");
            }
        }
        killed.kill_at(point, &["run", &killed.plan(point)]);
        if !point.starts_with("switch") {
            killed.assert_old(point);
        }
        // Half of them go on first; each goes back.
        if at % 2 == 0 {
            let done = world.upledger(&["resume"]);
            assert_eq!(done.code, 0, "{point}: {done:?}");
            killed.assert_new(point);
        }
        let back = world.upledger(&roll_back);
        assert_eq!(back.code, 5, "{point}: {back:?}");
        killed.assert_old(point);
        killed.assert_nothing_is_left_over(point);
    }
    for point in some_of(&BACKWARDS) {
        let done = world.upledger(&["run", &killed.plan(point)]);
        assert_eq!(done.code, 0, "{point}: {done:?}");
        killed.assert_new(point);
        killed.kill_at(point, &roll_back);
        let back = world.upledger(&["resume"]);
        assert_eq!(back.code, 5, "{point}: {back:?}");
        killed.assert_old(point);
        killed.assert_nothing_is_left_over(point);
    }
    killed.forget();
}

/// The application writes to its database when it is set up: beside the living service that is refused, and nothing is
/// written; behind the stop the same steps do their work.
#[test]
fn nothing_beside_the_living_service_writes_to_its_database() {
    let platform = Platform::up(releases(Keeping::Down));
    let rows = || platform.sql("SELECT COUNT(*) FROM orders WHERE token = 'ready'");
    let dir = platform.path("releases/first");
    let apps = dir.join("apps/log_search/apps.py");
    assert!(apps.parent().is_some_and(Path::is_dir));
    std::fs::write(
        &apps,
        "from django.apps import AppConfig\n\n\nclass Writes(AppConfig):\n    name = 'apps.log_search'\n    label = 'log_search'\n\
         \n    def ready(self):\n        from django.db import connection\n\n        with connection.cursor() as cursor:\n            \
         cursor.execute(\"INSERT INTO orders (token, version, at) VALUES ('ready', '', NOW())\")\n",
    )
    .expect("written");
    let steps = r#"
      - {id: files, do: {django.collectstatic: {python: "${python}", into: "${root}/statics/new"}}, cwd: "${code}"}
      - {id: deps, do: {pip.install: {venv: "${venvs}/new", python: /usr/bin/python3, requirements: ["${root}/none.txt"], smoke: [SMOKE]}}, cwd: "${code}"}
"#;
    platform.write("none.txt", "");
    let plan = |live: bool, steps: &str| {
        let head = if live { "    live: true\n" } else { "" };
        let text = format!("phases:\n  - phase: all\n{head}    steps:{steps}");
        platform
            .plan("writes.yaml", &text)
            .to_str()
            .expect("text")
            .to_owned()
    };
    let lines: Vec<&str> = steps.lines().filter(|l| !l.is_empty()).collect();
    let world = platform.world();
    let refused = |step: String, why: &str| {
        let done = world.upledger(&["run", &plan(true, &format!("\n{step}\n"))]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.out.contains(why), "{why}: {done:?}");
        assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);
        assert_eq!(rows(), "0", "{why}");
    };
    refused(lines[0].into(), "writes to its database when it is set up");
    // A smoke command is under the same guard, and one that cannot be is refused.
    let python = platform.text("venv/bin/python");
    let smoke = |words: &str| lines[1].replace("SMOKE", words);
    refused(
        smoke(&format!("[{python}, manage.py, check]")),
        "not allowed while the service is running",
    );
    refused(
        smoke("[bin/python, -I, -c, \"import json\"]"),
        "cannot tell whether",
    );
    let done = world.upledger(&["run", &plan(false, &format!("\n{}\n", lines[0]))]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(rows(), "0", "behind the stop it writes");
    assert!(!tree(&platform.path("statics/new")).is_empty());
}
