//! Texts of `explain`: what the words of the screens mean, each in the language in which the screen says it.

use super::{commands, english, explain, forecast, screen};

texts! {
    was_restored(): "an operator has recorded that an older or another copy of the ledger is used from now on", "操作人记录了改用账本的旧副本或另一份副本";
    was_asked_to_pause(): "the run is to stop before its next step", "要求运行在下一个步骤之前停止";
    was_asked_to_abort(): "the run is to end before its next step", "要求运行在下一个步骤之前终止";
    was_aborted(): "the run has ended early; completed steps are not undone: `upledger rollback` undoes them", "运行已提前结束，已执行的步骤保持原状；用 upledger rollback 回退";
    was_completed(): "the run has ended, and each step has succeeded, was done before or was skipped", "运行已结束：每个步骤都已成功、原本已完成或已跳过";
    was_turned(): "the run goes backwards from here: the undo of each completed step, the last first", "运行从此处开始回退：从最后一步起依次撤销已执行的步骤";
    was_rolled_back(): "the completed steps are undone, and the run has ended", "已执行的步骤均已撤销，运行结束";
    was_undo(): "the intent to undo the step is durable; its command starts after this", "撤销意图已写入账本；命令在此之后才启动";
    was_remark(): "a remark of a person", "人工备注";
    is_rolling_back(): "the run goes backwards: completed steps are being undone", "运行正在回退：已执行的步骤正在撤销";
    is_rolled_back_but(): "the run has ended; the undo of some steps was skipped by decision, and their changes are still in place",
        "运行已结束；部分步骤经人工处理未撤销，其变更仍然存在";
    is_alone(): "the step was started, and no runner waits for its result; `upledger resume` starts one",
        "步骤已启动，但没有执行进程等待其结果；用 upledger resume 恢复运行";
    is_left_out(): "the plan leaves the step out in this run (`when:`)", "按计划的条件（`when:`）本次运行不执行该步骤";
    was_planned(): "the run was created; its plan, resolved, is part of this event", "已创建运行；已解析的计划记录在此事件中";
    was_amended(): "another plan took the place of the run's own for steps that had not succeeded", "尚未成功的步骤改用了修改后的计划";
    was_resumed(): "a runner has taken the run over after a crash, a pause or a decision", "执行进程在崩溃、暂停或人工处理之后接手了运行";
    was_started(): "the intent to run the step is durable; its command starts after this", "执行意图已写入账本；命令在此之后才启动";
    was_adopted(): "the command of the step was still running, and the runner waits for its end", "步骤的命令仍在运行，执行进程接管并等待其结束";
    was_fenced(): "an attempt that had not started was made void: its command can no longer start", "尚未启动的一次执行已作废：其命令不可能再启动";
    was_looked(): "the check of the step was asked whether it is done, after an attempt whose result was not observed", "未能取得某次执行的结果，因此用步骤的探测判断是否完成";
    was_decided(): "a person has answered a question about the step", "有人回答了关于该步骤的问题";
    was_killed(): "a person has asked for the running command to be killed", "有人要求强制结束正在运行的命令";
    was_escalated(): "a time limit has passed, and a stronger signal is on record before it is sent", "已超过时限，改用更强的信号；先写入账本，再发出";
    was_noted(): "what an action found or is about to do, on record before it becomes true", "动作发现的情况或即将做的事，先写入账本";
    was_refused(): "the step was not started, because the check before it failed; nothing was changed", "执行前的检查没有通过，步骤没有启动，未做任何变更";
    is_already(): "it was done before the run came to it; it is not run, and a rollback leaves it alone", "在执行到之前就已完成；不执行，回退时也不动它";
    is_skipped(): "the run goes on without the step, because a person or the plan says so", "经人工处理，或按计划，运行跳过该步骤而继续";
    is_done(): "the step has succeeded: its command and its check agree", "步骤成功：命令和检查结果一致";
    is_failed(): "the step has failed; the run waits for an answer: `upledger status`", "步骤失败，运行等待人工处理：upledger status";
    is_in_doubt(): "whether the step has taken effect is unknown; nothing is repeated until a check or a person says so",
        "步骤是否生效未知；在探测或人工作出判断之前不会重复执行";
    is_ready(): "it is known that the step may run (again)", "已确认该步骤可以（再次）执行";
    is_undone(): "the effect of the step has been undone, and a check agrees", "步骤的效果已撤销，检查结果一致";
    is_pending(): "not reached yet", "尚未执行到";
    is_running(): "its command runs", "命令正在运行";
    is_paused(): "the run stops before the next step, as asked; `upledger resume` continues", "按要求在下一步骤之前停下；用 upledger resume 继续";
    is_interrupted(): "the run should go on and has no runner; `upledger resume` starts one", "运行未结束但没有执行进程；用 upledger resume 继续";
    is_waiting(): "a decision is recorded and not yet acted on; `upledger resume` does", "处理方式已记录，尚未执行；用 upledger resume 执行";
    is_stuck(): "an undo has failed, or the rollback has come to a point of no return", "某个撤销失败，或回退遇到不可逆点";
    is_back_in_part(): "the run was rolled back to a step and has stopped there; `upledger resume` runs the later steps again",
        "已回退到某个步骤并停在那里；用 upledger resume 继续执行后续步骤";
    would_run(): "the step would run", "会执行该步骤";
    would_change(): "the step would run, and the preview shows what changes", "会执行该步骤，预览中列出变更内容";
    would_be_seen_later(): "it is done now, but an earlier step may change that", "目前已完成，但前面的步骤可能改变它";
    would_not_be_known(): "a check failed or was unclear; the run checks again before the step", "检查失败或结果不明；执行到该步骤前会再次检查";
    would_be_known_then(): "an earlier step produces or changes what this step needs; the run checks it then", "前面的步骤会产生或改变该步骤所需的内容；执行到该步骤时再检查";
    would_not_start(): "its program or its directory is not there", "程序或目录不存在";
    would_fail_now(): "something that it needs is missing, and no step before it provides it; `run` refuses", "缺少所需的内容，且前面的步骤不会提供；`run` 会拒绝执行";
    would_refuse_now(): "the undo would refuse as things are, and the rollback would stop here; the preview says why", "按现状该撤销会被拒绝，回退会停在此处；预览中说明原因";
    would_be_as_before(): "it is as it was before the step, so that a rollback does nothing", "已是该步骤之前的状态，回退时无需处理";
    would_stop(): "a point of no return: the rollback asks a person here", "不可逆点：回退在此等待人工处理";
    level_0(): "proof: the chain alone; whoever can write the file could have rewritten all of it", "证明级别：仅账本自身的哈希链；有该文件写权限的人可以整体重写";
    level_2(): "proof: the ledger agrees with the head that is remembered outside the state directory", "证明级别：与状态目录之外的链头记录一致";
    was_created(): "the ledger was created; this is its first event", "账本已创建；这是其第一个事件";
    was_session(): "a command has opened the ledger for writing; who, where and with which program is part of this event", "某个命令打开账本准备写入；操作人、位置和程序记录在此事件中";
    is_undo_failed(): "the undo of the step has failed; the rollback waits for an answer: `upledger status`", "该步骤的撤销失败，回退等待人工处理：upledger status";
    is_undo_in_doubt(): "whether the undo of the step has taken effect is unknown; the rollback waits for a check or an answer: `upledger status`", "该步骤的撤销是否生效未知；回退等待探测或人工处理：upledger status";
    is_undo_running(): "the command of the undo of the step runs", "该步骤的撤销命令正在运行";
    is_undo_skipped(): "the step is not undone, by decision; its changes are still in place", "经人工处理，该步骤未撤销；其变更仍然存在";
    is_unanchored(): "events that no checkpoint kept outside this machine covers: a later verification cannot prove that they were not changed", "没有另存于本机以外的检查点覆盖的事件；日后无法证明其未被改动";
}

type Text = fn() -> String;

/// Words of the screens, and what each means.
const WORDS: &[(Text, Text)] = &[
    (screen::created, was_created),
    (screen::session, was_session),
    (screen::planned, was_planned),
    (screen::restored, was_restored),
    (screen::pause, was_asked_to_pause),
    (screen::abort, was_asked_to_abort),
    (screen::aborted, was_aborted),
    (screen::completed, was_completed),
    (screen::rollback, was_turned),
    (screen::rolled_back, was_rolled_back),
    (screen::undo, was_undo),
    (screen::note, was_remark),
    (screen::rolling_back, is_rolling_back),
    (screen::rolled_back_but, is_rolled_back_but),
    (screen::runner_gone, is_alone),
    (screen::amended, was_amended),
    (screen::resumed, was_resumed),
    (screen::start, was_started),
    (screen::adopted, was_adopted),
    (screen::fenced, was_fenced),
    (screen::looked, was_looked),
    (screen::decided, was_decided),
    (screen::kill, was_killed),
    (screen::escalated, was_escalated),
    (screen::noted, was_noted),
    (screen::refused, was_refused),
    (screen::already, is_already),
    (screen::skipped, is_skipped),
    (screen::done, is_done),
    (screen::failed, is_failed),
    (screen::in_doubt, is_in_doubt),
    (screen::ready, is_ready),
    (screen::undone, is_undone),
    (|| screen::undo_is_now(screen::failed()), is_undo_failed),
    (|| screen::undo_is_now(screen::in_doubt()), is_undo_in_doubt),
    (|| screen::undo_is_now(screen::running()), is_undo_running),
    (|| screen::undo_is_now(screen::skipped()), is_undo_skipped),
    (screen::pending, is_pending),
    (screen::running, is_running),
    (screen::paused, is_paused),
    (screen::interrupted, is_interrupted),
    (screen::to_be_resumed, is_waiting),
    (screen::rollback_stuck, is_stuck),
    (screen::rolled_back_in_part, is_back_in_part),
    (forecast::run, would_run),
    (forecast::will_change, would_change),
    (forecast::later, would_be_seen_later),
    (forecast::cannot_tell, would_not_be_known),
    (forecast::depends_on_steps, would_be_known_then),
    (forecast::cannot_run, would_not_start),
    (forecast::would_fail, would_fail_now),
    (forecast::refuses, would_refuse_now),
    (forecast::as_before, would_be_as_before),
    (forecast::stops_here, would_stop),
    (forecast::left_out, is_left_out),
    (commands::unanchored, is_unanchored),
    (|| "L0".into(), level_0),
    (|| "L2".into(), level_2),
];

/// The words, as this process says them.
pub fn words() -> impl Iterator<Item = String> {
    WORDS.iter().map(|(word, _)| word())
}

/// The same in English.
pub fn english_words() -> impl Iterator<Item = String> {
    WORDS.iter().map(|(word, _)| english(word))
}

/// What an exit code, a kind of error or a word of a screen means; a word counts in English, too.
#[must_use]
pub fn meaning(what: &str) -> Option<String> {
    explain::meaning(what).or_else(|| {
        let plain = |word: &str| word.to_lowercase().replace(['_', '-'], " ");
        let what = plain(what);
        let found = WORDS
            .iter()
            .find(|(word, _)| plain(&word()) == what || plain(&english(word)) == what)?;
        Some(found.1())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a table from one name to another, both included.
    fn between<'a>(
        table: &'a [(&'a str, &'a str, &'a str)],
        first: &str,
        last: &str,
    ) -> Vec<(&'a str, &'a str, &'a str)> {
        let at = |name| {
            table
                .iter()
                .position(|(n, ..)| *n == name)
                .expect("an entry")
        };
        table[at(first)..=at(last)].to_vec()
    }

    /// The verbs of events, the states of a run and of a step, and the verdicts of a preview: whatever is added there needs
    /// an explanation.
    #[test]
    fn every_word_of_the_tables_of_the_screens_is_explained() {
        let mut words = between(screen::ALL, "planned", "note");
        words.extend(between(screen::ALL, "created", "session"));
        words.extend(between(screen::ALL, "interrupted", "rolled_back_but"));
        words.extend(between(screen::ALL, "rolled_back_in_part", "undone"));
        words.extend(between(forecast::ALL, "run", "cannot_run"));
        words.extend(between(forecast::ALL, "would_fail", "would_fail"));
        words.extend(between(forecast::ALL, "as_before", "stops_here"));
        words.extend(between(forecast::ALL, "refuses", "refuses"));
        words.extend(between(screen::ALL, "runner_gone", "runner_gone"));
        words.extend(between(forecast::ALL, "left_out", "left_out"));
        // With a number in it, it is explained by its first word.
        words.retain(|(_, english, _)| !english.contains('{'));
        assert!(words.len() > 45, "{words:?}");
        for (name, english, _) in words {
            assert!(meaning(english).is_some(), "{name}: {english}");
        }
        for word in ["undo failed", "undo in doubt", "unanchored"] {
            assert!(meaning(word).is_some(), "{word}");
        }
    }
}
