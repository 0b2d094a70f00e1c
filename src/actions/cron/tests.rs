//! What a line of a crontab is, and what is made of it when others edit the rest.

use super::table::{Change, Stand, commented, edited, is_job, job, mark};
use proptest::prelude::*;

#[test]
fn what_cron_runs_is_a_job_and_nothing_else() {
    for line in [
        "* * * * * x",
        "\t*/5 0-23 1,15 jan mon /bin/x  ",
        "@reboot x",
        "@daily FOO=1 x",
        "0 4 * * * A=b x",
        "-*/5 * * * * root x",
        "* * * * * x\r",
    ] {
        assert!(is_job(line.as_bytes()), "{line}");
    }
    for line in [
        "",
        "  \t",
        "# * * * * * x",
        "  # x",
        "MAILTO=\"\"",
        " PATH = /bin:/usr/bin",
        "'A b'=c",
        "\"A=b\" = * * * * *",
        "CRON_TZ=Asia/Shanghai",
        "* * * *",
        "word * * * * x",
        "5 = * * *",
    ] {
        assert!(!is_job(line.as_bytes()), "{line}");
    }
}

#[test]
fn a_job_is_taken_apart_as_cron_does_it() {
    let seen = job(b"\t*/5 * * * * date +\\%F\\%T; cat%line 1%line 2\r", false).unwrap();
    assert_eq!(seen.when, "*/5 * * * *");
    assert_eq!((seen.user, &*seen.command), (None, "date +%F%T; cat"));
    let seen = job(b"@daily  root   cd / && x", true).unwrap();
    assert_eq!(seen.user.as_deref(), Some("root"));
    assert_eq!((&*seen.when, &*seen.command), ("@daily", "cd / && x"));
    assert_eq!(job(b"# * * * * * x", false), None);
}

#[test]
fn a_comment_gives_its_job_back() {
    let line = b" \t*/5 * * * * x\xff ";
    let marked = [mark("r-1", "cron").as_slice(), line].concat();
    assert_eq!(
        commented(&marked),
        Some((line.as_slice(), Some(b"r-1:cron".as_slice())))
    );
    assert!(!is_job(&marked));
    // Once it was a job, it is one.
    let used = b"0 5 * * 1 tar -zcf /var/backups/home.tgz /home/";
    assert!(is_job(used) && commented(&[mark("r", "s").as_slice(), used].concat()).is_some());
    for by_hand in ["#* * * * * x", "# * * * * * x", " ##  * * * * * x"] {
        assert_eq!(
            commented(by_hand.as_bytes()),
            Some((b"* * * * * x".as_slice(), None))
        );
    }
    for other in [
        "",
        "* * * * * x",
        "# every day: x",
        "#upledger:",
        "#upledger:a:b",
        // What Debian and Red Hat explain a crontab with.
        "# 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/",
        "# *  *  *  *  * user-name  command to be executed",
        "# *  *  *  *  * user-name command to be executed",
    ] {
        assert_eq!(commented(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn only_the_lines_change_and_endings_stay() {
    let off = |text: &[u8]| {
        edited(text, |line| {
            line.ends_with(b"x").then(|| [b"#", line].concat())
        })
    };
    assert_eq!(off(b"a\r\nx\r\n\nx\nx"), b"a\r\n#x\r\n\n#x\n#x");
    assert_eq!(off(b""), b"");
}

const FORMER: &str = "M=1\n* * * * * x\n# c\n* * * * * y\n* * * * * x\n";
const WANTED: &str = "M=1\n#u * * * * * x\n# c\n* * * * * y\n#u * * * * * x\n";

#[test]
fn where_lines_stand_is_told_or_not_made_up() {
    let change = Change::new(FORMER.as_bytes(), WANTED.as_bytes());
    let stand = |text: &str| change.stand(text.as_bytes());
    let back = |text: &str| {
        change
            .backwards(text.as_bytes())
            .map(|b| String::from_utf8(b).unwrap())
    };
    assert_eq!(stand(FORMER), Stand::Former);
    assert_eq!(stand(WANTED), Stand::Wanted);
    let added = format!("{WANTED}* * * * * z\n");
    assert_eq!(stand(&added), Stand::New);
    assert_eq!(back(&added).unwrap(), format!("{FORMER}* * * * * z\n"));
    let crlf = WANTED.replace('\n', "\r\n");
    assert_eq!(back(&crlf).unwrap(), FORMER.replace('\n', "\r\n"));
    let by_hand = WANTED.replacen("#u ", "", 1);
    assert_eq!(stand(&by_hand), Stand::Mixed);
    assert_eq!(back(&by_hand).unwrap(), FORMER);
    let all_by_hand = format!("{FORMER}# mine\n");
    assert_eq!(stand(&all_by_hand), Stand::Old);
    assert_eq!(back(&all_by_hand).unwrap(), all_by_hand);
    for lost in [
        "",
        "* * * * * y\n",
        &WANTED.replacen("#u ", "#v ", 1),
        &format!("{WANTED}#u * * * * * x\n"),
        &format!("{FORMER}* * * * * x\n"),
    ] {
        assert_eq!(stand(lost), Stand::Lost, "{lost}");
        assert_eq!(back(lost), None);
        assert_eq!(change.forwards(lost.as_bytes()), None);
    }
}

#[test]
fn a_line_that_stood_there_before_is_not_taken_for_ours() {
    // What an enable puts on, is no longer known once it stands beside the same line.
    let (former, wanted) = ("x\n#x\n", "x\nx\n");
    let change = Change::new(former.as_bytes(), wanted.as_bytes());
    assert_eq!(
        change.backwards(wanted.as_bytes()).unwrap(),
        former.as_bytes()
    );
    assert_eq!(change.stand(b"x\nx\ny\n"), Stand::New);
    assert_eq!(change.backwards(b"x\nx\ny\n"), None);
    // Nor whose it is when two different comments became the same line.
    let change = Change::new(b"#x\n##x\n", b"x\nx\n");
    assert_eq!(change.backwards(b"x\nx\ny\n"), None);
    assert_eq!(change.stand(b"x\nx\ny\n"), Stand::New);
}

proptest! {
    /// Whatever others add or reorder, the lines come back, and what they did stays.
    #[test]
    fn off_and_on_again_beside_any_edit(
        lines in proptest::collection::vec("[a-d]{1,2}", 1..12),
        added in proptest::collection::vec("[e-h]{1,2}", 0..4),
        at in 0usize..12,
        turned in any::<bool>(),
    ) {
        let text = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
        let former = text(&lines);
        let wanted = edited(former.as_bytes(), |l| l.starts_with(b"a").then(|| [b"#u ", l].concat()));
        let edit = |text: &[u8]| -> Vec<u8> {
            let mut all: Vec<String> = String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect();
            if turned { all.reverse(); }
            let at = at.min(all.len());
            all.splice(at..at, added.clone());
            all.iter().map(|l| format!("{l}\n")).collect::<String>().into_bytes()
        };
        let change = Change::new(former.as_bytes(), &wanted);
        if former.as_bytes() != wanted {
            prop_assert_eq!(change.backwards(&edit(&wanted)), Some(edit(former.as_bytes())));
            prop_assert_eq!(change.forwards(&edit(former.as_bytes())), Some(edit(&wanted)));
        }
    }
}

#[test]
fn what_is_stored_stays_readable() {
    use super::{disable::Disable, enable::Enable};
    const USER: &str = r#"{"place": {"user": "app"}, "former": {"user": {"blob": "aa", "len": 90}},
        "wanted": {"blob": "bb", "len": 110}, "lines": [2, 5], "already": []}"#;
    const FILE: &str = r#"{"place": {"file": "/etc/cron.d/app"}, "wanted": {"blob": "bb", "len": 110},
        "former": {"file": {"content": {"blob": "aa", "len": 90}, "mode": "0644", "uid": 0, "gid": 0,
            "mtime": {"sec": 1700000000, "nsec": 5}}}, "lines": [2], "already": [3]}"#;
    const NONE: &str = r#"{"place": "own", "former": null, "wanted": {"blob": "bb", "len": 0},
        "lines": [], "already": []}"#;
    const SWITCHED: &str = r#"{"jobs": 2, "already": 1}"#;
    for before in [USER, FILE, NONE] {
        crate::action::stays::<Disable>(before, "null", SWITCHED);
        crate::action::stays::<Enable>(before, "null", SWITCHED);
    }
}

#[test]
fn a_file_behind_a_link_of_somebody_else_is_not_written() {
    use super::place::Place;
    use std::os::unix::fs::{lchown, symlink};
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let (there, way) = (dir.join("there"), dir.join("way"));
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("app"), "* * * * * root x\n").unwrap();
    symlink("there", &way).unwrap();
    let cx = crate::action::Context::default();
    let path = way.join("app").display().to_string();
    let place = Place::find(&cx, None, Some(&path)).unwrap();
    place.write(&cx, b"# x\n", None).unwrap();
    lchown(&way, Some(65534), Some(65534)).expect("as root");
    let why = Place::find(&cx, None, Some(&path)).unwrap_err().to_string();
    assert!(why.contains("a link owned by user 65534"), "{why}");
    // Found before, and their link by now.
    let moved = dir.join("moved");
    std::fs::rename(&there, &moved).unwrap();
    symlink("moved", &there).unwrap();
    lchown(&there, Some(65534), Some(65534)).expect("as root");
    let why = place.write(&cx, b"# y\n", None).unwrap_err().to_string();
    assert!(why.contains("a link owned by user 65534"), "{why}");
    assert_eq!(std::fs::read(moved.join("app")).unwrap(), b"# x\n");
}
