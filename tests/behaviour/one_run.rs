//! Proves that several steps of one run may touch the same thing: what one of them has written or brought back is not
//! somebody else's to the undo of another, and a site that a run has closed is open again after its rollback.

use crate::common::eventually;
use crate::keeper::Place;

/// A rollback that ends as it shall.
fn back(place: &Place) {
    let done = place.rollback();
    assert_eq!(done.code, 5, "{done:?}");
}

#[test]
fn what_a_later_step_has_written_and_nobody_takes_back_is_of_the_run() {
    let place = Place::new();
    let first = "{id: first, do: {file.replace: {path: @/conf, content: 'a=2'}}}";
    let line = "{id: line, do: {file.line: {path: @/conf, match: '^a=', line: 'a=3'}}, undo: none}";
    place.write("conf", "a=1\n");
    let done = place.run(&[first, line]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(place.lines("conf"), ["a=3"]);
    back(&place);
    assert_eq!(std::fs::read(place.path("conf")).expect("there"), b"a=1\n");
    // What no step has written is a stranger's, as ever.
    assert_eq!(place.run(&[first, line]).code, 0);
    place.write("conf", "a=4\n");
    let stuck = place.rollback();
    assert_eq!(stuck.code, 6, "{stuck:?}");
    assert_eq!(place.lines("conf"), ["a=4"]);
}

#[test]
fn lines_of_one_crontab_that_several_steps_switch_are_as_before() {
    let place = Place::new();
    let table = "1 1 * * * /srv/a run\n2 2 * * * /srv/b run\n3 3 * * * /srv/a /srv/b\n";
    place.write("tab", table);
    let off = |id: &str, what: &str| {
        format!("{{id: {id}, do: {{cron.disable: {{match: {what}, file: @/tab}}}}}}")
    };
    let on = |id: &str| format!("{{id: {id}, do: {{cron.enable: {{file: @/tab}}}}}}");
    let edit =
        "{id: edit, do: {file.line: {path: @/tab, match: '^2 2', line: '4 4 * * * /srv/b run'}}}";
    let steps = [
        off("a", "/srv/a"),
        on("again"),
        edit.to_owned(),
        off("b", "/srv/b"),
        off("rest", "/srv/a"),
    ];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let done = place.run(&steps);
    assert_eq!(done.code, 0, "{done:?}");
    let off = place
        .lines("tab")
        .iter()
        .filter(|l| l.starts_with('#'))
        .count();
    assert_eq!(off, 3);
    back(&place);
    assert_eq!(
        std::fs::read_to_string(place.path("tab")).expect("there"),
        table
    );
}

/// The undo of a stop starts a process that the undo of the start before it has never seen, and that no pidfile names.
#[test]
fn what_the_undo_of_a_later_stop_has_brought_back_ends_with_the_undo_of_the_start() {
    let place = Place::new();
    place.write("serve.sh", "while :; do sleep 0.05; done");
    let up =
        "{id: up, do: {process.start: {argv: [/bin/sh, @/serve.sh], pidfile: @/pid, log: @/log}}}";
    let by = "{match: '^/bin/sh .*serve', start: [/bin/sh, @/serve.sh], log: @/log}"
        .replace("serve', start", &format!("{}/serve', start", place.here()));
    let stop = format!("{{id: stop, do: {{service.stop: {{by: {by}}}}}}}");
    let again = format!("{{id: again, do: {{service.start: {{by: {by}}}}}}}");
    let done = place.run(&[up, &stop, &again]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(place.pids("serve.sh").len(), 1);
    back(&place);
    assert_eq!(place.pids("serve.sh"), [0; 0], "nothing ran before");
    assert!(!place.path("pid").exists());
}

#[test]
fn a_start_that_cannot_work_is_found_before_the_stop_or_the_rollback_opens_the_site() {
    let place = Place::new();
    place.write(
        "serve.sh",
        "trap 'exit 0' TERM; while :; do sleep 0.05; done",
    );
    let up =
        "{id: up, do: {process.start: {argv: [/bin/sh, @/serve.sh], pidfile: @/pid, log: @/log}}}";
    assert_eq!(place.run(&[up]).code, 0);
    let before = place.pids("serve.sh");
    let stop = "{id: stop, do: {process.stop: {pidfile: @/pid}}}";
    let start = |program: &str| {
        format!(
            "{{id: start, do: {{process.start: {{argv: [{program}], pidfile: @/pid, log: @/log}}}}}}"
        )
    };
    let done = place.run(&[stop, &start("@/absent/serve")]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("start: "), "{done:?}");
    assert_eq!(place.pids("serve.sh"), before, "it was not stopped");

    // What only the start itself can show: a script that an earlier step has replaced by one that ends at once.
    let replace = "{id: code, do: {file.replace: {path: @/next.sh, content: 'exit 7'}}}";
    let done = place.run(&[stop, replace, &start("/bin/sh, @/next.sh")]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(place.pids("serve.sh").is_empty(), "it is closed");
    back(&place);
    assert_eq!(place.pids("serve.sh").len(), 1, "it is open again");
    assert!(!place.path("next.sh").exists());
}

/// supervisord says RUNNING of a program that never becomes ready, and would start nothing anew.
#[test]
fn a_retry_replaces_what_a_supervisor_runs_and_is_not_ready() {
    let place = Place::new();
    place.write(
        "serve.py",
        "import os, socket, sys, time\nif not os.path.exists('@/go'): time.sleep(1000)\n\
         s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\nwhile True: s.accept()[0].close()\n",
    );
    place.supervisord("[program:web]\ncommand=python3 @/serve.py %\nautostart=false\n");
    let start = "{id: start, do: {service.start: {by: {supervisor: {program: web, ctl: [supervisorctl, -c, @/s.conf]}}, \
                 ready: {port: '%'}, within: 4s}}}";
    let done = place.run(&[start]);
    assert_eq!(done.code, 1, "{done:?}");
    let first = place.pids("serve.py");
    assert_eq!(first.len(), 1, "it is running, and not ready");
    place.write("go", "");
    let decided = place.upledger(&["decide", "start", "retry", "--reason", "it may go now"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let done = place.upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(place.pids("serve.py"), first, "it was replaced");
    back(&place);
    assert!(place.ctl(&["status", "web"]).1.contains("STOPPED"));

    // One that ran before is named with what stops it.
    std::fs::remove_file(place.path("go")).expect("removed");
    assert!(place.ctl(&["start", "web"]).0);
    eventually("it runs", || place.pids("serve.py").len() == 1);
    let done = place.run(&[start]);
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        "was running before this step",
        "stop it first: ",
        "stop web",
    ] {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
}
