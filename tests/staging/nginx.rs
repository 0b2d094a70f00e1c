//! `nginx.*` with a real Nginx: what is in flight finishes, a broken configuration stops nothing, new workers serve the
//! new one, and a maintenance page is on when it answers.

use crate::common::{Done, eventually, kill};
use crate::keeper::{Place, children, get};
use crate::ports::free_port;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

const CONF: &str = "pid @/nginx.pid;
error_log @/error.log;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @/b; proxy_temp_path @/p; fastcgi_temp_path @/f; uwsgi_temp_path @/u; scgi_temp_path @/s;
  server {
    listen 127.0.0.1:%;
    location / { include @/extra*.conf; return 200 'RELEASE'; }
    location /slow { proxy_pass http://127.0.0.1:BACK; }
  }
}
";

/// Workers without a master put every stop by configuration in doubt, those of other tests, too.
static ORPHANS: std::sync::Mutex<()> = std::sync::Mutex::new(());

struct Front {
    place: Place,
    back: u16,
}

impl std::ops::Deref for Front {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Front {
    fn new() -> Self {
        let front = Self {
            place: Place::new(),
            back: free_port(),
        };
        front.configure(CONF);
        front
    }

    fn configure(&self, text: &str) {
        let text = text
            .replace('%', &self.port.to_string())
            .replace("BACK", &self.back.to_string())
            .replace("RELEASE", "one");
        self.write("nginx.conf", &text);
    }

    fn up(&self) {
        let conf = self.path("nginx.conf");
        let started = Command::new("nginx")
            .arg("-c")
            .arg(conf)
            .arg("-e")
            .arg(self.path("error.log"))
            .status()
            .expect("nginx; install it with: apt-get install -y nginx-light");
        assert!(started.success());
        eventually("it answers", || self.get("/").is_some());
    }

    /// The workers, whose title names no place: those of this master.
    fn workers(&self) -> Vec<i32> {
        children(self.master().expect("it runs"))
    }

    fn abort(&self) {
        let done = self.upledger(&["abort", "--reason", "x"]);
        assert_eq!(done.code, 12, "{done:?}");
    }

    fn master(&self) -> Option<i32> {
        self.pids("nginx: master").first().copied()
    }
}

const STOP: &str = "{id: stop, do: {nginx.stop: {conf: @/nginx.conf, url: 'http://127.0.0.1:%/'}}}";
const START: &str =
    "{id: start, do: {nginx.start: {conf: @/nginx.conf, url: 'http://127.0.0.1:%/'}}}";
const RELOAD: &str =
    "{id: reload, do: {nginx.reload: {conf: @/nginx.conf, within: 5s}}, undo: none}";
const PAGE: &str = "{id: page, do: {nginx.maintenance: {file: @/extra.conf, content: \"return 503 'back at four';\", \
    conf: @/nginx.conf, url: 'http://127.0.0.1:%/', contains: back at four}}}";

/// Runs a step while a request is in flight: what became of the two.
fn beside_a_request(front: &Front, step: &str) -> (Done, String) {
    let back = TcpListener::bind(("127.0.0.1", front.back)).expect("the back end");
    let port = front.port;
    let asked = std::thread::spawn(move || get(port, "/slow"));
    let (mut request, _) = back.accept().expect("it is in flight");
    request
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a limit");
    let mut read = [0; 1024];
    assert!(request.read(&mut read).expect("a request") > 0);
    let answering = std::thread::spawn(move || {
        eventually("Nginx takes no more", || {
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        request
            .write_all(b"HTTP/1.0 200 OK\r\n\r\nlate but whole")
            .expect("answered");
    });
    let done = front.run(&[step]);
    answering.join().expect("answered");
    (done, asked.join().expect("asked").unwrap_or_default())
}

/// Kept by a supervisord that stops it by TERM, which cuts requests off.
#[test]
fn a_request_in_flight_finishes_although_its_manager_would_cut_it_off() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.configure(&format!("daemon off;\n{CONF}"));
    front.supervisord(
        "[program:front]\ncommand=nginx -c @/nginx.conf -e @/error.log\nstartsecs=0\nautorestart=unexpected\n",
    );
    eventually("it answers", || front.get("/").is_some());
    let by = "by: {supervisor: {program: front, ctl: [supervisorctl, -c, @/s.conf]}}";
    let stop = STOP.replace("conf: @/nginx.conf", by);
    front.plan(&[&stop]);
    let preview = front.upledger(&["plan", "plan.yaml"]);
    for part in ["front by TERM", "QUIT is sent first", "stopsignal=QUIT"] {
        assert!(preview.out.contains(part), "{part}: {preview:?}");
    }
    let (done, answer) = beside_a_request(&front, &stop);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(answer.contains("late but whole"), "{answer}");
    assert!(front.get("/").is_none() && !front.log().contains("step.escalated"));
    let undone = front.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(front.get("/").is_some());
}

#[test]
fn a_request_in_flight_finishes_and_the_undo_serves_again() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.up();
    let (done, answer) = beside_a_request(&front, STOP);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(answer.contains("late but whole"), "{answer}");
    assert!(front.processes().is_empty() && front.get("/").is_none());
    let twice = front.run(&[&STOP.replace("id: stop", "id: twice")]);
    assert_eq!(twice.code, 0, "{twice:?}");
    let started = front.run(&[START]);
    assert_eq!(started.code, 0, "{started:?}");
    assert!(front.get("/").is_some());
    assert_eq!(front.rollback().code, 5);
    assert!(front.processes().is_empty());
    assert_eq!(front.run(&[START]).code, 0);
    assert_eq!(front.run(&[STOP]).code, 0);
    let undone = front.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(front.get("/").is_some());
}

#[test]
fn a_broken_configuration_is_refused_before_anything_is_stopped_or_loaded() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.up();
    let master = front.master();
    front.configure(&CONF.replace("events {", "evnts {"));
    for step in [STOP, RELOAD] {
        let done = front.run(&[step]);
        let said = format!("{}{}", done.out, done.err);
        assert!(
            done.code != 0 && said.contains("unknown directive"),
            "{said}"
        );
        assert!(front.master() == master && front.get("/").is_some());
        front.abort();
    }
    // With the page the configuration is not good: the page is taken back, and nothing was loaded.
    front.configure(CONF);
    let done = front.run(&[&PAGE.replace("return 503 'back", "retrn 503 'back")]);
    assert_ne!(done.code, 0);
    assert!(front.log().contains("unknown directive"), "{}", front.log());
    assert!(!front.path("extra.conf").exists());
    assert!(front.get("/").is_some_and(|a| a.contains("one")));
}

#[test]
fn a_reload_is_done_when_new_workers_serve() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.up();
    let (master, worker) = (front.master(), front.workers());
    assert_eq!(worker.len(), 1);
    front.configure(&CONF.replace("RELEASE", "two"));
    let done = front.run(&[RELOAD]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(front.get("/").is_some_and(|a| a.contains("two")));
    assert_eq!(front.master(), master);
    let now = front.workers();
    assert!(!now.is_empty() && now.iter().all(|w| !worker.contains(w)));
    // The test succeeds, and yet nothing is loaded: the new port is taken.
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("its number").port();
    let also = format!("listen 127.0.0.1:%; listen 127.0.0.1:{taken};");
    front.configure(
        &CONF
            .replace("listen 127.0.0.1:%;", &also)
            .replace("RELEASE", "three"),
    );
    let done = front.run(&[RELOAD]);
    let said = format!("{}{}", done.out, done.err);
    assert_ne!(done.code, 0, "{said}");
    assert!(
        front.get("/").is_some_and(|a| a.contains("two")),
        "the former one serves"
    );
}

#[test]
fn a_maintenance_page_is_on_when_it_answers_and_off_byte_for_byte() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.write("extra.conf", "# a note of the administrator\n");
    front.up();
    front.plan(&[PAGE]);
    let preview = front.upledger(&["plan", "plan.yaml"]);
    assert!(preview.out.contains("back at four"), "{preview:?}");
    assert!(
        front.get("/").is_some_and(|a| a.contains("one")),
        "a preview changes nothing"
    );
    let done = front.run(&[PAGE]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        front
            .get("/")
            .is_some_and(|a| a.starts_with("HTTP/1.1 503") && a.contains("back at four"))
    );
    let again = front.run(&[PAGE]);
    assert!(
        again.code == 0 && again.out.contains("already"),
        "{again:?}"
    );
    // Off is a step, too, and can be undone.
    let off = "{id: off, do: {nginx.maintenance: {file: @/extra.conf, on: false, conf: @/nginx.conf, url: 'http://127.0.0.1:%/'}}}";
    assert_eq!(front.run(&[off]).code, 0);
    assert!(
        front.get("/").is_some_and(|a| a.contains("one")) && !front.path("extra.conf").exists()
    );
    let undone = front.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(front.get("/").is_some_and(|a| a.contains("back at four")));

    front.write("extra.conf", "# a note of the administrator\n");
    assert_eq!(front.run(&[PAGE]).code, 0);
    let undone = front.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert_eq!(front.lines("extra.conf"), ["# a note of the administrator"]);
    assert!(front.get("/").is_some_and(|a| a.contains("one")));
}

#[test]
fn a_page_that_dies_before_the_reload_is_finished_by_a_resume() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.up();
    let env = "env: {UPLEDGER_FAILPOINT: 'maintenance-placed@@/hit'}}";
    let done = front.run(&[&format!(
        "{}, {env}",
        PAGE.strip_suffix('}').expect("a map")
    )]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(front.path("hit").exists(), "{done:?}");
    assert!(front.get("/").is_some_and(|a| a.contains("one")), "not yet");
    let again = front.upledger(&["decide", "page", "retry", "--reason", "again"]);
    assert_eq!(again.code, 0, "{again:?}");
    let resumed = front.upledger(&["resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert!(front.get("/").is_some_and(|a| a.contains("back at four")));
}

#[test]
fn workers_whose_master_was_killed_still_accept_and_are_stopped_by_the_pidfile() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    front.up();
    let workers = front.workers();
    kill(front.master().expect("it runs"));
    eventually("the master has exited", || front.master().is_none());
    assert!(front.get("/").is_some(), "the port still accepts");
    let by = "by: {pidfile: @/nginx.pid, start: [nginx, -c, @/nginx.conf]}";
    let started = front.run(&[&START.replace("conf: @/nginx.conf", by)]);
    let said = format!("{}{}", started.out, started.err);
    assert!(
        started.code == 1 && said.contains("master has exited"),
        "{said}"
    );
    front.abort();
    // By its configuration alone it cannot determine whether whose they are, and "nothing runs" would be a lie.
    let done = front.run(&[STOP]);
    let said = format!("{}{}", done.out, done.err);
    assert!(
        done.code == 3
            && said.contains("cannot determine whether")
            && said.contains(&workers[0].to_string()),
        "{said}"
    );
    assert!(front.get("/").is_some(), "and nobody was ended");
    let done =
        front.run(&[&STOP.replace("conf: @/nginx.conf", &format!("conf: @/nginx.conf, {by}"))]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(front.get("/").is_none());
    for worker in workers {
        assert!(!std::path::Path::new(&format!("/proc/{worker}/exe")).exists());
    }
    let undone = front.rollback();
    assert_eq!(undone.code, 5, "{undone:?}");
    assert!(front.get("/").is_some());
}

#[test]
fn a_successor_that_usr2_has_started_is_stopped_with_the_former_one() {
    let _alone = ORPHANS.lock();
    let front = Front::new();
    // It executes its first word again, which no `PATH` finds then.
    let (conf, log) = (front.path("nginx.conf"), front.path("error.log"));
    let mut nginx = Command::new("/usr/sbin/nginx");
    let started = nginx.arg("-c").arg(conf).arg("-e").arg(log).status();
    assert!(started.expect("nginx-light").success());
    for by in ["conf: @/nginx.conf", "by: {pidfile: @/nginx.pid}"] {
        eventually("it answers", || front.get("/").is_some());
        let first = front.master().expect("it runs");
        let pid = rustix::process::Pid::from_raw(first).expect("a number");
        rustix::process::kill_process(pid, rustix::process::Signal::USR2).expect("signalled");
        eventually("there are two", || front.pids("nginx: master").len() == 2);
        eventually("the second has its number", || {
            let number = front.lines("nginx.pid");
            number.first().is_some_and(|n| *n != first.to_string())
        });
        let reload = front.run(&[RELOAD]);
        let said = format!("{}{}", reload.out, reload.err);
        assert!(reload.code == 3 && said.contains("USR2"), "{said}");
        let done = front.run(&[&STOP.replace("conf: @/nginx.conf", by)]);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(
            front.processes().is_empty(),
            "{by}: {:?}",
            front.processes()
        );
        assert!(front.get("/").is_none() && !front.log().contains("KILL to"));
        let undone = front.rollback();
        assert_eq!(undone.code, 5, "{undone:?}");
        assert!(front.get("/").is_some(), "{by}");
        assert_eq!(front.pids("nginx: master").len(), 1, "{by}");
    }
}
