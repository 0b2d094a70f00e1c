//! Directories are known, copied and exchanged whole; what an application prints around its answer does not matter.

mod collect;

use super::{App, tree};
use crate::action::Context;
use crate::host::files::entry;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn sample(root: &Path) {
    write(&root.join("css/a.css"), b"a{}");
    write(&root.join("b\n.js"), b"\xff");
    std::fs::create_dir(root.join("empty")).unwrap();
    symlink("css/a.css", root.join("link")).unwrap();
    symlink("/nowhere", root.join("broken")).unwrap();
}

#[test]
fn a_directory_is_known_by_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(tree::look(&at("a")).unwrap(), None);
    sample(&at("a"));
    let facts = || tree::look(&at("a")).unwrap().unwrap();
    let first = facts();
    assert_eq!(first.files, 2);
    let changes: [(&str, &dyn Fn()); 6] = [
        ("a file more", &|| write(&at("a/x"), b"")),
        ("content", &|| write(&at("a/css/a.css"), b"b{}")),
        ("a mode", &|| {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(at("a/empty"), mode).unwrap();
        }),
        ("a link", &|| {
            std::fs::remove_file(at("a/broken")).unwrap();
            symlink("/else", at("a/broken")).unwrap();
        }),
        ("a directory less", &|| {
            std::fs::remove_dir(at("a/empty")).unwrap();
        }),
        ("a name", &|| {
            std::fs::rename(at("a/x"), at("a/y")).unwrap();
        }),
    ];
    let mut seen = vec![first];
    for (what, change) in changes {
        change();
        let now = facts();
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    }
    // What would block or act is refused.
    let fifo = std::process::Command::new("mkfifo")
        .arg(at("a/pipe"))
        .status();
    assert!(fifo.unwrap().success());
    assert!(
        tree::look(&at("a"))
            .unwrap_err()
            .to_string()
            .contains("pipe")
    );
    assert!(tree::look(&at("a/y")).is_err());
}

#[test]
fn a_copy_is_the_same_and_shares_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    sample(&at("a"));
    let before = tree::look(&at("a")).unwrap();
    tree::copy(&at("a"), &at("b")).unwrap();
    assert_eq!(tree::look(&at("b")).unwrap(), before);
    assert!(tree::copy(&at("a"), &at("b")).is_err());
    // Written in place, as some writers do.
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(at("a/css/a.css"))
        .unwrap();
    file.write_all(b"more").unwrap();
    assert_eq!(tree::look(&at("b")).unwrap(), before);
    assert_ne!(tree::look(&at("a")).unwrap(), before);
    tree::exchange(&at("a"), &at("b"), &at("c")).unwrap();
    assert_eq!(tree::look(&at("a")).unwrap(), before);
    entry::remove(&at("b")).unwrap();
    entry::remove(&at("b")).unwrap();
    assert_eq!(tree::look(&at("c")).unwrap(), None);
}

#[test]
fn a_place_is_resolved_as_far_as_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    symlink("real", root.join("link")).unwrap();
    symlink("gone", root.join("broken")).unwrap();
    assert_eq!(
        tree::resolve(&root.join("link/x/y")).unwrap(),
        root.join("real/x/y")
    );
    assert!(tree::resolve(&root.join("broken/x")).is_err());
}

/// An interpreter that answers with this script; `$3` is the marker.
fn ask(script: &str) -> Result<Value, String> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("python"), format!("#!/bin/sh\n{script}\n")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at("python"), mode).unwrap();
    std::fs::write(at("manage.py"), "").unwrap();
    let (python, manage) = (at("python"), at("manage.py"));
    let settings = "prod".to_owned();
    let app = App {
        python: &python,
        manage: Some(&manage),
        settings: Some(&settings),
    };
    let cx = Context {
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..Context::default()
    };
    app.ask(&cx, "static", &json!({}))
        .map_err(|e| e.to_string())
}

#[test]
fn the_answer_is_found_among_noise_and_never_made_up() {
    let noisy = r#"printf 'starting ... no line break'; printf '\n%s{"a": "%s"}\n' "$3" "$BK_ENV"; echo '{"a": 2}' >&2; exit 1"#;
    assert_eq!(ask(noisy).unwrap(), json!({"a": "production"}));
    for (script, word) in [
        (
            r#"echo '@upledger-0000000000000000:{"a": 1}'"#,
            "returned no answer: exit 0",
        ),
        ("echo why >&2; exit 3", "why"),
        (r#"printf '\n%s{"a": ' "$3""#, "cannot be parsed"),
        (
            r#"printf '\n%s{"error": "no such user"}\n' "$3""#,
            "no such user",
        ),
    ] {
        let said = ask(script).unwrap_err();
        assert!(said.contains(word), "{script}: {said}");
    }
}
