//! `django.migrate` fails: what was left behind, why, and what the server still does.

use crate::platform::patiently;
use crate::small::{Client, Ground, number, says};

/// Cards 06, 10, 11, 15, 16.
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

    let memory = ground.project("memory");
    memory.initial();
    memory.migration(
        "0002_touch",
        "0001_initial",
        &format!(
            "import os, time\ndef touch(apps, se):\n    kept = b'x' * (200 << 20)\n    time.sleep(1.5)\n    os.kill(os.getpid(), 9)\n---\n{}, \
             migrations.RunPython(touch)",
            number("stock")
        ),
    );
    let done = memory.migrate("", 1);
    says(
        &done.out,
        &[
            "shop.0002_touch is half applied",
            "killed by signal 9, when it had 2",
            "for lack of memory",
        ],
    );
    memory.abort();

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
#[ignore = "long: a table large enough to be copied for a while"]
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
