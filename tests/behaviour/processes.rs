//! `process.start` and `process.stop` with real daemons: started once whoever dies, ready by evidence, stopped in peace or
//! by force, and no stranger is ever touched.

use crate::common::{World, eventually, kill};
use crate::ports::free_port;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};

/// A world whose daemon is ended with it.
struct Site {
    world: World,
    port: u16,
}

impl std::ops::Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // The session of a daemon is its own process group.
            if let Some(group) = rustix::process::Pid::from_raw(pid).filter(|_| self.lives(pid)) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Serves until it is stopped, but not before `go` is there; each start leaves a line.
const SERVER: &str = r#"
import http.server, os, sys, time
print("begun", flush=True)
while not os.path.exists(sys.argv[2]): time.sleep(0.02)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"#;

impl Site {
    fn new() -> Self {
        let port = free_port();
        let site = Self {
            world: World::new(),
            port,
        };
        site.write("server.py", SERVER);
        site.write("health", "all is well");
        site
    }

    /// A plan of these steps; `%` is the port.
    fn plan(&self, steps: &[&str]) {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let steps = steps.replace('%', &self.port.to_string());
        let here = format!("{}/", self.path("").display()).replace("//", "/");
        let plan = format!(
            "upledger: 1\nname: daemons\nvars: {{port: {}}}\nphases:\n  - phase: all\n    steps:\n{}",
            self.port,
            steps.replace("@/", &here)
        );
        std::fs::write(self.path("plan.yaml"), plan).expect("written");
    }

    fn run(&self) -> crate::common::Done {
        self.upledger(&["run", "plan.yaml"])
    }

    fn pidfile(&self) -> PathBuf {
        self.path("pid")
    }

    fn pid(&self) -> Option<i32> {
        let text = std::fs::read(self.pidfile()).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
        i32::try_from(record["pid"].as_i64()?).ok()
    }

    /// It lives, is no zombie, and is of this world.
    fn lives(&self, pid: i32) -> bool {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmd| {
            let here = self.path("").display().to_string();
            String::from_utf8_lossy(&cmd).contains(here.trim_end_matches('/'))
        })
    }

    fn begun(&self) -> usize {
        self.lines("log").iter().filter(|l| *l == "begun").count()
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }
}

const START: &str = "{id: web, do: {process.start: {argv: [python3, @/server.py, '${port}', @/go], pidfile: @/pid, log: @/log, cwd: @/, \
     ready: {port: '${port}', url: 'http://127.0.0.1:${port}/health', contains: well}}}}";

const STOP: &str = "{id: stop, do: {process.stop: {pidfile: @/pid, port: '${port}'}}}";

#[test]
fn a_daemon_is_started_ready_and_free_of_the_step() {
    let site = Site::new();
    site.write("go", "");
    site.plan(&[START]);
    let done = site.run();
    assert_eq!(done.code, 0, "{done:?}");
    let pid = site.pid().expect("a pidfile");
    assert!(site.answers() && site.lives(pid));
    let fds: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it lives")
        .flatten()
        .filter_map(|e| std::fs::read_link(e.path()).ok())
        .collect();
    assert!(
        !fds.iter().any(|to| to.starts_with(site.state())),
        "{fds:?}"
    );
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("UPLEDGER_TREE_FD"), "{environment}");
    assert!(environment.contains("UPLEDGER_STEP=web"), "{environment}");
    let own = rustix::process::getsid(rustix::process::Pid::from_raw(pid)).expect("a session");
    assert_eq!(own.as_raw_nonzero().get(), pid, "it leads its session");
    let mode = std::os::unix::fs::MetadataExt::mode(&site.path("log").metadata().expect("a log"));
    assert_eq!(mode & 0o777, 0o640);

    let again = site.run();
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        (site.pid(), site.begun()),
        (Some(pid), 1),
        "it was satisfied"
    );
    site.assert_sound();
}

#[test]
fn the_undo_of_a_start_stops_it_and_the_undo_of_a_stop_starts_it_again() {
    let site = Site::new();
    site.write("go", "");
    site.plan(&[START, STOP]);
    let done = site.run();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!site.answers() && !site.pidfile().exists());
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(site.begun(), 2, "the undo of the stop started it");
    assert!(
        !site.answers() && !site.pidfile().exists(),
        "the undo of the start stopped it"
    );

    site.plan(&[START]);
    assert_eq!(site.run().code, 0);
    site.plan(&[STOP]);
    assert_eq!(site.run().code, 0);
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(site.answers() && site.lives(site.pid().expect("a pidfile")));
}

#[test]
fn the_pidfile_of_a_daemon_that_has_ended_by_itself_goes_with_the_undo_of_its_start() {
    let site = Site::new();
    site.write("go", "");
    site.plan(&[START]);
    assert_eq!(site.run().code, 0);
    kill(site.pid().expect("a pidfile"));
    eventually("it has ended", || !site.answers());
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(!site.pidfile().exists(), "{back:?}");
    // The log cannot be where the number is kept.
    site.plan(&[&START.replace("log: @/log", "log: @/pid")]);
    let refused = site.upledger(&["check", "plan.yaml"]);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(refused.code != 0 && said.contains("same file"), "{said}");
}

#[test]
fn a_stop_of_another_command_than_its_settings_name_is_refused() {
    let site = Site::new();
    site.write("go", "");
    site.plan(&[START]);
    assert_eq!(site.run().code, 0);
    site.plan(&["{id: stop, do: {service.stop: {by: {process: {pidfile: @/pid, argv: [sleep, '7'], log: @/log}}}}}"]);
    let refused = site.run();
    assert!(
        refused.code == 3 && refused.err.contains("another command"),
        "{refused:?}"
    );
    assert!(site.answers());
}

#[test]
fn what_cannot_be_executed_is_an_error_of_the_step_and_leaves_nothing() {
    let site = Site::new();
    site.plan(&[
        "{id: web, do: {process.start: {argv: [/no/such/daemon], pidfile: @/pid, log: @/log}}}",
    ]);
    let done = site.run();
    assert_eq!(done.code, 3, "{done:?}");
    let missing = "program not found: /no/such/daemon";
    assert!(done.err.contains(missing), "{done:?}");
    let done = site.upledger(&["run", "plan.yaml", "--force", "--reason", "test"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out
            .contains("cannot start /no/such/daemon: No such file"),
        "{done:?}"
    );
    // Found, but refused by the kernel after the pidfile was written.
    let site = Site::new();
    site.write("script", "#!/no/such/interpreter\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(site.path("script"), mode).expect("its own file");
    site.plan(&["{id: web, do: {process.start: {argv: [@/script], pidfile: @/pid, log: @/log}}}"]);
    let done = site.run();
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("script: No such file"), "{done:?}");
    assert!(!site.pidfile().exists());
}

#[test]
fn neither_log_nor_pidfile_is_written_through_a_link_of_somebody_else() {
    for name in ["log", "pid"] {
        let site = Site::new();
        site.write("go", "");
        let (link, target) = (site.path("theirs"), site.path("target"));
        std::fs::create_dir(&target).expect("made");
        std::os::unix::fs::symlink("target", &link).expect("linked");
        std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("as root");
        let start = START.replace(&format!("@/{name},"), &format!("@/theirs/{name},"));
        site.plan(&[&start]);
        let done = site.run();
        assert_eq!(done.code, 3, "{done:?}");
        assert!(done.err.contains("a link owned by user 65534"), "{done:?}");
        let done = site.upledger(&["run", "plan.yaml", "--force", "--reason", "test"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.out.contains("a link owned by user 65534"), "{done:?}");
        assert_eq!(site.begun(), 0);
        assert_eq!(std::fs::read_dir(&target).expect("read").count(), 0);
        // Root's own link, such as /var/run, is followed.
        std::os::unix::fs::lchown(&link, Some(0), Some(0)).expect("as root");
        let done = site.upledger(&["decide", "web", "retry", "--reason", "test"]);
        assert_eq!(done.code, 0, "{done:?}");
        let done = site.upledger(&["resume"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(site.answers() && target.join(name).exists());
        let pid = site.path("theirs/pid");
        if pid.exists() {
            std::fs::rename(pid, site.pidfile()).expect("moved");
        }
    }
}

#[test]
fn a_death_during_the_start_shows_the_end_of_the_log() {
    let site = Site::new();
    site.write("log", "an old line\n");
    site.plan(&[
        "{id: web, do: {process.start: {argv: [/bin/sh, -c, 'echo no database; exit 3'], pidfile: @/pid, log: @/log, ready: {port: %}}}}",
    ]);
    let done = site.run();
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out.contains("exited during start (exit status: 3)"),
        "{done:?}"
    );
    assert!(
        done.out.contains("no database") && !done.out.contains("an old line"),
        "{done:?}"
    );
}

#[test]
fn one_that_is_not_ready_in_time_fails_the_step_and_is_stopped_by_the_rollback() {
    let site = Site::new();
    let late = START.replace("}}}}", "}, within: 4s}}}");
    site.plan(&[&late]);
    let done = site.run();
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("was not ready within 4 s"), "{done:?}");
    assert!(
        done.out.contains("does not accept") && done.out.contains("begun"),
        "{done:?}"
    );
    let pid = site.pid().expect("a pidfile");
    assert!(site.lives(pid));
    let back = site.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert!(!site.lives(pid) && !site.pidfile().exists());
}

#[test]
fn killed_around_its_pidfile_it_runs_once_after_a_retry() {
    for point in ["daemon-before-pidfile", "daemon-after-pidfile"] {
        let site = Site::new();
        site.write("go", "");
        let env = format!("env: {{UPLEDGER_FAILPOINT: 'web/{point}@@/hit'}}}}");
        let start = format!("{}, {env}", START.strip_suffix('}').expect("a map"));
        site.plan(&[&start]);
        let done = site.run();
        assert_eq!(done.code, 1, "{point}: {done:?}");
        assert!(
            site.path("hit").exists(),
            "{point}: the stage was killed there"
        );
        assert!(done.out.contains("signal: 9"), "{point}: {done:?}");
        assert_eq!(site.begun(), 0);
        assert_eq!(
            site.upledger(&["decide", "web", "retry", "--reason", "test"])
                .code,
            0
        );
        let done = site.upledger(&["resume"]);
        assert_eq!(done.code, 0, "{point}: {done:?}");
        assert_eq!(site.begun(), 1);
        assert!(site.answers());
    }
}

#[test]
fn with_everybody_killed_during_the_start_the_probe_finds_the_daemon() {
    let site = Site::new();
    site.plan(&[START]);
    let mut runner = site.start(&["run", "plan.yaml"]);
    eventually("the daemon has begun", || site.begun() == 1);
    let daemon = site.pid().expect("a pidfile");
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    let supervisors = site.supervisors();
    assert_eq!(supervisors.len(), 1);
    let children: Vec<i32> = children(supervisors[0]);
    for pid in supervisors {
        kill(pid);
    }
    for pid in children {
        if pid != daemon {
            kill(pid);
        }
    }
    site.write("go", "");
    let done = site.upledger(&["resume"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!((site.begun(), site.pid()), (1, Some(daemon)));
    assert!(site.upledger(&["log"]).out.contains("in doubt"));
    site.assert_sound();
}

fn children(of: i32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|p| p.parse().ok())
        .collect()
}

#[test]
fn another_command_under_the_pidfile_is_refused_by_its_number() {
    let site = Site::new();
    site.write("go", "");
    site.plan(&[START]);
    assert_eq!(site.run().code, 0);
    let pid = site.pid().expect("a pidfile");
    site.plan(&[
        "{id: other, do: {process.start: {argv: [sleep, '600'], pidfile: @/pid, log: @/log}}}",
    ]);
    let done = site.run();
    assert_eq!(done.code, 3, "{done:?}");
    assert!(
        done.err.contains(&format!("process {pid} (python3)")),
        "{done:?}"
    );
    assert!(site.answers(), "it was left alone");
}

#[test]
fn a_stranger_on_the_port_is_named_and_nothing_is_started() {
    let site = Site::new();
    site.write("go", "");
    let _stranger = TcpListener::bind(("127.0.0.1", site.port)).expect("the port is free");
    site.plan(&[START]);
    let done = site.run();
    assert_eq!(done.code, 3, "{done:?}");
    let own = format!(
        "port {} is taken by process {}",
        site.port,
        std::process::id()
    );
    assert!(done.err.contains(&own), "{done:?}");
    assert_eq!(site.begun(), 0);
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reused_process_number_is_no_daemon_of_ours() {
    let site = Site::new();
    let sleep = Command::new("sleep").arg("600").spawn();
    let mut sleeper = Sleeper(sleep.expect("it starts"));
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    let stale = serde_json::json!({
        "pid": sleeper.0.id(), "starttime": 1, "boot": boot.trim(),
        "argv": ["sleep", "600"], "cwd": "/", "log": "/dev/null",
    });
    site.write("pid", &stale.to_string());
    site.plan(&[STOP]);
    let done = site.run();
    assert_eq!(done.code, 0, "nothing of it lives: {done:?}");
    site.write("go", "");
    site.plan(&[START]);
    let done = site.run();
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(site.pid(), i32::try_from(sleeper.0.id()).ok());
    assert!(
        sleeper.0.try_wait().expect("known").is_none(),
        "the stranger lives"
    );
}

#[test]
fn work_in_flight_is_waited_for() {
    let site = Site::new();
    let script = "trap 'while [ ! -e @/finish ]; do sleep 0.02; done; echo finished >> @/trace; exit 0' TERM; echo up >> @/trace; while :; do sleep 0.02; done";
    site.write("work.sh", script);
    site.plan(&[
        "{id: work, do: {process.start: {argv: [/bin/sh, @/work.sh], pidfile: @/pid, log: @/log}}}",
        "{id: stop, do: {process.stop: {pidfile: @/pid}}}",
    ]);
    let mut runner = site.start(&["run", "plan.yaml"]);
    site.await_step("stop", "running");
    eventually("TERM was sent", || {
        site.upledger(&["log", "--output", "stop"])
            .out
            .contains("TERM to process")
    });
    assert_eq!(site.lines("trace"), ["up"]);
    site.write("finish", "");
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    assert_eq!(site.lines("trace"), ["up", "finished"]);
    assert!(
        !site
            .upledger(&["log", "--output", "stop"])
            .out
            .contains("KILL")
    );
}

/// A service that hears no TERM, and a plan that stops it.
fn deaf(site: &Site, grace: &str) {
    let script = "trap '' TERM; sh @/worker.sh & echo $! > @/worker; while :; do sleep 0.02; done";
    site.write("work.sh", script);
    site.write("worker.sh", "trap '' TERM; while :; do sleep 0.02; done");
    site.plan(&[
        "{id: work, do: {process.start: {argv: [/bin/sh, @/work.sh], pidfile: @/pid, log: @/log}}}",
        &format!("{{id: stop, do: {{process.stop: {{pidfile: @/pid, grace: {grace}}}}}}}"),
    ]);
}

/// The escalations in the record, in order.
fn escalations(site: &Site) -> Vec<String> {
    let log = site.upledger(&["log", "--json"]).out;
    log.lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter(|e| e["kind"] == "step.escalated")
        .map(|e| e["data"]["what"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_kill_is_an_event_of_its_own_also_when_the_runner_died_before_it() {
    let site = Site::new();
    deaf(&site, "8s");
    let mut runner = site.start(&["run", "plan.yaml"]);
    // Between its intent and its token a step is running to the record, and is never begun without a runner.
    eventually("it has begun", || {
        let said = site.upledger(&["log", "--output", "stop"]).out;
        said.contains("TERM to process")
    });
    runner.kill().expect("it lives");
    runner.wait().expect("it is dead");
    eventually("the service is killed", || !site.pidfile().exists());
    assert_eq!(escalations(&site), [""; 0], "nobody was there to record it");
    for code in [0, 13] {
        assert_eq!(site.upledger(&["resume"]).code, code);
        let told = escalations(&site);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("not ended within 8 s; KILL to process"));
    }
}

#[test]
fn after_its_grace_the_whole_session_is_killed_and_that_is_said() {
    let site = Site::new();
    deaf(&site, "300ms");
    let done = site.run();
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(escalations(&site).len(), 1, "{done:?}");
    assert!(done.out.contains("escalated    stop"), "{done:?}");
    let said = site.upledger(&["log", "--output", "stop"]).out;
    assert!(
        said.contains("not ended within 0.3 s; KILL to process"),
        "{said}"
    );
    let worker = site.lines("worker")[0].parse().expect("a number");
    assert!(!site.lives(worker) && !site.pidfile().exists());
}

#[test]
fn where_nothing_runs_a_stop_is_satisfied_and_a_foreign_pidfile_is_refused() {
    let site = Site::new();
    site.plan(&[STOP]);
    for _ in 0..2 {
        let done = site.run();
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.out.contains("no process of"), "{done:?}");
    }
    site.write("pid", &std::process::id().to_string());
    let done = site.run();
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("not a pidfile of upledger"), "{done:?}");
}

#[test]
fn a_plan_with_relative_paths_is_refused() {
    let site = Site::new();
    site.plan(&[
        "{id: web, do: {process.start: {argv: [x], pidfile: pid, log: log, ready: {host: a}}}}",
    ]);
    let done = site.run();
    assert_eq!(done.code, 3, "{done:?}");
    for word in ["`pidfile`", "`log`", "`ready.host`"] {
        assert!(done.err.contains(word), "{word}: {done:?}");
    }
}
