//! Texts of `plan`: what a run would do now.

texts! {
    plan(): "plan", "计划";
    environment(): "environment", "环境";
    change(): "change", "变更单";
    risk(): "risk", "风险";
    impact(): "impact", "影响";
    services(): "services", "涉及服务";
    digest(): "digest", "摘要";
    secret(): "secret", "密钥";
    on_failure(): "on failure", "失败时";
    not_passed_on(): "not passed on", "未传给步骤";
    failure_asks(): "the run stops and waits for a decision", "停下并询问";
    failure_rolls_back(): "the run rolls back automatically", "自动回退已执行的步骤";
    from_variable(name): "environment variable {name}", "环境变量 {name}";
    from_file(path): "file {path}", "文件 {path}";
    from_command(command): "command {command}", "命令 {command}";
    run(): "run", "执行";
    will_change(): "change", "变更";
    already(): "already", "已完成";
    later(): "later", "执行时判断";
    cannot_tell(): "cannot tell", "无法判断";
    cannot_run(): "cannot run", "无法执行";
    no_program(name): "program not found: {name}", "找不到程序: {name}";
    not_executable(path): "not executable: {path}", "没有执行权限: {path}";
    no_directory(path): "the working directory {path} does not exist", "工作目录不存在: {path}";
    closed_directory(path): "the working directory {path} cannot be entered", "无法进入工作目录: {path}";
    may_come(): "an earlier step may provide it", "前面的步骤可能会提供";
    not_ready_now(line, why): "{line}  (now: {why})", "{line}  (目前: {why})";
    would_fail(): "would fail", "会失败";
    step_would_fail(): "1 step would fail", "1 个步骤会失败";
    steps_would_fail(count): "{count} steps would fail", "{count} 个步骤会失败";
    not_written(): "the resolved plan is not written, because it could not run in the current state", "未写出已解析的计划: 按现状无法执行";
    left_out(): "skipped", "不执行";
    may_be_done_by_then(): "it is done now; an earlier step may change that, so it is checked again when the run reaches it",
        "目前已完成, 但前面的步骤可能改变它, 执行到此步骤时再判断";
    depends(what): "depends on {what}", "取决于: {what}";
    secret_unknown(name, why): "the secret {name} cannot be read here, so `run` would refuse: {why}", "此处无法读取密钥 {name}, `run` 会因此拒绝执行: {why}";
    run_would_refuse(why): "`run` would refuse: {why}", "`run` 会拒绝执行: {why}";
    run_is_refused(): "a run would be refused in the current state, for the reasons above", "按现状会拒绝执行; 原因见上文";
    needs_secret(name): "it needs the secret {name}, which cannot be read here", "需要密钥 {name}, 此处无法读取";
    legend(): "! is a point of no return", "! 表示不可逆点";
    the_way_back(): "rollback, from the last step to the first; only started steps are undone",
        "回退方案, 从最后一步到第一步; 只回退已开始的步骤";
    undone_by_action(): "by the action itself, from the state observed before the step", "由动作自身按变更前的记录恢复";
    nothing_to_undo(): "nothing to undo", "无需回退";
    no_return(why): "point of no return: {why}", "不可逆点: {why}";
    diffs(): "changes", "内容变更";
    summary(): "steps", "步骤";
    count(word, n): "{n} {word}", "{word} {n} 个";
    nothing_changed(counts): "{counts}; nothing was changed", "{counts}; 预览未做任何变更";
    time(): "time", "耗时";
    time_known(took, run): "about {took}, as in {run}", "约 {took} (参考 {run})";
    time_unknown(steps): "unknown for steps that have not run here before: {steps}",
        "{steps} 个步骤未在本机执行过, 耗时无法估计";
    time_limit(limit, steps): "steps with a time limit: {steps}, together at most {limit}", "设有超时的步骤 {steps} 个, 合计最长 {limit}";
    step(): "step", "步骤";
    probe(): "probe", "探测";
    verify(): "verify", "验证";
    effect(): "effect", "性质";
    effect_pure(): "changes nothing", "只读";
    effect_idempotent(): "safe to repeat", "可重复执行";
    effect_probed(): "its probe reports whether it is done", "由探测判断是否完成";
    effect_unsafe(): "not safe to repeat", "不可重复执行";
    doubt_asks(): "in doubt: ask", "结果未知时: 等待人工确认";
    doubt_retries(): "in doubt: run it again", "结果未知时: 重新执行";
    limits(): "limits", "限制";
    at_most(limit): "at most {limit}", "最长 {limit}";
    retries(times, wait): "{times} retries, {wait} apart", "重试 {times} 次, 间隔 {wait}";
    directory(): "directory", "目录";
    why(): "why", "说明";
    the_secret(name): "the secret {name}", "密钥 {name}";
    the_fact(name): "the fact {name}", "输出变量 {name}";
    written(path): "the resolved plan is in {path}; to run exactly what was approved:", "已解析的计划写入 {path}, 批准的内容就是执行的内容:";
}
