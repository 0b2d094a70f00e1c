//! A private Redis server on a Unix socket, and a world in which plans about it run.

use crate::common::{Done, World, eventually};
use crate::platform::Call;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A world.
pub(crate) struct Site {
    world: World,
}

impl std::ops::Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
        }
    }

    /// Another one: a run of its own.
    pub(crate) fn fresh(&self) -> Self {
        Self::new()
    }

    /// Writes a plan of these steps.
    pub(crate) fn plan(&self, steps: &[&str]) {
        let steps: String = steps
            .iter()
            .map(|step| format!("      - {step}\n"))
            .collect();
        let secrets = match steps.contains("secret: redis") {
            true => "secrets: {redis: {env: REDIS_PASSWORD}}\n",
            false => "",
        };
        let text = format!(
            "upledger: 1\nname: redis\n{secrets}phases:\n  - phase: all\n    steps:\n{steps}"
        );
        std::fs::write(self.path("plan.yaml"), text).expect("written");
    }

    /// Runs these steps.
    pub(crate) fn run(&self, steps: &[&str]) -> Done {
        self.plan(steps);
        self.with_password(&["run", "plan.yaml"])
    }

    /// What a preview says of these steps.
    pub(crate) fn preview(&self, steps: &[&str]) -> Done {
        self.plan(steps);
        self.with_password(&["plan", "plan.yaml"])
    }

    /// Lets a failed step be tried again.
    pub(crate) fn retry(&self, step: &str) -> Done {
        let decided = self.upledger(&["decide", step, "retry", "--reason", "it died"]);
        assert_eq!(decided.code, 0, "{decided:?}");
        self.upledger(&["resume"])
    }

    /// The files of the state directory that hold this text.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let (mut found, mut open) = (Vec::new(), vec![self.state()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).expect("read").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let holds = bytes.windows(text.len()).any(|w| w == text.as_bytes());
                    found.extend(holds.then_some(path));
                }
            }
        }
        found
    }

    pub(crate) fn with_password(&self, args: &[&str]) -> Done {
        let mut command = self.command(args);
        command.env("REDIS_PASSWORD", "pw-of-the-application");
        Done::of(command.output().expect("the program starts"))
    }

    pub(crate) fn back(&self) -> Done {
        self.rollback()
    }

    /// A port that nobody has.
    pub(crate) fn port(&self) -> u16 {
        crate::ports::free_port()
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        let meta = std::fs::metadata(path).expect("the file");
        meta.permissions().mode() & 0o7777
    }
}

/// A server, ended when it is dropped.
pub(crate) struct Redis {
    pub(crate) dir: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server in a directory of that name.
    pub(crate) fn start(site: &Site, name: &str, options: &[&str]) -> Self {
        let dir = site.path(name);
        std::fs::create_dir_all(&dir).expect("made");
        Self::over(&dir, options)
    }

    /// Starts a server in that directory.
    pub(crate) fn over(dir: &Path, options: &[&str]) -> Self {
        let path = |name: &str| dir.join(name).display().to_string();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", &path("s")])
            .args(["--dir", &dir.display().to_string(), "--save", ""])
            .args(["--logfile", &path("log")])
            .args(options)
            .current_dir("/")
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server; install it with: apt-get install -y redis-server");
        let redis = Self {
            dir: dir.to_path_buf(),
            child: Some(child),
        };
        redis.await_up();
        redis
    }

    /// Starts a server that goes into the background, by `redis.conf` in that directory.
    pub(crate) fn daemon(dir: &Path) -> Self {
        let redis = Self {
            dir: dir.to_path_buf(),
            child: None,
        };
        redis.launch();
        redis
    }

    fn launch(&self) {
        let conf = self.dir.join("redis.conf").display().to_string();
        Call::new("redis-server")
            .args([&conf])
            .dir(Path::new("/"))
            .run();
        self.await_up();
    }

    /// Stops it as an operator does, and starts it again.
    pub(crate) fn restart(&self) {
        self.shut_down();
        self.launch();
    }

    fn shut_down(&self) {
        let pid = self.pid();
        self.cli(&["SHUTDOWN"]).output();
        eventually("it has ended", || {
            !Path::new(&format!("/proc/{pid}")).exists()
        });
    }

    pub(crate) fn await_up(&self) {
        eventually("Redis answers", || {
            let said = self.cli(&["PING"]).output().stdout;
            [&b"PONG"[..], b"NOAUTH", b"NOPERM"]
                .iter()
                .any(|s| said.starts_with(s))
        });
    }

    fn cli(&self, words: &[&str]) -> Call {
        let socket = self.dir.join("s").display().to_string();
        Call::new("redis-cli").args(["-s", &socket]).args(words)
    }

    /// What redis-cli prints.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        self.cli(words).run().trim_end().to_owned()
    }

    /// The words of redis-cli, as a list in a plan.
    pub(crate) fn command(&self, db: u32, words: &str) -> String {
        let script = format!(
            "redis-cli -s {} -n {db} {words}",
            self.dir.join("s").display()
        );
        let script = script.replace('\'', "''");
        format!("sh, -ec, '{script}'")
    }

    /// The setting `server`.
    pub(crate) fn server(&self) -> String {
        self.server_db(0)
    }

    pub(crate) fn server_db(&self, db: u32) -> String {
        format!("{{socket: {}, db: {db}}}", self.dir.join("s").display())
    }

    /// Until it is dropped, each save fails: the temporary file would stand in the way of itself.
    pub(crate) fn block_saves(&self) -> Blocked<'_> {
        self.ask(&["CONFIG", "SET", "rdb-save-incremental-fsync", "yes"]);
        std::fs::rename(self.dir.join("dump.rdb"), self.dir.join("kept.rdb")).expect("moved");
        std::fs::create_dir_all(self.dir.join("dump.rdb/full")).expect("made");
        Blocked(self)
    }

    /// From its next start on it listens on this port, too.
    pub(crate) fn listen(&self, port: u16) {
        let path = self.dir.join("redis.conf");
        let conf = std::fs::read_to_string(&path).expect("read");
        let conf = conf.replace("port 0", &format!("port {port}\nbind 127.0.0.1"));
        std::fs::write(&path, conf).expect("written");
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        let info = self.ask(&["INFO", "server"]);
        let line = info
            .lines()
            .find_map(|l| l.trim().strip_prefix("process_id:"));
        line.expect("a process").parse().expect("a number")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        let pid = std::fs::read_to_string(self.dir.join("pid"));
        if let Some(pid) = pid.ok().and_then(|text| text.trim().parse().ok()) {
            crate::common::kill(pid);
        }
    }
}

/// See [`Redis::block_saves`].
pub(crate) struct Blocked<'a>(&'a Redis);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.dir.join("dump.rdb"));
    }
}

/// What an older server says of itself; it has no key.
pub(crate) struct Old {
    pub(crate) port: u16,
}

impl Old {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut asked = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut asked) {
                    let reply = Self::reply(&String::from_utf8_lossy(&asked[..n]));
                    if stream.write_all(reply.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { port }
    }

    /// What it answers to one command.
    fn reply(asked: &str) -> String {
        match asked.lines().nth(2) {
            Some("INFO") => {
                let info = "redis_version:6.0.16\r\nredis_mode:standalone\r\nrole:master\r\n";
                format!("${}\r\n{info}\r\n", info.len())
            }
            Some("RESTORE") => "-ERR Invalid TTL value, must be >= 0\r\n".into(),
            Some("EXISTS") => ":0\r\n".into(),
            Some("DUMP") => "$-1\r\n".into(),
            _ => "-ERR unknown command\r\n".into(),
        }
    }
}
