//! Many programs of one supervisord: a set is stopped and started as one service, and who has come and gone is named.

use crate::common::eventually;
use crate::keeper::Place;

const CTL: &str = "ctl: [supervisorctl, -c, @/s.conf]";

/// Ends once it and two others of its kind were told to: one after the other they would wait for ever.
const TOGETHER: &str = r#"cd "$(dirname "$0")"
trap 'touch told-$1; while ! { [ -e told-1 ] && [ -e told-2 ] && [ -e told-3 ]; }; do sleep 0.05; done; exit 0' TERM
while :; do sleep 0.05; done
"#;

/// The words of a configuration: with `@` for this world, as `Place::write` does.
fn program(name: &str, command: &str, more: &str) -> String {
    format!("[program:{name}]\ncommand={command}\nstartsecs=0\nstopwaitsecs=20\n{more}\n")
}

fn set(names: &str) -> String {
    format!("{{supervisor: {{programs: {names}, {CTL}}}}}")
}

fn stop(by: &str) -> String {
    format!("{{id: stop, do: {{service.stop: {{by: {by}}}}}}}")
}

fn start(by: &str) -> String {
    format!("{{id: start, do: {{service.start: {{by: {by}}}}}}}")
}

/// What supervisord says of each of its programs.
fn states(place: &Place) -> Vec<String> {
    let (_, shown) = place.ctl(&["status"]);
    let words = shown.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    words.collect()
}

#[test]
fn a_set_is_stopped_as_one_and_who_has_come_and_gone_is_named() {
    let place = Place::new();
    place.write("together.sh", TOGETHER);
    let waits = |n: u8| format!("sh @/together.sh {n}");
    let others = program("web", "sleep 1000", "")
        + "[group:bk_g]\nprograms=c,d\n"
        + &program("c", &waits(3), "")
        + &program("d", "sleep 1001", "autostart=false");
    let before = program("bk_a", &waits(1), "") + &program("bk_b", &waits(2), "") + &others;
    place.supervisord(&before);
    let by = set("'bk_*'");

    place.plan(&[&stop(&by)]);
    let preview = place.upledger(&["plan", "plan.yaml"]);
    let members = "members: bk_a is RUNNING, bk_b is RUNNING, bk_g:c is RUNNING, bk_g:d is STOPPED";
    assert_eq!(preview.code, 0, "{preview:?}");
    assert!(preview.out.contains(members), "{preview:?}");

    let all = |state: &str| {
        ["bk_a", "bk_b", "bk_g:c"]
            .iter()
            .all(|name| states(&place).contains(&format!("{name} {state}")))
    };
    let done = place.run(&[&stop(&by)]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(all("STOPPED"), "{:?}", states(&place));
    assert!(states(&place).contains(&"web RUNNING".to_owned()));
    let log = place.log();
    assert!(
        !log.contains("killed by its own stopwaitsecs"),
        "they were told at the same time: {log}"
    );
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(all("RUNNING"), "{:?}", states(&place));
    assert!(states(&place).contains(&"bk_g:d STOPPED".to_owned()));

    // Between the stop and the start the configuration changes.
    let update = "{id: update, do: {run: [supervisorctl, -c, @/s.conf, update]}, effect: idempotent, undo: none}";
    let after = program("bk_a", &waits(1), "")
        + &program("bk_e", "sleep 1002", "autostart=false")
        + &others;
    place.supervisord_conf(&after);
    let done = place.run(&[&stop(&by), update, &start(&by)]);
    assert_eq!(done.code, 0, "{done:?}");
    let log = place.log();
    for named in [
        "bk_b is not there any more since the step stop",
        "bk_e was added since the step stop",
    ] {
        assert!(log.contains(named), "{named}: {log}");
    }
    for runs in ["bk_a", "bk_e", "bk_g:c", "bk_g:d"] {
        assert!(states(&place).contains(&format!("{runs} RUNNING")));
    }
    // The start stops what it started; the stop starts what is still there, and names the other.
    let undone = place.rollback();
    assert_eq!(undone.code, 6, "{undone:?}");
    let said = place.upledger(&["log", "--output", "stop"]).out;
    assert!(said.contains("bk_b is not there any more"), "{said}");
    assert!(said.contains("supervisord has no program bk_b"), "{said}");
    eventually("the others run again", || {
        let states = states(&place);
        [
            "bk_a RUNNING",
            "bk_g:c RUNNING",
            "bk_e STOPPED",
            "bk_g:d STOPPED",
        ]
        .iter()
        .all(|s| states.contains(&(*s).to_owned()))
    });
    assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);

    for (names, why) in [
        ("[bk_a, nobody]", "no program nobody"),
        ("[bk_a, 'zz_*']", "no program that zz_* matches"),
    ] {
        let refused = place.run(&[&stop(&set(names))]);
        let said = format!("{}{}", refused.out, refused.err);
        assert!(refused.code == 1 && said.contains(why), "{said}");
        assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);
    }
    assert!(states(&place).contains(&"bk_a RUNNING".to_owned()));
}

/// A configuration before an upgrade, and the one that the upgrade brings.
const BEFORE: [(&str, &str, &str); 4] = [
    ("web", "sleep 1000", ""),
    ("old", "sleep 1001", ""),
    ("manual", "sleep 1002", "autostart=false"),
    ("same", "sleep 1003", ""),
];
const AFTER: [(&str, &str, &str); 4] = [
    ("web", "sleep 2000", ""),
    ("new", "sleep 2001", ""),
    ("manual", "sleep 2002", "autostart=false"),
    ("same", "sleep 1003", ""),
];

fn conf(of: &[(&str, &str, &str)]) -> String {
    of.iter()
        .map(|(name, command, more)| program(name, command, more))
        .collect()
}

/// The commands that run, by what they wait for.
fn sleepers(place: &Place) -> Vec<String> {
    let (_, pid) = place.ctl(&["pid"]);
    let children = crate::keeper::children(pid.trim().parse().expect("a number"));
    let line =
        |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut all: Vec<String> = children.into_iter().map(line).collect();
    all.iter_mut()
        .for_each(|l| *l = l.replace('\0', " ").trim().replace("sleep ", ""));
    all.sort();
    all
}

#[test]
fn an_update_is_shown_before_and_its_undo_stops_what_it_started() {
    let place = Place::new();
    place.supervisord(&conf(&BEFORE));
    place.ctl(&["start", "manual"]);
    let update = format!("{{id: update, do: {{supervisor.update: {{{CTL}}}}}}}");
    let all = ["1000", "1001", "1002", "1003"];
    eventually("all of it runs", || sleepers(&place) == all);
    let same = place.ctl(&["pid", "same"]).1;

    place.supervisord_conf(&conf(&AFTER));
    place.plan(&[&update]);
    let preview = place.upledger(&["plan", "plan.yaml"]);
    let details = place.upledger(&["plan", "plan.yaml", "--json"]);
    assert_eq!(preview.code, 0, "{preview:?}");
    for line in [
        "starts: new",
        "restarts: web",
        "stops, and does not start again (`autostart=false`): manual",
        "stops and removes: old",
    ] {
        assert!(details.out.contains(line), "{line}: {details:?}");
    }
    assert_eq!(sleepers(&place), all, "a preview changes nothing");

    let done = place.run(&[&update]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(sleepers(&place), ["1003", "2000", "2001"]);
    assert_eq!(place.ctl(&["pid", "same"]).1, same, "it is left alone");
    // The files hold the new configuration still.
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(sleepers(&place), ["1003", "2000", "2002"]);
    let log = place.log();
    assert!(
        log.contains("old ran before and is not configured any more"),
        "{log}"
    );

    // By hand.
    place.supervisord_conf(&conf(&BEFORE));
    place.ctl(&["update"]);
    place.ctl(&["start", "manual"]);
    eventually("all of it runs again", || sleepers(&place) == all);
    let again = place.run(&[&update]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(sleepers(&place), all, "there is nothing to update");

    // A run that changes the file, too, in the order of its plan.
    let text = std::fs::read_to_string(place.path("s.conf")).expect("the configuration");
    place.supervisord_conf(&conf(&AFTER));
    std::fs::rename(place.path("s.conf"), place.path("s.new")).expect("moved");
    std::fs::write(place.path("s.conf"), text).expect("written");
    let back = format!("{{id: back, do: {{supervisor.update: {{only: rollback, {CTL}}}}}}}");
    let replace = "{id: conf, do: {file.replace: {path: @/s.conf, from: @/s.new}}}";
    let broken = "{id: broken, do: {run: ['false']}, effect: pure}";
    let failed = place.run(&[&back, replace, &update, broken]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_eq!(sleepers(&place), ["1003", "2000", "2001"]);
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(sleepers(&place), all);
    assert_eq!(place.ctl(&["pid", "same"]).1, same);

    place.supervisord_conf("[program:x]\nautostart=false\n");
    let refused = place.run(&[&update]);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(
        refused.code == 1 && said.contains("cannot read its configuration"),
        "{said}"
    );
    assert_eq!(sleepers(&place), all);
}

#[test]
fn a_program_that_does_not_start_fails_the_update_and_is_stopped_by_its_undo() {
    let place = Place::new();
    place.supervisord(&conf(&BEFORE[..1]));
    let bad = "[program:bad]\ncommand=sh -c 'echo no_such_module >&2; exit 3'\nstartretries=1\nstartsecs=1\n";
    place.supervisord_conf(&(conf(&BEFORE[..1]) + bad));
    let update = format!("{{id: update, do: {{supervisor.update: {{{CTL}}}}}}}");
    let failed = place.run(&[&update]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = place.upledger(&["log", "--output", "update"]).out;
    assert!(
        said.contains("not started: bad is FATAL") && said.contains("no_such_module"),
        "{said}"
    );
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(sleepers(&place), ["1000"]);
}
