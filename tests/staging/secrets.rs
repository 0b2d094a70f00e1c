//! A password of databases and stores is nowhere but where it has to be: not in the ledger, in job directories, in outputs and
//! reports, and not in the arguments of any process. It is a new one each time, so that nothing knows it beforehand.

use crate::platform::Call;
use crate::small::{Ground, number};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Every file below, but what an undo puts back.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("listed").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if path.ends_with("undo") => {}
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

fn holds(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|w| w == part.as_bytes())
}

/// The password, and what it looks like in base64 wherever it begins.
fn forms(password: &str) -> Vec<String> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let coded = |bytes: &[u8]| -> String {
        let whole = bytes.chunks_exact(3).flat_map(|c| {
            let bits = u32::from(c[0]) << 16 | u32::from(c[1]) << 8 | u32::from(c[2]);
            [18, 12, 6, 0].map(|shift| char::from(SIGNS[(bits >> shift & 63) as usize]))
        });
        whole.collect()
    };
    let mut forms: Vec<String> = (0..3)
        .map(|skip| coded(&password.as_bytes()[skip..]))
        .collect();
    forms.push(password.to_owned());
    forms
}

/// Refuses a state directory in which it stands.
#[track_caller]
pub(crate) fn nowhere(state: &Path, password: &str) {
    let forms = forms(password);
    let all = files(state);
    assert!(all.iter().any(|f| f.ends_with("ledger.db")), "{all:?}");
    for file in all {
        let bytes = std::fs::read(&file).expect("read");
        for form in &forms {
            assert!(!holds(&bytes, form), "{form} in {}", file.display());
        }
    }
}

/// Looks at the arguments of every process until the flag falls; those that hold it.
fn arguments(password: &str, on: &AtomicBool) -> Vec<String> {
    let mut found = Vec::new();
    let mut looks = 0;
    while on.load(Ordering::SeqCst) {
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if holds(&words, password) {
                found.push(words.escape_ascii().to_string());
            }
        }
        looks += 1;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(looks > 10, "it was looked {looks} times");
    found
}

/// Does that while the arguments of all processes are looked at, none of which may hold it.
#[track_caller]
pub(crate) fn watched<T>(password: &str, work: impl FnOnce() -> T) -> T {
    /// Falls when it is dropped, so that a test that fails ends, too.
    struct Flag<'a>(&'a AtomicBool);
    impl Drop for Flag<'_> {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let on = AtomicBool::new(true);
    let (done, seen) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| arguments(password, &on));
        let flag = Flag(&on);
        let done = work();
        drop(flag);
        (done, looks.join().expect("it looked"))
    });
    assert!(seen.is_empty(), "{seen:#?}");
    done
}

#[test]
fn a_password_is_nowhere_but_where_it_has_to_be() {
    let ground = Ground::new();
    let shop = ground.project("secretive");
    shop.initial();
    shop.models(&["price"]);
    shop.migration("0002_price", "0001_initial", &number("price"));
    let settings = std::fs::read_to_string(shop.path("proj/settings.py")).expect("settings");
    shop.write(
        "proj/settings.py",
        &format!(
            "{settings}DATABASES['default']['PASSWORD'] = os.environ.get('DB_PASSWORD', '')\n"
        ),
    );
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a number");
    let password = format!("Pw{}x", random.trim().replace('-', ""));
    ground.sql(&format!(
        "CREATE USER keeper@localhost IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO keeper@localhost WITH GRANT OPTION"
    ));
    let port = ground.redis_port().to_string();
    let redis = |words: &[&str]| Call::new("redis-cli").args(["-p", &port]).args(words).run();
    redis(&["SET", "session:1", "a"]);
    redis(&["CONFIG", "SET", "requirepass", &password]);
    let world = ground.world();
    for (name, text) in [("pw", password.as_str()), ("app.env", "DB_PASSWORD=old\n")] {
        world.write(name, text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(world.path(name), mode).expect("its mode");
    }
    let (socket, python, code) = (
        ground.text("run/mariadb.sock"),
        ground.text("venv/bin/python"),
        shop.path("").display().to_string(),
    );
    world.write(
        "plan.yaml",
        &format!(
            "upledger: 1\nname: secret\nsecrets: {{db: {{file: @/pw}}}}\nphases:\n  - phase: all\n    steps:\n      \
             - {{id: vars, do: {{env.set: {{variables: {{DB_USER: keeper, DB_PASSWORD: {{secret: db}}}}}}}}}}\n      \
             - {{id: dump, do: {{mysql.backup: {{server: {{socket: {socket}, user: keeper, password: {{secret: db}}}}, database: secretive}}}}}}\n      \
             - {{id: keys, do: {{redis.backup: {{server: {{host: 127.0.0.1, port: {port}, password: {{secret: db}}}}, keys: [\"session:*\"]}}}}}}\n      \
             - {{id: conf, do: {{config.set: {{path: @/app.env, edits: [{{key: DB_PASSWORD, value: {{secret: db}}}}]}}}}}}\n      \
             - {{id: schema, cwd: \"{code}\", do: {{django.migrate: {{python: {python}, backup: dump}}}}}}\n      \
             - {{id: keys-back, do: {{redis.restore: {{backup: keys}}}}}}\n      \
             - {{id: data-back, do: {{mysql.restore: {{backup: dump, watch: 300ms}}}}, undo: none}}\n      \
             - {{id: tells, do: {{shell: \"echo $DB_PASSWORD; echo $DB_PASSWORD | base64; printenv DB_PASSWORD >&2; exit 1\"}}, effect: idempotent, undo: none}}\n"
        ),
    );
    let mut said = Vec::new();
    let wrong: Vec<String> = watched(&password, || {
        let mut ask = |args: &[&str], code: i32| {
            let done = world.upledger(args);
            said.push((args.join(" "), format!("{}{}", done.out, done.err)));
            (done.code == code)
                .then_some(())
                .ok_or_else(|| format!("{args:?}: {done:?}"))
        };
        let mut told = vec![
            ask(&["plan", "plan.yaml"], 0),
            ask(&["run", "plan.yaml"], 1),
        ];
        for args in [
            &["status"][..],
            &["status", "--json"],
            &["log"],
            &["log", "--json"],
            &["replay"],
            &["export"],
        ] {
            told.push(ask(args, 0));
        }
        for format in [
            "html", "md", "csv", "json", "chrome", "otlp", "mermaid", "grafana",
        ] {
            told.push(ask(&["timeline", "--format", format], 0));
        }
        told.push(ask(&["rollback", "--plan"], 0));
        told.push(ask(&["rollback", "--reason", "test"], 5));
        told.push(ask(&["log", "--json"], 0));
        told.into_iter().filter_map(Result::err).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (command, text) in &said {
        for form in forms(&password) {
            assert!(
                !text.contains(&form),
                "{form} in the output of {command}: {text}"
            );
        }
    }
    assert!(
        said.iter().any(|(_, text)| text.contains("[redacted:db]")),
        "the step has told it"
    );
    nowhere(&world.state(), &password);
    assert_eq!(world.lines("app.env"), ["DB_PASSWORD=old"]);
}
