//! Django is asked by its settings where there is no `manage.py`, and by an entry point of another name; a preview lets no
//! application write to its database.

use crate::platform::{Keeping, Options, Platform};
use serde_json::Value;

fn platform() -> Platform {
    let platform = Platform::up(Options {
        keeping: Keeping::Down,
        ..Options::default()
    });
    std::fs::remove_file(platform.path("code/manage.py")).expect("there is one");
    platform
}

const CHECK: &str =
    r#"{id: check, cwd: "${code}", do: {django.check: {python: "${python}", MORE}}}"#;

/// The verdict of the only step, and its evidence.
fn previewed(platform: &Platform, step: &str) -> (String, String) {
    let rest = format!("phases:\n  - phase: all\n    steps:\n      - {step}\n");
    let plan = platform.plan("preview", &rest);
    let plan = plan.display().to_string();
    let done = platform.world().upledger(&["plan", &plan, "--json"]);
    let value: Value = serde_json::from_str(done.out.trim()).expect("JSON");
    let step = &value["steps"][0];
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (word(&step["verdict"]), step["evidence"].to_string())
}

#[test]
fn the_settings_alone_or_an_entry_point_of_another_name_make_the_application() {
    let platform = platform();
    let alone = CHECK.replace("MORE", "settings: settings");
    let (verdict, evidence) = previewed(&platform, &alone);
    assert_eq!(verdict, "run", "{evidence}");
    assert!(evidence.contains("holds now: Django "), "{evidence}");
    let done = platform.run(&[&alone]);
    assert_eq!(done.code, 0, "{done:?}");

    platform.write(
        "code/site-admin",
        "import os, sys\nfrom django.core.management import ManagementUtility\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nManagementUtility(sys.argv).execute()\n",
    );
    let own = CHECK.replace("MORE", "manage: \"${code}/site-admin\"");
    let done = platform.run(&[&own]);
    assert_eq!(done.code, 0, "{done:?}");
    std::fs::remove_dir_all(platform.path("static/bklog")).expect("it was collected");
    let static_files = r#"{id: static, cwd: "${code}", do: {django.collectstatic: {python: "${python}", settings: settings, root: "${static}"}}}"#;
    let done = platform.run(&[static_files]);
    assert_eq!(done.code, 0, "{done:?}");
    let log = platform.world().upledger(&["log", "--json"]).out;
    assert!(log.contains("-m django collectstatic"), "{log}");
}

#[test]
fn an_application_that_writes_when_it_is_set_up_is_not_let_to_by_a_preview() {
    let platform = platform();
    let apps = "code/apps/log_search/apps.py";
    let text = platform.read(apps);
    platform.write(
        apps,
        &format!(
            "{text}\n    def ready(self):\n        from django.db import connection\n        with connection.cursor() as c:\n            c.execute(\"CREATE TABLE written_in_ready (x INT)\")\n"
        ),
    );
    let tables = || platform.sql("SHOW TABLES LIKE 'written_in_ready'");
    for step in [
        CHECK.replace("MORE", "settings: settings"),
        r#"{id: static, cwd: "${code}", do: {django.collectstatic: {python: "${python}", settings: settings}}}"#.into(),
    ] {
        let (verdict, evidence) = previewed(&platform, &step);
        assert_eq!(verdict, "cannot_tell", "{evidence}");
        assert!(evidence.contains("writes to its database when it is set up"), "{evidence}");
    }
    assert_eq!(tables(), "", "nothing was written");
}
