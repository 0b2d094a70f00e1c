//! `timer.*`: timers of systemd, which start jobs by the clock, stopped and started again.

pub mod disable;
pub mod enable;

use crate::host::service::By;
use crate::host::service::by::Systemd;

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
