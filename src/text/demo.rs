//! Texts of `demo`.

texts! {
    title(): "upledger demo: a real upgrade of a small web shop", "upledger 演示：实际升级一个小型网店";
    directory(): "directory", "目录";
    releases(): "releases", "版本";
    tags(old, new): "git tags {old} and {new}", "git 标签 {old} 和 {new}";
    before(): "before", "升级前";
    after(): "after", "升级后";
    killed(pid): "kill -9 {pid}    the runner is killed during the migration",
        "kill -9 {pid}    执行进程已在迁移途中被杀死";
    seen(): "checked", "已确认";
    runner_killed(): "the runner was killed during the migration", "执行进程在迁移途中被杀死";
    back(): "rolled back", "回退后";
    stopped(): "the demo has ended and stopped the shop; its directory may be deleted", "演示结束，网店进程已停止；目录可以删除";
    migration_began_once(): "the migration was started once", "迁移只启动了一次";
    old_answers(): "the old release answers with the old data", "旧版本恢复服务，数据与升级前一致";
    new_answers(): "the new release answers, and its data check passes", "新版本正常服务，自检数据无误";
    both_accept(): "both verifiers accept the ledger", "两个验证程序都验证通过";
    ledger(): "ledger", "账本";
    timeline(): "timeline", "时间线";
    report(): "report", "合规报告";
    open_page(path): "{path}    open it in a browser", "{path}    可用浏览器打开";
    look_around(): "next, try:", "继续查看：";
    status(): "the state of each step", "各步骤的状态";
    log(): "every event", "全部事件";
    output(): "what the migration printed", "迁移的输出";
    not_empty(dir): "{dir} is not empty", "{dir} 不是空目录";
    name_empty(): "name an empty directory, or omit the option", "请指定空目录，或不指定";
    kept(dir): "everything is kept in {dir}", "全部内容保留在 {dir}";
    ended_otherwise(command, code, expected): "`upledger {command}` ended with exit code {code}, expected {expected}",
        "upledger {command} 的退出码为 {code}，预期为 {expected}";
    not_as_promised(what): "not as expected: {what}", "与预期不符：{what}";
    interrupted(): "interrupted; the shop was stopped", "已中断，网店进程已停止";
    by_signal(): "none (a signal)", "无（信号）";
}
