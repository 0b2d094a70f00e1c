//! `expect.stopped`: whoever is left, by command line or by port, is named.

use super::{OnNotYet, Sleeper, action, context, fails, holds, says, unique};
use crate::action::RawPast;
use serde_json::json;
use std::net::TcpListener;

#[test]
fn who_is_left_is_named_with_what_he_listens_on() {
    let (worker, beat) = (unique("stopped-worker"), unique("stopped-beat"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let all = json!({"processes": [&worker, &beat], "ports": [port]});
    let sleepers = [Sleeper::new(&worker), Sleeper::new(&beat)];
    let [first, second] = [0, 1].map(|n| format!("pid {}: ", sleepers[n].0.id()));
    let said = fails("expect.stopped", all.clone());
    says(
        &said,
        &[
            &format!("expected nothing left of {worker}, {beat}; port {port}; saw "),
            &format!("{first}{worker} 1000"),
            &format!("{second}{beat} 1000"),
            &format!(
                "listening on 127.0.0.1:{port} by pid {}",
                std::process::id()
            ),
        ],
    );
    drop(sleepers);
    let said = fails("expect.stopped", all.clone());
    assert!(!said.contains("1000"), "{said}");
    drop(listener);
    says(
        &holds("expect.stopped", all),
        &[&format!("nothing is left of {worker}, {beat}; port {port}")],
    );
}

#[test]
fn it_waits_for_what_is_still_ending() {
    let name = unique("stopped-late");
    let mut sleeper = Some(Sleeper::new(&name));
    let mut log = OnNotYet(|| drop(sleeper.take()), 0);
    action(
        "expect.stopped",
        json!({"processes": [name], "within": "30s"}),
    )
    .kind_of()
    .perform(&context(), &RawPast::default(), &mut log)
    .unwrap();
    assert!(log.1 >= 1, "it was seen while it lived");
}

#[test]
fn settings_that_find_nothing_or_everything_are_refused() {
    for bad in [
        json!({}),
        json!({"processes": [""]}),
        json!({"processes": ["("]}),
    ] {
        let action = action("expect.stopped", bad.clone());
        assert_eq!(action.kind_of().problems().len(), 1, "{bad}");
    }
}

#[test]
fn who_is_behind_a_pidfile_or_a_socket_is_named_and_what_the_dead_left_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let [socket, pidfile] = ["s", "p"].map(|n| dir.path().join(n).display().to_string());
    let sleeper = Sleeper::new(&unique("stopped-file"));
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::write(&pidfile, sleeper.0.id().to_string()).unwrap();
    let all = json!({"pidfiles": [&pidfile], "sockets": [&socket]});
    let said = fails("expect.stopped", all.clone());
    let pid = format!("names process {}", sleeper.0.id());
    says(
        &said,
        &[pid.as_str(), "which is running", "s accepts connections"],
    );
    drop((sleeper, listener));
    let said = holds("expect.stopped", all);
    says(
        &said,
        &[
            "left behind",
            "which has ended",
            "which accepts no connections",
        ],
    );
}
