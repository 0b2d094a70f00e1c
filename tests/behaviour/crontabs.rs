//! `cron.disable` and `cron.enable` on the real cron and `crontab`, in a mount namespace with a spool, users and a
//! `/etc/cron.d` of its own: exactly the lines go off, whoever dies, and come back byte for byte.

use crate::common::{Done, UPLEDGER, World, eventually, kill};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

/// What stands in a namespace of its own, from the world's directory, which is `$W`.
const PRIVATE: &str = r#"
set -e
mount --bind "$W/spool" /var/spool/cron/crontabs
mount --bind "$W/cron.d" /etc/cron.d
mount --bind "$W/run" /run
mount --bind "$W/passwd" /etc/passwd
mount --bind "$W/shadow" /etc/shadow
exec "$@"
"#;

const USER: &str = "bkmon";

/// All that a crontab can hold: `\x` stands for bytes that are no UTF-8, `\r` for a carriage return.
fn table() -> Vec<u8> {
    let mut table =
        b"# first comment\n# second\nMAILTO=\"\"\r\nDB_PASSWORD = s3cr3t-word\n".to_vec();
    table.extend(b"\t*/5  * * * *\tcd /data && bk-monitor --key=s3cr3t-word >> /tmp/x 2>&1\n");
    table.extend(b"@reboot bk-monitor \xff\xfe date +\\%F%stdin\n#30 4 * * * bk-old\n\n");
    table.extend(b"0 3 * * * other \\r \xe4\r\n");
    table.extend([b"1 1 * * * bk-monitor ".as_slice(), &[b'y'; 900], b"\n"].concat());
    table.extend(b"# bk-monitor is watched\n2 2 * * * bk-monitor crlf\r\n3 3 * * * last");
    table.push(b'\n');
    table
}

struct Site(World);

impl std::ops::Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl Site {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes a namespace of mounts, so it has to run as root"
        );
        let world = World::new();
        for dir in ["spool", "cron.d", "run"] {
            std::fs::create_dir(world.path(dir)).expect("made");
        }
        let chown = Command::new("chown")
            .arg("root:crontab")
            .arg(world.path("spool"))
            .status();
        assert!(
            chown.is_ok_and(|s| s.success()),
            "there is no cron; install it with: apt-get install -y cron"
        );
        for (dir, mode) in [("spool", 0o1730), (".", 0o755)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(world.path(dir), mode).expect("its own directory");
        }
        for (name, line) in [
            ("passwd", "bkmon:x:4711:4711::/tmp:/bin/sh"),
            ("shadow", "bkmon:*:19000:0:99999:7:::"),
        ] {
            let text = std::fs::read_to_string(format!("/etc/{name}")).expect("readable");
            std::fs::write(world.path(name), format!("{text}{line}\n")).expect("written");
        }
        Self(world)
    }

    /// A command in the namespace.
    fn inside(&self, words: &[&str]) -> Command {
        let ours = self.command(&[]);
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                PRIVATE,
                "sh",
            ])
            .args(words)
            .current_dir(self.path(""))
            .env("W", self.path(""))
            .stdin(Stdio::null());
        for (key, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// The program, in the namespace.
    fn up(&self, args: &[&str]) -> Done {
        let words = [&[UPLEDGER], args].concat();
        Done::of(self.inside(&words).output().expect("unshare"))
    }

    /// The program in the namespace, left running.
    fn start(&self, args: &[&str]) -> Child {
        let words = [&[UPLEDGER], args].concat();
        self.inside(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare")
    }

    /// A plan of these steps; `@/` is this world's directory.
    fn plan(&self, steps: &[&str]) {
        let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
        let here = self.path("x").display().to_string();
        let plan = format!(
            "upledger: 1\nname: crontabs\nphases:\n  - phase: all\n    steps:\n{}",
            steps.replace("@/", here.trim_end_matches('x'))
        );
        std::fs::write(self.path("plan.yaml"), plan).expect("written");
    }

    /// Runs the plan and expects that end.
    fn run(&self, code: i32) -> Done {
        let done = self.up(&["run", "plan.yaml"]);
        assert_eq!(done.code, code, "{done:?}");
        done
    }

    fn back(&self, code: i32) -> Done {
        let done = self.up(&["rollback", "--reason", "test"]);
        assert_eq!(done.code, code, "{done:?}");
        done
    }

    /// Gives the user a crontab, as a person would.
    fn install(&self, bytes: &[u8]) {
        std::fs::write(self.path("typed"), bytes).expect("written");
        let done = self.inside(&["crontab", "-u", USER, "typed"]).output();
        let done = Done::of(done.expect("unshare"));
        assert_eq!(done.code, 0, "{done:?}");
    }

    /// What is in the spool, below the header that `crontab` makes.
    fn crontab(&self) -> Vec<u8> {
        let raw = std::fs::read(self.path("spool").join(USER)).unwrap_or_default();
        let mut at = 0;
        for _ in 0..3 {
            at += raw[at..]
                .iter()
                .position(|b| *b == b'\n')
                .expect("a header")
                + 1;
        }
        raw[at..].to_vec()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.crontab()).into_owned()
    }

    /// Nothing that is kept for good holds what stands in the crontab.
    fn assert_no_secret(&self, said: &[&Done]) {
        let mut texts: Vec<String> = said.iter().map(|d| format!("{d:?}")).collect();
        texts.push(self.up(&["log", "--json"]).out);
        let mut ledger = String::new();
        for name in ["ledger.db", "ledger.db-wal"] {
            let bytes = std::fs::read(self.state().join(name)).unwrap_or_default();
            ledger.push_str(&String::from_utf8_lossy(&bytes));
        }
        assert!(ledger.contains("cron.disable"), "its events are plain text");
        texts.push(ledger);
        assert!(texts.iter().all(|t| !t.contains("s3cr3t")), "{texts:?}");
    }
}

/// The crontab with the lines of that step off.
fn off(table: &[u8], run: &str, step: &str) -> Vec<u8> {
    let text: Vec<Vec<u8>> = table
        .split_inclusive(|b| *b == b'\n')
        .map(|line| {
            let found = line.windows(10).any(|w| w == b"bk-monitor") && !line.starts_with(b"#");
            let mark = if found {
                format!("#upledger:{run}:{step} ")
            } else {
                String::new()
            };
            [mark.as_bytes(), line].concat()
        })
        .collect();
    text.concat()
}

fn run_name(site: &Site) -> String {
    site.status()["run"]
        .as_str()
        .expect("the name of a run")
        .to_owned()
}

const DISABLE: &str = "{id: cron, do: {cron.disable: {match: bk-monitor, user: bkmon}}}";

#[test]
fn exactly_the_lines_go_off_and_the_crontab_comes_back_byte_for_byte() {
    let site = Site::new();
    site.plan(&[DISABLE]);
    site.install(&table());
    let preview = site.up(&["plan", "plan.yaml"]);
    assert_eq!(preview.code, 0, "{preview:?}");
    for shown in [
        "@@ line 5 @@",
        "--key=[hidden]",
        "+#upledger:",
        "lines 5, 6, 10, 12",
    ] {
        assert!(preview.out.contains(shown), "{shown}: {preview:?}");
    }
    assert_eq!(site.crontab(), table(), "a preview changes nothing");
    let done = site.run(0);
    assert_eq!(site.crontab(), off(&table(), &run_name(&site), "cron"));
    assert!(done.out.contains("lines 5, 6, 10, 12 off"), "{done:?}");
    let undo = std::fs::read_dir(site.state().join("undo")).expect("undo");
    let undo: Vec<_> = undo.map(|e| e.expect("an entry")).collect();
    assert!(!undo.is_empty(), "the former crontab is kept");
    for file in undo {
        let meta = file.metadata().expect("its metadata");
        assert_eq!(meta.mode() & 0o7777, 0o600, "{file:?}");
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with("cron-"), "{name} is left over");
    }
    let back = site.back(5);
    assert_eq!(site.crontab(), table());
    assert!(back.out.contains("byte for byte"), "{back:?}");
    site.assert_no_secret(&[&preview, &done, &back]);
    site.assert_sound();
}

#[test]
fn what_others_edit_in_between_stays_and_only_our_lines_come_back() {
    let site = Site::new();
    site.plan(&[DISABLE]);
    site.install(&table());
    site.run(0);
    let theirs = b"4 4 * * * of a person\n";
    site.install(&[theirs.as_slice(), &site.crontab()].concat());
    let back = site.back(5);
    assert_eq!(site.crontab(), [theirs.as_slice(), &table()].concat());
    assert!(
        back.out.contains("the crontab has been edited since"),
        "{back:?}"
    );

    // A line of ours is gone: nobody can tell whether it is wanted again.
    site.install(&table());
    site.run(0);
    let without: Vec<u8> = site
        .crontab()
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| !l.windows(4).any(|w| w == b"crlf"))
        .collect::<Vec<_>>()
        .concat();
    site.install(&without);
    let back = site.back(6);
    assert_eq!(site.crontab(), without, "it is not changed");
    assert!(back.out.contains("cannot be determined"), "{back:?}");
    site.assert_sound();
}

#[test]
fn a_slip_is_refused_and_what_is_off_already_is_satisfied() {
    let site = Site::new();
    let step = |settings: &str| {
        site.plan(&[&format!(
            "{{id: cron, do: {{cron.disable: {{{settings}}}}}}}"
        )])
    };
    let refused = |settings: &str, why: &str| {
        step(settings);
        let done = site.up(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{settings}: {done:?}");
        assert!(done.out.contains(why), "{settings}: {done:?}");
        assert_eq!(site.up(&["abort", "--reason", "test"]).code, 12);
    };
    refused("match: x, user: bkmon", "does not exist");
    refused("match: x, user: nobody-of-that-name", "unknown");
    site.install(&table());
    refused(
        "match: bk-monitr, user: bkmon",
        "there are no jobs that match",
    );
    refused("match: MAILTO, user: bkmon", "there are no jobs that match");
    assert_eq!(site.crontab(), table());
    // Written to the spool by hand, without a header and without an end: cron ignores it, `crontab` would refuse it.
    let unended = b"# a\n* * * * * bk-monitor";
    std::fs::write(site.path("spool").join(USER), unended).expect("written");
    site.plan(&[DISABLE]);
    site.run(0);
    let raw = || std::fs::read(site.path("spool").join(USER)).expect("there");
    assert_eq!(raw(), off(unended, &run_name(&site), "cron"));
    site.back(5);
    assert_eq!(raw(), unended);

    site.install(&table());
    step("match: no-such-job, user: bkmon, absent: ok");
    assert!(site.run(0).out.contains("there are no jobs"));
    // By hand, and by another run.
    step("match: bk-old, user: bkmon");
    assert!(site.run(0).out.contains("line 7 already off"));
    site.plan(&[DISABLE]);
    site.run(0);
    let once = site.crontab();
    let done = site.run(0);
    assert!(done.out.contains("already off"), "{done:?}");
    site.back(13);
    assert_eq!(
        site.crontab(),
        once,
        "what the second run did not do, it does not undo"
    );
}

#[test]
fn killed_before_and_after_the_write_it_is_done_once_and_undone_once() {
    for point in ["cron-before-write", "cron-after-write"] {
        for file in [false, true] {
            let site = Site::new();
            let place = if file {
                "file: /etc/cron.d/bklog"
            } else {
                "user: bkmon"
            };
            site.plan(&[&format!(
                "{{id: cron, do: {{cron.disable: {{match: bk-monitor, {place}}}}}, env: {{UPLEDGER_FAILPOINT: '{point}@@/hit'}}}}"
            )]);
            let path = site.path("cron.d/bklog");
            std::fs::write(&path, table()).expect("written");
            site.install(&table());
            let now = || {
                if file {
                    std::fs::read(&path).expect("there")
                } else {
                    site.crontab()
                }
            };
            site.run(1);
            assert!(site.path("hit").exists(), "{point}: it was killed there");
            assert_eq!(
                site.up(&["decide", "cron", "retry", "--reason", "test"])
                    .code,
                0
            );
            assert_eq!(site.up(&["resume"]).code, 0, "{point}");
            assert_eq!(now(), off(&table(), &run_name(&site), "cron"), "{point}");
            std::fs::remove_file(site.path("hit")).expect("removed");
            site.back(6);
            assert!(
                site.path("hit").exists(),
                "{point}: the undo was killed there"
            );
            let asked = site.up(&["resume"]);
            assert_eq!(asked.code, 6, "{point}: {asked:?}");
            let retried = site.up(&["decide", "cron", "retry", "--reason", "test"]);
            assert_eq!(retried.code, 0, "{point}: {retried:?}");
            let again = site.up(&["resume"]);
            assert_eq!(again.code, 5, "{point}: {again:?}");
            assert_eq!(now(), table(), "{point}");
            let beside = std::fs::read_dir(site.path("cron.d"))
                .expect("there")
                .count();
            assert_eq!(beside, 1, "{point}: nothing that cron would read is left");
        }
    }
}

#[test]
fn with_everybody_killed_the_probe_tells_whether_the_lines_are_off() {
    for point in ["cron-before-write", "cron-after-write"] {
        let site = Site::new();
        site.plan(&[&format!(
            "{}, env: {{UPLEDGER_FAILPOINT: 'stop={point}@@/hit'}}}}",
            DISABLE.strip_suffix('}').expect("a map")
        )]);
        site.install(&table());
        let mut runner = site.start(&["run", "plan.yaml"]);
        eventually("the action has stopped itself", || {
            site.path("hit").exists()
        });
        runner.kill().expect("it lives");
        runner.wait().expect("it is dead");
        let supervisors = site.supervisors();
        assert_eq!(supervisors.len(), 1, "{point}");
        for supervisor in supervisors {
            let children = format!("/proc/{supervisor}/task/{supervisor}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            kill(supervisor);
            for child in children.split_whitespace().filter_map(|p| p.parse().ok()) {
                kill(child);
            }
        }
        let done = site.up(&["resume"]);
        assert_eq!(done.code, 0, "{point}: {done:?}");
        assert!(site.up(&["log"]).out.contains("in doubt"), "{point}");
        assert_eq!(site.crontab(), off(&table(), &run_name(&site), "cron"));
        site.back(5);
        assert_eq!(site.crontab(), table());
    }
}

#[test]
fn a_file_of_cron_keeps_its_mode_owner_and_time() {
    let site = Site::new();
    site.plan(&["{id: cron, do: {cron.disable: {match: bk-monitor, file: /etc/cron.d/bklog}}}"]);
    let path = site.path("cron.d/bklog");
    let mut bytes = table();
    bytes.pop();
    std::fs::write(&path, &bytes).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("its own");
    std::os::unix::fs::chown(&path, Some(4711), Some(4711)).expect("as root");
    let facts = || {
        let m = path.metadata().expect("there");
        (m.mode(), m.uid(), m.gid())
    };
    let (before, time) = (facts(), path.metadata().expect("there").mtime_nsec());
    site.run(0);
    assert_eq!(facts(), before);
    assert_eq!(
        std::fs::read(&path).expect("there"),
        off(&bytes, &run_name(&site), "cron")
    );
    site.back(5);
    assert_eq!(
        (facts(), path.metadata().expect("there").mtime_nsec()),
        (before, time)
    );
    assert_eq!(std::fs::read(&path).expect("there"), bytes);
}

#[test]
fn lines_are_put_on_again_by_the_run_that_put_them_off_or_by_what_they_say() {
    let site = Site::new();
    let on = "{id: again, do: {cron.enable: {user: bkmon}}}";
    site.plan(&[DISABLE, on]);
    site.install(&table());
    site.run(0);
    assert_eq!(site.crontab(), table());
    site.back(5);
    assert_eq!(site.crontab(), table());
    // Nothing of this run is off.
    site.plan(&[on]);
    assert!(site.run(1).out.contains("there are no jobs that this run"));
    assert_eq!(site.up(&["abort", "--reason", "test"]).code, 12);

    site.plan(&["{id: old, do: {cron.enable: {match: bk-old, user: bkmon}}}"]);
    site.run(0);
    assert!(
        site.text().contains("\n30 4 * * * bk-old\n"),
        "{}",
        site.text()
    );
    assert!(site.run(0).out.contains("already on"));
    site.back(13);
    assert!(
        site.text().contains("\n30 4 * * * bk-old\n"),
        "the second run did nothing"
    );
}

#[test]
fn a_user_changes_only_its_own_crontab_and_only_where_the_listing_is_exact() {
    let site = Site::new();
    std::fs::create_dir(site.path("own")).expect("made");
    std::os::unix::fs::chown(site.path("own"), Some(4711), Some(4711)).expect("as root");
    // Where the program was built, others may not get to.
    std::fs::copy(UPLEDGER, site.path("upledger")).expect("copied");
    let own = |args: &[&str]| {
        let program = site.path("upledger").display().to_string();
        let user = [
            "setpriv",
            "--reuid=4711",
            "--regid=4711",
            "--clear-groups",
            &program,
        ];
        let words = [user.as_slice(), args].concat();
        let mut command = site.inside(&words);
        command
            .env("UPLEDGER_STATE", site.path("own/state"))
            .env("UPLEDGER_MEMORY", site.path("own/memory"))
            .env("HOME", "/tmp");
        Done::of(command.output().expect("setpriv"))
    };
    let table = b"# a\nMAILTO=\"\"\n* * * * * bk-monitor\n* * * * * other\n";
    site.install(table);
    site.plan(&["{id: cron, do: {cron.disable: {match: bk-monitor}}}"]);
    let done = own(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(site.text().contains("\n#upledger:"), "{}", site.text());
    let done = own(&["rollback", "--reason", "test"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert_eq!(site.crontab(), table);
    for (settings, bytes, why) in [
        (
            "match: bk-monitor, user: root",
            table.to_vec(),
            "only root may change",
        ),
        (
            "match: bk-monitor, user: bkmon",
            [table.as_slice(), b"#\r\n"].concat(),
            "only root can read it exactly",
        ),
    ] {
        site.install(&bytes);
        site.plan(&[&format!(
            "{{id: cron, do: {{cron.disable: {{{settings}}}}}}}"
        )]);
        let done = own(&["run", "plan.yaml"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(done.out.contains(why), "{done:?}");
        assert_eq!(site.crontab(), bytes);
        assert_eq!(own(&["abort", "--reason", "test"]).code, 12);
    }
}

/// A cron of its own, ended with the test.
struct Cron(Child);

impl Drop for Cron {
    fn drop(&mut self) {
        kill(i32::try_from(self.0.id()).unwrap_or_default());
        let _ = self.0.wait();
    }
}

#[test]
fn a_job_that_is_at_work_is_named_and_waited_for_where_the_plan_says_so() {
    let site = Site::new();
    site.write(
        "job.sh",
        "#!/bin/sh\necho > @/begun\nwhile [ ! -e @/go ]; do sleep 0.05; done\n",
    );
    std::fs::set_permissions(site.path("job.sh"), std::fs::Permissions::from_mode(0o755))
        .expect("its own");
    let job = site.path("job.sh").display().to_string();
    std::fs::write(site.path("begun"), "").expect("written");
    std::os::unix::fs::chown(site.path("begun"), Some(4711), Some(4711)).expect("as root");
    site.install(
        format!("@reboot {job} s3cr3t-word > /dev/null 2>&1; true\n* 4 * * * x\n").as_bytes(),
    );
    let _cron = Cron(
        site.inside(&["cron", "-f"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cron"),
    );
    eventually("the job has begun", || !site.lines("begun").is_empty());
    let wait = |wait: &str| {
        site.plan(&[&format!(
            "{{id: cron, do: {{cron.disable: {{match: job.sh, user: bkmon{wait}}}}}}}"
        )]);
    };
    wait("");
    let done = site.run(0);
    let named = "a job that started before is still running: pid ";
    assert!(
        done.out.contains(named) && done.out.contains("of line 1"),
        "{done:?}"
    );
    site.back(5);
    wait(", wait: 1s");
    let done = site.run(1);
    assert!(
        done.out
            .contains("after 1s a job that started before is still running"),
        "{done:?}"
    );
    site.back(5);
    wait(", wait: 20s");
    let mut runner = site.start(&["run", "plan.yaml"]);
    eventually("the lines are disabled", || {
        site.text().starts_with("#upledger:")
    });
    eventually("it waits", || {
        site.up(&["log", "--output", "cron"])
            .out
            .contains("waiting for: pid")
    });
    std::fs::write(site.path("go"), "").expect("written");
    assert_eq!(runner.wait().expect("it ends").code(), Some(0));
    site.assert_no_secret(&[&done]);
}
