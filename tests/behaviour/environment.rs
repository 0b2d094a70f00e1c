//! What commands get of the environment of whoever starts upledger, and what is said of the rest: in the preview, and where
//! its lack looks like the reason of a failure.

use crate::common::{Done, World};

fn with(world: &World, vars: &[(&str, &str)], args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.envs(vars.iter().copied());
    Done::of(command.output().expect("the program starts"))
}

fn plan(world: &World, step: &str) {
    let head = "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n";
    world.write("plan.yaml", &format!("{head}      - {{id: one, {step}}}\n"));
}

#[test]
fn a_variable_that_is_not_passed_on_is_named_in_the_preview_and_in_the_failure_that_it_explains() {
    let world = World::new();
    let agent = [("SSH_AUTH_SOCK", "/run/agent")];
    let denied = "do: {shell: \"test -z \\\"$SSH_AUTH_SOCK\\\" || exit 0; echo 'git@h: Permission denied (publickey).' >&2; exit 255\"}, effect: pure";
    plan(&world, denied);
    let seen = with(&world, &agent, &["plan", "plan.yaml"]);
    let line = seen.out.lines().find(|l| l.starts_with("not passed on"));
    assert!(
        line.is_some_and(|l| l.contains("SSH_AUTH_SOCK")),
        "{seen:?}"
    );
    let failed = with(&world, &agent, &["run", "plan.yaml"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed
            .out
            .contains("SSH_AUTH_SOCK is set here and not passed on to steps"),
        "{failed:?}"
    );
    assert_eq!(world.upledger(&["abort", "--reason", "test"]).code, 12);

    // Where it is not set, or is given to the step, nothing is said of it.
    let failed = with(&world, &[], &["run", "plan.yaml"]);
    assert!(!failed.out.contains("SSH_AUTH_SOCK"), "{failed:?}");
    assert_eq!(world.upledger(&["abort", "--reason", "test"]).code, 12);
    plan(
        &world,
        &format!("env: {{SSH_AUTH_SOCK: /run/agent}}, {denied}"),
    );
    assert_eq!(with(&world, &agent, &["run", "plan.yaml"]).code, 0);
}

#[test]
fn a_repository_that_cannot_be_reached_names_the_proxy_that_git_did_not_get() {
    let world = World::new();
    plan(
        &world,
        "do: {git.deploy: {repo: \"https://code.invalid/x.git\", ref: main, into: \"@/app\"}}",
    );
    let proxy = [
        ("https_proxy", "http://proxy.example:3128"),
        ("no_proxy", ""),
    ];
    let seen = with(&world, &proxy, &["run", "plan.yaml"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    assert!(
        seen.err
            .contains("https_proxy is set here and not passed on"),
        "{seen:?}"
    );
}

#[test]
fn the_language_is_passed_on_and_a_plan_without_commands_misses_nothing() {
    let world = World::new();
    plan(
        &world,
        "do: {run: [sh, -c, \"echo language $LANG $https_proxy\"]}, effect: pure",
    );
    let vars = [("LANG", "zh_CN.GBK"), ("https_proxy", "http://p:1")];
    let done = with(&world, &vars, &["run", "plan.yaml"]);
    assert!(done.out.contains("language zh_CN.GBK\n"), "{done:?}");
    plan(&world, "do: {expect.file: {path: /etc/passwd}}");
    let seen = with(&world, &vars, &["plan", "plan.yaml"]);
    assert!(!seen.out.contains("not passed on"), "{seen:?}");
}

/// What a step of that id has printed.
fn printed(world: &World, step: &str) -> String {
    world.upledger(&["log", "--output", step]).out
}

/// All that upledger keeps on the disk, as text.
fn kept(world: &World) -> String {
    let mut open = vec![world.path("state"), world.path("memory")];
    let mut all = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            open.extend(entries.map(|e| e.expect("an entry").path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    all
}

fn mode(world: &World, file: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(world.path(file), mode).expect("its mode");
}

const ECHO: &str = "run: [sh, -c, 'echo \"A=$A B=$B C=$C D=$D E=$E\"']";

#[test]
fn the_environment_of_a_plan_a_step_and_an_undo_go_before_one_another() {
    let world = World::new();
    world.write("all.env", "A=file\nB=file\nC=file\nD='of the file'\n");
    world.write("own.env", "export C=own # a comment\n");
    let here = world.path("").display().to_string();
    let file = |name: &str| format!("{}/{name}", here.trim_end_matches('/'));
    world.write(
        "plan.yaml",
        &format!(
            "upledger: 1\nname: x\nenv: {{A: plan, E: plan}}\nenv_file: {}\nphases:\n  - phase: p\n    steps:\n\
             \x20     - {{id: one, do: {{{ECHO}}}, env: {{E: step}}, env_file: {{path: {}, dialect: dotenv}}, effect: idempotent, undo: {{{ECHO}, effect: idempotent, env: {{E: undo, B: undo}}}}}}\n\
             \x20     - {{id: two, do: {{{ECHO}}}, effect: idempotent, undo: none}}\n",
            file("all.env"),
            file("own.env"),
        ),
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let (one, two) = (printed(&world, "one"), printed(&world, "two"));
    assert!(
        one.contains("A=plan B=file C=own D=of the file E=step"),
        "{one}"
    );
    assert!(
        two.contains("A=plan B=file C=file D=of the file E=plan"),
        "{two}"
    );
    // Read again when the undo starts.
    world.write("all.env", "D=later\n");
    let undone = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(undone.code, 5, "{undone:?}");
    let one = printed(&world, "one");
    assert!(one.contains("A=plan B=undo C=own D=later E=undo"), "{one}");
    let details = world.upledger(&["plan", "plan.yaml", "--details"]);
    assert!(details.out.contains(&file("own.env")), "{details:?}");
}

#[test]
fn the_secrets_of_a_file_are_in_no_record_and_what_it_holds_is_in_no_argument() {
    let world = World::new();
    world.write("app.env", "PASSWORD=first-horse\nPLAIN=plain-donkey\n");
    mode(&world, "app.env", 0o600);
    let file = world.path("app.env").display().to_string();
    let plan = |secrets: &str| {
        format!(
            "upledger: 1\nname: x\nenv_file: {{path: {file}, secrets: [{secrets}]}}\nphases:\n  - phase: p\n    steps:\n\
             \x20     - {{id: one, do: {{run: [sh, -c, 'echo says $PASSWORD; sed s/first/second/ -i {file}']}}, effect: idempotent, undo: none}}\n\
             \x20     - {{id: two, do: {{run: [sh, -c, 'echo says $PASSWORD $PLAIN; tr \"\\\\0\" \" \" < /proc/$PPID/cmdline']}}, effect: idempotent, undo: none}}\n"
        )
    };
    world.write("plan.yaml", &plan("PASSWORD"));
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let two = printed(&world, "two");
    assert!(
        two.contains("says [redacted:PASSWORD] plain-donkey"),
        "{two}"
    );
    let rest = two.replace("says [redacted:PASSWORD] plain-donkey", "");
    assert!(!rest.contains("donkey"), "not on a command line: {two}");
    assert!(!kept(&world).contains("first-horse"));
    let noted = world.upledger(&["note", "it is second-horse"]);
    assert_eq!(noted.code, 0, "{noted:?}");
    let log = world.upledger(&["log", "--json"]).out;
    assert!(log.contains("it is [redacted:PASSWORD]"), "{log}");

    let check = world.upledger(&["check", "plan.yaml"]);
    assert_eq!(
        (check.code, check.out.contains("may be a secret")),
        (0, false)
    );
    world.write("plan.yaml", &plan(""));
    let check = world.upledger(&["check", "plan.yaml"]);
    assert!(
        check.out.contains("sets PASSWORD, which may be a secret"),
        "{check:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_by_check_and_plan_and_starts_nothing() {
    let world = World::new();
    let file = world.path("app.env").display().to_string();
    let step = |more: &str| {
        format!(
            "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n{more}\
             \x20     - {{id: one, do: {{run: [touch, @/done]}}, env_file: {{path: {file}, secrets: [PASSWORD]}}, effect: idempotent, undo: none}}\n"
        )
    };
    let named = |said: &str, why: &str| {
        let text = format!("the `env_file` {file} cannot be read: ");
        assert!(said.contains(&text) && said.contains(why), "{why}: {said}");
    };
    world.write("plan.yaml", &step(""));
    named(&world.upledger(&["check", "plan.yaml"]).out, "No such file");
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(seen.code, 3, "{seen:?}");
    named(&seen.out, "No such file");
    for (content, bits, why) in [
        ("PASSWORD=horse\n", 0o644, "chmod 600"),
        ("PASSWORD=horse\nno assignment\n", 0o600, "line 2"),
        ("PASS=horse\n", 0o600, "no variable PASSWORD"),
        ("PASSWORD=abc\n", 0o600, "shorter than"),
    ] {
        world.write("app.env", content);
        mode(&world, "app.env", bits);
        let seen = world.upledger(&["plan", "plan.yaml"]);
        assert_eq!(seen.code, 3, "{seen:?}");
        named(&seen.out, why);
        assert!(!seen.out.contains("horse"), "{seen:?}");
    }
    let run = world.upledger(&["run", "plan.yaml"]);
    assert_ne!(run.code, 0, "{run:?}");
    named(&format!("{}{}", run.out, run.err), "shorter than");
    assert!(!world.path("done").exists());
    let _ = world.upledger(&["abort", "--reason", "test"]);

    // An earlier step of the plan makes it.
    std::fs::remove_file(world.path("app.env")).expect("removed");
    let makes = "      - {id: env, do: {file.replace: {path: @/app.env, content: 'PASSWORD: x', mode: 600}}}\n";
    world.write("plan.yaml", &step(makes));
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(seen.code, 0, "{seen:?}");
}
