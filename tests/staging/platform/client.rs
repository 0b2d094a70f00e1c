//! A plain HTTP client: one request, one answer.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Asks one server of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    port: u16,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(super) fn at(port: u16) -> Self {
        Self { port }
    }

    /// Gets a page; an error when nobody answers, or the answer is cut off.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Error> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let parts = || {
            let (head, body) = text.split_once("\r\n\r\n")?;
            let status = head.split(' ').nth(1)?.parse().ok()?;
            let body = body.to_owned();
            Some(Answer { status, body })
        };
        parts().ok_or_else(|| Error::other(format!("no whole answer: {text:?}")))
    }
}
