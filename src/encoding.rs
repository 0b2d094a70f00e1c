//! Text out of bytes whose encoding nobody has said: UTF-8, what a byte order mark says, and GB18030, in which files, pages
//! and programs of Chinese systems are written (GBK and GB2312 are parts of it).
//!
//! Invariant: what is recognised can be written back, byte for byte, so that a change to one line of a file changes nothing
//! else; what is not is left to be bytes. Left out: encodings that only their reader can know, such as Latin-1 and Big5;
//! where a protocol names one, it is taken by its name.

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// An encoding that was recognised or named, with its byte order mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset {
    encoding: &'static Encoding,
    mark: &'static [u8],
}

/// UTF-8, as almost everything is.
const PLAIN: Charset = Charset {
    encoding: UTF_8,
    mark: b"",
};

impl Charset {
    /// Of a whole file or page; none when it is binary, or in an encoding that is not known here.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let marks: [(&'static Encoding, &'static [u8]); 3] = [
            (UTF_8, b"\xef\xbb\xbf"),
            (UTF_16LE, b"\xff\xfe"),
            (UTF_16BE, b"\xfe\xff"),
        ];
        let marked = marks.into_iter().find(|(_, mark)| bytes.starts_with(mark));
        match marked {
            Some((encoding, mark)) => {
                let found = Self { encoding, mark };
                let text = found.read(bytes)?;
                // Whatever is written in UTF-16 by chance is in scripts of all the world.
                let likely =
                    encoding == UTF_8 || text.is_empty() || text.contains(|c: char| c.is_ascii());
                (likely && found.write(&text).as_deref() == Some(bytes)).then_some(found)
            }
            None => Self::of_output(bytes),
        }
    }

    /// The same of something that never has a mark, such as what a command prints.
    pub(crate) fn of_output(bytes: &[u8]) -> Option<Self> {
        if std::str::from_utf8(bytes).is_ok() {
            return Some(PLAIN);
        }
        let found = Self {
            encoding: GB18030,
            mark: b"",
        };
        let likely = !bytes.contains(&0) && is_mostly_chinese(bytes);
        let text = likely.then(|| found.read(bytes)).flatten()?;
        (found.write(&text).as_deref() == Some(bytes)).then_some(found)
    }

    /// By a name of it, such as that of a `Content-Type`.
    pub(crate) fn named(label: &str) -> Option<Self> {
        let label = label.trim().to_ascii_lowercase().replace('_', "-");
        let label = match label.as_str() {
            // As Python and Windows call them.
            "cp936" | "936" | "ms936" => "gbk",
            "latin-1" => "latin1",
            "utf-8-sig" => "utf-8",
            other => other,
        };
        let encoding = Encoding::for_label(label.as_bytes())?;
        // The larger one reads whatever the smaller does.
        let encoding = if encoding == encoding_rs::GBK {
            GB18030
        } else {
            encoding
        };
        Some(Self {
            encoding,
            mark: b"",
        })
    }

    /// It is UTF-8, with or without a mark.
    pub(crate) fn is_utf8(self) -> bool {
        self.encoding == UTF_8
    }

    /// Its standard name.
    pub(crate) fn name(self) -> &'static str {
        if self.encoding == GB18030 {
            return "GB18030 (GBK)";
        }
        self.encoding.name()
    }

    /// The text of bytes, without a mark; none when they are not in this encoding.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        let bytes = bytes.strip_prefix(self.mark).unwrap_or(bytes);
        self.encoding
            .decode_without_bom_handling_and_without_replacement(bytes)
    }

    /// The bytes of a text, with the mark; none when the encoding has no sign for a part of it.
    pub(crate) fn write(self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = self.mark.to_vec();
        // The encoders of the Web write UTF-8 in place of UTF-16.
        if self.encoding == UTF_16LE {
            bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        } else if self.encoding == UTF_16BE {
            bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        } else {
            let (written, _, unmappable) = self.encoding.encode(text);
            if unmappable {
                return None;
            }
            bytes.extend_from_slice(&written);
        }
        Some(bytes)
    }
}

/// Every pair of bytes of GB2312, of which Chinese text is made, is above 0xA0. Other 8-bit text has lone ones.
fn is_mostly_chinese(bytes: &[u8]) -> bool {
    let (mut pairs, mut others, mut at) = (0_usize, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte < 0x80 {
            at += 1;
            continue;
        }
        match bytes.get(at + 1) {
            Some(second) if byte > 0xa0 && *second > 0xa0 => pairs += 1,
            Some(_) | None => others += 1,
        }
        at += 2;
    }
    pairs > others
}

/// A line that a program printed, for people: in whichever encoding it is, and with a sign where it is in none.
pub(crate) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    Charset::of_output(bytes)
        .and_then(|c| c.read(bytes))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes))
}

/// What a program printed, to decide by: in whichever encoding it is, and escaped where it is in none.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    Charset::of_output(bytes)
        .and_then(|c| c.read(bytes))
        .unwrap_or_else(|| Cow::Owned(escaped(bytes)))
}

/// Bytes as text that no other bytes have, so that comparing it compares them: what is not UTF-8 is written as [`SIGN`] and
/// two hexadecimal digits. Nobody can be given it in the place of the bytes: see [`is_escaped`].
pub(crate) fn escaped(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push(SIGN);
            text.extend(format!("{byte:02x}").chars());
        }
    };
    for chunk in bytes.utf8_chunks() {
        for (nth, part) in chunk.valid().split(SIGN).enumerate() {
            if nth > 0 {
                escape(&mut text, SIGN.to_string().as_bytes());
            }
            text.push_str(part);
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// The text may stand for bytes that are none, so that it names nothing that could be opened or executed.
pub(crate) fn is_escaped(text: &str) -> bool {
    text.contains(SIGN)
}

/// The sign of Unicode for what is no text.
const SIGN: char = char::REPLACEMENT_CHARACTER;

/// What is left on a terminal of a line that was written over with carriage returns: what was written last.
pub(crate) fn last_written(line: &[u8]) -> &[u8] {
    let blank = |part: &&[u8]| part.iter().all(u8::is_ascii_whitespace);
    let mut parts = line.rsplit(|b| *b == b'\r');
    parts.find(|part| !blank(part)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(label: &str, text: &str) -> Vec<u8> {
        Charset::named(label).unwrap().write(text).unwrap()
    }

    #[test]
    fn chinese_text_is_recognised_and_written_back_byte_for_byte() {
        for text in ["端口=8000\r\n", "; 结束", "启用 a 禁用", "𠮷野家的配置"] {
            let gbk = bytes("gbk", text);
            let found = Charset::of(&gbk).unwrap();
            assert!(found.name().contains("GBK") && !found.is_utf8(), "{text}");
            assert_eq!(found.read(&gbk).unwrap(), text);
            assert_eq!(found.write(text).unwrap(), gbk);
            assert!(Charset::of(text.as_bytes()).unwrap().is_utf8());
            assert_eq!(shown(&gbk), text);
        }
    }

    #[test]
    fn a_byte_order_mark_is_believed_and_kept() {
        for (mark, name) in [
            (&b"\xef\xbb\xbfa\xe8\xa1\x8c"[..], "UTF-8"),
            (b"\xff\xfea\0\x4c\x88", "UTF-16LE"),
            (b"\xfe\xff\0a\x88\x4c", "UTF-16BE"),
        ] {
            let found = Charset::of(mark).unwrap();
            assert_eq!(found.name(), name);
            assert_eq!(found.read(mark).unwrap(), "a行");
            assert_eq!(found.write("a行").unwrap(), mark);
        }
    }

    #[test]
    fn what_is_not_text_in_a_known_encoding_stays_bytes() {
        for other in [
            &b"\xff\xd8\xff\xe0\0\x10JFIF"[..],
            b"caf\xe9 au lait",
            b"\xe9t\xe9",
            b"\xff\xfea",
            b"\xff",
        ] {
            assert_eq!(Charset::of(other), None, "{other:?}");
        }
        assert_eq!(shown(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        let texts: Vec<String> = [
            &b"a\xff"[..],
            b"a\xfe",
            b"a\xff\xef\xbf\xbd",
            b"a\xef\xbf\xbd\xff",
            b"a\xef\xbf\xbdff\xff",
            b"a\\xff",
        ]
        .into_iter()
        .map(escaped)
        .collect();
        let distinct: std::collections::BTreeSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len(), "{texts:?}");
        assert_eq!(texts[0], "a\u{fffd}ff");
        assert!(is_escaped(&texts[0]) && !is_escaped(&texts[5]));
        assert_eq!(escaped("日志".as_bytes()), "日志");
    }

    #[test]
    fn encodings_have_the_names_that_python_and_servers_give_them() {
        for (label, name) in [
            ("GB2312", "GB18030 (GBK)"),
            ("cp936", "GB18030 (GBK)"),
            ("latin_1", "windows-1252"),
            ("big5", "Big5"),
            ("utf8", "UTF-8"),
        ] {
            assert_eq!(Charset::named(label).unwrap().name(), name);
        }
        assert_eq!(Charset::named("rot13"), None);
        assert_eq!(Charset::named("latin1").unwrap().write("行"), None);
    }

    #[test]
    fn what_a_line_was_overwritten_with_last_counts() {
        for (line, last) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"\r10%\r20%\rfailed: row 9", b"failed: row 9"),
            (b"10%\rdone\r", b"done"),
            (b"error\r   \r", b"error"),
            (b"\r\r", b""),
        ] {
            assert_eq!(last_written(line), last);
        }
    }
}
