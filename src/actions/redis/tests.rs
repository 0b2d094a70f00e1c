//! What is stored of `redis.*` is read for ever, and settings that contradict each other are problems.

use super::backup::Backup;
use super::expect::Expect;
use super::restore::Restore;
use crate::action::{Action, stays};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

const BACKED: &str = r#"{"path": "/b", "sha256": "0", "bytes": 1, "kind": "rdb", "server": "127.0.0.1:6379", "role": "master",
    "version": "7.0.15", "format": 10, "keys": 3, "expires": 1, "expired": 0, "databases": "db0: 3 keys", "brokers": "",
    "changes": 0, "saved_at": 7, "checksum": true}"#;

#[test]
fn what_is_recorded_of_a_backup_stays() {
    let before = r#"{"copy": "/b", "version": "7.0.15", "command": "BGSAVE", "databases": "db0: 3 keys", "master": null,
        "brokers": null, "last_failed": false, "saving": false}"#;
    stays::<Backup>(before, "null", BACKED);
}

#[test]
fn what_is_recorded_of_a_restore_stays() {
    let swap = r#"{"service": {"masters": [], "ports": []}, "rdb": "/d/dump.rdb", "append": "/d/appendonlydir",
        "append_name": "appendonly.aof", "append_is_dir": true, "append_existed": true, "append_only": true,
        "replicas": [], "command": "BGSAVE"}"#;
    let before =
        format!(r#"{{"server": "/s", "backup": {BACKED}, "databases": null, "swap": {swap}}}"#);
    let note = r#"{"saved": {"path": "/u", "sha256": "0", "keys": 3, "expires": 1}}"#;
    let output = r#"{"restored": 3, "expired": 0, "removed": 0, "at": 7}"#;
    stays::<Restore>(&before, note, output);
    stays::<Restore>(
        r#"{"server": "/s", "backup": null, "databases": null, "swap": null}"#,
        note,
        output,
    );
}

#[test]
fn settings_that_mean_nothing_are_problems() {
    let backup: Backup =
        read(r#"{"keys": ["a", ""], "rdb": "d.rdb", "to": "b", "writers_stopped": true}"#);
    assert_eq!(backup.problems().len(), 5, "{:#?}", backup.problems());
    let expect: Expect = read("{}");
    assert_eq!(Action::problems(&expect).len(), 1);
    let expect: Expect = read(
        r#"{"keys": {"a": {"exists": false, "type": "list"}}, "count": {"b*": {}, "c*": {"min": 2, "max": 1}}}"#,
    );
    assert_eq!(Action::problems(&expect).len(), 3);
    let restore: Restore = read(r#"{"backup": "b", "ttl": "remaining", "by": {"pidfile": "/p"}}"#);
    assert_eq!(restore.problems().len(), 1, "{:#?}", restore.problems());
}
