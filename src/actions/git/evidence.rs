//! The evidence that a working tree is what was asked for: HEAD, tracked files, submodules, the version file.

use super::record::Tree;
use super::repo::{Git, Locked, few};
use super::{Deploy, submodules};
use crate::action::{Context, Error, Look};
use crate::encoding::Charset;
use upledger_replay::event::Answer;

impl Deploy {
    /// What the version file says against the plan; none when it agrees.
    fn version(&self, git: &Git, commit: &str) -> Result<Option<String>, Error> {
        let Some(file) = &self.version_file else {
            return Ok(None);
        };
        // Read from the commit, not from the disk, where it may be a link to anywhere; the tree is clean all the same.
        let seen = git.try_look(&["cat-file", "blob", &format!("{commit}:{}", file.path)])?;
        if seen.code != Some(0) {
            return Ok(Some(format!("the commit has no file {}", file.path)));
        }
        let charset = Charset::of(&seen.stdout);
        let text = charset.and_then(|c| c.read(&seen.stdout));
        let text = text.as_deref().map(str::trim);
        let equal = file.equals.as_ref().is_none_or(|e| text == Some(e.trim()));
        let contained = file
            .contains
            .as_ref()
            .is_none_or(|c| text.is_some_and(|t| t.contains(c.as_str())));
        let wanted = file.equals.as_ref().or(file.contains.as_ref());
        Ok((!(equal && contained)).then(|| {
            let start: String = seen.shown.trim().chars().take(200).collect();
            format!(
                "{} should contain '{}' but contains '{start}'",
                file.path,
                wanted.map_or("", String::as_str)
            )
        }))
    }

    /// Whether the commit is there. `was` is the working clone before the step, `added` are the submodules that the step
    /// has added to it.
    pub(super) fn is_deployed(
        &self,
        cx: &Context,
        commit: &str,
        was: &Tree,
        added: &[&str],
    ) -> Result<Look, Error> {
        if !self.exists() {
            return Ok(Look::nothing(format!("{} does not exist", self.place())));
        }
        let git = self.git(cx);
        if let Some(lock) = Locked::find(&git)? {
            return Ok(Look::unclear(lock.shown()));
        }
        let head = git.head()?;
        let modified = git.modified()?;
        if !modified.is_empty() {
            return Ok(Look::unclear(format!(
                "HEAD is {}, and these files are modified: {}",
                head.commit,
                git.named(&modified)?
            )));
        }
        let before = was.head.as_ref() == Some(&head);
        if head.commit != commit || head.branch.is_some() {
            let text = format!("{} is at {head}, not at {commit}", self.place());
            return Ok(if before {
                Look::nothing(text)
            } else {
                Look::unclear(text)
            });
        }
        let look = self.evidence(&git, commit)?;
        // The tree was there before; what is missing may be its submodules alone.
        let nothing = look.answer != Answer::Done
            && before
            && self.submodules
            && self.version(&git, commit)?.is_none()
            && submodules::former(&git, commit, &was.modules, added)?
                .wrong
                .is_empty();
        Ok(Look {
            answer: if nothing {
                Answer::Nothing
            } else {
                look.answer
            },
            ..look
        })
    }

    /// The evidence of a tree that stands at the commit, with no tracked file modified.
    fn evidence(&self, git: &Git, commit: &str) -> Result<Look, Error> {
        if let Some(why) = git.other_bytes(commit)? {
            return Ok(Look::unclear(why));
        }
        let mut look = Look::done(format!("HEAD is {commit}, and no tracked file is modified"));
        if self.submodules {
            let mut subs = submodules::Findings::default();
            submodules::look(git, commit, "", &mut subs)?;
            if !subs.wrong.is_empty() {
                return Ok(Look::unclear(few(&subs.wrong)));
            }
            look.evidence.extend(subs.lines);
        }
        if let Some(wrong) = self.version(git, commit)? {
            return Ok(Look::unclear(wrong));
        }
        let log = git.look(&[
            "log",
            "-1",
            "--no-show-signature",
            "--format=%h %cI %an: %s",
        ])?;
        look.evidence.push(log.trim().to_owned());
        if !self.submodules && submodules::any(git, commit)? {
            let said = "it has submodules, which are not updated; `submodules: true` updates them";
            look.evidence.push(said.to_owned());
        }
        look.evidence.extend(
            self.version_file
                .as_ref()
                .map(|f| format!("{} matches", f.path)),
        );
        Ok(look)
    }

    /// Refuses a tree that is not what was asked for, before it gets its name.
    pub(super) fn proven(&self, git: &Git, commit: &str) -> Result<(), Error> {
        let head = git.head()?;
        let modified = git.modified()?;
        if head.commit != commit || head.branch.is_some() || !modified.is_empty() {
            return Err(Error::new(format!(
                "{} is at {head} with modified files ({}), not cleanly at {commit}",
                git.dir().display(),
                git.named(&modified)?
            )));
        }
        let look = self.evidence(git, commit)?;
        if look.answer == Answer::Done {
            Ok(())
        } else {
            Err(Error::new(look.evidence.join("; ")))
        }
    }
}
