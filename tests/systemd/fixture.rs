//! The machine itself: it boots, units are what they are said to be, the program runs in it, and nothing of it is left.

use crate::machine::Machine;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A unit as plain as they come.
const WEB: &str = "[Unit]\nDescription=The web\n[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn a_machine_boots_with_what_the_tests_start_in_it() {
    let machine = Machine::boot();
    assert_eq!(machine.read("/proc/1/comm"), "systemd\n");
    assert_eq!(machine.state("dbus.service")["ActiveState"], "active");
    assert_eq!(machine.state("nosuch.service")["LoadState"], "not-found");
    for server in ["nginx.service", "redis-server.service"] {
        assert_eq!(machine.state(server)["ActiveState"], "inactive");
        machine.must(&["systemctl", "start", server]);
        assert_eq!(machine.state(server)["ActiveState"], "active");
    }
    let path = "/opt/app/bin";
    let gunicorn = machine.must(&[&format!("{path}/gunicorn"), "--version"]);
    assert!(gunicorn.contains("23.0.0"), "{gunicorn}");
    let celery = machine.must(&[&format!("{path}/celery"), "--version"]);
    assert!(celery.contains("5.4.0"), "{celery}");
}

#[test]
fn a_plan_stops_a_unit_and_the_ledger_verifies_in_the_machine() {
    let machine = Machine::boot();
    machine.install_unit("web.service", WEB);
    machine.must(&["systemctl", "start", "web.service"]);
    machine.write(
        "/root/plan.yaml",
        "upledger: 1\nname: stop\nphases:\n  - phase: stop\n    steps:\n      \
         - {id: web, do: {run: [systemctl, stop, web.service]}, effect: idempotent, \
         undo: {run: [systemctl, start, web.service]}}\n",
    );
    let done = machine.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(machine.state("web.service")["ActiveState"], "inactive");
    let journal = machine.journal("web.service");
    assert!(journal.contains("Stopped"), "{journal}");
    let verified = machine.upledger(&["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let back = machine.upledger(&["rollback", "--reason", "test"]);
    // Rolled back.
    assert_eq!(back.code, 5, "{back:?}");
    assert_eq!(machine.state("web.service")["ActiveState"], "active");
}

#[test]
fn machines_are_apart_and_leave_nothing_also_when_their_test_panics() {
    let stays = Machine::boot();
    assert_eq!(stays.must(&["uname", "-n"]).trim(), stays.name());
    // What is looked for below is found while a machine lives.
    assert!(processes().contains(&format!("--machine={} ", stays.name())));
    let panics = std::thread::spawn(|| {
        let machine = Machine::boot();
        machine.install_unit("web.service", WEB);
        machine.must(&["systemctl", "start", "web.service"]);
        std::panic::panic_any(machine.name().to_owned());
    });
    let name = panics.join().expect_err("it panics");
    let name = name.downcast::<String>().expect("the machine's name");
    let units = stays.must(&["systemctl", "list-units", "--all", "--no-pager"]);
    assert!(!units.contains("web.service"), "{units}");
    let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
    assert!(!mounts.contains(&*name), "{mounts}");
    let processes = processes();
    assert!(
        !processes.contains(&format!("--machine={name} ")),
        "{processes}"
    );
    assert!(!cgroups(stays.name()).is_empty());
    assert_eq!(cgroups(&name), [] as [PathBuf; 0]);
    let propagate = format!("/run/systemd/nspawn/propagate/{name}");
    assert!(!Path::new(&propagate).exists());
}

#[test]
fn a_systemd_that_is_held_answers_nobody_until_it_is_let_go() {
    let machine = Machine::boot();
    machine.hold_systemd(true);
    let held = machine.run(&["timeout", "0.3", "systemctl", "is-system-running"]);
    assert_eq!(held.code, 124, "{held:?}");
    machine.hold_systemd(false);
    machine.patiently("it answers", || {
        machine.sh("systemctl is-system-running || true") == "running\n"
    });
}

/// The command lines of all processes.
fn processes() -> String {
    let processes = Command::new("ps").args(["-eo", "args"]).output();
    String::from_utf8_lossy(&processes.expect("ps").stdout).into_owned()
}

/// The cgroups that were made for a machine.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"];
    let cgroups = places.iter().map(|place| Path::new(place).join(name));
    cgroups.filter(|cgroup| cgroup.exists()).collect()
}
