//! One GET, bounded in time and size.
//!
//! Invariants: no proxy of the environment is used, because a check of this machine must not be answered by another;
//! redirects are not followed, because a redirect to a login page is not the page; at most 1 MiB of a body is read,
//! and the whole request is over within its limit however slowly the body drips. A compressed body is unpacked; text is read
//! in the encoding that the server or the page names, or that it shows.
//!
//! Left out: other methods, cookies, and client certificates.

use crate::action::Error;
use crate::encoding::{self, Charset};
use crate::redact::Redactor;
use crate::text::settings as text;
use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How much of a body is read.
const BODY: u64 = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request<'a> {
    /// Where.
    pub(crate) url: &'a str,
    /// Headers, secrets put in.
    pub(crate) headers: Vec<(String, String)>,
    /// The certificates that the server's must come from, instead of the system's.
    pub(crate) ca: Option<&'a Path>,
    /// The longest that it may take.
    pub(crate) timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Unpacked, except where it is packed in a way that is not known here.
    pub(crate) body: Vec<u8>,
    /// The way in which it is still packed.
    pub(crate) packed: Option<String>,
    /// The encoding of its text that the server names.
    pub(crate) charset: Option<String>,
    /// Where it points to.
    pub(crate) location: Option<String>,
}

impl Reply {
    /// The encoding of the body: what the server names, what the page names, or what it shows. None when it is no text in
    /// it.
    pub(crate) fn encoding(&self) -> Option<Charset> {
        let page = self.body.get(..HEAD).unwrap_or(&self.body);
        let named = self.charset.clone().or_else(|| meta_charset(page));
        let reads = |c: &Charset| c.read(&self.body).is_some();
        let named = named.as_deref().and_then(Charset::named).filter(reads);
        // A mark counts for more than a name.
        let shown = Charset::of(&self.body);
        match (named, shown) {
            (Some(named), Some(shown)) if shown.read(&self.body) == named.read(&self.body) => {
                Some(named)
            }
            (Some(named), _) if !self.body.starts_with(b"\xef\xbb\xbf") => Some(named),
            (_, shown) => shown,
        }
    }

    /// The body as text; with signs in the place of what is none.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        self.encoding()
            .and_then(|c| c.read(&self.body))
            .unwrap_or_else(|| encoding::shown(&self.body))
    }
}

/// Where a page names its encoding, in bytes from its beginning.
const HEAD: usize = 1024;

/// The encoding that a page of HTML names in its head.
fn meta_charset(page: &[u8]) -> Option<String> {
    // The names of encodings are ASCII, as is what stands around them.
    let ascii = |b: &u8| if b.is_ascii() { char::from(*b) } else { '?' };
    let page: String = page.iter().map(ascii).collect();
    let page = page.to_ascii_lowercase();
    page.contains("<meta").then_some(())?;
    charset(&page)
}

/// The value of `charset=`.
fn charset(text: &str) -> Option<String> {
    let at = text.to_ascii_lowercase().find("charset=")? + "charset=".len();
    let name = text.get(at..)?.trim_start_matches(['"', '\'', ' ']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.:".contains(c));
    Some(name[..end.unwrap_or(name.len())].to_owned()).filter(|n| !n.is_empty())
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Nobody listens there.
    Refused(String),
    /// Anything else: no such name, no response in time, a certificate that is not trusted, a broken answer.
    Broken(String),
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

/// Whether this is a URL that can be asked; else its problem.
pub(crate) fn problem(url: &str) -> Option<String> {
    match Url::parse(url) {
        Ok(u) if matches!(u.scheme(), "http" | "https") => None,
        Ok(_) => Some(text::no_http(url)),
        Err(e) => Some(text::no_url(e)),
    }
}

/// Something that can be asked again and again.
pub(crate) struct Asker {
    client: Client,
    timeout: Duration,
}

impl Asker {
    /// For a request.
    ///
    /// # Errors
    /// [`Error`] when the certificates cannot be read.
    pub(crate) fn new(request: &Request<'_>) -> Result<Self, Error> {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| {
            // An error says that there is one already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .timeout(request.timeout)
            .connect_timeout(request.timeout);
        if let Some(ca) = request.ca {
            let pem = std::fs::read(ca)
                .map_err(|e| Error::io(format!("cannot read {}", ca.display()), &e))?;
            let trusted = Certificate::from_pem_bundle(&pem)
                .map_err(|e| Error::new(format!("{}: {}", ca.display(), causes(&e))))?;
            if trusted.is_empty() {
                return Err(Error::new(format!("{} holds no certificate", ca.display())));
            }
            builder = builder.tls_certs_only(trusted);
        } else if request.url.starts_with("http://") {
            // A machine without the system's certificates can still be asked in plain text.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|e| Error::new(format!("cannot prepare a request: {}", causes(&e))))?;
        Ok(Self {
            client,
            timeout: request.timeout,
        })
    }

    /// Asks once.
    pub(crate) fn ask(&self, request: &Request<'_>) -> Result<Reply, Miss> {
        let deadline = Instant::now() + self.timeout;
        let mut asked = self.client.get(request.url);
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        let response = asked.send().map_err(|e| miss(&e))?;
        let status = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|v| encoding::shown(v.as_bytes()).into_owned())
        };
        let location = header(reqwest::header::LOCATION);
        let charset = header(reqwest::header::CONTENT_TYPE).and_then(|t| charset(&t));
        // Where it was unpacked, the header is gone.
        let packed = header(reqwest::header::CONTENT_ENCODING);
        let packed = packed.filter(|p| !p.trim().is_empty() && p.trim() != "identity");
        let body = body(response, deadline)?;
        Ok(Reply {
            status,
            body,
            packed,
            charset,
            location,
        })
    }
}

fn body(response: Response, deadline: Instant) -> Result<Vec<u8>, Miss> {
    let mut from = response.take(BODY);
    let mut read = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        // Each read has the client's limit, so that without this one a dripping body would never end.
        if Instant::now() >= deadline {
            return Err(Miss::Broken("the response was not complete in time".into()));
        }
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => read.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // The client's own limit has come first; it is the same limit.
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut || Instant::now() >= deadline => {
                return Err(Miss::Broken("the response was not complete in time".into()));
            }
            Err(e) => {
                return Err(Miss::Broken(format!(
                    "the response was interrupted: {}",
                    causes(&e)
                )));
            }
        }
    }
    Ok(read)
}

fn miss(e: &reqwest::Error) -> Miss {
    if e.is_timeout() {
        return Miss::Broken("no response in time".into());
    }
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        if let Some(io) = c.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return Miss::Refused("connection refused".into());
        }
        cause = c.source();
    }
    Miss::Broken(causes(e))
}

/// An error and its causes in one line, each said once.
fn causes(e: &dyn std::error::Error) -> String {
    let mut said = vec![e.to_string()];
    let mut cause = std::error::Error::source(e);
    while let Some(c) = cause {
        let text = c.to_string();
        if said.last().is_some_and(|last| !last.contains(&text)) {
            said.push(text);
        }
        cause = c.source();
    }
    said.join(": ")
}

/// How much of a body is shown, in characters.
const SHOWN: usize = 200;

/// The beginning of a text, in one line; what is cut has no secrets any more that the cut could hide.
pub(crate) fn short(text: &str, redactor: &Redactor) -> String {
    let text = redactor.text(text);
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = words.char_indices().nth(SHOWN) {
        words.truncate(at);
        words.push('…');
    }
    words
}
