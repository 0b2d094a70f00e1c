//! The lines of a requirement file as pip takes them: decoded, joined, without comments, and with what they say to pip.
//!
//! Invariant: bytes in an encoding that is not known here are refused with its name, never read in part.

use crate::action::Error;
use crate::encoding::{self, Charset};
use regex::bytes::Regex;
use std::sync::LazyLock;

/// The encoding that one of the first two lines may name, as in a Python source.
static CODING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^#.*?coding[:=]\s*([-\w.]+)").ok());

/// The text of a file: what a mark or a comment says, else UTF-8, in which pip runs.
pub(super) fn decoded(bytes: &[u8], shown: &str) -> Result<String, Error> {
    let refused = |what: String| {
        Error::new(format!("{shown} {what}")).remedy(
            "save it as UTF-8, or name its encoding in its first line: # -*- coding: gbk -*-",
        )
    };
    if let Some(text) = utf_32(bytes) {
        return text.ok_or_else(|| refused("begins as UTF-32 and is not in it".into()));
    }
    let marked = [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"];
    if marked.iter().any(|mark| bytes.starts_with(mark)) {
        let text = Charset::of(bytes).and_then(|c| c.read(bytes));
        return text.map(|t| t.into_owned()).ok_or_else(|| {
            refused("has a byte order mark of UTF-8 or UTF-16 and is not in it".into())
        });
    }
    let mut first = bytes.split(|b| *b == b'\n').take(2);
    let named = first.find_map(|line| CODING.as_ref()?.captures(line)?.get(1));
    if let Some(named) = named {
        let name = encoding::escaped(named.as_bytes());
        let charset = Charset::named(&name).ok_or_else(|| {
            refused(format!(
                "says that it is in {name}, which is not known here"
            ))
        })?;
        let text = charset.read(bytes).map(|t| t.into_owned());
        return text.ok_or_else(|| refused(format!("says that it is in {name}, and is not")));
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| {
        let good = &bytes[..e.valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let looks = Charset::of(bytes).map_or_else(String::new, |c| format!(" but {}", c.name()));
        refused(format!(
            "is not UTF-8{looks} (line {line}), as which pip reads it here"
        ))
    })
}

/// The text of UTF-32 with its mark; the outer none where there is no such mark.
fn utf_32(bytes: &[u8]) -> Option<Option<String>> {
    let read: fn([u8; 4]) -> u32 = match bytes {
        [0xff, 0xfe, 0, 0, ..] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff, ..] => u32::from_be_bytes,
        _ => return None,
    };
    let (words, rest) = bytes[4..].as_chunks::<4>();
    let text = words.iter().map(|w| char::from_u32(read(*w))).collect();
    Some(if rest.is_empty() { text } else { None })
}

/// Lines as Python splits them: a lone carriage return and the separators of Unicode end one, too.
fn split(text: &str) -> impl Iterator<Item = &str> {
    const ENDS: &[char] = &[
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = rest.find(ENDS) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, end) = rest.split_at(at);
        let length = match end.strip_prefix("\r\n") {
            Some(_) => 2,
            None => end.chars().next().map_or(0, char::len_utf8),
        };
        rest = &end[length..];
        Some(line)
    })
}

/// Lines as pip joins them, without comments, with the number of the first.
pub(super) fn logical(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, raw) in split(text).enumerate() {
        let comment = raw.trim_start().starts_with('#');
        let (number, mut line) = open.take().unwrap_or((at + 1, String::new()));
        match raw.strip_suffix('\\') {
            Some(begun) if !comment => {
                line.push_str(begun);
                open = Some((number, line));
                continue;
            }
            // A comment ends what was begun.
            _ if comment => {}
            _ => line.push_str(raw),
        }
        out.push((number, line));
    }
    out.extend(open);
    out.into_iter()
        .map(|(number, line)| {
            let end = line
                .match_indices('#')
                .map(|(at, _)| at)
                .find(|at| *at == 0 || line[..*at].ends_with(char::is_whitespace));
            (number, line[..end.unwrap_or(line.len())].trim().to_owned())
        })
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// The value of an option that begins a line. Its long name may be shortened to `least`, as pip lets it.
pub(super) fn option(line: &str, long: &str, least: &str, short: &str) -> Option<String> {
    let (word, rest) = match line.find(['=', ' ', '\t']) {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let value = if word.starts_with("--") {
        (long.starts_with(word) && word.starts_with(least)).then_some(rest)?
    } else {
        line.strip_prefix(short)?
    };
    let value = value.trim_start().trim_start_matches('=').trim();
    let value = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next().unwrap_or_default(),
        // Options of the same line follow.
        None => value.split([' ', '\t']).next().unwrap_or_default(),
    };
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_decoded_as_pip_decodes_it() {
        let utf_16 = |bytes: fn(u16) -> [u8; 2], mark: &[u8]| {
            [
                mark,
                &"aa==1\r\n"
                    .encode_utf16()
                    .flat_map(bytes)
                    .collect::<Vec<u8>>(),
            ]
            .concat()
        };
        for bytes in [
            b"aa==1\r\n".to_vec(),
            b"\xef\xbb\xbfaa==1\r\n".to_vec(),
            utf_16(u16::to_le_bytes, b"\xff\xfe"),
            utf_16(u16::to_be_bytes, b"\xfe\xff"),
            [
                &b"\xff\xfe\0\0"[..],
                &"aa==1\r\n"
                    .chars()
                    .flat_map(|c| u32::from(c).to_le_bytes())
                    .collect::<Vec<u8>>(),
            ]
            .concat(),
        ] {
            assert_eq!(decoded(&bytes, "r.txt").unwrap(), "aa==1\r\n");
        }
        let gbk = b"# -*- coding: gbk -*-\n# \xd6\xd0\xce\xc4\naa\n";
        assert!(decoded(gbk, "r.txt").unwrap().contains("中文"));
        for (bytes, word) in [
            (&b"aa\n# \xd6\xd0\xce\xc4\n"[..], "GBK) (line 2)"),
            (b"# coding: rot13\naa\n", "in rot13"),
            (b"\xff\xfea", "byte order mark"),
        ] {
            let why = decoded(bytes, "r.txt").unwrap_err().to_string();
            assert!(
                why.contains(word) && why.contains("save it as UTF-8"),
                "{why}"
            );
        }
    }

    #[test]
    fn lines_end_and_go_on_where_pip_lets_them() {
        let of =
            |text: &str| -> Vec<String> { logical(text).into_iter().map(|(_, l)| l).collect() };
        assert_eq!(of("aa\rbb\r\ncc\u{2028}dd"), ["aa", "bb", "cc", "dd"]);
        assert_eq!(
            of("aa \\\n  --hash=x\nbb \\ \ncc"),
            ["aa   --hash=x", "bb \\", "cc"]
        );
        assert_eq!(
            of("git+https://h/x#egg=y # why\n#z"),
            ["git+https://h/x#egg=y"]
        );
    }

    #[test]
    fn options_are_found_in_every_spelling_that_pip_takes() {
        for line in [
            "-r b.txt",
            "-rb.txt",
            "--requirement b.txt",
            "--requirement=b.txt",
            "--requirem b.txt",
            "-r \"b.txt\"",
            "-r b.txt -c c.txt",
        ] {
            let found = option(line, "--requirement", "--requirem", "-r");
            assert_eq!(found.as_deref(), Some("b.txt"), "{line}");
        }
        for line in ["--require-hashes", "--requ b.txt", "redis==1", "-c b.txt"] {
            assert_eq!(
                option(line, "--requirement", "--requirem", "-r"),
                None,
                "{line}"
            );
        }
    }
}
