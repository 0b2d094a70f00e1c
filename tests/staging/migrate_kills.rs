//! `django.migrate` killed at each statement of one migration: the command, the server, the runner, the runner and its
//! supervisor. What is there is recognised, a migration that came half-way is never run again, and the restore that the
//! plan names brings everything back.

use crate::platform::patiently;
use crate::small::{Ground, Project, end_of, says};
use rustix::process::{Pid, Signal, kill_process};

/// Statements of the migration.
const STATEMENTS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Command,
    Server,
    Runner,
    Everything,
}

/// A project whose second migration stops before a statement until it is let go.
fn project<'a>(ground: &'a Ground, name: &str) -> Project<'a> {
    let shop = ground.project(name);
    shop.initial();
    shop.sql("INSERT INTO shop_item (name) VALUES ('a')");
    shop.write(
        "shop/models.py",
        "from django.db import models\nclass Item(models.Model):\n    name = models.CharField(max_length=50)\n    stock = \
         models.IntegerField(default=7, db_index=True)\nclass Tag(models.Model):\n    item = models.ForeignKey(Item, models.CASCADE)\n",
    );
    shop.migration(
        "0002_tag",
        "0001_initial",
        "migrations.CreateModel('Tag', [('id', models.BigAutoField(primary_key=True)), ('item', models.ForeignKey('shop.Item', \
         models.CASCADE))]), migrations.AddField('Item', 'stock', models.IntegerField(default=7, db_index=True))",
    );
    shop.ready(
        "import os, time\nfrom django.db.backends.base.schema import BaseDatabaseSchemaEditor\nexecute = BaseDatabaseSchemaEditor.execute\n\
         count = [0]\ndef counted(self, *args, **kwargs):\n    count[0] += 1\n    if os.path.exists('stop-%d' % count[0]):\n        \
         os.remove('stop-%d' % count[0])\n        open('part', 'w').write(str(os.getpid()))\n        os.rename('part', 'reached')\n        \
         while not os.path.exists('go'): time.sleep(0.01)\n    return execute(self, *args, **kwargs)\n",
        "BaseDatabaseSchemaEditor.execute = counted",
    );
    shop
}

fn kill(pid: i32) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL);
}

/// The plan: a dump by a command, and its restore as the undo.
fn plan(shop: &Project<'_>) -> String {
    let (dump, name) = (shop.path("dump.sql").display().to_string(), &shop.name);
    let client = format!(
        "--no-defaults --user=root --socket={}",
        shop.ground.text("run/mariadb.sock")
    );
    let backup = format!(
        "{{id: dump, do: {{shell: \"mariadb-dump {client} --single-transaction --skip-dump-date {name} > {dump}\"}}, effect: idempotent, \
         verify: {{run: [grep, -q, Dump completed, {dump}]}}, undo: none}}"
    );
    let restore = format!(
        "{{shell: \"mariadb {client} -e 'DROP DATABASE {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4'; mariadb {client} {name} < {dump}\", effect: idempotent}}"
    );
    let migrate = format!(
        "{{id: schema, cwd: \"{}\", do: {{django.migrate: {{python: \"${{python}}\", backup: dump}}}}, undo: {restore}}}",
        shop.path("").display().to_string().trim_end_matches('/'),
    );
    shop.plan_of(&[&backup, &migrate])
}

fn dump(shop: &Project<'_>) -> String {
    crate::platform::Call::new("mariadb-dump")
        .args(["--no-defaults", "--user=root", "--skip-dump-date"])
        .args([
            format!("--socket={}", shop.ground.text("run/mariadb.sock")),
            shop.name.clone(),
        ])
        .run()
}

fn upledgers(ground: &Ground) -> Vec<i32> {
    let of = ground.world().path("").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (command, environ) = (read("cmdline"), read("environ"));
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut files = files.filter_map(|e| std::fs::read_link(e.path()).ok());
        let within = files.any(|f| f.to_string_lossy().contains(&of))
            || String::from_utf8_lossy(&environ).contains(&of)
            || String::from_utf8_lossy(&command).contains(&of);
        if within
            && String::from_utf8_lossy(&command).contains("upledger")
            && pid != std::process::id().cast_signed()
        {
            found.push(pid);
        }
    }
    found
}

/// Killed before this statement, in a schema of its own.
fn round(ground: &Ground, victim: Victim, statement: usize) {
    let name = format!("{victim:?}_{statement}").to_lowercase();
    let shop = project(ground, &name);
    let before = dump(&shop);
    shop.write(&format!("stop-{statement}"), "");
    let plan = plan(&shop);
    let check = ground.world().upledger(&["check", &plan]);
    assert_eq!(check.code, 0, "{check:?}");
    let mut run = shop.begin(&plan);
    let reached = shop.path("reached");
    patiently("the statement is reached", || reached.exists());
    let pid: i32 = std::fs::read_to_string(&reached)
        .expect("there")
        .parse()
        .expect("a number");
    let world = ground.world();
    match victim {
        Victim::Command => kill(pid),
        Victim::Server => {
            kill(ground.pid("mariadb").expect("it runs"));
            patiently("the server is gone", || ground.pid("mariadb").is_none());
            ground.start_database();
            shop.write("go", "");
        }
        Victim::Runner => {
            kill(run.id().cast_signed());
            shop.write("go", "");
        }
        Victim::Everything => upledgers(ground).into_iter().for_each(kill),
    }
    let code = run.wait().expect("it ends").code();
    let mut last = code;
    if matches!(victim, Victim::Runner | Victim::Everything) {
        assert_eq!(code, None, "{name}");
        last = Some(world.upledger(&["resume"]).code);
    }
    let told = world.upledger(&["log", "--json"]).out;
    // A command that went on is done; one that never began a statement may run again by itself.
    let goes_on = victim == Victim::Runner || (victim == Victim::Everything && statement == 1);
    if goes_on {
        assert_eq!(last, Some(0), "{name}: {}", end_of(&told));
        says(&told, &["all 1 migrations have their row"]);
        assert_eq!(shop.rows(), "0001_initial 0002_tag");
    } else {
        // A failed attempt, or one that nobody saw end.
        assert!(
            matches!(last, Some(1 | 4)),
            "{name}: {last:?} {}",
            end_of(&told)
        );
        match statement {
            1 => says(&told, &["none of 1 migrations is applied"]),
            _ => says(&told, &["shop.0002_tag is half applied"]),
        }
        assert_eq!(shop.rows(), "0001_initial");
        // The rest of the statements is not there, and no try adds to them.
        let half = dump(&shop);
        if statement > 1 {
            world.upledger(&["decide", "schema", "retry", "--reason", "test"]);
            let again = world.upledger(&["resume"]);
            assert_eq!(again.code, 1, "{name}: {again:?}");
            says(
                &world.upledger(&["log", "--json"]).out,
                &["it is not run again"],
            );
            assert_eq!(dump(&shop), half, "{name}");
        }
    }
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{name}: {back:?}");
    assert_eq!(dump(&shop), before, "{name}: as before, byte for byte");
}

#[test]
fn a_command_killed_between_two_statements_is_half_applied_and_is_restored() {
    round(&Ground::new(), Victim::Command, 4);
}

fn rounds(victim: Victim) {
    let ground = Ground::new();
    for statement in 1..=STATEMENTS {
        round(&ground, victim, statement);
    }
}

#[test]
#[ignore = "long: five rounds of kill, judge and restore"]
fn the_command_dies_at_each_statement() {
    rounds(Victim::Command);
}

#[test]
#[ignore = "long: five rounds of kill, judge and restore"]
fn the_server_dies_at_each_statement() {
    rounds(Victim::Server);
}

#[test]
#[ignore = "long: five rounds of kill, judge and restore"]
fn the_runner_dies_at_each_statement() {
    rounds(Victim::Runner);
}

#[test]
#[ignore = "long: five rounds of kill, judge and restore"]
fn runner_supervisor_and_command_die_at_each_statement() {
    rounds(Victim::Everything);
}
