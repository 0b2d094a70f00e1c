//! Whether a service answers: its port accepts, its page is right, and it is not a stranger who answers.
//!
//! Left out: who listens in other network namespaces, and on sockets that are not TCP.

use crate::action::values::Port;
use crate::action::{Error, Look};
use crate::host::http::{self, Asker, Request, short};
use crate::host::process::identity::{Ident, belongs, shown};
use crate::host::process::sockets::listeners;
use crate::redact::Redactor;
use crate::text::actions as phrases;
use crate::text::settings as text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How to check that a service is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// A TCP port that must accept connections, and must be free before the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The address of that port. Default: 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A page that must answer 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Text that must be in that page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

impl Ready {
    /// What is wrong with it, each in one line.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .url
            .as_deref()
            .and_then(http::problem)
            .into_iter()
            .collect();
        for (given, name, needs) in [
            (self.host.is_some() && self.port.is_none(), "host", "port"),
            (
                self.contains.is_some() && self.url.is_none(),
                "contains",
                "url",
            ),
        ] {
            if given {
                problems.push(text::needs(
                    format!("ready.{name}"),
                    format!("ready.{needs}"),
                ));
            }
        }
        if self.port.is_none() && self.url.is_none() {
            problems.push(text::ready_needs());
        }
        problems
    }

    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("127.0.0.1")
    }

    /// Where it must be the service itself that answers: its port, else that of a page of this machine.
    pub(crate) fn door(&self) -> Option<(String, Port)> {
        if let Some(port) = self.port {
            return Some((self.host().to_owned(), port));
        }
        let url = reqwest::Url::parse(self.url.as_deref()?).ok()?;
        let host = url.host_str()?;
        let own = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let host = host.trim_matches(['[', ']']).to_owned();
        Some((host, Port(url.port_or_known_default()?))).filter(|_| own)
    }

    /// In words, for people.
    pub(crate) fn shown(&self) -> String {
        let port = self
            .port
            .map(|p| phrases::accepts(format!("{}:{p}", self.host())));
        let url = self.url.as_ref().map(|u| match &self.contains {
            Some(text) => phrases::answers_with(u, text),
            None => phrases::answers(u),
        });
        match (port, url) {
            (Some(port), Some(url)) => phrases::join_and(port, url),
            (one, other) => one.or(other).unwrap_or_default(),
        }
    }

    /// Whether it answers now: done, or unclear with what is missing.
    pub(crate) fn look(&self, of: Option<&Ident>, redactor: &Redactor) -> Result<Look, Error> {
        let mut evidence = Vec::new();
        if let Some(port) = self.port {
            if !accepts(self.host(), port) {
                return Ok(Look::unclear(format!(
                    "{}:{port} does not accept connections",
                    self.host()
                )));
            }
            evidence.push(format!("{}:{port} accepts connections", self.host()));
        }
        if let Some((_, port)) = self.door()
            && let Some(of) = of
            && let Some(stranger) = stranger(port, of)
        {
            return Ok(Look::unclear(format!(
                "port {port} is used by {stranger}, not by this service"
            )));
        }
        if let Some(url) = &self.url {
            let request = Request {
                url,
                timeout: ANSWER,
                ..Request::default()
            };
            let reply = match Asker::new(&request)?.ask(&request) {
                Ok(reply) => reply,
                Err(miss) => return Ok(Look::unclear(format!("{url}: {miss}"))),
            };
            let start = short(&reply.text(), redactor);
            let text_is_there = self
                .contains
                .as_ref()
                .is_none_or(|t| reply.text().contains(t.as_str()));
            if reply.status != 200 || !text_is_there {
                return Ok(Look::unclear(format!(
                    "expected that {}, saw status {} and '{start}'",
                    self.shown(),
                    reply.status
                )));
            }
            evidence.push(format!("{url} answers 200"));
        }
        Ok(Look::done(evidence.join("; ")))
    }
}

/// Whether the port accepts.
pub(crate) fn accepts(host: &str, port: Port) -> bool {
    (host, port.0)
        .to_socket_addrs()
        .into_iter()
        .flatten()
        .any(|address| TcpStream::connect_timeout(&address, ANSWER).is_ok())
}

/// Somebody else who holds the port, where that can be seen.
fn stranger(port: Port, of: &Ident) -> Option<String> {
    let open = listeners(port.0).unwrap_or_default();
    let holders: Vec<i32> = open
        .iter()
        .flat_map(|l| &l.holders)
        .map(|p| p.pid)
        .collect();
    if holders.iter().any(|pid| belongs(*pid, of)) {
        return None;
    }
    holders.first().map(|pid| shown(*pid))
}

/// Who listens on a port of this machine, for people; none when nobody does.
pub(crate) fn taken(port: Port) -> Option<String> {
    let open = listeners(port.0).unwrap_or_default();
    let holder = open.iter().flat_map(|l| &l.holders).next();
    (!open.is_empty()).then(|| match holder {
        Some(holder) => shown(holder.pid),
        None => "a process that this user cannot see".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process_and_its_end_is_seen() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = Port(listener.local_addr().unwrap().port());
        let own = Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let ready = Ready {
            port: Some(port),
            ..Ready::default()
        };
        assert!(
            taken(port)
                .unwrap()
                .contains(&format!("process {}", own.pid))
        );
        assert_eq!(
            ready.look(Some(&own), &Redactor::none()).unwrap(),
            Look::done(format!("127.0.0.1:{port} accepts connections"))
        );
        let nobody = Ident {
            pid: i32::MAX,
            ..own
        };
        let look = ready.look(Some(&nobody), &Redactor::none()).unwrap();
        assert!(look.evidence[0].contains("not by this service"), "{look:?}");
        drop(listener);
        // What another test starts holds all our files until it becomes another program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while taken(port).is_some() {
            assert!(std::time::Instant::now() < until, "{:?}", taken(port));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn the_port_of_a_page_of_this_machine_is_the_services() {
        let door = |url: &str| {
            let url = Some(url.to_owned());
            let ready = Ready {
                url,
                ..Ready::default()
            };
            ready.door().map(|(host, port)| (host, port.0))
        };
        assert_eq!(door("http://LOCALHOST/x"), Some(("localhost".into(), 80)));
        assert_eq!(door("https://127.0.0.1/"), Some(("127.0.0.1".into(), 443)));
        assert_eq!(door("http://[::1]:81/"), Some(("::1".into(), 81)));
        assert_eq!(door("http://example.org:81/"), None);
    }

    #[test]
    fn what_makes_no_sense_is_a_problem() {
        assert!(!Ready::default().problems().is_empty());
        let half = Ready {
            host: Some("x".into()),
            contains: Some("x".into()),
            ..Ready::default()
        };
        assert_eq!(half.problems().len(), 3);
    }
}
