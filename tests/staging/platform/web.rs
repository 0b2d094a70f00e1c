//! Gunicorn, and Nginx before it.

use super::Platform;
use super::tools::{Call, root};

pub(super) fn configure(platform: &Platform) {
    let user = if root() { "user www-data;\n" } else { "" };
    let nginx = include_str!("conf/nginx.conf").replace("@user@", user);
    platform.write(
        "etc/gunicorn.conf.py",
        &platform.fill(include_str!("conf/gunicorn.conf.py")),
    );
    platform.write("etc/nginx.conf", &platform.fill(&nginx));
}

/// The command of Gunicorn, in the foreground.
pub(super) fn gunicorn_argv(platform: &Platform) -> Vec<String> {
    let conf = platform.text("etc/gunicorn.conf.py");
    let python = platform.text("venv/bin/python");
    [&python, "-m", "gunicorn", "--config", &conf, "wsgi"]
        .map(str::to_owned)
        .into()
}

/// The command of Nginx, without a signal.
pub(super) fn nginx_argv(platform: &Platform) -> Vec<String> {
    let (root, log) = (platform.text(""), platform.text("log/nginx-error.log"));
    let conf = platform.text("etc/nginx.conf");
    ["nginx", "-p", &root, "-c", &conf, "-e", &log]
        .map(str::to_owned)
        .into()
}

pub(super) fn start_gunicorn(platform: &Platform) {
    let argv = gunicorn_argv(platform);
    Call::new(&argv[0])
        .args(&argv[1..])
        .args(["--daemon"])
        .dir(&platform.path("code"))
        .run();
}

pub(super) fn start_nginx(platform: &Platform) {
    let argv = nginx_argv(platform);
    Call::new(&argv[0]).args(&argv[1..]).run();
}
