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
    assert_eq!(seen.code, 1, "{seen:?}");
    assert!(
        seen.out
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
