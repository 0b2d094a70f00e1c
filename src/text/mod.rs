//! Every word that people read, in English and in Chinese: one file per screen, one entry per text.
//!
//! An entry without one of its languages, or with an argument that one language leaves out, does not compile. What is
//! recorded in the ledger and what programs read stays English; so do the causes that libraries and the system report.
//! Chinese is written as an operations engineer would: 步骤, 阶段, 回退, 停机窗口, 不可逆点, 待人工确认, 结果未知 (in doubt),
//! 处理方式 (what is decided), 链头 (the head of the ledger), 数据块 (blobs), 输出变量 (facts). Its punctuation is full-width.

mod choose;

pub use choose::{Choice, ChoiceError, choose};

use std::borrow::Borrow;
use std::cell::Cell;
use std::sync::OnceLock;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// As `UPLEDGER_LANG` says it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

static LANG: OnceLock<Lang> = OnceLock::new();

/// Fixes the language of this process. Only the first call counts: a process speaks one language.
pub fn speak(lang: Lang) {
    // A second call would be a mistake of ours that does no harm.
    let _ = LANG.set(lang);
}

thread_local! {
    /// What is made now is for the record.
    static RECORDING: Cell<bool> = const { Cell::new(false) };
}

/// Makes a text for the record: in English, whatever the process speaks.
pub fn english<T>(say: impl FnOnce() -> T) -> T {
    let before = RECORDING.replace(true);
    let said = say();
    RECORDING.set(before);
    said
}

/// Whether what this thread makes now is for the record: what it lets other threads make is, too.
pub(crate) fn is_for_the_record() -> bool {
    RECORDING.get()
}

/// The language of this process.
#[must_use]
pub fn lang() -> Lang {
    if RECORDING.get() {
        return Lang::En;
    }
    LANG.get().copied().unwrap_or(Lang::En)
}

/// An argument of a text, between two marks that no text has: they are noncharacters of Unicode.
struct Argument<'a>(&'a dyn std::fmt::Display);

const OPENS: char = '\u{fdd0}';
const CLOSES: char = '\u{fdd1}';

impl std::fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{OPENS}{}{CLOSES}", self.0)
    }
}

/// A Chinese character, or its punctuation.
fn is_wide(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c) || "，。；：、（）？！《》“”".contains(c)
}

/// A Chinese text without the marks, and without the space that would separate an argument from Chinese text where that is
/// Chinese, too. Spaces inside of an argument are somebody's own.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    // The end of the text so far is at an edge of an argument.
    let mut edge = false;
    while let Some(c) = rest.next() {
        if matches!(c, OPENS | CLOSES) {
            edge = true;
            continue;
        }
        if c == ' ' {
            let opens = rest.peek() == Some(&OPENS);
            let next = rest.clone().find(|c| !matches!(*c, OPENS | CLOSES));
            let between = out.ends_with(is_wide) && next.is_some_and(is_wide);
            if (edge || opens) && between {
                continue;
            }
        }
        edge = false;
        out.push(c);
    }
    out
}

/// Nouns that are counted in English texts, and one of each.
const COUNTED: &[(&str, &str)] = &[
    ("attempts", "attempt"),
    ("blobs", "blob"),
    ("bytes", "byte"),
    ("checkpoints", "checkpoint"),
    ("entries", "entry"),
    ("events", "event"),
    ("files", "file"),
    ("keys", "key"),
    ("levels", "level"),
    ("lines", "line"),
    ("migrations", "migration"),
    ("operations", "operation"),
    ("problems", "problem"),
    ("processes", "process"),
    ("retries", "retry"),
    ("rows", "row"),
    ("runs", "run"),
    ("steps", "step"),
    ("tables", "table"),
];

/// What is said of several, and the same of one.
const SAID: &[(&str, &str)] = &[
    ("are", "is"),
    ("were", "was"),
    ("have", "has"),
    ("match", "matches"),
];

/// An English text without the marks; where a number is 1, the noun behind it is a singular.
fn counted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let one = format!("{OPENS}1{CLOSES} ");
    while let Some((before, after)) = rest.split_once(&one) {
        out.push_str(before);
        out.push_str("1 ");
        rest = after;
        // The noun may have one word before it.
        for _ in 0..2 {
            let end = rest
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let single = COUNTED.iter().find(|(several, _)| *several == word);
            out.push_str(single.map_or(word, |(_, one)| one));
            rest = behind;
            let Some(verb) = behind.strip_prefix(' ').filter(|_| !word.is_empty()) else {
                break;
            };
            if single.is_none() {
                out.push(' ');
                rest = verb;
                continue;
            }
            let said = SAID.iter().find(|(of, _)| {
                let behind = verb.strip_prefix(of);
                behind.is_some_and(|b| !b.starts_with(|c: char| c.is_ascii_lowercase()))
            });
            if let Some((of, one)) = said {
                out.push(' ');
                out.push_str(one);
                rest = verb.strip_prefix(of).unwrap_or(verb);
            }
            break;
        }
    }
    out.push_str(rest);
    out.retain(|c| !matches!(c, OPENS | CLOSES));
    out
}

/// Names in a row, in the language of the process.
#[must_use]
pub fn list<S: Borrow<str>>(names: &[S]) -> String {
    names.join(in_language(", ", "、"))
}

/// Parts of a sentence.
#[must_use]
pub fn parts<S: Borrow<str>>(parts: &[S]) -> String {
    parts.join(in_language(", ", "，"))
}

/// Sentences in one line.
#[must_use]
pub fn clauses<S: Borrow<str>>(clauses: &[S]) -> String {
    clauses.join(in_language("; ", "；"))
}

/// What is wrong, and why, and why that is.
#[must_use]
pub fn causes<S: Borrow<str>>(words: &[S]) -> String {
    words.join(in_language(": ", "："))
}

fn in_language(en: &'static str, zh: &'static str) -> &'static str {
    match lang() {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

/// Makes one function per text, which returns it in the language of the process.
macro_rules! texts {
    ($($name:ident($($arg:ident),*): $en:literal, $zh:literal;)+) => {
        $(
            /// The text of this name.
            #[must_use]
            pub fn $name($($arg: impl std::fmt::Display),*) -> String {
                #[deny(unused_variables)]
                fn en($($arg: &dyn std::fmt::Display),*) -> String {
                    $crate::text::counted(&format!($en))
                }
                #[deny(unused_variables)]
                fn zh($($arg: &dyn std::fmt::Display),*) -> String {
                    $crate::text::joined(&format!($zh))
                }
                let of = match $crate::text::lang() {
                    $crate::text::Lang::En => en,
                    $crate::text::Lang::Zh => zh,
                };
                of($(&$crate::text::Argument(&$arg)),*)
            }
        )+

        /// Every text of this file, as written: name, English, Chinese.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh)),+];
    };
}

pub mod actions;
pub mod cause;
pub mod commands;
pub mod comparison;
pub mod compliance;
pub mod controls;
pub mod demo;
pub mod explain;
pub mod forecast;
pub mod glossary;
pub mod help;
pub mod plan;
pub mod queries;
pub mod redis;
pub mod screen;
pub mod settings;
pub mod timeline;
pub mod usage;
pub mod verify;

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    type Table = &'static [(&'static str, &'static str, &'static str)];

    const FILES: &[Table] = &[
        super::actions::ALL,
        super::cause::ALL,
        super::commands::ALL,
        super::comparison::ALL,
        super::compliance::ALL,
        super::controls::ALL,
        super::demo::ALL,
        super::explain::ALL,
        super::forecast::ALL,
        super::glossary::ALL,
        super::help::ALL,
        super::plan::ALL,
        super::queries::ALL,
        super::redis::ALL,
        super::screen::ALL,
        super::settings::ALL,
        super::timeline::ALL,
        super::usage::ALL,
        super::verify::ALL,
    ];

    /// Half-width punctuation beside a Chinese character; what stands between backquotes or in braces is code.
    #[test]
    fn chinese_sentences_have_full_width_punctuation() {
        let wide = super::is_wide;
        let code = regex::Regex::new(r"`[^`]*`|\{\{.*?\}\}+").expect("a pattern");
        let mut found = Vec::new();
        for (name, _, zh) in all() {
            // A mark of the preview, which is explained here.
            if name == "legend" {
                continue;
            }
            let text: Vec<char> = code.replace_all(zh, "`").chars().collect();
            for (at, c) in text.iter().enumerate() {
                let before = at.checked_sub(1).and_then(|n| text.get(n));
                let mut after = text[at + 1..].iter();
                let next = after
                    .next()
                    .map(|c| if *c == ' ' { after.next() } else { Some(c) });
                let beside = before.into_iter().chain(next.flatten()).any(|c| wide(*c));
                if ",;:?!()".contains(*c) && beside {
                    found.push(format!("{name}: {zh}"));
                }
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    /// One of a thing is not many, and what somebody else has written stays as it is.
    #[test]
    fn one_is_a_singular() {
        let said =
            |n: usize| super::timeline::rolled_back("12:00:00", "alice", "1 steps were bad", n);
        assert_eq!(
            said(1),
            "12:00:00 alice had the run rolled back: 1 steps were bad; 1 step was undone"
        );
        assert!(said(2).ends_with("; 2 steps were undone"), "{}", said(2));
        assert!(said(11).ends_with("; 11 steps were undone"), "{}", said(11));
        let checks = super::commands::checks_are(1, "1 given", 1, 0);
        assert!(
            checks.starts_with("1 stored checkpoint, 1 given, 1 blob ("),
            "{checks}"
        );
        let open = super::actions::migrations_open("default", 1, "app.0002");
        assert_eq!(open, "default: 1 migration is open: app.0002");
    }

    /// An argument that is Chinese itself needs no space; what somebody else has written stays as it is.
    #[test]
    fn chinese_arguments_are_joined_without_spaces() {
        let said = |what: &str| {
            let what = super::Argument(&what);
            super::joined(&format!("向 {what} 发送 TERM：{what}"))
        };
        assert_eq!(
            said("进程 7（web）"),
            "向进程 7（web）发送 TERM：进程 7（web）"
        );
        assert_eq!(said("web"), "向 web 发送 TERM：web");
        assert_eq!(said("停 机"), "向停 机发送 TERM：停 机");
        let two = super::Argument(&"状态");
        assert_eq!(
            super::joined(&format!("{two} {two}  {two} x")),
            "状态状态  状态 x"
        );
    }

    /// A space between Chinese characters, or beside full-width punctuation, is what is left of an English sentence.
    #[test]
    fn chinese_sentences_have_no_stray_spaces() {
        let spaces = regex::Regex::new(
            r"\p{Han} +\p{Han}|[，。；：、（）？！《》“”] +\S|\S +[，。；：、（）？！《》“”]",
        )
        .expect("a pattern");
        assert!(spaces.is_match("停止 服务") && spaces.is_match("原因 （操作人"));
        assert!(!spaces.is_match("停止 nginx 服务，再停止 web"));
        let found: Vec<String> = all()
            .filter(|(_, _, zh)| spaces.is_match(zh))
            .map(|(name, _, zh)| format!("{name}: {zh}"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }

    /// Every text of every file.
    fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        FILES.iter().copied().flatten().copied()
    }

    /// Box drawing, arrows and curly quotes are two columns wide in many Chinese terminals and one in others.
    #[test]
    fn every_text_has_one_width_in_every_terminal() {
        for (name, en, zh) in all() {
            for text in [en, zh] {
                assert_eq!(text.width(), text.width_cjk(), "{name}: {text}");
                assert!(!text.chars().any(char::is_control), "{name}: {text}");
            }
            assert!(en.is_ascii(), "{name}: {en}");
            let other = zh.chars().filter(|c| !c.is_ascii()).count();
            assert!(other > 0, "{name} is not translated: {zh}");
        }
    }
}
