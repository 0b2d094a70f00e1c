//! `expect.file` and `expect.command`: what a file is and what a command prints.

use super::{action, context, fails, holds, says};
use crate::action::RawPast;
use serde_json::{Value, json};

#[test]
fn a_file_is_compared_part_by_part() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let at = |mut more: Value| {
        more["path"] = json!(path);
        more
    };
    let kind = "expect.file";
    holds(kind, at(json!({"exists": false})));
    says(&fails(kind, at(json!({}))), &["to exist; saw nothing at"]);

    std::fs::write(&path, b"head\xff needle tail").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (sha256, _) = crate::host::files::disk::digest_of(&path).unwrap().unwrap();
    holds(kind, at(json!({})));
    holds(
        kind,
        at(json!({"sha256": sha256.to_uppercase(), "contains": "needle", "mode": "0640"})),
    );
    says(
        &fails(kind, at(json!({"exists": false}))),
        &["expected nothing at", "with mode 0640"],
    );
    says(
        &fails(kind, at(json!({"contains": "Needle"}))),
        &[
            "with the text \"Needle\"; saw",
            "does not contain \"Needle\"",
        ],
    );
    says(
        &fails(kind, at(json!({"mode": "0600"}))),
        &["with mode 0600; saw", "mode 0640"],
    );
    says(
        &fails(kind, at(json!({"sha256": "0".repeat(64)}))),
        &["sha256 0000", "17 bytes with another sha256"],
    );
    let below = json!({"path": path.join("below"), "exists": false});
    holds(kind, below);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
    holds(kind, json!({"path": dir.path(), "mode": "0750"}));
}

#[test]
fn a_text_across_the_buffers_of_a_large_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut bytes = vec![b'x'; 1 << 20];
    bytes[65_530..65_542].copy_from_slice(b"the needle! ");
    std::fs::write(&path, bytes).unwrap();
    holds(
        "expect.file",
        json!({"path": path, "contains": "the needle!"}),
    );
}

#[test]
fn a_command_is_judged_by_its_end_and_its_output() {
    let kind = "expect.command";
    let sh = |script: &str, mut more: Value| {
        more["argv"] = json!(["sh", "-c", script]);
        more
    };
    holds(kind, sh("echo fine", json!({"stdout_contains": "fine"})));
    holds(
        kind,
        sh(
            "echo a; echo b 12",
            json!({"stdout_matches": r"(?m)^b \d+$"}),
        ),
    );
    holds(kind, sh("exit 3", json!({"exit": 3})));
    says(
        &fails(kind, sh("echo why; exit 1", json!({}))),
        &["to return exit 0; saw exit 1", "its last lines: why"],
    );
    says(
        &fails(
            kind,
            sh(
                "echo Sorry, maybe something wrong",
                json!({"stdout_contains": "Congratulations!"}),
            ),
        ),
        &["without \"Congratulations!\"", "Sorry"],
    );
    says(
        &fails(kind, sh("echo a", json!({"stdout_matches": "^b"}))),
        &["no match of ^b"],
    );
}

#[test]
fn a_command_that_had_no_time_to_answer_has_not_answered() {
    for script in ["echo begun; sleep 1000", "kill -9 $$"] {
        let settings = json!({"argv": ["sh", "-c", script], "timeout": "50ms"});
        let action = action("expect.command", settings);
        let action = action.kind_of();
        let why = action.probe(&context(), &RawPast::default()).unwrap_err();
        let words = if script.contains("kill") {
            "signal 9"
        } else {
            "and was killed"
        };
        says(&why.to_string(), &[words]);
        let mut log = Vec::new();
        assert!(
            action
                .perform(&context(), &RawPast::default(), &mut log)
                .is_err()
        );
    }
}

#[test]
fn an_expression_shows_no_part_of_a_secret() {
    let mut cx = context();
    cx.secrets = vec![("db".into(), "s3cret-word".into())];
    let script = "echo token=s3cret-word";
    let settings = json!({"argv": ["sh", "-c", script], "stdout_matches": "s3cret"});
    // The script is the plan's own words; no plan with a secret in it is run.
    let (look, _) = action("expect.command", settings)
        .kind_of()
        .probe(&cx, &RawPast::default())
        .unwrap();
    assert_eq!(look.evidence, ["exit 0", "a match"]);
}

#[test]
fn a_command_that_cannot_start_is_not_nothing() {
    let action = action("expect.command", json!({"argv": ["/no/such/program"]}));
    let action = action.kind_of();
    assert!(action.probe(&context(), &RawPast::default()).is_err());
    let why = action
        .perform(&context(), &RawPast::default(), &mut std::io::sink())
        .unwrap_err();
    says(&why.to_string(), &["cannot look: cannot start"]);
}

#[test]
fn text_in_another_encoding_is_found_and_the_encoding_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page");
    std::fs::write(&path, b"\xd7\xb4\xcc\xac: \xd5\xfd\xb3\xa3\n").unwrap();
    let path = path.display().to_string();
    let (look, _) = action("expect.file", json!({"path": path, "contains": "正常"}))
        .kind_of()
        .probe(&context(), &RawPast::default())
        .unwrap();
    says(&look.evidence.join("; "), &["in GB18030 (GBK)"]);
    fails("expect.file", json!({"path": path, "contains": "异常"}));
    let printed =
        json!({"argv": ["cat", path], "stdout_contains": "正常", "stdout_matches": "^状态"});
    holds("expect.command", printed);
    let printed = json!({"argv": ["cat", path], "stdout_contains": "异常"});
    says(
        &fails("expect.command", printed),
        &["its output is in GB18030 (GBK)", "状态: 正常"],
    );
    let binary = json!({"argv": ["printf", r"caf\351 au"], "stdout_contains": "café"});
    says(
        &fails("expect.command", binary),
        &["not text in UTF-8 or GB18030"],
    );
}
