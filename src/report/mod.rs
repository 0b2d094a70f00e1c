//! What people and programs are shown of a run. Folds of the same events; nothing here stores or decides anything.

pub mod lines;
pub mod now;
pub mod question;
pub mod status;
pub mod told;

/// Makes text harmless for a terminal: control characters, direction marks and zero-width characters are written out.
#[must_use]
pub fn safe(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if hidden(c) && c != '\t' {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// Fills up with spaces to a width in terminal columns.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(self::columns(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Rows of a name and a value, the values aligned.
#[must_use]
pub fn rows(rows: &[(String, String)]) -> Vec<String> {
    let wide = rows
        .iter()
        .map(|(name, _)| columns(name))
        .max()
        .unwrap_or(0);
    rows.iter()
        .map(|(name, value)| {
            format!("{}  {}", pad(name, wide), safe(value))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// Cuts text to a width in terminal columns, and shows that it was cut.
#[must_use]
pub fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        if columns(&cut) + unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) + 3 > width {
            break;
        }
        cut.push(c);
    }
    cut + "..."
}

/// Breaks a sentence into lines of at most so many terminal columns; those after the first are set in.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or("", String::as_str);
        if columns(line) + columns(word.trim_end()) > width && !line.trim().is_empty() {
            lines.push("  ".into());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// Columns that a line may be shorter, so that it is not broken inside of a Chinese word.
const NEAR: usize = 16;

/// Breaks a line that is wider than a terminal. What follows is set in below the last column of the line, as far as that
/// begins in its first half; else below the line's own beginning.
#[must_use]
pub fn fit(line: &str, width: usize) -> Vec<String> {
    if columns(line) <= width {
        return vec![line.to_owned()];
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let mut set_in = indent + 2;
    let (mut column, mut blanks) = (0, 0);
    for c in line.chars() {
        if column * 2 > width {
            break;
        }
        if c == ' ' {
            blanks += 1;
        } else {
            if blanks >= 2 && column > indent {
                set_in = column;
            }
            blanks = 0;
        }
        column += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
    }
    // What a step prints may be long: each word is measured once.
    let mut lines = Vec::new();
    let (mut full, mut used, mut empty) = (String::new(), 0, true);
    // The last place after a blank or a punctuation mark, where a reader would break the line: byte and column.
    let mut good = (0, 0);
    for word in words(line) {
        let text = columns(word.trim_end());
        if used + text > width && !empty {
            let near = good.1 > set_in && used - good.1 <= NEAR && !full.ends_with(' ');
            let rest = if near {
                full.split_off(good.0)
            } else {
                String::new()
            };
            lines.push(full.trim_end().to_owned());
            empty = rest.is_empty();
            used = set_in + columns(&rest);
            full = format!("{}{rest}", " ".repeat(set_in));
            good = (0, 0);
        }
        full.push_str(word);
        used += columns(word);
        if text > 0 && word.ends_with(|c| c == ' ' || "，。；：、）》”,;:)".contains(c)) {
            good = (full.len(), used);
        }
        empty &= text == 0;
    }
    lines.push(full.trim_end().to_owned());
    lines
}

/// Pieces between which a line may be broken: after blanks, and between wide characters, which have none. Nothing that
/// closes begins a line, and nothing that opens ends one.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let mut last = None;
        let mut letters = rest.char_indices().peekable();
        while let Some((_, c)) = letters.next() {
            last = Some(c);
            let Some((at, next)) = letters.peek().copied() else {
                break;
            };
            if c == ' ' || between(c, next) {
                let (word, after) = rest.split_at(at);
                rest = after;
                return Some(word);
            }
        }
        last.map(|_| std::mem::take(&mut rest))
    })
}

/// A line may be broken between these two, though there is no blank.
fn between(before: char, after: char) -> bool {
    let wide = |c| unicode_width::UnicodeWidthChar::width(c) == Some(2);
    (wide(before) || wide(after))
        && before != ' '
        && after != ' '
        && !opens(before)
        && !closes(after)
        // What has no width belongs to what stands before it.
        && unicode_width::UnicodeWidthChar::width(after) != Some(0)
}

/// What may not end a line.
fn opens(c: char) -> bool {
    matches!(
        c,
        '(' | '['
            | '{'
            | '<'
            | '\''
            | '"'
            | '`'
            | '\u{2018}'
            | '\u{201c}'
            | '\u{3008}'
            | '\u{300a}'
            | '\u{300c}'
            | '\u{300e}'
            | '\u{3010}'
            | '\u{3014}'
            | '\u{3016}'
            | '\u{ff08}'
            | '\u{ff3b}'
            | '\u{ff5b}'
    )
}

/// What may not begin a line.
fn closes(c: char) -> bool {
    matches!(
        c,
        ')' | ']'
            | '}'
            | '>'
            | '\''
            | '"'
            | '`'
            | ','
            | '.'
            | ';'
            | ':'
            | '!'
            | '?'
            | '%'
            | '\u{2019}'
            | '\u{201d}'
            | '\u{2026}'
            | '\u{3001}'
            | '\u{3002}'
            | '\u{3009}'
            | '\u{300b}'
            | '\u{300d}'
            | '\u{300f}'
            | '\u{3011}'
            | '\u{3015}'
            | '\u{3017}'
            | '\u{30fb}'
            | '\u{ff01}'
            | '\u{ff05}'
            | '\u{ff09}'
            | '\u{ff0c}'
            | '\u{ff0e}'
            | '\u{ff1a}'
            | '\u{ff1b}'
            | '\u{ff1f}'
            | '\u{ff3d}'
            | '\u{ff5d}'
    )
}

/// Width in terminal columns.
#[must_use]
pub fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A duration for people.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A recorded time, UTC, in this machine's zone.
#[must_use]
pub fn local_time(ts: &str) -> String {
    chrono::DateTime::parse_from_rfc3339(ts).map_or_else(
        |_| ts.to_owned(),
        |t| {
            t.with_timezone(&chrono::Local)
                .format("%H:%M:%S")
                .to_string()
        },
    )
}

/// The date of a recorded time, UTC, in this machine's zone.
#[must_use]
pub fn local_date(ts: &str) -> String {
    chrono::DateTime::parse_from_rfc3339(ts).map_or_else(
        |_| ts.to_owned(),
        |t| {
            t.with_timezone(&chrono::Local)
                .format("%Y-%m-%d")
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{columns, fit};

    /// Text without blanks would leave the whole line to the terminal, which breaks it anywhere.
    #[test]
    fn wide_characters_are_broken_between_and_nothing_closing_begins_a_line() {
        assert_eq!(
            fit("  结果  升级之前须先停止前端, 再停止任务调度。完成", 20),
            [
                "  结果  升级之前须先",
                "        停止前端,",
                "        再停止任务调",
                "        度。完成"
            ]
        );
        let text =
            "执行进程已退出（步骤仍在继续），用upledger resume重新接管；“否则”会丢失《记录》。"
                .repeat(3);
        for width in 20..100 {
            let lines = fit(&text, width);
            for line in &lines {
                assert!(columns(line) <= width, "{width}: {line}");
                let first = line.trim_start().chars().next().unwrap();
                let last = line.chars().last().unwrap();
                assert!(!"）），；”》。".contains(first), "{width}: {line}");
                assert!(!"（“《".contains(last), "{width}: {line}");
            }
            let whole: String = lines.concat().split(' ').collect();
            assert_eq!(whole, text.replace(' ', ""), "{width}");
        }
    }

    #[test]
    fn a_wide_line_is_broken_below_its_last_column() {
        assert_eq!(fit("short", 10), ["short"]);
        assert_eq!(
            fit("12:00:00  done  migrate is done, and so is all else", 30),
            [
                "12:00:00  done  migrate is",
                "          done, and so is all",
                "          else"
            ]
        );
        assert_eq!(fit("  | aa bb cc dd", 9), ["  | aa bb", "    cc dd"]);
        let blanks = format!("{}x", " ".repeat(100_000));
        assert_eq!(fit(&blanks, 80).concat().trim(), "x");
        // A word that is wider than the terminal stays whole: somebody may copy it.
        assert_eq!(fit("x /a/very/long/path", 10), ["x", "  /a/very/long/path"]);
    }
}
