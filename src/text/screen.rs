//! Texts of the screens of a run: its lines as they come, its state, its questions.

texts! {
    discards(steps, when, opened): "undoing {steps} restores a copy of the data from before {when}, when {opened} reopened the service: all data written since then is lost",
        "撤销 {steps} 将恢复 {when}（{opened} 重新开放访问）之前的数据备份：此后用户写入的数据会丢失";
    // Verbs of events, one column; `explain` knows each.
    planned(): "planned", "创建运行";
    amended(): "amended", "修改计划";
    resumed(): "resumed", "恢复运行";
    pause(): "pause", "暂停";
    abort(): "abort", "终止";
    aborted(): "aborted", "已终止";
    completed(): "completed", "已完成";
    completed_without(steps): "completed, {steps} skipped", "已完成，跳过 {steps} 步";
    rollback(): "rollback", "回退";
    rolled_back(): "rolled back", "已回退";
    restored(): "restored", "账本恢复";
    start(): "start", "开始";
    undo(): "undo", "撤销";
    already(): "already", "无需执行";
    skipped(): "skipped", "已跳过";
    done(): "done", "成功";
    failed(): "failed", "失败";
    fenced(): "fenced", "作废";
    adopted(): "adopted", "接管步骤";
    in_doubt(): "in doubt", "结果未知";
    looked(): "probed", "探测";
    decided(): "decided", "人工处理";
    kill(): "kill", "强制结束";
    escalated(): "escalated", "升级为强制终止";
    noted(): "noted", "记录";
    refused(): "refused", "未启动";
    note(): "note", "备注";

    // What stands behind the verbs.
    plan_is(name, digest): "{name}  plan digest {digest}", "{name}  计划哈希值 {digest}";
    amended_head(digest, reason): "plan digest {digest}; no step: {reason}", "计划哈希值 {digest}；未涉及步骤：{reason}";
    amended_to(digest, steps, reason): "plan digest {digest}; steps: {steps}: {reason}", "计划哈希值 {digest}；步骤：{steps}：{reason}";
    before_next_step(reason): "before the next step: {reason}", "在下一个步骤之前：{reason}";
    stays_done(): "completed steps are not undone", "已执行的步骤保持原状";
    every_step_done(): "all steps have finished", "全部步骤已执行完毕";
    back_to(step, reason): "back to {step}: {reason}", "回退到 {step}：{reason}";
    all_reversed(): "rollback complete", "回退完成";
    from_older_copy(reason): "the ledger continues from this copy: {reason}", "改用此副本继续：{reason}";
    undo_of(step): "undo of {step}", "撤销 {step}";
    check_of(step): "check {step} after the rollback", "回退后的检查 {step}";
    check_verb(): "check", "检查";
    check_is_now(status): "after the rollback: {status}", "回退后：{status}";
    undo_is_now(status): "undo {status}", "撤销{status}";
    by(actor): "by {actor}", "操作人 {actor}";
    by_whom(words, actor): "{words}  (by {actor})", "{words}（操作人 {actor}）";
    plan_and_decision(plan, decision): "{plan}  ({decision})", "{plan}（{decision}）";
    created(): "created", "创建账本";
    session(): "session", "新会话";
    session_of(actor): "opened by {actor}", "操作人 {actor}";
    stops_after_this(): "stopping after this step; Ctrl-C again detaches and leaves it running", "将在此步骤结束后停止；再按一次 Ctrl-C 则立即退出，步骤在后台继续运行";
    will_stop_after_this(actor): "{actor} has asked for a stop: the run stops after this step", "{actor} 要求停止：运行将在此步骤结束后停止";
    from_here(): "read-only view; Ctrl-C does not stop the run. In another terminal: upledger note, pause, abort, kill-step",
        "只读查看：按 Ctrl-C 只退出查看，不影响运行；可在另一终端执行 upledger note、pause、abort、kill-step";
    attempt(n): "attempt {n}", "第 {n} 次";
    never_started(part, n): "{part}  attempt {n} never started", "{part}  第 {n} 次执行并未启动";
    printed_nothing(step, run, status): "{step} was not started in {run}, so there is no output: {status}",
        "{step} 在 {run} 中没有启动过，因此没有输出：{status}";
    output_of(part, n, time): "--- {part}, attempt {n}, at {time}", "--- {part}，第 {n} 次执行，{time}";
    still_running(part): "{part}  still running", "{part}  仍在运行";
    it_is_done(): "it is done", "已完成";
    nothing_happened(): "it had no effect", "完全没有执行";
    cannot_be_told(): "the check gave no clear answer", "探测没有得出明确结果";

    // The same in a sentence.
    verb_and_words(verb, words): "{verb}: {words}", "{verb}：{words}";
    comma(): ", ", "，";
    decided_is(part, decision): "{part}: {decision}", "{part}：{decision}";
    with_reason(step, why): "{step} ({why})", "{step}（{why}）";

    // A run's state.
    run(): "run", "运行";
    plan(): "plan", "计划";
    state(): "state", "状态";
    started(): "started", "开始时间";
    why_back(): "rollback", "回退原因";
    head(): "head", "链头";
    state_in(state, phase): "{state}, {phase}", "{state}，{phase}";
    phase(name): "phase {name}", "阶段 {name}";
    runner_gone(): "started, its runner has exited", "已开始，执行进程已退出";
    going_back(name): "rolling back, phase {name}", "正在回退，阶段 {name}";
    interrupted(): "interrupted", "已中断";
    to_be_resumed(): "waiting for resume", "待恢复运行";
    running(): "running", "运行中";
    rolling_back(): "rolling back", "回退中";
    paused(): "paused", "已暂停";
    rolled_back_but(): "rolled back, some undos skipped", "已回退，但有步骤未撤销";
    not_undone(names): "NOT undone, their changes are still in place: {names}", "未撤销，其变更仍然存在：{names}";
    not_checked(names): "these checks failed after the rollback and were skipped by decision: {names}", "回退后未通过、经人工处理略过的检查：{names}";
    without_undo(names): "not undone (they have no undo): {names}", "未撤销（没有撤销操作）：{names}";
    check_fails(step, why): "the check {step} fails after the rollback: {why}", "回退后的检查 {step} 未通过：{why}";
    were_skipped(names): "skipped by decision: {names}", "经人工处理跳过：{names}";
    aborted_stays(command): "completed steps are not undone; to undo them: {command}", "已执行的步骤保持原状；可以回退：{command}";
    rolled_back_in_part(): "partially rolled back", "已部分回退";
    rollback_stuck(): "rollback stuck", "回退受阻";
    pending(): "pending", "待执行";
    ready(): "ready", "待重试";
    undone(): "undone", "已撤销";
    decided_as(word): "decided: {word}", "处理方式：{word}";
    ledger_head(seq, hash): "ledger head {seq} {hash}", "链头 {seq} {hash}";

    timeline_with(command): "its timeline: {command}", "时间线：{command}";
    report_with(command): "its compliance report: {command}", "合规报告：{command}";

    // The list of runs.
    began(): "started", "开始";
    steps_done(): "steps", "步骤";
    took(): "took", "历时";

    // What the program itself records as a reason or a cause.
    left_open(): "an attempt was left open", "有一次执行未结束";
    goes_on(): "continuing", "继续";
    interrupted_here(): "interrupted at the terminal", "在终端按下 Ctrl-C";
    asked_by_operator(): "asked for by the operator", "操作人要求";
    overdue(): "its time limit passed, and its supervisor has exited", "已超时，且监护进程已退出";
    ended_with(code): "exit code {code}", "退出码 {code}";
    ended_by_signal(number): "killed by signal {number}", "被信号 {number} 终止";
    terminated(number): "terminated by signal {number}", "被信号 {number} 终止";
    timed_out(): "time limit exceeded", "执行超时，已强制结束";
    killed_on_request(): "killed on request", "已按要求强制结束";
    could_not_start(why): "could not be started: {why}", "未能启动：{why}";
    no_working_directory(path): "the working directory {path} does not exist", "工作目录 {path} 不存在";
    bad_working_directory(path, why): "the working directory {path}: {why}", "工作目录 {path} 无法使用：{why}";
    variable_differs(name, value, wanted): "{name} is '{value}', not '{wanted}'", "变量 {name} 为 '{value}'，不是 '{wanted}'";
    forced(reason): "--force: {reason}", "使用 --force：{reason}";
    forced_over(reason, found): "--force: {reason}; overridden: {found}", "使用 --force：{reason}；忽略：{found}";
    evidence_disagrees(seen): "verification failed: {seen}", "验证未通过：{seen}";
    unchecked(): "it exited successfully, but only the program that started the run can check its evidence",
        "已正常结束，但只有开始该运行的程序才能核对其结果";
    unseen(): "it started, and its result is unknown", "已启动，但没有取得退出状态";
    still_alive(): "its processes were still running", "其进程当时仍然存活";
    lost_track(): "whether it is still running is unknown", "执行目录缺失或不符，不清楚是否仍在运行";
    driven_by(who): "run by {who}", "执行中：{who}";

    // Questions.
    doubt_is(part, why): "{part} is in doubt: {why}", "{part} 结果未知，待人工确认：{why}";
    lost(part, times): "{part} was interrupted by crashes {times} times", "{part} 因崩溃中断 {times} 次，待人工确认";
    failed_is(part, why): "{part} failed: {why}", "{part} 失败：{why}";
    not_started_is(part, why): "{part} was not started and had no effect: {why}", "{part} 未启动，没有执行任何操作：{why}";
    stuck_is(part, why): "{part} failed, and the rollback is stuck: {why}", "{part} 失败，回退受阻：{why}";
    before_no_return(what): "the rollback has reached a point of no return: {what}", "回退已停止，下一个要撤销的步骤是不可逆点：{what}";
    what_was_seen(): "evidence:", "现场信息：";
    undo_is(): "the undo runs:", "撤销所执行的操作：";
    kept_here(): "the content to restore is kept here:", "撤销要恢复的原内容保存在：";
    kept_of(at, of): "{at}  (the previous {of})", "{at}（原 {of}）";
    turns_round(): "the run then rolls back automatically, as the plan says (on_failure: rollback)", "随后按计划设置（on_failure: rollback）自动开始回退";
    answer_with(): "answer with one of:", "请选择：";
    means_done(): "record it as done; its check must pass", "记录为已完成；须通过步骤自带的检查";
    means_done_unchecked(): "record it as done; upledger cannot check this", "记录为已完成；没有自带检查，须自行确认";
    means_undone(): "record it as undone; its check must pass", "记录为已撤销；须通过撤销自带的检查";
    means_undone_unchecked(): "record it as undone; upledger cannot check this", "记录为已撤销；没有自带检查，须自行确认";
    means_retry(): "run it again", "重新执行";
    means_undo_again(): "run the undo again", "重新执行撤销";
    means_undo_failed(): "treat the undo as failed", "判定撤销失败";
    means_leave(): "leave it, and undo the earlier steps", "保持原状，继续回退更早的步骤";
    means_skip(): "continue without it", "跳过并继续";
    means_fail(): "treat it as failed", "判定为失败";
    means_amend(): "the plan was wrong: change this step", "计划有误：修改此步骤";
    means_abort(): "end the run; nothing has been done", "终止运行；尚未执行任何操作";
    means_rollback(): "undo completed steps, at once", "回退已执行的步骤；立即开始";
    then(command): "then: {command}", "然后：{command}";
    waits_for_processes(part, names): "{part}: its supervisor has exited, but it is still running: {names}; waiting for it to end (Ctrl-C twice detaches, kill-step kills it)",
        "{part}：监护进程已退出，步骤的进程仍在运行：{names}；正在等待其结束（按两次 Ctrl-C 退出等待，kill-step 可强制结束）";
    after_deciding(command): "after deciding: {command}", "选择之后：{command}";

    // What stands between an event and the next.
    command_runs(part, pid, time): "{part}: its command is still running (pid {pid}, for {time}); resume adopts it",
        "{part}：其命令仍在运行（进程 {pid}，已运行 {time}）；resume 会接管它";
    command_runs_somewhere(part, time): "{part}: its command is still running (for {time}); resume adopts it",
        "{part}：其命令仍在运行（已运行 {time}）；resume 会接管它";
    supervisor_overdue(part, time): "{part}: its time limit passed {time} ago, and its supervisor has not ended it",
        "{part}：时限已过 {time}，但监护进程没有结束它";
    supervisor_asked(part, time): "{part}: kill-step was requested {time} ago, and its supervisor does not answer",
        "{part}：{time} 前已请求 kill-step，但监护进程没有响应";
    supervisor_stopped(part, pid): "{part}: its supervisor (process {pid}) is stopped or frozen, so that neither the time limit nor kill-step has an effect; let it go on (kill -CONT {pid}, or thaw its cgroup)",
        "{part}：监护进程 {pid} 已停住或被冻结，时限和 kill-step 均不起作用；请让它继续（kill -CONT {pid}，或解冻其 cgroup）";
    supervisor_silent(part, pid): "{part}: its supervisor (process {pid}) does not react; does its disk hang?",
        "{part}：监护进程 {pid} 没有响应；是否磁盘无响应？";
    command_ended(part): "{part}: its command has ended; resume imports its result", "{part}：其命令已结束；resume 会导入其结果";
    command_not_started(part): "{part}: its command has not started; resume starts it", "{part}：其命令尚未启动；resume 会重新启动它";
    command_alone(part, pids): "{part}: its supervisor has exited, but it is still running (processes: {pids}); resume waits for it",
        "{part}：监护进程已退出，步骤的进程仍在运行（进程：{pids}）；resume 会等待其结束";
    command_unseen(part): "{part}: its command has exited with an unknown result; resume checks what it did",
        "{part}：其命令已退出，但没有取得退出状态；resume 会检查现场";
    command_lost(part): "{part}: whether its command is still running is unknown; resume asks", "{part}：不清楚其命令是否仍在运行；resume 会停下询问";
    decision_stands(word, part, reason): "recorded: {word} for {part} ({reason}); not carried out yet", "已记录 {part} 的处理方式：{word}（{reason}）；尚未执行";
    decision_made(word, part, reason): "recorded: {word} for {part} ({reason})", "已记录 {part} 的处理方式：{word}（{reason}）";
    decision_may_change(command): "`upledger resume` carries it out; until then it can be replaced: {command}",
        "用 upledger resume 执行；在此之前可重新选择：{command}";
    decision_waits(word, part): "{word} is recorded for {part}", "已记录 {part} 的处理方式：{word}";

    // How a command ends.
    of_about(time): "of about {time}", "预计约 {time}";
    nobody_drives(command): "no runner is active for this run; take it over with: {command}", "当前没有执行进程；恢复运行：{command}";
    run_rests(name, state): "run {name}: {state}", "运行 {name}：{state}";
    dropped(count): "({count} lines dropped here: they were not read in time)", "（此处丢弃了 {count} 行：输出无人读取）";
    is_paused(reason): "paused: {reason}", "已暂停：{reason}";
    is_rolled_back_to(step): "rolled back to {step}", "已回退到 {step}";
    is_detached(): "detached: the step keeps running", "已脱离终端：步骤在后台继续运行";
    go_on_with(command): "continue with: {command}", "继续执行：{command}";
    forwards_with(command): "run forward again with: {command}", "从此处继续执行后续步骤：{command}";
    take_over_with(command): "take over again with: {command}", "重新接管：{command}";
    warning(what): "warning: {what}", "警告：{what}";
    no_runs(): "no runs yet", "还没有运行记录";
    as_of(seq): "state after event {seq}", "事件 {seq} 之后的状态";
}
