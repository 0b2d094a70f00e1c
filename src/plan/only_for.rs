//! Actions that only a plan for one environment may hold, such as one that empties the database of a test installation.

use crate::actions::Do;
use crate::text::plan as say;

/// What is wrong with an action in a plan for that environment, and what to do.
pub(super) fn problem(action: &Do, environment: Option<&str>) -> Option<(String, String)> {
    let only = action.kind_of().properties().only_for?;
    if environment == Some(only) {
        return None;
    }
    let given = environment.unwrap_or("-");
    Some((
        say::only_for(action.kind(), only, given),
        say::say_environment(only),
    ))
}
