//! The plans that `init` writes: commented, and accepted by `check` as they are.

/// Three commands with their looks and their undo.
pub const BLANK: &str = include_str!("templates/blank.yaml");

/// An upgrade of a Django application with a worker: stop, back up, deploy, install, migrate, start, check.
pub const DJANGO: &str = include_str!("templates/django.yaml");
