//! A real server on a free port, which answers what each test wants, also what no good server would.

mod bodies;

use super::*;
use crate::host::http::problem;
use std::io::Write;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers every question with `answer(n, request)`, n from 0, until the test's process ends.
fn serve(answer: impl Fn(usize, &str) -> String + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while lines.read_line(&mut request).is_ok_and(|n| n > 2) {}
            let n = count.fetch_add(1, Ordering::SeqCst);
            // The client may have had enough.
            let _ = stream.write_all(answer(n, &request).as_bytes());
        }
    });
    (url, asked)
}

fn reply(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn check(settings: &str) -> Check {
    serde_json::from_str(settings).unwrap()
}

fn context() -> Context {
    Context {
        state: "/nonexistent".into(),
        run: "r".into(),
        step: "s".into(),
        env: Vec::new(),
        cwd: None,
        secrets: vec![("token".into(), "open-sesame".into())],
        ..Context::default()
    }
}

fn look(check: &Check) -> Look {
    check.probe(&context(), &Past::new(())).unwrap().0
}

fn perform(check: &Check, out: &mut Vec<u8>) -> Result<(), Error> {
    let cx = context();
    let mut work = Work::new(&cx, Direction::Do, out)?;
    check.perform(&mut work, &Past::new(()))
}

#[test]
fn a_health_page_that_lies_is_caught_by_its_text() {
    let (url, _) = serve(|_, _| reply("200 OK", "health check failed"));
    let status_only = check(&format!(r#"{{"url": "{url}", "within": "0s"}}"#));
    assert_eq!(look(&status_only).answer, Answer::Done);
    let with_text = Check {
        contains: Some("ok".into()),
        ..status_only
    };
    let seen = look(&with_text);
    assert_eq!(seen.answer, Answer::Unclear);
    assert_eq!(
        seen.evidence,
        [format!(
            "{url}: the text 'ok' is missing; saw status 200 and 'health check failed'"
        )]
    );
    let mut out = Vec::new();
    let failed = perform(&with_text, &mut out);
    assert!(
        failed
            .unwrap_err()
            .to_string()
            .contains("health check failed")
    );
}

#[test]
fn json_values_are_compared_where_they_stand() {
    let body = r#"{"status": "ok", "queues": [{"length": 0}], "ready": true}"#;
    let (url, _) = serve(move |_, _| reply("200 OK", body));
    for (json, answer, said) in [
        (r#"{"/status": "ok"}"#, Answer::Done, "as expected"),
        (r#"{"/queues/0/length": 0}"#, Answer::Done, ""),
        (r#"{"/queues/0/length": "0"}"#, Answer::Done, ""),
        (r#"{"/ready": "true"}"#, Answer::Done, ""),
        (
            r#"{"/status": "bad"}"#,
            Answer::Unclear,
            "/status is \"ok\"",
        ),
        (
            r#"{"/nothing": 1}"#,
            Answer::Unclear,
            "nothing is at /nothing",
        ),
    ] {
        let check = check(&format!(
            r#"{{"url": "{url}", "within": "0s", "json": {json}}}"#
        ));
        let seen = look(&check);
        assert_eq!(seen.answer, answer, "{json}: {seen:?}");
        assert!(seen.evidence[0].contains(said), "{seen:?}");
    }
    let (url, _) = serve(|_, _| reply("200 OK", "<html>"));
    let check = check(&format!(
        r#"{{"url": "{url}", "within": "0s", "json": {{"": 1}}}}"#
    ));
    assert!(look(&check).evidence[0].contains("not JSON"));
}

#[test]
fn it_is_asked_again_until_it_is_right() {
    let (url, asked) = serve(|n, _| match n {
        0 => reply("503 Service Unavailable", "starting"),
        1 => reply("200 OK", "starting"),
        _ => reply("200 OK", "ready"),
    });
    let check = check(&format!(r#"{{"url": "{url}", "contains": "ready"}}"#));
    let mut out = Vec::new();
    perform(&check, &mut out).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("status 503, expected 200") && out.lines().count() == 3,
        "{out}"
    );
    let evidence = check.verify(&context(), &Past::new(())).unwrap();
    assert_eq!(evidence.answer, Answer::Done);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        4,
        "the evidence is one more look"
    );
}

#[test]
fn a_redirect_to_a_login_page_is_not_the_page() {
    let (login, asked) = serve(|_, _| reply("200 OK", "log in"));
    let to = login.clone();
    let (url, _) = serve(move |_, _| {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    });
    let seen = look(&check(&format!(r#"{{"url": "{url}", "within": "0s"}}"#)));
    assert_eq!(seen.answer, Answer::Unclear);
    assert!(
        seen.evidence[0].contains(&format!("302 (to {login}, not followed)")),
        "{seen:?}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn where_nobody_listens_nothing_happened() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let seen = look(&check(&format!(r#"{{"url": "{url}", "within": "0s"}}"#)));
    assert_eq!(seen.answer, Answer::Nothing);
    assert!(seen.evidence[0].contains("connection refused"), "{seen:?}");
}

/// A client that has asked.
fn asked(listener: &TcpListener) -> std::net::TcpStream {
    let (stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    while lines.read_line(&mut request).is_ok_and(|n| n > 2) {}
    stream
}

#[test]
fn answers_that_hang_drip_or_never_end_are_cut_off() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let hangs = check(&format!(
        r#"{{"url": "{url}", "within": "0s", "timeout": "200ms"}}"#
    ));
    let seen = look(&hangs);
    assert_eq!(seen.answer, Answer::Unclear);
    assert!(seen.evidence[0].contains("no response in time"), "{seen:?}");

    let dripping = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", dripping.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = asked(&dripping);
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while sent.is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            sent = stream.write_all(b".");
        }
    });
    let drips = check(&format!(
        r#"{{"url": "{url}", "within": "0s", "timeout": "300ms"}}"#
    ));
    let seen = look(&drips);
    assert!(
        seen.evidence[0].contains("not complete in time"),
        "{seen:?}"
    );

    let endless = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", endless.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = asked(&endless);
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 1 << 16]);
        }
    });
    let floods = check(&format!(
        r#"{{"url": "{url}", "within": "0s", "contains": "y"}}"#
    ));
    let seen = look(&floods);
    assert_eq!(seen.answer, Answer::Unclear);
    assert!(seen.evidence[0].len() < 600, "what is shown is short");
}

#[test]
fn headers_and_secrets_are_sent_and_the_proxy_of_the_environment_is_not_asked() {
    let (url, _) = serve(|_, request| {
        let good =
            request.contains("host: www.example.com") && request.contains("x-token: open-sesame");
        reply(
            "200 OK",
            if good && request.starts_with("GET /health ") {
                "ok"
            } else {
                "bad"
            },
        )
    });
    let with = check(&format!(
        r#"{{"url": "{url}", "within": "0s", "contains": "ok", "headers": {{"Host": "www.example.com", "X-Token": {{"secret": "token"}}}}}}"#
    ));
    assert_eq!(look(&with).answer, Answer::Done, "{:?}", look(&with));
    let unknown = check(&format!(
        r#"{{"url": "{url}", "headers": {{"X-Token": {{"secret": "other"}}}}}}"#
    ));
    assert!(unknown.probe(&context(), &Past::new(())).is_err());
}

#[test]
fn a_page_that_is_cut_does_not_end_in_half_a_secret() {
    let (url, _) = serve(|_, _| reply("200 OK", &format!("{} open-sesame", "x".repeat(193))));
    let seen = look(&check(&format!(
        r#"{{"url": "{url}", "within": "0s", "contains": "y"}}"#
    )));
    assert!(seen.evidence[0].contains("xxx ["), "{seen:?}");
    assert!(!seen.evidence[0].contains("open"), "{seen:?}");
}

/// A server with a certificate of its own; ended when it is dropped.
struct Tls(std::process::Child);

impl Drop for Tls {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_certificate_counts_only_when_it_comes_from_the_named_ca() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (key, cert) = (at("key.pem"), at("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-days",
            "2",
        ])
        .args(["-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl; install it with: apt-get install -y openssl");
    assert!(made.status.success(), "{made:?}");
    let script = "import http.server, ssl, sys
s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[2], sys.argv[1])
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True); s.serve_forever()";
    let mut server = std::process::Command::new("python3")
        .args(["-c", script, &key, &cert])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("python3; install it with: apt-get install -y python3");
    let mut port = String::new();
    let out = server.stdout.take().unwrap();
    let _server = Tls(server);
    BufReader::new(out).read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}/cert.pem", port.trim());
    let with = |ca: &str| check(&format!(r#"{{"url": "{url}", "within": "0s"{ca}}}"#));

    let seen = look(&with(&format!(r#", "ca": "{cert}""#)));
    assert_eq!(seen.answer, Answer::Done, "{seen:?}");
    std::fs::write(at("empty.pem"), "no certificate").unwrap();
    let empty = with(&format!(r#", "ca": "{}""#, at("empty.pem")));
    let said = empty
        .probe(&context(), &Past::new(()))
        .unwrap_err()
        .to_string();
    assert!(said.contains("empty.pem"), "{said}");
    // Without the system's certificates it cannot even be asked; with them this one is not among them.
    match with("").probe(&context(), &Past::new(())) {
        Ok((seen, _)) => assert_eq!(seen.answer, Answer::Unclear, "{seen:?}"),
        Err(said) => assert!(said.to_string().contains("cannot prepare"), "{said}"),
    }
}

#[test]
fn bad_settings_are_problems() {
    for (settings, word) in [
        (r#"{"url": "health"}"#, "not a valid URL"),
        (r#"{"url": "file:///etc/passwd"}"#, "http://"),
        (r#"{"url": "http://x/", "ca": "ca.pem"}"#, "`ca`"),
        (r#"{"url": "http://x/", "status": 20}"#, "`status`"),
        (r#"{"url": "http://x/", "timeout": "0s"}"#, "`timeout`"),
        (r#"{"url": "http://x/", "contains": ""}"#, "`contains`"),
        (r#"{"url": "http://x/", "json": {"status": 1}}"#, "pointers"),
        (r#"{"url": "http://x/", "headers": {"a b": "c"}}"#, "header"),
    ] {
        let problems = check(settings).problems();
        assert!(
            problems.len() == 1 && problems[0].contains(word),
            "{settings}: {problems:?}"
        );
    }
    assert_eq!(problem("https://x/"), None);
    assert!(serde_json::from_str::<Check>(r#"{"url": "http://x/", "follow": true}"#).is_err());
    let properties = check(r#"{"url": "http://x/"}"#).properties();
    assert!(properties.looks && !properties.has_probe);
}

#[test]
fn what_is_stored_stays_readable() {
    crate::action::stays::<Check>("null", "null", "null");
}
