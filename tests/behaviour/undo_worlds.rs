//! Worlds for the undos of `undo_bytes`: how each is made, and what is seen of it.

use crate::keeper::{Place, SERVER};
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// Writes a file with a mode and a time of its own.
pub(crate) fn old(place: &Place, name: &str, text: &str) {
    let path = place.path(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("its own");
    let file = std::fs::File::options().append(true).open(&path);
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    file.and_then(|f| f.set_modified(time)).expect("its own");
}

pub(crate) fn script(place: &Place, name: &str, text: &str) {
    let path = place.write(name, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its own");
}

pub(crate) fn file(place: &Place) {
    old(place, "file", "A=1\r\nDEBUG=1\n\nno end");
}

pub(crate) fn assignments(place: &Place) {
    old(place, "file", "A=1\r\nDEBUG=1\n# no end");
}

pub(crate) fn crontab(place: &Place) {
    old(
        place,
        "crontab",
        "# comment\n0 1 * * * root job\n#0 2 * * * root off\n",
    );
}

/// The plain files of the world, each with its bytes, mode, owner and time.
pub(crate) fn sample(place: &Place) {
    std::fs::create_dir(place.path("sample")).expect("made");
    place.write("sample/text", "former\n");
}

pub(crate) fn sampled(place: &Place) -> String {
    std::fs::read_to_string(place.path("sample/text")).expect("there")
}

pub(crate) fn tree(place: &Place) -> String {
    files_of(&place.path(""), &["plan.yaml", "verify.py"])
}

pub(crate) fn files_of(dir: &Path, but: &[&str]) -> String {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut files: Vec<String> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .filter(|e| !but.iter().any(|b| e.file_name() == *b))
        .map(|e| {
            let (bytes, meta) = (std::fs::read(e.path()), e.metadata().expect("there"));
            let of = (
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
            );
            format!(
                "{:?} {of:?} {:?}",
                e.file_name(),
                bytes.expect("readable").escape_ascii().to_string()
            )
        })
        .collect();
    files.sort();
    files.join("\n")
}

pub(crate) fn started_daemon(place: &Place) {
    let done = place.run(&[
        r#"{id: before, do: {process.start: {argv: [sleep, "1000"], pidfile: @/pid, log: @/log}}}"#,
    ]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// Whether the process of the pidfile lives.
pub(crate) fn daemon(place: &Place) -> String {
    let text = std::fs::read(place.path("pid")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let cmdline = format!("/proc/{}/cmdline", record["pid"]);
    let words = std::fs::read(cmdline).unwrap_or_default();
    words.escape_ascii().to_string()
}

pub(crate) fn server(place: &Place) {
    place.write("server.py", SERVER);
}

pub(crate) fn started_server(place: &Place) {
    server(place);
    let (port, server, pid) = (
        place.port.to_string(),
        place.path("server.py"),
        place.path("app.pid"),
    );
    let [server, pid] = [server, pid].map(|p| p.display().to_string());
    let argv = ["python3", &server, &port, &pid, "fork"];
    let started = place.spawn(&argv, "log").wait();
    assert!(started.is_ok_and(|s| s.success()));
    place.await_port();
    crate::common::eventually("its pidfile is there", || pid_of(place).is_some());
}

pub(crate) fn pid_of(place: &Place) -> Option<i32> {
    place.lines("app.pid").first()?.parse().ok()
}

const NGINX: &str = "pid @/nginx.pid;
error_log @/error.log;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @/b; proxy_temp_path @/p; fastcgi_temp_path @/f; uwsgi_temp_path @/u; scgi_temp_path @/s;
  server { listen 127.0.0.1:%; location / { include @/maintenance*.conf; return 200 'serves'; } }
}
";

pub(crate) fn configured_nginx(place: &Place) {
    place.write("nginx.conf", &NGINX.replace('%', &place.port.to_string()));
    old(place, "maintenance.conf", "# of the administrator\n");
}

pub(crate) fn started_nginx(place: &Place) {
    configured_nginx(place);
    let started = Command::new("nginx")
        .arg("-c")
        .arg(place.path("nginx.conf"))
        .arg("-e")
        .arg(place.path("error.log"))
        .status()
        .expect("nginx; install it with: apt-get install -y nginx-light");
    assert!(started.success());
    place.await_port();
}

/// What is served, and the maintenance page's file where there is one.
pub(crate) fn page(place: &Place) -> String {
    let answer = place.get("/").unwrap_or_default();
    let status = answer.lines().next().unwrap_or_default();
    let file = std::fs::read(place.path("maintenance.conf")).unwrap_or_default();
    format!("{status} {:?}", file.escape_ascii().to_string())
}

pub(crate) fn git(place: &Place, dir: &str, words: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words)
        .current_dir(place.path(dir))
        .output()
        .expect("git; install it with: apt-get install -y git");
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

pub(crate) fn clone(place: &Place) {
    std::fs::create_dir(place.path("source")).expect("made");
    git(place, "source", &["init", "-q", "-b", "main"]);
    for version in ["1.0", "2.0"] {
        place.write("source/version", version);
        git(place, "source", &["add", "-A"]);
        git(place, "source", &["commit", "-q", "-m", version]);
        git(place, "source", &["tag", &format!("app/{version}")]);
    }
    git(place, "", &["clone", "-q", "source", "app"]);
    git(place, "app", &["checkout", "-q", "app/1.0"]);
    place.write("app/own", "of the operator");
}

pub(crate) fn checkout(place: &Place) -> String {
    let mut seen = git(place, "app", &["log", "-1", "--format=%H%d", "HEAD"]);
    seen += &git(place, "app", &["status", "--porcelain=v2", "--branch"]);
    let _ = write!(seen, "{:?}", place.lines("app/version"));
    seen
}

/// What pre-commit does with the files of its hooks.
const PRE_COMMIT: &str = r##"#!/bin/sh -e
hook=.git/hooks/pre-commit
case $1 in
install)
  if [ -e $hook ] && ! grep -q 'generated by pre-commit' $hook; then mv $hook $hook.legacy; fi
  printf '#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\nINSTALL_PYTHON=/bin/sh\n' > $hook
  chmod 755 $hook;;
uninstall)
  rm -f $hook
  if [ -e $hook.legacy ]; then mv $hook.legacy $hook; fi;;
esac
"##;

pub(crate) fn hooks(place: &Place) {
    for dir in ["repo", "venv", "venv/bin"] {
        std::fs::create_dir(place.path(dir)).expect("made");
    }
    git(place, "repo", &["init", "-q", "--template="]);
    std::fs::create_dir(place.path("repo/.git/hooks")).expect("made");
    place.write("repo/.pre-commit-config.yaml", "repos: []\n");
    script(place, "venv/bin/pre-commit", PRE_COMMIT);
    script(
        place,
        "repo/.git/hooks/pre-commit",
        "#!/bin/sh\nexit 0 # of the team\n",
    );
}

/// A link to the first of two directories; a second link is not there yet.
pub(crate) fn linked(place: &Place) {
    for dir in ["one", "two"] {
        std::fs::create_dir(place.path(dir)).expect("created");
    }
    std::os::unix::fs::symlink(place.path("one"), place.path("current")).expect("linked");
}

pub(crate) fn leads(place: &Place) -> String {
    let lead = |link: &str| format!("{link}: {:?}", std::fs::read_link(place.path(link)).ok());
    ["current", "other"].map(lead).join("\n")
}

pub(crate) fn hook_files(place: &Place) -> String {
    files_of(&place.path("repo/.git/hooks"), &[])
}
