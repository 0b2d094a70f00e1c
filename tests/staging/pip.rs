//! `pip.install` with the real requirements of the platform: what `pip check` is content with and no worker starts with
//! is refused before anything is switched, and what a later file takes back is told.

use crate::common::World;
use std::path::{Path, PathBuf};

const PLAN: &str = r#"
upledger: 1
name: dependencies
phases:
  - phase: dependencies
    steps:
      - id: pip
        cwd: PROJECT
        env: {PYTHONDONTWRITEBYTECODE: "1", PIP_NO_COMPILE: "1"}
        do:
          pip.install:
            venv: @/venvs/NAME
            current: @/venv
            python: /usr/bin/python3
            requirements: [requirements.txt, MORE]
            no_index: true
            find_links: [WHEELS]
            smoke: [[bin/python, -c, "import django, celery_app"], [bin/python, @/connect.py]]
"#;

/// What a worker does first. No server is needed: a transport that does not like its client says so before it connects.
const CONNECT: &str = "
import kombu, redis
try:
    kombu.Connection('redis://127.0.0.1:1/0').channel()
except redis.ConnectionError as error:
    print('the transport is content:', error)
";

/// The wheelhouse of `tests/prepare`.
pub(crate) fn wheels() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let wheels = target.expect("target").join("staging/wheels");
    assert!(
        wheels.join("stamp").exists(),
        "{} is missing; make it with: tests/prepare",
        wheels.display()
    );
    wheels
}

fn write(world: &World, name: &str, more: &str) {
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/staging/project/1.0");
    let plan = PLAN
        .replace("PROJECT", project)
        .replace("WHEELS", &wheels().display().to_string())
        .replace("NAME", name)
        .replace("MORE", more);
    world.write("plan.yaml", &plan);
    world.write("connect.py", CONNECT);
}

#[test]
#[ignore = "a minute: the long tier runs it (tests/long)"]
fn a_set_that_pip_check_is_content_with_and_no_worker_starts_with_is_not_switched_to() {
    let world = World::new();
    write(&world, "broken", "@/broken.txt");
    world.write("broken.txt", "kombu==5.7.0\namqp==5.4.2\n");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    for words in [
        "pip check: No broken requirements found.",
        "broken.txt changed kombu 5.3.7 -> 5.7.0",
    ] {
        assert!(done.out.contains(words), "{words}: {done:?}");
    }
    assert!(
        done.out.contains("the application does not start")
            && done.out.contains("redis-py versions"),
        "{done:?}"
    );
    assert!(std::fs::symlink_metadata(world.path("venv")).is_err());
    assert_eq!(world.upledger(&["rollback", "--reason", "test"]).code, 5);

    write(&world, "good", "requirements_dev.txt");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out
            .contains("requirements_dev.txt changed packaging 24.2 -> 24.1"),
        "{done:?}"
    );
    let to = std::fs::read_link(world.path("venv")).expect("a link");
    assert_eq!(to, world.path("venvs/good"));
}
