//! Lines that a command prints again and again, such as `Deleting 'a.css'` for each file: of many that are alike the first
//! and the last are shown, with their number. What was printed is kept whole; only what people see of it is folded.

use std::collections::VecDeque;

/// From so many alike on they are folded.
const MANY: usize = 4;

/// What lines that are alike have in common: their words. Quoted text, and words with a digit or a sign of a path in them,
/// differ from line to line. None for a line that has no other word.
fn shape(line: &str) -> Option<String> {
    let mut shape = String::new();
    let mut quote = None;
    let mut words = 0;
    for word in line.split_whitespace() {
        let ends = |sign: char| {
            word.len() > 1 && word.trim_end_matches([',', '.', ':', ';']).ends_with(sign)
        };
        if let Some(sign) = quote {
            if ends(sign) {
                quote = None;
            }
            continue;
        }
        let first = word
            .chars()
            .next()
            .filter(|c| matches!(c, '\'' | '"' | '`'));
        if let Some(sign) = first {
            quote = Some(sign).filter(|sign| !ends(*sign));
        }
        let stem = word.trim_end_matches([',', '.', ':', ';']);
        let differs =
            |c: char| c.is_ascii_digit() || matches!(c, '/' | '.' | '=' | '\'' | '"' | '`');
        if first.is_some() || stem.contains(differs) {
            shape.push_str(" #");
        } else {
            words += usize::from(stem.chars().any(char::is_alphabetic));
            shape.push(' ');
            shape.push_str(word);
        }
    }
    (words > 0 && shape.contains('#')).then_some(shape)
}

/// Lines that are alike, and follow each other.
#[derive(Debug)]
struct Group {
    shape: Option<String>,
    /// All of them while they are few, else the first and the last.
    lines: Vec<String>,
    count: usize,
}

impl Group {
    fn shown(&self) -> Vec<String> {
        match self.lines.as_slice() {
            [first, .., last] if self.count >= MANY => vec![
                first.clone(),
                format!("[upledger: {} more lines like these]", self.count - 2),
                last.clone(),
            ],
            lines => lines.to_vec(),
        }
    }
}

/// The last lines of an output as it comes.
#[derive(Debug, Default)]
pub(crate) struct Fold(VecDeque<Group>);

impl Fold {
    /// Groups that are kept of an output that is shown as it comes: each has a line at least.
    const KEPT: usize = 64;

    /// The next line.
    pub(crate) fn add(&mut self, line: &str) {
        self.put(line);
        if self.0.len() > Self::KEPT {
            self.0.pop_front();
        }
    }

    fn put(&mut self, line: &str) {
        let shape = shape(line);
        if let Some(group) = self.0.back_mut()
            && shape.is_some()
            && group.shape == shape
        {
            group.count += 1;
            if group.count > MANY {
                group.lines.pop();
            }
            group.lines.push(line.to_owned());
            return;
        }
        self.0.push_back(Group {
            shape,
            lines: vec![line.to_owned()],
            count: 1,
        });
    }

    /// The last lines, folded.
    pub(crate) fn last(&self, n: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.0.iter().flat_map(Group::shown).collect();
        lines.drain(..lines.len().saturating_sub(n));
        lines
    }
}

/// Lines of a whole output, folded.
pub(crate) fn folded<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut fold = Fold::default();
    lines.for_each(|line| fold.put(line));
    fold.0.iter().flat_map(Group::shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error before a long cleanup is what a person looks for.
    #[test]
    fn many_lines_that_are_alike_are_three_and_what_is_around_them_stays() {
        let deleting: Vec<String> = (0..100)
            .map(|n| format!("Deleting 'static/a {n}.css'"))
            .collect();
        let mut lines = vec!["Error: no space left on device"];
        lines.extend(deleting.iter().map(String::as_str));
        lines.push("given up");
        let shown = [
            "Error: no space left on device",
            "Deleting 'static/a 0.css'",
            "[upledger: 98 more lines like these]",
            "Deleting 'static/a 99.css'",
            "given up",
        ];
        assert_eq!(folded(lines.iter().copied()), shown);
        let mut fold = Fold::default();
        lines.iter().for_each(|line| fold.add(line));
        assert_eq!(fold.last(10), shown);
        assert_eq!(fold.last(2), shown[3..]);
    }

    #[test]
    fn few_lines_and_lines_that_say_different_things_stay() {
        for lines in [
            &[
                "1000 of 4000 orders",
                "2000 of 4000 orders",
                "3000 of 4000 orders",
            ][..],
            &[
                "Applying a... OK",
                "Skipping b... OK",
                "Applying c... OK",
                "done: d",
                "done: e",
            ],
            &["1 2 3", "4 5 6", "7 8 9", "1 1 1", "2 2 2"],
            &["", "", "", "", ""],
            &["same", "same", "same", "same", "same"],
        ] {
            assert_eq!(folded(lines.iter().copied()), lines);
        }
        let progress: Vec<String> = (1..9)
            .map(|n| format!("{n}000 of 9000 orders, {n} %"))
            .collect();
        assert_eq!(folded(progress.iter().map(String::as_str)).len(), 3);
    }
}
