//! Texts of the timeline: its first lines, the post-mortem, the page.

texts! {
    title(run): "{run} - timeline", "{run} - 时间线";
    post_mortem(run): "{run}: post-mortem", "{run}：复盘报告";
    to_do(plan): "Change: {plan}", "变更：{plan}";
    to_do_of(plan, id): "Change: {plan} (change {id})", "变更：{plan}（变更单 {id}）";
    to_do_for(plan, id, reason): "Change: {plan} (change {id}): {reason}", "变更：{plan}（变更单 {id}）：{reason}";
    course(run, actor, from, until, took, state): "{actor} began {run} at {from}; last event at {until} ({took} later); state: {state}",
        "{actor} 于 {from} 启动运行 {run}；最后一个事件在 {until}，历时 {took}；当前状态：{state}";
    in_zone(at, offset): "{at} (UTC{offset})", "{at}（UTC{offset}）";
    outage(took, from, until): "the service was unavailable for {took}, from {from} to {until}", "服务中断 {took}，从 {from} 到 {until}";
    outages(n, took): "the service was unavailable {n} times, {took} in all", "服务中断 {n} 次，共 {took}";
    still_out(from, step): "the service has been unavailable since {from} (step {step}), and no step has reopened it",
        "服务自 {from}（步骤 {step}）起中断，尚无步骤重新开放";
    steps(all, parts, attempts): "the plan has {all} steps: {parts}; {attempts} attempts in all, undos included",
        "计划共 {all} 个步骤：{parts}；含撤销共执行 {attempts} 次";
    n_done(n): "{n} done", "成功 {n} 个";
    n_already(n): "{n} done already", "无需执行 {n} 个";
    n_skipped(n): "{n} skipped", "跳过 {n} 个";
    n_failed(n): "{n} failed", "失败 {n} 个";
    n_in_doubt(n): "{n} in doubt", "结果未知 {n} 个";
    n_running(n): "{n} not ended", "未结束 {n} 个";
    n_never_started(n): "{n} never started", "未启动 {n} 个";
    n_not_reached(n, names): "{n} not reached ({names})", "未执行到 {n} 个（{names}）";
    n_undone(n): "{n} undone", "撤销 {n} 个";
    n_nothing_to_undo(n): "{n} with nothing to undo", "无需撤销 {n} 个";
    each_outage(all, list): "{all}: {list}", "{all}：{list}";
    outage_span(took, from, until): "{took} ({from} to {until})", "{took}（{from} 至 {until}）";
    in_the_rollback(words): "in the rollback: {words}", "回退期间：{words}";
    semicolon(): "; ", "；";
    comma(): ", ", "，";
    failed_then(time, step, detail): "{time} {step} failed: {detail}", "{time} 步骤 {step} 失败：{detail}";
    adopted(time, step, actor): "{time} no runner was active while {step} went on; {actor} resumed the run, which took {step} over",
        "{time} 执行进程已退出，而步骤 {step} 仍在执行；{actor} 恢复运行，接管了 {step}";
    doubted(time, step, cause): "{time} the result of {step} was not observed: {cause}", "{time} 未能取得步骤 {step} 的结果：{cause}";
    doubted_after(time, actor, step): "{time} no runner was active; {actor} resumed the run; the result of {step} was not observed", "{time} 执行进程已退出；{actor} 恢复运行；未能取得步骤 {step} 的结果";
    doubted_after_with(time, actor, step, cause): "{time} no runner was active; {actor} resumed the run; the result of {step} was not observed: {cause}", "{time} 执行进程已退出；{actor} 恢复运行；未能取得步骤 {step} 的结果：{cause}";
    by_person(time, actor, words): "{time} {actor}: {words}", "{time} {actor}：{words}";
    more_events(n): "{n} more failures, doubts and decisions are listed below", "另有 {n} 次失败、结果未知或人工处理，见下文";
    no_runner(took): "for at most {took} no runner was active while a step was in progress; what happened meanwhile is not recorded",
        "最多有 {took} 执行进程已退出而步骤尚未结束，期间无记录";
    rolled_back(time, actor, reason, n): "{time} {actor} had the run rolled back: {reason}; {n} steps were undone",
        "{time} {actor} 发起回退：{reason}；已撤销 {n} 个步骤";
    rolled_back_by_plan(time, reason, n): "{time} upledger rolled the run back, as on_failure of the plan says: {reason}; {n} steps were undone",
        "{time} upledger 按计划的 on_failure 自动回退：{reason}；已撤销 {n} 个步骤";
    interrupted(): "interrupted: no runner is active", "已中断，没有执行进程";
    no_runner_now(): "when this was written no runner was active, and the run had not ended", "生成本文时没有执行进程，运行尚未结束";
    n_left(n, names): "{n} not undone by decision ({names})", "经人工处理未撤销 {n} 个（{names}）";
    n_undo_failed(n, names): "{n} whose undo failed ({names})", "撤销失败 {n} 个（{names}）";
    n_undo_open(n, names): "{n} whose undo has not ended ({names})", "撤销未结束 {n} 个（{names}）";
    record(n, first, last): "the record: {n} events of the run, between seq {first} and {last}", "记录：本次运行 {n} 个事件，序号在 {first} 与 {last} 之间";
    plan_digest(digest): "plan digest {digest}", "计划哈希值（SHA-256）{digest}";
    verify_with(command): "to verify the ledger: {command}", "校验账本：{command}";
    embedded(): "this file holds all events of the ledger; this command unpacks them, and `upledger verify events.jsonl` or the script of `upledger verifier` verifies them:",
        "本文件含账本的全部事件；用下面的命令取出后，可用 upledger verify events.jsonl 或 upledger verifier 输出的脚本校验：";

    summary(): "Summary", "概述";
    impact(): "Impact", "影响";
    root_causes(): "Root causes", "根本原因";
    trigger(): "Trigger", "触发因素";
    resolution(): "Resolution", "处置过程";
    detection(): "Detection", "发现方式";
    action_items(): "Action items", "改进措施";
    lessons(): "Lessons learned: what went well, what went wrong, where we got lucky", "经验教训：做得好的、做得不好的、侥幸的";
    timeline(): "Timeline", "时间线";
    chart(): "Chart", "甘特图";
    supporting(): "Supporting information", "原始记录";
    what_people_did(): "Operator actions, and what happened besides the steps", "人工操作与步骤之外的事件";
    to_fill_in(): "to be filled in", "待填写";
    date(at): "Date: {at}", "日期：{at}";
    status(state): "Status: {state}", "状态：{state}";
    authors(open): "Authors: {open}", "作者：{open}";
    announced(impact): "expected impact (from the plan): {impact}", "计划中声明的影响：{impact}";
    nobody_shut_out(): "no step of the plan made the service unavailable", "计划中没有使服务中断的步骤";
    failed_at(time, step, detail, seq): "{time} {step}: {detail} (seq {seq})", "{time} {step}：{detail}（序号 {seq}）";
    nothing_failed(): "no step failed", "没有步骤失败";
    said(time, actor, words, seq): "{time} {actor}: {words} (seq {seq})", "{time} {actor}：{words}（序号 {seq}）";
    in_session_of(actor): "upledger, in the session of {actor}", "upledger，{actor} 的会话";
    by_actor(words, actor): "{words} ({actor})", "{words}（{actor}）";
    nobody_acted(): "no operator had to act", "无需人工处置";
    more_attempts(n): "{n} more attempts are in the other formats", "另有 {n} 次执行，见其他格式";

    time(): "Time", "时间";
    step(): "Step", "步骤";
    outcome(): "Outcome", "结果";
    duration(): "Duration", "耗时";
    detail(): "Detail", "详情";
    about(kind, seq): "action {kind}, seq {seq}", "动作 {kind}，序号 {seq}";
    attempt(): "Attempt", "第几次";
    settled(): "Settled", "后续认定";
    on_the_way(): "Meanwhile", "执行期间";
    unknown(): "unknown", "未知";
    check_of(step): "check {step} after the rollback", "回退后的检查 {step}";
    undo_of(step): "undo of {step}", "撤销 {step}";
    checks_after(): "checks after the rollback", "回退后的检查";
    shut_out(): "Service unavailable", "服务中断";
    outage_bar(): "downtime", "服务中断";

    succeeded(): "succeeded", "成功";
    failed(): "failed", "失败";
    in_doubt(): "in doubt", "结果未知";
    never_started(): "never started", "未启动";
    refused(): "not started", "未执行";
    already(): "already done", "无需执行";
    nothing_to_undo(): "nothing to undo", "无需撤销";
    skipped(): "skipped", "已跳过";
    running(): "not ended", "未结束";
    undone(): "undone", "已撤销";
    waiting(): "nothing ran", "无步骤运行";
    unknown_time(): "no runner active", "无执行进程";
    waited_for_a_person(): "waiting for an operator", "等待人工处理";
    waited_between(): "between two steps", "步骤间隔";
    nobody_drove(): "no runner active, since when is unknown", "无执行进程，起始时间未知";
    seq(): "seq", "序号";
}
