//! Files under the names that people give: whole or not there, and never in the place of another.

use super::fail::Failure;
use crate::failpoint;
use crate::report::safe;
use crate::system::durable;
use crate::text::{commands as text, list};
use std::fs::File;
use std::io;
use std::path::Path;

/// Writes a new file. Until it is whole it has another name, so that what is killed half-way does not block the next one.
pub(super) fn write_new(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Failure> {
    let cannot = |e: io::Error| Failure::usage(text::cannot_make(path.display(), e));
    let absolute = std::path::absolute(path).map_err(cannot)?;
    let made = durable::publish(&absolute, mode, |file| {
        let filled = fill(file);
        failpoint::hit("new-file");
        filled
    });
    match made.map_err(cannot)? {
        true => Ok(()),
        false => Err(Failure::usage(text::there_already(path.display()))),
    }
}

/// The format of a file: the one that is asked for, else what the name's extension says; none where neither says any.
pub(super) fn format_of<F: Copy>(
    asked: Option<F>,
    path: Option<&Path>,
    endings: &[(&str, F)],
) -> Result<Option<F>, Failure> {
    let (None, Some(path)) = (asked, path) else {
        return Ok(asked);
    };
    let Some(ending) = path.extension() else {
        return Ok(None);
    };
    let named = endings.iter().find(|(known, _)| ending == *known);
    if let Some((_, format)) = named {
        return Ok(Some(*format));
    }
    let known: Vec<String> = endings
        .iter()
        .map(|(known, _)| format!(".{known}"))
        .collect();
    let shown = safe(&path.display().to_string());
    Err(Failure::usage(text::unknown_extension(shown, list(&known))))
}
