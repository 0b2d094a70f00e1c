//! The platform of the tests itself: it comes up whole, its lies are lies, and nothing of it is left behind.

use crate::platform::{Options, Platform, patiently};

#[test]
fn a_platform_serves_release_1_works_off_tasks_ticks_and_leaves_nothing() {
    let platform = Platform::up(Options::default());
    assert_eq!(platform.release(), "1.0");
    platform.send_tasks("once", 3, 0.0);
    patiently("three tasks are done", || platform.tasks_done().len() == 3);
    assert_eq!(platform.tasks_started().len(), 3);
    patiently("beat ticks", || platform.ticks() >= 2);
    let page = platform.client().get("/").expect("a page").body;
    let style = page.split('"').nth(3).expect("a style sheet");
    let answer = platform.client().get(style).expect("a file");
    assert_eq!(answer.status, 200, "{style}");
    assert!(answer.body.contains("bklog 1.0"), "{answer:?}");

    let dir = platform.path("");
    let pids: Vec<i32> = platform.processes().iter().map(|(pid, _)| *pid).collect();
    assert!(pids.len() >= 9, "{:?}", platform.processes());
    drop(platform);
    assert!(!dir.exists());
    for pid in pids {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}/exe")).exists(),
            "{pid}"
        );
    }
}

#[test]
fn two_platforms_stand_side_by_side_and_the_queue_looks_empty_while_eight_tasks_wait() {
    let (platform, other) = (
        Platform::up(Options::default()),
        Platform::up(Options::default()),
    );
    platform.send_tasks("held", 8, 2.0);
    patiently("two tasks are at work", || {
        platform.tasks_started().len() >= 2
    });
    patiently("the rest is prefetched", || {
        platform.redis(&["LLEN", "celery"]) == "0"
    });
    assert!(
        platform.tasks_done().len() <= 2,
        "{:?}",
        platform.tasks_done()
    );
    assert_eq!(other.tasks_started().len(), 0);
    let master = platform.pid("gunicorn").expect("Gunicorn runs");
    let done = platform.run(&[
        r#"{id: page, do: {http.check: {url: "${url}/version", contains: "1.0"}}}"#,
        r#"{id: web, do: {run: [kill, -TERM, "MASTER"]}, effect: idempotent, undo: none}"#
            .replace("MASTER", &master.to_string())
            .as_str(),
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    patiently("Gunicorn has ended", || platform.pid("gunicorn").is_none());
    assert_eq!(
        platform
            .client()
            .get("/version")
            .expect("Nginx answers")
            .status,
        502
    );
    assert_eq!(platform.world().upledger(&["verify"]).code, 0);
}
