//! Whether what is installed is what the requirement files ask for, as the library of the virtualenv's own pip says it:
//! versions are compared and markers evaluated by nobody else, because pip's exit code does not prove what it has done.
//!
//! Invariant: a requirement that this pip's library does not understand is "cannot tell", never "not there".

use super::requirements::{Line, Set};
use super::venv::{Venv, clean};
use crate::action::{Context, Error};
use crate::host::exec::capture;
use crate::host::process::mask;
use serde::Deserialize;

/// The program that asks it.
const PROGRAM: &str = include_str!("judge.py");
/// How many bytes of requirements are asked about at once: a word of a command is at most 128 KiB.
const ASKED: usize = 64 << 10;

/// What pip's library says of one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Verdict {
    /// Its marker is true here.
    applies: bool,
    /// The version that is installed.
    version: Option<String>,
    /// That fits; none where it cannot be told.
    fits: Option<bool>,
}

/// The requirements of one file that name a package: what comes from a URL or a path alone is called as pip finds it.
fn named(set: &Set, of: usize) -> Vec<&Line> {
    let of_file = set.lines.iter().filter(|l| l.of == of && !l.constraint);
    of_file.filter(|l| l.is_named()).collect()
}

/// After one file, what it asks for must be what is there. Returns what cannot be told, in lines.
pub(super) fn pinned(
    cx: &Context,
    venv: &Venv,
    set: &Set,
    of: usize,
) -> Result<Vec<String>, Error> {
    let lines = named(set, of);
    let mut told = Vec::new();
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let mut size = 0;
        let fit = rest.iter().take_while(|line| {
            size += line.text.len() + 3;
            size < ASKED
        });
        let (now, later) = rest.split_at(fit.count().max(1));
        rest = later;
        match ask(cx, venv, now) {
            Ok(verdicts) => told.extend(judge(now, &verdicts)?),
            Err(why) => {
                told.push(format!(
                    "cannot tell whether what is installed is what was asked for: {why}"
                ));
                break;
            }
        }
    }
    Ok(told)
}

fn ask(cx: &Context, venv: &Venv, lines: &[&Line]) -> Result<Vec<Option<Verdict>>, Error> {
    let texts: Vec<&str> = lines.iter().map(|l| l.text.as_str()).collect();
    let texts = serde_json::to_string(&texts).map_err(|e| Error::io("they cannot be asked", &e))?;
    let python = venv.python().display().to_string();
    let argv = [&python, "-I", "-B", "-W", "ignore", "-c", PROGRAM, &texts].map(str::to_owned);
    let seen = capture(&clean(cx), &argv, cx.patience())?;
    let said = seen.text();
    let answer = said.lines().last().unwrap_or_default();
    match serde_json::from_str::<Vec<Option<Verdict>>>(answer) {
        Ok(all) if all.len() == lines.len() => Ok(all),
        Ok(_) | Err(_) => Err(Error::new(format!(
            "the library of its pip: {}: {}",
            seen.ended,
            seen.tail(1).join("; ")
        ))),
    }
}

fn judge(lines: &[&Line], verdicts: &[Option<Verdict>]) -> Result<Vec<String>, Error> {
    const EXIT_0: &str = "pip reports that everything is installed, but";
    let mut unsure = Vec::new();
    for (line, verdict) in lines.iter().zip(verdicts) {
        let (name, place, text) = (&line.name, line.place(), mask::urls(&line.text));
        match verdict {
            None => unsure.push(format!(
                "cannot tell whether {text} ({place}) is what is installed: the library of pip does not read it"
            )),
            Some(v) if !v.applies => {}
            Some(Verdict { version: None, .. }) => {
                return Err(Error::new(format!("{EXIT_0} {name} ({place}) is missing")));
            }
            Some(Verdict {
                version: Some(version),
                fits: Some(false),
                ..
            }) => {
                return Err(Error::new(format!(
                    "{EXIT_0} {name} is {version} and {place} requires {text}"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(unsure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_of_0_with_a_wrong_version_is_seen_through_and_what_is_not_understood_is_no_verdict()
     {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.txt");
        std::fs::write(
            &path,
            "aa==1.0\nbb==2.*\n-e git+file:///x#egg=cc&subdirectory=d\n./w/dd.whl\n",
        )
        .unwrap();
        let set = Set::read(&Context::default(), &[path], &[]).unwrap();
        let lines = named(&set, 0);
        assert_eq!(lines.len(), 2, "what pip calls by itself is not asked for");
        let verdict = |applies, version: Option<&str>, fits| {
            Some(Verdict {
                applies,
                version: version.map(str::to_owned),
                fits,
            })
        };
        let fine = verdict(true, Some("1.0.0"), Some(true));
        let said = |second: Option<Verdict>| judge(&lines, &[fine.clone(), second]);
        assert_eq!(said(verdict(true, Some("2.7"), Some(true))), Ok(Vec::new()));
        assert_eq!(said(verdict(true, Some("2.7"), None)), Ok(Vec::new()));
        assert_eq!(said(verdict(false, None, None)), Ok(Vec::new()));
        assert!(said(None).unwrap()[0].contains("cannot tell whether bb==2.*"));
        let missing = said(verdict(true, None, None)).unwrap_err().to_string();
        assert!(
            missing.contains("bb (") && missing.ends_with("is missing"),
            "{missing}"
        );
        let wrong = said(verdict(true, Some("3.0"), Some(false)))
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("bb is 3.0 and"), "{wrong}");
    }
}
