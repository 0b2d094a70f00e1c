//! Places where tests let a process die or stop. Debug builds only: a release build has no code here.

#[cfg(debug_assertions)]
static SCOPE: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

/// From here on, places of this process are also known as `scope/name`.
#[cfg(debug_assertions)]
pub fn scope(scope: &str) {
    if let Ok(mut held) = SCOPE.lock() {
        scope.clone_into(&mut held);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn scope(_scope: &str) {}

/// `UPLEDGER_FAILPOINT` names places, with commas between them: `[stop=][scope/]name[:N][@file]`. At the N-th time (the
/// first when left out) that this process comes by, it kills itself, or with `stop=` stops itself; with a file, only the
/// process that creates the file does, so that of many processes one is hit.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    let Ok(places) = std::env::var("UPLEDGER_FAILPOINT") else {
        return;
    };
    for place in places.split(',') {
        come_by(place, name);
    }
}

#[cfg(debug_assertions)]
fn come_by(place: &str, name: &str) {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    static SEEN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let (signal, wanted) = match place.strip_prefix("stop=") {
        Some(rest) => (rustix::process::Signal::STOP, rest),
        None => (rustix::process::Signal::KILL, place),
    };
    let (wanted, file) = wanted
        .split_once('@')
        .map_or((wanted, None), |(w, f)| (w, Some(f)));
    let (wanted, nth) = wanted
        .split_once(':')
        .map_or((wanted, 1), |(w, n)| (w, n.parse().unwrap_or(1)));
    let wanted = match wanted.split_once('/') {
        Some((scope, rest)) if SCOPE.lock().is_ok_and(|held| *held == scope) => rest,
        _ => wanted,
    };
    if wanted != name {
        return;
    }
    let Ok(mut seen) = SEEN.lock() else { return };
    let count = seen.entry(place.to_owned()).or_default();
    *count += 1;
    let ours = |file: &str| std::fs::File::create_new(file).is_ok();
    if *count == nth && file.is_none_or(ours) {
        // Nothing to do when the kernel refuses: the test then sees a process that lives.
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}
