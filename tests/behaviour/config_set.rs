//! Configuration files changed from a plan: what the readers read then, what stays, and what is never shown.

use crate::common::{Done, World};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A plan with these steps.
fn plan(world: &World, steps: &[&str]) {
    let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
    world.write(
        "plan.yaml",
        &format!("upledger: 1\nname: config\nsecrets:\n  db: {{file: \"@/secret\"}}\nphases:\n  - phase: all\n    steps:\n{steps}"),
    );
    world.write("secret", "it's $HOME #1");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("secret"), mode).expect("its mode is set");
}

fn run(world: &World, steps: &[&str]) -> Done {
    plan(world, steps);
    world.upledger(&["run", "plan.yaml"])
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).expect("a file")
}

#[test]
fn several_formats_change_in_one_run_and_come_back_byte_for_byte() {
    let world = World::new();
    let files = [
        ("app.env", "\u{feff}DB_HOST=db1\r\nDB_PASS='x' # c\r\n"),
        ("app.yml", "# keep\ndb: {host: old, port: 3306}\n"),
        ("app.toml", "debug = false\n[db]\nport = 3306\n"),
        ("app.json", "{\n  // c\n  \"port\": 3306,\n}\n"),
        ("app.ini", "[DB]\n# March\nGreeting = old\n"),
        (
            "app_settings.py",
            "import os\nHOST = \"r1\"  # c\nURL = f\"redis://{HOST}:6379/0\"\nNAME = HOST\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(world.path(name), text).expect("written");
    }
    // A link stays a link, and what it leads to keeps its mode.
    let real = world.path("real.env");
    std::fs::rename(world.path("app.env"), &real).expect("renamed");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("its mode");
    std::os::unix::fs::symlink("real.env", world.path("app.env")).expect("linked");
    let done = run(
        &world,
        &[
            "{id: copies, do: {config.backup: {paths: [\"@/app.env\", \"@/app.yml\"]}}}",
            "{id: env, do: {config.set: {path: \"@/app.env\", edits: [{key: DB_HOST, value: db2}, {key: NEW, value: a b, absent: create}]}}}",
            "{id: yaml, do: {config.set: {path: \"@/app.yml\", edits: [{key: db.host, value: new}, {key: db.port, value: 3307}]}}}",
            "{id: toml, do: {config.set: {path: \"@/app.toml\", readers: [{by: tomllib, python: /usr/bin/python3}], edits: [{key: timeout, value: 30, absent: create}]}}}",
            "{id: json, do: {config.set: {path: \"@/app.json\", edits: [{key: port, value: 3307}]}}}",
            "{id: ini, do: {config.set: {path: \"@/app.ini\", readers: [{by: configparser, python: /usr/bin/python3}], edits: [{key: DB.greeting, value: \"50%off\"}]}}}",
            "{id: py, do: {config.set: {path: \"@/app_settings.py\", readers: [{by: settings, module: app_settings, python: /usr/bin/python3}], edits: [{key: HOST, value: r2}], expect: {URL: \"redis://r2:6379/0\"}}}, cwd: \"@\"}",
            "{id: one, do: {config.backup: {paths: [\"@/app.json\"]}}}",
            "{id: same, do: {config.diff: {path: \"@/app.json\", with: {from: one.path}, same: true}}}",
            "{id: shown, do: {config.diff: {path: \"@/real.env\", with: \"@/app.yml\", format: dotenv}}}",
        ],
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        read(&world, "real.env"),
        "\u{feff}DB_HOST=db2\r\nDB_PASS='x' # c\r\nNEW='a b'\r\n"
    );
    let meta = world.path("app.env").symlink_metadata().expect("there");
    assert!(meta.is_symlink());
    assert_eq!(real.metadata().expect("there").mode() & 0o777, 0o640);
    assert_eq!(
        read(&world, "app.yml"),
        "# keep\ndb: {host: new, port: 3307}\n"
    );
    assert_eq!(
        read(&world, "app.toml"),
        "debug = false\ntimeout = 30\n[db]\nport = 3306\n"
    );
    assert_eq!(
        read(&world, "app.json"),
        "{\n  // c\n  \"port\": 3307,\n}\n"
    );
    assert_eq!(
        read(&world, "app.ini"),
        "[DB]\n# March\nGreeting = 50%%off\n"
    );
    assert_eq!(
        read(&world, "app_settings.py"),
        "import os\nHOST = \"r2\"  # c\nURL = f\"redis://{HOST}:6379/0\"\nNAME = HOST\n"
    );
    assert!(
        !world.path("__pycache__").exists(),
        "a reader leaves nothing"
    );
    let log = world.upledger(&["log", "--json"]).out;
    for (step, part) in [
        ("toml", "+timeout = 30"),
        ("py", "these change with it: NAME"),
    ] {
        let output = world.upledger(&["log", "--output", step]).out;
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(
        log.contains("reads URL from the file: a string of 17 characters"),
        "{log}"
    );

    assert_eq!(world.rollback().code, 5);
    for (name, text) in files {
        assert_eq!(read(&world, name), text, "{name}");
    }
    world.assert_sound();
}

#[test]
fn a_secret_is_written_so_that_the_shell_reads_it_and_is_never_shown() {
    let world = World::new();
    world.write("app.env", "OTHER=hunter-7\nPASSWORD=old-value-1\nPORT=1\n");
    let set = |password: &str| {
        format!(
            "{{id: set, do: {{config.set: {{path: \"@/app.env\", readers: [{{by: shell}}], edits: [{{key: PASSWORD, value: {password}}}, {{key: PORT, value: 2}}]}}}}}}"
        )
    };
    plan(&world, &[&set("{secret: db}")]);
    let preview = world.upledger(&["plan", "plan.yaml"]);
    assert!(
        preview.out.contains("-PORT=1") && preview.out.contains("+PORT=2"),
        "{preview:?}"
    );
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(run.code, 0, "{run:?}");
    let value = std::process::Command::new("sh")
        .args(["-c", ". ./app.env; printf %s \"$PASSWORD\""])
        .current_dir(world.path("."))
        .output();
    let value = value.expect("sh").stdout;
    assert_eq!(String::from_utf8_lossy(&value), "it's $HOME #1");
    let log = world.upledger(&["log", "--json"]).out;
    for shown in [&preview.out, &run.out, &log] {
        for secret in ["$HOME #1", "hunter-7", "old-value-1"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }

    // A literal is refused where the key says that it is a secret, and is not shown.
    plan(&world, &[&set("s3cret-word")]);
    let refused = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        !format!("{refused:?}").contains("s3cret-word"),
        "{refused:?}"
    );
}

#[test]
fn what_cannot_be_proved_is_refused_before_anything_changes() {
    let world = World::new();
    for (file, text, set, why) in [
        (
            "a.ini",
            "[db]\nx = 1\n",
            "edits: [{key: db.x, value: \"5%\"}]",
            "readers of INI files do not read alike",
        ),
        (
            "a.env",
            "A=1\n",
            "edits: [{key: A, value: \"x$y\"}]",
            "A cannot be written",
        ),
        (
            "a.env",
            "A=1\nA=2\n",
            "edits: [{key: A, value: \"3\"}]",
            "in lines 1, 2",
        ),
        (
            "a.toml",
            "x = 1\n",
            "edits: [{key: x, value: \"2\"}]",
            "is a number now",
        ),
        (
            "a.py",
            "X = 1\nX = 2\n",
            "edits: [{key: X, value: 3}]",
            "assigned 2 times, in lines 1, 2",
        ),
        (
            "a.py",
            "X = y(1)\n",
            "edits: [{key: X, value: 3}]",
            "is an expression now",
        ),
        (
            "mod.py",
            "H = 'a'\nfrom json import *\nH += 'x'\n",
            "edits: [{key: H, value: b}], readers: [{by: settings, module: mod, python: /usr/bin/python3}]",
            "lines 2, 3",
        ),
        (
            "mod.py",
            "import os\nU = os.environ.get('NO_SUCH', 'a')\nH = 'a'\n",
            "edits: [{key: H, value: b}], expect: {U: b}, readers: [{by: settings, module: mod, python: /usr/bin/python3}]",
            "for U",
        ),
    ] {
        world.write(file, text);
        let step =
            format!("{{id: set, do: {{config.set: {{path: \"@/{file}\", {set}}}}}, cwd: \"@\"}}");
        let done = run(&world, &[&step]);
        let all = format!("{}{}", done.out, done.err);
        assert_ne!(done.code, 0, "{set}: {done:?}");
        assert!(all.contains(why), "{set}: {why}: {done:?}");
        assert_eq!(read(&world, file), text);
        world.upledger(&["abort", "--reason", "test"]);
    }
}

#[test]
fn the_undo_leaves_what_somebody_has_written_since() {
    let world = World::new();
    world.write("app.env", "A=1\nB=1\n");
    let done = run(
        &world,
        &["{id: set, do: {config.set: {path: \"@/app.env\", edits: [{key: A, value: \"2\"}]}}}"],
    );
    assert_eq!(done.code, 0, "{done:?}");
    // An editor's older buffer: same size, and the time of the file as it was.
    let path = world.path("app.env");
    let time = path.metadata().expect("there").modified().expect("a time");
    std::fs::write(&path, "A=1\nB=9\n").expect("written");
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("opened");
    file.set_modified(time).expect("its time is set");
    drop(file);
    let back = world.rollback();
    assert_eq!(back.code, 6, "{back:?}");
    for part in [
        "has been edited since",
        "what this step wrote",
        "+A=2",
        "what has changed since",
        "+B=9",
    ] {
        assert!(back.out.contains(part), "{part}: {back:?}");
    }
    assert_eq!(read(&world, "app.env"), "A=1\nB=9\n");
}

#[test]
fn copies_are_in_the_state_directory_and_those_beside_the_file_are_named() {
    let world = World::new();
    std::fs::create_dir(world.path("sites")).expect("made");
    std::fs::create_dir(world.path("conf")).expect("made");
    for name in ["sites/app", "conf/app", "sites/app.bak"] {
        world.write(name, "x\n");
    }
    plan(
        &world,
        &["{id: copy, do: {config.backup: {paths: [\"@/sites/app\", \"@/conf/app\"]}}}"],
    );
    let preview = world.upledger(&["plan", "plan.yaml"]);
    assert!(preview.out.contains("sites/app.bak"), "{preview:?}");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let listed = |dir: &str| std::fs::read_dir(world.path(dir)).expect("listed").count();
    assert_eq!((listed("sites"), listed("conf")), (2, 1));
    let kept = std::fs::read_dir(world.state().join("undo")).expect("undo");
    let names = kept.map(|e| {
        e.expect("an entry")
            .file_name()
            .into_string()
            .expect("text")
    });
    assert_eq!(names.filter(|n| n.starts_with("backup-")).count(), 2);
}
