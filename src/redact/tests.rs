//! The redactor against every form, every border between chunks, and a plain definition of what it should do.

use super::*;
use proptest::prelude::*;

const SECRET: &str = "p4ss w&rd'\"/漢\\$\nsecond-line<x>";

fn redactor(secrets: &[(&str, &str)]) -> Redactor {
    let owned: Vec<_> = secrets
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    Redactor::new(&owned).unwrap()
}

fn in_chunks(r: &Redactor, text: &[u8], size: usize) -> Vec<u8> {
    let (mut stream, mut out) = (r.stream(), Vec::new());
    for chunk in text.chunks(size) {
        stream.feed(chunk, &mut out);
        let longest = r.0.as_ref().map_or(0, |s| s.longest);
        assert!(
            stream.held.len() < longest.max(1),
            "more is held than any match needs"
        );
    }
    stream.finish(&mut out);
    out
}

/// Four bytes in a row of the form are a part of it.
fn leaks(out: &[u8], form: &[u8], marker: &[u8]) -> bool {
    let without: Vec<u8> = {
        let shown =
            String::from_utf8_lossy(out).replace(std::str::from_utf8(marker).unwrap(), "\u{1}");
        shown.into_bytes()
    };
    form.windows(4).any(|w| without.windows(4).any(|o| o == w))
}

#[test]
fn every_form_at_every_place_and_chunk_size_leaves_no_part() {
    let r = redactor(&[("db", SECRET)]);
    let mut checks = 0;
    for form in forms(SECRET, is_ordinary) {
        for before in ["", "x", "some  text::"] {
            for after in ["", "~~~~"] {
                let text = [before.as_bytes(), &form, after.as_bytes()].concat();
                let whole = in_chunks(&r, &text, text.len());
                let wanted = [before, "[redacted:db]", after].concat();
                assert_eq!(
                    String::from_utf8_lossy(&whole),
                    wanted,
                    "{}",
                    String::from_utf8_lossy(&form)
                );
                for size in 1..=64 {
                    assert_eq!(in_chunks(&r, &text, size), whole, "in chunks of {size}");
                    checks += 1;
                }
                assert!(!leaks(&whole, &form, b"[redacted:db]"));
            }
        }
    }
    assert!(checks > 10_000, "{checks}");
}

#[test]
fn what_a_shell_a_browser_and_a_library_would_print_is_found() {
    let r = redactor(&[("db", "p4ss w&rd'\"/漢")]);
    for text in [
        r#"'p4ss w&rd'\''"/漢'"#,
        r#""p4ss w&rd'\"/漢""#,
        r#"p4ss\ w\&rd\'\"/漢"#,
        "p4ss%20w%26rd%27%22%2F%E6%BC%A2",
        "p4ss+w%26rd%27%22%2f%e6%bc%a2",
        "p4ss%20w%26rd'%22%2F%E6%BC%A2",
        "p4ss%20w%26rd%27%22/%E6%BC%A2",
        r#"{"a":"p4ss w&rd'\"/漢"}"#,
        r#"{"a":"p4ss w&rd'\"/\u6f22"}"#,
        r#"{"a":"p4ss w\u0026rd\u0027\"/漢"}"#,
        r#"{"a":"p4ss w&rd'\"\/\u6f22"}"#,
        "<b>p4ss w&amp;rd&#x27;&quot;/漢</b>",
        "<b>p4ss w&amp;rd&#39;&#34;/漢</b>",
        "7034737320772672642722 2fe6bca2".replace(' ', "").as_str(),
        "703473732077267264 27222FE6BCA2".replace(' ', "").as_str(),
        r#"'p4ss w&rd\'"/漢'"#,
    ] {
        let shown = r.text(text);
        assert!(
            shown.contains("[redacted:db]") && !shown.contains("p4ss"),
            "{text} is shown as {shown}"
        );
    }
}

#[test]
fn base64_is_found_at_each_alignment_and_wrapped() {
    let r = redactor(&[("t", "correct-horse")]);
    for before in ["", "a", "ab", "abc"] {
        for after in ["", "\n", " and more"] {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = engine.encode(format!("{before}correct-horse{after}"));
                assert!(r.text(&text).contains("[redacted:t]"), "{text}");
            }
        }
    }
    let key: String = (0..200).map(|i| char::from(b'!' + i % 90)).collect();
    let r = redactor(&[("key", &key)]);
    for columns in [64, 76] {
        let digits = STANDARD_NO_PAD.encode(&key);
        let lines: Vec<_> = digits
            .as_bytes()
            .chunks(columns)
            .map(String::from_utf8_lossy)
            .collect();
        let shown = r.text(&lines.join("\n"));
        assert!(
            lines.iter().all(|l| !shown.contains(&l[..l.len().min(8)])),
            "{shown}"
        );
    }
}

#[test]
fn secrets_that_share_bytes_both_vanish() {
    let r = redactor(&[("one", "abcdef"), ("two", "defghi")]);
    assert_eq!(r.text("-abcdefghi-"), "-[redacted:one]-");
    assert_eq!(
        r.text("-abcdef-defghi-abcdefdefghi"),
        "-[redacted:one]-[redacted:two]-[redacted:one][redacted:two]"
    );
    let r = redactor(&[("short", "abcd"), ("long", "abcdefgh")]);
    assert_eq!(
        r.text("abcdefgh abcdefg"),
        "[redacted:long] [redacted:short]efg"
    );
}

#[test]
fn a_line_that_cannot_become_a_secret_is_not_held_back() {
    let r = redactor(&[("key", &"secret-line\n".repeat(300))]);
    let (mut stream, mut out) = (r.stream(), Vec::new());
    stream.feed(b"12% done\n", &mut out);
    assert_eq!(out, b"12% done\n");
    stream.feed(b"value: secret-l", &mut out);
    assert_eq!(out, b"12% done\nvalue: ");
}

#[test]
fn endless_repetition_of_a_secret_is_covered_in_bounded_memory() {
    let r = redactor(&[("zeros", "0000")]);
    let (mut stream, mut out) = (r.stream(), Vec::new());
    for _ in 0..64 {
        stream.feed(&[b'0'; 4096], &mut out);
        assert!(stream.held.len() < 8192, "{}", stream.held.len());
    }
    stream.finish(&mut out);
    assert!(!out.contains(&b'0'));
    assert!(
        out.len() < 100,
        "one marker covers overlapping matches, not {} bytes",
        out.len()
    );
}

#[test]
fn a_secret_is_found_by_name_in_strings_of_any_depth_and_keys_are_structure() {
    let r = redactor(&[("t", "tok-en")]);
    assert_eq!(r.found_in("x tok-en y"), Some("t"));
    assert_eq!(r.found_in("x token y"), None);
    let value = serde_json::json!({"a": [{"b": "x tok-en"}, 7, null]});
    assert_eq!(r.found_in_value(&value), Some("t"));
    let value = serde_json::json!({"tok-en": [{"b": "x"}, 7, null]});
    assert_eq!(r.found_in_value(&value), None);
}

#[test]
fn a_short_secret_is_refused_and_none_costs_nothing() {
    let short = Redactor::new(&[("pin".into(), "123".into())]);
    assert_eq!(short.unwrap_err(), TooShort { name: "pin".into() });
    assert_eq!(Redactor::none().text("as it is"), "as it is");
    assert_eq!(
        in_chunks(&Redactor::new(&[]).unwrap(), b"as it is", 3),
        b"as it is"
    );
    assert!(!format!("{:?}", redactor(&[("t", "hidden")])).contains("hidden"));
}

/// What covers every occurrence of the raw secrets, written the slow way.
fn plainly(text: &[u8], secrets: &[&str]) -> Vec<bool> {
    let mut covered = vec![false; text.len()];
    for secret in secrets {
        for at in 0..text.len() {
            if text[at..].starts_with(secret.as_bytes()) {
                covered[at..at + secret.len()].fill(true);
            }
        }
    }
    covered
}

proptest! {
    /// A two-letter alphabet makes overlaps, repetitions and near misses the rule.
    #[test]
    fn any_chunking_gives_the_same_and_covers_exactly_the_secrets(
        text in "[ab]{0,80}", one in "[ab]{4,9}", two in "[ab]{4,9}", cuts in proptest::collection::vec(1usize..12, 1..20),
    ) {
        let r = redactor(&[("1", &one), ("2", &two)]);
        let whole = r.text(&text);
        let (mut stream, mut out, mut rest) = (r.stream(), Vec::new(), text.as_bytes());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(*cut));
            stream.feed(now, &mut out);
            rest = later;
        }
        stream.finish(&mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), whole.as_str());
        let covered = plainly(text.as_bytes(), &[&one, &two]);
        let left: String = text.bytes().zip(&covered).filter(|(_, c)| !**c).map(|(b, _)| char::from(b)).collect();
        let shown = whole.replace("[redacted:1]", "").replace("[redacted:2]", "");
        prop_assert_eq!(shown, left);
    }
}

#[test]
fn an_ordinary_word_on_a_line_of_its_own_stays_and_the_password_below_it_vanishes() {
    for user in ["deploy", "step", "name", "deploy-user", "me@x.org"] {
        for password in ["correct-horse", "hunter2", "word"] {
            let r = redactor(&[("cred", &format!("{user}\n{password}"))]);
            let text = format!("the {user} of it: {password}; {user}\n{password}");
            assert_eq!(
                r.text(&text),
                format!("the {user} of it: [redacted:cred]; [redacted:cred]")
            );
        }
    }
    let r = redactor(&[("key", "first-line-of-a-key\nh4lf\nlast")]);
    assert_eq!(
        r.text("first-line-of-a-key h4lf last"),
        "[redacted:key] [redacted:key] [redacted:key]"
    );
}

#[test]
fn what_must_hold_no_secret_may_hold_a_word_of_one() {
    let secret = [("cred".to_owned(), "deploy01\ncorrect-horse".to_owned())];
    let strict = Redactor::strict(&secret).unwrap();
    assert_eq!(strict.found_in("by deploy01"), None);
    assert_eq!(strict.found_in("correct-horse"), Some("cred"));
    assert_eq!(
        redactor(&[("cred", &secret[0].1)]).text("by deploy01"),
        "by [redacted:cred]"
    );
}

#[test]
fn a_secret_that_is_not_ascii_is_found_as_chinese_programs_print_it() {
    let r = redactor(&[("db", "密码-很长")]);
    let gbk = Charset::named("gbk")
        .unwrap()
        .write("是 密码-很长。")
        .unwrap();
    let shown = in_chunks(&r, &gbk, 3);
    assert_eq!(crate::encoding::shown(&shown), "是 [redacted:db]。");
}
