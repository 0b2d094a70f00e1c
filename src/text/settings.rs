//! Texts of the problems of an action's settings, which `check` shows. What an action tells of its work is recorded, and
//! so it is not here: it stays English.

texts! {
    no_absolute(setting, path): "`{setting}` is not an absolute path: {path}", "`{setting}` 不是绝对路径：{path}";
    no_regex(setting, why): "`{setting}` is not a valid regular expression: {why}", "`{setting}` 不是有效的正则表达式：{why}";
    empty_command(): "the command is empty", "命令为空";
    empty_program(): "the program's name is empty", "程序名为空";
    empty_script(): "the script is empty", "脚本为空";
    empty(setting): "`{setting}` is empty", "`{setting}` 为空";
    is_zero(setting): "`{setting}` is zero", "`{setting}` 为零";
    missing(one, other): "`{one}` or `{other}` is missing", "缺少 `{one}` 或 `{other}`";
    missing_all(settings): "one of {settings} is needed", "{settings} 至少须给出一个";
    exclude(one, other): "`{one}` and `{other}` are mutually exclusive", "`{one}` 与 `{other}` 不能同时使用";
    needs(setting, other): "`{setting}` requires `{other}`", "`{setting}` 需要同时给出 `{other}`";

    // What an undo does.
    undo_start(): "stop the process that it started", "停止它启动的进程";
    application(what): "application: {what}", "应用：{what}";
    only_application(what): "the only application that runs on this machine: {what}; name it with `app` or `by`", "本机唯一在运行的应用：{what}；可用 `app` 或 `by` 指定";
    undo_stop(): "start it again in its previous state", "按原样重新启动";
    nothing_ran(): "nothing was running before, so nothing is started", "此前没有运行，无需启动";
    undo_deploy(): "check out the previous commit", "回到原来的提交";
    undo_clone(place): "remove {place} if this step created it; move it aside if somebody has worked in it",
        "若 {place} 由本步骤创建则删除；若其中有他人的改动则改名移开";
    undo_release(current): "switch {current} back to the previous release", "将 {current} 切换回原来的版本";
    undo_file(path): "restore {path} byte for byte", "{path} 恢复原样（逐字节一致）";
    undo_cron(): "restore the crontab byte for byte; if somebody has edited it since, only these lines",
        "crontab 恢复原样（逐字节一致）；如其间有人改过，则只恢复这些行";
    static_is_kept(root, files, copy): "the previous {root} ({files} files) is kept as {copy}", "原来的 {root}（{files} 个文件）保留为 {copy}";
    undo_static_exchange(copy, root): "{copy}, the previous state of {root}, is swapped back atomically",
        "{copy}（{root} 的原状态）与其原子互换";
    undo_static_remove(root): "remove {root}, which did not exist before", "删除原本不存在的 {root}";
    undo_static_nothing(copy): "nothing was collected; remove the copy {copy}", "没有收集任何文件；删除副本 {copy}";
    undo_static(): "swap the previous directory back atomically", "与新目录原子互换，恢复原来的目录";

    // Django.
    no_module(name): "`settings` must be dev, stag, prod or a Python module, not '{name}'",
        "`settings` 须为 dev、stag、prod 或 Python 模块名，'{name}' 不是";

    no_command_name(name): "`name` must be the name of a command of manage.py, not '{name}'", "`name` 须为 manage.py 的命令名，'{name}' 不是";
    every_line(setting): "`{setting}` contains an empty text, which every line contains", "`{setting}` 中有空文本，任何一行都会包含它";
    no_label(setting, name): "`{setting}` must be a name without dots, such as {setting}: {name}", "`{setting}` 须为不含点的名称，如 {setting}: {name}";
    // Databases.
    no_schema(name): "'{name}' is not a schema that can be backed up alone", "不能单独备份库 '{name}'";
    repeated(setting, name): "`{setting}` names {name} twice", "`{setting}` 中重复出现 {name}";
    scratch_is_source(name): "`scratch` is {name}, which is to be backed up", "`scratch` 是 {name}，即要备份的库本身";
    maintained_is_source(name): "`maintenance` is {name}, which is to be backed up: name another database, such as template1",
        "`maintenance` 是 {name}，即要备份的数据库：请指定另一个数据库，如 template1";

    // Crontabs.
    every_job(): "`match` is empty, so every job would match", "`match` 为空，所有定时任务都会匹配";
    no_crontab(file): "{file} is a script, not a crontab; make it non-executable instead (chmod a-x)",
        "{file} 是脚本而不是 crontab；请改为去掉其可执行权限（chmod a-x）";

    // Files.
    restore_of_itself(): "`from` is the file itself", "`from` 就是该文件本身";
    copy_is_taken(to, copy): "{to} is there already, and a backup does not overwrite: this copy is {copy}",
        "{to} 已存在，备份不会覆盖它：本次副本为 {copy}";
    same_file(): "`to` is the file itself", "`to` 就是原文件本身";
    line_break(): "`line` contains a line break", "`line` 中含有换行符";
    absent_beside_remove(): "`absent` has no effect together with `remove`", "`absent` 与 `remove` 同时使用没有意义";

    // Configuration files.
    no_format(path): "`format` is missing: the name of {path} does not say how it is written", "缺少 `format`：从文件名 {path} 看不出格式";
    no_reader_of(reader): "`readers`: {reader} does not read files of this format", "`readers`：{reader} 不读取这种格式的文件";
    no_such_type(value, kind): "`value` is '{value}', which is not of the type {kind}", "`value` 为 '{value}'，不是 {kind} 类型";
    copies_beside(files): "copies that a pattern may load stand beside the files: {files}", "文件旁边已有可能被通配符加载的副本：{files}";

    files_to_copy(files): "files: {files}", "文件数：{files}";
    entries_left_out(count, patterns): "left out: {count} entries ({patterns})", "不复制：{count} 项（{patterns}）";
    stays_as_it_is(patterns): "stays as it is now: {patterns}", "保持现状：{patterns}";
    leaves_nothing(setting, pattern): "`{setting}`: '{pattern}' would leave nothing", "`{setting}`：'{pattern}' 会排除所有内容";
    no_inside_pattern(setting, pattern): "`{setting}`: '{pattern}' is not a pattern for paths inside the directory, such as *.log or cache/*.tmp",
        "`{setting}`：'{pattern}' 不是目录内路径的匹配模式，如 *.log 或 cache/*.tmp";
    undo_directory(path): "swap the former content of {path} back atomically", "将 {path} 原来的内容原子互换回来";
    copied_directory(step): "the directory that {step} has copied", "步骤 {step} 所复制的目录";
    no_variable(name): "`{name}` is not the name of an environment variable that a step may set", "`{name}` 不是步骤可以设置的环境变量名";
    captured_secret(name): "`names`: {name} is named like a secret, and what is captured is recorded; define it in `secrets` and pass it with `env.set`",
        "`names`：{name} 看起来是敏感信息，而捕获的值会被记录；请在 `secrets` 中定义，并用 `env.set` 传递";

    // Expectations.
    no_program(): "`argv` names no program", "`argv` 没有指定程序";
    every_output(): "`stdout_contains` is empty and would match any output", "`stdout_contains` 为空，任何输出都会符合";
    every_file(): "`contains` is empty and would match any file", "`contains` 为空，任何文件都会符合";
    every_page(): "`contains` is empty and would match any page", "`contains` 为空，任何页面都会符合";
    inexact(): "`json` contains an integer beyond 2^53, which JSON implementations read differently; compare it with `contains`",
        "`json` 中含有超过 2^53 的整数，各种 JSON 实现的解析结果不一致；请改用 `contains` 比较";
    every_process(): "`match` matches every process", "`match` 会匹配所有进程";
    nothing_to_compare(): "`exists: false` leaves nothing to compare", "`exists: false` 时没有内容可供比较";
    no_sha256(): "`sha256` is not 64 hexadecimal digits", "`sha256` 须为 64 位十六进制数字";
    one_count(): "`count`, `none`, and `min` or `max` are mutually exclusive", "`count`、`none`、`min`/`max` 三种写法只能用一种";
    min_and_max(min, max): "`min` is {min}, but `max` is {max}", "`min` 为 {min}，大于 `max`（{max}）";

    // Processes and services.
    ready_needs(): "`ready` needs a `port` or a `url`", "`ready` 需要 `port` 或 `url`";
    one_manager(): "`by` needs exactly one of `supervisor`, `systemd`, `pidfile`, `process` and `match`",
        "`by` 须在 `supervisor`、`systemd`、`pidfile`、`process`、`match` 中给出且仅给出一个";
    one_program(): "`by.supervisor.program` is one name, `group:name` or `group:*`",
        "`by.supervisor.program` 须为一个程序名、`group:name` 或 `group:*`";
    program_or_programs(): "`by.supervisor` needs one `program`, or several `programs`", "`by.supervisor` 须给出一个 `program`，或多个 `programs`";
    no_program_name(name): "`by.supervisor.programs`: '{name}' is neither a name, `group:name`, `group:*` nor a pattern",
        "`by.supervisor.programs`：'{name}' 不是程序名、`group:name`、`group:*` 或通配模式";
    every_member(setting, name): "`{setting}`: '{name}' would match everything; name what belongs to the service",
        "`{setting}`：'{name}' 会匹配所有成员；请写明属于该服务的名称";
    no_group(name): "`groups`: '{name}' is not the name of a group of supervisord", "`groups`：'{name}' 不是 supervisord 的组名";
    undo_update(): "stop the programs that it started; if the former configuration is back, run it", "停止它启动的程序；若原来的配置已恢复，则按其运行";
    one_unit(): "`by.systemd` needs one `unit`, or several `units`", "`by.systemd` 须给出一个 `unit`，或多个 `units`";
    no_unit(name): "`{name}` is not a unit name, such as web.service or worker@1", "`{name}` 不是单元名，如 web.service 或 worker@1";
    needs_instance(name): "`{name}` is a template; name its instances, such as worker@1", "`{name}` 是模板单元；请写出实例，如 worker@1";
    signal_of_manager(): "`signal` has no effect together with `supervisor`, `systemd` or `process`, which define the signal",
        "`signal` 与 `supervisor`、`systemd` 或 `process` 同时使用没有意义，信号由后者决定";
    one_file(one, other): "`{one}` and `{other}` are the same file", "`{one}` 与 `{other}` 是同一个文件";
    twice(name): "`{name}` is named twice", "`{name}` 重复";
    not_a_service(unit): "`{unit}` is part of the system, not a service; name the service itself", "`{unit}` 属于系统本身，不是服务；请写出服务的单元名";
    no_start_beside(setting): "`{setting}` has no effect together with `supervisor`, `systemd` or `process`, which define how the service starts",
        "`{setting}` 与 `supervisor`、`systemd` 或 `process` 同时使用没有意义，启动方式由后者决定";
    no_http(url): "`url` must begin with http:// or https://, not '{url}'; for example http://127.0.0.1:8000/health",
        "`url` 须以 http:// 或 https:// 开头，'{url}' 不符合；例如 http://127.0.0.1:8000/health";
    no_url(why): "`url` is not a valid URL ({why}); write it in full, such as http://127.0.0.1:8000/health",
        "`url` 不是有效的 URL（{why}）；请写完整，如 http://127.0.0.1:8000/health";
    status_range(status): "`status` must be from 100 to 599, not {status}", "`status` 须在 100 到 599 之间，不能是 {status}";
    no_time(): "`timeout` must be greater than zero", "`timeout` 须大于 0";
    no_pointer(pointer): "the keys of `json` are JSON pointers such as /status; '{pointer}' is not one",
        "`json` 的键须为 JSON 指针，如 /status；'{pointer}' 不是";
    no_header(name): "'{name}' is not a valid header name", "'{name}' 不能作为请求头名称";

    // Dependencies.
    undo_pip_both(current, venv): "{current} is switched back; {venv} is removed if this step created it",
        "{current} 重新指向原来的目标；若 {venv} 由本步骤创建则删除";
    undo_pip_switch(current): "{current} is switched back; the new virtualenv is kept", "{current} 重新指向原来的目标；新虚拟环境保留不删";
    undo_pip_remove(venv): "{venv} is removed if this step created it", "若 {venv} 由本步骤创建则删除";
    undo_pip_nothing(venv): "nothing was switched; {venv} is kept", "没有切换任何链接；{venv} 保留不删";
    venv_needs_name(): "`venv` must end with a directory name", "`venv` 须包含目录名";
    current_in_venv(): "`current` must be a link beside `venv`, not inside it", "`current` 是与 `venv` 并列的符号链接，不能位于 `venv` 之内";
    no_requirement_file(file): "a requirement file must be a path, not '{file}'", "依赖文件须为路径，'{file}' 不是";
    index_credentials(): "a URL with credentials is a secret: `index: {{secret: name}}`", "含有凭据的 URL 须作为密钥引用：`index: {{secret: name}}`";
    no_index_url(url): "`index` must begin with https://, http:// or file://, not '{url}'", "`index` 须以 https://、http:// 或 file:// 开头，'{url}' 不符合";
    smoke_needs_program(): "a command in `smoke` names no program", "`smoke` 中有一条命令没有指定程序";

    undo_pre_commit(): "restore the previous hooks byte for byte", "钩子恢复原样（逐字节一致）";
    no_hook(hook): "'{hook}' is not a git hook", "'{hook}' 不是 git 钩子的名称";
    // Celery.
    beat_has_none(setting): "`{setting}` applies to workers only, not to a beat", "`{setting}` 只适用于 worker，beat 不适用";
    undo_workers(): "drain and stop the workers that it started", "排空并停止它启动的 worker";

    // git.
    no_repo(repo): "`repo` must be an absolute path or a URL that git can fetch, not '{repo}'",
        "`repo` 须为绝对路径或 git 可以获取的 URL，'{repo}' 不是";
    no_ref(name): "`ref` must be a branch, a tag or a commit; '{name}' is not a valid name",
        "`ref` 须为分支、标签或提交，'{name}' 不是有效的名称";
    path_needs_name(setting): "`{setting}` must end with a name", "`{setting}` 末尾须有名称";
    no_place(): "set `into`, or `releases`", "请说明位置：`into` 或 `releases`";
    one_place(): "`into` deploys in place, `releases` side by side; they are mutually exclusive",
        "`into` 为原地更新，`releases` 为并列发布，二者只能选一";
    keep_two(): "`keep` must be at least 2: the new release, and the previous one for a rollback", "`keep` 至少为 2：新版本，以及可供回退的旧版本";
    current_among_releases(): "`current` must be a link beside the releases, not `releases` itself", "`current` 是指向某个版本的链接，不能就是 `releases` 目录";
    releases_fetch(): "`fetch: false` requires `into`: each release is a separate clone", "`fetch: false` 只能与 `into` 同用：每个版本都是独立的克隆";
    link_above_itself(path, to): "`to` must not be inside `path`: {to} is inside {path}", "`to` 不能位于 `path` 之内：{to} 在 {path} 里面";
    undo_switch(path): "switch {path} back to its previous target", "将 {path} 切换回原来的目标";
    keep_one(): "`keep` must be at least 1", "`keep` 至少为 1";
    prune_where(): "one of `releases`, `venvs` and `statics` is needed", "`releases`、`venvs`、`statics` 至少须给出一个";
    prune_goes(dir): "{dir} will be removed", "{dir} 将被删除";
    prune_stays(dir, why): "{dir} is kept: {why}", "{dir} 将保留：{why}";
    prune_keeps(count, dir): "keep the newest {count} in {dir}, and whatever is still needed", "{dir} 中保留最新的 {count} 个以及仍被需要的，其余删除";
    nothing_to_prune(): "there is nothing to remove", "没有需要删除的内容";
    release_is_kept(dir): "nothing was switched; {dir} is kept", "没有切换任何链接；{dir} 保留不删";
    undo_aside(): "nothing was switched; what was built is kept", "没有切换任何链接；已构建的内容保留不删";
    inside_release(setting, path): "`{setting}` must be a path inside the release, not '{path}'", "`{setting}` 须为版本目录内的路径，'{path}' 不是";
    no_commit(): "`commit` must be a full commit id, 40 or 64 hexadecimal digits", "`commit` 须为完整的提交 id（40 或 64 位十六进制数字）";
    is_commit(name, commit): "{name} is commit {commit}", "{name} 为提交 {commit}";
    stands_at(place, stands): "{place} is at {stands}", "{place} 目前位于 {stands}";
    leads_to(link, from, to): "{link} points to {from}; it will point to {to}", "{link} 目前指向 {from}，将指向 {to}";
    no_link_yet(link, to): "{link} does not exist; it will point to {to}", "{link} 尚不存在，将指向 {to}";
    release_exists(dir): "{dir} exists and is complete", "{dir} 已存在且完整";
    release_goes(dir): "{dir} will be removed (`keep`)", "{dir} 将被删除（`keep`）";
    release_linked(dir, link): "{dir} is kept: {link} points to it", "{dir} 将保留：{link} 指向它";
    release_used(dir, process): "{dir} is kept: {process} uses it", "{dir} 将保留：{process} 正在使用它";
    inside_repo(): "`version_file.path` must be a path inside the repository", "`version_file.path` 须为仓库内的路径";
    version_needs(): "`version_file` requires either `equals` or `contains`", "`version_file` 须在 `equals` 与 `contains` 中二选一";
}
