//! What a stop or a start observed, as the ledger keeps it, in every form that was ever stored.
//!
//! Until version 0.2.0 a daemon of `process.start` was recorded in forms of its own; they are read for ever and mean the
//! same.

use super::found::{Found, Master};
use crate::host::process::identity::Ident;
use crate::host::process::pidfile::Record;
use serde::{Deserialize, Serialize};

/// What was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Found")]
pub struct Before(pub(crate) Found);

/// All forms.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Found(Found),
    Stop(FormerStop),
    Start(FormerStart),
    /// A step that was refused before anything was observed.
    Nothing(()),
}

/// What `process.stop` recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerStop {
    running: Option<Record>,
    session: Vec<Ident>,
    ended: Option<Record>,
}

/// What `process.start` recorded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerStart {
    running: Option<Ident>,
    pidfile: Option<Record>,
}

impl From<Stored> for Before {
    fn from(stored: Stored) -> Self {
        let masters = match stored {
            Stored::Found(found) => return Self(found),
            Stored::Nothing(()) => return Self::default(),
            Stored::Stop(former) => {
                let ended = former.ended.map(|record| {
                    let mut master = Master::stored(record, Vec::new());
                    master.orphan = true;
                    master
                });
                let running = former.running.map(|r| Master::stored(r, former.session));
                running.or(ended)
            }
            Stored::Start(former) => {
                let running = former.running;
                let lived = former
                    .pidfile
                    .filter(|r| running.as_ref() == Some(&r.ident));
                lived.map(|record| Master::stored(record, Vec::new()))
            }
        };
        Self(Found {
            masters: masters.into_iter().collect(),
            ..Found::default()
        })
    }
}

impl From<Before> for Found {
    fn from(before: Before) -> Self {
        before.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"pid": 7, "starttime": 9, "boot": "b", "argv": ["web"], "cwd": "/srv", "log": "/srv/log"}"#;
    const IDENT: &str = r#"{"pid": 7, "starttime": 9, "boot": "b"}"#;

    fn read(text: &str) -> Found {
        serde_json::from_str::<Before>(text).unwrap().0
    }

    #[test]
    fn former_records_of_daemons_are_read() {
        let stop = read(&format!(
            r#"{{"running": {RECORD}, "session": [{IDENT}], "ended": null}}"#
        ));
        let start = read(&format!(r#"{{"running": {IDENT}, "pidfile": {RECORD}}}"#));
        for found in [&stop, &start] {
            let master = &found.masters[0];
            assert_eq!((master.ident.pid, master.cwd.as_str()), (7, "/srv"));
            assert_eq!((master.argv[0].as_str(), master.orphan), ("web", false));
        }
        assert_eq!(
            (
                stop.masters[0].members.len(),
                start.masters[0].members.len()
            ),
            (1, 0)
        );
        let ended = read(&format!(
            r#"{{"running": null, "session": [], "ended": {RECORD}}}"#
        ));
        assert!(ended.masters[0].orphan);
        for nothing in [
            r#"{"running": null, "session": [], "ended": null}"#.to_owned(),
            r#"{"running": null, "pidfile": null}"#.to_owned(),
            "null".to_owned(),
            // What the pidfile named had ended.
            format!(r#"{{"running": null, "pidfile": {RECORD}}}"#),
        ] {
            assert!(!read(&nothing).runs(), "{nothing}");
        }
    }

    #[test]
    fn what_is_recorded_now_is_read_as_it_was_written() {
        let text = r#"{"masters": [], "programs": [{"name": "web.service", "state": "active", "sub": "running", "boot": "enabled"}], "ports": [80]}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let before: Before = serde_json::from_value(value.clone()).unwrap();
        assert!(before.0.runs());
        assert_eq!(serde_json::to_value(&before).unwrap(), value);
    }
}
