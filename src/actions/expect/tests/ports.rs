//! `expect.port`: the kernel's table and connections, against sockets of the test.

use super::{fails, holds, says};
use crate::actions::Do;
use serde_json::json;
use std::net::{Ipv6Addr, TcpListener};

#[test]
fn an_open_port_is_seen_in_the_kernels_table_with_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    says(
        &holds("expect.port", json!({"port": port})),
        &[
            &format!("127.0.0.1:{port} by pid "),
            &std::process::id().to_string(),
        ],
    );
    says(
        &fails("expect.port", json!({"port": port, "open": false})),
        &[
            &format!("expected port {port} closed; saw listening on"),
            &std::process::id().to_string(),
        ],
    );
    drop(listener);
    holds(
        "expect.port",
        json!({"port": port.to_string(), "open": false}),
    );
    says(
        &fails("expect.port", json!({"port": port})),
        &[&format!("nothing listens on port {port}")],
    );
}

#[test]
fn a_listener_on_ipv6_is_seen_too() {
    // A machine without IPv6 has nothing to see.
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    says(
        &holds("expect.port", json!({"port": port})),
        &[&format!("[::1]:{port}")],
    );
}

#[test]
fn a_port_of_a_host_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let at = |open: bool| json!({"port": port, "host": "127.0.0.1", "open": open});
    says(&holds("expect.port", at(true)), &["connected"]);
    says(
        &fails("expect.port", at(false)),
        &[&format!("expected port {port} of 127.0.0.1 closed")],
    );
    drop(listener);
    says(&holds("expect.port", at(false)), &["connection refused"]);
    fails("expect.port", at(true));
}

#[test]
fn a_port_is_a_number_in_its_range() {
    for bad in [
        json!(0),
        json!(65536),
        json!(-1),
        json!(""),
        json!("080"),
        json!("+80"),
        json!("80a"),
        json!("0"),
        json!("65536"),
        json!(true),
    ] {
        let read: Result<Do, _> = serde_json::from_value(json!({"expect.port": {"port": bad}}));
        assert!(read.is_err(), "{bad}");
    }
}
