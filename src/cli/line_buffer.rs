//! Buffers the output of a step, which arrives in arbitrary chunks, so that only complete lines and complete characters are
//! shown.

/// A line that is longer is cut, at the end of a character.
const LONGEST: usize = 64 << 10;

/// The start of a line that is not yet complete.
#[derive(Debug, Default)]
pub(super) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// The complete lines so far, including their line breaks.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<String> {
        self.0.extend_from_slice(bytes);
        let mut end = self
            .0
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |n| n + 1);
        if self.0.len() - end > LONGEST {
            end = whole(&self.0);
        }
        self.take(end)
    }

    /// What is left, at the end.
    pub(super) fn rest(&mut self) -> Option<String> {
        self.take(self.0.len())
    }

    fn take(&mut self, end: usize) -> Option<String> {
        let rest = self.0.split_off(end);
        let ready = std::mem::replace(&mut self.0, rest);
        (!ready.is_empty()).then(|| crate::encoding::shown(&ready).into_owned())
    }
}

/// Where the last whole character ends.
fn whole(bytes: &[u8]) -> usize {
    // A character has at most four bytes, and all but the first are continuation bytes.
    let behind = bytes
        .iter()
        .rev()
        .take(3)
        .take_while(|b| **b & 0xc0 == 0x80);
    let start = bytes.len().saturating_sub(behind.count() + 1);
    let last = bytes.get(start..).unwrap_or_default();
    match std::str::from_utf8(last) {
        // The character is incomplete.
        Err(e) if e.error_len().is_none() => start + e.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_come_whole_wherever_the_pieces_end() {
        let text = "升级 begins\nsecond 行\nlast 完";
        for size in 1..text.len() {
            let mut lines = LineBuffer::default();
            let mut shown = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                shown.extend(lines.add(piece));
            }
            assert!(shown.iter().all(|s| s.ends_with('\n')), "{shown:?}");
            shown.extend(lines.rest());
            assert_eq!(shown.concat(), text);
        }
    }

    #[test]
    fn a_line_without_end_is_shown_all_the_same_and_its_characters_stay_whole() {
        let mut lines = LineBuffer::default();
        let mut shown = String::new();
        let text = "完".repeat(LONGEST);
        for piece in text.as_bytes().chunks(1000) {
            shown.extend(lines.add(piece));
        }
        assert!(shown.len() > LONGEST, "{}", shown.len());
        shown.extend(lines.rest());
        assert_eq!(shown, text);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_wait_for_ever() {
        let mut lines = LineBuffer::default();
        assert_eq!(
            lines.add(b"\xff\xfe\n").as_deref(),
            Some("\u{fffd}\u{fffd}\n")
        );
        assert_eq!(lines.rest(), None);
    }
}
