//! What a phase with `live: true` refuses: whatever changes what serves, because the service is up while it runs.
//!
//! An action says it itself ([`Properties::live`](crate::action::Properties::live)). Of a command nobody can know, so that its
//! author has to say why it is harmless; a migration is known by its words, and no reason makes it harmless.

use super::commands;
use crate::action::{Arg, Live};
use crate::actions::Do;
use crate::text::plan as say;

/// What is wrong with a step of a live phase, and what to do.
pub(super) fn problem(id: &str, action: &Do, why: Option<&str>) -> Option<(String, String)> {
    if migrates(action) {
        return Some((say::live_migration(id), say::live_behind_stop()));
    }
    match action.kind_of().properties().live {
        Live::Harmless => None,
        Live::Unknown if why.is_some_and(|why| !why.trim().is_empty()) => None,
        Live::Unknown => Some((say::live_needs_why(id, action.kind()), say::say_why_live())),
        Live::Refused => {
            let hint = match action {
                Do::GitDeploy(deploy) if deploy.into.is_some() => say::live_releases(),
                Do::GitDeploy(_) | Do::PipInstall(_) => say::live_without_current(),
                Do::DjangoCollectstatic(_) => say::live_into(),
                _ => say::live_behind_stop(),
            };
            Some((say::live_refused(id, action.kind()), hint))
        }
    }
}

/// It is a command that migrates a database of Django.
fn migrates(action: &Do) -> bool {
    match action {
        Do::Run(run) => {
            let text = |word: &Arg| match word {
                Arg::Text(text) => text.clone(),
                Arg::From(_) => String::new(),
            };
            let words: Vec<String> = run.0.iter().map(text).collect();
            // What a shell is given as code is a script.
            migrate(&words) || words.iter().any(|word| scripted(word))
        }
        Do::Shell(shell) => scripted(&shell.0),
        _ => false,
    }
}

fn scripted(script: &str) -> bool {
    commands::simple(script).into_iter().any(|words| {
        let words: Vec<String> = words.into_iter().map(|w| w.text).collect();
        migrate(&words)
    })
}

/// `manage.py migrate`, `django-admin migrate`, `python -m django migrate`, without the options that only look.
fn migrate(words: &[String]) -> bool {
    let entry = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or_default();
        name == "manage.py" || name == "django" || name.starts_with("django-admin")
    };
    let Some(at) = words.iter().position(entry) else {
        return false;
    };
    let looks = ["--check", "--plan", "--help"];
    let rest = &words[at + 1..];
    rest.iter()
        .find(|word| !word.starts_with('-'))
        .is_some_and(|word| word == "migrate")
        && !rest.iter().any(|word| looks.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_known_by_its_words() {
        for script in [
            "cd /srv/app && venv/bin/python manage.py migrate --noinput",
            "django-admin migrate",
            "/v/bin/python -m django migrate app 0001",
            "DB=x python /srv/app/manage.py --settings=x migrate",
        ] {
            assert!(scripted(script), "{script}");
        }
        for script in [
            "python manage.py migrate --check",
            "python manage.py showmigrations",
            "echo migrate",
            "migrate -path x",
        ] {
            assert!(!scripted(script), "{script}");
        }
    }
}
