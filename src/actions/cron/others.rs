//! What others have made of a crontab between a look and what follows it: jobs that they added, and jobs that they enabled
//! although this run had disabled them, as a configuration management does. The latter is reported and no failure.

use super::switch::{Before, Drawn, Switch, draw, numbers};
use super::table;
use crate::action::{Context, Error, Look};

impl Drawn {
    /// What has to be known of a job that somebody else has enabled.
    fn again(&self) -> Option<String> {
        (!self.again.is_empty()).then(|| {
            format!(
                "warning: {} enabled by somebody else since `cron.disable`, and may have run meanwhile",
                was(&self.again)
            )
        })
    }
}

fn was(all: &[usize]) -> String {
    let are = if all.len() == 1 { "was" } else { "were" };
    format!("{} {are}", numbers(all))
}

/// Lines that match and that the step did not see.
pub(super) fn others(
    switch: &impl Switch,
    cx: &Context,
    now: &[u8],
) -> Result<Option<String>, Error> {
    let drawn = draw(switch, cx, now)?;
    Ok((!drawn.lines.is_empty()).then(|| {
        format!(
            "{} matches as well and was added since",
            numbers(&drawn.lines)
        )
    }))
}

/// On the line that everybody sees.
pub(super) fn warn(look: &mut Look, warning: Option<String>) {
    if let (Some(first), Some(warning)) = (look.evidence.first_mut(), warning) {
        *first = format!("{first}; {warning}");
    }
}

/// What somebody else has enabled meanwhile, beside what this step enables.
pub(super) fn again(
    switch: &impl Switch,
    cx: &Context,
    before: &Before,
    now: Option<&[u8]>,
) -> Result<Option<String>, Error> {
    let Some(now) = now else {
        return Ok(None);
    };
    let mut drawn = draw(switch, cx, now)?;
    drawn.again.retain(|line| !before.lines.contains(line));
    Ok(drawn.again())
}

/// The crontab without the marks of this step, where somebody has edited it so that its lines are not found any more:
/// what has no mark somebody else has enabled. None where no job of it is on then.
pub(super) fn unmarked(
    switch: &impl Switch,
    cx: &Context,
    now: &[u8],
) -> Result<Option<(Vec<u8>, String)>, Error> {
    let mark = switch.mark(cx);
    if mark.is_empty() {
        return Ok(None);
    }
    let on = draw(switch, cx, now)?.lines;
    // Twice in the table, it would run twice.
    let there = |job: &[u8]| table::lines(now).any(|line| line == job);
    let new = table::edited(now, |line| {
        let job = line.strip_prefix(&*mark).filter(|job| !there(job));
        job.map(<[u8]>::to_vec)
    });
    let all = draw(switch, cx, &new)?.lines;
    Ok((!on.is_empty()).then(|| {
        let meanwhile = "enabled by somebody else since this step, and may have run meanwhile";
        (
            new,
            format!("{} on; warning: {} {meanwhile}", numbers(&all), was(&on)),
        )
    }))
}
