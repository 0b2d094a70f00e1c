//! A private RabbitMQ, with a port mapper of its own.

use super::tools::Call;
use super::{Platform, patiently};
use std::process::Output;

pub(super) fn start(platform: &Platform) {
    let conf = include_str!("conf/rabbitmq.conf");
    platform.write(
        "etc/rabbitmq.conf",
        &conf.replace("@rabbit_port@", &platform.ports.rabbit.to_string()),
    );
    platform.write("etc/enabled_plugins", "[].\n");
    call(platform, "rabbitmq-server").daemon(&platform.path("log/rabbit-out.log"));
}

pub(super) fn await_up(platform: &Platform) {
    patiently("RabbitMQ takes connections", || {
        std::net::TcpStream::connect(("127.0.0.1", platform.ports.rabbit)).is_ok()
    });
}

/// A command of RabbitMQ in the environment of the private one. Debian's own wrappers would change the user.
fn call(platform: &Platform, program: &str) -> Call {
    let ports = &platform.ports;
    let variables = [
        ("HOME", platform.text("data")),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODENAME", format!("r{}@localhost", ports.rabbit)),
        ("RABBITMQ_DIST_PORT", ports.erlang.to_string()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_CONFIG_FILE", platform.text("etc/rabbitmq.conf")),
        (
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            platform.text("etc/enabled_plugins"),
        ),
        ("RABBITMQ_MNESIA_BASE", platform.text("data/rabbit")),
        ("RABBITMQ_LOG_BASE", platform.text("log")),
        ("RABBITMQ_PID_FILE", platform.text("run/rabbit.pid")),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none".to_owned(),
        ),
    ];
    variables.iter().fold(
        Call::new(&format!("/usr/lib/rabbitmq/bin/{program}")),
        |call, (name, value)| call.env(name, value),
    )
}

impl Platform {
    /// `rabbitmqctl`, for a platform with RabbitMQ.
    pub(crate) fn rabbitmqctl(&self, words: &[&str]) -> Output {
        call(self, "rabbitmqctl").args(words).output()
    }
}
