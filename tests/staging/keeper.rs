//! A place for services of the tests: small real servers, a private supervisord, and their end by number.

use crate::common::{Done, World, eventually, kill};
use crate::ports::free_port;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A world in which services run; all processes that name it in their command line end with it.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) port: u16,
}

impl std::ops::Deref for Place {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // supervisord first: it would start again what is ended.
        for all in [false, true] {
            for (pid, line) in self.processes() {
                if all || line.contains("supervisord") {
                    end(pid);
                }
            }
        }
    }
}

/// Ends a process after those below it. A worker of Nginx does not name this world, and is not to be seen without its
/// master.
fn end(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::STOP);
    }
    children(pid).into_iter().for_each(end);
    kill(pid);
}

/// The children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// What a GET of that path answers; none when nobody does.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(90)))
        .ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            port: free_port(),
        }
    }

    /// This world's directory, as it stands in command lines.
    pub(crate) fn here(&self) -> String {
        self.path("")
            .display()
            .to_string()
            .trim_end_matches('/')
            .to_owned()
    }

    /// All living processes that name this world, upledger's own left out.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let here = self.here();
        let own = i32::try_from(std::process::id()).expect("a number");
        std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| *pid != own)
            .filter_map(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let dead = state.rsplit_once(')')?.1.trim_start().starts_with('Z');
                let wanted = line.contains(&here) && !line.starts_with("upledger") && !dead;
                wanted.then_some((pid, line))
            })
            .collect()
    }

    /// Those whose command line holds that text.
    pub(crate) fn pids(&self, text: &str) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|(_, line)| line.contains(text) && !line.contains("supervisord"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Writes `plan.yaml` of these steps; `@` is this world, `%` its port.
    pub(crate) fn plan(&self, steps: &[&str]) {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let text =
            format!("upledger: 1\nname: services\nphases:\n  - phase: all\n    steps:\n{steps}");
        let text = text
            .replace("@/", &format!("{}/", self.here()))
            .replace('%', &self.port.to_string());
        std::fs::write(self.path("plan.yaml"), text).expect("written");
    }

    pub(crate) fn run(&self, steps: &[&str]) -> Done {
        self.plan(steps);
        self.upledger(&["run", "plan.yaml"])
    }

    pub(crate) fn rollback(&self) -> Done {
        self.world.rollback()
    }

    /// The whole record, as text.
    pub(crate) fn log(&self) -> String {
        self.upledger(&["log", "--json"]).out
    }

    /// What a GET of that path answers; none when nobody does.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        get(self.port, path)
    }

    pub(crate) fn await_port(&self) {
        eventually("the port accepts", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Starts a process of a shell line in a session of its own, its output in a file, and forgets it.
    pub(crate) fn spawn(&self, argv: &[&str], log: &str) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(log))
            .expect("a log");
        Command::new("setsid")
            .args(argv)
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{argv:?}: {e}"))
    }

    /// A private supervisord with these programs.
    pub(crate) fn supervisord(&self, programs: &str) {
        self.supervisord_conf(programs);
        let conf = self.path("s.conf").display().to_string();
        let started = Command::new("supervisord")
            .args(["-c", &conf])
            .current_dir("/")
            .status()
            .expect("supervisord; install it with: apt-get install -y supervisor");
        assert!(started.success(), "{started:?}");
        eventually("supervisord answers", || self.ctl(&["pid"]).0);
    }

    /// The configuration of that one, which it reads when it is told to.
    pub(crate) fn supervisord_conf(&self, programs: &str) {
        let text = format!(
            "[supervisord]\nlogfile=@/supervisord.log\npidfile=@/supervisord.pid\nchildlogdir=@/\n\
             [unix_http_server]\nfile=@/s.sock\n[supervisorctl]\nserverurl=unix://@/s.sock\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n{programs}"
        );
        self.write("s.conf", &text.replace('%', &self.port.to_string()));
    }

    /// What supervisorctl says, and whether it succeeds.
    pub(crate) fn ctl(&self, words: &[&str]) -> (bool, String) {
        let said = Command::new("supervisorctl")
            .arg("-c")
            .arg(self.path("s.conf"))
            .args(words)
            .output()
            .expect("supervisorctl");
        (
            said.status.success(),
            String::from_utf8_lossy(&said.stdout).into_owned(),
        )
    }
}

/// A server of its own pidfile that goes into the background when told so, and ends in peace or stubbornly:
/// `server.py PORT PIDFILE [fork] [stubborn] [worker]`.
pub(crate) const SERVER: &str = r#"
import http.server, os, signal, sys, time
port, pidfile, ways = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
if "fork" in ways:
    # Whoever started this stops reading when it ends, so the one that stays may not write.
    print("begun", flush=True)
    if os.fork(): os._exit(0)
    os.setsid()
if "stubborn" in ways: signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "worker" in ways and not os.fork():
    time.sleep(1000)
if "fork" not in ways: print("begun", flush=True)
if pidfile != "-":
    with open(pidfile, "w") as f: f.write("%d\n" % os.getpid())
server.serve_forever()
"#;
