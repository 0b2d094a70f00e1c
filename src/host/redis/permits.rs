//! Whether a server has a command, and whether its user may use it: asked before anything is done.
//!
//! `ACL DRYRUN` (7.0) tells without an effect. Where it is not permitted either, a call that the server refuses by its
//! arguments after it has looked at the permissions tells the same.

use super::{Session, text_of};
use crate::action::Error;
use crate::encoding;
use redis::Value;

/// What is known of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It is there, and permitted.
    Yes,
    /// The server has no command of that name.
    Missing,
    /// The user may not.
    Denied(String),
    /// Nobody tells.
    Unknown,
}

impl Session {
    /// Whether that command may be used with these arguments.
    ///
    /// # Errors
    /// [`Error`] when the server does not answer.
    pub(crate) fn permit(&mut self, command: &str, args: &[&[u8]]) -> Result<Permit, Error> {
        if !self.has(command)? {
            return Ok(Permit::Missing);
        }
        if let Some(permit) = self.dry_run(command, args)? {
            return Ok(permit);
        }
        // Refused by their arguments: a third word, a time to live below zero.
        let call: Vec<&[u8]> = match (command, args) {
            ("BGSAVE", _) => vec![b"BGSAVE", b"x"],
            ("RESTORE", [key, ..]) => vec![b"RESTORE", key, b"-1", b"x"],
            ("DUMP", [key, ..]) => vec![b"DUMP", key],
            _ => return Ok(Permit::Unknown),
        };
        Ok(match self.reply(&call)? {
            Err(refused) if refused.is_not_permitted() => Permit::Denied(refused.detail),
            Err(refused) if refused.is_unknown() => Permit::Missing,
            Ok(_) | Err(_) => Permit::Yes,
        })
    }

    /// The server has a command of that name.
    pub(crate) fn has(&mut self, command: &str) -> Result<bool, Error> {
        let name = self.name_of(command).to_ascii_lowercase();
        let reply = self.reply(&[b"COMMAND", b"INFO", name.as_bytes()])?;
        Ok(match reply {
            Ok(value) => !matches!(value.as_sequence(), Some([Value::Nil])),
            // Whoever hides the list may have the command all the same.
            Err(_) => true,
        })
    }

    fn dry_run(&mut self, command: &str, args: &[&[u8]]) -> Result<Option<Permit>, Error> {
        let name = self.name_of(command).to_owned();
        let user = match self.reply(&[b"ACL", b"WHOAMI"])? {
            Ok(value) => text_of(&value).unwrap_or_default(),
            // Before 6.0 whoever may log in may do all.
            Err(refused) if refused.is_unknown() => return Ok(None),
            Err(_) => return Ok(None),
        };
        let mut words: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", user.as_bytes(), name.as_bytes()];
        words.extend_from_slice(args);
        let Ok(value) = self.reply(&words)? else {
            return Ok(None);
        };
        Ok(text_of(&value).map(|text| match text.as_str() {
            "OK" => Permit::Yes,
            _ => Permit::Denied(text),
        }))
    }

    /// Refuses what is missing or not permitted.
    ///
    /// # Errors
    /// [`Error`] that names the user, the command, and the key.
    pub(crate) fn demand(&mut self, command: &str, args: &[&[u8]]) -> Result<(), Error> {
        let permit = self.permit(command, args)?;
        self.judge(command, args, &permit)
    }

    /// The same of what is known already.
    ///
    /// # Errors
    /// As for [`Session::demand`].
    pub(crate) fn judge(
        &self,
        command: &str,
        args: &[&[u8]],
        permit: &Permit,
    ) -> Result<(), Error> {
        let server = self.shown();
        match permit {
            Permit::Yes | Permit::Unknown => Ok(()),
            Permit::Missing => Err(Error::new(format!(
                "Redis {server} has no command {}: it was removed or renamed",
                self.name_of(command)
            ))
            .remedy(format!("set `server.rename: {{{command}: NAME}}`"))
            .lasting()),
            Permit::Denied(why) => {
                let key = args.first().map_or_else(String::new, |key| {
                    format!(" on the key {}", encoding::text(key))
                });
                let what = format!(
                    "the user {} of Redis {server} may not use {command}{key}: {why}",
                    self.user()
                );
                Err(Error::new(what)
                    .remedy("permit it (`ACL SETUSER`), or set `server.user` to one who may")
                    .lasting())
            }
        }
    }
}
