//! The environment of all later steps of a run: [`set`] from the plan, [`capture`] from a script.
//!
//! Invariants: a variable counts for the steps behind, and for the undo of each of them; nothing outside of the run changes, so
//! that there is nothing to undo. What is recorded holds no secret: the plan names those, and a script's variable whose name
//! says that it is one is refused.

pub mod capture;
pub mod set;

use crate::action::Error;

/// The longest `NAME=value` that the kernel passes to a program.
const LONGEST: usize = (128 << 10) - 1;

/// A variable that would make every later program fail to start.
fn fits(name: &str, value: &str) -> Result<(), Error> {
    let length = name.len() + 1 + value.len();
    if value.contains('\0') || length > LONGEST {
        return Err(Error::certain(format!(
            "{name} has {length} bytes, and no program can be started with a variable of more than {LONGEST}"
        ))
        .remedy("pass it in a file"));
    }
    Ok(())
}

/// Whether this may name an environment variable.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
