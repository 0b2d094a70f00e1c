//! What a Gunicorn was told: by its command line, by `GUNICORN_CMD_ARGS`, and by its configuration file.
//!
//! The file is Python and is not executed: a value that is no literal is known to be set, and not known to what. What is
//! relative in it, and the file itself, counts from the directory in which Gunicorn was started, which `chdir` leaves.

use crate::encoding;
use crate::host::exec::unquoted;
use crate::system::proc;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file that Gunicorn reads where none is named.
const DEFAULT: &str = "gunicorn.conf.py";

/// What it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where it was started; none where that cannot be told.
    pub(super) started_in: Option<PathBuf>,
    /// That it loads the application before it forks, and who says so.
    pub(super) preload: Option<String>,
    /// The pidfile that it writes.
    pub(super) pidfile: Option<PathBuf>,
}

/// What the process was told that shows these words and works there.
pub(super) fn of(pid: i32, words: &[String], cwd: &Path) -> Settings {
    let environ = proc::environ(pid);
    let value = |name: &str| {
        let found = environ.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    };
    let args = value("GUNICORN_CMD_ARGS").map(|args| encoding::escaped(args.as_bytes()));
    let env = args.map_or_else(Vec::new, |args| unquoted(&args));
    let mut places = vec![cwd.to_path_buf()];
    // A shell says where it started a command, as long as nobody has changed the directory in between.
    places.extend(value("PWD").map(PathBuf::from).filter(|p| p.is_dir()));
    let all: Vec<Settings> = places.iter().map(|at| read(words, &env, cwd, at)).collect();
    let known = all.iter().filter(|s| s.started_in.is_some());
    // Of two places that may be it, the one that has a configuration.
    let best = known.max_by_key(|s| {
        s.started_in
            .as_ref()
            .is_some_and(|d| d.join(DEFAULT).exists())
    });
    best.or(all.first()).cloned().unwrap_or_default()
}

/// What it was told if it was started there.
fn read(words: &[String], env: &[String], cwd: &Path, at: &Path) -> Settings {
    let given = |names: [&str; 2]| option(words, names).or_else(|| option(env, names));
    let named = given(["-c", "--config"]);
    let conf = file(named.as_deref().unwrap_or(DEFAULT));
    let text = std::fs::read_to_string(at.join(&conf));
    let readable = text.is_ok();
    // A configuration that cannot be read here says nothing.
    let text = text.unwrap_or_default();
    let own = |name: &str| {
        assigned(&text, name)
            .last()
            .and_then(|value| literal(value))
    };
    let real = |path: &Path| path.canonicalize().ok();
    let chdir = given(["", "--chdir"]).or_else(|| own("chdir"));
    let leads = chdir
        .as_ref()
        .map_or_else(|| at.to_path_buf(), |dir| at.join(dir));
    let is_place = real(&leads) == real(cwd) && (named.is_none() || readable);
    let switch = |all: &[String]| all.iter().any(|w| w == "--preload");
    let preload = if switch(words) {
        Some("--preload".into())
    } else if switch(env) {
        Some("--preload in GUNICORN_CMD_ARGS".into())
    } else {
        let says = |value: &&str| !matches!(*value, "False" | "0" | "None");
        let all = assigned(&text, "preload_app");
        let set = all.iter().any(says);
        set.then(|| format!("preload_app in {conf}"))
    };
    let pidfile = given(["-p", "--pid"]).or_else(|| own("pidfile"));
    Settings {
        started_in: is_place.then(|| at.to_path_buf()),
        preload,
        // It is written once Gunicorn works where it is to work.
        pidfile: pidfile.map(|path| cwd.join(path)),
    }
}

/// The file that `-c` names.
fn file(named: &str) -> String {
    match named.strip_prefix("python:") {
        Some(module) => format!("{}.py", module.replace('.', "/")),
        None => named.trim_start_matches("file:").to_owned(),
    }
}

/// The value of an option, in one word or two.
fn option(words: &[String], [short, long]: [&str; 2]) -> Option<String> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == long || (!short.is_empty() && word == short) {
            return rest.next().cloned();
        }
        let value = word.strip_prefix(long).and_then(|w| w.strip_prefix('='));
        let glued = word
            .strip_prefix(short)
            .filter(|w| !short.is_empty() && !w.is_empty() && !word.starts_with("--"));
        if let Some(value) = value.or(glued) {
            return Some(value.to_owned());
        }
    }
    None
}

/// What a name is assigned in Python, in order, without comments.
fn assigned<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix(name)?.trim_start();
        let value = rest.strip_prefix('=').filter(|v| !v.starts_with('='))?;
        Some(value.split('#').next().unwrap_or(value).trim())
    });
    lines.collect()
}

/// The text of a literal of Python.
fn literal(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(quote)).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn settings_come_from_the_command_line_the_environment_and_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("app")).unwrap();
        let conf = |text: &str| std::fs::write(root.join(DEFAULT), text).unwrap();
        let plain = words("python gunicorn app:app");
        let told =
            |words: &[String], env: &[String], cwd: &str| read(words, env, &root.join(cwd), &root);
        assert_eq!(told(&plain, &[], "").preload, None);
        conf("preload_app = True  # faster\npidfile = 'run/a.pid'\n");
        let found = told(&plain, &[], "");
        assert_eq!(
            found.preload.as_deref(),
            Some("preload_app in gunicorn.conf.py")
        );
        assert_eq!(found.pidfile, Some(root.join("run/a.pid")));
        assert_eq!(found.started_in, Some(root.clone()));
        conf("preload_app = False\n");
        assert_eq!(told(&plain, &[], "").preload, None);
        conf("import os\nif x:\n    preload_app = bool(os.environ.get('P'))\n");
        assert!(
            told(&plain, &[], "").preload.is_some(),
            "it cannot be excluded"
        );
        conf("# preload_app = True\npreload_app_later = True\n");
        let env = words("--preload --pid /run/e.pid");
        assert_eq!(told(&plain, &[], "").preload, None);
        assert!(
            told(&plain, &env, "")
                .preload
                .unwrap()
                .contains("GUNICORN_CMD_ARGS")
        );
        assert_eq!(told(&plain, &env, "").pidfile, Some("/run/e.pid".into()));
        let more = words("python gunicorn --pid=/run/w.pid -c other.py app:app");
        let found = told(&more, &env, "");
        assert_eq!(found.pidfile, Some("/run/w.pid".into()));
        assert_eq!(
            found.started_in, None,
            "it could not have read its configuration there"
        );
    }

    #[test]
    fn where_it_was_started_is_where_its_chdir_leads_to_where_it_works() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("app")).unwrap();
        std::fs::write(root.join(DEFAULT), "chdir = \"app\"\n").unwrap();
        let plain = words("python gunicorn app:app");
        let at =
            |words: &[String], place: &Path| read(words, &[], &root.join("app"), place).started_in;
        assert_eq!(at(&plain, &root), Some(root.clone()));
        let own = words("python gunicorn --chdir app app:app");
        assert_eq!(at(&own, &root), Some(root.clone()));
        assert_eq!(at(&own, &root.join("app")), None);
    }
}
