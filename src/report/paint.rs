//! The colours of lines for people: one palette, by what a word says. A line carries its colours with it; the stream that
//! prints it takes them off where none are wanted ([`plain`]). No colour says what the words do not say.

use std::borrow::Cow;

/// Something failed, or is damaged.
const FAILED: &str = "\x1b[31m";
/// A person is asked, or should look.
const ASKS: &str = "\x1b[33m";
/// It has ended well.
const GOOD: &str = "\x1b[32m";
/// Back to the terminal's own.
const PLAIN: &str = "\x1b[0m";

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something failed, or is damaged.
    Failed,
    /// A person is asked, or should look.
    Asks,
    /// It has ended well.
    Good,
    /// Nothing of that.
    Plain,
}

impl Tone {
    /// The text in its colour.
    #[must_use]
    pub fn paint(self, text: &str) -> String {
        let colour = match self {
            Self::Failed => FAILED,
            Self::Asks => ASKS,
            Self::Good => GOOD,
            Self::Plain => return text.to_owned(),
        };
        format!("{colour}{text}{PLAIN}")
    }

    /// The text with its first words in the colour: all before the first colon.
    #[must_use]
    pub fn lead(self, text: &str) -> String {
        let end = text.find(": ").or_else(|| text.find('：'));
        match end {
            Some(end) => format!("{}{}", self.paint(&text[..end]), &text[end..]),
            None => self.paint(text),
        }
    }
}

/// A line that was cut, back in the terminal's own colour.
#[must_use]
pub(super) fn ended(line: &str) -> String {
    format!("{line}{PLAIN}")
}

/// A line without its colours.
#[must_use]
pub fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\x1b') {
        return Cow::Borrowed(line);
    }
    let bare = [FAILED, ASKS, GOOD, PLAIN]
        .iter()
        .fold(line.to_owned(), |line, colour| line.replace(colour, ""));
    Cow::Owned(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{columns, fit};

    #[test]
    fn colours_take_no_columns_and_come_off_again() {
        let line = format!(
            "{}  the rest of a line that is broken",
            Tone::Failed.paint("failed")
        );
        let bare = "failed  the rest of a line that is broken";
        assert_eq!(plain(&line), bare);
        assert_eq!(columns(&line), columns(bare));
        for width in 12..50 {
            let painted: Vec<String> = fit(&line, width)
                .iter()
                .map(|l| plain(l).into_owned())
                .collect();
            assert_eq!(painted, fit(bare, width), "{width}");
        }
    }

    #[test]
    fn the_first_words_are_those_before_the_colon() {
        let painted = |text| Tone::Asks.lead(text).replace('\x1b', "~");
        assert_eq!(painted("warning: a: b"), "~[33mwarning~[0m: a: b");
        assert_eq!(painted("警告：甲"), "~[33m警告~[0m：甲");
        assert_eq!(painted("no colon"), "~[33mno colon~[0m");
    }
}
