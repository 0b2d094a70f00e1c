//! What supervisord itself says about its programs: also what supervisorctl does not print.
//!
//! Its XML-RPC is asked on the socket that the process listens on, by the name and password that supervisorctl has. Where it
//! may not be asked (another password, another machine), nothing of this is known, and everything that counts comes from
//! supervisorctl.

use crate::encoding;
use crate::host::exec::unquoted;
use crate::host::process::identity::Ident;
use crate::host::process::sockets;
use crate::host::service::supervisord::client::Line;
use crate::host::service::supervisord::daemon::{addresses, login};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex::Regex;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What the configuration says of a program, and how it ended last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// `stopwaitsecs`, in milliseconds.
    pub(super) wait: Option<u64>,
    /// The number of `stopsignal`.
    pub(super) signal: Option<i32>,
    /// The words of `command`.
    pub(super) command: Vec<String>,
    /// `directory`.
    pub(super) dir: Option<String>,
    /// Its last exit status is one of `exitcodes`.
    pub(super) ended_well: bool,
    /// `startsecs` is 0: it is RUNNING as soon as it has a process.
    pub(super) unwatched: bool,
}

/// Asks that supervisord about its programs, by the names that supervisorctl prints.
pub(super) fn settings(daemon: &Ident) -> BTreeMap<String, Settings> {
    let mut all = BTreeMap::new();
    let (Some(configured), Some(seen)) = (
        ask(daemon, "supervisor.getAllConfigInfo", &[]),
        ask(daemon, "supervisor.getAllProcessInfo", &[]),
    ) else {
        return all;
    };
    let seen: BTreeMap<String, Struct> = structs(&seen)
        .into_iter()
        .map(|s| (s.full_name(), s))
        .collect();
    for one in structs(&configured) {
        let name = one.full_name();
        let codes = one.numbers("exitcodes");
        // One that was started again since shows 0.
        let ended = seen.get(&name).filter(|s| s.text("statename") == "EXITED");
        let status = ended.and_then(|s| s.number("exitstatus"));
        let dir = Some(one.text("directory")).filter(|d| d.starts_with('/'));
        all.insert(
            name,
            Settings {
                wait: one
                    .number("stopwaitsecs")
                    .and_then(|s| u64::try_from(s).ok()?.checked_mul(1000)),
                signal: one.number("stopsignal").and_then(|n| n.try_into().ok()),
                command: unquoted(&one.text("command")),
                dir,
                ended_well: status.is_some_and(|s| codes.contains(&s)),
                unwatched: one.number("startsecs") == Some(0),
            },
        );
    }
    all
}

/// What `supervisorctl status` prints of all programs of that supervisord.
pub(super) fn status(daemon: &Ident) -> Option<Vec<Line>> {
    let seen = ask(daemon, "supervisor.getAllProcessInfo", &[])?;
    let line = |one: &Struct| {
        let text = |name: &str| encoding::escaped(one.text(name).as_bytes());
        Line {
            name: encoding::escaped(one.full_name().as_bytes()),
            state: text("statename"),
            pid: one
                .number("pid")
                .and_then(|n| n.try_into().ok())
                .filter(|pid| *pid > 0),
            told: text("description"),
        }
    };
    Some(structs(&seen).iter().map(line).collect())
}

/// The last bytes of supervisord's own log, as `supervisorctl maintail` prints them; empty where it has none.
pub(super) fn log(daemon: &Ident) -> Option<String> {
    // From so many bytes before its end, to its end.
    let said = ask(daemon, "supervisor.readLog", &[-4000, 0])?;
    let logged = !said.contains("<fault>");
    let text = plain(&said);
    let lines = text.lines().map(|line| encoding::escaped(line.as_bytes()));
    Some(lines.filter(|_| logged).collect::<Vec<_>>().join("\n"))
}

/// The answer to a call with these numbers.
fn ask(daemon: &Ident, method: &str, numbers: &[i32]) -> Option<String> {
    let params: String = numbers
        .iter()
        .map(|n| format!("<param><value><int>{n}</int></value></param>"))
        .collect();
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    );
    let login = login(daemon).map_or_else(String::new, |(name, password)| {
        let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
        format!("Authorization: Basic {pair}\r\n")
    });
    let text = format!(
        "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\n{login}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let unix = addresses(daemon).into_iter().find_map(|path| {
        let stream = UnixStream::connect(path).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        exchange(stream, &text)
    });
    unix.or_else(|| {
        sockets::of(std::slice::from_ref(daemon))
            .into_iter()
            .find_map(|port| {
                let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
                stream.set_read_timeout(Some(ANSWER)).ok()?;
                exchange(stream, &text)
            })
    })
}

fn exchange(mut stream: impl Read + Write, text: &str) -> Option<String> {
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .next()?
        .contains(" 200 ")
        .then(|| body.to_owned())
}

/// The text of XML, without its marks.
fn plain(xml: &str) -> String {
    let mut text = String::new();
    for part in xml.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, rest)| rest));
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&").trim().to_owned()
}

/// One structure of an answer: its members, still in XML.
struct Struct(BTreeMap<String, String>);

fn structs(xml: &str) -> Vec<Struct> {
    let (Ok(each), Ok(member)) = (
        Regex::new("(?s)<struct>(.*?)</struct>"),
        Regex::new("(?s)<member>\\s*<name>(.*?)</name>(.*?)</member>"),
    ) else {
        return Vec::new();
    };
    each.captures_iter(xml)
        .map(|found| {
            let members = member.captures_iter(found.get(1).map_or("", |m| m.as_str()));
            let pair = |m: regex::Captures<'_>| (m[1].to_owned(), m[2].to_owned());
            Struct(members.map(pair).collect())
        })
        .collect()
}

impl Struct {
    fn text(&self, name: &str) -> String {
        plain(self.0.get(name).map_or("", String::as_str))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }

    /// A list of numbers.
    fn numbers(&self, name: &str) -> Vec<i64> {
        let xml = self.0.get(name).map_or("", String::as_str);
        xml.split(['<', '>'])
            .filter_map(|part| part.trim().parse().ok())
            .collect()
    }

    fn full_name(&self) -> String {
        let (group, name) = (self.text("group"), self.text("name"));
        match group == name {
            true => name,
            false => format!("{group}:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_is_read_as_supervisord_writes_it() {
        let xml = "<value><struct>\n<member>\n<name>group</name>\n<value><string>shop</string></value>\n</member>\n\
            <member>\n<name>name</name>\n<value><string>web</string></value>\n</member>\n\
            <member>\n<name>command</name>\n<value><string>sh -c 'a &lt; b'</string></value>\n</member>\n\
            <member>\n<name>exitcodes</name>\n<value><array><data>\n<value><int>0</int></value>\n<value><int>2</int></value>\n</data></array></value>\n</member>\n\
            </struct></value>";
        let all = structs(xml);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].full_name(), "shop:web");
        assert_eq!(all[0].numbers("exitcodes"), [0, 2]);
        assert_eq!(unquoted(&all[0].text("command")), ["sh", "-c", "a < b"]);
        assert_eq!(all[0].number("stopwaitsecs"), None);
    }
}
