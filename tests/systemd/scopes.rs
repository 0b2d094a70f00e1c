//! A step does not end with what upledger was started in: neither with a unit that is stopped, nor with a login session.
//! Where systemd does not help, the step runs all the same, and says so.

use crate::machine::{Done, Machine};

/// One step, which begins, waits for the file `go`, and leaves a line in `effects`.
const PLAN: &str = r#"
upledger: 1
name: night
phases:
  - phase: only
    steps:
      - id: long
        do: {shell: "echo printed; touch begun; until test -e go; do sleep 0.02; done; echo effect >> effects"}
        cwd: @
        effect: unsafe
        on_doubt: ask
        undo: none
"#;

/// A machine with that plan in a directory of this user.
fn prepared(user: &str) -> Machine {
    let machine = Machine::boot();
    let home = if user == "root" {
        "/root".to_owned()
    } else {
        machine.must(&["useradd", "--create-home", user]);
        format!("/home/{user}")
    };
    machine.write(&format!("{home}/plan.yaml"), &PLAN.replace('@', &home));
    machine
}

/// Starts the run in a unit of its own, and waits until its step has begun.
fn begin_in_a_unit(machine: &Machine) {
    machine.must(&[
        "systemd-run",
        "--quiet",
        "--unit=night",
        "--setenv=HOME=/root",
        "--working-directory=/root",
        "upledger",
        "run",
        "plan.yaml",
    ]);
    machine.patiently("the step has begun", || {
        machine.path("/root/begun").exists()
    });
}

/// Who works on the machine.
struct Operator {
    /// What makes a command his.
    prefix: Vec<String>,
    home: String,
    /// Which manager has his scopes.
    manager: &'static str,
}

impl Operator {
    fn root() -> Self {
        Self {
            prefix: Vec::new(),
            home: "/root".into(),
            manager: "--system",
        }
    }

    fn user(machine: &Machine, name: &str) -> Self {
        let id = machine.must(&["id", "--user", name]);
        let home = format!("/home/{name}");
        let prefix = format!(
            "runuser --user {name} -- env --chdir={home} HOME={home} XDG_RUNTIME_DIR=/run/user/{}",
            id.trim()
        );
        Self {
            prefix: prefix.split(' ').map(str::to_owned).collect(),
            home,
            manager: "--user",
        }
    }

    fn run(&self, machine: &Machine, words: &[&str]) -> Done {
        let prefix = self.prefix.iter().map(String::as_str);
        let argv: Vec<&str> = prefix.chain(words.iter().copied()).collect();
        machine.run(&argv)
    }

    /// The scopes of attempts.
    fn scopes(&self, machine: &Machine) -> Vec<String> {
        let list = "list-units --all --plain --no-legend upledger-*";
        let words = ["systemctl", self.manager]
            .into_iter()
            .chain(list.split(' '));
        let units = self.run(machine, &words.collect::<Vec<_>>());
        assert_eq!(units.code, 0, "{units:?}");
        let names = units
            .out
            .lines()
            .filter_map(|l| l.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    /// Lets the step end, whose runner is gone, and then resumes the run, which ends it.
    fn finds_its_result(&self, machine: &Machine) {
        let effects = format!("{}/effects", self.home);
        assert_eq!(self.scopes(machine).len(), 1);
        assert_eq!(machine.read(&effects), "");
        machine.write(&format!("{}/go", self.home), "");
        machine.patiently("the scope is gone", || self.scopes(machine).is_empty());
        assert_eq!(machine.read(&effects), "effect\n");
        let done = self.run(machine, &["upledger", "resume"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(machine.read(&effects), "effect\n");
        let log = self.run(machine, &["upledger", "log", "--json"]).out;
        for kind in ["step.started", "run.resumed", "step.succeeded"] {
            let named = format!(r#""kind":"{kind}""#);
            assert_eq!(log.matches(&named).count(), 1, "{kind}: {log}");
        }
    }
}

fn output_of(machine: &Machine, step: &str) -> String {
    machine.must(&["upledger", "log", "--output", step])
}

#[test]
fn a_step_goes_on_when_the_unit_of_its_runner_is_stopped() {
    let machine = prepared("root");
    begin_in_a_unit(&machine);
    let found = Operator::root().scopes(&machine);
    let [scope] = &found[..] else {
        panic!("one scope: {found:?}");
    };
    let state = machine.state(scope);
    let name = state["Id"].as_str();
    assert!(name.starts_with("upledger-night"), "{name}");
    assert!(name.contains("-long-1-"), "{name}");
    assert!(
        state["Description"].starts_with("upledger: step long of run night"),
        "{state:?}"
    );
    machine.must(&["systemctl", "stop", "night.service"]);
    let night = machine.state("night.service");
    // The runner has left its step alone, which is no success.
    assert_eq!((&*night["MainPID"], &*night["ExecMainStatus"]), ("0", "11"));
    assert_eq!(machine.state(scope)["ActiveState"], "active");
    Operator::root().finds_its_result(&machine);
    assert_eq!(output_of(&machine, "long"), "printed\n");
    // It is forgotten, also its name.
    assert_eq!(machine.state(scope)["LoadState"], "not-found");
}

#[test]
fn a_step_goes_on_when_the_login_session_of_its_runner_is_ended() {
    let machine = prepared("root");
    let mut login = machine
        .command(&["su", "--login", "--command", "upledger run plan.yaml"])
        .spawn()
        .expect("su");
    machine.patiently("the step has begun", || {
        machine.path("/root/begun").exists()
    });
    let sessions = machine.must(&["loginctl", "list-sessions", "--no-legend"]);
    let session = sessions.split_whitespace().next().expect("a session");
    machine.must(&["loginctl", "terminate-session", session]);
    login.wait().expect("it ends");
    machine.patiently("the session is gone", || {
        let unit = format!("session-{session}.scope");
        machine.state(&unit)["ActiveState"] != "active"
    });
    Operator::root().finds_its_result(&machine);
}

/// logind ends what a user leaves behind in a session; a user with lingering has a manager that stays.
#[test]
fn a_step_of_a_user_who_lingers_goes_on_when_the_last_session_ends() {
    let machine = prepared("deploy");
    machine.write(
        "/etc/systemd/logind.conf.d/kill.conf",
        "[Login]\nKillUserProcesses=yes\nUserStopDelaySec=0\n",
    );
    machine.must(&["systemctl", "restart", "systemd-logind.service"]);
    machine.must(&["loginctl", "enable-linger", "deploy"]);
    let deploy = Operator::user(&machine, "deploy");
    machine.patiently("the user's manager is up", || {
        deploy
            .run(&machine, &["systemctl", "--user", "is-system-running"])
            .code
            == 0
    });
    // It leaves the session while the runner, in the background, and another process are still there.
    let leave = "nohup sleep 1000 >/dev/null 2>&1 & echo $! >sleep.pid; \
        upledger run plan.yaml >run.out 2>&1 & until test -e begun; do sleep 0.02; done";
    machine.must(&["su", "--login", "deploy", "--command", leave]);
    let sleep = machine.read("/home/deploy/sleep.pid");
    machine.patiently("the session's own processes are ended", || {
        !machine.path(&format!("/proc/{}", sleep.trim())).exists()
    });
    let said = machine.read("/home/deploy/run.out");
    assert!(!said.contains("enable-linger"), "{said}");
    deploy.finds_its_result(&machine);
}

#[test]
fn a_user_whose_processes_are_not_kept_is_told_once_and_the_step_runs() {
    let machine = prepared("deploy");
    machine.write("/home/deploy/go", "");
    let upledger =
        |words: &str| -> Done { machine.run(&["su", "--login", "deploy", "--command", words]) };
    let done = upledger("upledger run plan.yaml");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.out.matches("loginctl enable-linger").count(),
        1,
        "{done:?}"
    );
    let log = upledger("upledger log --output long");
    assert_eq!(log.out, "printed\n");
}

/// What happens without a scope, so that the tests above are known to prove something.
#[test]
fn without_a_scope_a_step_ends_with_the_unit_and_its_output_says_that_it_would() {
    let machine = prepared("root");
    machine.sh("mv /run/systemd/private /run/systemd/hidden");
    begin_in_a_unit(&machine);
    machine.sh("mv /run/systemd/hidden /run/systemd/private");
    assert_eq!(Operator::root().scopes(&machine), [] as [&str; 0]);
    machine.must(&["systemctl", "stop", "night.service"]);
    let resumed = machine.upledger(&["resume"]);
    assert_ne!(resumed.code, 0, "{resumed:?}");
    let output = output_of(&machine, "long");
    let note = "[upledger: not in a scope of its own, so that the stop of the unit or session around it ends this step \
        too: systemd cannot be asked: No such file or directory (os error 2)]\nprinted\n";
    assert_eq!(output, note);
    assert_eq!(machine.read("/root/effects"), "");
}

/// A document that begins with blanks is read only where it is alone in the output.
#[test]
fn the_note_in_an_output_is_not_in_the_way_of_its_facts() {
    let machine = Machine::boot();
    machine.write(
        "/root/plan.yaml",
        r#"{upledger: 1, name: facts, phases: [{phase: only, steps: [
            {id: count, do: {run: [echo, '  {"rows": 7}']}, facts: {rows: {json: .rows}}, effect: pure, undo: none},
            {id: use, do: {run: [sh, -c, 'echo "$ROWS"']}, env: {ROWS: {from: count.rows}}, effect: pure, undo: none},
        ]}]}"#,
    );
    machine.sh("mv /run/systemd/private /run/systemd/hidden");
    let done = machine.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    let output = output_of(&machine, "use");
    assert!(output.starts_with("[upledger: not in a scope"), "{output}");
    assert!(output.ends_with("]\n7\n"), "{output}");
}

#[test]
fn a_systemd_that_hangs_does_not_keep_a_step_from_running() {
    let machine = prepared("root");
    machine.write("/root/go", "");
    machine.hold_systemd(true);
    let done = machine.upledger(&["run", "plan.yaml"]);
    machine.hold_systemd(false);
    assert_eq!(done.code, 0, "{done:?}");
    let output = output_of(&machine, "long");
    assert!(
        output.contains("systemd did not answer within 5 s]\nprinted"),
        "{output}"
    );
    machine.patiently("what was asked for is not kept", || {
        Operator::root().scopes(&machine).is_empty()
    });
}

/// Neither a bus nor systemd-run is needed; and a supervisor that dies before it holds its lock has started nothing.
#[test]
fn a_supervisor_that_dies_in_its_scope_leaves_nothing() {
    let machine = prepared("root");
    machine.write("/root/go", "");
    machine.sh("rm /usr/bin/systemd-run; systemctl --quiet stop dbus.socket dbus.service");
    let mut run = machine.command(&["upledger", "run", "plan.yaml"]);
    run.env("UPLEDGER_FAILPOINT", "before-lock@/root/died");
    let done = run.output().expect("nsenter");
    let journal = machine.journal("");
    let named = |attempt: u32| journal.contains(&format!("-long-{attempt}-"));
    assert!(machine.path("/root/died").exists(), "{done:?}");
    assert!(named(1), "{journal}");
    if done.status.code() != Some(0) {
        let resumed = machine.upledger(&["resume"]);
        assert_eq!(resumed.code, 0, "{done:?} {resumed:?}");
    }
    assert_eq!(machine.read("/root/effects"), "effect\n");
    machine.patiently("no scope is left", || {
        Operator::root().scopes(&machine).is_empty()
    });
}
