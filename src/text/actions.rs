//! Texts of what actions say of themselves in a preview: what they will do, and what they expect. The intent holds the
//! same in English (`Do::intent`); commands that are started are no texts, and stay as they are.

texts! {
    // A line of a look, which is evidence and so English.
    looked(line): "{line}", "探测结果：{line}";
    wait_until(what): "wait until {what}", "等待：{what}";
    join_and(one, other): "{one} and {other}", "{one} 且 {other}";
    expect(what): "expect {what}", "确认：{what}";
    expect_within(what, limit): "expect {what} within {limit}", "确认（{limit} 内）：{what}";

    // Files.
    state_directory(): "the state directory", "状态目录";
    copy(path, to): "copy {path} to {to}", "复制 {path} -> {to}";
    copy_without(path, to, patterns): "copy {path} to {to}, without {patterns}", "复制 {path} -> {to}（不含 {patterns}）";
    restore_from(path, from): "restore {path} from {from}", "用 {from} 恢复 {path}";
    replace_from(path, from): "replace {path} with the content of {from}", "用 {from} 的内容替换 {path}";
    replace_with(path, len): "replace {path} with {len} bytes of the plan", "用计划中的 {len} 字节内容替换 {path}";
    line_becomes(path, pattern, line): "in {path}, replace the line that matches {pattern} with: {line}",
        "{path} 中匹配 {pattern} 的行改为：{line}";
    line_goes(path, pattern): "in {path}, remove the line that matches {pattern}", "删除 {path} 中匹配 {pattern} 的行";
    mode_changes(from, to): "mode {from} -> {to}", "权限 {from} -> {to}";
    remove(path): "remove {path}", "删除 {path}";
    put_back(path, len, mode, owner): "restore {path}: {len} bytes, mode {mode}, owner {owner}",
        "恢复 {path}：{len} 字节，权限 {mode}，属主 {owner}";

    // Databases.
    dump(names, server, to): "make a consistent, compressed dump of {names} (server: {server}) in {to}", "对 {names}（{server}）做一致性导出，压缩后存入 {to}";
    prove_dump(): "restore the dump into a scratch schema, compare objects, rows and checksums, and drop that schema",
        "把导出文件恢复到临时库，比对对象、行数和校验和，然后删除临时库";
    compare_service(): "compare its databases with those of the running service", "与正在运行的服务比对所用的数据库";
    service_down(): "the service does not run, so its databases are not compared", "服务未运行，未与其比对所用的数据库";
    service_unreadable(pid): "the environment of process {pid} cannot be read, so its databases are not compared",
        "无法读取进程 {pid} 的环境变量，未与其比对所用的数据库";
    service_not_set_up(pid): "with the environment of process {pid} this code cannot be set up, so its databases are not compared",
        "用进程 {pid} 的环境变量无法初始化这份代码，未与其比对所用的数据库";
    service_same(pid): "the running service (process {pid}) uses the same databases", "正在运行的服务（进程 {pid}）使用相同的数据库";
    dump_source(tables, mib, server, client): "{tables} tables, about {mib} MiB; server {server}; {client}",
        "{tables} 张表，约 {mib} MiB；服务器 {server}；{client}";
    no_snapshot(tables): "not covered by a snapshot, so nothing may write to them meanwhile: {tables}",
        "不受一致性快照保护，备份期间不得写入：{tables}";
    six_digits(columns): "FLOAT columns, of whose values a dump has six digits: {columns}",
        "FLOAT 列，备份只保留其值的六位有效数字：{columns}";
    events_run(events): "events that are enabled: {events}; in the scratch schema they are created disabled",
        "已启用的事件：{events}；在临时库中以禁用状态创建";
    restore_databases(names, step): "drop {names}, create it again and load the backup of the step {step}",
        "删除并重建 {names}，载入步骤 {step} 的备份";
    restore_any(step): "drop the schemas of the step {step}, create them again and load its backup",
        "删除并重建步骤 {step} 所备份的库，载入其备份";
    restore_refuses(): "before: digests, sessions of others, packet size, collations, engines, definers, and a trial of all definitions in a scratch schema",
        "之前：检查哈希值、他人的会话、包大小、排序规则、存储引擎、定义者，并在临时库中试建全部对象";
    restore_holds(tables, rows, directory): "the backup holds {tables} tables with {rows} rows: {directory}",
        "备份包含 {tables} 张表，共 {rows} 行：{directory}";
    restore_loses(objects): "not in the backup, and gone afterwards: {objects}", "备份中没有、恢复后将不存在：{objects}";
    restore_compares(): "afterwards: compare objects, rows and checksums with the backup",
        "之后：与备份比对对象、行数和校验和";
    prove_database(): "restore the dump into a scratch database, dump that again, compare objects and rows, and drop it",
        "把导出文件恢复到临时数据库，再次导出并比对对象与行，然后删除临时数据库";
    extensions(names): "extensions that a server needs to take it: {names}", "恢复时服务器需要的扩展：{names}";
    replace_refuses(): "before: digests, sessions of others, roles, extensions and tablespaces that the backup needs",
        "之前：检查哈希值、他人的会话，以及备份所需的角色、扩展和表空间";
    replace_any(step): "load the backup of the step {step} into a new database and compare it; then it takes the place of the former one",
        "将步骤 {step} 的备份载入新数据库并比对，然后用它取代原数据库";
    replace_database(name, new, step): "load the backup of the step {step} into {new} and compare it; then it takes the place of {name}",
        "将步骤 {step} 的备份载入 {new} 并比对，然后用它取代 {name}";
    replace_drops(): "afterwards: drop the former database", "之后：删除原数据库";
    config_set(path, edits): "in {path}, set {edits}", "在 {path} 中设置：{edits}";
    config_removed(key): "{key} removed", "删除 {key}";
    config_expected(path, keys): "{path} to have {keys} as the plan says", "{path} 中 {keys} 的值与计划一致";
    config_served(path, keys, process): "{path} to have {keys} as the plan says, and processes matching {process} to have started with it",
        "{path} 中 {keys} 的值与计划一致，且匹配 {process} 的进程均在该配置修改之后启动";
    config_diff(path, with): "show what differs between {path} and {with}, secrets masked", "显示 {path} 与 {with} 的差异（敏感值以掩码代替）";
    env_set(names): "for all later steps, set {names}", "为之后的所有步骤设置：{names}";
    env_without(name): "{name} removed", "移除 {name}";
    env_capture(source, names): "source {source}, and take {names} for all later steps", "执行（source）{source}，并将 {names} 用于之后的所有步骤";
    copies(paths): "copy {paths} to the state directory", "将 {paths} 复制到状态目录";

    // Processes and services.
    process(pid): "process {pid}", "进程 {pid}";
    process_named(pid, name): "process {pid} ({name})", "进程 {pid}（{name}）";
    orphan(command): "{command}, an orphaned worker (its master has exited)", "{command}，其 master 已不存在的 worker";
    start_daemon(command): "start {command} as a daemon", "以守护进程方式启动 {command}";
    accepts(place): "{place} accepts connections", "{place} 接受连接";
    answers(url): "{url} answers 200", "{url} 返回 200";
    answers_with(url, part): "{url} answers 200 with '{part}'", "{url} 返回 200 且内容含 '{part}'";
    term_and_kill(grace, what): "TERM, and KILL after {grace}, to {what}", "向 {what} 发送 TERM，{grace} 后仍未结束则发送 KILL";
    signal_and_kill(name, grace, what): "{name}, and KILL after {grace}, to {what}", "向 {what} 发送 {name}，{grace} 后仍未结束则发送 KILL";
    nothing_lives(pidfile): "{pidfile} (none of its processes is running)", "{pidfile}（其进程均已不存在）";
    the_service(): "the service", "该服务";
    hup(what): "HUP to {what}", "向 {what} 发送 HUP";
    update_starts(names): "starts: {names}", "启动：{names}";
    update_restarts(names): "restarts: {names}", "重启：{names}";
    update_stops(names): "stops, and does not start again (`autostart=false`): {names}", "停止且不再启动（`autostart=false`）：{names}";
    update_removes(names): "stops and removes: {names}", "停止并移除：{names}";
    update_adds(names): "adds, and does not start (`autostart=false`): {names}", "新增但不启动（`autostart=false`）：{names}";
    update_nothing(): "supervisord runs the configuration of its files: nothing to update", "supervisord 运行的就是文件中的配置，无需更新";
    update_in_rollback(): "nothing; its undo makes supervisord run the configuration of its files", "不执行任何操作；回退时让 supervisord 按文件中的配置运行";
    update_stops_surplus(): "stop what was not running before", "停止此前没有运行的程序";
    members(each): "members: {each}", "成员：{each}";
    nothing_runs(name): "no process of {name} is running", "未在运行：{name}";
    untold(name, strays): "cannot determine whether {name} with these settings is running: found {strays}, whose configuration is unknown; restore its pidfile or set `by: {{pidfile: ...}}` or `by: {{match: ...}}` if it is the one, or stop that process",
        "无法判断此配置的 {name} 是否在运行：{strays}，且看不出它用的配置；若正是它，请恢复其 pidfile，或用 `by: {{pidfile: ...}}` 或 `by: {{match: ...}}` 指定；否则请先结束它";
    out_of_sight(states, strays): "its manager says that {states}, but {strays} is running: it went into the background, where the manager cannot stop it; keep it in the foreground (`daemon off`, no `--daemon`), or set `by: {{pidfile: ...}}`",
        "管理程序显示 {states}，但 {strays} 仍在运行：它已转入后台，管理程序无法停止它；请让它在前台运行（`daemon off`，不用 `--daemon`），或改用 `by: {{pidfile: ...}}`";
    manager_kills(name, wait, setting): "{name}: its manager kills the main process after {wait} (`{setting}`), before the grace is over; what is left of it has the rest",
        "{name}：管理程序会在 {wait} 后（`{setting}`）先于宽限期强制结束主进程；其余进程仍有剩余的宽限期";

    // Celery.
    no_worker_runs(role): "no {role} is running", "未在运行：{role}";
    every_one(role): "every {role}", "所有 {role}";
    origin(module, cwd, python): "{module} (directory {cwd}, interpreter {python})", "{module}（目录 {cwd}，解释器 {python}）";
    without_module(): "without -A", "未用 -A 指定";
    wait_empty(queues): "wait until {queues} are empty", "等待队列 {queues} 清空";
    cancel_consumers(who): "cancel_consumer for every queue of {who}", "对 {who} 的每个队列执行 cancel_consumer";
    add_consumers(who): "add_consumer for every cancelled queue, to {who}", "对 {who} 的每个被取消的队列执行 add_consumer";
    wait_drained(limit): "wait up to {limit} until no task is active or reserved", "等待正在执行与已预取的任务清零，最长 {limit}";
    stop_and_kill(what, grace): "{what}, and KILL after {grace}", "{what}，{grace} 后仍未结束则发送 KILL";
    stop_may_take(what, grace): "{what}, which may take {grace}", "{what}，最长可能需要 {grace}";
    term_to(who): "TERM to {who}", "向 {who} 发送 TERM";
    wait_workers(limit): "wait up to {limit} until every worker answers and consumes", "等待每个 worker 都有响应并开始消费队列，最长 {limit}";
    nothing_to_start(): "nothing was running before; nothing to start", "之前没有运行，无需启动";
    nothing_to_stop(): "no new process is running; nothing to stop", "没有新启动的进程，无需停止";
    wait_beat(limit): "wait up to {limit} until beat is running", "等待 beat 开始工作，最长 {limit}";

    // Crontabs.
    crontab_of(user): "the crontab of {user}", "{user} 的 crontab";
    crontab_of_ours(): "the crontab of the user that runs upledger", "运行 upledger 的用户的 crontab";
    no_crontab(): "it does not exist", "不存在";
    no_job(): "no match", "没有匹配的行";
    not_looked_at(): "not checked", "未检查";
    already(lines): "{lines} already so", "{lines} 已处于目标状态";
    one_line(number): "line {number}", "第 {number} 行";
    lines(numbers): "lines {numbers}", "第 {numbers} 行";
    and_more(count): "and {count} more", "以及另外 {count} 行";
    job_matching(pattern): "jobs that match {pattern}", "匹配 {pattern} 的任务";
    commented_matching(pattern): "commented jobs that match {pattern}", "匹配 {pattern} 的已注释任务";
    commented_by_run(): "jobs that this run has commented out", "本次运行注释掉的任务";
    put_off(place, which, found): "disable in {place}: {which} ({found})", "{place}：停用{which}（{found}）";
    put_on(place, which, found): "enable in {place}: {which} ({found})", "{place}：启用{which}（{found}）";
    lines_back(place, lines): "in {place}, restore {lines}", "{place}：恢复{lines}";
    nothing_changed(place): "nothing was changed in {place}", "{place} 未被改动";
    wait_for_timer_jobs(wait): "wait up to {wait} for running jobs that these timers have started", "等待其已启动的任务结束，最长 {wait}";
    wait_for_jobs(wait): "wait up to {wait} for running jobs of these lines", "等待这些行正在执行的任务结束，最长 {wait}";
    hunk(number): "@@ line {number} @@", "@@ 第 {number} 行 @@";

    // Pages.
    get(url, expected): "GET {url} and expect {expected}", "GET {url}，预期：{expected}";
    status(status): "status {status}", "状态码 {status}";
    the_text(text): "the text '{text}'", "内容含 '{text}'";
    value_at(value, pointer): "{value} at {pointer}", "{pointer} 处为 {value}";
    with_text(status, text): "{status} with '{text}'", "{status} 且内容含 '{text}'";

    // git, pip and pre-commit.
    the_commit_of(name): "<the commit of {name}>", "<{name} 的提交>";
    name_and_commit(name): "<{name} and its commit>", "<{name} 及其提交>";
    or_if_there(command, other): "{command} (if it already exists: {other})", "{command}（若已存在：{other}）";
    with_index(command, index): "{command} (index: {index})", "{command}（软件源：{index}）";
    switch_link(link, to): "switch the link {link} to {to}", "将链接 {link} 切换到 {to}";
    collected_into(command, dir): "{command} (into {dir})", "{command}（收集到 {dir}）";
    inside(dir, command): "in {dir}: {command}", "在 {dir} 中：{command}";

    // Expectations.
    to_give(command, parts): "{command} to return {parts}", "执行 {command}，结果为 {parts}";
    exit(code): "exit {code}", "退出码 {code}";
    text_on_stdout(text): "the text {text} on standard output", "标准输出含 {text}";
    stdout_matching(pattern): "standard output that matches {pattern}", "标准输出匹配 {pattern}";
    nothing_at(path): "nothing at {path}", "{path} 不存在";
    sha256(digest): "sha256 {digest}", "sha256 为 {digest}";
    text_in_file(text): "the text {text}", "内容含 {text}";
    mode(mode): "mode {mode}", "权限为 {mode}";
    to_be_there(path): "{path} to exist", "{path} 存在";
    file_with(path, parts): "{path} with {parts}", "{path} 存在，{parts}";
    no_process(): "no process", "没有进程";
    any_number(): "any number of processes", "任意数量的进程";
    one_process(number): "{number} process", "{number} 个进程";
    processes(number): "{number} processes", "{number} 个进程";
    at_least(what): "at least {what}", "至少 {what}";
    at_most(what): "at most {what}", "至多 {what}";
    exactly(what): "exactly {what}", "恰好 {what}";
    from_to(min, what): "{min} to {what}", "{min} 到 {what}";
    matching(number, pattern): "{number} matching {pattern}", "{number}匹配 {pattern}";
    port_open(port): "port {port} open", "端口 {port} 打开";
    port_closed(port): "port {port} closed", "端口 {port} 关闭";
    port_of_open(port, host): "port {port} of {host} open", "{host} 的端口 {port} 打开";
    port_of_closed(port, host): "port {port} of {host} closed", "{host} 的端口 {port} 关闭";
    port(port): "port {port}", "端口 {port}";
    nothing_left(what): "nothing left of {what}", "已无残留（{what}）";

    // Django.
    restore_backup(step): "restore the backup of the step {step}", "恢复步骤 {step} 的备份";
    reinitialise(name): "drop the database {name} and create it again, empty", "删除数据库 {name} 并重新创建为空库";
    reinitialise_loses(name, tables): "{name} has {tables} tables, all of which are dropped", "{name} 现有 {tables} 张表，将全部删除";
    nothing_migrated(): "nothing: no migration began", "无需操作：没有任何迁移开始执行";
    no_migration_open(database): "{database}: no migration is open", "{database}：没有待执行的迁移";
    migrations_open(database, count, names): "{database}: {count} migrations are open: {names}", "{database}：{count} 个待执行的迁移：{names}";
    expect_text(text): "expect a line of its output with '{text}'", "确认：输出中有一行包含 '{text}'";
    expect_no_text(text): "expect no line with '{text}'", "确认：没有任何一行包含 '{text}'";
    fake_row(name): "insert the row {name} into django_migrations; nothing else is done", "在 django_migrations 中插入 {name} 一行；不做其他任何操作";
    undo_fake(name): "delete the row {name} from django_migrations", "从 django_migrations 中删除 {name} 一行";
    fake_agrees(name, count): "{name}: {count} operations are in the schema already", "{name}：{count} 个操作已体现在表结构中";
    fake_instead(what): "instead of its data steps: {what}", "其数据步骤由以下操作代替：{what}";
}
