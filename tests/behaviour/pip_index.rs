//! `pip.install` from an index that wants a user and a password: they reach pip, and neither an argument nor a record.

use crate::pip::{PYTHON, Site};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A package index that wants a user and a password, and says who came.
const INDEX: &str = r#"
import base64, http.server, os, sys
where, wanted = sys.argv[1], "Basic " + base64.b64encode(os.environ["WANTED"].encode()).decode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") != wanted:
            self.send_response(401); self.send_header("WWW-Authenticate", "Basic realm=x"); self.end_headers(); return
        parts = self.path.strip("/").split("/")
        if parts[0] == "simple":
            name = parts[1] + "-"
            body = "".join(f'<a href="/files/{f}">{f}</a>' for f in os.listdir(where) if f.startswith(name)).encode()
        else:
            body = open(os.path.join(where, parts[1]), "rb").read()
        self.send_response(200); self.send_header("Content-Type", "text/html"); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn credentials_of_the_index_reach_pip_and_neither_an_argument_nor_a_record() {
    let site = Site::new(PYTHON, 0, "");
    let world = &site.0;
    let mut server = Server(
        Command::new(PYTHON)
            .args(["-c", INDEX])
            .env("WANTED", "joe:p@ss-w0rd")
            .arg(world.path("wheels"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3"),
    );
    let mut port = String::new();
    let out = server.0.stdout.take().expect("piped");
    std::io::BufReader::new(out)
        .read_line(&mut port)
        .expect("a port");
    let url = |password: &str| format!("http://joe:{password}@127.0.0.1:{}/simple/\n", port.trim());
    let secret = |password: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(world.path("pypi"), url(password)).expect("written");
        let only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(world.path("pypi"), only).expect("set");
    };
    site.edit("no_index: true", "index: {secret: pypi}");
    site.edit("            find_links: [\"${dir}/wheels\"]\n", "");
    let file = format!(
        "secrets: {{pypi: {{file: {}}}}}\nphases:",
        world.path("pypi").display()
    );
    site.edit("phases:", &file);
    secret("wr0ng-w0rd");
    site.fails(&["the index refused access (401 for http://127.0.0.1"]);
    secret("p%40ss-w0rd");
    let mut run = world.start(&["run", "plan.yaml"]);
    let here = world.path("").display().to_string();
    let mut installs = 0;
    let code = loop {
        for pid in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let words = std::fs::read(pid.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            assert!(!words.contains("ss-w0rd"), "{words}");
            installs += usize::from(words.contains("install") && words.contains(&here));
        }
        if let Some(status) = run.try_wait().expect("a status") {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(0), "{:?}", world.upledger(&["log"]));
    assert!(installs > 0, "pip was not seen at work");
    site.assert_in_force();
    let found = Command::new("grep")
        .args(["-rl", "--exclude=pypi", "ss-w0rd"])
        .arg(world.path("."))
        .output()
        .expect("grep");
    assert!(
        found.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
}
