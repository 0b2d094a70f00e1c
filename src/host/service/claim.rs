//! What `/proc` shows of a command is a claim of the process: it may show a title, a path that leads elsewhere by now, or
//! words that mean something only where it was started.
//!
//! Invariant: what cannot be started again from what is seen is refused before it is stopped, with the setting that says
//! how it is started.

use super::found::Master;
use super::kind::Kind;
use crate::attempt::find_program;
use crate::encoding;
use crate::system::proc;
use std::path::{Path, PathBuf};

/// Programs that run a script, by the beginning of their names.
const INTERPRETERS: [&str; 9] = [
    "python", "pypy", "perl", "ruby", "node", "php", "bash", "dash", "sh",
];
/// What the kernel appends to the name of what was removed.
const DELETED: &str = " (deleted)";

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The file that a first word without a path means, by the `PATH` and the directory of the process; none where that is not
/// the one that runs.
pub(super) fn program(pid: i32, words: &[String]) -> Option<String> {
    let first = words.first().filter(|w| !w.contains('/'))?;
    let environ = proc::environ(pid);
    let (_, path) = environ.iter().find(|(key, _)| key == "PATH")?;
    let found = find_program(first, path.to_str(), &proc::cwd(pid).ok()?).ok()?;
    (canonical(&found) == proc::exe(pid).ok()?).then(|| found.display().to_string())
}

/// Why its command cannot be started again from what is seen of it; none where it can.
pub(super) fn refused(kind: &dyn Kind, master: &Master) -> Option<String> {
    if let Some(cwd) = master.cwd.strip_suffix(DELETED) {
        return Some(format!("its working directory {cwd} has been removed"));
    }
    if proc::root(master.ident.pid).is_ok_and(|root| root != Path::new("/")) {
        return Some("it runs in another root directory (chroot)".into());
    }
    if master.exe.is_empty() {
        return None;
    }
    let words = master.seen();
    let named = [&master.cwd, &master.exe].into_iter().chain(words);
    let mut named = named.chain(&master.log);
    if let Some(bytes) = named.find(|word| encoding::is_escaped(word)) {
        return Some(format!(
            "its command, its directory or its log is named by bytes that are no UTF-8 ({bytes})"
        ));
    }
    let first = words.first()?;
    let (cwd, exe) = (Path::new(&master.cwd), Path::new(&master.exe));
    if is_title(master) {
        return Some("it shows a process title instead of the command that started it".into());
    }
    if let Err(why) = kind.started_in(master) {
        return Some(why);
    }
    if first.contains('/') {
        let path = cwd.join(first);
        let leads = canonical(&path);
        // What was replaced in its place is started from there.
        if !path.exists() {
            return Some(format!(
                "its program {first} does not exist in {}",
                master.cwd
            ));
        }
        if leads != canonical(exe) && path != exe {
            return Some(format!(
                "its command line names {first}, which leads to {}, but it executes {}",
                leads.display(),
                master.exe
            ));
        }
    }
    let runs_scripts = INTERPRETERS
        .iter()
        .any(|i| name(&master.exe).starts_with(i));
    let script = words
        .get(1)
        .filter(|w| runs_scripts && !w.starts_with('-'))?;
    (!cwd.join(script).exists())
        .then(|| format!("its script {script} does not exist in {}", master.cwd))
}

/// Its only word is a title that it gave itself.
pub(super) fn is_title(master: &Master) -> bool {
    let words = master.seen();
    let Some(first) = words.first() else {
        return true;
    };
    if master.program.is_some() || Path::new(&master.cwd).join(first).exists() {
        return false;
    }
    let named = name(first).trim_start_matches('-') == name(&master.exe);
    first.contains(char::is_whitespace) || first.ends_with(':') || (words.len() == 1 && !named)
}

/// Programs that TERM does not end in peace, by the beginning of their names, with what it does and what ends them.
const OTHERWISE: [(&str, &str); 5] = [
    (
        "uwsgi",
        "reloads on TERM instead of ending, unless `die-on-term` is set; QUIT or INT ends it at once",
    ),
    (
        "php-fpm",
        "cuts requests off on TERM; QUIT lets them finish",
    ),
    (
        "haproxy",
        "cuts connections off on TERM; USR1 lets them finish",
    ),
    (
        "apache2",
        "cuts requests off on TERM; WINCH lets them finish",
    ),
    ("httpd", "cuts requests off on TERM; WINCH lets them finish"),
];

/// What TERM is known to do to that process instead of letting it finish and end.
pub(super) fn otherwise_on_term(master: &Master) -> Option<&'static str> {
    const SETTING: &str = "die-on-term";
    let words = master.seen();
    let first = words.first().map_or("", |w| name(w));
    let script = ["python", "pypy"].iter().any(|i| first.starts_with(i));
    let script = words.get(1).filter(|_| script).map(|w| name(w));
    let names = [Some(first), script, Some(name(&master.exe))];
    let known = OTHERWISE
        .iter()
        .find(|(n, _)| names.iter().flatten().any(|own| own.starts_with(n)));
    let (program, what) = known?;
    let environ = proc::environ(master.ident.pid);
    let says = |word: &String| {
        let file = word.rsplit('=').next().unwrap_or(word);
        let path = Path::new(&master.cwd).join(file);
        let conf = [".ini", ".yaml", ".yml", ".json", ".xml"];
        let conf = conf.iter().any(|end| file.ends_with(end));
        // What cannot be read says nothing, and the signal has to be named.
        word.contains(SETTING)
            || (conf && std::fs::read_to_string(path).is_ok_and(|text| text.contains(SETTING)))
    };
    let set = words.iter().any(says) || environ.iter().any(|(key, _)| key == "UWSGI_DIE_ON_TERM");
    (*program != "uwsgi" || !set).then_some(*what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Context;
    use crate::host::process::identity::Ident;

    #[test]
    fn what_term_does_is_known_by_the_program_and_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("app.ini").display().to_string();
        std::fs::write(&conf, "[uwsgi]\ndie-on-term = true\n").unwrap();
        let own = Ident::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let look = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let master = Master::look(&Context::default(), &own, &words)
                .unwrap()
                .unwrap();
            otherwise_on_term(&master)
        };
        for line in [
            "/usr/bin/uwsgi --http :1",
            "/venv/bin/python /venv/bin/uwsgi x",
            "php-fpm: master process (x)",
        ] {
            assert!(look(line).is_some(), "{line}");
        }
        let ini = format!("uwsgi --ini={conf}");
        for line in [
            "uwsgi --die-on-term",
            ini.as_str(),
            "python3 server.py",
            "vi uwsgi.ini",
        ] {
            assert!(look(line).is_none(), "{line}: {:?}", look(line));
        }
    }
}
