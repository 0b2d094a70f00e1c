//! Daemons whose processes, pidfiles and ports are not as they should be: nobody is forgotten, and nothing runs twice.

use crate::common::{World, eventually, kill};
use std::io::{Read, Write};
use std::net::TcpListener;

/// A world with a service of one leader and one worker, all of which end with it.
struct Site(World);

impl std::ops::Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for name in ["leader", "worker"] {
            for pid in self.pids(name) {
                if self.lives(pid) {
                    kill(pid);
                }
            }
        }
    }
}

const START: &str =
    "{id: web, do: {process.start: {argv: [/bin/sh, @/leader.sh], pidfile: @/pid, log: @/log}}}";
const STOP: &str = "{id: stop, do: {process.stop: {pidfile: @/pid, grace: 300ms}}}";

impl Site {
    fn new() -> Self {
        let site = Self(World::new());
        site.write(
            "leader.sh",
            &site.here("echo $$ >> @/leader; sh @/worker.sh & trap 'kill $!; exit 0' TERM; while :; do sleep 0.02; done"),
        );
        site.write(
            "worker.sh",
            // It waits without a child, which would outlive it for a moment.
            &site.here("echo $$ >> @/worker; mkfifo @/never; read never < @/never"),
        );
        site
    }

    fn here(&self, text: &str) -> String {
        let here = format!("{}/", self.path("").display()).replace("//", "/");
        text.replace("@/", &here)
    }

    fn run(&self, steps: &[&str]) -> crate::common::Done {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let plan =
            format!("upledger: 1\nname: daemons\nphases:\n  - phase: all\n    steps:\n{steps}");
        self.write("plan.yaml", &self.here(&plan));
        self.upledger(&["run", "plan.yaml"])
    }

    fn pids(&self, name: &str) -> Vec<i32> {
        self.lines(name)
            .iter()
            .map(|l| l.parse().expect("a number"))
            .collect()
    }

    /// It lives, is no zombie, and is of this world.
    fn lives(&self, pid: i32) -> bool {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmd| {
            String::from_utf8_lossy(&cmd).contains(self.here("@/").trim_end_matches('/'))
        })
    }

    /// Starts the service; its leader and its worker.
    fn service(&self) -> (i32, i32) {
        let done = self.run(&[START]);
        assert_eq!(done.code, 0, "{done:?}");
        eventually("the worker is up", || self.pids("worker").len() == 1);
        (self.pids("leader")[0], self.pids("worker")[0])
    }

    /// Kills the leader and leaves the worker.
    fn behead(&self) -> i32 {
        let (leader, worker) = self.service();
        kill(leader);
        eventually("the leader is dead", || !self.lives(leader));
        assert!(self.lives(worker));
        worker
    }
}

fn names_worker(done: &crate::common::Done, worker: i32) -> bool {
    let said = format!("{}{}", done.out, done.err);
    said.contains(&format!("process {worker} (sh)")) && said.contains("may remain of it")
}

#[test]
fn a_stop_does_not_forget_the_workers_of_a_dead_leader() {
    let site = Site::new();
    let worker = site.behead();
    let done = site.run(&[STOP]);
    if done.code == 0 {
        // Nobody has waited for the leader yet, so its session is known to be its own.
        assert!(!site.lives(worker), "{done:?}");
        return;
    }
    assert!(names_worker(&done, worker), "{done:?}");
    assert!(site.lives(worker));
    kill(worker);
    eventually("the worker is dead", || !site.lives(worker));
    let done = site.upledger(&["decide", "stop", "retry", "--reason", "test"]);
    assert_eq!(done.code, 0, "{done:?}");
    let done = site.upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn nothing_is_started_beside_the_workers_of_a_dead_leader() {
    let site = Site::new();
    let worker = site.behead();
    let pidfile = site.lines("pid");
    let done = site.run(&[START]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(names_worker(&done, worker), "{done:?}");
    let done = site.upledger(&["run", "plan.yaml", "--force", "--reason", "test"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(names_worker(&done, worker), "{done:?}");
    assert_eq!((site.lines("pid"), site.pids("leader").len()), (pidfile, 1));
    kill(worker);
    eventually("the worker is dead", || !site.lives(worker));
    let done = site.upledger(&["decide", "web", "retry", "--reason", "test"]);
    assert_eq!(done.code, 0, "{done:?}");
    let done = site.upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
    eventually("it is up", || site.pids("leader").len() == 2);
}

#[test]
fn a_service_that_was_told_to_end_is_not_taken_for_the_one_that_a_rollback_needs() {
    let site = Site::new();
    // It has heard TERM, and takes its time.
    site.write(
        "leader.sh",
        &site.here(
            "trap 'trap \"\" TERM; echo heard >> @/heard; sleep 4; exit 0' TERM; echo $$ >> @/leader; while :; do sleep 0.02; done",
        ),
    );
    assert_eq!(site.run(&[START]).code, 0);
    eventually("it is up", || site.pids("leader").len() == 1);
    let first = site.pids("leader")[0];
    let slow = "{id: stop, timeout: 3s, do: {process.stop: {pidfile: @/pid, grace: 20s}}}";
    let done = site.run(&[slow]);
    assert_ne!(done.code, 0, "{done:?}");
    assert_eq!(site.lines("heard"), ["heard"], "{done:?}");
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    eventually("another one is up", || site.pids("leader").len() == 2);
    assert!(!site.lives(first), "{back:?}");
    assert!(site.lives(site.pids("leader")[1]), "{back:?}");
    site.assert_sound();
}

#[test]
fn without_its_pidfile_a_daemon_is_still_stopped_by_the_rollback() {
    let site = Site::new();
    let (leader, worker) = site.service();
    std::fs::remove_file(site.path("pid")).expect("it is there");
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(!site.lives(leader) && !site.lives(worker), "{back:?}");
    assert!(
        !site.state().join("undo").exists(),
        "what was started is known by the ledger alone"
    );
}

#[test]
fn a_stranger_who_answers_under_the_url_is_not_the_service() {
    let stranger = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = stranger.local_addr().expect("its number").port();
    std::thread::spawn(move || {
        for mut stream in stranger.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for host in ["127.0.0.1", "localhost"] {
        let site = Site::new();
        let ready = format!("log: @/log, ready: {{url: 'http://{host}:{port}/'}}");
        let done = site.run(&[&START.replace("log: @/log", &ready)]);
        assert_eq!(done.code, 3, "{done:?}");
        let own = format!("port {port} is taken by process {}", std::process::id());
        assert!(done.err.contains(&own), "{done:?}");
        assert!(site.pids("leader").is_empty());
    }
}

#[test]
fn a_retry_replaces_the_process_that_a_failed_start_left() {
    let free = || {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.local_addr().expect("its number").port()
    };
    let (wrong, right) = (free(), free());
    let site = Site::new();
    site.write(
        "leader.sh",
        &site.here(
            "echo $$ >> @/leader; exec python3 -m http.server $(cat @/port) --bind 127.0.0.1",
        ),
    );
    site.write("port", &wrong.to_string());
    let ready = format!("log: @/log, within: 3s, ready: {{port: {right}}}");
    let done = site.run(&[&START.replace("log: @/log", &ready)]);
    assert_eq!(done.code, 1, "{done:?}");
    let lives = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    let first = site.pids("leader")[0];
    assert!(lives(first), "it runs, and is not ready: {done:?}");

    site.write("port", &right.to_string());
    let retry = ["decide", "web", "retry", "--reason", "the port is right"];
    assert_eq!(site.upledger(&retry).code, 0);
    let done = site.upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.contains("is replaced, which is not ready"),
        "{done:?}"
    );
    let pids = site.pids("leader");
    assert!(pids.len() == 2 && !lives(first), "{pids:?}");
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(!lives(pids[1]), "{back:?}");
}

/// A page that is there at once and right only after two seconds, as an application that still loads.
const LOADING: &str = r#"
import http.server, sys, time
began = time.monotonic()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() - began > 2 else 503)
        self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// The undo of a stop is a start: it is done when the plan's own start of that service would be.
#[test]
fn a_service_that_an_undo_starts_is_ready_as_the_plans_own_start_says() {
    let site = Site::new();
    site.write("loading.py", LOADING);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let page = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        reply.split(' ').nth(1).map(str::to_owned)
    };
    let start = format!(
        "{{id: web, do: {{process.start: {{argv: [python3, @/loading.py, \"{port}\"], pidfile: @/pid, log: @/log, ready: {{url: \"http://127.0.0.1:{port}/\"}}}}}}}}"
    );
    assert_eq!(site.run(&[&start]).code, 0);
    let done = site.run(&[STOP, &start]);
    assert_eq!(done.code, 0, "{done:?}");
    let back = site.rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(page().as_deref(), Some("200"), "{back:?}");
    assert_eq!(site.run(&[STOP]).code, 0);
}
