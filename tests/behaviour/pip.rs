//! `pip.install` with the real pip and real virtualenvs: built beside the old one, proved, switched, and taken back;
//! killed, out of space, lied to, and pointed at what is not its own. What it says to an index is in `pip_index.rs`.
//!
//! The packages are tiny wheels that the test makes, so that nothing comes from a network.

use crate::common::{Small, World, kill};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Makes wheels: `name version [requirement ...] -- source of the module`.
const WHEELS: &str = r#"
import os, sys, zipfile
def wheel(name, version, requires=(), source="", size=0):
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(os.path.join(sys.argv[1], f"{module}-{version}-py3-none-any.whl"), "w") as z:
        z.writestr(f"{module}/__init__.py", f"__version__ = '{version}'\n{source}")
        if size: z.writestr(f"{module}/data", os.urandom(size))
        z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {r}\n" for r in requires))
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
wheel("redis", "4.4.0")
wheel("redis", "4.6.0", source="class Sentinel: pass\n")
wheel("kombu", "5.2.4", ["redis>=4"])
wheel("kombu", "5.3.0", ["redis>=4"], "from redis import Sentinel\n")
wheel("celery", "5.2.7", ["kombu<5.3"])
wheel("celery", "5.3.1", ["kombu>=5.3"], "import kombu\n")
wheel("big", "1.0", size=24 << 20)
"#;

const PLAN: &str = r#"
upledger: 1
name: dependencies
vars: {dir: "@"}
phases:
  - phase: dependencies
    steps:
      - id: pip
        cwd: "${dir}"
        do:
          pip.install:
            venv: ${dir}/venvs/new
            current: ${dir}/current
            python: PYTHON
            requirements: [base.txt, env.txt]
            free: 1MiB
            smoke: [[bin/python, -c, "import celery"]]
            no_index: true
            find_links: ["${dir}/wheels"]
        retry: {times: RETRY}
ENV
"#;

pub(crate) struct Site(pub(crate) World);

impl Site {
    pub(crate) fn new(python: &str, retry: u8, env: &str) -> Self {
        let world = World::new();
        for dir in ["wheels", "venvs", "venvs/old"] {
            std::fs::create_dir(world.path(dir)).expect("made");
        }
        symlink("venvs/old", world.path("current")).expect("linked");
        let made = Command::new(PYTHON)
            .args(["-c", WHEELS])
            .arg(world.path("wheels"))
            .status()
            .expect("python3; install it with: apt-get install -y python3 python3-venv");
        assert!(made.success());
        let plan = PLAN
            .replace("PYTHON", python)
            .replace("RETRY", &retry.to_string())
            .replace("ENV", env);
        world.write("plan.yaml", &plan);
        let site = Self(world);
        site.files("redis==4.6.0\nkombu==5.3.0\n", "celery==5.3.1\n");
        site
    }

    /// Writes both requirement files.
    fn files(&self, base: &str, env: &str) {
        self.0.write("base.txt", base);
        self.0.write("env.txt", env);
    }

    pub(crate) fn edit(&self, what: &str, with: &str) {
        let plan = std::fs::read_to_string(self.0.path("plan.yaml")).expect("readable");
        assert!(plan.contains(what), "{what}");
        std::fs::write(self.0.path("plan.yaml"), plan.replace(what, with)).expect("written");
    }

    fn venv(&self, name: &str) -> std::path::PathBuf {
        self.0.path("venvs/new").join(name)
    }

    fn current(&self) -> String {
        let to = std::fs::read_link(self.0.path("current")).expect("a link");
        to.display().to_string()
    }

    fn note(&self) -> serde_json::Value {
        let text = std::fs::read(self.venv(".upledger/note.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Nothing of the former virtualenv was touched, and the new one is not taken for one.
    #[track_caller]
    fn assert_not_in_force(&self) {
        assert_eq!(self.current(), "venvs/old");
        assert!(self.note()["built"].is_null(), "{}", self.note());
    }

    #[track_caller]
    pub(crate) fn assert_in_force(&self) {
        assert_eq!(
            self.current(),
            self.venv("").display().to_string().trim_end_matches('/')
        );
        let works = Command::new(self.0.path("current/bin/python"))
            .args([
                "-I",
                "-c",
                "import celery, kombu; assert kombu.__version__ == '5.3.0'",
            ])
            .status()
            .expect("a virtualenv");
        assert!(works.success());
        let count = self.note()["built"]["count"].as_u64();
        assert!(count.is_some_and(|n| n >= 4), "{count:?}");
        for left in [".upledger/cache", ".upledger/pip.log"] {
            assert!(!self.venv(left).exists(), "{left}");
        }
    }

    /// A run that must fail at this step, with these words; it is then taken back.
    #[track_caller]
    pub(crate) fn fails(&self, words: &[&str]) {
        // Also of what is seen beforehand: what counts here is that the step refuses it as well.
        let forced = ["run", "plan.yaml", "--force", "--reason", "test"];
        let done = self.0.upledger(&forced);
        assert_eq!(done.code, 1, "{done:?}");
        for word in words {
            let said = done.out.contains(word) || done.err.contains(word);
            assert!(said, "{word:?} is not in {done:?}");
        }
        let back = self.0.upledger(&["rollback", "--reason", "test"]);
        assert_eq!(back.code, 5, "{back:?}");
    }
}

#[test]
fn a_virtualenv_is_built_beside_the_old_one_switched_to_and_taken_back() {
    let site = Site::new(PYTHON, 0, "");
    // The second file downgrades what the first one pins.
    site.files(
        "redis==4.6.0\nkombu==5.3.0\ncelery==5.3.1\n",
        "kombu==5.2.4\ncelery==5.2.7\n",
    );
    site.edit("import celery", "import celery, kombu");
    let world = &site.0;
    let before = world.upledger(&["plan", "plan.yaml"]);
    assert!(
        before.out.contains("current ->") && !world.path("venvs/new").exists(),
        "{before:?}"
    );
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.contains("env.txt changed kombu 5.3.0 -> 5.2.4"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("celery==5.2.7"),
        "the freeze is in the output: {}",
        done.out
    );
    let log = world.upledger(&["log", "--json"]).out;
    assert!(
        log.contains("freeze sha256") && log.contains("packages"),
        "{log}"
    );
    assert_eq!(
        site.current(),
        world.path("venvs/new").display().to_string()
    );

    // It is done already, and known as done.
    let again = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(
        world.status()["steps"][0]["do"]["status"],
        "already",
        "{again:?}"
    );
    let made = std::fs::metadata(site.venv("pyvenv.cfg"))
        .expect("there")
        .modified()
        .expect("a time");

    // The undo switches back and leaves it; the next run only switches.
    symlink("venvs/old", world.path("other")).expect("linked");
    std::fs::rename(world.path("other"), world.path("current")).expect("switched by hand");
    let done = world.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("is already complete"), "{done:?}");
    let back = world.rollback();
    assert_eq!(back.code, 5, "{back:?}");
    assert!(back.out.contains("is kept"), "{back:?}");
    assert_eq!(site.current(), "venvs/old");
    assert_eq!(
        made,
        std::fs::metadata(site.venv("pyvenv.cfg"))
            .expect("there")
            .modified()
            .expect("a time")
    );

    // Somebody installs into it behind our back.
    let old = site
        .venv("lib")
        .read_dir()
        .expect("lib")
        .next()
        .expect("python")
        .expect("entry")
        .path()
        .join("site-packages");
    let (was, is) = (
        old.join("redis-4.6.0.dist-info"),
        old.join("redis-4.4.0.dist-info"),
    );
    std::fs::rename(&was, &is).expect("renamed");
    let meta = std::fs::read_to_string(is.join("METADATA")).expect("METADATA");
    std::fs::write(is.join("METADATA"), meta.replace("4.6.0", "4.4.0")).expect("written");
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert!(seen.out.contains("redis 4.6.0 -> 4.4.0"), "{}", seen.out);
    std::fs::write(is.join("METADATA"), meta).expect("written");
    std::fs::rename(&is, &was).expect("renamed");

    // Its interpreter is removed.
    let python = site.venv("bin/python");
    let real = std::fs::read_link(&python).expect("a link");
    std::fs::remove_file(&python).expect("removed");
    symlink("/usr/bin/python3.0-gone", &python).expect("linked");
    let seen = world.upledger(&["plan", "plan.yaml"]);
    assert!(
        seen.out
            .contains("/usr/bin/python3.0-gone, which was removed"),
        "{}",
        seen.out
    );
    std::fs::remove_file(&python).expect("removed");
    symlink(real, &python).expect("linked");

    // It is moved.
    std::fs::rename(world.path("venvs/new"), world.path("venvs/moved")).expect("moved");
    site.edit("venvs/new", "venvs/moved");
    site.fails(&["was created as", "moved or copied here"]);

    // What upledger did not make is not touched.
    std::fs::create_dir_all(world.path("venvs/stranger/bin")).expect("made");
    site.edit("venvs/moved", "venvs/stranger");
    site.fails(&["venvs/stranger exists and was not created by upledger"]);
    assert!(world.path("venvs/stranger/bin").exists());
    site.edit("venvs/stranger", "venvs/new");
    std::fs::remove_file(world.path("current")).expect("removed");
    std::fs::create_dir(world.path("current")).expect("made");
    site.fails(&["current is a real directory"]);
}

#[test]
fn what_pip_says_and_what_it_is_content_with() {
    let site = Site::new(PYTHON, 0, "");
    site.files("redis==4.6.0\nkombu==5.3.0\ncelery==5.2.7\n", "");
    site.fails(&[
        "celery 5.2.7 (",
        "base.txt line 3) needs kombu<5.3",
        "kombu==5.3.0 (",
        "base.txt line 2) is required",
    ]);
    site.assert_not_in_force();
    // The lie: pip check finds no broken requirements, and the worker cannot start.
    site.files("redis==4.4.0\nkombu==5.3.0\n", "celery==5.3.1\n");
    site.fails(&[
        "No broken requirements found",
        "pip reports success, but the application does not start",
        "cannot import name 'Sentinel'",
    ]);
    site.assert_not_in_force();
    // A package that is not the one that was locked.
    let hash = |n: char| format!("--hash=sha256:{}", n.to_string().repeat(64));
    site.files(
        &format!("redis==4.6.0 {}\n", hash('0')),
        &format!("kombu==5.3.0 {}\n", hash('1')),
    );
    site.fails(&[
        "redis (",
        "base.txt line 1) from file://",
        "does not match its hash in the requirement file",
    ]);
    site.assert_not_in_force();
    site.files(&format!("redis==4.6.0 {}\n", hash('0')), "kombu==5.3.0\n");
    site.fails(&["kombu==5.3.0 has no hash", "env.txt line 1"]);
    // And at last what works; the undo removes it, because the plan says so and this step made it.
    site.files("redis==4.6.0\nkombu==5.3.0\n", "celery==5.3.1\n");
    site.edit("free: 1MiB", "undo_removes: true");
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    site.assert_in_force();
    let back = site.0.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(site.current(), "venvs/old");
    assert!(!site.0.path("venvs/new").exists());
}

#[test]
fn a_full_disk_leaves_the_old_one_in_force_and_a_rerun_works() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test mounts a small file system: run it as root, such as in a container"
    );
    let site = Site::new(PYTHON, 0, "");
    let venvs = site.0.path("venvs");
    let small = Small::mount(&venvs, "size=44m");
    std::fs::create_dir(venvs.join("old")).expect("made");
    site.files("redis==4.6.0\nkombu==5.3.0\n", "celery==5.3.1\nbig==1.0\n");
    site.edit("free: 1MiB", "free: 60MiB");
    site.fails(&["too little space for a new virtualenv", "60 MiB are needed"]);
    assert!(!site.0.path("venvs/new").exists());
    site.edit("free: 60MiB", "free: 1MiB");
    site.fails(&["the disk is full"]);
    site.assert_not_in_force();
    let more = Command::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(&venvs)
        .status();
    assert!(more.is_ok_and(|s| s.success()));
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    site.assert_in_force();
    drop(small);
}

#[test]
#[ignore = "a minute for PyPy alone: the long tier runs it (tests/long)"]
fn another_interpreter_makes_another_virtualenv() {
    assert!(
        Path::new("/usr/bin/pypy3").exists(),
        "install it with: apt-get install -y pypy3 pypy3-venv"
    );
    let site = Site::new("/usr/bin/pypy3", 0, "");
    site.edit(
        "import celery",
        "import celery, sys; assert sys.implementation.name == 'pypy'",
    );
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    site.assert_in_force();
    assert_eq!(site.note()["built"]["python"]["implementation"], "pypy");
    // The plan now names another interpreter for the virtualenv that is finished: never in place.
    site.edit("/usr/bin/pypy3", PYTHON);
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("it was created with pypy"), "{done:?}");
}

/// The processes of an action in this world, and those of pip and venv.
fn processes(world: &World, word: &str) -> Vec<i32> {
    let dir = world.path("").display().to_string();
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let read =
                |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let (words, env) = (read("cmdline"), read("environ"));
            let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
            has(&words, word)
                && (has(&env, dir.trim_end_matches('/')) || has(&words, dir.trim_end_matches('/')))
        })
        .collect()
}

#[test]
fn killed_while_it_builds_it_is_built_anew() {
    // The mark in the environment is how this test knows its own processes.
    let site = Site::new(PYTHON, 2, "        env: {MARK: \"@\"}");
    let world = &site.0;
    let mut runner = world.start(&["run", "plan.yaml"]);
    let mut seen = Vec::new();
    let mut await_and_kill = |what: &str| {
        let mut found = Vec::new();
        patiently(world, what, || {
            found = processes(world, what);
            !found.is_empty()
        });
        let acts = processes(world, "__act");
        assert_eq!(acts.len(), 1, "one action at {what}");
        seen.extend(acts.clone());
        acts.into_iter().for_each(kill);
        // What the action had started dies with it, so that the next attempt is alone.
        patiently(world, "the command of the killed action is gone", || {
            found.iter().all(|p| {
                !Path::new(&format!("/proc/{p}/cmdline")).exists()
                    || std::fs::read(format!("/proc/{p}/cmdline")).is_ok_and(|c| c.is_empty())
            })
        });
    };
    await_and_kill("venv\0");
    // The runner dies, too, unless it has asked already.
    let _ = runner.kill();
    let _ = runner.wait();
    let mut resumed = resume(world);
    patiently(world, "it is built again", || {
        if resumed.try_wait().expect("a status").is_some() {
            // What the killed action had started may have started more, which lives on, or its supervisor has
            // seen it die: a person is asked.
            let said = world.lines("said").join("\n");
            assert!(
                said.contains("processes that it started are still alive")
                    || said.contains("killed by signal 9"),
                "{said}"
            );
            patiently(world, "they are gone", || {
                processes(world, "ensurepip").is_empty()
            });
            retry(world);
            resumed = resume(world);
        }
        world.upledger(&["log"]).out.contains("attempt 2")
    });
    // Pip at work in the first file.
    await_and_kill("base.txt");
    let _ = resumed.kill();
    let _ = resumed.wait();
    let done = finish(world);
    assert_eq!(done, 0, "{:?}", world.upledger(&["log"]));
    site.assert_in_force();
    assert_eq!(seen.len(), 2);
}

/// Waits for a condition: virtualenvs take their time on a machine that has other things to do.
fn patiently(world: &World, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(240);
    while !holds() {
        if Instant::now() >= deadline {
            let log = world.upledger(&["log"]).out;
            let said = world.lines("said").join("\n");
            panic!("not within 4 minutes: {what}\n{log}\n{said}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Resumes, and stays beside it.
fn resume(world: &World) -> Child {
    let said = std::fs::File::create(world.path("said")).expect("made");
    world
        .command(&["resume"])
        .stdout(said.try_clone().expect("shared"))
        .stderr(said)
        .spawn()
        .expect("the program starts")
}

fn retry(world: &World) {
    let done = world.upledger(&["decide", "pip", "retry", "--reason", "test"]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// Resumes until the run has ended.
fn finish(world: &World) -> i32 {
    let mut code = -1;
    for _ in 0..5 {
        let done = world.upledger(&["resume"]);
        code = done.code;
        if code == 0 {
            break;
        }
        // What was killed is asked about once the retries are used up.
        retry(world);
    }
    code
}

/// The places in which an attempt can die, in the order in which it comes by.
const PLACES: [&str; 6] = [
    "pip-made",
    "pip-venv",
    "pip-file",
    "pip-proved",
    "pip-complete",
    "pip-switched",
];

#[test]
#[ignore = "four virtualenvs are built: the long tier runs it (tests/long)"]
fn killed_at_each_of_its_places_it_is_built_anew_until_it_is_whole_and_then_only_switched_to() {
    let site = Site::new(PYTHON, 0, "        env: {UPLEDGER_FAILPOINT: \"PLACES\"}");
    let world = &site.0;
    site.edit("PLACES", &world.deaths(&PLACES));
    let mut done = world.upledger(&["run", "plan.yaml"]);
    for place in PLACES {
        assert_eq!(done.code, 1, "{place}: {done:?}");
        assert!(world.died_at(place), "{place}: {done:?}");
        match place {
            "pip-complete" => {
                assert_eq!(site.current(), "venvs/old");
                assert!(site.note()["built"].is_object(), "{}", site.note());
            }
            "pip-switched" => site.assert_in_force(),
            _ => site.assert_not_in_force(),
        }
        retry(world);
        done = world.upledger(&["resume"]);
    }
    assert_eq!(done.code, 0, "{done:?}");
    site.assert_in_force();
    let said = world.upledger(&["log", "--output", "pip"]).out;
    let count = |words: &str| said.matches(words).count();
    // Up to the note it begins anew; after it, it is not built again.
    assert_eq!(count(": cpython "), 4, "{said}");
    assert_eq!(count("packages are installed:"), 1, "{said}");
    assert_eq!(count("is already complete"), 2, "{said}");
    let back = world.upledger(&["rollback", "--reason", "test"]);
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(site.current(), "venvs/old");
}
