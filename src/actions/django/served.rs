//! Whether the web server hands out collected files: the same bytes, and not a page in their place. It names the cause.
//!
//! One file is not enough: it may be the same in the stale directory that is served instead.

use super::comparison::StaticFiles;
use crate::action::{Context, Error};
use crate::host::http::{Asker, Miss, Reply, Request};
use std::path::Path;
use std::time::Duration;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file's name as a part of a URL.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut url, b| {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            url.push(char::from(b));
        } else {
            url.push_str(&format!("%{b:02X}"));
        }
        url
    })
}

/// Asks for the samples; what was seen, or why it is wrong.
///
/// # Errors
/// [`Error`] when it cannot ask.
pub(super) fn look(
    cx: &Context,
    url: &str,
    root: &Path,
    seen: &StaticFiles,
) -> Result<Result<String, String>, Error> {
    let redactor = cx.redactor()?;
    let mut last = String::new();
    for sample in &seen.samples {
        let path = root.join(sample);
        let wanted = std::fs::read(&path)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), &e))?;
        let url = format!("{}/{}", url.trim_end_matches('/'), escaped(sample));
        let request = Request {
            url: &url,
            timeout: PATIENCE,
            ..Request::default()
        };
        let answer = match Asker::new(&request)?.ask(&request) {
            Err(Miss::Refused(why)) => Err(format!("{url}: {why}: the web server is not running")),
            Err(Miss::Broken(why)) => Err(format!("{url}: {why}")),
            Ok(reply) => judge(&url, root, &wanted, &reply),
        };
        if let Err(why) = answer {
            return Ok(Err(redactor.text(&why)));
        }
        last = url;
    }
    Ok(match seen.samples.len() {
        0 => Err(format!(
            "{url}: there is no small file in {} to request",
            root.display()
        )),
        1 => Ok(format!("{last} answers 200 with the bytes of the file")),
        n => Ok(format!(
            "{n} files, {last} among them, answer 200 with the bytes of the files"
        )),
    })
}

fn judge(url: &str, root: &Path, wanted: &[u8], reply: &Reply) -> Result<(), String> {
    let root = root.display();
    let text = reply.text();
    let start = text.trim_start().to_ascii_lowercase();
    let page = start.starts_with("<!doctype html") || start.starts_with("<html");
    match reply.status {
        200 if reply.body == wanted => Ok(()),
        200 if reply.packed.is_some() => Err(format!(
            "{url} answers 200 with a body packed as {}, which is not unpacked here, so it cannot be compared with the \
             file",
            reply.packed.as_deref().unwrap_or_default()
        )),
        200 if page => Err(format!(
            "{url} answers 200 with a page instead of the file: the location of the web server falls back to the \
             application or to an index page"
        )),
        200 => Err(format!(
            "{url} answers 200 with other bytes than the file in {root}: the web server serves another directory (a \
             stale alias or root), or a cache"
        )),
        403 => Err(format!(
            "{url} answers 403: the user of the web server may not read {root}, or its configuration forbids it; \
             `web_user` names the part of the path"
        )),
        404 => Err(format!(
            "{url} answers 404 although the file is in {root}: the alias or root of the web server's location points to \
             another directory"
        )),
        status => match &reply.location {
            Some(to) => Err(format!("{url} answers {status} and points to {to}")),
            None => Err(format!("{url} answers {status}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_place_of_a_file_and_every_other_cause_is_named() {
        let reply = |status, body: &str| Reply {
            status,
            body: body.into(),
            packed: None,
            charset: None,
            location: None,
        };
        let says = |reply: Reply| judge("u", Path::new("/s"), b"body{}", &reply);
        assert_eq!(says(reply(200, "body{}")), Ok(()));
        for (status, body, word) in [
            (200, " <!DOCTYPE html><title>x", "instead of the file"),
            (200, "body{x}", "other bytes"),
            (403, "", "may not read"),
            (404, "body{}", "another directory"),
            (502, "", "502"),
        ] {
            assert!(says(reply(status, body)).unwrap_err().contains(word));
        }
        let odd = |body: &[u8]| Reply {
            body: body.to_vec(),
            ..reply(200, "")
        };
        let lossy = |body| judge("u", Path::new("/s"), b"\xc6\xf4\xd3\xc3", &odd(body));
        assert_eq!(lossy(b"\xc6\xf4\xd3\xc3"), Ok(()));
        let why = lossy(b"\xbd\xfb\xd3\xc3").unwrap_err();
        assert!(why.contains("other bytes"), "{why}");
        assert_eq!(escaped("a b/ü%.css"), "a%20b/%C3%BC%25.css");
    }
}
