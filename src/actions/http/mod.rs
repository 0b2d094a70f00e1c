//! `http.check`: a page answers, and says what it should. It only looks.
//!
//! The status alone proves little: a health page may answer 200 with the words "health check failed". So `contains`
//! and `json` judge the text, and what was seen is always shown beside what was expected.
//!
//! As a step it is run, never skipped as done already: the page is asked until it is right or `within` is over, and the
//! evidence is one more look afterwards. As a step's `probe` or `verify` it is asked in the same way; there, nobody
//! listening means that nothing of the step happened, and a wrong answer is unclear. No proxy of the environment is
//! used and redirects are not followed.

pub(super) mod expect;

#[cfg(test)]
mod tests;

pub use crate::action::values::Secret;
use crate::action::values::absolute;
use crate::action::{Action, Context, Direction, Error, Look, Past, Properties, Work};
use crate::host::http::{self, Asker, Miss, Request};
use crate::redact::Redactor;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::{self, Length};
use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use upledger_replay::event::Answer;
use upledger_replay::event::own::SAW;

/// Between two questions.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Requests a page until it responds as expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The page, `http://` or `https://`. Redirects are not followed and no proxy is used.
    pub url: String,
    /// The expected status. Default: 200.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Text that must be in the body. A compressed body is unpacked, and text is read in the encoding that the page has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Values that must be in the JSON body, by JSON pointer: `{/status: ok}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Value>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Header>,
    /// The time limit until the page responds as expected. Default: 30s.
    #[serde(default = "within")]
    pub within: Length,
    /// The time limit of one request. Default: 5s.
    #[serde(default = "timeout")]
    pub timeout: Length,
    /// A file with trusted CA certificates (PEM), instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Header {
    /// Text.
    Text(String),
    /// A secret.
    Secret(Secret),
}

impl Header {
    /// What it wants, in English: a runner that cannot read an action records it.
    pub(crate) const WANTED: &str = "text or {secret: name}";
}

impl<'de> Deserialize<'de> for Header {
    // Not derived: a value that is neither is to be told what it may be, and a number is text, too.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Header::WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Header, E> {
                Ok(Header::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Header, E> {
                Ok(Header::Text(n.to_string()))
            }

            fn visit_bool<E: de::Error>(self, b: bool) -> Result<Header, E> {
                Ok(Header::Text(b.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Header, A::Error> {
                Secret::deserialize(de::value::MapAccessDeserializer::new(map)).map(Header::Secret)
            }
        }
        d.deserialize_any(TextVisitor)
    }
}

fn ok() -> u16 {
    200
}

fn within() -> Length {
    Length(30_000)
}

fn timeout() -> Length {
    Length(5_000)
}

impl Check {
    fn request(&self, cx: &Context) -> Result<Request<'_>, Error> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| {
                Ok(match value {
                    Header::Text(text) => (name.clone(), text.clone()),
                    Header::Secret(s) => (name.clone(), cx.secret(&s.secret)?.to_owned()),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Request {
            url: &self.url,
            headers,
            ca: self.ca.as_deref().map(Path::new),
            timeout: Duration::from_millis(self.timeout.0),
        })
    }

    fn once(&self, asker: &Asker, request: &Request<'_>, redactor: &Redactor) -> Look {
        match asker.ask(request) {
            Ok(reply) => expect::judge(self, &reply, redactor),
            Err(miss) => {
                let text = format!("{}: {miss}; expected {}", self.url, self.expected());
                match miss {
                    Miss::Refused(_) => Look::nothing(text),
                    Miss::Broken(_) => Look::unclear(text),
                }
            }
        }
    }

    /// Asks until it is right or the time is over; the last look.
    fn until(
        &self,
        cx: &Context,
        limit: Duration,
        mut tell: impl FnMut(&Look),
    ) -> Result<Look, Error> {
        let request = self.request(cx)?;
        let redactor = cx.redactor()?;
        let asker = Asker::new(&request)?;
        let deadline = Instant::now() + limit;
        let mut told: Option<Look> = None;
        loop {
            let look = self.once(&asker, &request, &redactor);
            if look.answer == Answer::Done {
                return Ok(look);
            }
            if told.as_ref() != Some(&look) {
                tell(&look);
                told = Some(look.clone());
            }
            if Instant::now() + PAUSE >= deadline {
                return Ok(look);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Holds a number that JSON readers do not agree on: a whole one beyond 2^53. The plan could not be recorded.
fn inexact(value: &Value) -> bool {
    const EXACT: u64 = 1 << 53;
    match value {
        Value::Number(n) => {
            n.as_u64().is_some_and(|n| n > EXACT)
                || n.as_i64().is_some_and(|n| n.unsigned_abs() > EXACT)
        }
        Value::Array(items) => items.iter().any(inexact),
        Value::Object(map) => map.values().any(inexact),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

impl Action for Check {
    type Before = ();
    type Note = ();
    type Output = ();

    fn properties(&self) -> Properties {
        Properties::look()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = http::problem(&self.url).into_iter().collect();
        problems.extend(self.ca.as_deref().and_then(|ca| absolute("ca", ca)));
        if !(100..=599).contains(&self.status) {
            problems.push(text::status_range(self.status));
        }
        if self.timeout.0 == 0 {
            problems.push(text::no_time());
        }
        if self.contains.as_deref() == Some("") {
            problems.push(text::every_page());
        }
        for pointer in self.json.keys() {
            if !(pointer.is_empty() || pointer.starts_with('/')) {
                problems.push(text::no_pointer(pointer));
            }
        }
        if self.json.values().any(inexact) {
            problems.push(text::inexact());
        }
        for name in self.headers.keys() {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                problems.push(text::no_header(name));
            }
        }
        problems
    }

    fn outline(&self, _direction: Direction) -> Vec<String> {
        vec![phrases::get(&self.url, self.expected())]
    }

    fn observe(&self, _cx: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn probe(&self, cx: &Context, _past: &Past<Self>) -> Result<(Look, Option<()>), Error> {
        if cx.inert {
            // A preview asks once: whatever it sees but what is expected, a run would not go on with.
            let mut look = self.until(cx, Duration::ZERO, |_| {})?;
            if look.answer == Answer::Unclear {
                look.answer = Answer::Nothing;
            }
            return Ok((look, None));
        }
        let look = self.until(cx, Duration::from_millis(self.within.0), |_| {})?;
        Ok((look, None))
    }

    fn perform(&self, work: &mut Work<'_, ()>, _past: &Past<Self>) -> Result<(), Error> {
        let limit = Duration::from_millis(self.within.0);
        let began = Instant::now();
        let look = self.until(work.cx(), limit, |look| {
            // With its time: what an early look saw must not be taken for what the last one saw.
            let after = time::said(began.elapsed());
            for line in &look.evidence {
                work.log_line(&format!("after {after}: {line}"));
            }
        })?;
        let said = look.evidence.join("; ");
        if look.answer != Answer::Done {
            // Before what was seen, which may be long.
            let (what, seen) = said.split_at(said.find(SAW).unwrap_or(said.len()));
            return Err(Error::new(format!(
                "{what} (within {}){seen}",
                time::said(limit)
            )));
        }
        work.log_line(&said);
        Ok(())
    }

    fn verify(&self, cx: &Context, _past: &Past<Self>) -> Result<Look, Error> {
        self.until(cx, Duration::ZERO, |_| {})
    }
}
