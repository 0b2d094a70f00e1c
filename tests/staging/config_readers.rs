//! Configuration as its real readers read it: python-dotenv, django-environ, PyYAML, ruamel.yaml, configparser, the shell; and
//! a process that a real supervisord keeps, which reads nothing again by itself.

use crate::common::{Done, World};
use crate::pip::wheels;
use crate::platform::{Call, patiently};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;

/// A virtualenv with all readers.
fn readers(world: &World) -> PathBuf {
    let place = world.path("venv");
    Call::new("/usr/bin/python3")
        .args(["-m", "venv", "--without-pip"])
        .args([&place])
        .run();
    let python = place.join("bin/python");
    Call::new("/usr/bin/python3")
        .args(["-m", "pip", "--python"])
        .args([&python])
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-index",
            "--no-deps",
        ])
        .args(["--find-links", &wheels().display().to_string()])
        .args(["python-dotenv", "django-environ", "PyYAML", "ruamel.yaml"])
        .run();
    python
}

fn plan(world: &World, steps: &[String]) {
    let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
    world.write(
        "plan.yaml",
        &format!("upledger: 1\nname: readers\nphases:\n  - phase: all\n    steps:\n{steps}"),
    );
}

/// A step that sets `A` (or `db.a`) of a file.
fn step(id: &str, file: &str, python: &str, by: &[&str], edit: &str) -> String {
    let readers: Vec<String> = by
        .iter()
        .map(|by| format!("{{by: {by}, python: {python}}}"))
        .collect();
    format!(
        "{{id: {id}, do: {{config.set: {{path: \"@/{file}\", readers: [{}], edits: [{{{edit}}}]}}}}}}",
        readers.join(", ")
    )
}

/// File, text, readers, edit, and the text afterwards; without one it is refused with this reason.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a [&'a str],
    &'a str,
    Result<String, &'a str>,
);

const DOTENV: [&str; 3] = ["python_dotenv", "django_environ", "shell"];
const BOM: &str = "\u{feff}";

#[test]
#[ignore = "long: a virtualenv, and nineteen files that several readers read"]
fn each_reader_reads_what_was_asked_for_or_nothing_is_written() {
    let world = World::new();
    let python = readers(&world).display().to_string();
    let all = &DOTENV[..];
    let (crlf, mixed) = (format!("{BOM}A=1\r\nB=2\r\n"), "A=1\nB='x\ny'\nC=3");
    let cases: &[Case<'_>] = &[
        (
            "hash.env",
            "A=1\nB=2\n",
            all,
            "key: A, value: \"pa #ss\"",
            Ok("A='pa #ss'\nB=2\n".into()),
        ),
        (
            "export.env",
            "export A=\"x\" # c\nG = 1\n",
            &["python_dotenv"],
            "key: G, value: \"#h\"",
            Ok("export A=\"x\" # c\nG = '#h'\n".into()),
        ),
        (
            "dollar.env",
            "A=1\n",
            &["python_dotenv"],
            "key: A, value: \"ab$${cd}\"",
            Err("cannot be written so that every reader"),
        ),
        (
            "shell.env",
            "A=1\n",
            &["shell"],
            "key: A, value: \"ab$${cd}\"",
            Ok("A='ab${cd}'\n".into()),
        ),
        (
            "bcrypt.env",
            "A=1\n",
            &["python_dotenv", "shell"],
            "key: A, value: \"$2b$12$abc\"",
            Ok("A='$2b$12$abc'\n".into()),
        ),
        (
            "proxied.env",
            "A=1\n",
            &["django_environ"],
            "key: A, value: \"$2b$12$abc\"",
            Err("cannot be written so that every reader"),
        ),
        (
            "quote.env",
            "A=1\n",
            &["python_dotenv"],
            "key: A, value: \"it's \\\"so\\\" $1\"",
            Ok("A='it\\'s \"so\" $1'\n".into()),
        ),
        (
            "bom.env",
            &crlf,
            &["python_dotenv"],
            "key: A, value: \"new\"",
            Ok(format!("{BOM}A=new\r\nB=2\r\n")),
        ),
        (
            "first.env",
            &crlf,
            &["django_environ"],
            "key: A, value: \"new\"",
            Err("would read nothing for A"),
        ),
        (
            "crlf.env",
            "A=1\r\nB=2\r\n",
            &["shell"],
            "key: A, value: \"new\"",
            Err("would read a string of 4 characters for A"),
        ),
        (
            "lines.env",
            mixed,
            &["python_dotenv"],
            "key: B, value: \"one\"",
            Ok("A=1\nB='one'\nC=3".into()),
        ),
        (
            "added.env",
            mixed,
            all,
            "key: D, value: \"4\", absent: create",
            Ok("A=1\nB='x\ny'\nC=3\nD=4".into()),
        ),
        (
            "end.env",
            "A=1\nC=3",
            all,
            "key: D, value: \"4\", absent: create",
            Ok("A=1\nC=3\nD=4".into()),
        ),
        (
            "type.yml",
            "a: yes\nb: x # c\n",
            &["pyyaml", "ruamel"],
            "key: b, value: \"no\"",
            Ok("a: yes\nb: 'no' # c\n".into()),
        ),
        (
            "bool.yml",
            "a: off\n",
            &["pyyaml", "ruamel"],
            "key: a, value: true",
            Ok("a: true\n".into()),
        ),
        (
            "digits.yml",
            "a: x\n",
            &["pyyaml", "ruamel"],
            "key: a, value: \"12345678901234567890\"",
            Ok("a: '12345678901234567890'\n".into()),
        ),
        (
            "fraction.yml",
            "a: 1.9\n",
            &["pyyaml", "ruamel"],
            "key: a, value: \"1.10\", type: number",
            Ok("a: 1.10\n".into()),
        ),
        (
            "raw.ini",
            "[db]\nA = 1 ; n\n",
            &["raw_configparser"],
            "key: db.a, value: \"5%off\"",
            Ok("[db]\nA = 5%off\n".into()),
        ),
        (
            "both.ini",
            "[db]\nA = 1\nb = %(a)s\n",
            &["configparser"],
            "key: db.a, value: \"5%off\"",
            Err("would read other values for db.b, too"),
        ),
    ];
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    for (n, (file, text, by, edit, wanted)) in cases.iter().enumerate() {
        std::fs::write(world.path(file), text).expect("written");
        let made = step(&format!("s{n}"), file, &python, by, edit);
        match wanted {
            Ok(_) => steps.push(made),
            Err(_) => refused.push(made),
        }
    }
    plan(&world, &refused);
    let shown = world.upledger(&["plan", "plan.yaml", "--json"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    let would_fail = |step: &str, why: &str| {
        let mut lines = shown.out.lines();
        lines.any(|l| l.contains(&format!("\"{step}\"")) && l.contains(why))
    };
    for (n, (file, _, _, _, wanted)) in cases.iter().enumerate() {
        if let Err(why) = wanted {
            assert!(
                would_fail(&format!("s{n}"), why),
                "{file}: {why}: {shown:?}"
            );
        }
    }
    plan(&world, &steps);
    let run = world.upledger(&["run", "plan.yaml"]);
    let read = |file: &str| std::fs::read_to_string(world.path(file)).expect("a file");
    assert_eq!(run.code, 0, "{run:?}");
    for (file, text, _, _, wanted) in cases {
        let wanted = wanted.as_ref().map_or(*text, String::as_str);
        assert_eq!(read(file), wanted, "{file}");
    }
    assert_eq!(world.rollback().code, 5);
    for (file, text, ..) in cases {
        assert_eq!(read(file), *text, "{file}");
    }
}

/// A supervisord of this test, ended by its process id.
struct Supervisord(i32);

impl Drop for Supervisord {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

#[test]
fn a_right_file_is_not_in_force_while_the_process_has_the_former_values() {
    let world = World::new();
    let conf = |mode: &str| {
        world.write(
            "s.conf",
            &format!(
                "[supervisord]\nnodaemon=false\nlogfile=@/log\npidfile=@/pid\n[unix_http_server]\nfile=@/sock\n[rpcinterface:supervisor]\n\
                 supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\nserverurl=unix://@/sock\n\
                 [program:app]\ncommand=/bin/sleep 7321\nenvironment=MODE=\"{mode}\"\nstartsecs=0\nstopasgroup=true\n"
            ),
        )
    };
    let path = conf("old").display().to_string();
    world.write("app.env", "REDIS=r1\nCACHE=c1\n");
    Call::new("supervisord")
        .env("REDIS", "r1")
        .args(["-c", &path])
        .run();
    let pid = || {
        std::fs::read_to_string(world.path("pid"))
            .unwrap_or_default()
            .trim()
            .parse::<i32>()
    };
    patiently("supervisord is up", || pid().is_ok());
    let _supervisord = Supervisord(pid().expect("a pid"));
    let control = |words: &[&str]| {
        Call::new("supervisorctl")
            .args(["-c", &path])
            .args(words)
            .output()
    };
    patiently("the program runs", || {
        String::from_utf8_lossy(&control(&["status", "app"]).stdout).contains("RUNNING")
    });
    let expect = |keys: &str| -> Done {
        plan(
            &world,
            &[format!(
                "{{id: in-force, do: {{expect.config: {{path: \"@/app.env\", process: sleep 7321, {keys}}}}}}}"
            )],
        );
        let run = world.upledger(&["run", "plan.yaml"]);
        world.upledger(&["abort", "--reason", "test"]);
        run
    };
    // Supervisord may have started it in the moment in which it was asked.
    patiently("the program is older than what comes", || {
        let pid = String::from_utf8_lossy(&control(&["pid", "app"]).stdout).into_owned();
        let own = Call::new("ps")
            .args(["-o", "etimes=", "-p", pid.trim()])
            .output();
        let own = String::from_utf8_lossy(&own.stdout).into_owned();
        own.trim().parse::<u32>().is_ok_and(|seconds| seconds >= 1)
    });
    world.write("app.env", "REDIS=r2\nCACHE=c2\n");
    conf("new");
    let cache = "values: [{key: CACHE, value: c2}]";
    let both = "values: [{key: REDIS, value: r2}]";
    let mode = "environ: {MODE: new}";
    let tells = |keys: &str, parts: &[&str]| {
        let run = expect(keys);
        assert_eq!(run.code, 1, "{keys}: {run:?}");
        for part in parts {
            assert!(run.out.contains(part), "{keys}: {part}: {run:?}");
        }
    };
    // The file is right, and the process is older than it.
    tells(cache, &["started before", "restart it"]);
    control(&["restart", "app"]);
    assert_eq!(expect(cache).code, 0);
    // The environment of supervisord itself goes before the file, for ever.
    tells(
        both,
        &[
            "takes precedence over the file",
            "supervisord",
            "restart that one without it",
        ],
    );
    // A restart does not read the configuration again, and an update does.
    tells(
        mode,
        &[
            "has MODE in its environment with another value",
            "supervisorctl update",
        ],
    );
    control(&["update"]);
    assert_eq!(expect(mode).code, 0);
}

/// A container's view of one file: a bind mount in a namespace of its own, as long as this lives.
struct Mounted(std::process::Child);

impl Mounted {
    fn new(world: &World) -> Self {
        let script = "mount --bind host.env inside.env && touch up && read x";
        let child = std::process::Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", script])
            .current_dir(world.path("."))
            .stdin(std::process::Stdio::piped())
            .spawn();
        let child = child.expect("unshare; these tests run as root");
        patiently("the file is mounted", || world.path("up").exists());
        Self(child)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_that_a_container_has_mounted_is_not_replaced_under_it() {
    let world = World::new();
    world.write("host.env", "A=1\n");
    world.write("inside.env", "");
    let set = |file: &str| {
        plan(
            &world,
            &[format!(
                "{{id: set, do: {{config.set: {{path: \"@/{file}\", edits: [{{key: A, value: \"2\"}}]}}}}}}"
            )],
        );
    };
    set("host.env");
    let mounted = Mounted::new(&world);
    let shown = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.out.contains("inside.env for"), "{shown:?}");
    drop(mounted);
    let shown = world.upledger(&["plan", "plan.yaml"]);
    assert_eq!(shown.code, 0, "{shown:?}");

    // The same inside, where the kernel would refuse it.
    set("inside.env");
    let mut command = std::process::Command::new("unshare");
    let program = crate::common::UPLEDGER;
    let script = format!("mount --bind host.env inside.env && exec {program} plan plan.yaml");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script]);
    command
        .current_dir(world.path("."))
        .env("UPLEDGER_STATE", world.state());
    let shown = Done::of(command.output().expect("unshare"));
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.out.contains("is mounted by itself"), "{shown:?}");
}
