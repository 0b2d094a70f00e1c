//! Texts of `--help`: one for each command, option and argument, named after them.

texts! {
    about(): "Runs a production upgrade from a plan and records each action; the record is the only state",
        "按 YAML 计划执行生产环境升级并记录每个动作；除执行记录外，程序不保存其他状态";
    usage_is(line): "Usage: {line}", "用法：{line}";
    heading(name): "{name}:", "{name}：";
    and_more(words, more): "{words}; {more}", "{words}；{more}";
    duty_plans(): "Prepare a plan", "准备计划";
    duty_runs(): "Run and look", "执行与查看";
    duty_steering(): "Decide and intervene", "人工处理与干预";
    duty_rollback(): "Roll back", "回退";
    duty_audit(): "Audit", "审计";
    duty_help(): "Learn and set up", "了解与安装";
    commands(): "Commands", "命令";
    options(): "Options", "选项";
    arguments(): "Arguments", "参数";
    values(list): "one of {list}", "可选：{list}";
    default_is(value): "default: {value}", "默认：{value}";
    opt_help(): "Print help", "显示帮助";
    opt_version(): "Print version", "显示版本";
    opt_state(): "State directory, which holds the ledger and the job directories [env: UPLEDGER_STATE]", "账本和执行目录所在的状态目录 [环境变量：UPLEDGER_STATE]";
    opt_json(): "One JSON object per line, for programs", "每行输出一个 JSON 对象，供程序读取";
    opt_quiet(): "Print results and errors only", "只输出结果和错误";
    opt_color(): "Colours: auto, always or never; auto: on a terminal, unless NO_COLOR is set", "颜色：auto、always 或 never；auto 为仅在终端中使用，设置了 NO_COLOR 则不用";
    opt_lang(): "Language of the screens, en or zh; default: UPLEDGER_LANG, the configuration, the locale",
        "界面语言：en 或 zh；不指定时依次取自 UPLEDGER_LANG、配置文件、系统区域设置";

    cmd_init(): "Write a commented plan to start from", "生成带注释的起始计划";
    cmd_check(): "Check a plan; errors point at the line", "检查计划；报错指向所在行";
    cmd_plan(): "Show what a plan would do now, and its rollback; changes nothing", "预览计划的执行与回退；不做任何变更";
    cmd_schema(): "Print the JSON Schema of plans, for editors", "输出计划的 JSON Schema，供编辑器使用";
    cmd_run(): "Run a plan", "执行计划";
    cmd_status(): "Show the state of a run and the pending question", "查看运行状态和待确认的问题";
    cmd_watch(): "Follow a run that another process executes; changes nothing", "实时跟踪另一个进程正在执行的升级；不做任何变更";
    cmd_runs(): "List all runs", "列出所有运行";
    cmd_resume(): "Continue a run after a crash, a pause or a decision", "在崩溃、暂停或人工处理之后恢复运行";
    cmd_decide(): "Decide about a step that is in doubt or has failed", "为结果未知或失败的步骤选择处理方式";
    cmd_pause(): "Stop before the next step", "在下一个步骤之前暂停运行";
    cmd_abort(): "End the run before the next step; completed steps are not undone", "在下一个步骤之前终止运行；已执行的步骤保持原状";
    cmd_kill_step(): "Kill the running command", "强制结束正在执行的步骤";
    cmd_amend(): "Change steps of a run that have not succeeded", "修改运行中尚未成功的步骤";
    cmd_rollback(): "Undo what a run did", "回退已执行的步骤";
    cmd_note(): "Add a note to the record", "在时间线上添加备注";
    cmd_log(): "Show events, or the output of a step", "查看事件或某个步骤的输出";
    cmd_replay(): "Show the state after a given event", "重现某一事件之后的状态";
    cmd_timeline(): "Write the timeline of a run: a page, a post-mortem, or data for other programs", "输出运行的时间线：网页、复盘报告，或供其他程序使用的数据";
    cmd_report(): "Write the compliance report of a run, or list the runs of a period", "输出运行的合规报告，或某一时段的运行清单";
    report_format(): "html (default), md or json", "html（默认）、md 或 json";
    report_out(): "Write to this file, which must not exist; the file name extension selects the format: .html, .md, .json",
        "写入此文件（不得已存在）；格式由扩展名决定：.html、.md、.json";
    report_runs(): "Instead of one run: all that began in this time; RFC 3339 dates or date-times, either end may be left out", "改为列出此时段开始的全部运行；起止为 RFC 3339 日期或日期时间，均可省略";
    report_checkpoint(): "A checkpoint that was kept elsewhere: the report then says what it covers", "在他处保存的检查点文件；报告将说明其覆盖范围";
    cmd_verify(): "Verify the whole ledger", "验证整个账本";
    cmd_verifier(): "Print the auditor's script: a verifier in standard Python", "输出审计脚本：只用 Python 标准库的验证程序";
    cmd_export(): "Write the events of the ledger, one per line", "导出账本事件，每行一个";
    cmd_explain(): "Explain an exit code, an error or a word of the screens", "解释退出码、错误类型或界面用词";
    cmd_help(): "Print the help of a command", "显示某个命令的帮助";
    help_command(): "The command; all commands if omitted", "命令名；不指定时列出全部命令";
    cmd_ledger(): "Commands for the ledger itself", "账本自身的维护操作";

    cmd_completion(): "Print shell completion for commands, runs and steps", "输出 shell 自动补全代码（命令、运行、步骤）";
    cmd_man(): "Print the manual page, or write one for each command", "输出手册页，或为每个命令生成一页";
    completion_shell(): "Which shell; for its file: source <(upledger completion SHELL)", "哪种 shell；在其文件中写入：source <(upledger completion SHELL)";
    shell(file): "{file}", "文件 {file}";
    man_name(): "NAME", "名称";
    man_synopsis(): "SYNOPSIS", "用法";
    man_description(): "DESCRIPTION", "说明";
    man_options(): "OPTIONS", "选项";
    man_commands(): "SUBCOMMANDS", "子命令";
    man_version(): "VERSION", "版本";
    man_exit_status(): "EXIT STATUS", "退出码";
    man_files(): "FILES", "文件";
    man_environment(): "ENVIRONMENT", "环境变量";
    man_examples(): "EXAMPLES", "示例";
    man_see_also(): "SEE ALSO", "另见";
    file_state(): "The state directory of root; of another user ~/.local/state/upledger", "root 的状态目录；其他用户为 ~/.local/state/upledger";
    file_ledger(): "The ledger: an SQLite database, the only state", "账本：SQLite 数据库，唯一的状态";
    file_jobs(): "What the attempts of a step printed and how they ended", "各步骤每次执行的输出和结果";
    file_undo(): "Former content of files, for rollbacks; readable by its owner alone", "供回退使用的文件原内容；只有属主可读";
    file_memory(): "What is remembered of each ledger, so that an older copy is noticed; of another user ~/.local/share/upledger/memory",
        "各账本的链头记录，用于发现旧副本；其他用户为 ~/.local/share/upledger/memory";
    file_config(): "The configuration of a user; of all users /etc/upledger/config.yaml", "用户的配置；所有用户的配置为 /etc/upledger/config.yaml";
    env_state(): "The state directory, unless `--state` names one", "状态目录；`--state` 优先";
    env_memory(): "The directory of the memory", "链头记录所在的目录";
    env_lang(): "The language of the screens, en or zh, unless `--lang` names one", "界面语言，en 或 zh；`--lang` 优先";
    env_no_color(): "If set, no colours, unless `--color always` asks for them", "设置后不使用颜色；`--color always` 优先";
    env_log(): "Diagnostics on standard error, such as `debug`; they hold no text of a plan or a command",
        "输出到标准错误的诊断信息，例如 `debug`；不含计划和命令的内容";
    example_init(): "Writes a commented plan to start from.", "生成一份带注释的起始计划。";
    example_plan(): "Shows what a run would do now, and writes the resolved plan.", "显示现在执行会做什么，并写出已解析的计划。";
    example_run(): "Runs exactly that.", "完全按其执行。";
    example_status(): "Shows the state of the run and the pending question.", "显示运行状态和待确认的问题。";
    example_decide(): "Answers it; `upledger resume` continues.", "回答该问题；用 `upledger resume` 继续。";
    example_rollback(): "Shows what a rollback would undo; changes nothing.", "显示回退会撤销什么；不做任何变更。";
    example_verify(): "Verifies the ledger against a checkpoint that was kept elsewhere.", "对照另存的检查点验证账本。";
    man_dir(): "Write the pages of all commands to this directory", "将全部手册页写入此目录";

    reason(): "The reason, which is recorded", "原因，将写入记录";
    decide_step(): "The step to decide about", "待确认的步骤";
    decide_decision(): "The decision", "处理方式";
    decide_run(): "The run; the open one if omitted", "运行名；默认为未结束的运行";
    choice_done(): "Record it as done; its own check must pass", "记录为已完成；须通过该步骤自带的检查";
    choice_retry(): "Run it again", "重新执行";
    choice_skip(): "Continue without it", "跳过并继续";
    choice_fail(): "Treat it as failed", "判定为失败";
    note_text(): "The text of the note", "备注内容";
    note_run(): "The run that the note belongs to; the open one if omitted, else none", "所属运行；默认为未结束的运行，没有则不属于任何运行";
    run_plan(): "The plan, or the output of `plan --out`", "计划文件，或 `plan --out` 的输出";
    rollback_reason(): "The reason, which is recorded; required if the run has completed", "原因，会记入账本；运行已完成时必填";
    amend_plan(): "Show what would change and what the changed steps would do, and change nothing", "只显示变更内容与变更后步骤的执行情况，不做任何修改";
    accept_data_loss(): "Accept the loss of all data written since the service was reopened: the rollback restores an older copy",
        "接受数据丢失：回退会恢复较早的备份，重新开放以来用户写入的数据将丢失";
    rollback_plan(): "Show what would be undone, in which order; changes nothing", "列出将回退的内容和顺序；不做任何变更";
    run_force(): "Run although steps are certain to fail; recorded with its reason", "即使有步骤必然失败也执行；连同原因一起记录";
    run_reason(): "Why --force is used; recorded", "使用 --force 的原因；会被记录";
    rollback_to(): "The last step to keep; every later step is undone", "最后一个保留的步骤；其后的步骤全部回退";
    verify_file(): "A ledger file, or exported events (.jsonl); this machine's ledger if omitted",
        "账本文件，或导出的事件（.jsonl）；默认为本机账本";
    verify_checkpoint(): "A checkpoint that was kept elsewhere; can be repeated", "另行保存的检查点；可多次指定";
    export_jsonl(): "The default and only form: one event body per line, verifiable without SQLite", "默认格式，也是唯一的格式：每行一个事件，无需 SQLite 即可验证";
    export_out(): "Output file; standard output if omitted; an existing file is not overwritten",
        "输出文件；默认为标准输出；不覆盖已有文件";
    ledger_restored(): "Record that an older or a different copy of the ledger is used from now on", "账本恢复为旧副本或另一份副本后，记录此事并继续使用";
    explain_code(): "An exit code, a kind of error or a word of the screens, such as `in doubt`; `words` lists them; all of them with their meanings if omitted", "退出码、错误类型或界面用词，如 `结果未知`；`words` 列出全部名称；不指定时连同解释全部列出";
    init_file(): "Output file", "输出文件";
    init_template(): "The template to start from", "起始模板";
    template_blank(): "Three commands with their probes and undos", "三个命令，附探测与撤销";
    template_django(): "An upgrade of a Django application with a worker", "Django 应用及其 worker 的升级";
    var(): "A variable of the plan, in place of the one under `vars`; recorded, and part of the digest", "计划变量，取代 `vars` 中的值；记入账本并计入计划哈希值";
    vars(): "A file with variables: a YAML map of names and values", "变量文件：名称与值的 YAML 映射";
    the_plan(): "The plan", "计划文件";
    plan_out(): "Write the resolved plan, so that exactly what was approved can be run", "写出已解析的计划：批准的内容就是执行的内容";
    plan_details(): "Show all settings of each step", "列出计划对每个步骤的全部说明";
    run(): "The run; the open or newest one if omitted", "运行名；默认为未结束的或最近的运行";
    log_run(): "The run; all events of the ledger if omitted, but with --output the newest run",
        "运行名；默认为账本的全部事件，与 --output 合用时为最近的运行";
    log_follow(): "Keep printing new events", "持续输出新事件";
    log_output(): "Print the output of this step instead of events", "改为显示该步骤的输出";
    replay_run(): "The run; the newest one at that event if omitted", "运行名；默认为当时最近的运行";
    timeline_format(): "Format of the timeline", "输出格式";
    format_html(): "A self-contained HTML page (default)", "独立网页（默认）";
    format_md(): "A post-mortem", "复盘报告";
    format_csv(): "For spreadsheets", "电子表格";
    format_json(): "For programs", "供程序读取";
    format_chrome(): "Perfetto: for ui.perfetto.dev and chrome://tracing", "Perfetto：用于 ui.perfetto.dev 和 chrome://tracing";
    format_otlp(): "OpenTelemetry", "OpenTelemetry（链路跟踪）";
    format_mermaid(): "A Gantt chart", "甘特图";
    format_grafana(): "Annotations", "注释";
    timeline_out(): "Write to this file, which must not exist; the file name extension selects the format: .html, .md, .csv, .json, .mmd",
        "写入此文件（不得已存在）；格式由扩展名决定：.html、.md、.csv、.json、.mmd";
    timeline_beside(): "Compare with this run, step by step, as html, md, csv or json", "与此运行按步骤对比；格式为 html、md、csv 或 json";
    timeline_beside_ledger(): "Take the run to compare with from a copy of another ledger (its file or directory, or exported .jsonl), which is verified and not changed; its newest run without --beside",
        "从另一份账本的副本（账本文件、目录或导出的 .jsonl）中取对比的运行；先验证，不修改；未指定 --beside 时取其中最近的运行";
    replay_at(): "The last event to apply", "截止到此事件";
    cmd_demo(): "Run a real upgrade of a small web shop, in its own directory", "演示：在独立目录中实际升级一个小型网店";
    demo_kill(): "Kill the runner with SIGKILL during the migration, then resume the run",
        "在迁移途中用 SIGKILL 杀死执行进程，然后恢复运行";
    demo_fail(): "Upgrade to a broken release, then roll back", "升级到有缺陷的版本，然后回退";
    demo_dir(): "An empty directory to use; default: a new one in the system's directory for temporary files",
        "使用的空目录，结束后保留；默认在系统临时目录中创建";
}
