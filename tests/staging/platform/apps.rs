//! The Celery worker and beat.

use super::Platform;
use super::tools::Call;

/// The command of the worker, in the foreground: two processes, and up to eight tasks that the broker has handed over.
pub(super) fn worker_argv(platform: &Platform) -> Vec<String> {
    celery(
        platform,
        "worker",
        &["--concurrency=2", "--hostname=worker@%h"],
    )
}

/// The command of beat, in the foreground.
pub(super) fn beat_argv(platform: &Platform) -> Vec<String> {
    celery(platform, "beat", &[])
}

fn celery(platform: &Platform, role: &str, more: &[&str]) -> Vec<String> {
    let python = platform.text("venv/bin/python");
    let pid = format!("--pidfile={}", platform.text(&format!("run/{role}.pid")));
    let log = format!("--logfile={}", platform.text(&format!("log/{role}.log")));
    [
        &python,
        "-m",
        "celery",
        "-A",
        "celery_app",
        role,
        "--loglevel=INFO",
        &pid,
        &log,
    ]
    .into_iter()
    .chain(more.iter().copied())
    .map(str::to_owned)
    .collect()
}

pub(super) fn start_worker(platform: &Platform) {
    detach(platform, worker_argv(platform));
}

pub(super) fn start_beat(platform: &Platform) {
    detach(platform, beat_argv(platform));
}

fn detach(platform: &Platform, argv: Vec<String>) {
    Call::new(&argv[0])
        .args(&argv[1..])
        .args(["--detach"])
        .dir(&platform.path("code"))
        .run();
}

/// It has told so in its log since it was started last.
pub(super) fn worker_is_ready(platform: &Platform) -> bool {
    platform.read("log/worker.log").contains(" ready.")
}
