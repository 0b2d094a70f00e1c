//! A unit as `systemctl show` tells of it, and the processes of its control group.

use crate::host::process::identity::{Ident, Stat};
use crate::host::service::found::{EXPECTED, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The properties that are asked for.
pub(super) const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,MainPID,ControlGroup,KillMode,\
                          TimeoutStopUSec,KillSignal,ExecStop,WorkingDirectory,Type,CanReload,TriggeredBy,Triggers,NeedDaemonReload,Result,Job";

/// The properties of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit(BTreeMap<String, String>);

impl Unit {
    /// What `systemctl show` prints: one block for each unit, with an empty line between them.
    pub(super) fn parse(text: &str) -> Vec<Self> {
        text.split("\n\n")
            .map(|block| {
                let pairs = block.lines().filter_map(|line| line.split_once('='));
                Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
            })
            .filter(|unit| !unit.get("Id").is_empty())
            .collect()
    }

    pub(super) fn get(&self, property: &str) -> &str {
        self.0.get(property).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.get("Id")
    }

    pub(super) fn state(&self) -> &str {
        self.get("ActiveState")
    }

    /// It is on its way to another state, or a job of it waits.
    pub(super) fn is_changing(&self) -> bool {
        let job = self.get("Job");
        matches!(
            self.state(),
            "activating" | "deactivating" | "reloading" | "refreshing"
        ) || !(job.is_empty() || job == "0")
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state(), "inactive" | "failed")
    }

    pub(super) fn triggers(&self) -> impl Iterator<Item = &str> {
        self.get("TriggeredBy").split_whitespace()
    }

    /// The processes of its control group, the main process first, without those that another of them has started.
    pub(super) fn first_processes(&self) -> Vec<Ident> {
        let all = processes(self.get("ControlGroup"));
        let main = self.get("MainPID").parse::<i32>().ok().filter(|p| *p > 0);
        let parent = |pid: i32| Stat::of(pid).map(|s| s.parent);
        let first =
            |pid: &i32| Some(*pid) == main || !parent(*pid).is_some_and(|p| all.contains(&p));
        let mut first: Vec<i32> = all.iter().copied().filter(first).collect();
        first.extend(main.filter(|m| !all.contains(m)));
        first.sort_by_key(|pid| Some(*pid) != main);
        first.into_iter().filter_map(Ident::of).collect()
    }

    pub(super) fn program(&self) -> Program {
        let some = |property: &str| Some(self.get(property).to_owned()).filter(|v| !v.is_empty());
        // It ends when its work is done. systemd forgets then when that was.
        let one_shot = self.get("Type") == "oneshot" && self.get("Result") == "success";
        let finished = one_shot && self.state() == "inactive";
        Program {
            name: self.name().to_owned(),
            state: self.state().to_owned(),
            sub: match finished {
                true => Some(EXPECTED.to_owned()),
                false => some("SubState"),
            },
            boot: some("UnitFileState"),
            wait: some("TimeoutStopUSec").and_then(|text| span(&text)),
            // A command of its own ends it otherwise, and the signal is for what that one leaves.
            signal: Some(self.get("KillSignal").parse().ok())
                .filter(|_| self.get("ExecStop").is_empty())
                .flatten(),
            dir: some("WorkingDirectory").filter(|d| d.starts_with('/')),
        }
    }

    pub(super) fn shown(&self) -> String {
        let result = self.get("Result");
        let result = Some(format!(", {result}")).filter(|_| !matches!(result, "" | "success"));
        format!(
            "{} is {} ({}{})",
            self.name(),
            self.state(),
            self.get("SubState"),
            result.unwrap_or_default()
        )
    }
}

/// A length of time as systemd prints it, in milliseconds: `1min 30s`. None where there is no limit.
fn span(text: &str) -> Option<u64> {
    let parts = text.split_whitespace().map(|part| {
        let unit = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = part[..unit].parse().ok()?;
        let ms = match &part[unit..] {
            "us" => 0.001,
            "ms" => 1.0,
            "s" => 1000.0,
            "min" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            "w" => 604_800_000.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number * ms / 1000.0).ok()
    });
    let sum: Duration = parts.collect::<Option<Vec<_>>>()?.into_iter().sum();
    u64::try_from(sum.as_millis()).ok().filter(|ms| *ms > 0)
}

/// The numbers of the processes of a control group and those below it; empty where there is none.
fn processes(group: &str) -> BTreeSet<i32> {
    let group = group.trim_start_matches('/');
    if group.is_empty() {
        return BTreeSet::new();
    }
    // The unified hierarchy, and the one of systemd beside version 1.
    let mounted = [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup/systemd",
    ];
    let roots = mounted.iter().map(|m| Path::new(m).join(group));
    let mut open: Vec<_> = roots.filter(|r| r.is_dir()).collect();
    let mut pids = BTreeSet::new();
    while let Some(dir) = open.pop() {
        let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
        let below = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        open.extend(below.map(|e| e.path()).filter(|p| p.is_dir()));
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "Id=web.service\nActiveState=activating\nSubState=auto-restart\nJob=0\nResult=exit-code\n\n\
                         Id=web.socket\nActiveState=active\nSubState=listening\nTriggeredBy=\nUnitFileState=enabled\n";

    #[test]
    fn properties_are_read_as_systemctl_prints_them() {
        let units = Unit::parse(SHOWN);
        let shown: Vec<String> = units.iter().map(Unit::shown).collect();
        assert_eq!(
            shown,
            [
                "web.service is activating (auto-restart, exit-code)",
                "web.socket is active (listening)"
            ]
        );
        assert!(units[0].is_changing() && units[0].program().is_wanted());
        assert!(!units[0].program().has_no_process());
        assert!(units[1].program().has_no_process());
        assert_eq!(units[1].program().boot.as_deref(), Some("enabled"));
        assert_eq!(Unit::parse("Failed to connect to bus"), []);
        let once = "Id=once.service\nType=oneshot\nActiveState=inactive\nSubState=dead\nResult=";
        let finished = |result: &str| {
            Unit::parse(&format!("{once}{result}\n"))[0]
                .program()
                .is_finished()
        };
        assert!(finished("success") && !finished("exit-code"));
        let spans = [
            ("1min 30s", Some(90_000)),
            ("500ms", Some(500)),
            ("infinity", None),
            ("", None),
        ];
        for (text, ms) in spans {
            assert_eq!(span(text), ms, "{text}");
        }
    }
}
