//! `timer.*`: timers of systemd, which start jobs by the clock, stopped and started again.

pub mod disable;
pub mod enable;

use crate::host::service::By;
use crate::host::service::by::Systemd;
use crate::text::settings;

/// Timers by their names, as the manager of them.
fn by(timers: &[String]) -> By {
    let named = |name: &String| match name.strip_suffix(".timer") {
        Some(_) => name.clone(),
        None => format!("{name}.timer"),
    };
    By {
        systemd: Some(Systemd::of(timers.iter().map(named).collect())),
        ..By::default()
    }
}

/// What is wrong with the names.
fn problems(timers: &[String]) -> Vec<String> {
    let other = |name: &&String| {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|e| matches!(e, "service" | "socket" | "path" | "target"))
    };
    let mut problems = by(timers).problems();
    problems.extend(timers.iter().filter(other).map(settings::no_unit));
    problems
}
