//! The body of an event: the fourteen keys, in their order, taken apart and put together.
//!
//! Invariants: [`parse`] accepts a body exactly if it is canonical and has the fourteen keys with their types; one pass,
//! no allocation but for escaped strings, because every start of the program reads every event. [`compose`] is its
//! inverse. Left out: how one event follows from another (`chain`).

use crate::FORMAT;
use crate::canonical::{self, NotCanonical, Raw, Scanner};
use crate::clock;
use crate::damage::Fault;
use crate::head::{Digest, is_hex};
use crate::writer::write_string;
use std::borrow::Cow;
use std::fmt::Write as _;

/// A body taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Envelope<'a> {
    pub(crate) actor: Cow<'a, str>,
    pub(crate) boot: Cow<'a, str>,
    /// The canonical text of an object; empty for a body that is to be put together, like the next.
    pub(crate) data: &'a str,
    /// Where in the body it stands.
    pub(crate) data_at: usize,
    pub(crate) host: Cow<'a, str>,
    pub(crate) kind: Cow<'a, str>,
    pub(crate) ledger: &'a str,
    pub(crate) mono: u64,
    pub(crate) prev: Digest,
    pub(crate) rseq: Option<u64>,
    pub(crate) run: Option<Cow<'a, str>>,
    pub(crate) seq: u64,
    pub(crate) sess: Option<u64>,
    pub(crate) ts: &'a str,
}

/// Takes a body apart.
pub(crate) fn parse(body: &str) -> Result<Envelope<'_>, Fault> {
    take(body).map_err(|what| match canonical::scan(body) {
        Err(form) => Fault::Form(form),
        Ok(()) => Fault::Shape(what),
    })
}

fn take(body: &str) -> Result<Envelope<'_>, &'static str> {
    let mut scanner = Scanner::new(body);
    key(&mut scanner, "{\"actor\":")?;
    let actor = text(&mut scanner)?;
    key(&mut scanner, ",\"boot\":")?;
    let boot = text(&mut scanner)?;
    key(&mut scanner, ",\"data\":")?;
    let data_at = scanner.at();
    scanner.value(1).map_err(|_| "`data` is malformed")?;
    let data = scanner.since(data_at);
    if !data.starts_with('{') {
        return Err("`data` is not an object");
    }
    key(&mut scanner, ",\"host\":")?;
    let host = text(&mut scanner)?;
    key(&mut scanner, ",\"kind\":")?;
    let kind = text(&mut scanner)?;
    key(&mut scanner, ",\"ledger\":")?;
    let ledger = plain(&mut scanner)?;
    if !is_hex(ledger, 32) {
        return Err("`ledger` is not 32 hexadecimal digits");
    }
    key(&mut scanner, ",\"mono\":")?;
    let mono = count(&mut scanner)?;
    key(&mut scanner, ",\"prev\":")?;
    let prev = plain(&mut scanner)?
        .parse()
        .map_err(|_| "`prev` is not 64 hexadecimal digits")?;
    key(&mut scanner, ",\"rseq\":")?;
    let rseq = if scanner.skip("null") {
        None
    } else {
        Some(count(&mut scanner)?)
    };
    key(&mut scanner, ",\"run\":")?;
    let run = if scanner.skip("null") {
        None
    } else {
        Some(text(&mut scanner)?)
    };
    if run.is_some() != rseq.is_some() {
        return Err("`run` and `rseq` are not both null or both set");
    }
    key(&mut scanner, ",\"seq\":")?;
    let seq = count(&mut scanner)?;
    key(&mut scanner, ",\"sess\":")?;
    let sess = if scanner.skip("null") {
        None
    } else {
        Some(count(&mut scanner)?)
    };
    key(&mut scanner, ",\"ts\":")?;
    let ts = plain(&mut scanner)?;
    if clock::parse_ts(ts).is_none() {
        return Err("`ts` is not a time as `YYYY-MM-DDTHH:MM:SS.ffffffZ`");
    }
    key(&mut scanner, ",\"v\":")?;
    if plain(&mut scanner)? != FORMAT {
        return Err("`v` is not `upledger/1`");
    }
    key(&mut scanner, "}")?;
    scanner.end().map_err(|_| "something follows the object")?;
    Ok(Envelope {
        actor,
        boot,
        data,
        data_at,
        host,
        kind,
        ledger,
        mono,
        prev,
        rseq,
        run,
        seq,
        sess,
        ts,
    })
}

#[inline]
fn key(scanner: &mut Scanner<'_>, literal: &'static str) -> Result<(), &'static str> {
    if scanner.skip(literal) {
        Ok(())
    } else {
        Err("its keys are not the fourteen of the format")
    }
}

fn raw<'a>(scanner: &mut Scanner<'a>) -> Result<Raw<'a>, &'static str> {
    scanner
        .string()
        .map_err(|_| "a string is expected where there is none")
}

fn text<'a>(scanner: &mut Scanner<'a>) -> Result<Cow<'a, str>, &'static str> {
    let start = scanner.at();
    let raw = raw(scanner)?;
    if !raw.escaped {
        return Ok(Cow::Borrowed(raw.text));
    }
    serde_json::from_str(scanner.since(start))
        .map(Cow::Owned)
        .map_err(|_| "a string cannot be read")
}

fn plain<'a>(scanner: &mut Scanner<'a>) -> Result<&'a str, &'static str> {
    let raw = raw(scanner)?;
    if raw.escaped {
        Err("a string of fixed form has an escape")
    } else {
        Ok(raw.text)
    }
}

fn count(scanner: &mut Scanner<'_>) -> Result<u64, &'static str> {
    let value = scanner
        .integer()
        .map_err(|_| "an integer is expected where there is none")?;
    u64::try_from(value).map_err(|_| "a count is negative")
}

/// Puts a body together around `data`, which must be canonical: a large one is not copied.
pub(crate) fn compose(parts: &Envelope<'_>, data: String) -> Result<String, NotCanonical> {
    if !canonical_count(parts.mono) || !canonical_count(parts.seq) {
        return Err(NotCanonical::Number(parts.mono.max(parts.seq).to_string()));
    }
    let strings = |body: &mut String, name: &str, value: &str| {
        body.push_str(name);
        write_string(body, value);
    };
    let mut before = String::with_capacity(256);
    strings(&mut before, "{\"actor\":", &parts.actor);
    strings(&mut before, ",\"boot\":", &parts.boot);
    before.push_str(",\"data\":");
    let mut body = data;
    body.reserve_exact(before.len() + 512);
    body.insert_str(0, &before);
    strings(&mut body, ",\"host\":", &parts.host);
    strings(&mut body, ",\"kind\":", &parts.kind);
    strings(&mut body, ",\"ledger\":", parts.ledger);
    number(&mut body, ",\"mono\":", Some(parts.mono));
    strings(&mut body, ",\"prev\":", &parts.prev.to_string());
    number(&mut body, ",\"rseq\":", parts.rseq);
    match &parts.run {
        Some(run) => strings(&mut body, ",\"run\":", run),
        None => body.push_str(",\"run\":null"),
    }
    number(&mut body, ",\"seq\":", Some(parts.seq));
    number(&mut body, ",\"sess\":", parts.sess);
    strings(&mut body, ",\"ts\":", parts.ts);
    strings(&mut body, ",\"v\":", FORMAT);
    body.push('}');
    Ok(body)
}

fn canonical_count(value: u64) -> bool {
    value <= canonical::MAX_INTEGER
}

fn number(body: &mut String, name: &str, value: Option<u64>) {
    body.push_str(name);
    match value {
        // Writing to a string cannot fail.
        Some(value) => drop(write!(body, "{value}")),
        None => body.push_str("null"),
    }
}
