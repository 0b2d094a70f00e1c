//! What pip and venv say, in their own words, and the sentence that is made of it.

mod record;

use super::explain::{Story, broken, explain};
use super::requirements::Set;
use std::fmt::Write as _;

/// Requirements `name`, each on its line of `r.txt`.
fn set(lines: &str) -> Set {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.txt");
    std::fs::write(&path, lines).unwrap();
    let mut set = Set::read(&crate::action::Context::default(), &[path], &[]).unwrap();
    for line in &mut set.lines {
        line.file = "r.txt".into();
    }
    set
}

fn explained(output: &str) -> String {
    explain(
        &Story::of(output),
        &set("aa==1.0\nbb==1.0\ncc==2.0\ndd==1.0\n"),
    )
    .unwrap_or_default()
}

#[track_caller]
fn assert_told(output: &str, wanted: &[&str]) {
    let said = explained(output);
    for word in wanted {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn a_conflict_names_both_packages_and_both_lines() {
    assert_told(
        "ERROR: Cannot install -r r.txt (line 1) and -r r.txt (line 2) because these package versions have conflicting dependencies.\n\n\
         The conflict is caused by:\n    aa 1.0 depends on cc<2\n    bb 1.0 depends on cc>=2\n\nTo fix this you could try to:\n",
        &[
            "aa 1.0 (r.txt line 1) needs cc<2, but bb 1.0 (r.txt line 2) needs cc>=2",
            "no version of cc satisfies both",
        ],
    );
    assert_told(
        "The conflict is caused by:\n    The user requested cc==2.0\n    aa 1.0 depends on cc<2\n",
        &["cc==2.0 (r.txt line 3) is required, but aa 1.0 (r.txt line 1) needs cc<2"],
    );
}

#[test]
fn what_is_missing_is_told_apart_from_what_cannot_be_reached() {
    let none = "ERROR: Could not find a version that satisfies the requirement cc==9 (from versions: 1.0, 2.0)\n\
                ERROR: No matching distribution found for cc==9\n";
    assert_told(
        none,
        &["there is no cc==9 (r.txt line 3)", "the index has 1.0, 2.0"],
    );
    for (line, word) in [
        (
            "Could not fetch URL https://h/simple/cc/: connection error: HTTPSConnectionPool(host='h.example', port=443): Max retries exceeded (Caused by NewConnectionError('<x>: Failed to establish a new connection: [Errno -2] Name or service not known'))",
            "h.example:443 cannot be reached (its name",
        ),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('[Errno 111] Connection refused')': /simple/cc/",
            "refuses connections",
        ),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError([Errno 101] Network is unreachable)'",
            "the network is unreachable",
        ),
        (
            "Could not fetch URL http://h/simple/cc/: 401 Client Error: Unauthorized for url: http://h/simple/cc/ - skipping",
            "401 for http://h/simple/cc/",
        ),
        (
            "Could not fetch URL https://h/simple/cc/: There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='h', port=443): x",
            "certificate of h cannot",
        ),
    ] {
        assert_told(&format!("{line}\n{none}"), &[word]);
    }
    assert_told(
        "ERROR: No matching distribution found for zz>=1 (from aa==1.0)\n",
        &["there is no zz>=1 (which no requirement file names itself), which aa==1.0 needs"],
    );
}

#[test]
fn a_python_of_the_wrong_version_is_told() {
    assert_told(
        "ERROR: Package 'dd' requires a different Python: 3.11.2 not in '>=3.20'\n",
        &["dd (r.txt line 4) needs Python >=3.20, and `python` is 3.11.2"],
    );
    assert_told(
        "ERROR: Ignored the following versions that require a different python version: 2.0 Requires-Python >=3.20; 3.0 Requires-Python >=3.20\n\
         ERROR: Could not find a version that satisfies the requirement dd==2.0 (from versions: 1.0)\nERROR: No matching distribution found for dd==2.0\n",
        &[
            "dd (r.txt line 4) has no version for this Python",
            "2.0 Requires-Python >=3.20",
        ],
    );
}

#[test]
fn hashes_that_do_not_agree_are_told() {
    let mut text = String::from(
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If\n",
    );
    let _ = writeln!(
        text,
        "    cc==2.0 from file:///w/cc-2.0-py3-none-any.whl (from -r r.txt (line 3)):"
    );
    let _ = writeln!(
        text,
        "        Expected sha256 {}\n             Got        {}",
        "0".repeat(64),
        "b".repeat(64)
    );
    assert_told(
        &text,
        &[
            "cc (r.txt line 3) from file:///w/cc-2.0",
            "but is sha256 bbbb",
        ],
    );
    assert_told(
        "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements. Here is a list\n    bb==1.0 --hash=sha256:97a0\n",
        &["bb (r.txt line 2) has no hash"],
    );
    assert_told(
        "ERROR: In --require-hashes mode, all requirements must have their versions pinned with ==. These do not:\n    cc>=1 from file:///w/cc.whl (from -r r.txt (line 3))\n",
        &["cc (r.txt line 3) is not pinned"],
    );
}

#[test]
fn the_machine_is_told_apart_from_the_packages() {
    assert_told(
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        &["the disk is full"],
    );
    assert_told(
        "Error: x\nThe virtual environment was not created successfully because ensurepip is not\navailable.\n",
        &["python3-venv"],
    );
    assert_told(
        "/usr/bin/python3: No module named venv\n",
        &["no module venv"],
    );
    assert_told("/v/bin/python: No module named pip\n", &["has no pip"]);
    assert_told(
        "Collecting mysqlclient\nerror: subprocess-exited-with-error\n  Exception: Can not find valid pkg-config name.\n",
        &["mysqlclient", "default-libmysqlclient-dev"],
    );
    assert_told(
        "ERROR: Failed building wheel for bb\n fatal error: Python.h: No such file\n",
        &["bb (r.txt line 2)", "python3-dev"],
    );
    assert_told(
        "ERROR: Invalid requirement: 'cc=1.0' (from line 3 of r.txt)\n",
        &["r.txt line 3 is not a valid requirement: 'cc=1.0'"],
    );
    assert_eq!(explained("ERROR: something new\n"), "");
}

#[test]
fn pip_check_is_told_with_the_lines() {
    let set = set("aa==1.0\ncc==2.0\n");
    assert_eq!(
        broken(
            "aa 1.0 has requirement cc<2, but you have cc 2.0.\nbb 2.0 requires zz, which is not installed.\n",
            &set
        ),
        [
            "aa 1.0 (r.txt line 1) needs cc<2, but cc 2.0 (r.txt line 2) is installed: change one of the lines",
            "bb 2.0 (which no requirement file names itself) needs zz, which is not installed: add it to a requirement file",
        ]
    );
}

#[test]
fn a_repository_that_git_does_not_give_is_told_in_the_words_of_git() {
    let said = "  Cloning ssh://git@h.example/x.git to ./src/x\n  git@h.example: Permission denied (publickey).\n  fatal: Could not read from remote repository.\n\
                error: subprocess-exited-with-error\n\n× git clone --filter=blob:none --quiet ssh://****@h.example/x.git /v/src/x did not run successfully.\n│ exit code: 128\n";
    assert_told(
        said,
        &[
            "`git clone ",
            "Permission denied (publickey).; fatal: Could not read",
        ],
    );
    assert!(
        !explained(said).contains("source distribution"),
        "{}",
        explained(said)
    );
}

#[test]
fn what_pip_found_and_did_not_take_is_not_said_to_be_missing() {
    let refused = "WARNING: Ignoring version 1.0 of aa since it has invalid metadata:\n\
                   Requested aa==1.0 from file:///w/aa-1.0-py3-none-any.whl has invalid metadata: .* suffix can only be used with `==` or `!=` operators\n\
                   Please use pip<24.1 if you need to use this version.\n\
                   ERROR: Could not find a version that satisfies the requirement aa==1.0 (from versions: 1.0)\nERROR: No matching distribution found for aa==1.0\n";
    assert_told(
        refused,
        &[
            "aa==1.0 (r.txt line 1) has metadata that this pip does not accept (.* suffix",
            "list pip<24.1",
        ],
    );
    let other = "  WARNING: Skipping aa-1.0 of another kind\nERROR: Could not find a version that satisfies the requirement aa==1.0 (from versions: 0.9, 1.0)\nERROR: No matching distribution found for aa==1.0\n";
    assert_told(
        other,
        &["pip found aa==1.0 (r.txt line 1) and did not take it: WARNING: Skipping"],
    );
}

#[test]
fn what_pip_tried_again_is_not_the_reason_of_another_failure() {
    let retried = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError('[Errno 111] Connection refused')': /simple/cc/\n";
    let conflict = "The conflict is caused by:\n    aa 1.0 depends on cc<2\n    bb 1.0 depends on cc>=2\nERROR: ResolutionImpossible: for help visit x\n";
    assert_told(
        &format!("{retried}{conflict}"),
        &["no version of cc satisfies both"],
    );
    let python = "ERROR: Package 'aa' requires a different Python: 3.6.8 not in '>=3.8'\n";
    assert_told(&format!("{retried}{python}"), &["needs Python >=3.8"]);
    let invalid = "ERROR: Invalid requirement: 'aa=1' (from line 1 of r.txt)\n";
    assert_told(
        &format!("{retried}{invalid}"),
        &["is not a valid requirement"],
    );
}

#[test]
fn a_password_in_a_url_is_hidden_and_a_package_that_is_called_like_one_is_not() {
    let said = explained(
        "ERROR: Could not find a version that satisfies the requirement authlib==9 (from versions: 1.0)\nERROR: No matching distribution found for authlib==9\n",
    );
    assert!(said.contains("there is no authlib==9"), "{said}");
    let said = explained(
        "ERROR: Invalid requirement: 'x @@ git+https://me:s3cr3t@h/x.git' (from line 1 of r.txt)\n",
    );
    assert!(said.contains("https://me:[hidden]@h/x.git"), "{said}");
}
