//! Releases that were built aside: switched to together, and removed when nobody needs them any more.
//!
//! `git.deploy`, `pip.install` and `django.collectstatic` build a release, a virtualenv and a tree of static files where nobody
//! uses them; [`switch`] turns the links that lead to them, and [`prune`] removes old ones.

pub mod prune;
pub mod switch;

#[cfg(test)]
mod tests;
