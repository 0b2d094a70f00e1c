//! Bodies that are packed, and bodies in other encodings than UTF-8: a check sees what a browser would.

use super::*;
use crate::encoding::Charset;
use std::process::Command;

/// Answers every question with these headers and bytes.
fn serves(headers: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while lines.read_line(&mut request).is_ok_and(|n| n > 2) {}
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
            );
            // The client may have had enough.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

fn seen(headers: &'static str, body: Vec<u8>, settings: &str) -> Look {
    let url = serves(headers, body);
    look(&check(&format!(
        r#"{{"url": "{url}", "within": "0s", {settings}}}"#
    )))
}

/// The text `all is well`, packed by Python.
fn packed(by: &str) -> Vec<u8> {
    let script = format!("import gzip, sys, zlib; sys.stdout.buffer.write({by}(b'all is well'))");
    let done = Command::new("python3").args(["-c", &script]).output();
    done.expect("python3; install it with: apt-get install -y python3")
        .stdout
}

fn written(label: &str, text: &str) -> Vec<u8> {
    Charset::named(label).unwrap().write(text).unwrap()
}

#[test]
fn a_packed_body_is_unpacked_and_one_that_cannot_be_is_named() {
    let well = r#""contains": "all is well""#;
    for (headers, by) in [
        ("content-encoding: gzip\r\n", "gzip.compress"),
        ("content-encoding: deflate\r\n", "zlib.compress"),
    ] {
        let look = seen(headers, packed(by), well);
        assert_eq!(look.answer, Answer::Done, "{look:?}");
    }
    let odd = seen("content-encoding: rot13\r\n", b"nyy vf jryy".to_vec(), well);
    assert_eq!(odd.answer, Answer::Unclear);
    assert!(
        odd.evidence[0].contains("packed the body as `rot13`"),
        "{odd:?}"
    );
    let broken = seen("content-encoding: gzip\r\n", b"all is well".to_vec(), well);
    assert_eq!(broken.answer, Answer::Unclear, "{broken:?}");
}

#[test]
fn a_page_is_read_in_the_encoding_that_it_has() {
    let text = "状态: 正常";
    let page = format!("<html><meta charset=\"big5\"><p>{text}");
    for (headers, body) in [
        ("", written("utf-8", text)),
        ("", written("gbk", text)),
        (
            "content-type: text/html; charset=GB2312\r\n",
            written("gbk", text),
        ),
        (
            "content-type: text/plain; charset=\"utf-8\"\r\n",
            written("gbk", text),
        ),
        (
            "content-type: text/html\r\n",
            written("big5", &page.replace("状态", "狀態")),
        ),
        ("", [&b"\xff\xfe"[..], &written("utf-16le", text)].concat()),
    ] {
        let look = seen(headers, body, r#""contains": "正常""#);
        assert_eq!(look.answer, Answer::Done, "{headers}: {look:?}");
    }
    let missing = seen("", written("gbk", text), r#""contains": "异常""#);
    assert_eq!(missing.answer, Answer::Unclear);
    let said = &missing.evidence[0];
    assert!(
        said.contains("GB18030 (GBK)") && said.contains(text),
        "{said}"
    );
    let other = seen(
        "",
        b"caf\xe9 au lait".to_vec(),
        r#""contains": "caf\u00e9""#,
    );
    assert!(other.evidence[0].contains("not text in UTF-8"), "{other:?}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_json() {
    let body = b"\xef\xbb\xbf{\"status\": \"ok\"}".to_vec();
    let look = seen("", body, r#""json": {"/status": "ok"}"#);
    assert_eq!(look.answer, Answer::Done, "{look:?}");
}
