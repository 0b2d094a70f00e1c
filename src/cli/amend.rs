//! The command amend: another plan in the place of the run's own, for steps that have not succeeded.

use super::drive::{hold, known_secrets, refused};
use super::fail::Failure;
use super::out::Out;
use super::plans::{self, Vars};
use super::printer::print;
use super::show::pick;
use super::{ask, code, former};
use crate::home::{Home, identity};
use crate::journal::Committed;
use crate::report::amendment;
use crate::runner::lock::RunnerLock;
use crate::text::{commands as text, help};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use upledger_replay::event::{Event, RunAmended};

/// A plan that takes the place of another.
#[derive(Debug, Args)]
pub(crate) struct Amend {
    #[arg(help = help::run_plan())]
    plan: PathBuf,
    #[arg(long, value_name = "TEXT", value_parser = super::said, help = help::reason())]
    reason: String,
    #[command(flatten)]
    vars: Vars,
}

pub(crate) fn amend(out: &mut Out, home: &Home, args: &Amend) -> Result<u8, Failure> {
    let mut journal = ask::open_existing(home)?;
    let checked = args.vars.load(out, &args.plan)?;
    let (_, redactor) = known_secrets(&checked.plan)?;
    let lock = RunnerLock::take(&home.state, &identity())
        .map_err(|e| Failure::from(e).hint(text::pause_to_amend()))?;
    let lock = hold(&mut journal, lock);
    journal.refresh()?;
    journal.redact_with(redactor);
    let run = pick(journal.book(), None)?;
    ask::unended(run)?;
    former::continuable(&journal, run, "upledger amend")?;
    let name = run.name.clone();
    for warning in &checked.warnings {
        out.progress(&plans::warning(&args.plan, warning));
    }
    if run.digest == checked.digest {
        return Err(Failure::new(
            code::NOT_NOW,
            "not_now",
            text::same_plan(&name),
        ));
    }
    let changes = run.changes(&checked.plan);
    let steps: Vec<String> = changes.iter().map(|c| c.step().to_owned()).collect();
    let shown = amendment::lines(&changes);
    let amended = Event::RunAmended(RunAmended {
        digest: checked.digest.clone(),
        steps: steps.clone(),
        warnings: (checked.warnings.iter())
            .map(|w| w.recorded.clone())
            .collect(),
        reason: args.reason.clone(),
        plan: checked.plan.into(),
    });
    loop {
        journal.stage(Some(&name), &amended).map_err(|e| {
            refused(&e).hint(text::undo_before_amending(
                "upledger rollback --to STEP --reason '...'",
            ))
        })?;
        if let Committed::Done(entries) = journal.commit()? {
            if !out.json {
                out.lines(&shown);
            }
            entries.iter().for_each(|e| print(out, e));
            break;
        }
    }
    drop(lock);
    if out.json {
        let result = json!({"run": name, "digest": checked.digest, "steps": steps, "next": ["upledger resume"]});
        out.result(result, code::DONE);
    } else {
        out.progress(&text::next("upledger resume"));
    }
    Ok(code::DONE)
}
