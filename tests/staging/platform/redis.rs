//! A private Redis: the broker.

use super::tools::Call;
use super::{Platform, patiently};

pub(super) fn configure(platform: &Platform) {
    platform.write(
        "etc/redis.conf",
        &platform.fill(include_str!("conf/redis.conf")),
    );
}

pub(super) fn start(platform: &Platform) {
    Call::new("redis-server")
        .args([platform.text("etc/redis.conf")])
        .run();
}

pub(super) fn await_up(platform: &Platform) {
    patiently("Redis answers", || {
        command(platform, &["PING"])
            .output()
            .stdout
            .starts_with(b"PONG")
    });
}

pub(super) fn ask(platform: &Platform, words: &[&str]) -> String {
    command(platform, words).run().trim_end().to_owned()
}

fn command(platform: &Platform, words: &[&str]) -> Call {
    Call::new("redis-cli")
        .args(["-p", &platform.ports.redis.to_string()])
        .args(words)
}
