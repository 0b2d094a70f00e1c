//! Scans flow maps and lists for which the YAML parser failed, to locate Chinese punctuation and unclosed brackets. It
//! parses only as much YAML as that requires, and decides nothing.

use super::hints::narrow;

/// What stands at a place that matters, and whether a token may begin there.
struct Scan<'a> {
    text: &'a str,
    /// The brackets that are open: their bytes, and what closes them.
    open: Vec<(usize, char)>,
    /// The first bracket whose like was closed by another one.
    crossed: Option<(usize, char)>,
    /// Chinese punctuation inside of a flow map or list, in order.
    wide: Vec<(usize, char)>,
}

impl Scan<'_> {
    fn run(mut self) -> Self {
        let mut quote = None;
        // The last sign that is no blank, in this line.
        let (mut last, mut blank) = (None, true);
        for (at, c) in self.text.char_indices() {
            if let Some(end) = quote {
                quote = quote.filter(|_| c != end);
                continue;
            }
            let begins = last.is_none_or(|l| ":-,[{\u{ff0c}\u{ff1a}".contains(l));
            match c {
                '\n' => {
                    (last, blank) = (None, true);
                    continue;
                }
                ' ' | '\t' => {
                    blank = true;
                    continue;
                }
                '#' if blank => quote = Some('\n'),
                '"' | '\'' if begins => quote = Some(c),
                '[' | '{' if begins => self.open.push((at, if c == '[' { ']' } else { '}' })),
                ']' | '}' if self.open.last().is_some_and(|(_, end)| *end == c) => {
                    self.open.pop();
                }
                ']' | '}' if self.crossed.is_none() => {
                    self.crossed = self.open.last().copied();
                }
                _ => {
                    let bracket = matches!(narrow(c), Some("[" | "{"));
                    let inside = !self.open.is_empty() && narrow(c).is_some_and(|n| n != "-");
                    if inside || bracket && begins {
                        self.wide.push((at, c));
                    }
                }
            }
            // A comment ends its line, whose end is no sign of it.
            (last, blank) = (Some(c).filter(|_| quote != Some('\n')), quote == Some('\n'));
        }
        self
    }
}

fn scan(text: &str) -> Scan<'_> {
    let scan = Scan {
        text,
        open: Vec::new(),
        crossed: None,
        wide: Vec::new(),
    };
    scan.run()
}

/// Chinese punctuation inside of a flow map or list of one line, the first of it: its byte.
pub(super) fn wide(line: &str) -> Option<(usize, char)> {
    scan(line).wide.first().copied()
}

/// The bracket before a byte that nothing in the whole text closes, or that another kind of bracket closes.
pub(super) fn unclosed(text: &str, before: usize) -> Option<(usize, char)> {
    let scan = scan(text);
    let (at, _) = scan.crossed.or_else(|| scan.open.first().copied())?;
    let c = text[at..].chars().next()?;
    (at < before).then_some((at, c))
}
