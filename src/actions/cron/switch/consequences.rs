//! What the undo of a change of a crontab would mean now: an edit of somebody else stays.

use super::{Before, EDITED, Switch};
use crate::action::{Consequences, Context, Error};
use crate::actions::cron::table::{Change, Stand};

/// What of the crontab stays although somebody has edited it since.
pub(in crate::actions::cron) fn consequences(
    switch: &impl Switch,
    cx: &Context,
    before: &Before,
) -> Result<Consequences, Error> {
    let mut consequences = Consequences::none();
    let place = &before.place;
    if before.lines.is_empty() {
        return Ok(consequences);
    }
    if let Some((now, _)) = place.read(cx)? {
        let former = before.former(cx, Some(&now))?;
        let wanted = before.wanted(switch, cx, &former)?;
        match Change::new(&former, &wanted).stand(&now) {
            Stand::Former | Stand::Wanted | Stand::Lost => {}
            Stand::Old | Stand::New | Stand::Mixed => {
                consequences.stays.push(format!("{place}: {EDITED}"));
            }
        }
    }
    Ok(consequences)
}
