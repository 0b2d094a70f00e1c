//! `service.stop` and `service.start`: stopped and started by the keeper, proved from outside, undone the same way, and
//! no stranger is touched.

use crate::common::{eventually, kill};
use crate::keeper::{Place, SERVER};
use std::net::TcpListener;

const PIDFILE: &str = "{pidfile: @/app.pid, start: [python3, @/server.py, '%', @/app.pid, fork], log: @/log, cwd: @/}";

fn place() -> Place {
    let place = Place::new();
    place.write("server.py", SERVER);
    place
}

fn stop(by: &str) -> String {
    format!("{{id: stop, do: {{service.stop: {{by: {by}}}}}}}")
}

fn start(by: &str) -> String {
    format!("{{id: start, do: {{service.start: {{by: {by}, ready: {{port: '%'}}}}}}}}")
}

#[test]
fn a_server_of_its_own_pidfile_is_started_stopped_and_brought_back() {
    let place = place();
    let preview = {
        place.plan(&[&start(PIDFILE)]);
        place.upledger(&["plan", "plan.yaml"])
    };
    assert_eq!(preview.code, 0, "{preview:?}");
    assert!(place.processes().is_empty(), "a preview starts nothing");
    let done = place.run(&[&start(PIDFILE)]);
    assert_eq!(done.code, 0, "{done:?}");
    let first = place.pids("server.py");
    assert_eq!(first.len(), 1);
    let again = place.run(&[&start(PIDFILE)]);
    assert_eq!((again.code, place.pids("server.py")), (0, first.clone()));

    // A plan looks, and the server lives on.
    place.plan(&[&stop(PIDFILE)]);
    let preview = place.upledger(&["plan", "plan.yaml"]);
    assert!(preview.out.contains("TERM, and KILL after"), "{preview:?}");
    assert_eq!(place.pids("server.py"), first);
    let done = place.run(&[&stop(PIDFILE)]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.processes().is_empty() && !place.path("app.pid").exists());
    assert!(place.log().contains("closed: port"), "{}", place.log());
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    let second = place.pids("server.py");
    assert!(second.len() == 1 && second != first && place.get("/").is_some());

    let twice = place.run(&[
        &stop(PIDFILE),
        &stop(PIDFILE).replace("id: stop", "id: twice"),
    ]);
    assert_eq!(twice.code, 0, "{twice:?}");
    assert!(place.processes().is_empty());
}

#[test]
fn what_was_found_by_its_command_line_comes_back_as_it_ran() {
    let place = place();
    let mut child = place.spawn(
        &[
            "python3",
            &format!("{}/server.py", place.here()),
            &place.port.to_string(),
            "-",
            "worker",
        ],
        "out",
    );
    place.await_port();
    eventually("the worker is there", || place.pids("server.py").len() == 2);
    let by = "{match: 'server\\.py % -'}";
    let done = place.run(&[&stop(by)]);
    // It is our child, so that somebody has to wait for it.
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.processes().is_empty(), "{:?}", place.processes());
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.get("/").is_some(), "{undone:?}");
    eventually("the worker, too", || place.pids("server.py").len() == 2);
    eventually("the old log goes on", || {
        place.lines("out").iter().filter(|l| *l == "begun").count() >= 2
    });
}

#[test]
fn who_does_not_end_is_killed_and_the_kill_is_an_event() {
    let place = place();
    let by = "{pidfile: @/app.pid, start: [python3, @/server.py, '%', @/app.pid, fork, stubborn, worker], log: @/log}";
    assert_eq!(place.run(&[&start(by)]).code, 0);
    let step = "{id: stop, do: {service.stop: {by: BY, grace: 300ms}}}".replace("BY", by);
    let done = place.run(&[&step]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.processes().is_empty());
    assert!(!place.path("app.pid").exists(), "a stale pidfile");
    let log = place.log();
    assert!(log.contains("KILL to process"), "{log}");
}

#[test]
fn a_number_that_may_have_passed_on_is_refused_and_a_stale_pidfile_ends_nobody() {
    let place = place();
    let mut stranger = place.spawn(&["sleep", "1000"], "out");
    let number = stranger.id();
    let pidfile = place.write("app.pid", &format!("{number}\n"));
    let old = std::fs::File::options()
        .write(true)
        .open(&pidfile)
        .expect("it");
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(86_400))
        .expect("its time");
    let done = place.run(&[&stop(PIDFILE)]);
    // A stranger, or the service behind a clock that was set: neither "nothing runs" nor a signal is right.
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains(&format!("ps -fp {number}")), "{done:?}");
    assert!(stranger.try_wait().expect("a look").is_none(), "it lives");
    stranger.kill().expect("killed");
    stranger.wait().expect("its end");
    let done = place.run(&[&stop(PIDFILE)]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.log().contains("which has ended"), "{}", place.log());
}

#[test]
fn a_port_that_a_stranger_holds_is_named_and_nothing_is_started() {
    let place = place();
    let held = TcpListener::bind(("127.0.0.1", place.port)).expect("the port");
    let done = place.run(&[&start(PIDFILE)]);
    assert_ne!(done.code, 0);
    let said = format!("{}{}", done.out, done.err);
    assert!(
        said.contains(&format!("port {} is taken by", place.port)),
        "{said}"
    );
    assert!(place.processes().is_empty());
    drop(held);
}

#[test]
fn supervisord_stops_starts_and_brings_back_what_it_keeps() {
    let place = place();
    place.supervisord(
        "[program:web]\ncommand=python3 @/server.py % -\nautorestart=true\n\
         [group:g]\nprograms=a,b\n[program:a]\ncommand=sleep 1000\n[program:b]\ncommand=sleep 1001\nautostart=false\n",
    );
    place.await_port();
    let web = "{supervisor: {program: web, ctl: [supervisorctl, -c, @/s.conf]}}";
    let first = place.pids("server.py");

    // By its command line it is refused, with the remedy.
    let refused = place.run(&[&stop("{match: 'server\\.py %'}")]);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(
        refused.code != 0 && said.contains("by: {supervisor: {program: 'web'}}"),
        "{said}"
    );
    assert_eq!(place.pids("server.py"), first);
    assert_eq!(refused.code, 3, "{said}");

    let done = place.run(&[&stop(web)]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.pids("server.py").is_empty());
    assert!(place.ctl(&["status", "web"]).1.contains("STOPPED"));
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.ctl(&["status", "web"]).1.contains("RUNNING") && place.get("/").is_some());

    // Of a group only what ran is brought back.
    let group = "{supervisor: {program: 'g:*', ctl: [supervisorctl, -c, @/s.conf]}}";
    assert_eq!(place.run(&[&stop(group)]).code, 0);
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.ctl(&["status", "g:a"]).1.contains("RUNNING"));
    assert!(place.ctl(&["status", "g:b"]).1.contains("STOPPED"));

    assert_eq!(place.run(&[&stop(web)]).code, 0);
    let done = place.run(&[&start(web)]);
    assert_eq!(done.code, 0, "{done:?}");
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.ctl(&["status", "web"]).1.contains("STOPPED"));
}

#[test]
fn a_member_that_did_not_run_before_the_stop_is_not_demanded_by_the_start() {
    let place = place();
    place.supervisord(
        "[group:g]\nprograms=web,bad\n[program:web]\ncommand=python3 @/server.py % -\n\
         [program:bad]\ncommand=sh -c 'exit 3'\nstartretries=0\n",
    );
    place.await_port();
    eventually("the other one has failed", || {
        place.ctl(&["status", "g:bad"]).1.contains("FATAL")
    });
    let group = "{supervisor: {program: 'g:*', ctl: [supervisorctl, -c, @/s.conf]}}";
    let done = place.run(&[&stop(group), &start(group)]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.ctl(&["status", "g:web"]).1.contains("RUNNING") && place.get("/").is_some());
    let said = place.upledger(&["log", "--output", "start"]).out;
    assert!(
        said.contains("g:bad is FATAL") && said.contains("not waited for"),
        "{said}"
    );
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.ctl(&["status", "g:web"]).1.contains("RUNNING") && place.get("/").is_some());

    // Of a set of which nothing ran all is demanded, as by a start alone.
    place.ctl(&["stop", "g:*"]);
    let done = place.run(&[&stop(group), &start(group)]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("g:bad is FATAL"), "{done:?}");
}

#[test]
fn a_program_that_supervisord_gives_up_and_a_supervisord_that_is_gone_are_told() {
    let place = place();
    place.supervisord(
        "[program:bad]\ncommand=sh -c 'echo no_such_module_here >&2; exit 3'\nautostart=false\nstartretries=1\nstartsecs=1\n\
         [program:short]\ncommand=sh -c 'sleep 2; echo its_last_words >&2; exit 3'\nautostart=false\nautorestart=false\nstartsecs=0\n\
         [program:loop]\ncommand=sh -c 'sleep 0.2; exit 3'\nautostart=false\nautorestart=true\nstartsecs=0\n",
    );
    let by = |name: &str| {
        format!("{{supervisor: {{program: {name}, ctl: [supervisorctl, -c, @/s.conf]}}}}")
    };
    let start = |name: &str| {
        format!(
            "{{id: start, do: {{service.start: {{by: {}, within: 90s}}}}}}",
            by(name)
        )
    };
    let done = place.run(&[&start("bad")]);
    assert_ne!(done.code, 0);
    let said = format!(
        "{}{}",
        done.out,
        place.upledger(&["log", "--output", "start"]).out
    );
    assert!(
        said.contains("FATAL") && said.contains("no_such_module_here"),
        "{said}"
    );
    assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);

    // RUNNING, says supervisord, of each of its lives.
    let done = place.run(&[&start("loop")]);
    assert_eq!(done.code, 1, "{done:?}");
    let said = place.upledger(&["log", "--output", "start"]).out;
    // Seen between two of its lives, or in another one.
    let seen = ["has ended", "exited after the start"];
    assert!(seen.iter().any(|s| said.contains(s)), "{said}");
    assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);
    place.ctl(&["stop", "loop"]);

    // The same, and then it dies, before it has ever answered.
    let short = format!(
        "{{id: start, do: {{service.start: {{by: {}, ready: {{port: '%'}}, within: 90s}}}}}}",
        by("short")
    );
    let done = place.run(&[&short]);
    assert_eq!(done.code, 1, "{done:?}");
    let said = place.upledger(&["log", "--output", "start"]).out;
    assert!(
        said.contains("exited after the start") && said.contains("its_last_words"),
        "{said}"
    );
    assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);

    let none = place.run(&[&start("nobody")]);
    let said = format!("{}{}", none.out, none.err);
    assert!(said.contains("no program nobody"), "{said}");
    assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);
    for (pid, line) in place.processes() {
        if line.contains("supervisord") {
            kill(pid);
        }
    }
    eventually("supervisord is gone", || !place.ctl(&["pid"]).0);
    let gone = place.run(&[&stop(&by("bad"))]);
    let said = format!("{}{}", gone.out, gone.err);
    assert!(
        gone.code != 0 && said.contains("supervisord does not respond"),
        "{said}"
    );
}

/// Runs a step that dies at this place, and then again.
fn dies_and_is_run_again(place: &Place, step: &str, point: &str) {
    let env = format!("env: {{UPLEDGER_FAILPOINT: '{point}@@/died-at-{point}'}}}}");
    let step = format!("{}, {env}", step.strip_suffix('}').expect("a map"));
    let died = place.run(&[&step]);
    assert_eq!(died.code, 1, "{point}: {died:?}");
    assert!(place.died_at(point), "{died:?}");
    let question = place.status()["question"]["step"].clone();
    let id = question.as_str().expect("a question");
    let again = place.upledger(&["decide", id, "retry", "--reason", "again"]);
    assert_eq!(again.code, 0, "{point}: {again:?}");
    let resumed = place.upledger(&["resume"]);
    assert_eq!(resumed.code, 0, "{point}: {resumed:?}");
}

#[test]
fn a_stop_that_dies_in_the_middle_is_finished_and_rolled_back() {
    for point in ["service-stop", "service-stopped"] {
        let place = place();
        assert_eq!(place.run(&[&start(PIDFILE)]).code, 0);
        dies_and_is_run_again(&place, &stop(PIDFILE), point);
        assert!(place.processes().is_empty(), "{point}");
        let undone = place.rollback();
        assert_eq!(undone.code, 5, "{undone:?}");
        assert_eq!(place.pids("server.py").len(), 1);
    }
}

#[test]
fn a_start_that_dies_is_made_once_and_rolled_back() {
    let place = place();
    dies_and_is_run_again(&place, &start(PIDFILE), "service-start");
    assert_eq!(place.pids("server.py").len(), 1);
    assert!(place.get("/").is_some());
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.processes().is_empty());
}

#[test]
fn a_service_of_another_user_comes_back_as_that_user() {
    let place = place();
    let port = place.port.to_string();
    let server = format!("{}/server.py", place.here());
    // Only root can be somebody else; anybody else proves that it stays their own.
    let root = rustix::process::geteuid().is_root();
    let mut words = vec![
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--groups=65533",
    ];
    if root {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place.path(""), open).expect("its mode");
    } else {
        words.clear();
    }
    words.extend(["/usr/bin/python3", &server, &port, "-"]);
    let mut child = place.spawn(&words, "out");
    place.await_port();
    let status = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let kept = ["Uid:", "Gid:", "Groups:", "Umask:"];
        let lines = text
            .lines()
            .filter(|l| kept.iter().any(|k| l.starts_with(k)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = status(place.pids("server.py")[0]);
    let done = place.run(&[&stop("{match: 'server\\.py % -'}")]);
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(status(place.pids("server.py")[0]), before);
}

#[test]
fn a_program_that_supervisord_has_to_kill_is_on_record() {
    let place = place();
    place.supervisord(
        "[program:deaf]\ncommand=python3 @/server.py % - stubborn worker\nstopwaitsecs=1\n",
    );
    place.await_port();
    eventually("its worker, too", || place.pids("server.py").len() == 2);
    let by = "{supervisor: {program: deaf, ctl: [supervisorctl, -c, @/s.conf]}}";
    let done = place.run(&[&stop(by)]);
    assert_eq!(done.code, 0, "{done:?}");
    let log = place.log();
    assert!(log.contains("killed by its own stopwaitsecs"), "{log}");
    // supervisord ends the process that it knows; what that one started is ended by the step, on record as well.
    assert!(place.pids("server.py").is_empty());
    assert!(log.contains("KILL to process"), "{log}");
}
