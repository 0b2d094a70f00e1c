//! Texts of the commands: what they say, how they fail, and which command helps.

texts! {
    error(what): "error: {what}", "错误：{what}";
    at_line(path, line, what): "{path}:{line}: {what}", "{path}:{line}：{what}";
    about(what, why): "{what}: {why}", "{what}：{why}";
    cause(what): "cause: {what}", "原因：{what}";
    no_output(why): "cannot write standard output: {why}; the output is incomplete", "无法写入标准输出：{why}；已写出的内容不完整";
    goes_on_unseen(what): "warning: {what}; the run is not affected, and `upledger log` shows everything that is recorded",
        "警告：{what}；其他不受影响，全部记录可用 upledger log 查看";

    // Plans.
    cannot_make(path, why): "cannot create {path}: {why}", "无法创建 {path}：{why}";
    cannot_read(path, why): "cannot read {path}: {why}", "无法读取 {path}：{why}";
    wrote_plan(path): "wrote {path} and its schema for editors", "已写入 {path} 以及供编辑器使用的 schema";
    next(command): "next: {command}", "下一步：{command}";
    refused_one(): "the plan is refused: 1 problem", "计划未通过检查：1 个问题";
    refused(count): "the plan is refused: {count} problems", "计划未通过检查：{count} 个问题";
    no_env_file(why): "{why}, on this machine", "本机：{why}";
    secrets_in_env_file(names, path): "{path} sets {names}, which may be a secret: name it in `secrets` of `env_file`, so that it is kept out of output and records",
        "{path} 中的 {names} 可能是密钥：请在 `env_file` 的 `secrets` 中列出，以免出现在输出和记录中";
    checked_one(path, digest): "{path}: 1 step, digest {digest}", "{path}：1 个步骤，计划哈希值 {digest}";
    checked(path, steps, digest): "{path}: {steps} steps, digest {digest}", "{path}：{steps} 个步骤，计划哈希值 {digest}";
    literal_secret(name, at): "the plan contains the value of its secret {name}, at {at}", "计划中直接写入了密钥 {name} 的值，位于 {at}";
    literal_secret_hint(name): "remove it and refer to the secret with {{secret: {name}}}", "请删去该值，改用 {{secret: {name}}} 引用";

    // Runs.
    open_run(name): "the run {name} has not ended", "运行 {name} 尚未结束";
    answer_first(command): "a decision is pending; show the question: {command}", "该运行在等待人工确认，查看问题：{command}";
    go_on(command): "continue it: {command}", "继续该运行：{command}";
    or_end(command): "or abort it: {command}", "或终止该运行：{command}";
    begun_before(run, version, step): "the run {run} was started by upledger {version}, and only that version can continue it: the record format of its step {step} has changed",
        "运行 {run} 由 upledger {version} 开始，只能由该版本继续：其步骤 {step} 所用的动作，本版本的记录方式与之不同";
    go_on_by(version, sha256, command): "with upledger {version} (the program whose SHA-256 is {sha256}): {command}",
        "请使用 upledger {version}（SHA-256 为 {sha256} 的程序）：{command}";
    read_no_more(version, later, command): "upledger {version} can no longer read this ledger, because the run {later} was started by a later version; revert the changes of the run manually: {command}",
        "upledger {version} 已无法读取此账本，因为运行 {later} 由更新的版本开始；该运行的变更须手工恢复，查看其记录：{command}";
    or_end_as_it_is(command): "or abort it here, without undoing its changes: {command}", "或在此终止该运行，已做的变更保持原状：{command}";
    has_ended(name, state): "the run {name} has ended: {state}", "运行 {name} 已经结束：{state}";
    no_run(name): "there is no run {name}", "没有名为 {name} 的运行";
    no_run_yet(): "there is no run in this ledger", "账本中还没有运行";
    no_run_to_roll_back(): "there is no run to roll back", "没有可以回退的运行";
    pause_to_amend(): "pause it first: `upledger pause --reason '...'`", "请先暂停：`upledger pause --reason '...'`";
    same_plan(run): "this is the plan that {run} has already", "{run} 的计划就是这一份，没有修改";
    not_amended(why): "the run cannot be amended with this plan: {why}", "不能改用这份计划：{why}";
    not_amended_yet(step): "the run cannot be amended yet: decide about {step} first", "暂时不能修改：须先处理 {step} 的问题";
    retry_to_amend(command): "if it may run again, decide that first: {command}; then amend", "若它可以重新执行，请先执行 {command}，再修改";
    runs_backwards(): "the run is being rolled back", "运行正在回退";
    step_is_settled(step): "{step} has succeeded or was skipped, and its definition in the plan differs", "{step} 已成功或已跳过，但计划中它的定义有改动";
    step_may_have_acted(step): "{step} may have taken effect and has to be undone by its present definition first", "{step} 可能已经生效，须先按现有定义撤销";
    step_keeps_no_return(step): "{step} may have taken effect, and keeps its point of no return", "{step} 可能已经生效，须保留其不可逆点";
    would_then(): "what the changed steps would do now:", "变更后的步骤现在会执行：";
    nothing_amended(): "nothing was changed; to amend the run: the same command with --reason '...' instead of --plan", "未做任何变更；将 --plan 换成 --reason '...' 即可修订";
    step_keeps_no_undo(step): "{step} may have taken effect, and keeps `undo: none`", "{step} 可能已经生效，须保留 `undo: none`";
    secret_keeps_source(name): "the secret {name} has another source or is missing; a run keeps the secrets that it began with", "密钥 {name} 的来源不同或缺失；运行须沿用开始时的密钥";
    newer_first(newer): "the run {newer} came after it and is not rolled back: roll that one back first", "运行 {newer} 在它之后执行，且尚未回退：请先回退 {newer}";
    newer_with(command): "roll it back: {command}", "回退它：{command}";
    is_a_step(command): "it is a step; to keep everything up to it and undo the rest: {command}", "这是一个步骤；若要保留到该步骤为止、撤销其余步骤：{command}";
    look_again(command): "correct what is named above, then look again: {command}", "请先处理上述问题，然后再次查看：{command}";
    keep_or_skip(command): "keep it in the plan, with the same id; to go on without it: {command}", "请在计划中保留它，id 不变；若不再执行它：{command}";
    keep_in_plan(): "keep it in the plan, with the same id", "请在计划中保留它，id 不变";
    step_is_gone(step): "{step} has been started and is missing in the plan", "{step} 已经启动过，但计划中没有它";
    step_moved(step): "{step} has been started and stands at another place in the plan", "{step} 已经启动过，但在计划中换了位置";
    step_too_early(step): "{step} would come before a step that has been started", "{step} 排在已启动的步骤之前";
    went_back_to(step): "the run went back to {step}, which is missing in the plan", "运行回退到了 {step}，但计划中没有它";
    undo_it_first(command): "undo it: {command}", "先撤销它：{command}";
    undo_all_and_run(): "no step stands before it: roll the run back, and run the changed plan", "它之前没有步骤：请回退整个运行，再执行修改后的计划";
    keep_its_definition(): "give it the definition that it had when it was run", "请恢复它执行时的定义";
    to_change_it(command): "to change it: {command}, then amend again", "若要修改它：先 {command}，再重新修订";
    other_variable(name, had, has): "the run has {name}={had}, this plan {has}: add --var {name}={had}", "本次运行使用 {name}={had}，此计划为 {has}：请加上 --var {name}={had}";
    plan_changed(): "changed: plan settings or step order", "修改：计划的总体设置或步骤顺序";
    half_undone(step): "{step} would stay, but its undo has begun and has not ended well; roll back past it, or decide about it",
        "{step} 会被保留，但它的撤销已经开始且没有成功；请回退到它之前，或先处理它的问题";
    nothing_behind(step): "nothing after {step} is to be undone", "{step} 之后没有需要撤销的内容";
    amend_when_back(): "finish the rollback first; `upledger rollback --to STEP --reason '...'` stops behind that step, and the run can be amended then",
        "请先完成回退；`upledger rollback --to STEP --reason '...'` 会停在该步骤之后，届时即可修改";
    vars_of_run(vars): "variables as given for the run: {vars}", "沿用运行时给出的变量：{vars}";
    step_left_out(step): "left out: {step}", "删去：{step}";
    step_added(step): "new: {step}", "新增：{step}";
    step_changed(step): "changed: {step}", "修改：{step}";
    no_step_changed(): "no step is changed", "没有步骤被修改";
    completed_needs_reason(run): "{run} has completed: a rollback of it needs a reason", "{run} 已完成，回退须写明原因";
    accept_loss_with(command): "to discard it: {command}", "若接受丢失：{command}";
    run_has_no_events(run): "{run} has no events", "{run} 没有事件";
    page_written(path): "written: {path}; open it in a browser", "已写入 {path}，可用浏览器打开";
    file_written(path): "written: {path}", "已写入 {path}";
    look_first(command): "what would be undone: {command}", "查看将回退的内容：{command}";
    type_the_name(run): "{run} has completed; type its name to roll it back:", "{run} 已完成；若要回退，请输入其名称：";
    not_confirmed(run): "the rollback of {run} was not confirmed; nothing was changed", "未确认回退 {run}，未做任何变更";
    not_the_name(run): "that is not the name {run}; nothing was changed", "输入与 {run} 不符，未做任何变更";
    doubt_left(step): "{step} was in doubt and was not decided: its undo runs whether or not the step took effect", "{step} 结果未知且尚未处理：无论是否执行过，都会执行其撤销";
    rolled_back_without(name, steps): "the run {name} is rolled back except for {steps}: the undo was skipped, and another rollback does not retry it",
        "运行 {name} 已经回退，但 {steps} 除外：其撤销已跳过，再次回退也不会重试";
    put_right_by_hand(command): "fix it manually and add a note: {command}", "请手工处理，并记下备注：{command}";
    already_rolled_back(name): "the run {name} is already rolled back", "运行 {name} 已经回退";
    nothing_to_roll_back(name): "the run {name} changed nothing that can be rolled back", "运行 {name} 没有可回退的变更";
    force_with(command): "to run all the same: {command}", "若仍要执行：{command}";
    name_the_one_before(command): "to roll back the run before it, name it: {command}",
        "要回退更早的运行，须指定运行名：{command}";
    no_step(run, step): "the run {run} has no step {step}", "运行 {run} 中没有步骤 {step}";
    list_with(command): "list them with: {command}", "查看列表：{command}";
    start_with(command): "start one with: {command}", "开始运行：{command}";
    see_with(command): "show its state: {command}", "查看当前状态：{command}";
    no_step_runs(): "no step is running", "当前没有正在执行的步骤";
    not_looked_at(): "an attempt is open, and its result has not been checked yet", "有一次执行尚未结束，还没有确认其结果";
    find_out_with(command): "check it: {command}", "确认结果：{command}";
    nothing_asked(): "no decision is pending", "当前没有待确认的问题";
    still_at_work(who): "its step is still running: {who}", "其步骤仍在执行：{who}";
    wait_or_end(command): "wait until it ends, or kill it: {command}", "请等待其结束，或强制结束：{command}";
    secret_not_needed(name, why): "the secret {name} cannot be read: {why}; no remaining step uses it, and output is not redacted for it",
        "此处无法读取密钥 {name}：{why}；余下的步骤都不使用它，输出中也不会对它做脱敏";
    no_variable(name): "the environment variable {name} is not set", "没有设置环境变量 {name}";
    reverse_with(command): "its changes can be rolled back: {command}", "其变更可以回退：{command}";
    not_beside(format, list): "two runs beside each other cannot be written as {format}, only as {list}", "两次运行的对比不能输出为 {format}，只能输出为 {list}";
    unknown_extension(path, known): "the file name extension of {path} selects no format; use one of {known}, or --format", "无法由 {path} 的扩展名确定格式；请使用 {known}，或用 --format 指定";
    beside_itself(run): "{run} cannot be compared with itself; name another run", "{run} 不能与自身对比；请指定另一个运行";
    same_ledger(file): "{file} is a copy of the ledger in use", "{file} 是当前账本的副本";
    other_ledger_damaged(file, what): "the ledger {file} is damaged: {what}", "账本 {file} 已损坏：{what}";
    there_already(path): "{path} already exists and is not overwritten; choose another file", "{path} 已存在，不会覆盖；请换一个文件名";
    asked_about(step, other): "the question is about {step}, not {other}", "待确认的是 {step}，不是 {other}";
    paused_first(command): "the run is paused; first: {command}", "运行已暂停；请先执行：{command}";
    paused_already(name, reason): "the run {name} is already paused ({reason}); nothing was recorded",
        "运行 {name} 已有暂停请求（{reason}）；没有新增记录";
    held_by(who): "another runner is active: {who}", "另一个执行进程正在运行：{who}";
    holder(actor, pid, since): "{actor}, process {pid}, since {since}", "{actor}，进程 {pid}，开始于 {since}";
    holder_at(actor, host): "{actor} on {host}", "{actor}（主机 {host}）";
    holder_from(who, origin): "{who} from {origin}", "{who}，来自 {origin}";
    somebody(): "its identity is unknown", "执行者未知";
    no_answer(word, part): "{word} is not an answer to the question about {part}", "对 {part} 不能选择 {word}";
    failed_already(part): "{part} has already failed", "{part} 已经是失败状态";
    former_stands(word): "the decision recorded before still applies: {word}", "之前选择的处理方式仍然有效：{word}";
    check_disagrees(part): "the check of {part} reports that it is not done", "{part} 自带的检查表明尚未完成";
    decision_recorded(word): "decision recorded: {word}", "已记录处理方式：{word}";
    fails_and_stops(): "the step counts as failed, and the run stops here until you decide:", "该步骤已判定为失败，运行停在此处，请选择下一步：";
    undo_fails_and_stops(): "the undo counts as failed, and the rollback stops here until you decide:", "该撤销已判定为失败，回退停在此处，请选择下一步：";
    asks_next(): "before the run continues, there is another question:", "继续之前还有一个待确认的问题：";
    fails_and_turns(command): "the step counts as failed; the run then rolls back automatically, as the plan says (on_failure: rollback): {command}",
        "该步骤已判定为失败；执行以下命令后，将按计划设置（on_failure: rollback）自动回退：{command}";
    replaced_until_then(): "until then a new decision replaces it; both are recorded", "在此之前可再次 decide 改正，两次都会留在记录中";
    runner_ends_it(): "the runner ends the run before its next step", "执行进程将在下一个步骤之前终止该运行";
    busy(): "other processes keep appending; try again", "其他进程持续写入账本，请重试";
    last_event(seq): "the ledger ends with event {seq}", "账本的最后一个事件为 {seq}";

    // The system.
    system_refuses(why): "the system does not provide what a run needs: {why}", "系统拒绝了运行所需的资源：{why}";
    more_files(): "raise the limit of open files: ulimit -n 256 or more", "请提高打开文件数上限：ulimit -n 256 或更大";
    is_symlink(path): "{path} is a symbolic link", "{path} 是符号链接";
    is_no_directory(path): "{path} is not a directory", "{path} 不是目录";
    is_open_to_others(path): "{path} is not a directory that only the current user can access", "{path} 不是当前用户专用的目录";
    move_away(path): "move {path} away and try again; steps need a directory there", "请移走 {path} 后重试；步骤需要在此处建立目录";

    // The ledger.
    no_ledger(dir): "there is no ledger in {dir}", "{dir} 中没有账本";
    name_its_place(): "set its directory with --state, or start a run with: upledger run PLAN",
        "用 --state 指定其目录，或开始运行：upledger run PLAN";
    see_what_it_holds(command): "inspect it: {command}", "检查账本内容：{command}";
    bring_newest_back(): "restore the newest copy of ledger.db; if there is none, record that you continue without it:",
        "请恢复 ledger.db 的最新副本；若没有更新的副本，请用以下命令记录缺失并继续：";
    older_copy(path): "this is the OLDER one: what is newer is at {path}; only if that is lost, go on with this one:",
        "这一份较旧，较新的在 {path}；只有那一份已丢失时才改用这一份：";
    is_it_moved(): "if it was moved or restored to this path for good, record that; from then on the other path is refused:",
        "若账本确已移到或恢复到当前路径，请用以下命令记录；此后原路径不能再写入：";
    is_a_copy(path): "this machine knows this ledger at {path}; the one here is a copy, or the ledger was moved",
        "本机记录的该账本在 {path}：当前位置是它的副本，或它已被移动";
    make_room(command): "free disk space, then: {command}", "请腾出磁盘空间，然后：{command}";
    look_at_the_disk(): "acknowledged records are safe; is the disk full, or the file size limited (ulimit -f)?",
        "已写入的记录不会丢失；请检查磁盘是否已满，或文件大小是否受限（ulimit -f）";
    acknowledged_is_safe(): "acknowledged records are safe; then: upledger verify, upledger resume",
        "已写入的记录不会丢失；然后：upledger verify、upledger resume";
    nothing_started(command): "nothing was started; make it available, then: {command}",
        "尚未执行任何操作；请先使密钥可以读取，然后：{command}";
    step_goes_on(command): "the running step is not affected; make the secret available, then: {command}",
        "已开始的步骤不受影响；请先使密钥可以读取，然后：{command}";
    try_again(command): "try again; show who is active: {command}", "请重试；查看执行者：{command}";
    name_memory(variable): "it must be a directory that only the current user can access, outside the state directory; set another one with {variable}",
        "它必须是当前用户专用的目录，且位于状态目录之外；可用 {variable} 另行指定";
    not_text(path): "the path {path} is not UTF-8", "路径 {path} 不是 UTF-8";
    name_other(option, variable): "set another directory with {option} or {variable}", "用 {option} 或 {variable} 另行指定目录";
    beside_it(): "show its state: upledger status; also possible now: upledger note, pause, abort, kill-step",
        "查看：upledger status；也可以：upledger note、pause、abort、kill-step";
    pause_first(): "to roll back now: upledger pause --reason '...', wait until the run has stopped, then upledger rollback",
        "若要现在回退：upledger pause --reason '...'，待其停下后执行 upledger rollback";
    steps_are(names): "its steps are: {names}", "其步骤有：{names}";
    exported(lines, path): "{lines} events in {path}", "{lines} 个事件已写入 {path}";
    goes_on_from(seq): "recorded; the ledger continues from event {seq}", "已记录；账本从事件 {seq} 继续";
    in_file(path): "in {path}", "位于 {path}";

    // verify
    ledger(): "ledger", "账本";
    sound(): "sound", "完好";
    damaged(): "DAMAGED", "已损坏";
    outdated(): "OUTDATED", "不是最新副本";
    not_as_remembered(): "NOT AS REMEMBERED", "与链头记录不符";
    id(): "id", "标识";
    events(): "events", "事件";
    events_are(verified, events, runs): "{verified} verified of {events}; runs: {runs}",
        "已验证 {verified} / {events}，共 {runs} 次运行";
    head(): "head", "链头";
    root(): "root", "Merkle 根";
    level(): "level", "级别";
    unanchored(): "unanchored", "未锚定";
    unanchored_are(unanchored, events): "{unanchored} of {events} events", "{unanchored} / {events} 个事件";
    checks(): "checked", "已检查";
    checks_are(stored, given, blobs, absent): "{stored} stored checkpoints, {given}, {blobs} blobs ({absent} kept beside the ledger)",
        "内置检查点 {stored} 个，{given}，数据块 {blobs} 个（账本外另存 {absent} 个）";
    given(count): "{count} given", "外部检查点 {count} 个";
    given_and_hold(count, hold): "{count} given ({hold} of them match)", "外部检查点 {count} 个（吻合 {hold} 个）";
    not_as_given(): "CHECKPOINT MISMATCH", "与检查点不符";
    note(): "note", "注意";
    first_bad(): "problem", "问题";
    bad(): "problem", "问题";
    and_more(count): "and {count} more", "另有 {count} 个";
}
