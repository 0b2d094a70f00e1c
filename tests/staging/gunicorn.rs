//! `gunicorn.*` with a real Gunicorn: requests in flight finish or are cut off on record, what a killed master leaves is
//! seen through, and a reload proves new code.

use crate::common::{eventually, kill};
use crate::keeper::Place;
use crate::platform::virtualenv;
use std::process::Child;
use std::time::{Duration, Instant};

/// Answers with its release, after as many seconds as the query says; each request leaves a line.
const APP: &str = r#"
import os, time
RELEASE = "one"
def app(environ, start):
    with open("requests", "a") as f: f.write("begun\n")
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start("200 OK", [("Content-Type", "text/plain")])
    return [("release %s of %d" % (RELEASE, os.getpid())).encode()]
"#;

/// A place with an application.
struct Web(Place);

impl std::ops::Deref for Web {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl Web {
    fn new() -> Self {
        let web = Self(Place::new());
        web.write("app.py", APP);
        web
    }

    fn argv(&self, more: &[&str]) -> Vec<String> {
        let here = self.here();
        let bind = format!("127.0.0.1:{}", self.port);
        let python = virtualenv("1.0").join("bin/python").display().to_string();
        let pidfile = format!("{here}/app.pid");
        let mut argv: Vec<String> = [
            &python, "-m", "gunicorn", "-w", "2", "-b", &bind, "-p", &pidfile, "--chdir", &here,
        ]
        .map(str::to_owned)
        .into();
        argv.extend(more.iter().map(|w| (*w).to_owned()));
        argv.push("app:app".into());
        argv
    }

    /// Runs it; the caller waits for it.
    fn up(&self, more: &[&str]) -> Child {
        let argv = self.argv(more);
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let child = self.spawn(&words, "out");
        eventually("it answers", || self.get("/").is_some());
        child
    }

    /// Processes of this port that do not name this world.
    fn all_with(&self, text: &str) -> Vec<i32> {
        let listed = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = listed.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let shows = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line)
                .replace('\0', " ")
                .contains(text)
        };
        pids.filter(shows).collect()
    }

    fn begun(&self) -> usize {
        self.lines("requests").len()
    }

    /// Asks for a page that takes so many seconds, and returns when the request is in flight.
    fn ask(&self, seconds: u32) -> std::thread::JoinHandle<Option<String>> {
        let (before, port) = (self.begun(), self.port);
        let asked = std::thread::spawn(move || crate::keeper::get(port, &format!("/?{seconds}")));
        eventually("it is in flight", || self.begun() > before);
        asked
    }

    /// By its command line: other tests have a Gunicorn, too.
    fn by(&self) -> String {
        format!("{{match: '127.0.0.1:{} '}}", self.port)
    }

    fn stop(&self, more: &str) -> String {
        format!(
            "{{id: stop, do: {{gunicorn.stop: {{by: {}{more}}}}}}}",
            self.by()
        )
    }
}

#[test]
fn a_request_in_flight_finishes_and_the_undo_brings_the_same_server_back() {
    let web = Web::new();
    let mut child = web.up(&[]);
    let asked = web.ask(2);
    let done = web.run(&[&web.stop("")]);
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    let answer = asked.join().expect("asked").expect("an answer");
    assert!(answer.contains("release one"), "{answer}");
    assert!(web.processes().is_empty());
    assert!(!web.log().contains("KILL to"), "{}", web.log());
    let undone = web.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(web.get("/").is_some_and(|a| a.contains("release one")));
    // Stopped again by its pidfile, and started by its command.
    let argv = serde_json::to_string(&web.argv(&["--daemon"])).expect("JSON");
    let by = format!("{{pidfile: @/app.pid, start: {argv}, log: @/boot}}");
    let stop = format!("{{id: stop, do: {{gunicorn.stop: {{by: {by}}}}}}}");
    let start = format!(
        "{{id: start, do: {{gunicorn.start: {{by: {by}, ready: {{url: 'http://127.0.0.1:%/', contains: release}}}}}}}}"
    );
    let both = web.run(&[&stop, &start]);
    assert_eq!(both.code, 0, "{both:?}");
    assert!(web.get("/").is_some());
    let undone = web.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(web.get("/").is_some());
}

#[test]
fn a_request_longer_than_the_grace_is_cut_off_and_the_kill_is_an_event() {
    let web = Web::new();
    let mut child = web.up(&[]);
    let asked = web.ask(60);
    let began = Instant::now();
    let done = web.run(&[&web.stop(", grace: 500ms")]);
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(web.processes().is_empty());
    assert_eq!(asked.join().expect("asked"), None);
    let log = web.log();
    assert!(log.contains("KILL to process"), "{log}");
    assert!(log.contains("escalat"), "it is an event of its own: {log}");
}

#[test]
fn what_a_killed_master_leaves_is_seen_through_and_taken_away() {
    let web = Web::new();
    let socket = format!("unix:{}/app.sock", web.here());
    let mut child = web.up(&["-b", &socket]);
    let asked = [web.ask(30), web.ask(30)];
    let master: i32 = web.lines("app.pid")[0].parse().expect("a number");
    kill(master);
    child.wait().expect("its end");
    // Both workers are busy, and the port still accepts.
    assert_eq!(web.pids("gunicorn").len(), 2);
    assert!(std::net::TcpStream::connect(("127.0.0.1", web.port)).is_ok());
    let expect = "{id: silent, do: {expect.stopped: {processes: ['127.0.0.1:% '], ports: ['%'], pidfiles: [@/app.pid], sockets: [@/app.sock]}}}";
    let seen = web.run(&[expect]);
    assert!(
        seen.code != 0 && format!("{}{}", seen.out, seen.err).contains("gunicorn"),
        "{seen:?}"
    );
    assert_eq!(web.upledger(&["abort", "--reason", "x"]).code, 12);

    let argv = serde_json::to_string(&web.argv(&["-b", &socket])).expect("JSON");
    let by = format!("{{pidfile: @/app.pid, start: {argv}, log: @/boot}}");
    let start = web.run(&[&format!(
        "{{id: start, do: {{gunicorn.start: {{by: {by}}}}}}}"
    )]);
    let said = format!("{}{}", start.out, start.err);
    assert!(
        start.code == 3 && said.contains("an orphaned worker (its master has exited)"),
        "{said}"
    );

    let stop = format!("{{id: stop, do: {{gunicorn.stop: {{by: {by}, grace: 500ms}}}}}}");
    let done = web.run(&[&stop, &expect.replace("pidfiles: [@/app.pid], ", "")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(web.processes().is_empty() && !web.path("app.sock").exists());
    assert!(
        web.log()
            .contains("an orphaned worker (its master has exited)"),
        "{}",
        web.log()
    );
    for one in asked {
        assert_eq!(one.join().expect("asked"), None);
    }
    let undone = web.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(web.get("/").is_some(), "one server, as it ran: {undone:?}");
}

#[test]
fn a_reload_serves_new_code_and_one_that_cannot_is_told() {
    let web = Web::new();
    let mut child = web.up(&[]);
    let reload = |ready: &str| {
        format!(
            "{{id: reload, do: {{gunicorn.reload: {{by: {}, ready: {{url: 'http://127.0.0.1:%/', contains: '{ready}'}}, within: 15s}}}}, undo: none}}",
            web.by()
        )
    };
    let former = web.pids("gunicorn");
    web.write("app.py", &APP.replace("\"one\"", "\"two\""));
    let done = web.run(&[&reload("release two")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(web.get("/").is_some_and(|a| a.contains("release two")));
    let now = web.pids("gunicorn");
    let kept: Vec<_> = now.iter().filter(|p| former.contains(p)).collect();
    assert_eq!(kept.len(), 1, "only the master stayed: {former:?} {now:?}");
    // Code that does not load: the master gives up, and that is told.
    web.write("app.py", "raise RuntimeError('no such release')");
    let done = web.run(&[&reload("release")]);
    assert_ne!(done.code, 0);
    let said = web.log();
    assert!(said.contains("not reloaded"), "{said}");
    // It may live or have given up; its end is ours to see to.
    kill(i32::try_from(child.id()).expect("a number"));
    child.wait().expect("its end");
}

#[test]
fn one_that_preloads_is_refused_because_it_would_serve_the_old_code() {
    let web = Web::new();
    let mut child = web.up(&["--preload"]);
    eventually("it is whole", || web.pids("gunicorn").len() == 3);
    let before = web.pids("gunicorn");
    let reload = format!(
        "{{id: reload, do: {{gunicorn.reload: {{by: {}}}}}, undo: none}}",
        web.by()
    );
    let done = web.run(&[&reload]);
    let said = format!("{}{}", done.out, done.err);
    assert!(
        done.code != 0 && said.contains("preloads the application"),
        "{said}"
    );
    assert_eq!(web.pids("gunicorn"), before);
    kill(i32::try_from(child.id()).expect("a number"));
    child.wait().expect("its end");
}

#[test]
fn a_gunicorn_that_says_where_it_writes_its_number_is_found_without_it_and_comes_back_where_it_was_started()
 {
    let web = Web::new();
    std::fs::create_dir(web.path("app")).expect("made");
    std::fs::rename(web.path("app.py"), web.path("app/app.py")).expect("moved");
    // The directory that it works in is not the one that its paths count from.
    web.write("gunicorn.conf.py", "chdir = 'app'\npidfile = 'conf.pid'\n");
    let bind = format!("127.0.0.1:{}", web.port);
    let python = virtualenv("1.0").join("bin/python").display().to_string();
    let line = format!(
        "cd {}; exec {python} -m gunicorn -b {bind} app:app",
        web.here()
    );
    let mut child = web.spawn(&["bash", "-c", &line], "out");
    eventually("it answers", || web.get("/").is_some());
    let number = child.id().to_string();
    assert_eq!(web.lines("app/conf.pid"), [number.as_str()]);
    std::fs::write(web.path("app/conf.pid"), "2000000000\n").expect("written");
    let stop = "{id: stop, do: {gunicorn.stop: {by: {pidfile: @/app/conf.pid}}}}";
    let never = "{id: never, do: {expect.file: {path: @/never, within: 0s}}}";
    let done = web.run(&[stop, never]);
    child.wait().expect("its end");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        web.get("/").is_none() && web.log().contains(&number),
        "{done:?}"
    );
    let undone = web.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(web.get("/").is_some(), "{undone:?}");
    for line in web.lines("app/conf.pid") {
        kill(line.parse().expect("a number"));
    }
    let port = format!("127.0.0.1:{} ", web.port);
    web.all_with(&port).into_iter().for_each(kill);
}

#[test]
fn a_successor_is_told_together_with_the_one_that_started_it() {
    let web = Web::new();
    let mut child = web.up(&[]);
    let first = i32::try_from(child.id()).expect("a number");
    let usr2 = rustix::process::Signal::USR2;
    let pid = rustix::process::Pid::from_raw(first).expect("a number");
    rustix::process::kill_process(pid, usr2).expect("signalled");
    eventually("there are two masters", || web.path("app.pid.2").exists());
    eventually("each has its workers", || web.pids("gunicorn").len() >= 6);
    let asked = web.ask(3);
    let began = Instant::now();
    let stop = "{id: stop, do: {gunicorn.stop: {by: {pidfile: @/app.pid}, grace: 20s}}}";
    let done = web.run(&[stop]);
    child.wait().expect("its end");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "nobody waits for the grace"
    );
    assert!(web.processes().is_empty(), "{:?}", web.processes());
    assert!(!web.log().contains("KILL to"), "{}", web.log());
    let answer = asked.join().expect("asked").expect("an answer");
    assert!(answer.contains("release one"), "{answer}");
    let undone = web.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    eventually("one server, as it ran", || web.pids("gunicorn").len() == 3);
}

#[test]
fn a_reload_whose_workers_run_the_former_release_is_no_reload() {
    let web = Web::new();
    let releases = ["r1", "r2"].map(|name| web.path(name));
    for (release, dir) in ["one", "two"].into_iter().zip(&releases) {
        std::fs::create_dir(dir).expect("made");
        let text = APP.replace("\"one\"", &format!("\"{release}\""));
        std::fs::write(dir.join("app.py"), text).expect("written");
    }
    let current = web.path("current");
    std::os::unix::fs::symlink(&releases[0], &current).expect("a link");
    let bind = format!("127.0.0.1:{}", web.port);
    let python = virtualenv("1.0").join("bin/python").display().to_string();
    // As a manager starts it: the directory is entered, and nothing remembers the link.
    let line = format!(
        "cd -P {}; unset PWD; exec {python} -m gunicorn -b {bind} app:app",
        current.display()
    );
    let mut child = web.spawn(&["bash", "-c", &line], "out");
    eventually("it answers", || web.get("/").is_some());
    std::fs::remove_file(&current).expect("removed");
    std::os::unix::fs::symlink(&releases[1], &current).expect("a link");
    let reload = format!(
        "{{id: reload, cwd: @/current, do: {{gunicorn.reload: {{by: {}, within: 3s}}}}, undo: none}}",
        web.by()
    );
    let done = web.run(&[&reload]);
    assert!(
        done.code == 1 && web.log().contains("current leads to"),
        "{done:?}"
    );
    assert!(web.get("/").is_some_and(|a| a.contains("release one")));
    kill(i32::try_from(child.id()).expect("a number"));
    child.wait().expect("its end");
    web.all_with(&format!("{bind} ")).into_iter().for_each(kill);
}

#[test]
fn a_worker_that_finishes_a_request_does_not_hold_up_a_reload() {
    let web = Web::new();
    let mut child = web.up(&[]);
    let asked = web.ask(12);
    web.write("app.py", &APP.replace("\"one\"", "\"two\""));
    let reload = format!(
        "{{id: reload, do: {{gunicorn.reload: {{by: {}, within: 5s}}}}, undo: none}}",
        web.by()
    );
    let done = web.run(&[&reload]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        web.log().contains("are finishing their requests"),
        "{}",
        web.log()
    );
    assert!(web.get("/").is_some_and(|a| a.contains("release two")));
    let answer = asked.join().expect("asked").expect("an answer");
    assert!(answer.contains("release one"), "{answer}");
    kill(i32::try_from(child.id()).expect("a number"));
    child.wait().expect("its end");
}

#[test]
fn a_reload_reaches_the_server_behind_the_shell_that_its_manager_keeps() {
    let web = Web::new();
    let python = virtualenv("1.0").join("bin/python").display().to_string();
    web.supervisord(&format!(
        "[program:web]\ncommand=sh -c '{python} -m gunicorn -b 127.0.0.1:% app:app; true'\ndirectory=@/\n"
    ));
    eventually("it answers", || web.get("/").is_some());
    let kept = web.ctl(&["pid", "web"]).1;
    web.write("app.py", &APP.replace("\"one\"", "\"two\""));
    let reload = "{id: reload, do: {gunicorn.reload: {by: {supervisor: {program: web, ctl: [supervisorctl, -c, @/s.conf]}}, within: 15s}}, undo: none}";
    let done = web.run(&[reload]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(web.get("/").is_some_and(|a| a.contains("release two")));
    assert_eq!(web.ctl(&["pid", "web"]).1, kept, "the shell heard nothing");
    assert!(web.ctl(&["stop", "web"]).0);
    web.all_with(&format!("127.0.0.1:{} ", web.port))
        .into_iter()
        .for_each(kill);
}
