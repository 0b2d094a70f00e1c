//! Proves: which steps of a plan shut users out and let them in again; a front decides where there is one, and without one
//! the services that can answer users.

use super::load_text;

const URL: &str = "ready: {url: \"http://127.0.0.1:8000/\"}";

/// A stop and a start of a unit, with what else their settings say.
fn unit(name: &str, stop: &str, start: &str) -> [String; 2] {
    let by = format!("by: {{systemd: {{unit: {name}}}}}");
    let more = |more: &str| match more {
        "" => String::new(),
        more => format!(", {more}"),
    };
    [
        format!(
            "{{id: {name}-off, do: {{service.stop: {{{by}{}}}}}}}",
            more(stop)
        ),
        format!(
            "{{id: {name}-on, do: {{service.start: {{{by}{}}}}}}}",
            more(start)
        ),
    ]
}

/// The steps that shut users out, and those that let them in.
#[track_caller]
fn traffic(steps: &[&str]) -> (Vec<String>, Vec<String>) {
    let steps: String = steps.iter().map(|s| format!("      - {s}\n")).collect();
    let plan = format!("upledger: 1\nname: x\nphases:\n  - phase: all\n    steps:\n{steps}");
    let plan = load_text("plan.yaml", &plan).expect("accepted").plan;
    let of = |is: fn(&upledger_replay::plan::Step) -> bool| {
        let steps = plan.steps().map(|(_, step)| step).filter(|step| is(step));
        steps.map(|step| step.id.clone()).collect()
    };
    (of(|step| step.closes), of(|step| step.opens))
}

#[track_caller]
fn is(steps: &[&str], closing: &[&str], opening: &[&str]) {
    let (closes, opens) = traffic(steps);
    assert_eq!(closes, closing, "{steps:#?}");
    assert_eq!(opens, opening, "{steps:#?}");
}

#[test]
fn without_a_front_a_service_that_names_an_address_lets_users_in() {
    for (stop, start) in [
        ("", URL),
        ("port: 80", ""),
        ("", "ready: {port: 80}"),
        ("port: 80", URL),
    ] {
        let [off, on] = unit("web", stop, start);
        is(&[&off, &on], &["web-off"], &["web-on"]);
    }
    // Nothing says that anybody is answered.
    let [off, on] = unit("web", "", "");
    is(&[&off, &on], &[], &[]);
}

#[test]
fn a_front_decides_where_there_is_one() {
    let [off, on] = unit("web", "port: 80", URL);
    let close = "{id: close, do: {nginx.stop: {by: {systemd: {unit: nginx}}}}}";
    let open = "{id: open, do: {nginx.start: {by: {systemd: {unit: nginx}}}}}";
    is(&[close, &off, &on, open], &["close"], &["open"]);
}

#[test]
fn workers_beside_it_let_nobody_in_and_are_not_the_outage() {
    let [off, on] = unit("web", "", URL);
    let [work_off, work_on] = unit("worker", "", "");
    is(&[&work_off, &off, &work_on, &on], &["web-off"], &["web-on"]);
    let celery =
        "{id: tasks, do: {celery.start: {by: {systemd: {unit: celery}}, app: {cwd: /srv}}}}";
    is(&[&work_off, celery], &[], &[]);
}

#[test]
fn what_was_never_stopped_lets_nobody_in_again() {
    let [off, on] = unit("web", "port: 80", URL);
    is(&[&on], &[], &[]);
    is(&[&on, &off], &[], &[]);
    is(&[&off], &[], &[]);
}

#[test]
fn gunicorn_is_the_web_application_whatever_its_settings_say() {
    let off = "{id: off, do: {gunicorn.stop: {}}}";
    let on = "{id: on, do: {gunicorn.start: {by: {systemd: {unit: web}}}}}";
    is(&[off, on], &["off"], &["on"]);
    is(&[on], &[], &["on"]);
}

#[test]
fn a_daemon_of_a_pidfile_is_the_same_by_either_kind() {
    let off = "{id: off, do: {process.stop: {pidfile: /run/web.pid, port: 80}}}";
    let on =
        "{id: on, do: {process.start: {pidfile: /run/web.pid, argv: [web], log: /var/log/web}}}";
    is(&[off, on], &["off"], &["on"]);
    let by = "by: {process: {pidfile: /run/web.pid, argv: [web], log: /var/log/web}}";
    let on = format!("{{id: on, do: {{service.start: {{{by}}}}}}}");
    is(&[off, &on], &["off"], &["on"]);
}

#[test]
fn a_stop_under_another_name_is_taken_where_none_is_known_to_be_the_services_own() {
    let [_, on] = unit("web", "", URL);
    let all = "{id: all, do: {service.stop: {by: {systemd: {units: [\"web*\"]}}}}}";
    is(&[all, &on], &["all"], &["web-on"]);
}

#[test]
fn each_round_has_its_own_stop_and_start() {
    let [off, on] = unit("web", "port: 80", URL);
    let [api_off, api_on] = unit("api", "port: 81", "");
    is(
        &[&off, &on, &api_off, &api_on],
        &["web-off", "api-off"],
        &["web-on", "api-on"],
    );
}
