//! Texts of two runs beside each other.

texts! {
    title(a, b): "{a} beside {b}", "{a} 与 {b} 对比";
    run_in(run, file): "{run} ({file})", "{run}（{file}）";
    ran(run, at, took, state): "{run} began at {at}, took {took} and is: {state}", "{run} 开始于 {at}，历时 {took}，状态：{state}";
    whole_longer(a, b, by): "{a} took {by} longer than {b}", "{a} 比 {b} 多用 {by}";
    whole_shorter(a, b, by): "{a} took {by} less than {b}", "{a} 比 {b} 少用 {by}";
    whole_same(a, b): "{a} and {b} took about as long", "{a} 与 {b} 用时相近";
    outages(a, for_a, b, for_b): "the service was unavailable: in {a} {for_a}, in {b} {for_b}", "服务中断：{a} 中 {for_a}，{b} 中 {for_b}";
    never(): "never", "无";
    still(): "not reopened yet", "至今尚未恢复";
    took_longer(a, list): "what took longer in {a}: {list}", "{a} 中用时更长的步骤：{list}";
    nothing_took_longer(a): "no step took noticeably longer in {a}", "{a} 中没有步骤明显变慢";
    took_less(a, list): "what took less time in {a}: {list}", "{a} 中用时更短的步骤：{list}";
    instead_of(step, a, b): "{step} {a} instead of {b}", "{step} {a}（对比 {b}）";
    no_time(): "no time", "未用时间";
    waited(a, for_a, b, for_b): "waited for an operator: in {a} {for_a}, in {b} {for_b}", "等待人工处理：{a} 中 {for_a}，{b} 中 {for_b}";
    no_runner(a, for_a, b, for_b): "no runner was active while a step was in progress (at most): in {a} {for_a}, in {b} {for_b}",
        "没有执行进程而步骤尚未结束（最多）：{a} 中 {for_a}，{b} 中 {for_b}";
    went_differently(a, b, list): "what ended differently in {a} than in {b}: {list}", "{a} 与 {b} 结果不同的步骤：{list}";
    outcome_instead_of(step, a, b): "{step}: {a} instead of {b}", "{step}：{a}（对比 {b}）";
    only(run, list): "only in {run}: {list}", "仅 {run} 执行：{list}";
    and_more(n): "and {n} more", "另有 {n} 个";
    same_plan(): "both ran the same plan, to the byte", "两次运行的计划完全相同";
    other_plans(a, b): "the plans are not the same: {a}, {b}", "两次运行的计划不同：{a}、{b}";
    plan_is(name, digest): "{name} (digest {digest})", "{name}（计划哈希值 {digest}）";
    times(outcome, n): "{outcome} ({n} times)", "{outcome}（{n} 次）";
    comma(): ", ", "、";
    semicolon(): "; ", "；";
    at_least(took): "at least {took}", "至少 {took}";
    not_in_it(): "not in it", "未执行";

    the_runs(): "The two runs", "两次运行";
    steps(): "Step by step", "按步骤对比";
    run(): "Run", "运行";
    ledger(): "Ledger", "账本";
    this_ledger(): "this machine's", "本机账本";
    plan(): "Plan", "计划";
    digest(): "Plan digest", "计划哈希值（SHA-256）";
    began(): "Began", "开始";
    whole(): "Whole run", "总用时";
    state(): "State", "状态";
    users_out(): "Downtime", "服务中断时长";
    for_people(): "Waiting for an operator", "等待人工处理";
    nobody(): "No runner active", "无执行进程";
    difference(): "Difference", "差异";
    ended(): "How it ended", "结果";
    ended_in(run): "{run}: How it ended", "{run}：结果";
    seq_in(run): "seq {run}", "序号 {run}";
    sums(): "A duration is the work that was observed, over all attempts of a step; without waits. A difference above zero: A took longer.",
        "耗时为该步骤历次执行中已确认的执行时间之和，不含等待。差异为正表示 A 用时更长。";
    proof(command): "the events that prove each number are in the timelines of the two runs: {command}", "每个数字的依据在两次运行各自的时间线中：{command}";
}
