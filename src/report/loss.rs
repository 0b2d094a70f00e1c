//! What a rollback would discard of what users have written, in a sentence: the one that the preview of a rollback, its
//! refusal and the question of a doubt show. What each step's undo would mean is collected by `forecast::rollback`.

use super::{local_date, local_time, safe};
use crate::text::screen as text;
use upledger_replay::loss::LossWindow;
use upledger_replay::state::Run;

/// Since when users have been let in, and which steps bring back a copy from before.
#[must_use]
pub fn sentence(window: &LossWindow<'_>) -> String {
    let steps = window
        .restores
        .iter()
        .map(|unit| safe(&unit.step).to_string());
    let steps = crate::text::list(&steps.collect::<Vec<_>>());
    let opened = window.opened;
    let ts = &opened.when.ts;
    let when = format!("{} {}", local_date(ts), local_time(ts));
    text::discards(steps, when, safe(&opened.step))
}

/// The option that a rollback of everything needs, with a space before it; nothing where nothing would be discarded.
#[must_use]
pub fn option(run: &Run) -> &'static str {
    match run.loss_window(None) {
        Some(_) => " --accept-data-loss",
        None => "",
    }
}
