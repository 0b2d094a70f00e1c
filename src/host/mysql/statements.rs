//! The statements of a dump, split as the `mariadb` client splits them: quotes, comments, `DELIMITER`.
//!
//! Invariants: nothing but the statement in work is kept, so that a dump of any size is read; a comment with code in it
//! (`/*!40101 ... */`) is a statement; the line with which newer clients switch on their sandbox is none, whoever wrote it.
//! Left out: commands of the client, such as `\!` and `source`; the server refuses them as statements.

use memchr::memmem::find;
use memchr::{memchr, memchr2};
use std::ops::Range;

/// A part of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement<'a> {
    /// A statement without its delimiter.
    Code(&'a [u8]),
    /// A line that begins with `--`.
    Comment(&'a [u8]),
}

/// The bytes at which something may begin inside a statement. Every byte of a dump is looked up here.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let begin = b"'\"`-#/;";
    let mut n = 0;
    while n < begin.len() {
        stops[begin[n] as usize] = true;
        n += 1;
    }
    stops
};
/// How many bytes decide what begins at a place.
const AHEAD: usize = 16;

/// Splits what it is fed with.
#[derive(Debug)]
pub(crate) struct Statements {
    buffer: Vec<u8>,
    /// Where the statement in work begins.
    start: usize,
    /// What of it has been looked at.
    at: usize,
    begun: bool,
    inside: Inside,
    delimiter: Vec<u8>,
    no_backslash: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    Quote(u8),
    Line,
    Block,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            at: 0,
            begun: false,
            inside: Inside::Code,
            delimiter: b";".to_vec(),
            no_backslash: false,
        }
    }
}

/// A line comment begins here.
fn is_line_comment(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'#')
        || (bytes.starts_with(b"--") && bytes.get(2).is_none_or(|c| *c <= b' '))
}

/// A block comment that is no code begins here.
fn is_block_comment(bytes: &[u8]) -> bool {
    let sandbox: [&[u8]; 2] = [b"/*!999999\\-", b"/*M!999999\\-"];
    let code: [&[u8]; 2] = [b"/*!", b"/*M!"];
    bytes.starts_with(b"/*")
        && (sandbox.iter().any(|s| bytes.starts_with(s))
            || !code.iter().any(|c| bytes.starts_with(c)))
}

impl Statements {
    /// Takes the next bytes, and hands over what is complete.
    ///
    /// # Errors
    /// What `each` returns.
    pub(crate) fn feed<E>(
        &mut self,
        chunk: &[u8],
        each: &mut dyn FnMut(Statement<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buffer.extend_from_slice(chunk);
        self.split(false, each)?;
        self.buffer.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        Ok(())
    }

    /// Nothing of a statement is in work.
    pub(crate) fn is_between(&self) -> bool {
        !self.begun && self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// There is no more: whether the last statement was complete.
    ///
    /// # Errors
    /// What `each` returns.
    pub(crate) fn finish<E>(
        mut self,
        each: &mut dyn FnMut(Statement<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.split(true, each)?;
        let left = &self.buffer[self.start..];
        Ok(left.iter().all(u8::is_ascii_whitespace))
    }

    fn split<E>(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(Statement<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if !self.begun && !self.begin(last, each)? {
                return Ok(());
            }
            let Some(range) = self.end(last) else {
                return Ok(());
            };
            let code = &self.buffer[range];
            self.no_backslash = mode(code).unwrap_or(self.no_backslash);
            let code = code.trim_ascii_end();
            if !code.is_empty() {
                each(Statement::Code(code))?;
            }
            self.start = self.at;
            self.begun = false;
        }
    }

    /// Skips what is between statements; whether one begins.
    fn begin<E>(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(Statement<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        loop {
            let rest = &self.buffer[self.start..];
            let blank = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.start += blank;
            self.at = self.start;
            let rest = &rest[blank..];
            let ahead = match rest.first() {
                None => return Ok(false),
                Some(b'/' | b'D' | b'd') => AHEAD,
                Some(_) => 3,
            };
            if rest.len() < ahead && !last {
                return Ok(false);
            }
            let whole = |end: Option<usize>| end.or(last.then_some(rest.len()));
            if is_line_comment(rest) {
                let Some(end) = whole(memchr(b'\n', rest)) else {
                    return Ok(false);
                };
                each(Statement::Comment(rest[..end].trim_ascii_end()))?;
                self.start += end;
            } else if is_block_comment(rest) {
                let Some(end) = find(rest, b"*/") else {
                    return Ok(false);
                };
                self.start += end + 2;
            } else if rest.len() > 10 && rest[..10].eq_ignore_ascii_case(b"DELIMITER ") {
                let Some(end) = whole(memchr(b'\n', rest)) else {
                    return Ok(false);
                };
                self.delimiter = rest[10..end].trim_ascii().to_vec();
                if self.delimiter.is_empty() {
                    self.delimiter = b";".to_vec();
                }
                self.start += end;
            } else {
                self.begun = true;
                self.inside = Inside::Code;
                return Ok(true);
            }
            self.at = self.start;
        }
    }

    /// The statement that begun, when its end is there.
    fn end(&mut self, last: bool) -> Option<Range<usize>> {
        while self.at < self.buffer.len() {
            let rest = &self.buffer[self.at..];
            match self.inside {
                Inside::Quote(quote) => {
                    let escapes = !self.no_backslash && quote != b'`';
                    let stop = match escapes {
                        true => memchr2(quote, b'\\', rest),
                        false => memchr(quote, rest),
                    };
                    match stop {
                        None => self.at = self.buffer.len(),
                        Some(n) if rest[n] == quote => {
                            self.at += n + 1;
                            self.inside = Inside::Code;
                        }
                        Some(n) if n + 1 < rest.len() => self.at += n + 2,
                        Some(n) => {
                            self.at += n;
                            return None;
                        }
                    }
                }
                Inside::Line => match memchr(b'\n', rest) {
                    None => self.at = self.buffer.len(),
                    Some(n) => {
                        self.at += n + 1;
                        self.inside = Inside::Code;
                    }
                },
                Inside::Block => match find(rest, b"*/") {
                    None => {
                        // Its end may be cut in two.
                        self.at = self.buffer.len() - usize::from(rest.ends_with(b"*"));
                        return None;
                    }
                    Some(n) => {
                        self.at += n + 2;
                        self.inside = Inside::Code;
                    }
                },
                Inside::Code => {
                    let first = self.delimiter.first().copied().unwrap_or(b';');
                    let stop = |b: &u8| STOPS[usize::from(*b)] || *b == first;
                    let Some(n) = rest.iter().position(stop) else {
                        self.at = self.buffer.len();
                        return None;
                    };
                    let rest = &rest[n..];
                    self.at += n;
                    if rest.len() < AHEAD
                        && !last
                        && !b"'\"`".contains(&rest[0])
                        && !self.is_end(rest)
                    {
                        return None;
                    }
                    if self.is_end(rest) {
                        let range = self.start..self.at;
                        self.at += self.delimiter.len();
                        return Some(range);
                    }
                    self.inside = match rest[0] {
                        quote @ (b'\'' | b'"' | b'`') => Inside::Quote(quote),
                        _ if is_line_comment(rest) => Inside::Line,
                        _ if is_block_comment(rest) => Inside::Block,
                        _ => Inside::Code,
                    };
                    self.at += if self.inside == Inside::Block { 2 } else { 1 };
                }
            }
        }
        None
    }

    fn is_end(&self, rest: &[u8]) -> bool {
        rest.starts_with(&self.delimiter)
    }
}

/// Whether a statement switches escapes by backslashes off, where it sets the mode.
fn mode(code: &[u8]) -> Option<bool> {
    let begin = code[..code.len().min(400)].to_ascii_uppercase();
    if !(begin.starts_with(b"SET") || begin.starts_with(b"/*!")) {
        return None;
    }
    find(&begin, b"SET")?;
    find(&begin, b"SQL_MODE")?;
    Some(find(&begin, b"NO_BACKSLASH_ESCAPES").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a dump that comes in pieces of `n` bytes, and whether its end was there.
    fn split(dump: &str, n: usize) -> (Vec<String>, bool) {
        let mut found = Vec::new();
        let mut each = |s: Statement<'_>| {
            found.push(match s {
                Statement::Code(c) => String::from_utf8_lossy(c).into_owned(),
                Statement::Comment(c) => format!("#{}", String::from_utf8_lossy(c)),
            });
            Ok::<(), ()>(())
        };
        let mut statements = Statements::default();
        for chunk in dump.as_bytes().chunks(n) {
            statements.feed(chunk, &mut each).unwrap();
        }
        let complete = statements.finish(&mut each).unwrap();
        (found, complete)
    }

    #[track_caller]
    fn same(dump: &str, parts: &[&str]) {
        for n in [1, 2, 3, 7, 16, 1000] {
            let (found, complete) = split(dump, n);
            assert_eq!(found, parts, "in pieces of {n}");
            assert!(complete);
        }
    }

    #[test]
    fn a_dump_is_split_as_its_client_splits_it() {
        same(
            "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n--\n/*!40101 SET NAMES utf8mb4 */;\n\n\
             INSERT INTO `a;b` VALUES (1,'x;\\';''-- y'),\n(2,\"# /* \");\n/* nothing; */\nUNLOCK TABLES;\n-- Dump completed\n",
            &[
                "#-- MariaDB dump",
                "#--",
                "/*!40101 SET NAMES utf8mb4 */",
                "INSERT INTO `a;b` VALUES (1,'x;\\';''-- y'),\n(2,\"# /* \")",
                "UNLOCK TABLES",
                "#-- Dump completed",
            ],
        );
    }

    #[test]
    fn bodies_have_a_delimiter_and_comments_of_their_own() {
        same(
            "DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN -- it's; \n set @a = 5-3; # don't\n /* it's */ END */;;\nDELIMITER ;\nSELECT 1;",
            &[
                "/*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN -- it's; \n set @a = 5-3; # don't\n /* it's */ END */",
                "SELECT 1",
            ],
        );
    }

    #[test]
    fn backslashes_are_letters_where_the_mode_says_so() {
        same(
            "/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;\nSELECT '\\';\nSET sql_mode = @saved;\nSELECT '\\';';",
            &[
                "/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */",
                "SELECT '\\'",
                "SET sql_mode = @saved",
                "SELECT '\\';'",
            ],
        );
    }

    #[test]
    fn what_is_cut_off_is_not_complete() {
        for dump in ["SELECT 1", "SELECT 'a;", "/*!40101 SET @a=1 */"] {
            assert!(!split(dump, 3).1, "{dump}");
        }
    }
}
