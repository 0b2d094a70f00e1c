//! `django.migrate` refuses before anything changes, and tells what is there as what it is.

use crate::platform::Call;
use crate::small::{Ground, number, says};

/// Cards 02, 03, 05, 12, 13, 17, 18.
#[test]
fn what_cannot_be_migrated_is_refused_before_anything_changes_and_told_as_what_it_is() {
    let ground = Ground::new();
    let history = ground.project("history");
    history.initial();
    history.migration("0501_cleanup", "0001_initial", &number("extra"));
    history.manage(&["migrate", "--verbosity=0"]);
    history.migration("0500_news", "0001_initial", &number("news"));
    history.migration("0501_cleanup", "0500_news", &number("extra"));
    history.fails(
        "",
        &[
            "InconsistentMigrationHistory",
            "shop.0501_cleanup is applied before its dependency shop.0500_news",
            "nothing was changed",
            "keep the rows",
        ],
    );
    assert_eq!(history.columns("shop_item"), "id,name,extra");

    let leaves = ground.project("leaves");
    leaves.initial();
    leaves.migration("0002_price", "0001_initial", &number("price"));
    leaves.migration("0003_stock", "0002_price", &number("stock"));
    let git = |words: &[&str]| {
        let own = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        Call::new("git")
            .args(own)
            .args(words)
            .dir(&leaves.path(""))
            .run()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "release"]);
    leaves.migration("0002_auto_old", "0001_initial", &number("price"));
    leaves.fails(
        "",
        &[
            "two leaf nodes",
            "unknown to git",
            "0002_auto_old.py",
            "do not make a merge migration",
        ],
    );

    let newer = ground.project("newer");
    newer.initial();
    newer.models(&["stock"]);
    newer.migration("0002_stock", "0001_initial", &number("stock"));
    newer.manage(&["migrate", "--verbosity=0"]);
    newer.models(&[]);
    std::fs::remove_file(newer.path("shop/migrations/0002_stock.py")).expect("removed");
    newer.fails(
        "",
        &[
            "the schema is newer than this code",
            "shop.0002_stock",
            "shop_item.stock",
        ],
    );

    let charset = ground.project("collations");
    charset.sql("ALTER DATABASE collations CHARACTER SET utf8mb3");
    charset.migration(
        "0001_initial",
        "",
        "migrations.CreateModel('Biz', [('code', models.CharField(max_length=20, primary_key=True))])",
    );
    charset.manage(&["migrate", "--verbosity=0"]);
    charset.sql("ALTER DATABASE collations CHARACTER SET utf8mb4");
    charset.migration(
        "0002_task",
        "0001_initial",
        "migrations.CreateModel('Task', [('id', models.BigAutoField(primary_key=True)), ('biz', models.ForeignKey('shop.Biz', models.CASCADE))])",
    );
    charset.fails(
        "",
        &[
            "foreign keys of the plan cannot be formed",
            "shop_biz.code has the collation utf8mb3",
            "shop_task.biz_id will have utf8mb4",
        ],
    );
    assert_eq!(
        charset.sql("SHOW TABLES LIKE 'shop_task'"),
        "",
        "nothing was made"
    );

    let other = ground.project("wrong");
    other.initial();
    other.migration("0002_stock", "0001_initial", &number("stock"));
    let settings = std::fs::read_to_string(other.path("proj/settings.py")).expect("settings");
    other.write(
        "proj/settings.py",
        &format!("{settings}\nif not os.environ.get('DB_NAME'):\n    DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}}}\n"),
    );
    other.fails(
        "",
        &[
            "is django.db.backends.sqlite3",
            "a variable of its environment is missing",
        ],
    );
    assert!(!other.path("db.sqlite3").exists(), "no file was made");
    ground.sql("CREATE DATABASE wrong_staging");
    other.write(
        "proj/settings.py",
        &settings.replace("'wrong'", "'wrong_staging'"),
    );
    other.fails(
        "",
        &[
            "no migration of this code was ever applied",
            "schema wrong_staging",
            "the plan begins with shop.0001_initial",
        ],
    );
    other.write("proj/settings.py", &settings);
    other.fails(
        ", schema: another",
        &["schema wrong on", "`schema` says another"],
    );
    assert_eq!(ground.sql("SHOW TABLES FROM wrong_staging"), "");

    let routed = ground.project("routed");
    ground.sql("CREATE DATABASE routed_logs");
    let settings = std::fs::read_to_string(routed.path("proj/settings.py")).expect("settings");
    routed.write(
        "proj/settings.py",
        &format!("{settings}DATABASES['logs'] = dict(DATABASES['default'], NAME='routed_logs')\nDATABASE_ROUTERS = ['proj.router.R']\n"),
    );
    routed.write(
        "proj/router.py",
        "class R:\n    def allow_migrate(self, db, app_label, **h): return db == 'logs' if app_label == 'shop' else None\n    \
         def db_for_read(self, model, **h): return 'logs' if model._meta.app_label == 'shop' else None\n    db_for_write = db_for_read\n",
    );
    routed.models(&[]);
    routed.migration(
        "0001_initial",
        "",
        "migrations.CreateModel('Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.CharField(max_length=50))])",
    );
    routed.manage(&["migrate", "--verbosity=0"]);
    routed.fails(
        ", databases: [default]",
        &["models are written to a database that this step does not migrate: logs: shop.Item"],
    );
    routed.migrate(", new_database: true", 0);
    assert_eq!(
        ground.sql("SHOW TABLES FROM routed_logs LIKE 'shop_item'"),
        "shop_item"
    );
    ground.sql("DROP TABLE routed_logs.shop_item");
    routed.fails(
        "",
        &[
            "shop.Item is read on logs, and there is no table shop_item there",
            "row without table",
        ],
    );

    let writes = ground.project("writes");
    writes.initial();
    writes.ready("", "print('noise')\ntry:\n    from .models import Item\n    Item.objects.create(name='boot')\nexcept Exception as e: print('boot skipped', e)");
    writes.migration("0002_stock", "0001_initial", &number("stock"));
    let rows = writes.sql("SELECT COUNT(*) FROM shop_item");
    says(
        &writes.previewed(""),
        &["1 migration is open: shop.0002_stock"],
    );
    assert_eq!(
        writes.sql("SELECT COUNT(*) FROM shop_item"),
        rows,
        "a preview writes nothing"
    );
}
