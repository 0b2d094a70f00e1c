//! `django.collectstatic` and `django.check` on the real application behind the real Nginx: what is collected is compared
//! and seen to be served, each lie is named with its cause, and the former directory comes back, whoever dies.

use crate::common::Done;
use crate::platform::{Call, Keeping, Options, Platform, patiently, some_of};
use std::os::unix::fs::PermissionsExt;

struct Site(Platform);

impl std::ops::Deref for Site {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.0
    }
}

const COLLECT: &str = r#"{id: static, cwd: "${code}", do: {django.collectstatic: {python: "${python}", settings: prod, root: "${static}", web_user: www-data, url: "${url}/static/"}}}"#;

impl Site {
    /// Release 1.0 was collected and is served; nothing else runs.
    fn new() -> Self {
        let site = Self(Platform::up(Options {
            keeping: Keeping::Down,
            ..Options::default()
        }));
        let argv = site.command_of("nginx");
        Call::new(&argv[0]).args(&argv[1..]).run();
        site
    }

    /// Runs the step; what was said includes the record, where nothing is cut off.
    fn expect_exit(&self, step: &str, code: i32) -> Done {
        let mut done = self.run(&[step]);
        done.out += &self.world().upledger(&["log", "--json"]).out;
        assert_eq!(done.code, code, "{step}: {done:?}");
        done
    }

    fn up(&self, args: &[&str], code: i32) -> Done {
        let done = self.world().upledger(args);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        done
    }

    fn back(&self) -> Done {
        let mut done = self.world().rollback();
        assert_eq!(done.code, 5, "{done:?}");
        done.out += &self.up(&["log", "--json"], 0).out;
        done
    }

    /// A step that has to fail, why, and that the directory is put back.
    fn refused(&self, step: &str, why: &[&str]) {
        let before = self.tree();
        let done = self.expect_exit(step, 1);
        for word in why {
            assert!(done.out.contains(word), "{word}: {done:?}");
        }
        self.world().upledger(&["rollback", "--reason", "test"]);
        self.world().upledger(&["abort", "--reason", "test"]);
        assert_eq!(self.tree(), before, "{why:?}");
    }

    /// Everything below the served directory and what lies beside it.
    fn tree(&self) -> String {
        let find = "find static -printf '%y %m %u %g %T@ %s %p\\n' | grep -v '^d' | sort; find static -type f | sort | xargs sha256sum; ls -A | grep upledger";
        let script = format!("cd {}; {find}; true", self.text(""));
        Call::new("sh").args(["-c", &script]).run()
    }
}

#[test]
fn a_release_is_collected_compared_served_and_taken_back() {
    let site = Site::new();
    let before = site.tree();
    let done = site.expect_exit(COLLECT, 0);
    assert!(
        done.out.contains("exist and match their sources"),
        "satisfied: {done:?}"
    );
    assert_eq!(site.tree(), before, "what is right is left alone");

    site.switch_to("2.0");
    let done = site.expect_exit(COLLECT, 0);
    for seen in [
        "the manifest has changed",
        "STATIC_VERSION: 1.0 before, 1.0 now",
        "www-data can read every file",
        "files, http://127.0.0.1:",
        "answer 200 with the bytes",
    ] {
        assert!(done.out.contains(seen), "{seen}: {done:?}");
    }
    let page = site
        .client()
        .get("/static/bklog/new.css")
        .expect("an answer");
    assert_eq!(page.status, 200);
    let output = site.up(&["log", "--output", "static"], 0).out;
    assert!(
        output.contains("static files copied") || output.contains("static file copied"),
        "{output}"
    );
    site.back();
    assert_eq!(
        site.tree(),
        before,
        "byte for byte, times and owners too, and nothing beside it"
    );
    assert_eq!(
        site.client()
            .get("/static/bklog/new.css")
            .expect("an answer")
            .status,
        404
    );

    // What somebody else has added since is not removed.
    site.expect_exit(COLLECT, 0);
    site.write("static/of-a-person.txt", "work");
    let back = site.back();
    assert!(back.out.contains("incomplete or changed since"), "{back:?}");
    assert!(!site.path("static/of-a-person.txt").exists());
    let kept = std::fs::read_dir(site.path(""))
        .expect("there")
        .flatten()
        .find(|e| e.path().join("of-a-person.txt").exists());
    std::fs::remove_dir_all(kept.expect("it is kept").path()).expect("removed");
    assert_eq!(site.tree(), before);

    // A directory that was not there is not there again.
    let fresh = COLLECT
        .replace("${static}", "${root}/new/static")
        .replace(r#", url: "${url}/static/""#, "");
    let fresh = fresh.replace(
        "{id: static,",
        r#"{id: static, env: {STATIC_ROOT: "${root}/new/static"},"#,
    );
    site.expect_exit(&fresh, 0);
    assert!(site.path("new/static/bklog/new.css").exists());
    site.back();
    assert!(!site.path("new/static").exists());
    assert_eq!(site.up(&["verify"], 0).code, 0);
}

#[test]
#[ignore = "a minute: the long tier runs it (tests/long)"]
fn each_lie_is_seen_through_and_its_cause_named() {
    let site = Site::new();
    site.switch_to("2.0");
    let prod = site.read("code/config/prod.py");
    let manage = site.read("code/manage.py");
    let lie = |line: &str| {
        let (head, rest) = manage.split_once("    from django").expect("manage.py");
        site.write(
            "code/manage.py",
            &format!("{head}    {line}\n    from django{rest}"),
        );
    };

    site.refused(
        &COLLECT.replace("settings: prod", "settings: dev"),
        &["STATIC_ROOT is None in settings"],
    );
    // Without the site's file Django collects into a directory that nobody serves.
    let nobody = COLLECT.replace("{id: static,", "{id: static, env: {BKLOG_ENV: /nowhere},");
    site.refused(
        &nobody,
        &[
            "Django collects into",
            "/code/staticfiles, and the web server serves",
        ],
    );
    site.refused(
        &nobody.replace(r#"root: "${static}", "#, ""),
        &[
            "404",
            "alias or root of the web server's location points to another directory",
        ],
    );
    // Exit 0 with nothing written, and with everything written elsewhere.
    lie("if 'collectstatic' in sys.argv: print('126 static files copied.'); sys.exit(0)");
    site.refused(COLLECT, &["files are not in", "bklog/new.css"]);
    lie("if 'collectstatic' in sys.argv: os.environ['STATIC_ROOT'] = '/tmp/upledger-elsewhere'");
    site.refused(
        COLLECT,
        &["collectstatic reports that it wrote to /tmp/upledger-elsewhere"],
    );
    std::fs::remove_dir_all("/tmp/upledger-elsewhere").expect("what the lie has written");
    lie("if 'collectstatic' in sys.argv: print('no platform'); sys.exit(1)");
    site.refused(COLLECT, &["collectstatic failed (exit 1): no platform"]);
    site.write("code/manage.py", &manage);
    // Files that the web server may not read.
    let closed = site.path("static/bklog");
    let mode = |bits| {
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(bits)).expect("its own")
    };
    mode(0o700);
    site.refused(
        COLLECT,
        &["www-data cannot read", "static/bklog (mode 0700"],
    );
    let only_url = COLLECT.replace("web_user: www-data, ", "");
    site.refused(&only_url, &["answers 403"]);
    mode(0o755);
    // Old content with a newer time, which Django leaves alone.
    site.write("static/bklog/new.css", "old");
    site.refused(
        COLLECT,
        &[
            "differ from their sources: bklog/new.css (older content with a newer time)",
            "`clear: true`",
        ],
    );
    let before = site.tree();
    site.expect_exit(
        &COLLECT.replace("settings: prod,", "settings: prod, clear: true,"),
        0,
    );
    site.back();
    assert_eq!(site.tree(), before);
    std::fs::remove_file(site.path("static/bklog/new.css")).expect("removed");
    // Noise around the answer, and Nginx that answers 200 with a page.
    site.write(
        "code/config/prod.py",
        &format!("import atexit\nprint('noise', end='')\natexit.register(print, 'more')\n{prod}"),
    );
    let conf = site.read("etc/nginx.conf");
    let fallback = conf.replace(
        &format!("alias {}/;", site.text("static")),
        "default_type text/html; return 200 '<!doctype html>';",
    );
    assert_ne!(conf, fallback);
    site.write("etc/nginx.conf", &fallback);
    let argv = site.command_of("nginx");
    Call::new(&argv[0])
        .args(&argv[1..])
        .args(["-s", "reload"])
        .run();
    crate::platform::patiently("the page is served", || {
        site.client()
            .get("/static/x")
            .is_ok_and(|a| a.body.contains("<!doctype"))
    });
    site.refused(COLLECT, &["answers 200 with a page instead of the file"]);
}

#[test]
fn killed_at_every_place_it_is_taken_back_or_finished() {
    let site = Site::new();
    let before = site.tree();
    site.switch_to("2.0");
    let hit = site.path("hit");
    let step = |point: &str| {
        let env = format!(
            "{{id: static, env: {{UPLEDGER_FAILPOINT: '{point}@{}'}},",
            hit.display()
        );
        COLLECT.replace("{id: static,", &env)
    };
    let forwards = [
        "static-before-copy",
        "static-copied",
        "static-kept",
        "static-before-collected",
        "static-collected",
    ];
    for point in some_of(&forwards) {
        site.expect_exit(&step(point), 1);
        assert!(hit.exists(), "{point}: it was killed there");
        if point != "static-kept" {
            site.up(&["decide", "static", "retry", "--reason", "test"], 0);
            site.up(&["resume"], 0);
            let page = site
                .client()
                .get("/static/bklog/new.css")
                .expect("an answer");
            assert_eq!(page.status, 200, "{point}");
        }
        site.up(&["rollback", "--reason", "test"], 5);
        assert_eq!(site.tree(), before, "{point}");
        std::fs::remove_file(&hit).expect("removed");
    }
    for point in some_of(&["static-before-exchange", "static-exchanged"]) {
        std::fs::write(&hit, "").expect("written");
        site.expect_exit(&step(point), 0);
        std::fs::remove_file(&hit).expect("removed");
        site.up(&["rollback", "--reason", "test"], 6);
        assert!(hit.exists(), "{point}: the undo was killed there");
        site.up(&["decide", "static", "retry", "--reason", "test"], 0);
        site.up(&["resume"], 5);
        assert_eq!(site.tree(), before, "{point}");
        std::fs::remove_file(&hit).expect("removed");
    }
    assert_eq!(site.up(&["verify"], 0).code, 0);
}

#[test]
fn the_checks_of_django_are_judged_by_their_level() {
    let site = Site::new();
    let check = |more: &str| {
        format!(
            r#"{{id: check, cwd: "${{code}}", do: {{django.check: {{python: "${{python}}", settings: prod{more}}}}}}}"#
        )
    };
    let done = site.expect_exit(&check(""), 0);
    assert!(done.out.contains("0 of level error or worse"), "{done:?}");
    let done = site.expect_exit(&check(", deploy: true"), 0);
    assert!(done.out.contains("warning: (security.W003)"), "{done:?}");
    let done = site.expect_exit(&check(", deploy: true, fail_level: warning"), 1);
    assert!(done.out.contains("warning: (security.W"), "{done:?}");
    site.up(&["abort", "--reason", "test"], 12);
    // An error that the exit code of nobody tells: the command ends before its checks.
    site.write("code/urls.py", "urlpatterns = 'none'\n");
    let done = site.expect_exit(&check(""), 1);
    assert!(done.out.contains("error: (urls.E"), "{done:?}");
    site.up(&["abort", "--reason", "test"], 12);
    let done = site.expect_exit(
        &check("").replace("settings: prod", "settings: no.such.settings"),
        1,
    );
    assert!(done.out.contains("No module named 'no'"), "{done:?}");
}

/// Card 12: a shell without a variable of the service leads the same code to another database.
#[test]
fn a_check_compares_the_databases_of_its_step_with_those_of_the_running_service() {
    let site = Site(Platform::up(Options::default()));
    let check = |more: &str| {
        format!(
            r#"{{id: check, cwd: "${{code}}", do: {{django.check: {{python: "${{python}}", settings: prod, service: {{pidfile: "${{root}}/run/gunicorn.pid"}}}}}}{more}}}"#
        )
    };
    let pid = site.pid("gunicorn").expect("it runs");
    let done = site.expect_exit(&check(""), 0);
    let same = format!("the running service (process {pid}) uses the same databases");
    assert!(done.out.contains(&same), "{done:?}");
    let other = check(", env: {DB_NAME: elsewhere}");
    let done = site.expect_exit(&other, 1);
    for part in [
        "the database default of this step is not that of the running service",
        "name=elsewhere",
        &format!("process {pid} has"),
        "`env_file` that the service has",
    ] {
        assert!(done.out.contains(part), "{part}: {done:?}");
    }
    let password = site.read("etc/bklog.env");
    let password = password
        .lines()
        .find_map(|l| l.strip_prefix("DB_PASSWORD="))
        .expect("a password");
    assert!(!done.out.contains(password), "{done:?}");
    site.up(&["abort", "--reason", "test"], 12);
    crate::common::kill(pid);
    patiently("it is gone", || site.pid("gunicorn").is_none());
    let done = site.expect_exit(&other, 0);
    assert!(done.out.contains("the service does not run"), "{done:?}");
}

#[test]
fn a_storage_with_a_hash_of_its_own_is_asked_and_bytes_that_are_no_text_are_compared() {
    let site = Site::new();
    site.switch_to("2.0");
    // A file that is not UTF-8, and a storage whose names have another digest.
    let script = site.path("code/apps/log_search/static/bklog/pay.bin");
    std::fs::write(&script, b"alert('\xc6\xf4\xd3\xc3');\n").expect("written");
    let storage = "import hashlib\nfrom django.contrib.staticfiles.storage import ManifestStaticFilesStorage\n\
                   class Own(ManifestStaticFilesStorage):\n    def file_hash(self, name, content=None):\n        \
                   return content and hashlib.sha256(b''.join(content.chunks())).hexdigest()[:16]\n";
    site.write("code/config/own_storage.py", storage);
    let settings = site.read("code/config/default.py");
    let own = settings.replace(
        "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
        "config.own_storage.Own",
    );
    assert_ne!(own, settings);
    site.write("code/config/default.py", &own);
    let clear = COLLECT.replace("settings: prod,", "settings: prod, clear: true,");
    let done = site.expect_exit(&clear, 0);
    assert!(done.out.contains("answer 200 with the bytes"), "{done:?}");

    // The web server serves a copy of it, with another word in the same encoding.
    let served = site.path("served");
    Call::new("cp")
        .args(["-a", &site.text("static"), &served.display().to_string()])
        .run();
    for entry in std::fs::read_dir(served.join("bklog")).expect("collected") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().contains("pay") {
            std::fs::write(&path, b"alert('\xbd\xfb\xd3\xc3');\n").expect("written");
        }
    }
    let config = site.read("etc/nginx.conf");
    let stale = config.replace(&site.text("static"), &site.text("served"));
    assert_ne!(stale, config);
    site.write("etc/nginx.conf", &stale);
    let argv = site.command_of("nginx");
    Call::new(&argv[0])
        .args(&argv[1..])
        .args(["-s", "reload"])
        .run();
    let done = site.run(&[&clear]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.out.contains("pay") && done.out.contains("other bytes than the file"),
        "{done:?}"
    );
}
