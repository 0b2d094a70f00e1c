//! `expect.stopped`: whoever is left, by command line or by port, is named.

use super::{OnNotYet, Sleeper, action, context, fails, holds, says, unique};
use serde_json::{Value, json};
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
    .action()
    .perform(&context(), &Value::Null, &mut log)
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
        assert_eq!(action.action().problems().len(), 1, "{bad}");
    }
}
