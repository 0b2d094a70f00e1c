//! `django.migrate` on small projects: what happens is told as what it is, by rows and tables.

use crate::platform::{Call, patiently};
use crate::small::{Client, Ground, number, says};

#[test]
fn migrations_are_applied_and_compared_and_a_half_applied_one_is_never_run_again() {
    let ground = Ground::new();
    let shop = ground.project("good");
    shop.initial();
    shop.models(&["stock"]);
    shop.migration("0002_stock", "0001_initial", &number("stock"));
    let seen = shop.previewed("");
    says(
        &seen,
        &["1 migrations are open: shop.0002_stock", "good on"],
    );
    let done = shop.migrate("", 0);
    says(
        &done.out,
        &["all 1 migrations have their row", "\"applied\":1"],
    );
    says(
        &ground.world().upledger(&["log", "--output", "schema"]).out,
        &[
            "migration 1 of 1: shop.0002_stock",
            "shop.0002_stock is applied",
        ],
    );
    assert_eq!(shop.columns("shop_item"), "id,name,stock");
    let done = shop.migrate("", 0);
    says(&done.out, &["step.satisfied", "no migration is open"]);

    let half = ground.project("half");
    half.initial();
    half.sql("INSERT INTO shop_item (name) VALUES ('dup'), ('dup')");
    half.migration(
        "0002_more",
        "0001_initial",
        &format!(
            "{}, migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True))]), migrations.AlterField('Item', 'name', \
             models.CharField(max_length=50, unique=True)), {}",
            number("price"),
            number("stock")
        ),
    );
    let done = half.migrate("", 1);
    says(
        &done.out,
        &[
            "shop.0002_more is half applied: 2 of 4 operations are in the schema",
            "Duplicate entry",
            "roll back",
        ],
    );
    half.sql("UPDATE shop_item SET name = CONCAT(name, id)");
    half.up(&["decide", "schema", "retry", "--reason", "test"], 0);
    let done = half.up(&["resume"], 1);
    says(
        &done.out,
        &[
            "it is not run again",
            "the first error was in shop.0002_more",
            "1062",
        ],
    );
    half.abort();
    // A new run does not try it either.
    half.fails(
        "",
        &["already holds parts of migrations that are not recorded: shop.0002_more: column shop_item.price", "table shop_tag"],
    );
}

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
        &["1 migrations are open: shop.0002_stock"],
    );
    assert_eq!(
        writes.sql("SELECT COUNT(*) FROM shop_item"),
        rows,
        "a preview writes nothing"
    );
}

/// Cards 06, 10, 11, 16.
#[test]
fn each_failure_is_told_by_what_it_left_behind() {
    let ground = Ground::new();
    let hook = ground.project("hook");
    hook.initial();
    hook.models(&["stock"]);
    hook.migration("0002_stock", "0001_initial", &number("stock"));
    hook.ready(
        "import os\nfrom django.db.models.signals import post_migrate\ndef ping(sender, **kw):\n    if not os.path.exists('iam-is-up'): raise OSError('bk iam ping error')\n",
        "post_migrate.connect(ping, sender=self)",
    );
    let done = hook.migrate("", 1);
    says(
        &done.out,
        &[
            "all 1 migrations are applied",
            "the receiver shop.apps.ping",
            "bk iam ping error",
            "no migration is open, so the step may run again",
        ],
    );
    hook.write("iam-is-up", "");
    hook.up(&["decide", "schema", "retry", "--reason", "test"], 0);
    hook.up(&["resume"], 0);

    let data = ground.project("cents");
    data.initial();
    data.sql("INSERT INTO shop_item (name) VALUES ('a'), ('a')");
    data.migration(
        "0002_cents",
        "0001_initial",
        "def more(apps, se):\n    apps.get_model('shop', 'Item').objects.create(name='a')\n---\nmigrations.RunPython(more, migrations.RunPython.noop), \
         migrations.AlterField('Item', 'name', models.CharField(max_length=50, unique=True))",
    );
    says(
        &data.previewed(""),
        &[
            "cannot be repeated on this server: shop.0002_cents",
            "wait_timeout",
            "MiB are free",
        ],
    );
    let done = data.migrate("", 1);
    says(
        &done.out,
        &[
            "the schema is as before, but its data step may have changed rows",
            "1062",
            "roll back",
        ],
    );
    data.sql("UPDATE shop_item SET name = CONCAT(name, id)");
    data.up(&["decide", "schema", "retry", "--reason", "test"], 0);
    says(&data.up(&["resume"], 1).out, &["data steps twice"]);
    assert_eq!(
        data.sql("SELECT COUNT(*) FROM shop_item"),
        "3",
        "it ran once"
    );
    data.abort();

    let idle = ground.project("idle");
    idle.initial();
    idle.sql("INSERT INTO shop_item (name) VALUES ('a')");
    idle.migration(
        "0002_hash",
        "0001_initial",
        &format!("import time\ndef fill(apps, se):\n    for i in list(apps.get_model('shop', 'Item').objects.all()):\n        time.sleep(3); i.save()\n---\n{}, migrations.RunPython(fill)", number("stock")),
    );
    ground.sql("SET GLOBAL wait_timeout = 1");
    let done = idle.migrate("", 1);
    ground.sql("SET GLOBAL wait_timeout = 28800");
    says(
        &done.out,
        &[
            "shop.0002_hash is half applied: 1 of 1 operations are in the schema; a data step",
            "the server runs without interruption",
            "wait_timeout (1 s)",
        ],
    );
    idle.abort();

    let lock = ground.project("lock_time");
    lock.initial();
    lock.migration(
        "0002_other",
        "0001_initial",
        "migrations.CreateModel('Order', [('id', models.BigAutoField(primary_key=True))])",
    );
    lock.manage(&["migrate", "--verbosity=0"]);
    lock.migration(
        "0003_both",
        "0002_other",
        &format!(
            "{}, migrations.AddField('Order', 'price', models.IntegerField(default=0))",
            number("price")
        ),
    );
    let client = Client::idle(&lock, "begin; select * from shop_order;");
    ground.sql("SET GLOBAL lock_wait_timeout = 2");
    let done = lock.migrate("", 1);
    ground.sql("SET GLOBAL lock_wait_timeout = 86400");
    drop(client);
    says(
        &done.out,
        &[
            "shop.0003_both is half applied: 1 of 2 operations are in the schema",
            "lock_wait_timeout (2 s)",
            "held by connection",
            "(idle)",
            "do not run it again",
        ],
    );
    lock.abort();
}

/// Cards 07, 08, 09.
#[test]
fn the_server_is_watched_and_what_outlives_its_client_is_waited_for() {
    let ground = Ground::new();
    let shop = ground.project("waits");
    shop.initial();
    shop.models(&["stock"]);
    shop.migration("0002_stock", "0001_initial", &number("stock"));
    shop.sql("INSERT INTO shop_item (name) VALUES ('a')");
    let client = Client::idle(&shop, "select get_lock('upledger:migrate:waits', 0);");
    shop.fails(
        "",
        &["another upgrade migrates the schema waits now: connection"],
    );
    drop(client);
    let client = Client::idle(&shop, "begin; select * from shop_item;");
    says(
        &shop.previewed(""),
        &["holds a table of the plan now", "root"],
    );
    let done = shop.migrate(", lock_wait: 2s", 1);
    says(
        &done.out,
        &[
            "KILL QUERY",
            "none of 1 migrations is applied",
            "it had waited 2 s for the lock of a table",
            "connection",
            "(idle)",
            "nothing is half applied",
        ],
    );
    assert_eq!(shop.columns("shop_item"), "id,name");
    drop(client);
    shop.up(&["decide", "schema", "retry", "--reason", "test"], 0);
    shop.up(&["resume"], 0);
    assert_eq!(shop.columns("shop_item"), "id,name,stock");

    let long = ground.project("outlives");
    long.initial();
    long.sql("INSERT INTO shop_item (name) SELECT seq FROM seq_1_to_400000");
    long.migration(
        "0002_long",
        "0001_initial",
        &format!(
            "migrations.AlterField('Item', 'name', models.TextField()), {}",
            number("stock")
        ),
    );
    let mut run = long.begin(&long.plan(""));
    let at_work = "SELECT id FROM information_schema.processlist WHERE info LIKE 'ALTER%' AND state LIKE '%copy%'";
    patiently("the table is copied", || !ground.sql(at_work).is_empty());
    let of = long.path("").display().to_string();
    let manage = ground
        .processes()
        .into_iter()
        .find(|(_, c)| c.contains(" migrate ") && c.contains(&of));
    let (pid, _) = manage.expect("manage.py migrate runs");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).expect("a process"),
        rustix::process::Signal::KILL,
    )
    .expect("killed");
    assert_eq!(run.wait().expect("it ends").code(), Some(1));
    let told = ground.world().upledger(&["log", "--json"]).out;
    says(
        &told,
        &[
            "shop.0002_long is half applied: 1 of 2 operations are in the schema",
            "killed by signal 9",
        ],
    );
    let output = ground.world().upledger(&["log", "--output", "schema"]).out;
    says(
        &output,
        &[
            "the server still works for a client that is gone",
            "ALTER TABLE",
        ],
    );
    assert_eq!(ground.sql(at_work), "");
    long.abort();
}

const BACKUP: &str = r#"{id: dump, do: {mysql.backup: {server: {socket: "${db_socket}", user: root}, database: bk_log_search}}}"#;
const SCHEMA: &str =
    r#"{id: schema, cwd: "${code}", do: {django.migrate: {python: "${python}", backup: dump}}}"#;

/// The releases of the staging project: each migration is applied, or the dump is back byte for byte.
#[test]
fn each_release_is_migrated_and_comes_back_by_the_restore_of_its_backup() {
    let ground = Ground::new();
    let world = ground.world();
    let dump = || {
        Call::new("mariadb-dump")
            .args(["--no-defaults", "--user=root", "--skip-dump-date"])
            .args([
                format!("--socket={}", ground.text("run/mariadb.sock")),
                "bk_log_search".to_owned(),
            ])
            .run()
    };
    let before = dump();
    let run = |code: i32| {
        let done = ground.run(&[BACKUP, SCHEMA]);
        let log = world.upledger(&["log", "--json"]).out;
        assert_eq!(done.code, code, "{done:?} {log}");
        log
    };
    let back = || {
        let done = world.rollback();
        assert_eq!(
            done.code,
            5,
            "{done:?} {}",
            world.upledger(&["log", "--json"]).out
        );
        assert_eq!(dump(), before, "byte for byte");
    };
    for (release, code, words) in [
        ("2.0", 0, &["all 1 migrations have their row"][..]),
        (
            "2.0-dies-halfway",
            1,
            &[
                "log_search.0003_order_note is half applied",
                "column orders.note is new",
            ],
        ),
        (
            "2.0-irreversible",
            0,
            &[
                "irreversible: log_search.0003_levels",
                "all 3 migrations have their row",
            ],
        ),
        (
            "2.0-iam",
            1,
            &[
                "all 1 migrations are applied",
                "the receiver apps.log_search.apps.register",
                "no migration is open",
            ],
        ),
    ] {
        ground.switch_to(release);
        says(&run(code), words);
        back();
    }
}

const FIELDS: &str = "
import uuid
from django.db import models
class Biz(models.Model):
    code = models.CharField(max_length=20, unique=True)
    class Meta: db_table = 'shop_biz'
class Label(models.Model):
    text = models.SlugField()
    items = models.ManyToManyField(Biz, related_name='labels')
class Thing(models.Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    data = models.JSONField(default=dict)
    maybe = models.BooleanField(null=True)
    small = models.PositiveSmallIntegerField(default=1)
    big = models.PositiveBigIntegerField(default=1)
    ratio = models.FloatField(default=0.5)
    length = models.DurationField(null=True)
    blob = models.BinaryField(default=b'')
    ip = models.GenericIPAddressField(null=True)
    at = models.DateTimeField(auto_now=True, db_index=True)
    day = models.DateField(null=True)
    clock = models.TimeField(null=True)
    text = models.TextField(default='x')
    column = models.IntegerField(db_column='other', default=3)
    biz = models.ForeignKey(Biz, models.CASCADE, to_field='code')
    loose = models.ForeignKey(Biz, models.CASCADE, db_constraint=False, null=True, related_name='+')
    one = models.OneToOneField(Label, models.CASCADE, null=True)
    parent = models.ForeignKey('self', models.CASCADE, null=True)
    class Meta:
        unique_together = [('biz', 'small')]
        indexes = [models.Index(fields=['-at', 'small'], name='thing_at')]
        constraints = [models.UniqueConstraint(fields=['small', 'big'], name='thing_both'), models.CheckConstraint(check=models.Q(small__gte=0), name='thing_small')]
";

/// What Django makes of any field agrees with what it wants: no false alarm, on new databases and on old ones.
#[test]
fn every_kind_of_field_and_djangos_own_applications_agree_with_their_models() {
    let ground = Ground::new();
    let shop = ground.project("fields");
    let settings = std::fs::read_to_string(shop.path("proj/settings.py")).expect("settings");
    shop.write(
        "proj/settings.py",
        &format!(
            "{settings}INSTALLED_APPS = ['django.contrib.admin', 'django.contrib.auth', 'django.contrib.contenttypes', \
             'django.contrib.sessions', 'django.contrib.sites', 'django.contrib.redirects', 'django.contrib.messages', \
             'django_celery_beat', 'django_celery_results', 'shop']\nSILENCED_SYSTEM_CHECKS = ['mysql.W002', 'admin.E403', 'admin.E408', \
             'admin.E409', 'admin.E410']\nSITE_ID = 1\n"
        ),
    );
    shop.write("shop/models.py", FIELDS);
    shop.manage(&["makemigrations", "shop", "--verbosity=0"]);
    let began = std::time::Instant::now();
    let done = shop.migrate(", new_database: true", 0);
    says(&done.out, &["migrations have their row"]);
    assert!(
        began.elapsed() < std::time::Duration::from_secs(100),
        "{:?}",
        began.elapsed()
    );

    shop.write(
        "shop/models.py",
        &FIELDS
            .replace("    ratio = models.FloatField(default=0.5)\n", "")
            .replace("small = models.PositiveSmallIntegerField(default=1)", "small = models.PositiveIntegerField(default=1)")
            .replace("max_digits=10", "max_digits=12")
            .replace("text = models.TextField(default='x')", "text = models.CharField(max_length=90, null=True)")
            .replace("at = models.DateTimeField(auto_now=True, db_index=True)", "at = models.DateTimeField(auto_now=True)")
            .replace("to_field='code')", "to_field='code')\n    biz2 = models.ForeignKey(Biz, models.CASCADE, null=True, related_name='+')")
            .replace("unique_together = [('biz', 'small')]", "unique_together = [('biz', 'big')]")
            .replace("db_constraint=False, null=True", "null=True")
            .replace("class Meta: db_table = 'shop_biz'", "class Meta: db_table = 'shop_business'"),
    );
    shop.manage(&["makemigrations", "shop", "--verbosity=0"]);
    let seen = shop.previewed("");
    says(&seen, &["1 migrations are open", "destroys data"]);
    let done = shop.migrate("", 0);
    says(&done.out, &["all 1 migrations have their row"]);
}
