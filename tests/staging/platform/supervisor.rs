//! A private supervisord, which keeps Gunicorn, the worker, beat and Nginx.

use super::Platform;
use super::tools::{Call, root};
use std::process::Output;

pub(super) fn configure(platform: &Platform) {
    let user = if root() { "user=root" } else { "" };
    let text = include_str!("conf/supervisord.conf").replace("@user@", user);
    let text = ["gunicorn", "worker", "beat", "nginx"]
        .into_iter()
        // A percent sign begins a variable of supervisor's.
        .fold(text, |text, name| {
            let command = platform.command_of(name).join(" ").replace('%', "%%");
            text.replace(&format!("@{name}@"), &command)
        });
    platform.write("etc/supervisord.conf", &platform.fill(&text));
}

pub(super) fn start(platform: &Platform) {
    Call::new("supervisord")
        .args(["-c", &platform.text("etc/supervisord.conf")])
        .run();
}

impl Platform {
    /// `supervisorctl`, for a platform that supervisor keeps: `bklog:gunicorn`, `bklog:worker`, `bklog:beat`, `nginx`.
    pub(crate) fn supervisorctl(&self, words: &[&str]) -> Output {
        Call::new("supervisorctl")
            .args(["-c", &self.text("etc/supervisord.conf")])
            .args(words)
            .output()
    }
}
