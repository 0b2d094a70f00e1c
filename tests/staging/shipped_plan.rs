//! The plan that `init --template django` writes, adapted as its comments ask, upgrades the platform unattended, and its
//! rollback brings back what was there.

use crate::acceptance::Upgrade;
use crate::platform::{Keeping, Platform};
use crate::switch::releases;
use std::os::unix::fs::PermissionsExt as _;

/// The plan of `init` in the platform's state directory, with the places that its comments name adapted, and the variables
/// beside it.
pub(crate) fn adapted(upgrade: &Upgrade) -> (String, String) {
    let platform = &upgrade.platform;
    let path = platform.world().path("shop.yaml").display().to_string();
    let done = platform
        .world()
        .upledger(&["init", &path, "--template", "django"]);
    assert_eq!(done.code, 0, "{done:?}");
    let mut plan = std::fs::read_to_string(&path).expect("the plan");
    let password = password_file(platform);
    let ctl = "ctl: [supervisorctl, -c, \"${root}/etc/supervisord.conf\"]";
    let cron = format!("user: {}", upgrade.cron());
    let wheels = crate::platform::staging().join("wheels");
    let edits = [
        ("/etc/app/db.pass", password),
        (
            "program: web}",
            format!("program: \"bklog:gunicorn\", {ctl}}}"),
        ),
        (
            "program: worker}",
            format!("program: \"bklog:worker\", {ctl}}}"),
        ),
        (
            "program: beat}",
            format!("program: \"bklog:beat\", {ctl}}}"),
        ),
        (
            "conf: \"${nginx}\"",
            format!(
                "by: {{supervisor: {{program: nginx, {ctl}}}}}, conf: \"${{nginx}}\", prefix: \"${{root}}\""
            ),
        ),
        (
            "cron.disable: {match: \"${root}/\"}",
            format!("cron.disable: {{{cron}, match: bk-monitor}}"),
        ),
        ("cron.enable: {}", format!("cron.enable: {{{cron}}}")),
        (
            "requirements: [requirements.txt]",
            format!(
                "requirements: [requirements.txt]\n            find_links: [{:?}]\n            no_index: true",
                wheels.display().to_string()
            ),
        ),
        (
            "{key: APP_RELEASE, value: \"${release}\"",
            "{key: SICK_FILE, value: \"${root}/run/ill\"".to_owned(),
        ),
    ];
    for (from, to) in edits {
        assert!(plan.contains(from), "{from} is not in the template");
        plan = plan.replace(from, &to);
    }
    std::fs::write(&path, plan).expect("written");
    let variables = [
        ("tag", "bklog/${release}".to_owned()),
        ("root", platform.text("").trim_end_matches('/').to_owned()),
        ("repo", platform.text("app.git")),
        ("code", platform.text("code")),
        ("venv", platform.text("venv")),
        ("static", platform.text("static")),
        ("settings", platform.text("etc/bklog.env")),
        ("app", "celery_app".to_owned()),
        ("database", platform.sql("SELECT DATABASE()")),
        ("db_user", "keeper".to_owned()),
        ("db_socket", platform.text("run/mariadb.sock")),
        ("nginx", platform.text("etc/nginx.conf")),
        ("site", platform.url()),
        (
            "port",
            platform
                .web()
                .rsplit(':')
                .next()
                .expect("a port")
                .to_owned(),
        ),
    ];
    let variables: serde_json::Map<String, serde_json::Value> = variables
        .into_iter()
        .map(|(name, value)| {
            (
                name.to_owned(),
                value.trim().replace("${release}", "2.0").into(),
            )
        })
        .collect();
    let vars = platform.world().path("night.json").display().to_string();
    let text = serde_json::to_string(&variables).expect("JSON");
    std::fs::write(&vars, text).expect("written");
    (path, vars)
}

/// A file with a password of the database, and an account of that password which may create the scratch schema.
fn password_file(platform: &Platform) -> String {
    let settings = platform.read("etc/bklog.env");
    let password = settings
        .lines()
        .find_map(|l| l.strip_prefix("DB_PASSWORD="))
        .expect("a password");
    platform.sql(&format!(
        "GRANT ALL ON *.* TO keeper@localhost IDENTIFIED BY '{password}'"
    ));
    platform.write("etc/db.pass", password);
    let path = platform.path("etc/db.pass");
    let owners = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, owners).expect("its mode");
    path.display().to_string()
}

/// What the health page says while this file is there.
fn health_with(platform: &Platform, file: &str) -> String {
    platform.write(file, "");
    let page = platform.client().get("/healthz/").expect("an answer");
    std::fs::remove_file(platform.path(file)).expect("removed");
    page.body
}

#[test]
fn the_template_for_django_upgrades_the_platform_and_goes_back() {
    let upgrade = Upgrade::with(releases(Keeping::Supervisor));
    let platform = &upgrade.platform;
    let world = platform.world();
    let (plan, vars) = adapted(&upgrade);
    assert_eq!(
        platform
            .client()
            .get("/slow?seconds=0&token=old")
            .expect("an answer")
            .status,
        200
    );
    let settings = platform.read("etc/bklog.env");
    let before = upgrade.world();

    let looked = world.upledger(&["plan", &plan, "--vars", &vars]);
    assert_eq!(looked.code, 0, "{looked:?}");
    assert_eq!(upgrade.world(), before);

    let done = world.upledger(&["run", &plan, "--vars", &vars]);
    assert_eq!(done.code, 0, "{done:?}");
    upgrade.is_at_2();
    // Old rows are there, and have the new column.
    let old = platform
        .client()
        .get("/orders?token=old")
        .expect("an answer");
    assert!(old.body.contains(r#""levels": ["info"]"#), "{old:?}");
    let style = platform.client().get("/").expect("an answer").body;
    let style = style.split('"').nth(3).expect("the style sheet").to_owned();
    assert_eq!(
        platform.client().get(&style).expect("an answer").status,
        200
    );
    assert_eq!(health_with(platform, "run/ill"), "health check failed\n");
    assert_eq!(health_with(platform, "run/sick"), "ok\n");

    let back = world.upledger(&["rollback", "--reason", "test", "--accept-data-loss"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(upgrade.world(), before);
    assert_eq!(platform.read("etc/bklog.env"), settings);
    assert_eq!(health_with(platform, "run/sick"), "health check failed\n");
    upgrade.works("1.0");
}
