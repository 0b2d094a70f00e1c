//! Texts of `explain`: what each exit code and each kind of error means, and what helps. The Chinese titles of kinds
//! also head those errors whose cause only the system or a library can word.

texts! {
    code_0(): "success", "成功";
    code_1(): "a step failed and the run stopped; `upledger status` shows the evidence and the possible answers: fix the cause, then `upledger decide STEP retry` and `upledger resume`; or `upledger rollback`",
        "某步骤失败，运行已停止；用 upledger status 查看现场信息和可选的处理方式：排除原因后 upledger decide 步骤 retry，再 upledger resume；或 upledger rollback 回退";
    code_2(): "usage error, or no access: an invalid option, an unreadable file, an unsafe state directory, standard output that cannot be written; the message states the remedy",
        "用法错误或没有权限：选项有误、文件不可读、状态目录不安全、标准输出无法写入；报错中给出处理办法";
    code_3(): "the plan is refused, or `plan` finds a step that would fail or a reason to refuse the run, or `rollback --plan` an undo that would refuse or could not start; nothing was written; the message shows the line or the step, and the remedy",
        "计划未通过检查，或 plan 发现某步骤会失败，或有理由拒绝运行，或 rollback --plan 发现某个撤销会拒绝或无法执行；没有写入任何内容；报错中给出所在行或步骤，以及处理办法";
    code_4(): "waiting for an operator: a step in doubt, a pause, an open run, a missing secret; `upledger status` shows the question and its answers. Resolve a step in doubt with `upledger decide STEP done|retry|skip|fail`, a pause with `upledger resume`, an open run with `upledger resume` or `upledger abort`, a missing secret by making it readable",
        "待人工确认：步骤结果未知、已暂停、有未结束的运行或缺少密钥；用 upledger status 查看问题和可选的处理方式。结果未知的用 upledger decide 步骤 done|retry|skip|fail 处理；已暂停的用 upledger resume 继续；未结束的运行用 upledger resume 继续或 upledger abort 终止；缺少密钥的，先使其可以读取";
    code_5(): "rolled back", "已回退";
    code_6(): "the rollback is stuck: an undo failed, a check failed afterwards, or it has reached a point of no return; see `upledger status`, then decide and resume",
        "回退受阻：某个撤销失败，回退后的检查未通过，或遇到不可逆点；用 upledger status 查看，先 decide 再 resume";
    code_7(): "the ledger is damaged, older than remembered, or a copy of one that this machine knows at another path; run `upledger verify`, then restore the newest copy or record `upledger ledger restored`",
        "账本已损坏，比本机上次记录的旧，或是另一路径上账本的副本；先 upledger verify，再恢复最新副本或执行 upledger ledger restored";
    code_8(): "the ledger cannot be read or written (full disk, device error, file size limit); acknowledged records are safe; fix the cause, then `upledger resume`",
        "账本无法读写（磁盘满、设备故障或文件大小受限）；已写入的记录不会丢失；排除原因后执行 upledger resume";
    code_9(): "another runner is active, or the lock of this one was removed; the message says who and since when; status, note, pause, abort and kill-step work meanwhile",
        "另一个执行进程正在运行，或本进程的锁已被删除；报错中说明是谁，从何时开始；status、note、pause、abort、kill-step 仍可使用";
    code_11(): "detached: the runner has exited, the step keeps running; take over again with `upledger resume`",
        "已脱离终端：执行进程已退出，步骤在后台继续运行；用 upledger resume 重新接管";
    code_12(): "the run was aborted; completed steps were not undone; `upledger rollback` undoes them",
        "运行已终止，已执行的步骤保持原状；用 upledger rollback 回退";
    code_13(): "not possible in this state, and nothing was recorded; the message says why. `upledger status` shows what is possible now: `decide` needs a question, `kill-step` a running step, `rollback` a run that changed something; after the end of a run only `rollback`, `note` and the read-only commands are possible",
        "当前状态下不允许，没有新增记录；报错中说明原因。用 upledger status 查看现在可以做什么：decide 须有待确认的问题，kill-step 须有正在执行的步骤，rollback 须有已产生变更的运行；运行结束后只能使用 rollback、note 和只读命令";

    usage(): "the command line is invalid, or access is denied", "用法错误或没有权限";
    no_ledger(): "no ledger was found", "没有找到账本";
    plan_refused(): "the plan has problems; each is shown with its line and a remedy", "计划有误，每个问题都标明所在行和处理办法";
    would_fail(): "a step of the plan would fail because something that it needs is missing; the preview says what",
        "计划中有步骤会失败：所需的内容不存在，预览中有说明";
    literal_secret(): "the plan contains the value of a secret; refer to it by name", "计划中直接写入了密钥的值，应改为按名称引用";
    secret(): "a secret cannot be read from its source", "无法从来源读取密钥";
    open_run(): "a run has not ended; one ledger has one open run at a time", "有尚未结束的运行；同一账本同一时间只能有一个";
    no_step(): "the run has no such step", "运行中没有这样的步骤";
    not_now(): "the state of the run does not allow this", "运行的当前状态不允许此操作";
    ended(): "the run has ended", "运行已经结束";
    begun_before(): "an earlier version started the run, and only that version can continue it or roll it back; `upledger abort` can end it here",
        "该运行由更早的版本开始，只能由该版本继续或回退；可在此用 upledger abort 终止";
    no_run(): "there is no such run", "没有这样的运行";
    state_directory(): "the state directory cannot be used: it must be on a local file system and accessible only to the current user (0700)",
        "状态目录不可用：它必须是当前用户专用（0700）的本地目录";
    memory(): "the directory with the remembered ledger heads cannot be used; it lies outside the state directory, so that an older copy of the ledger is detected",
        "链头记录不可用；它存放在状态目录之外，用于发现账本被换成旧副本";
    ledger_damaged(): "the ledger is inconsistent; nothing was done; `upledger verify` names the first bad event",
        "账本内容不一致，未执行任何操作；upledger verify 会指出首个错误事件";
    older_than_remembered(): "the ledger is older than the one seen last, or a different one", "账本比本机上次记录的旧，或不是同一个账本";
    copied(): "this machine knows the ledger at another path; the one here is a copy, or the ledger was moved", "本机记录的账本在另一路径：当前位置是它的副本，或它已被移动";
    ledger_busy(): "another process keeps the ledger locked", "其他进程占用账本过久";
    ledger(): "the ledger cannot be opened", "无法打开账本";
    identity(): "the identity of the operator cannot be determined", "无法确定操作人身份";
    disk_full(): "the disk with the ledger is full; the run stopped before doing anything unrecorded",
        "账本所在磁盘已满；运行在执行任何未记录的操作之前已停止";
    ledger_unwritable(): "the ledger cannot be written; the run stopped before doing anything unrecorded",
        "账本无法写入；运行在执行任何未记录的操作之前已停止";
    job_directory(): "the directory of an attempt cannot be used", "执行目录不可用";
    system(): "the system does not provide something that the program needs", "系统拒绝了程序所需的操作";
    held(): "another runner is active for this run", "另一个执行进程正在运行";
    restore(): "the ledger cannot be accepted as restored", "无法以此副本恢复账本";
    verify(): "the ledger cannot be verified", "无法验证账本";
    checkpoint(): "the checkpoint file cannot be read; it must hold exactly the three lines that `upledger verify` prints at its end: the ledger, the number of events, the root",
        "无法读取检查点文件；应恰好为 `upledger verify` 最后给出的三行：账本、事件数、根";
    export(): "the ledger cannot be exported", "无法导出账本";
    file(): "a file cannot be read", "无法读取文件";
    no_events(): "the run has no events to write anything from", "该运行没有事件，无从生成";
    report(): "the report cannot be made", "无法生成报告";
    timeline(): "the timeline cannot be made", "无法生成时间线";
    busy(): "other processes kept appending", "其他进程持续写入账本";
    evidence_disagrees(): "the step's own check reports that it is not done; recording `done` would be false",
        "步骤自带的检查表明尚未完成；选择 done 将与事实不符";
    output(): "what a step printed cannot be read", "无法读取步骤的输出";
    standard_output(): "the output of a command could not be written completely, for example because the disk is full; the file is incomplete. A run is not affected, and its exit code still reports the result of the run",
        "命令的输出未能完整写出（例如目标文件所在磁盘已满），文件中的内容不完整；运行不受影响，其退出码仍反映运行本身的结果";
    demo(): "the demo did not end as expected", "演示没有按预期结束";
    language(): "the language is not supported", "未知的语言设置";
    unknown(what): "unknown term: {what}", "未知的词：{what}";
    list(command): "list all terms: {command}", "列出全部：{command}";
    exit_codes(): "exit codes", "退出码";
    error_kinds(): "kinds of errors", "错误类型";
    screen_words(): "words of the screens", "界面用词";
}

/// A text that takes nothing.
type Text = fn() -> String;

/// Every kind of error, with its title.
const KINDS: &[(&str, Text)] = &[
    ("begun_before", begun_before),
    ("busy", busy),
    ("checkpoint", checkpoint),
    ("copied", copied),
    ("demo", demo),
    ("disk_full", disk_full),
    ("ended", ended),
    ("evidence_disagrees", evidence_disagrees),
    ("export", export),
    ("file", file),
    ("held", held),
    ("identity", identity),
    ("job_directory", job_directory),
    ("language", language),
    ("ledger", ledger),
    ("ledger_busy", ledger_busy),
    ("ledger_damaged", ledger_damaged),
    ("ledger_unwritable", ledger_unwritable),
    ("literal_secret", literal_secret),
    ("memory", memory),
    ("no_events", no_events),
    ("no_ledger", no_ledger),
    ("no_run", no_run),
    ("no_step", no_step),
    ("not_now", not_now),
    ("older_than_remembered", older_than_remembered),
    ("open_run", open_run),
    ("output", output),
    ("plan_refused", plan_refused),
    ("report", report),
    ("restore", restore),
    ("secret", secret),
    ("standard_output", standard_output),
    ("state_directory", state_directory),
    ("system", system),
    ("timeline", timeline),
    ("usage", usage),
    ("verify", verify),
    ("would_fail", would_fail),
];

const CODES: [(u8, Text); 13] = [
    (0, code_0),
    (1, code_1),
    (2, code_2),
    (3, code_3),
    (4, code_4),
    (5, code_5),
    (6, code_6),
    (7, code_7),
    (8, code_8),
    (9, code_9),
    (11, code_11),
    (12, code_12),
    (13, code_13),
];

/// The exit codes.
pub fn codes() -> impl Iterator<Item = u8> {
    CODES.iter().map(|(code, _)| *code)
}

/// The kinds, in alphabetical order.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// What an exit code or a kind of error means.
#[must_use]
pub fn meaning(what: &str) -> Option<String> {
    if let Ok(number) = what.parse::<u8>() {
        return CODES
            .iter()
            .find(|(code, _)| *code == number)
            .map(|(_, text)| text());
    }
    KINDS
        .iter()
        .find(|(name, _)| *name == what)
        .map(|(_, text)| text())
}
