//! The one conversation with systemd: `StartTransientUnit`, in the protocol of D-Bus, over the service manager's own socket.
//!
//! The socket is the one that systemctl and systemd-run use themselves, so that neither a bus nor those programs have to
//! be there. Of the protocol there is what this call needs: authentication by user id, one method call, its reply, and
//! the signal that says how the job ended. Everything that comes from the socket is bounded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The largest message that is read.
const LARGEST: usize = 1 << 20;
/// The longest line of the authentication.
const LINE: u64 = 1024;
/// The number of our only kind of call; the second of them has the next one.
const FIRST: u32 = 1;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// The call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    #[error("systemd cannot be asked: {0}")]
    Io(#[from] io::Error),
    #[error("systemd does not let this user in: {0}")]
    Denied(String),
    #[error("systemd refuses: {0}")]
    Refused(String),
    #[error("the scope could not be started: {0}")]
    Failed(String),
    #[error("systemd's answer cannot be read")]
    Garbled,
}

/// A connection to a service manager.
#[derive(Debug)]
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Bus {
    /// Connects. No single read or write of it takes longer than `at_most`.
    pub(super) fn connect(socket: &Path, at_most: Duration) -> Result<Self, BusError> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(at_most))?;
        stream.set_write_timeout(Some(at_most))?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let hex: String = user.bytes().map(|b| format!("{b:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        let mut stream = BufReader::new(stream);
        let answer = line(&mut stream)?;
        if !answer.starts_with("OK ") {
            return Err(BusError::Denied(answer));
        }
        Ok(Self {
            stream,
            serial: FIRST,
        })
    }

    /// Starts a scope with this process in it, and waits until it is there.
    pub(super) fn start_scope(&mut self, unit: &str, description: &str) -> Result<(), BusError> {
        // Else systemd ends the whole scope when the kernel kills one process of it for want of memory. A systemd that
        // does not do so refuses the property, and keeps nothing of the call.
        match self.call(&start_scope(self.serial, unit, description, true), unit) {
            Err(BusError::Refused(_)) => {
                self.serial += 1;
                self.call(&start_scope(self.serial, unit, description, false), unit)
            }
            done => done,
        }
    }

    /// Sends a call that enqueues a job for a unit, and waits for the end of that job.
    fn call(&mut self, message: &[u8], unit: &str) -> Result<(), BusError> {
        self.stream.get_mut().write_all(message)?;
        loop {
            let message = Message::read(&mut self.stream)?;
            let ours = message.reply_to == Some(self.serial);
            match message.kind {
                ERROR if ours => {
                    let name = message.error.unwrap_or_default();
                    let why = Reader::of(&message.body, message.little).string();
                    return Err(BusError::Refused(why.unwrap_or(name)));
                }
                // The job runs now.
                METHOD_RETURN if ours => {}
                SIGNAL if message.member.as_deref() == Some("JobRemoved") => {
                    let mut body = Reader::of(&message.body, message.little);
                    let (_, _) = (body.u32(), body.string());
                    let (of, result) = (body.string(), body.string());
                    match (of, result) {
                        (Some(of), Some(result)) if of == unit => {
                            return if result == "done" {
                                Ok(())
                            } else {
                                Err(BusError::Failed(result))
                            };
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// One line of the authentication, without its end.
fn line(stream: &mut impl BufRead) -> Result<String, BusError> {
    let mut line = Vec::new();
    stream.take(LINE).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").ok_or(BusError::Garbled)?;
    String::from_utf8(line.to_vec()).map_err(|_| BusError::Garbled)
}

/// The call `StartTransientUnit(name, mode, properties, other units)`.
fn start_scope(serial: u32, unit: &str, description: &str, oom: bool) -> Vec<u8> {
    let mut body = Writer::default();
    body.string(unit);
    body.string("fail");
    body.array(8, |properties| {
        properties.property("Description", "s", |v| v.string(description));
        // It is forgotten when its last process has ended, however that was.
        properties.property("CollectMode", "s", |v| v.string("inactive-or-failed"));
        if oom {
            properties.property("OOMPolicy", "s", |v| v.string("continue"));
        }
        // 0 is who asks.
        properties.property("PIDs", "au", |v| v.array(4, |pids| pids.u32(0)));
    });
    body.array(8, |_| {});

    let mut message = Writer::default();
    message.0.extend([b'l', METHOD_CALL, 0, 1]);
    message.u32(size(body.0.len()));
    message.u32(serial);
    message.array(8, |fields| {
        fields.field(1, "o", |v| v.string("/org/freedesktop/systemd1"));
        fields.field(2, "s", |v| v.string("org.freedesktop.systemd1.Manager"));
        fields.field(3, "s", |v| v.string("StartTransientUnit"));
        fields.field(6, "s", |v| v.string("org.freedesktop.systemd1"));
        fields.field(8, "g", |v| v.signature("ssa(sv)a(sa(sv))"));
    });
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// Nothing of ours comes near to it; a message that said it would be refused.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Writes values as D-Bus marshals them, little-endian.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.u32(size(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The length does not count what lies between itself and the first element.
    fn array(&mut self, align: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.0.len();
        self.align(align);
        let first = self.0.len();
        fill(self);
        let len = size(self.0.len() - first);
        self.0[at - 4..at].copy_from_slice(&len.to_le_bytes());
    }

    /// A name and a value of that type.
    fn property(&mut self, name: &str, signature: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(name);
        self.signature(signature);
        value(self);
    }

    /// A field of a message's header.
    fn field(&mut self, code: u8, signature: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.0.push(code);
        self.signature(signature);
        value(self);
    }
}

/// What is read of a message.
#[derive(Debug)]
struct Message {
    kind: u8,
    little: bool,
    reply_to: Option<u32>,
    error: Option<String>,
    member: Option<String>,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut impl Read) -> Result<Self, BusError> {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let little = match head[0] {
            b'l' => true,
            b'B' => false,
            _ => return Err(BusError::Garbled),
        };
        let mut numbers = Reader::of(&head, little);
        numbers.at = 4;
        let mut number = || numbers.u32().and_then(|n| usize::try_from(n).ok());
        let (body, _, fields) = (number(), number(), number());
        let (Some(body), Some(fields)) = (body, fields) else {
            return Err(BusError::Garbled);
        };
        let fields = fields.next_multiple_of(8);
        if fields.saturating_add(body) > LARGEST {
            return Err(BusError::Garbled);
        }
        let mut header = vec![0; fields];
        stream.read_exact(&mut header)?;
        let mut message = Self {
            kind: head[1],
            little,
            reply_to: None,
            error: None,
            member: None,
            body: vec![0; body],
        };
        stream.read_exact(&mut message.body)?;
        message.fields(&header);
        Ok(message)
    }

    fn fields(&mut self, header: &[u8]) {
        let mut fields = Reader::of(header, self.little);
        loop {
            fields.align(8);
            let (code, signature) = (fields.u8(), fields.signature());
            let (Some(code), Some(signature)) = (code, signature) else {
                return;
            };
            match signature.as_str() {
                "s" | "o" => match (code, fields.string()) {
                    (3, member) => self.member = member,
                    (4, error) => self.error = error,
                    _ => {}
                },
                "g" => drop(fields.signature()),
                "u" => {
                    let number = fields.u32();
                    if code == 5 {
                        self.reply_to = number;
                    }
                }
                _ => return,
            }
        }
    }
}

/// Reads values; none where there are no more.
#[derive(Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    fn of(bytes: &'a [u8], little: bool) -> Self {
        Self {
            bytes,
            at: 0,
            little,
        }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = <[u8; 4]>::try_from(self.take(4)?).ok()?;
        Some(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    fn string(&mut self) -> Option<String> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.text(len)
    }

    fn signature(&mut self) -> Option<String> {
        let len = usize::from(self.u8()?);
        self.text(len)
    }

    /// A text and the zero behind it.
    fn text(&mut self, len: usize) -> Option<String> {
        let text = self.take(len)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A message to whoever called with that serial.
    fn message(kind: u8, reply_to: u32, member: &str, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut content = Writer::default();
        body(&mut content);
        let mut message = Writer::default();
        message.0.extend([b'l', kind, 1, 1]);
        message.u32(size(content.0.len()));
        message.u32(7);
        message.array(8, |fields| {
            fields.field(8, "g", |v| v.signature("s"));
            fields.field(5, "u", |v| v.u32(reply_to));
            fields.field(3, "s", |v| v.string(member));
        });
        message.align(8);
        message.0.extend(content.0);
        message.0
    }

    fn removed(unit: &str, result: &str) -> Vec<u8> {
        message(SIGNAL, 0, "JobRemoved", |body| {
            body.u32(12);
            body.string("/job/12");
            body.string(unit);
            body.string(result);
        })
    }

    /// What becomes of a call that a manager answers in that way, and the properties of each call that it was sent.
    fn asked(welcome: &'static str, answers: Vec<Vec<u8>>) -> (Result<(), BusError>, Vec<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("private");
        let listener = UnixListener::bind(&socket).unwrap();
        let manager = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            assert_eq!(stream.fill_buf().unwrap()[0], 0);
            stream.consume(1);
            let hello = line(&mut stream).unwrap();
            assert!(hello.starts_with("AUTH EXTERNAL 3"), "{hello}");
            assert_eq!(line(&mut stream).unwrap(), "BEGIN");
            stream.get_mut().write_all(welcome.as_bytes()).unwrap();
            let mut calls = Vec::new();
            for answer in answers {
                let call = Message::read(&mut stream).unwrap();
                assert_eq!(call.member.as_deref(), Some("StartTransientUnit"));
                calls.push(call.body);
                stream.get_mut().write_all(&answer).unwrap();
            }
            calls
        });
        let done = Bus::connect(&socket, Duration::from_secs(10))
            .and_then(|mut bus| bus.start_scope("a.scope", "what it is"));
        (done, manager.join().unwrap())
    }

    fn holds(call: &[u8], text: &str) -> bool {
        call.windows(text.len()).any(|w| w == text.as_bytes())
    }

    #[test]
    fn it_waits_for_the_end_of_its_own_job() {
        let answer = [
            removed("other.scope", "failed"),
            message(METHOD_RETURN, FIRST, "", |b| b.string("/job/12")),
            removed("a.scope", "done"),
        ];
        let (done, calls) = asked("OK 0123\r\n", vec![answer.concat()]);
        done.unwrap();
        assert!(holds(&calls[0], "what it is") && holds(&calls[0], "OOMPolicy"));
    }

    #[test]
    fn a_manager_that_does_not_know_a_property_is_asked_without_it() {
        let refused = |serial| message(ERROR, serial, "", |b| b.string("unknown property."));
        let (done, calls) = asked(
            "OK 0123\r\n",
            vec![refused(FIRST), removed("a.scope", "done")],
        );
        done.unwrap();
        assert!(holds(&calls[0], "OOMPolicy") && !holds(&calls[1], "OOMPolicy"));

        let (done, _) = asked("OK 0123\r\n", vec![refused(FIRST), refused(FIRST + 1)]);
        assert_eq!(
            done.unwrap_err().to_string(),
            "systemd refuses: unknown property."
        );
    }

    #[test]
    fn what_is_no_success_is_an_error() {
        let why = |welcome, answer| {
            let (done, _) = asked(welcome, answer);
            done.unwrap_err().to_string()
        };
        assert_eq!(
            why("REJECTED EXTERNAL\r\n", vec![]),
            "systemd does not let this user in: REJECTED EXTERNAL"
        );
        assert_eq!(
            why("OK 0123\r\n", vec![removed("a.scope", "timeout")]),
            "the scope could not be started: timeout"
        );
        for garbled in [
            vec![b'x'; 16],
            vec![b'l'; 16],
            removed("a.scope", "done")[..30].into(),
        ] {
            let why = why("OK 0123\r\n", vec![garbled]);
            assert!(why.contains("cannot be"), "{why}");
        }
    }
}
