//! What actions note about processes: what no look can tell afterwards, durable before it comes true.
//!
//! Invariant: a note names one process among all that ever ran, so that an old note says nothing about another process.

use crate::host::process::identity::Ident;
use serde::{Deserialize, Serialize};

/// A note of any kind of action that acts on processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// It is told to end, and may do so at any later moment.
    Signalled {
        /// Which.
        process: Ident,
    },
    /// It is told to take its configuration or its code anew.
    Reloading {
        /// Which.
        process: Ident,
    },
    /// This step starts it.
    Launched {
        /// Which of the things that the step starts.
        key: String,
        /// Which process: that of the stage, which becomes the program.
        process: Ident,
    },
    /// It has got the signal that ends it, which is not sent to it again: a second one may cut off what it works on. The
    /// one note that is made afterwards; a death in between sends it twice.
    Terminating {
        /// Which.
        process: Ident,
        /// When, in milliseconds since the boot: its time for work in flight runs from then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
    /// This step started them: what stands after a start and did not before.
    Started {
        /// Which of the things that the step starts.
        key: String,
        /// The first processes, and what was below them.
        processes: Vec<Ident>,
        /// The command lines of the first ones, secrets cut out.
        #[serde(default)]
        commands: Vec<Vec<String>>,
    },
    /// supervisord is told to run the configuration of its files.
    Updating {
        /// The groups whose configuration is another one.
        groups: Vec<String>,
    },
    /// A Celery worker is told not to consume that queue any more.
    Cancelling {
        /// The name that it answers by.
        worker: String,
        /// The queue.
        queue: String,
    },
    /// A drain of Celery workers is over, and they are told to end now.
    Drained {
        /// Tasks that wait for their time and go back to their queues.
        scheduled: u64,
        /// The tasks that still ran when time was up, by name and id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unfinished: Option<String>,
    },
    /// The data of a server, as it was before this step changes it, is in that file.
    Saved {
        /// Its path.
        path: String,
        /// Its SHA-256.
        sha256: String,
        /// Keys in it.
        keys: u64,
        /// Those of them that have a time to live, and may be gone.
        expires: u64,
    },
    /// The files of a stopped server have been exchanged: what starts from now on has that data.
    Exchanged {
        /// The SHA-256 of the data.
        sha256: String,
    },
}

/// The processes that were told to end.
pub(crate) fn signalled<'n>(
    notes: impl IntoIterator<Item = &'n Note>,
) -> impl Iterator<Item = &'n Ident> {
    notes.into_iter().filter_map(|n| match n {
        Note::Signalled { process } => Some(process),
        _ => None,
    })
}

/// That process was told to end.
pub(crate) fn was_signalled<'n>(notes: impl IntoIterator<Item = &'n Note>, of: &Ident) -> bool {
    signalled(notes).any(|process| process == of)
}

/// That process has got TERM.
pub(crate) fn is_terminating<'n>(notes: impl IntoIterator<Item = &'n Note>, of: &Ident) -> bool {
    notes
        .into_iter()
        .any(|n| matches!(n, Note::Terminating { process, .. } if process == of))
}

/// When that process got the signal that ends it, in milliseconds since the boot.
pub(crate) fn terminating_since<'n>(
    notes: impl IntoIterator<Item = &'n Note>,
    of: &Ident,
) -> Option<u64> {
    notes.into_iter().find_map(|n| match n {
        Note::Terminating { process, at } if process == of => *at,
        _ => None,
    })
}

/// What this step has started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) processes: Vec<Ident>,
    pub(crate) commands: Vec<Vec<String>>,
}

/// What this step has started under that key; none where no start came to its end.
pub(crate) fn started<'n>(notes: impl IntoIterator<Item = &'n Note>, of: &str) -> Option<Started> {
    let mut found: Option<Started> = None;
    for note in notes {
        if let Note::Started {
            key,
            processes,
            commands,
        } = note
            && key == of
        {
            let all = found.get_or_insert_default();
            all.processes.extend_from_slice(processes);
            all.commands.extend_from_slice(commands);
        }
    }
    found
}

/// That process was told to reload.
pub(crate) fn was_reloaded<'n>(notes: impl IntoIterator<Item = &'n Note>, of: &Ident) -> bool {
    notes
        .into_iter()
        .any(|n| matches!(n, Note::Reloading { process } if process == of))
}

/// All processes that were started under that key, in order.
pub(crate) fn launches<'n>(
    notes: impl IntoIterator<Item = &'n Note>,
    of: &str,
) -> impl Iterator<Item = &'n Ident> {
    notes.into_iter().filter_map(move |n| match n {
        Note::Launched { key, process } if key == of => Some(process),
        _ => None,
    })
}

/// The last one of them that lives.
pub(crate) fn launched<'n>(notes: impl IntoIterator<Item = &'n Note>, key: &str) -> Option<Ident> {
    launches(notes, key).filter(|p| p.alive()).last().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"[
        {"signalled": {"process": {"pid": 7, "starttime": 9, "boot": "b"}}},
        {"reloading": {"process": {"pid": 7, "starttime": 9, "boot": "b"}}},
        {"launched": {"key": "Gunicorn-0", "process": {"pid": 8, "starttime": 9, "boot": "b"}}},
        {"terminating": {"process": {"pid": 7, "starttime": 9, "boot": "b"}}},
        {"terminating": {"process": {"pid": 9, "starttime": 9, "boot": "b"}, "at": 1500}},
        {"started": {"key": "web-0", "processes": [{"pid": 8, "starttime": 9, "boot": "b"}], "commands": [["web"]]}},
        {"cancelling": {"worker": "w@h", "queue": "celery"}},
        {"drained": {"scheduled": 2}},
        {"drained": {"scheduled": 0, "unfinished": "app.task 1"}}
    ]"#;

    #[test]
    fn stored_notes_are_read() {
        let notes: Vec<Note> = serde_json::from_str(STORED).unwrap();
        let process = |pid| Ident {
            pid,
            starttime: 9,
            boot: "b".into(),
        };
        for told in [was_signalled, was_reloaded, is_terminating] {
            assert!(told(&notes, &process(7)) && !told(&notes, &process(8)));
        }
        assert!(launches(&notes, "Gunicorn-0").eq([&process(8)]));
        assert_eq!(launches(&notes, "Gunicorn-1").next(), None);
        assert_eq!(terminating_since(&notes, &process(9)), Some(1500));
        assert_eq!(terminating_since(&notes, &process(7)), None);
        let web = started(&notes, "web-0").unwrap();
        assert_eq!(
            (web.processes, web.commands),
            (vec![process(8)], vec![vec!["web".into()]])
        );
        assert_eq!(started(&notes, "Gunicorn-0"), None);
        let value: serde_json::Value = serde_json::from_str(STORED).unwrap();
        assert_eq!(serde_json::to_value(&notes).unwrap(), value);
    }

    #[test]
    fn only_a_launched_process_that_lives_counts() {
        let own = Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let dead = Ident {
            starttime: own.starttime + 1,
            ..own.clone()
        };
        let launch = |process: &Ident| Note::Launched {
            key: "web".into(),
            process: process.clone(),
        };
        let notes = [launch(&own), launch(&dead)];
        assert_eq!(launched(&notes, "web"), Some(own));
        assert_eq!(launched(&notes[1..], "web"), None);
        assert_eq!(launched(&notes, "beat"), None);
    }
}
