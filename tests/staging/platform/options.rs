//! What a test asks of its platform.

/// What a test asks of its platform; `Options::default()` is the whole of it, without the million rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// A table of a million rows, so that a dump and a restore take their time.
    pub(crate) rows: bool,
}
