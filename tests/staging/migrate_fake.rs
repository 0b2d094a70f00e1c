//! `django.fake` and `django.command` on small projects.

use crate::small::{Ground, Project, number, says};

/// A step of the project, whose settings are these.
fn step(shop: &Project<'_>, kind: &str, settings: &str, more: &str) -> String {
    format!(
        "{{id: it, cwd: \"{}\", do: {{{kind}: {{python: \"${{python}}\", {settings}}}}}{more}}}",
        shop.path("").display().to_string().trim_end_matches('/'),
    )
}

/// Runs it; a failed one is given up.
fn expect(shop: &Project<'_>, step: &str, code: i32, words: &[&str]) {
    let done = shop.up(&["run", &shop.plan_of(&[step])], code);
    says(&done.out, words);
    if code != 0 {
        shop.abort();
    }
}

/// Cards 14 and 40.
#[test]
fn one_migration_is_recorded_where_the_schema_holds_all_of_it() {
    let ground = Ground::new();
    let shop = ground.project("faked");
    shop.initial();
    shop.migration("0002_price", "0001_initial", &number("price"));
    shop.migration(
        "0003_fill",
        "0002_price",
        "def fill(apps, se): pass\n---\nmigrations.RunPython(fill)",
    );
    shop.migration("0004_stock", "0003_fill", &number("stock"));
    let fake = |name: &str, more: &str| {
        step(
            &shop,
            "django.fake",
            &format!("app: shop, name: {name}{more}"),
            "",
        )
    };
    shop.sql("ALTER TABLE shop_item ADD COLUMN price BIGINT NOT NULL DEFAULT 5");
    expect(
        &shop,
        &fake("0002_price", ""),
        1,
        &["column shop_item.price is bigint NOT NULL DEFAULT 5, not int NOT NULL"],
    );
    shop.sql("ALTER TABLE shop_item MODIFY COLUMN price INT NOT NULL DEFAULT 5");
    expect(
        &shop,
        &fake("0002_price", ""),
        1,
        &["is int NOT NULL DEFAULT 5, not int NOT NULL"],
    );
    shop.sql("ALTER TABLE shop_item ALTER COLUMN price DROP DEFAULT");
    expect(
        &shop,
        &fake("0004_stock", ""),
        1,
        &["before shop.0004_stock these are open: shop.0002_price, shop.0003_fill"],
    );
    expect(
        &shop,
        &fake("0002", ""),
        1,
        &["the code has no migration shop.0002", "0002_price"],
    );
    expect(
        &shop,
        &fake("0002_price", ""),
        0,
        &["shop.0002_price is recorded as applied, and no other row is new"],
    );
    assert_eq!(shop.rows(), "0001_initial 0002_price");
    let back = ground.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(shop.rows(), "0001_initial", "that row alone is gone");
    expect(&shop, &fake("0002_price", ""), 0, &[]);
    expect(&shop, &fake("0002_price", ""), 0, &["step.satisfied"]);
    expect(
        &shop,
        &fake("0003_fill", ""),
        1,
        &["changes data", "RunPython", "done_instead"],
    );
    expect(
        &shop,
        &fake("0003_fill", ", done_instead: filled by hand"),
        0,
        &["filled by hand"],
    );
    assert_eq!(shop.rows(), "0001_initial 0002_price 0003_fill");

    let tag = ground.project("prefix");
    tag.initial();
    tag.migration(
        "0002_tag",
        "0001_initial",
        "migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True)), ('item', models.ForeignKey('shop.Item', \
         models.CASCADE))]), migrations.AddField('Item', 'stock', models.IntegerField(default=7, db_index=True))",
    );
    let sql = tag.manage(&["sqlmigrate", "shop", "0002"]);
    let statements: Vec<&str> = sql
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with("--"))
        .collect();
    assert_eq!(statements.len(), 5, "{sql}");
    let fake = step(&tag, "django.fake", "app: shop, name: 0002_tag", "");
    for (statement, lack) in statements.iter().zip([
        "column shop_item.stock is missing",
        "column shop_item.stock is int NOT NULL DEFAULT 7, not int NOT NULL",
        "foreign key shop_tag.item_id -> shop_item.id is missing",
        "index shop_item (stock) is missing",
        "",
    ]) {
        tag.sql(&statement.replace('`', ""));
        let code = i32::from(!lack.is_empty());
        expect(&tag, &fake, code, &[lack]);
    }
}

/// Card 19.
#[test]
fn a_command_has_to_meet_every_condition_that_is_declared() {
    let ground = Ground::new();
    let shop = ground.project("commands");
    shop.initial();
    shop.models(&[]);
    shop.write(
        "shop/management/commands/sync.py",
        "import sys\nfrom django.core.management.base import BaseCommand\nclass Command(BaseCommand):\n    \
         def add_arguments(self, p): p.add_argument('--mode', default='swallow')\n    \
         def handle(self, *a, mode, **k):\n        \
         from shop.models import Item\n        \
         if mode == 'good':\n            for n in 'abc': Item.objects.create(name=n)\n            self.stdout.write('sync \\x1b[32mfinished\\x1b[0m successfully')\n        \
         if mode == 'swallow':\n            self.stderr.write('row skipped: Data too long')\n            self.stdout.write(self.style.SUCCESS('sync finished successfully'))\n        \
         if mode == 'early':\n            self.stdout.write('sync finished successfully'); raise SystemExit(3)\n        \
         if mode == 'return': return 'failed: remote said no'\n",
    );
    let sync = |mode: &str, more: &str| {
        let settings = format!(
            "name: sync, args: [--mode, {mode}], success: [finished successfully], failure: [skipped, failed]{more}"
        );
        step(
            &shop,
            "django.command",
            &settings,
            ", on_doubt: ask, undo: none",
        )
    };
    expect(
        &shop,
        &sync("swallow", ""),
        1,
        &["its standard error has 'skipped': row skipped: Data too long"],
    );
    expect(
        &shop,
        &sync("early", ""),
        1,
        &["it ended with exit 3, not exit 0"],
    );
    expect(
        &shop,
        &sync("return", ""),
        1,
        &[
            "has no line with 'finished successfully'",
            "its output has 'failed': failed: remote said no",
        ],
    );
    let three = ", rows: [{query: SELECT COUNT(*) FROM shop_item, is: \"3\"}]";
    expect(
        &shop,
        &sync("good", three),
        0,
        &["SELECT COUNT(*) FROM shop_item: 3"],
    );
    expect(
        &shop,
        &sync("good", three),
        1,
        &["SELECT COUNT(*) FROM shop_item: 6, not 3"],
    );
    let writes = ", rows: [{query: DELETE FROM shop_item, is: \"3\"}]";
    expect(&shop, &sync("good", writes), 1, &["READ ONLY"]);
    assert_eq!(shop.sql("SELECT COUNT(*) FROM shop_item"), "9");

    ground.switch_to("2.0-iam");
    let iam = "{id: iam, cwd: \"${code}\", do: {django.command: {python: \"${python}\", name: iam_upgrade_action_v2, success: [Congratulations], failure: [Sorry]}}, on_doubt: ask, undo: none}";
    expect(
        &shop,
        iam,
        1,
        &[
            "no line with 'Congratulations'",
            "its output has 'Sorry': Sorry, maybe something wrong with IAM upgrade",
        ],
    );
}

/// A database is emptied only in a plan for the environment `test`, under its name, and its undo is the backup.
#[test]
fn the_database_of_a_test_installation_is_emptied_and_comes_back() {
    let ground = Ground::new();
    let shop = ground.project("emptied");
    shop.initial();
    shop.sql("INSERT INTO shop_item (name) VALUES ('a'), ('b')");
    let seen = || shop.sql("CHECKSUM TABLE shop_item, django_migrations");
    let before = seen();
    let dump = r#"{id: dump, do: {mysql.backup: {server: {socket: "${db_socket}", user: root}, database: emptied}}}"#;
    let plan = |name: &str, environment: &str| {
        let settings = format!("database: {name}, backup: dump");
        let step = step(&shop, "django.reinitialise", &settings, "");
        let path = shop.plan_of(&[dump, &step]);
        let text = std::fs::read_to_string(&path).expect("the plan");
        std::fs::write(&path, format!("environment: {environment}\n{text}")).expect("written");
        path
    };
    let refused = ground
        .world()
        .upledger(&["check", &plan("emptied", "production")]);
    assert_eq!(refused.code, 3, "{refused:?}");
    says(
        &refused.err,
        &["only for plans with `environment: test`; this plan is for `production`"],
    );

    let done = shop.up(&["run", &plan("other", "test")], 1);
    says(&done.out, &["schema emptied on", "`database` says other"]);
    shop.abort();
    assert_eq!(seen(), before);

    shop.up(&["run", &plan("emptied", "test")], 0);
    assert_eq!(shop.sql("SHOW TABLES"), "");
    let back = ground.world().rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(seen(), before);
    assert_eq!(shop.rows(), "0001_initial");
}
