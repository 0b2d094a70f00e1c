//! How long users are shut out by an upgrade: from the first refused request to the first good answer of the new release,
//! as a client sees it. Three ways, one after the other on the same platform: releases prepared before the stop, the same
//! steps all behind the stop, and a script that does by hand what the first does. It is a measurement of its machine, so it is
//! run on its own (`docs/outage.md`): `UPLEDGER_OUTAGES` says how many of each (five).

#![expect(
    clippy::print_stdout,
    reason = "the figures are the result of this test"
)]

use crate::acceptance::Upgrade;
use crate::platform::{Keeping, Platform, patiently};
use crate::switch::{PLAN, releases};
use std::fmt::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Users ask that often.
const OFTEN: Duration = Duration::from_millis(10);

/// Asks all the time while `work` lasts; from the first refused request to the first good answer behind it.
fn outage(platform: &Platform, work: impl FnOnce()) -> Duration {
    let client = platform.client();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut refused, mut back) = (None, None);
            while !over.load(Ordering::Relaxed) || (refused.is_some() && back.is_none()) {
                let good = client.get("/version").is_ok_and(|a| a.status == 200);
                match (good, refused) {
                    (false, None) => refused = Some(Instant::now()),
                    (true, Some(_)) if back.is_none() => back = Some(Instant::now()),
                    _ => {}
                }
                std::thread::sleep(OFTEN);
            }
            let (refused, back) = refused
                .zip(back)
                .expect("users were shut out, and let in again");
            println!("shut out for {:.2} s", (back - refused).as_secs_f64());
            back - refused
        });
        work();
        over.store(true, Ordering::Relaxed);
        watch.join().expect("it watches to its end")
    })
}

/// The steps of the first phase behind the check that everything has stopped, each switching as it builds.
fn old_order() -> String {
    let (prepare, rest) = PLAN
        .split_once("  - phase: stop\n")
        .expect("the stop behind the preparation");
    let (stop, rest) = rest.split_once("  - phase: switch\n").expect("the switch");
    let (_, rest) = rest
        .split_once("  - phase: migrate\n")
        .expect("the migration");
    let steps = prepare
        .split_once("    steps:\n")
        .expect("steps")
        .1
        .replace(
            "releases: \"${root}/releases\",",
            "releases: \"${root}/releases\", current: \"${code}\",",
        )
        .replace(
            "venv: \"${venvs}/RELEASE\",",
            "venv: \"${venvs}/RELEASE\", current: \"${venv}\",",
        );
    let switch = "      - {id: switch, do: {release.switch: {links: [{path: \"${static}\", to: {from: files.root}}]}}}\n";
    format!(
        "phases:\n  - phase: stop\n{stop}  - phase: change\n    steps:\n{steps}{switch}  - phase: migrate\n{rest}"
    )
}

/// What the prepared plan does, as a careful person types it: the release is built, everything is stopped and seen to be
/// stopped, the links are turned, the database is migrated, everything is started and seen to work.
fn by_hand(platform: &Platform, crontab: &str) -> String {
    let line = |name: &str| platform.command_of(name).join(" ");
    let mut script = String::from("set -eu\n");
    let mut add = |text: &str| writeln!(script, "{text}").expect("text");
    for (name, value) in [
        ("root", platform.text("").trim_end_matches('/').to_owned()),
        ("nginx", line("nginx")),
        ("gunicorn", line("gunicorn")),
        ("worker", line("worker")),
        ("beat", line("beat")),
        (
            "wheels",
            crate::platform::staging()
                .join("wheels")
                .display()
                .to_string(),
        ),
        ("url", platform.url()),
        ("web", platform.web()),
        ("cron", crontab.to_owned()),
    ] {
        add(&format!("{name}='{value}'"));
    }
    add(r#"
stopped() { while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; }
release="$root/releases/hand"; venv="$root/venvs/hand"; static="$root/statics/hand"
git clone -q "$root/app.git" "$release" && git -C "$release" checkout -q --detach bklog/2.0
/usr/bin/python3 -m venv "$venv"
PIP_NO_COMPILE=1 "$venv/bin/python" -m pip install -q --no-index --find-links "$wheels" -r "$release/requirements.txt"
cd "$release"
"$venv/bin/python" -c "import celery_app, wsgi"
STATIC_ROOT="$static" "$venv/bin/python" manage.py collectstatic --noinput >/dev/null
"$venv/bin/python" manage.py check >/dev/null

nginx_pid=$(cat "$root/run/nginx.pid"); kill -QUIT "$nginx_pid"; stopped "$nginx_pid"
beat_pid=$(cat "$root/run/beat.pid"); kill -TERM "$beat_pid"; stopped "$beat_pid"
cd "$root/code"
"$root/venv/bin/python" -m celery -A celery_app inspect active >/dev/null
worker_pid=$(cat "$root/run/worker.pid"); kill -TERM "$worker_pid"; stopped "$worker_pid"
web_pid=$(cat "$root/run/gunicorn.pid"); kill -TERM "$web_pid"; stopped "$web_pid"
crontab -u "$cron" -l | sed 's|^\([^#].*bk-monitor\)|#hand \1|' | crontab -u "$cron" -
! pgrep -f "$root/.*(gunicorn|celery)" >/dev/null

for pair in code:$release venv:$venv static:$static; do
  ln -s "${pair#*:}" "$root/${pair%%:*}.hand" && mv -T "$root/${pair%%:*}.hand" "$root/${pair%%:*}"
done
"$root/venv/bin/python" "$root/code/manage.py" migrate --noinput >/dev/null

cd "$root/code"
$gunicorn --daemon
until curl -sf -o /dev/null "$web/readiness/"; do sleep 0.05; done
$worker --detach
until "$root/venv/bin/python" -m celery -A celery_app inspect ping >/dev/null 2>&1; do sleep 0.05; done
$beat --detach
until [ -s "$root/run/beat.pid" ]; do sleep 0.05; done
$nginx
curl -sf "$url/version" | grep -q 2.0
crontab -u "$cron" -l | sed 's|^#hand ||' | crontab -u "$cron" -
"#);
    script
}

/// The platform as it was, whatever the script has done.
fn undo_by_hand(platform: &Platform) {
    let script = r#"set -eu
stopped() { while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; }
for name in nginx beat worker gunicorn; do
  # Celery writes it a second time when it has detached.
  until pid=$(cat "$root/run/$name.pid" 2>/dev/null) && [ -n "$pid" ]; do sleep 0.05; done
  kill -TERM "$pid"; stopped "$pid"
done
cd "$root/code" && "$root/venv/bin/python" manage.py migrate log_search 0001 >/dev/null
ln -sfn "$root/releases/first" "$root/code"; ln -sfn venvs/1.0 "$root/venv"; ln -sfn "$root/statics/first" "$root/static"
rm -rf "$root/releases/hand" "$root/venvs/hand" "$root/statics/hand"
"#;
    sh(platform, script);
    platform.start_apps();
    platform.await_apps();
}

fn sh(platform: &Platform, script: &str) {
    let done = Command::new("bash")
        .args(["-c", script])
        .env("root", platform.text("").trim_end_matches('/'))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .expect("bash");
    assert!(done.status.success(), "{done:?}");
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

#[test]
#[ignore = "a measurement, which needs the machine for itself: tests/long, docs/outage.md"]
fn the_outage_of_prepared_releases_beside_the_old_order_and_beside_a_person() {
    let times = std::env::var("UPLEDGER_OUTAGES").ok();
    let times: u32 = times.map_or(5, |n| n.parse().expect("a number"));
    let upgrade = Upgrade::with(releases(Keeping::Plain));
    let platform = &upgrade.platform;
    let world = platform.world();
    let before = upgrade.world().without_data();
    let fill = |plan: &str| plan.replace("RELEASE", "2.0").replace("FORMER", "0001");
    let forget = || {
        for dir in ["releases", "venvs", "statics"] {
            for entry in std::fs::read_dir(platform.path(dir))
                .expect("there")
                .flatten()
            {
                if entry.file_name().to_string_lossy().contains("2.0") {
                    std::fs::remove_dir_all(entry.path()).expect("removed");
                }
            }
        }
    };
    let by_upledger = |plan: &str| {
        let plan = upgrade.plan_of(&fill(plan), Keeping::Plain, "", "");
        let took = outage(platform, || {
            let done = world.upledger(&["run", &plan]);
            assert_eq!(done.code, 0, "{done:?}");
        });
        assert_eq!(platform.release(), "2.0");
        let back = world.upledger(&["rollback", "--reason", "test"]);
        assert_eq!(back.code, 5, "{back:?}");
        forget();
        took
    };
    let script = by_hand(platform, upgrade.cron());
    let (mut prepared, mut old, mut hand) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=times {
        prepared.push(by_upledger(PLAN));
        old.push(by_upledger(&old_order()));
        hand.push(outage(platform, || sh(platform, &script)));
        assert_eq!(platform.release(), "2.0");
        undo_by_hand(platform);
        patiently("everything is as before", || {
            upgrade.world().without_data() == before
        });
        let last = |all: &[Duration]| all.last().map_or(0.0, Duration::as_secs_f64);
        println!(
            "round {round}: prepared {:.2} s, old order {:.2} s, by hand {:.2} s",
            last(&prepared),
            last(&old),
            last(&hand)
        );
    }
    let [prepared, old, hand] = [prepared, old, hand].map(|all| median(all).as_secs_f64());
    println!(
        "medians of {times}: prepared {prepared:.2} s, old order {old:.2} s, by hand {hand:.2} s; {:.2} of the old order, {:.2} of by \
         hand",
        prepared / old,
        prepared / hand
    );
    assert!(prepared <= old / 2.0, "at most half of the old order");
    assert!(prepared <= hand * 1.2, "at most 1.2 times by hand");
}
