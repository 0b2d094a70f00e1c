//! The command amend: another plan in the place of the run's own, for steps that have not succeeded.

use super::drive::{hold, known_secrets, refused};
use super::fail::Failure;
use super::out::Out;
use super::plans::{self, Vars};
use super::printer::print;
use super::show::pick;
use super::{ask, code, former};
use crate::clock;
use crate::home::{Home, identity};
use crate::journal::Committed;
use crate::report::amendment;
use crate::runner::lock::RunnerLock;
use crate::text::{commands as text, help};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use upledger_replay::amend::NotAmendable;
use upledger_replay::decide::{Next, next};
use upledger_replay::event::{Event, RunAmended};
use upledger_replay::state::Run;

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
    let lock = RunnerLock::take(&home.state, &identity())
        .map_err(|e| Failure::from(e).hint(text::pause_to_amend()))?;
    let lock = hold(&mut journal, lock);
    journal.refresh()?;
    let run = pick(journal.book(), None)?;
    ask::unended(run)?;
    former::continuable(&journal, run, "upledger amend")?;
    run.amendable(&checked.plan)
        .map_err(|why| not_amended(run, &why))?;
    // All secrets of the run are secrets of this plan, too.
    let (_, redactor) = known_secrets(&checked.plan)?;
    journal.redact_with(redactor);
    let run = pick(journal.book(), None)?;
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
    let shown = amendment::lines(&run.plan, &checked.plan, &changes);
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
        journal
            .stage(Some(&name), &amended)
            .map_err(|e| refused(&e))?;
        if let Committed::Done(entries) = journal.commit()? {
            if !out.json {
                out.lines(&shown);
            }
            entries.iter().for_each(|e| print(out, e));
            break;
        }
    }
    drop(lock);
    let asks = matches!(
        next(pick(journal.book(), Some(&name))?, &clock::now()),
        Next::Ask(_)
    );
    let command = match asks {
        true => "upledger status",
        false => "upledger resume",
    };
    if out.json {
        let result =
            json!({"run": name, "digest": checked.digest, "steps": steps, "next": [command]});
        out.result(result, code::DONE);
    } else {
        out.progress(&text::next(command));
    }
    Ok(code::DONE)
}

/// Why not, and what helps.
fn not_amended(run: &Run, why: &NotAmendable) -> Failure {
    let before = |step: &str| {
        let steps: Vec<&str> = run.plan.steps().map(|(_, s)| s.id.as_str()).collect();
        let at = steps.iter().position(|s| *s == step)?;
        steps.get(at.checked_sub(1)?).map(|s| (*s).to_owned())
    };
    let (what, hint) = match why {
        NotAmendable::Backwards => (text::runs_backwards(), None),
        NotAmendable::Settled(step) => (
            text::step_is_settled(step),
            Some(text::keep_its_definition()),
        ),
        NotAmendable::MayHaveActed(step) => {
            let hint = match before(step) {
                Some(to) => {
                    text::undo_it_first(format!("upledger rollback --to {to} --reason '...'"))
                }
                None => text::undo_all_and_run(),
            };
            (text::step_may_have_acted(step), Some(hint))
        }
        NotAmendable::Asks(step) => (
            text::step_asks(step),
            Some(text::answer_first("upledger status")),
        ),
        NotAmendable::KeepsNoUndo(step) => (text::step_keeps_no_undo(step), None),
        NotAmendable::Secret(name) => (text::secret_keeps_source(name), None),
        NotAmendable::Gone(step) => (text::step_is_gone(step), None),
        NotAmendable::Moved(step) => (text::step_moved(step), None),
        NotAmendable::Early(step) => (text::step_too_early(step), None),
        NotAmendable::WentBack(step) => (text::went_back_to(step), None),
    };
    let failure = Failure::new(code::NOT_NOW, "not_now", text::not_amended(what));
    hint.into_iter().fold(failure, Failure::hint)
}
