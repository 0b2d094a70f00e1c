//! Formats a run for people and for programs, from the same folded events. Nothing here stores or decides anything.

pub mod lines;
pub mod localized;
pub mod loss;
pub mod now;
pub mod paint;
pub mod question;
pub mod status;

use std::borrow::Cow;
use std::collections::BTreeSet;
use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

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
    let shown = rows.iter().map(|(name, value)| (name.clone(), safe(value)));
    aligned(&shown.collect::<Vec<_>>())
}

/// The same for values that are safe already, and may have colours.
#[must_use]
pub fn aligned(rows: &[(String, String)]) -> Vec<String> {
    let wide = rows
        .iter()
        .map(|(name, _)| columns(name))
        .max()
        .unwrap_or(0);
    rows.iter()
        .map(|(name, value)| {
            format!("{}  {value}", pad(name, wide))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// Rows of columns, each as wide as its widest value; the last is not filled up.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let wide = |n: usize| {
        rows.iter()
            .filter_map(|r| r.get(n))
            .map(|v| columns(v))
            .max()
    };
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate();
            let cells = cells.map(|(n, value)| pad(value, wide(n).unwrap_or(0)));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Cuts text to a width in terminal columns, and shows that it was cut.
#[must_use]
pub fn clip(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut cut, mut taken) = (String::new(), 0);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        cut.push(c);
        if c == '\x1b' {
            // A colour, whole.
            cut.extend(rest.by_ref().take_while(|c| *c != 'm'));
            cut.push('m');
            continue;
        }
        taken += unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if taken + 3 > width {
            cut.pop();
            break;
        }
    }
    cut.push_str("...");
    match text.contains('\x1b') {
        true => paint::ended(&cut),
        false => cut,
    }
}

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
    for c in paint::plain(line).chars() {
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
    let text = line.trim_start_matches(' ');
    let options = Options::new(width)
        .initial_indent(&line[..indent])
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .break_words(false);
    let blanks = " ".repeat(set_in);
    let lines = textwrap::wrap(text, options.subsequent_indent(&blanks));
    lines.into_iter().map(Cow::into_owned).collect()
}

/// Columns of a clause that is moved to the next line as a whole, so that it is not broken inside of a Chinese word.
const CLAUSE: usize = 16;

/// The pieces between which a line may be broken: by Unicode's rules (UAX #14), but not inside of a path or a command,
/// which are copied, nor inside of a short clause.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let wide = |c: char| unicode_width::UnicodeWidthChar::width(c) == Some(2);
    let (mut words, mut clause, mut start) = (Vec::new(), Vec::new(), 0);
    // Unicode has no break opportunity between a space and a following path.
    let blanks = line.match_indices(' ').map(|(at, _)| at + 1);
    let breaks = unicode_linebreak::linebreaks(line).map(|(at, _)| at);
    for at in breaks.chain(blanks).collect::<BTreeSet<_>>() {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at..].chars().next().unwrap_or(' ');
        let ends = at == line.len() || before == ' ' || "，。；：、）》”,;:)".contains(before);
        if !ends && !wide(before) && !wide(after) {
            continue;
        }
        clause.push(at);
        if ends {
            let from = start;
            if columns(&line[from..at]) <= CLAUSE {
                clause.drain(..clause.len() - 1);
            }
            for end in clause.drain(..) {
                words.push(Word::from(&line[start..end]));
                start = end;
            }
        }
    }
    Box::new(words.into_iter())
}

/// Width in terminal columns; colours have none.
#[must_use]
pub fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(&*paint::plain(text))
}

/// The unit in which a duration is shown, in ms.
fn unit(ms: u64) -> u64 {
    match ms {
        0..10_000 => 100,
        10_000..3_600_000 => 1000,
        _ => 60_000,
    }
}

/// A duration for people, rounded to what is shown.
#[must_use]
pub fn duration(ms: u64) -> String {
    let shown = unit(ms);
    let ms = ms.saturating_add(shown / 2) / shown * shown;
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The same of an upper bound, which is never shown shorter than it is.
#[must_use]
pub fn at_most(ms: u64) -> String {
    let shown = unit(ms);
    duration(ms.div_ceil(shown).saturating_mul(shown))
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

/// The offset of this machine's zone from UTC at a recorded time, such as `+08:00`; nothing where there is none.
#[must_use]
pub fn local_offset(ts: &str) -> String {
    let at = chrono::DateTime::parse_from_rfc3339(ts).ok();
    let offset = at.map(|t| t.with_timezone(&chrono::Local).format("%:z").to_string());
    offset.filter(|o| o != "+00:00").unwrap_or_default()
}

/// From one recorded time to another, in ms.
#[must_use]
pub fn whole_ms(from: &str, to: &str) -> Option<u64> {
    let at = |ts| chrono::DateTime::parse_from_rfc3339(ts).ok();
    u64::try_from((at(to)? - at(from)?).num_milliseconds()).ok()
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
    use super::paint::Tone;
    use super::{at_most, clip, columns, duration, fit, table};

    #[test]
    fn an_upper_bound_is_never_shown_shorter_than_it_is() {
        for (ms, rounded, bound) in [
            (0, "0.0 s", "0.0 s"),
            (1_001, "1.0 s", "1.1 s"),
            (9_950, "10 s", "10 s"),
            (14_400, "14 s", "15 s"),
            (14_700, "15 s", "15 s"),
            (59_700, "1m00s", "1m00s"),
            (60_000, "1m00s", "1m00s"),
            (3_600_001, "1h00m", "1h01m"),
        ] {
            assert_eq!(
                (duration(ms).as_str(), at_most(ms).as_str()),
                (rounded, bound)
            );
        }
    }

    #[test]
    fn columns_of_a_table_stand_below_each_other_in_every_language_and_colour() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let failed = Tone::Failed.paint("失败");
        let rows = [
            row(["shop-1", "rolled back, some undos skipped", "plan"]),
            row(["shop-upgrade-12", &failed, "plan"]),
        ];
        let ends: Vec<usize> = table(&rows)
            .iter()
            .map(|line| columns(line.strip_suffix("plan").expect("the last column")))
            .collect();
        assert_eq!(ends, [15 + 2 + 31 + 2; 2]);
    }

    #[test]
    fn what_is_cut_keeps_its_width_and_ends_its_colour() {
        let line = Tone::Failed.paint("failed: a long line");
        let cut = clip(&line, 12);
        assert_eq!(columns(&cut), 12);
        assert!(cut.ends_with("...\x1b[0m"), "{cut:?}");
        assert_eq!(clip("回退受阻的原因", 10), "回退受...");
        assert_eq!(clip("short", 5), "short");
    }

    /// Text without spaces is left to the terminal, which breaks it anywhere.
    #[test]
    fn wide_characters_are_broken_between_and_nothing_closing_begins_a_line() {
        assert_eq!(
            fit("  结果  升级之前须先停止前端, 再停止任务调度。完成", 20),
            [
                "  结果  升级之前须先",
                "        停止前端,",
                "        再停止任务调度。",
                "        完成"
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
        // A word that is wider than the terminal is not broken, so that it can be copied.
        assert_eq!(fit("x /a/very/long/path", 10), ["x", "  /a/very/long/path"]);
    }
}
