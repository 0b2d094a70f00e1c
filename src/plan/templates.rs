//! The plans that `init` writes: commented, and accepted by `check` unchanged. The comments exist in each language; the
//! plan is the same.

use crate::text::Lang;

/// Three commands with their checks and undos.
pub const BLANK: &str = include_str!("templates/blank.yaml");
const BLANK_ZH: &str = include_str!("templates/blank.zh.yaml");

/// An upgrade of a Django application with a worker: stop, back up, deploy, install, migrate, start, check.
pub const DJANGO: &str = include_str!("templates/django.yaml");
const DJANGO_ZH: &str = include_str!("templates/django.zh.yaml");

/// The short plan, with comments in a language.
#[must_use]
pub fn blank(lang: Lang) -> &'static str {
    match lang {
        Lang::En => BLANK,
        Lang::Zh => BLANK_ZH,
    }
}

/// The plan of an upgrade, with comments in a language.
#[must_use]
pub fn django(lang: Lang) -> &'static str {
    match lang {
        Lang::En => DJANGO,
        Lang::Zh => DJANGO_ZH,
    }
}
