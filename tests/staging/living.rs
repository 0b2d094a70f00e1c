//! Services are judged by what lives: by processes that no note names any more, that are not what was there, or that
//! nobody has told yet; what a plan starts and stops is told, ended and brought back as a whole.

use crate::common::{Done, UPLEDGER, eventually, kill};
use crate::keeper::{Place, SERVER, get};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Finishes what it has when it gets the signal that ends it, and takes TERM for something else when that is another:
/// `slow.py PORT SIGNAL`. Asked for `/SECONDS`, it takes that long.
const SLOW: &str = r#"
import http.server, os, signal, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(os.path.join(os.path.dirname(sys.argv[0]), "requests"), "a") as f: f.write("begun\n")
        time.sleep(float(self.path[1:] or 0))
        self.send_response(200); self.end_headers(); self.wfile.write(b"whole")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = False
def end(*_): threading.Thread(target=server.shutdown).start()
if sys.argv[2] != "TERM": signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(getattr(signal, "SIG" + sys.argv[2]), end)
server.serve_forever()
server.server_close()
"#;

const PIDFILE: &str = "{pidfile: @/app.pid, start: [python3, @/server.py, '%', @/app.pid, fork], log: @/log, cwd: @/}";

fn place() -> Place {
    let place = Place::new();
    place.write("server.py", SERVER);
    place.write("slow.py", SLOW);
    place
}

fn stop(by: &str) -> String {
    format!("{{id: stop, do: {{service.stop: {{by: {by}}}}}}}")
}

fn start(by: &str) -> String {
    format!("{{id: start, do: {{service.start: {{by: {by}, ready: {{port: '%'}}}}}}}}")
}

fn supervised(program: &str) -> String {
    format!("{{supervisor: {{program: '{program}', ctl: [supervisorctl, -c, @/s.conf]}}}}")
}

fn said(done: &Done) -> String {
    format!("{}{}", done.out, done.err)
}

/// A request that takes so long, in flight.
fn ask(place: &Place, seconds: u32) -> std::thread::JoinHandle<Option<String>> {
    let port = place.port;
    let asked = std::thread::spawn(move || get(port, &format!("/{seconds}")));
    eventually("it is in flight", || !place.lines("requests").is_empty());
    asked
}

#[test]
fn a_pidfile_that_names_nobody_does_not_hide_a_server_that_writes_it() {
    let place = place();
    for content in [None, Some(""), Some("2000000000\n")] {
        assert_eq!(place.run(&[&start(PIDFILE)]).code, 0);
        let damage = || match content {
            None => std::fs::remove_file(place.path("app.pid")).expect("removed"),
            Some(text) => std::fs::write(place.path("app.pid"), text).expect("written"),
        };
        damage();
        // Whoever names the file may as well only read it; the command that starts it is its own.
        let pid = place.pids("server.py")[0];
        let unknown = place.run(&[&stop("{pidfile: @/app.pid}")]);
        let told = said(&unknown);
        assert!(
            unknown.code == 3 && told.contains(&pid.to_string()),
            "{told}"
        );
        let done = place.run(&[&stop(PIDFILE)]);
        assert_eq!(done.code, 0, "{content:?}: {done:?}");
        assert!(place.processes().is_empty(), "{content:?}");
        assert!(done.out.contains("done"), "{done:?}");
    }
}

#[test]
fn what_supervisord_has_lost_sight_of_is_named_and_neither_stopped_nor_started() {
    let place = place();
    place.supervisord(
        "[program:web]\ncommand=python3 @/server.py % - fork\nstartsecs=0\nautorestart=false\n",
    );
    place.await_port();
    eventually("to supervisord it has ended", || {
        place.ctl(&["status", "web"]).1.contains("EXITED")
    });
    let pid = place.pids("server.py")[0];
    for step in [stop(&supervised("web")), start(&supervised("web"))] {
        let refused = place.run(&[&step]);
        let told = said(&refused);
        assert_eq!(refused.code, 1, "{told}");
        assert!(
            told.contains(&pid.to_string()) && told.contains("background"),
            "{told}"
        );
        assert_eq!(place.pids("server.py"), [pid]);
        assert_eq!(place.upledger(&["abort", "--reason", "x"]).code, 12);
    }
}

#[test]
fn a_program_that_runs_beside_a_former_one_of_itself_is_not_stopped_without_it() {
    let place = place();
    place.supervisord(
        "[program:web]\ncommand=python3 @/server.py % - fork\nstartsecs=0\nautorestart=false\n\
         [program:other]\ncommand=sleep 1000\n",
    );
    place.await_port();
    // What another program has put into the background is none of its business.
    let other = place.run(&[&stop(&supervised("other"))]);
    assert_eq!(other.code, 0, "{other:?}");
    assert_eq!(place.pids("server.py").len(), 1);
    // The second one waits for the port that the first one holds.
    place.write("wait.py", "import time\ntime.sleep(1000)\n");
    place.write(
        "server.py",
        "import runpy, os\nrunpy.run_path(os.path.dirname(__file__) + '/wait.py')\n",
    );
    assert!(place.ctl(&["start", "web"]).0);
    assert!(place.ctl(&["status", "web"]).1.contains("RUNNING"));
    let refused = place.run(&[&stop(&supervised("web"))]);
    let told = said(&refused);
    assert!(refused.code == 1 && told.contains("background"), "{told}");
}

#[test]
fn a_supervisord_without_its_socket_is_not_to_be_started_again() {
    let place = place();
    place.supervisord("[program:idle]\ncommand=sleep 1000\n");
    let pid = place.lines("supervisord.pid")[0].clone();
    std::fs::remove_file(place.path("s.sock")).expect("removed");
    let refused = place.run(&[&stop(&supervised("idle"))]);
    let told = said(&refused);
    assert_eq!(refused.code, 1, "{told}");
    assert!(
        told.contains(&pid) && told.contains("no second one"),
        "{told}"
    );
    assert!(!told.contains("start it"), "{told}");
}

#[test]
fn what_a_wrapper_leaves_is_told_and_finishes_its_requests() {
    let place = place();
    place.supervisord(
        "[program:web]\ncommand=sh -c 'python3 @/slow.py % TERM; true'\nstopwaitsecs=1\n",
    );
    place.await_port();
    let asked = ask(&place, 4);
    place.plan(&[&stop(&supervised("web"))]);
    let preview = place.upledger(&["plan", "plan.yaml"]);
    assert!(preview.out.contains("stopwaitsecs"), "{preview:?}");
    let done = place.run(&[&stop(&supervised("web"))]);
    assert_eq!(done.code, 0, "{done:?}");
    let answer = asked.join().expect("asked").expect("an answer");
    assert!(answer.contains("whole"), "{answer}");
    assert!(place.pids("slow.py").is_empty());
    assert!(!place.log().contains("KILL to"), "{}", place.log());
}

#[test]
fn the_time_that_a_manager_gives_is_the_grace_where_the_plan_names_none() {
    let place = place();
    place.supervisord("[program:idle]\ncommand=sleep 1000\nstopwaitsecs=600\n");
    let preview = |step: &str| {
        place.plan(&[step]);
        place.upledger(&["plan", "plan.yaml"]).out
    };
    assert!(preview(&stop(&supervised("idle"))).contains("KILL after 10m"));
    let named = stop(&supervised("idle")).replace("}}}}}", "}}, grace: 5s}}}");
    assert!(preview(&named).contains("KILL after 5s"), "{named}");
}

#[test]
fn the_signal_that_ends_a_service_can_be_named() {
    let place = place();
    let (server, port) = (format!("{}/slow.py", place.here()), place.port.to_string());
    let mut child = place.spawn(&["python3", &server, &port, "INT"], "out");
    place.await_port();
    let asked = ask(&place, 2);
    let by = "{match: 'slow\\.py %'}";
    let wrong = place
        .run(&["{id: stop, do: {service.stop: {by: {supervisor: {program: a}}, signal: INT}}}"]);
    assert!(said(&wrong).contains("`signal` has no effect"), "{wrong:?}");
    let done = place.run(&[&format!(
        "{{id: stop, do: {{service.stop: {{by: {by}, signal: INT}}}}}}"
    )]);
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    let answer = asked.join().expect("asked").expect("an answer");
    assert!(answer.contains("whole"), "{answer}");
    let log = place.log();
    assert!(
        !log.contains("KILL to") && done.out.contains("INT"),
        "{done:?}"
    );
}

#[test]
fn a_group_is_started_as_one_and_each_member_is_judged() {
    let place = place();
    let once =
        "command=sh -c 'echo done >> @/once'\nstartsecs=0\nautorestart=false\nautostart=false\n";
    place.supervisord(&format!(
        "[group:g]\nprograms=bad,idle\n[program:bad]\ncommand=sh -c 'exit 3'\nstartretries=0\nautostart=false\n\
         [program:idle]\ncommand=sleep 1000\nautostart=false\n\
         [group:h]\nprograms=first,server\n[program:first]\n{once}[program:server]\ncommand=sleep 1001\nautostart=false\n\
         [program:alone]\n{once}"
    ));
    let go = |program: &str| {
        place.run(&[&format!(
            "{{id: start, do: {{service.start: {{by: {}, within: 20s}}}}}}",
            supervised(program)
        )])
    };
    let failed = go("g:*");
    let told = said(&failed);
    assert!(
        failed.code == 1 && told.contains("g:bad is FATAL"),
        "{told}"
    );
    assert!(!told.contains("g:idle is"), "{told}");
    assert!(
        place.ctl(&["status", "g:idle"]).1.contains("RUNNING"),
        "the healthy one runs"
    );
    assert_eq!(place.rollback().code, 5);
    assert!(place.ctl(&["status", "g:idle"]).1.contains("STOPPED"));
    // One that ends when it has done its work is no failure, beside others and alone.
    let done = go("h:*");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.ctl(&["status", "h:server"]).1.contains("RUNNING"));
    let again = go("h:*");
    assert!(
        again.code == 0 && again.out.contains("already"),
        "{again:?}"
    );
    let alone = go("alone");
    assert_eq!(alone.code, 0, "{alone:?}");
    assert_eq!(place.lines("once").len(), 2);
}

#[test]
fn a_program_that_its_manager_starts_anew_all_the_time_is_stopped_all_the_same() {
    let place = place();
    place.supervisord(
        "[program:loop]\ncommand=sh -c 'sleep 1.1; exit 1'\nstartsecs=1\nautorestart=true\nstartretries=1000\n",
    );
    let done = place.run(&[&stop(&supervised("loop"))]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.ctl(&["status", "loop"]).1.contains("STOPPED"));
}

#[test]
fn a_claim_that_starts_nothing_is_refused_before_the_stop() {
    let place = place();
    let server = format!("{}/server.py", place.here());
    let here = place.path("gone");
    std::fs::create_dir(&here).expect("made");
    let port = place.port.to_string();
    let refused = |line: &str, why: &str| {
        let mut child = place.spawn(&["bash", "-c", line], "out");
        place.await_port();
        let _ = std::fs::remove_dir(&here);
        let done = place.run(&[&stop("{match: 'server\\.py % -'}")]);
        let told = said(&done);
        assert!(
            done.code == 3 && told.contains(why) && told.contains("by.start"),
            "{told}"
        );
        assert!(
            child.try_wait().expect("a look").is_none(),
            "nobody was ended"
        );
        kill(i32::try_from(child.id()).expect("a number"));
        child.wait().expect("its end");
    };
    let gone = format!("cd gone; exec python3 {server} {port} -");
    refused(&gone, "has been removed");
    refused(
        &format!("exec -a 'web: serving' python3 {server} {port} -"),
        "process title",
    );
}

#[test]
fn one_of_another_release_is_not_what_was_there() {
    let place = place();
    for release in ["1", "2"] {
        std::fs::create_dir(place.path(release)).expect("made");
        place.write(&format!("{release}/release"), &format!("release {release}"));
    }
    let up = |release: &str| {
        let by = PIDFILE.replace("cwd: @/}", &format!("cwd: @/{release}}}"));
        place.run(&[&start(&by)])
    };
    let serves = |release: &str| {
        place
            .get("/release")
            .is_some_and(|a| a.contains(&format!("release {release}")))
    };
    assert_eq!(up("1").code, 0);
    // How it is started is what it showed: nothing else brings it back.
    let bare = "{pidfile: @/app.pid}";
    let never = "{id: never, do: {expect.file: {path: @/never, within: 0s}}}";
    let done = place.run(&[&stop(bare), never]);
    assert_eq!(done.code, 1, "{done:?}");
    let here = place.here();
    let hand = format!(
        "cd {here}/2; exec python3 {here}/server.py {} {here}/app.pid fork",
        place.port
    );
    let mut hand = place.spawn(&["sh", "-c", &hand], "out");
    hand.wait().expect("it goes into the background");
    eventually("the other release serves", || serves("2"));
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(serves("1"), "{undone:?}");
    assert_eq!(place.pids("server.py").len(), 1);
    // What is started next is not the one that runs.
    std::os::unix::fs::symlink(place.path("2"), place.path("current")).expect("a link");
    let already = up("current");
    assert!(
        already.code == 1 && said(&already).contains("current leads to"),
        "{already:?}"
    );
}

#[test]
fn the_undo_of_a_start_ends_what_it_started_and_nobody_else() {
    let place = place();
    assert_eq!(place.run(&[&start(PIDFILE)]).code, 0);
    let mut stranger = place.spawn(&["sleep", "1000"], "out");
    std::fs::write(place.path("app.pid"), format!("{}\n", stranger.id())).expect("written");
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(stranger.try_wait().expect("a look").is_none(), "it lives");
    assert!(
        place.pids("server.py").is_empty(),
        "{:?}",
        place.processes()
    );
    stranger.kill().expect("killed");
    stranger.wait().expect("its end");

    // A first process that was killed leaves a child that shows nothing of it.
    place.write("child.py", "import time\ntime.sleep(1000)\n");
    let by = "{match: 'server\\.py %', start: [sh, -c, 'python3 @/child.py & exec python3 @/server.py % -'], log: @/log}";
    assert_eq!(place.run(&[&start(by)]).code, 0);
    eventually("its child runs", || place.pids("child.py").len() == 1);
    place.pids("server.py").into_iter().for_each(kill);
    eventually("it is gone", || place.pids("server.py").is_empty());
    let undone = place.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(place.processes().is_empty(), "{:?}", place.processes());
}

/// Ends all processes of the program in this place at once.
fn crash(place: &Place) {
    let state = std::fs::canonicalize(place.state()).expect("it is there");
    let own = std::fs::canonicalize(UPLEDGER).expect("it is there");
    for pid in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = pid.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        let at = |name: &str| format!("/proc/{pid}/{name}");
        let runs = std::fs::read_link(at("exe")).is_ok_and(|exe| exe == own);
        let files = std::fs::read_dir(at("fd")).into_iter().flatten().flatten();
        let mut files = files.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        let named = files.any(|to| to.starts_with(&state));
        if runs && named {
            kill(pid);
        }
    }
}

#[test]
fn an_attempt_that_dies_in_the_grace_tells_nobody_twice_and_begins_no_new_one() {
    let place = place();
    let deaf = "import signal, time\n\
        def told(*_):\n    with open('@/terms', 'a') as f: f.write('TERM\\n')\n\
        signal.signal(signal.SIGTERM, told)\nopen('@/up', 'w')\nwhile True: time.sleep(0.1)\n";
    place.write("deaf.py", deaf);
    let up =
        "{id: up, do: {process.start: {argv: [python3, @/deaf.py], pidfile: @/d.pid, log: @/log}}}";
    assert_eq!(place.run(&[up]).code, 0);
    eventually("it hears", || place.path("up").exists());
    place.plan(&["{id: stop, do: {process.stop: {pidfile: @/d.pid, grace: 12s}}}"]);
    let mut run = place.command(&["run", "plan.yaml"]);
    let began = Instant::now();
    let mut runner = run
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    eventually("it was told", || place.lines("terms").len() == 1);
    // The note that it was is made right after the signal.
    std::thread::sleep(Duration::from_millis(500));
    crash(&place);
    runner.wait().expect("its end");
    let resumed = place.upledger(&["resume"]);
    let told = said(&resumed);
    assert!(
        resumed.code != 0 && told.contains("told to end by an earlier attempt"),
        "{told}"
    );
    assert_eq!(
        place
            .upledger(&["decide", "stop", "retry", "--reason", "x"])
            .code,
        0
    );
    let again = Instant::now();
    let resumed = place.upledger(&["resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert!(place.log().contains("KILL to process"), "{}", place.log());
    assert_eq!(place.lines("terms").len(), 1, "one TERM");
    assert!(began.elapsed() >= Duration::from_secs(12));
    assert!(again.elapsed() < Duration::from_secs(10), "no new grace");
}

#[test]
fn a_program_that_has_ended_well_is_not_ready_to_be_asked() {
    let place = place();
    place.supervisord(
        "[program:late]\ncommand=sh -c 'sleep 1.2; exit 0'\nautostart=false\nautorestart=unexpected\n\
         [program:once]\ncommand=true\nautostart=false\nstartsecs=0\nautorestart=false\n",
    );
    let ready = |program: &str, ready: &str| {
        let by = supervised(program);
        format!("{{id: start, do: {{service.start: {{by: {by}, within: 4s{ready}}}}}}}")
    };
    for program in ["late", "once"] {
        let failed = place.run(&[&ready(program, ", ready: {port: '%'}")]);
        let told = said(&failed);
        assert_eq!(failed.code, 1, "{told}");
        assert!(
            told.contains("not ready") && told.contains("does not accept"),
            "{told}"
        );
        assert_eq!(place.rollback().code, 5);
    }
    // Nothing says what it answers: it was to do its work and end.
    let done = place.run(&[&ready("once", "")]);
    assert_eq!(done.code, 0, "{done:?}");
    // A Gunicorn that has ended serves nobody, whatever its exit status.
    let web = supervised("once");
    let gone = place.run(&[&format!(
        "{{id: web, do: {{gunicorn.start: {{by: {web}}}}}}}"
    )]);
    assert_eq!(gone.code, 1, "{}", said(&gone));
}

#[test]
fn what_would_fail_behind_a_stop_is_refused_while_the_service_still_runs() {
    let place = place();
    assert_eq!(place.run(&[&start(PIDFILE)]).code, 0);
    let pids = place.pids("server.py");
    let behind =
        "{id: dump, do: {mysql.backup: {server: {socket: @/no.sock, user: root}, database: shop}}}";
    let refused = place.run(&[&stop(PIDFILE), behind]);
    let told = said(&refused);
    assert_eq!(refused.code, 3, "{told}");
    assert!(told.contains("1 step would fail"), "{told}");
    assert_eq!(place.pids("server.py"), pids);
    // Before anything is stopped, a run finds it when it comes to the step.
    assert_eq!(place.run(&[behind]).code, 1);
}
