//! `expect.port`: whether a TCP port is open: by the kernel's table for this machine, by a connection elsewhere.
//!
//! The table sees a listener on any address, also one whose queue is full, and names who holds it. A connection sees
//! what a client sees.

use super::{Expectation, Finding};
use crate::action::values::Port;
use crate::action::{Context, Error, Place, Places};
use crate::host::process::sockets;
use crate::redact::Redactor;
use crate::text::actions as phrases;
use crate::text::settings as text;
use crate::time::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Expects a TCP port to be open, or to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortState {
    /// The port.
    pub port: Port,
    /// The host to connect to. Default: check for a listener on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether it must be open. Default: true.
    #[serde(default = "yes")]
    pub open: bool,
    /// How long to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Length>,
}

fn yes() -> bool {
    true
}

impl Expectation for PortState {
    fn wanted(&self) -> String {
        match (&self.host, self.open) {
            (Some(host), true) => phrases::port_of_open(self.port, host),
            (Some(host), false) => phrases::port_of_closed(self.port, host),
            (None, true) => phrases::port_open(self.port),
            (None, false) => phrases::port_closed(self.port),
        }
    }

    fn within(&self) -> Option<Length> {
        self.within
    }

    fn problems(&self) -> Vec<String> {
        let empty = self.host.as_ref().is_some_and(|h| h.trim().is_empty());
        empty.then(|| text::empty("host")).into_iter().collect()
    }

    fn reads(&self) -> Places {
        self.host.is_none().then(|| vec![Place::Processes])
    }

    fn see(&self, cx: &Context) -> Result<Finding, Error> {
        match &self.host {
            Some(host) => connect(host, self.port.0, self.open),
            None => listened(self.port.0, self.open, &cx.redactor()?),
        }
    }
}

pub(super) fn listened(port: u16, open: bool, redactor: &Redactor) -> Result<Finding, Error> {
    let mut found = sockets::listeners(port)?;
    for listener in &mut found {
        let holders = std::mem::take(&mut listener.holders);
        listener.holders = holders.into_iter().map(|p| p.without(redactor)).collect();
    }
    let saw = if found.is_empty() {
        vec![format!("nothing listens on port {port}")]
    } else {
        found.iter().map(|l| format!("listening on {l}")).collect()
    };
    Ok(Finding {
        holds: found.is_empty() != open,
        saw,
    })
}

/// What a connection says.
enum Said {
    Open,
    Refused,
    /// Neither: a time-out, no route. It proves no closed port.
    Other,
}

fn connect(host: &str, port: u16, open: bool) -> Result<Finding, Error> {
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|e| Error::io(format!("cannot find {host}"), &e))?
        .collect();
    if addresses.is_empty() {
        return Err(Error::new(format!("{host} has no address")));
    }
    let (mut saw, mut any_open, mut all_refused) = (Vec::new(), false, true);
    for address in addresses {
        let (said, words) = knock(address);
        any_open |= matches!(said, Said::Open);
        all_refused &= matches!(said, Said::Refused);
        saw.push(format!("{address}: {words}"));
    }
    Ok(Finding {
        holds: if open { any_open } else { all_refused },
        saw,
    })
}

fn knock(address: SocketAddr) -> (Said, String) {
    match TcpStream::connect_timeout(&address, CONNECT) {
        // A local port that nobody listens on may connect to itself.
        Ok(stream) if stream.local_addr().is_ok_and(|a| a == address) => {
            (Said::Refused, "connection refused".into())
        }
        Ok(_) => (Said::Open, "connected".into()),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            (Said::Refused, "connection refused".into())
        }
        Err(e) => (Said::Other, e.to_string()),
    }
}
