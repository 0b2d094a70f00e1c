//! Texts of the problems of plans: what is wrong, and what to do about it. What a library says of its own (the YAML
//! parser, the system) stays as it is; the problems of an action's settings are in `settings`.

texts! {
    // Around the source line.
    error(): "error", "错误";
    help(): "help", "建议";
    one_problem(): "1 problem", "1 个问题";
    problems(count): "{count} problems", "{count} 个问题";
    more_problems(count): "{count} more problems are not listed", "另有 {count} 个问题未列出";
    did_you_mean(word): "did you mean `{word}`?", "是否应为 `{word}`？";
    one_of(words): "one of {words}", "可用的有 {words}";

    // The file.
    cannot_read(path, why): "cannot read {path}: {why}", "无法读取 {path}：{why}";
    no_regular_file(): "it is not a regular file", "不是普通文件";
    other_encoding(name): "the text is in {name}, not in UTF-8", "文件编码是 {name}，不是 UTF-8";
    not_utf8(): "the text is not UTF-8", "文件内容不是 UTF-8";
    save_as_utf8(): "save the file as UTF-8", "请将文件另存为 UTF-8 编码";
    too_large(size, limit): "the file has {size} bytes; a plan has at most {limit}", "文件有 {size} 字节，计划最大为 {limit} 字节";
    right_file(): "is this the right file?", "请确认文件是否正确";
    nul(): "the file contains a NUL character", "含有 NUL 字符";
    plan_is_text(): "a plan is a text file", "计划须为纯文本";
    no_plan(): "this is not a plan", "这不是计划";
    empty(): "the plan is empty", "计划为空";
    init_writes_one(): "`upledger init` writes a template", "可用 `upledger init` 生成一份起始计划";

    // YAML.
    no_yaml(why): "not valid YAML: {why}", "不是有效的 YAML：{why}";
    tab(): "a tab in the indentation", "缩进中含有制表符";
    indent_with_spaces(): "YAML is indented with spaces", "YAML 须用空格缩进";
    second_document(): "more than one YAML document", "出现第二个 YAML 文档";
    one_document(): "a plan is one YAML document", "一份计划只能是一个 YAML 文档";
    alias_in_itself(): "an alias inside the value that it refers to", "别名出现在它所引用的内容之中";
    tag(): "a YAML tag", "使用了 YAML 标签";
    no_tags(): "plans do not use tags such as `!x`; remove it", "计划不需要 `!x` 之类的标签，请删去";
    bomb(nodes, bytes): "with its aliases expanded, the plan has more than {nodes} values or {bytes} bytes of text",
        "展开别名后，计划超过 {nodes} 个值或 {bytes} 字节文本";
    no_bombs(): "a plan of this size is a mistake, or an alias bomb", "这样大的计划多半是失误，或是别名炸弹";
    too_deep(levels): "nested deeper than {levels} levels", "嵌套超过 {levels} 层";
    key_is_a_word(): "a key must be a single word, not a list or a map", "键必须是标量，不能是列表或映射";
    twice(key, line): "duplicate key `{key}`; first used in line {line}", "键 `{key}` 在此处重复，首次出现在第 {line} 行";
    one_is_lost(): "YAML would silently keep only one of the two", "YAML 会静默丢弃其中一个，请只保留一个";
    merge(): "`<<` (merge key) is not supported in plans", "计划不支持 `<<`（合并键）";
    no_merge(): "write the keys in full, or use an alias for a whole value", "请把各键完整写出，或用别名引用整个值";

    wide_sign(): "Chinese punctuation where YAML needs ASCII", "此处须用英文（半角）标点，写成了中文（全角）标点";
    narrow_sign(code, sign): "write `{sign}` instead of {code}; if the character is meant literally, put the text in ASCII quotes",
        "请将 {code} 改为半角 `{sign}`；若确为文本内容，请用半角引号括起";
    wide_blank(): "white space that is not an ASCII space", "此处的空白不是半角空格";
    wide_digits(): "full-width digits where ASCII digits are needed", "此处须用半角数字，写成了全角数字";
    narrow_digits(digits): "write `{digits}`", "请改为 `{digits}`";
    narrow_blank(code): "write an ordinary space instead of {code}; such characters come from input methods and copied pages",
        "请将 {code} 改为半角空格；这类空白多来自输入法或复制的网页";
    quote_colon(): "text that contains `: ` must be quoted: `name: \"words: 2.0\"`",
        "含有 `: ` 的文本须加引号：`name: \"words: 2.0\"`";
    quote_sign(): "text that begins with a character such as %, @, *, & or ` must be quoted: `\"*.log\"`",
        "以 %、@、*、&、` 等符号开头的文本须加引号：`\"*.log\"`";
    quote_variable(): "a value that begins with `{{` must be quoted; variables are written `\"${{name}}\"`",
        "以 `{{` 开头的值须加引号；变量写作 `\"${{name}}\"`";
    key_colon(): "a key is followed by a colon and a space: `name: value`", "键之后须有冒号和空格：`name: value`";
    indent_alike(): "the keys of one map start in the same column, and so do the `-` of one list; check the previous line, too",
        "同一映射的各键须左对齐，同一列表的各 `-` 也须对齐；请同时检查上一行";
    comma_or_quote(): "unexpected text after the closing quote: a comma is missing, or the quote closes too early",
        "结束引号之后还有内容：缺少逗号，或引号结束得过早";
    close_quote(): "close the quote on the same line", "请在同一行内补上结束的引号";
    close_brackets(): "close each [ and {{ in the reverse order of opening", "请按顺序闭合每个 [ 和 {{";

    // What is missing.
    add_version(): "start the plan with `upledger: 1`", "请在开头写 `upledger: 1`";
    add_name(): "add `name: ` and a name for this change", "请加上 `name: ` 和本次变更的名称";
    add_phases(): "steps belong to phases: `phases:`, below it `- phase: name`, below that `steps:` with `- id: ...`",
        "步骤须写在阶段之下：`phases:` 之下是 `- phase: name`，其下是 `steps:` 和 `- id: ...`";
    add_id(): "add `id: ` and a short name, such as `id: migrate`", "请加上 `id: ` 和简短的名称，如 `id: migrate`";
    add_do(): "add the action: `do: {{run: [program, argument]}}`", "请加上要执行的动作：`do: {{run: [program, argument]}}`";
    step_for_phase(): "found a step where a phase is expected", "此处应为阶段，却写了步骤";

    // Types.
    action(): "an action", "动作";
    write_action(key): "write `{key}: {{run: [program, argument]}}`, or `{key}: {{shell: \"a script\"}}`",
        "请写 `{key}: {{run: [program, argument]}}`，或 `{key}: {{shell: \"脚本\"}}`";
    write_undo(): "write `undo: {{run: [program, argument]}}`, `undo: none` or `undo: {{point_of_no_return: reason}}`",
        "请写 `undo: {{run: [program, argument]}}`、`undo: none` 或 `undo: {{point_of_no_return: reason}}`";
    write_retry(): "write `retry: {{times: 3, wait: 10s}}`", "请写 `retry: {{times: 3, wait: 10s}}`";
    write_when(): "write `when: {{var: region, is: open}}`", "请写 `when: {{var: region, is: open}}`";
    write_env(): "write `env: {{NAME: value}}`", "请写 `env: {{NAME: value}}`";
    write_vars(): "write `vars: {{name: value}}`, or one `name: value` per line, without `-`", "请写 `vars: {{name: value}}`，或每行一个 `name: value`，前面不加 `-`";
    write_facts(): "write `facts: {{rows: {{json: .rows}}}}`", "请写 `facts: {{rows: {{json: .rows}}}}`";
    write_run(): "write a list of arguments: `run: [ls, -l]`; or a line for the shell: `shell: \"ls -l | wc -l\"`",
        "请逐词写成列表：`run: [ls, -l]`；或交给 shell 执行：`shell: \"ls -l | wc -l\"`";
    no_restart(family): "there is no restart action, so that stop and start are recorded separately: use `{family}.reload`, or `{family}.stop` and `{family}.start` as two steps",
        "没有 restart 动作，以便记录清楚每一步：请用 `{family}.reload`，或分为 `{family}.stop` 和 `{family}.start` 两个步骤";
    no_restart_at_all(family): "there is no restart action, so that stop and start are recorded separately: use `{family}.stop` and `{family}.start` as two steps",
        "没有 restart 动作，以便记录清楚每一步：请分为 `{family}.stop` 和 `{family}.start` 两个步骤";
    no_such_action(words): "any command can be written as `{{run: [program, argument]}}`; available actions: {words}",
        "任意命令可写作 `{{run: [program, argument]}}`；可用的动作有 {words}";
    one_action_each(): "a step has one action, written `do: {{run: [...]}}` without a `-`; put the second action in a separate step",
        "每个步骤只有一个动作，写作 `do: {{run: [...]}}`，前面不加 `-`；第二个动作请另写一个步骤";
    plain_digits(): "write a number, without quotes", "请只写数字，不加引号";
    expected_found(expected, found): "expected {expected}, found {found}", "应为：{expected}；实为：{found}";
    expected(expected): "expected {expected}", "应为：{expected}";
    in_range(min, max): "a number from {min} to {max}", "{min} 到 {max} 的整数";
    true_or_false(): "true or false", "true 或 false";
    text(): "text", "文本";
    string(): "a string", "字符串";
    boolean(): "a boolean", "true 或 false";
    number(): "a number", "数字";
    number_of(kind): "{kind}", "整数（{kind}）";
    fraction(): "a decimal number", "小数";
    nothing(): "an empty value", "空值";
    sequence(): "a list, such as [one, two]", "列表，例如 [one, two]";
    list(): "a list", "列表";
    map(): "a map", "映射";
    other(): "something else", "其他类型";
    no_variables_as_action(): "what is done is not chosen by a variable; write it out", "要执行的操作不能由变量决定，请直接写出";
    write_it_out(): "write the text out in full", "请直接写出完整内容";
    write_reference_out(): "write the name itself; a value would choose which one is meant", "请直接写出名称；否则变量的值会决定引用哪一个";
    env_file_value(): "an absolute path, or {{path: ..., dialect: ..., secrets: [...]}}", "绝对路径，或 {{path: ..., dialect: ..., secrets: [...]}}";
    no_fact_before_steps(): "the environment of all steps cannot hold a result of one of them", "所有步骤共用的环境不能引用某个步骤的输出";
    env_of_its_step(): "put it into the `env` of the steps that come after that one", "请写在其后各步骤自己的 `env` 中";
    env_value(): "text, {{secret: name}} or {{from: step.fact}}", "文本，{{secret: name}} 或 {{from: step.fact}}";
    undo_forms(): "`none`, {{point_of_no_return: reason}} or an action", "`none`、{{point_of_no_return: reason}} 或一个动作";
    header(): "text or {{secret: name}}", "文本或 {{secret: name}}";
    names(): "a name, or a list of names", "一个名称或名称列表";
    port(): "a port from 1 to 65535", "1 到 65535 的端口";
    not_a_port(): "a port is a number from 1 to 65535", "端口须为 1 到 65535 的数字";
    not_a_length(): "a duration needs a unit, such as 500ms, 10s, 30m, 1h30m or 2d",
        "时长须带单位，如 500ms、10s、30m、1h30m、2d";
    not_a_mode(): "a mode is three or four octal digits, such as \"0640\"", "文件权限须为三到四位八进制数字，如 \"0640\"";
    not_a_word(): "an argument of a command is text or {{from: step.fact}}", "命令的每个参数须为文本或 {{from: step.fact}}";
    unknown_key(key): "unknown key `{key}`", "未知的键 `{key}`";
    unknown_word(word): "`{word}` is not valid here", "此处不支持 `{word}`";
    such_as(example): "such as `{example}`", "例如 `{example}`";
    perhaps_meant(key): "`{key}` is missing here, and may be what was meant", "这里缺少 `{key}`，可能正是此项";
    missing(key): "the key `{key}` is missing", "缺少键 `{key}`";
    one_key(): "expected exactly one key here", "此处应当恰好有一个键";
    needs_settings(word): "`{word}` needs settings: write `{{{word}: ...}}`", "`{word}` 需要参数，请写成 `{{{word}: ...}}`";
    takes_nothing(word): "`{word}` takes no settings", "`{word}` 不接受参数";
    no_key(): "a value without a key", "有值而没有键";

    // The head of a plan.
    not_built(key): "`{key}` is not implemented yet", "`{key}` 尚未实现";
    promises(): "remove it; a plan with settings that would have no effect is refused",
        "请删去；计划中不得写有不会执行的内容，因此拒绝";
    plan_is_a_map(): "a plan is a map with the keys `upledger`, `name` and `phases`",
        "计划须为映射，包含键 `upledger`、`name` 和 `phases`";
    version(number): "version {number} of the plan format is not supported", "不支持计划格式版本 {number}";
    reads_version(number): "this program reads `upledger: {number}`", "本程序支持 `upledger: {number}`";
    plan_without_name(): "the plan's name is empty", "计划名称为空";

    // Variables.
    vars_are_a_map(): "`vars` is a map of names and values", "`vars` 须为名称到值的映射";
    no_variable_name(name): "`{name}` is not a valid variable name", "`{name}` 不能作为变量名";
    name_rule(): "a name consists of a-z, 0-9 and _, and starts with a letter", "名称由 a-z、0-9 和 _ 组成，以字母开头";
    variable_and_secret(name): "`{name}` is both a variable and a secret", "`{name}` 既是变量又是密钥";
    no_single_value(name): "the variable `{name}` is not a single value", "变量 `{name}` 不是单个值";
    variable_not_given(name): "the variable `{name}` has no value", "变量 `{name}` 没有值";
    give_variable(name): "give it with `--var {name}=VALUE` or in the file of `--vars`",
        "请用 `--var {name}=值` 给出，或写入 `--vars` 的文件";
    given_unknown(name): "the plan has no variable `{name}`", "计划中没有变量 `{name}`";
    given_secret(name): "`{name}` is a secret of the plan and cannot be given as a variable", "`{name}` 是计划中的密钥，不能作为变量给出";
    given_twice(name): "the variable `{name}` is given twice", "变量 `{name}` 给出了两次";
    given_is_a_map(): "the variables are not a map", "变量文件须为映射";
    no_assignment(): "this is not of the form NAME=VALUE", "不是 NAME=VALUE 的形式";
    assignment(): "for example `--var release=4.9.0`", "例如 `--var release=4.9.0`";
    resolved_has_variables(): "variables cannot be given for a resolved plan: it has its values already",
        "已解析的计划不能再给出变量：其中的值已经确定";
    resolve_with_variables(): "give them to `upledger plan --out`", "请在 `upledger plan --out` 时给出";
    cycle(names): "these variables refer to each other: {names}", "变量循环引用：{names}";
    break_the_cycle(): "give one of them a fixed value", "请让其中一个取固定值";
    open_variable(): "`${{` without its `}}`", "`${{` 缺少对应的 `}}`";
    literal_dollar(): "`$${{` is a literal `${{`", "若要原样写出 `${{`，请写 `$${{`";
    too_long(bytes): "longer than {bytes} bytes after variable substitution", "代入变量后超过 {bytes} 字节";
    too_much(bytes): "variable substitution produces more than {bytes} bytes of text", "变量代入的文本合计超过 {bytes} 字节";
    no_variable(name): "there is no variable `{name}`", "没有变量 `{name}`";
    define_variable(): "define it in `vars:`", "请在 `vars:` 中定义";
    define_or_literal(name): "define it in `vars:`, give it with `--var {name}=VALUE`, or write `$${{` for a literal `${{`",
        "请在 `vars:` 中定义，或用 `--var {name}=值` 给出；若要原样写出 `${{`，请写 `$${{`";
    no_run_name_yet(): "`${{run}}` is not known here: a run is named after its plan", "此处还没有 `${{run}}`：运行名由计划名生成";
    literal_run(): "a literal `${{run}}` cannot be written here: `${{run}}` is the name of the run", "此处不能原样写出 `${{run}}`：`${{run}}` 表示运行名";
    names_no_variable(name): "`${{{name}}}` is not a valid variable name", "`${{{name}}}` 不是有效的变量名";
    name_or_literal(): "a name consists of a-z, 0-9 and _; `$${{` is a literal `${{`",
        "变量名由 a-z、0-9 和 _ 组成；若要原样写出 `${{`，请写 `$${{`";
    variable_in_script(name): "`${{{name}}}` in a script: variables are not substituted in scripts",
        "脚本中出现 `${{{name}}}`：变量不会代入代码";
    pass_variable(name): "pass it with `env: {{NAME: \"${{{name}}}\"}}` and write \"$NAME\"; for a shell variable, write `$${{{name}}}`",
        "请用 `env: {{NAME: \"${{{name}}}\"}}` 传入，脚本中写 \"$NAME\"；若是 shell 自己的变量，请写 `$${{{name}}}`";
    fact_as_code(): "a fact as the code of an interpreter: values are not put into code", "输出变量作为解释器执行的代码：值不会代入代码";
    pass_fact(): "write the code as text and pass the fact as an argument behind it, or with `env: {{NAME: {{from: step.fact}}}}`",
        "代码请写成文本，输出变量作为其后的参数传入，或用 `env: {{NAME: {{from: step.fact}}}}` 传入";
    no_variables_in(key): "variables are not substituted in `{key}`", "`{key}` 中不能使用变量";
    no_variables_in_phase(): "variables are not substituted in the name of a phase", "阶段名称中不能使用变量";

    // Secrets.
    no_secret_name(name): "`{name}` is not a valid secret name", "`{name}` 不能作为密钥名";
    empty_secret_command(): "the command of this secret is empty", "该密钥的读取命令为空";
    secret_without_source(name): "the secret `{name}` has no source", "密钥 `{name}` 没有说明从何处读取";
    secret_sources(): "write {{env: NAME}}, {{file: PATH}} or {{command: [...]}}; the value itself must not appear in a plan",
        "请写 {{env: NAME}}、{{file: PATH}} 或 {{command: [...]}}；密钥的值不得写在计划中";
    no_secret(name): "there is no secret `{name}`", "没有密钥 `{name}`";
    define_secret(name): "define it: `secrets: {{{name}: {{env: NAME}}}}`", "请定义：`secrets: {{{name}: {{env: NAME}}}}`";
    secret_in_text(name): "`{name}` is a secret and cannot be substituted into text", "`{name}` 是密钥，不能代入文本";
    pass_secret(name): "pass it with `env: {{NAME: {{secret: {name}}}}}`: arguments and texts are recorded",
        "请用 `env: {{NAME: {{secret: {name}}}}}` 传入：参数和文本会被记入账本";
    secret_as_word(): "a secret cannot be a command argument", "密钥不能作为命令的参数";
    words_are_public(): "every user of the machine can read command arguments; pass it with `env: {{NAME: {{secret: name}}}}`",
        "本机任何用户都能看到命令的参数；请用 `env: {{NAME: {{secret: name}}}}` 传入";
    literal_secret(key): "a literal secret under `{key}`", "`{key}` 处直接写入了密钥的值";
    no_literal_secret(): "define it in `secrets: {{db: {{env: DB_PASSWORD}}}}` and pass it with `env: {{NAME: {{secret: db}}}}`; then change the secret, because it has been written down",
        "请在 `secrets: {{db: {{env: DB_PASSWORD}}}}` 中定义，用 `env: {{NAME: {{secret: db}}}}` 传入；密码已以明文写出，请随后更换";
    password_in_url(): "a password inside a URL", "URL 中直接写入了密码";
    no_password_in_url(): "remove it from the URL: git can take it from a credential helper, or use a key and `ssh://`; pass it to other commands with `env: {{NAME: {{secret: name}}}}`; then change the password, because it has been written down",
        "请从 URL 中删去：git 可用凭据助手（credential helper）取得，或改用 `ssh://` 与 SSH 密钥；其他命令用 `env: {{NAME: {{secret: name}}}}` 传入；密码已以明文写出，请随后更换";

    // Phases and steps.
    phases_are_a_list(): "`phases` is a list", "`phases` 须为列表";
    begin_phases(): "start each phase with `- phase: name`", "每个阶段以 `- phase: name` 开头";
    no_phase(): "a plan needs at least one phase", "计划至少要有一个阶段";
    phase_without_name(): "the phase's name is empty", "阶段名称为空";
    no_step(): "a phase needs at least one step", "阶段至少要有一个步骤";
    too_many_steps(limit): "more than {limit} steps", "步骤超过 {limit} 个";
    steps_are_a_list(): "`steps` is a list", "`steps` 须为列表";
    begin_steps(): "start each step with `- id: name`", "每个步骤以 `- id: name` 开头";
    no_id(id): "`{id}` is not a valid step id", "`{id}` 不能作为步骤 id";
    id_rule(): "an id consists of a-z, 0-9, _ and -, at most 64 characters, and starts with a letter or digit; put a description in `why:`",
        "id 由 a-z、0-9、_ 和 - 组成，最多 64 个字符，以字母或数字开头；中文说明请写在 `why:` 中";
    two_ids(id, line): "two steps have the id `{id}`; the first is in line {line}", "有两个步骤的 id 都是 `{id}`，前一个在第 {line} 行";
    unique_ids(): "give one of them another id; `decide`, `log` and `rollback --to` refer to steps by id",
        "请更改其中一个的 id；`decide`、`log` 和 `rollback --to` 都用它指明步骤";
    other_hosts(): "`on` does not support other hosts yet", "`on` 尚不支持其他主机";
    on_local(): "remove it, or write `on: local`", "请删去，或写 `on: local`";
    no_check(step): "`{step}` is not a read-only check, so it cannot be made after a rollback", "`{step}` 不是只读检查，回退后不能执行它";
    only_checks(): "`after_rollback` is for steps such as `http.check` and `expect.*`, without an undo",
        "`after_rollback` 只用于 `http.check`，`expect.*` 这类没有撤销操作的步骤";
    check_with_facts(step): "`{step}` uses the output of another step, which is undone when it is checked after a rollback",
        "`{step}` 引用了其他步骤的输出，而回退后检查时该步骤已被撤销";
    facts_are_undone(): "state the value itself, or leave `after_rollback` out", "请直接写出该值，或不用 `after_rollback`";
    no_look(kind, role): "`{kind}` cannot be used as a {role}: it is not read-only", "`{kind}` 不能用作 `{role}`：它不是只读操作";
    only_for(kind, only, given): "`{kind}` is only for plans with `environment: {only}`; this plan is for `{given}`",
        "`{kind}` 只能用于 `environment: {only}` 的计划；本计划的环境为 `{given}`";
    say_environment(only): "if all of this plan is for such an installation, set `environment: {only}` beside `name`",
        "若整个计划都针对该环境，请在 `name` 的同级写 `environment: {only}`";
    below_cwd(name): "`{name}` is relative to the step's `cwd`, and the step has none", "`{name}` 在步骤的 `cwd` 中查找，而该步骤没有 `cwd`";
    give_cwd(name): "set `cwd: /srv/app` beside `do`, or write an absolute path instead of `{name}`",
        "请在 `do` 的同级写 `cwd: /srv/app`，或用绝对路径代替 `{name}`";
    cwd_rule(): "a step runs in `/` unless `cwd` names an absolute path, wherever upledger is started",
        "步骤默认在 `/` 中执行，除非用 `cwd` 指定绝对路径；与在何处启动 upledger 无关";
    no_env_name(name): "`{name}` is not a valid name of an environment variable", "`{name}` 不能作为环境变量名";
    needs_probe(): "the effect `probed` needs a probe", "`effect: probed` 须配有探测（`probe:`）";
    write_probe(): "add a `probe:` that exits 0 when the step is done and 1 when it had no effect",
        "请编写 `probe:`：步骤已完成时退出码为 0，完全没有执行时为 1";
    undo_probe(): "the undo needs its own `probe:`", "撤销须有自己的 `probe:`";
    unsafe_step(id): "the step `{id}` is not safe to repeat and does not say what to do in doubt",
        "步骤 `{id}` 不可重复执行（`unsafe`），却没有说明结果未知时如何处理";
    say_doubt(): "add `on_doubt: ask` (or `retry`), or declare `effect: pure`, `idempotent`, or `probed` with a `probe:`",
        "请加上 `on_doubt: ask`（或 `retry`）；或声明 `effect: pure`、`idempotent`，或 `probed`（须编写 `probe:`）";
    no_undo(id): "the step `{id}` has no undo", "步骤 `{id}` 没有说明如何撤销";
    say_undo(): "add `undo: {{run: [...]}}`, `undo: {{point_of_no_return: reason}}`, `undo: none`, or `effect: pure` if it changes nothing",
        "请加上 `undo: {{run: [...]}}`、`undo: {{point_of_no_return: reason}}`（不可逆点）或 `undo: none`；若步骤只读，请写 `effect: pure`";
    no_return_needs_reason(): "a point of no return needs a reason", "不可逆点必须写明原因";
    no_return_alone(): "a point of no return takes only a reason", "不可逆点除原因外不能有其他内容";
    one_undo(): "an undo has exactly one action", "撤销只能有一个动作";
    undo_without_action(): "the undo has no action", "撤销没有指定动作";
    action_without_settings(): "the action needs settings", "该动作需要参数";
    timeout_rule(): "a timeout is greater than zero and at most 30d", "`timeout` 须大于 0，最长 30d";
    too_many_retries(limit): "at most {limit} retries", "最多重试 {limit} 次";
    pause_rule(): "a pause is at most 30d", "重试间隔最长 30d";

    // The order of an upgrade.
    too_early_here(early, late, rule): "`{early}` comes before `{late}`, but {rule}", "`{early}` 排在 `{late}` 之前，但{rule}";
    too_early(early, late, line, rule): "`{early}` comes before `{late}` (line {line}), but {rule}",
        "`{early}` 排在 `{late}`（第 {line} 行）之前，但{rule}";
    move_it(early, late): "move `{early}` after `{late}`, or explain this order in the `why:` of `{early}`; it is recorded",
        "请将 `{early}` 移到 `{late}` 之后；若顺序确实正确，请在 `{early}` 的 `why:` 中说明理由，理由会被记录";
    early_on_purpose(early, late, rule, why): "the step `{early}` comes before `{late}` although {rule}; why: {why}",
        "步骤 `{early}` 排在 `{late}` 之前，尽管{rule}；理由：{why}";
    never_reversed(id, what): "the step `{id}` {what}, and no later step undoes that", "步骤 `{id}` {what}，之后没有步骤将其恢复";
    closes_front(): "closes the front end", "关闭前端入口";
    switches_jobs_off(): "disables scheduled jobs", "停用定时任务";
    stops_beat(): "stops beat", "停止 beat";
    stops_workers(): "stops workers", "停止 worker";
    stops_web(): "stops the web service", "停止 Web 服务";
    front_closes_first(): "the front end closes before the services behind it stop",
        "应先关闭前端入口，再停止其后的服务";
    beat_stops_first(): "beat stops before the workers, otherwise it keeps filling their queues",
        "应先停止 beat，再停止 worker，否则 beat 会继续向队列投递任务";
    confirmed_after_stops(): "the check that everything has stopped comes after the last stop", "确认停止应在最后一个停止步骤之后";
    confirmed_before_starts(): "the check that everything has stopped comes before the first start", "确认停止应在任何服务重新启动之前";
    stopped_before_changes(): "code, dependencies and static files change after the services have stopped",
        "代码、依赖和静态文件应在服务停止之后再变更";
    confirmed_before_changes(): "code, dependencies and static files change after the check that everything has stopped",
        "代码、依赖和静态文件应在确认全部停止之后再变更";
    stopped_before_data(): "data is copied and migrated after the services have stopped", "数据应在服务停止之后再备份和迁移";
    confirmed_before_data(): "data is copied and migrated after the check that everything has stopped", "数据应在确认全部停止之后再备份和迁移";
    data_before_starts(): "services start after the data is copied and migrated", "服务应在数据备份和迁移完成之后再启动";
    configured_before_starts(): "services start after the configuration that they read is changed", "服务应在其读取的配置修改之后再启动";
    code_before_data(): "the new code is in place before its migrations and commands run", "应先就位新代码，再执行其迁移和命令";
    backup_before_migrate(): "data is copied before it is changed", "应先备份数据，再修改数据";
    migrate_before_commands(): "migrations come before the application's own commands", "应先执行迁移，再执行应用自己的命令";
    changed_before_starts(): "services start after code, dependencies and static files are in place",
        "服务应在代码、依赖和静态文件就位之后再启动";
    code_before_its_use(): "code changes first, then dependencies, then static files",
        "应先更新代码，再安装依赖，最后收集静态文件";
    built_before_switch(): "links are switched after everything that they lead to is built", "应先准备好链接指向的全部内容，再切换链接";
    live_before_stops(): "a phase with `live: true` runs before anything is stopped", "`live: true` 的阶段应在停止任何服务之前";
    reverse_start(): "services start in the reverse order of stopping", "服务应按停止的相反顺序启动";
    front_opens_last(): "the front end opens after the services behind it have started", "应在其后的服务全部启动之后再打开前端入口";
    schedule_last(): "scheduled jobs are enabled after the services have started", "定时任务应在服务启动之后再恢复";
    live_refused(id, kind): "`{id}` is in a phase with `live: true`, and `{kind}` as it is written changes what is in use",
        "`{id}` 位于 `live: true` 的阶段，而这样写的 `{kind}` 会改动正在提供服务的内容";
    live_migration(id): "`{id}` is in a phase with `live: true`, and a migration changes the database that the running service uses",
        "`{id}` 位于 `live: true` 的阶段，而数据库迁移会改动运行中的服务所用的数据库";
    live_behind_stop(): "move it to a phase after the stop", "请移到停止服务之后的阶段";
    live_without_current(): "leave out `current`, and switch the link with `release.switch` after the stop; or move the step after the stop",
        "请去掉 `current`，在停止服务之后用 `release.switch` 切换链接；或将该步骤移到停止服务之后";
    live_releases(): "use `releases` without `current`, and switch the link with `release.switch` after the stop; or move the step after the stop",
        "请使用 `releases` 而不写 `current`，在停止服务之后用 `release.switch` 切换链接；或将该步骤移到停止服务之后";
    live_into(): "name a directory of the release with `into`, and switch the link with `release.switch` after the stop; or move the step after the stop",
        "请用 `into` 指定新版本自己的目录，在停止服务之后用 `release.switch` 切换链接；或将该步骤移到停止服务之后";
    live_needs_why(id, kind): "`{id}` is in a phase with `live: true`, and whether `{kind}` changes what is in use cannot be determined",
        "`{id}` 位于 `live: true` 的阶段，而无法判断 `{kind}` 是否会改动正在提供服务的内容";
    say_why_live(): "say in `why:` why it does not; it is recorded; or move the step after the stop", "请在 `why:` 中说明它不会改动的理由，理由会被记录；或将该步骤移到停止服务之后";

    // Warnings: allowed, and still like a slip.
    shell_word(id, word): "the step `{id}` passes `{word}` to the program as an argument; it has a special meaning only in a script (`shell:`)",
        "步骤 `{id}` 把 `{word}` 作为普通参数传给程序；只有在脚本（`shell:`）中它才有特殊含义";
    foreign_variable(id, found, name): "the step `{id}` contains `{found}`, which is not substituted; a variable is written `${{{name}}}`",
        "步骤 `{id}` 中的 `{found}` 会原样保留；变量应写作 `${{{name}}}`";
    unused_variable(name): "the variable `{name}` is not used", "变量 `{name}` 没有用到";
    unused_secret(name): "the secret `{name}` is not used", "密钥 `{name}` 没有用到";
    quotes_in_name(): "the quotes around the plan's name are not ASCII quotes and are part of the name",
        "计划名称两侧的引号不是 ASCII 引号，因此成了名称的一部分";
    pure_with_undo(id): "the step `{id}` changes nothing (`effect: pure`) but has an undo",
        "步骤 `{id}` 是只读的（`effect: pure`），却写了撤销";
    facts_and_probe(id): "the step `{id}` has facts and a probe: if the probe finds it done, its facts are not known, and a step that needs them fails",
        "步骤 `{id}` 既有输出变量（`facts`）又有探测：若探测判断已完成，则得不到输出变量，需要它的步骤会失败";
    weak_filesystem(name): "the ledger is on {name}, which may not survive a power loss", "账本位于 {name} 上，断电时可能丢失";
    no_scope(): "systemd keeps no process of this user: a step may end with the login session or the unit that upledger was started in, before it is done; `loginctl enable-linger` as this user lets steps outlive both",
        "systemd 不会保留该用户的进程（未启用 linger）：登录会话或启动 upledger 的单元结束时，正在执行的步骤可能随之中断；以该用户执行 `loginctl enable-linger` 后，步骤不再受其影响";

    // Facts.
    no_fact_name(name): "`{name}` is not a valid fact name", "`{name}` 不能作为输出变量名";
    fact_name_rule(): "a name consists of a-z, 0-9 and _", "名称由 a-z、0-9 和 _ 组成";
    fact_path(): "a fact is read by a path such as `.rows` or `.hosts[0].id`", "输出变量须用路径读取，如 `.rows` 或 `.hosts[0].id`";
    fact_left_out(name): "the step that produces `{name}` is skipped in this run", "产生输出变量 `{name}` 的步骤在本次运行中不执行";
    fact_too_early(name): "`{name}` is not known yet", "输出变量 `{name}` 此时还没有值";
    facts_come_before(): "a fact must come from an earlier step", "只能引用前面步骤的输出变量";
    no_fact(name): "no earlier step produces the fact `{name}`", "前面没有步骤产生输出变量 `{name}`";
    facts_are_named(): "a fact is named `step.fact`: one of the step's `facts:`, or one that its action produces (see the plan reference)",
        "输出变量写作 `step.fact`：该步骤 `facts:` 中的一项，或其动作自身产生的一项（见 plan-reference）";
    step_hands_on(step, facts): "`{step}` produces {facts}", "`{step}` 的输出变量有 {facts}";
    fact_does_not_fit(fact, kind, why): "`{fact}` is {kind}, which does not fit here: {why}", "`{fact}` 是{kind}，不适用于此处：{why}";
    fact_not_here(fact): "the fact `{fact}` cannot be used here", "此处不能使用输出变量 `{fact}`";
    no_earlier_step(setting, step): "`{setting}` names the step `{step}`, and no earlier step has that id", "`{setting}` 指定的步骤 `{step}` 不存在于前面的步骤中";
    step_does_not_fit(setting, step, kind): "`{setting}` names the step `{step}`, which is a {kind}", "`{setting}` 指定的步骤 `{step}` 是 {kind}，不适用";
    used_step_left_out(setting, step): "`{setting}` names the step `{step}`, which is skipped in this run", "`{setting}` 指定的步骤 `{step}` 在本次运行中不执行";
    used_command_unverified(setting, step, kind): "`{setting}` names the step `{step}`, a {kind} without `verify`: nothing proves what it made", "`{setting}` 指定的步骤 `{step}` 是没有 `verify` 的 {kind}，无法证明其结果";
    used_command_no_undo(setting, step, kind): "`{setting}` names the step `{step}`, a {kind}: only the plan can say how that is restored", "`{setting}` 指定的步骤 `{step}` 是 {kind}，如何恢复只能由计划写明";
    give_verify(step): "give `{step}` a `verify` that checks the backup", "请为 `{step}` 写上检查备份的 `verify`";
    give_undo(step): "write an `undo` that restores what `{step}` saved, or `undo: {{point_of_no_return: ...}}`", "请写明恢复 `{step}` 所备份内容的 `undo`，或 `undo: {{point_of_no_return: ...}}`";
    name_a_step(kinds): "name an earlier step of one of these kinds: {kinds}", "请指定前面的步骤，类型须为：{kinds}";
    opens_otherwise(): "`closes` and `opens` do not name the steps that close and reopen the service", "`closes` 和 `opens` 与关闭、重新开放访问的步骤不一致";
    restores_otherwise(): "`restores` does not say whether the undo brings back older data", "`restores` 与回退时是否恢复旧数据不一致";
    uses_other_steps(): "`uses` does not hold the steps that its actions name", "`uses` 与动作中指定的步骤不一致";
    fact_printed(): "a printed value", "步骤打印的值";
    fact_path_kind(): "a path", "路径";
    fact_digest(): "a SHA-256 digest", "SHA-256 哈希值";
    fact_commit(): "a commit", "提交 id";
    cwd_wants_path(): "`cwd` is an absolute path", "`cwd` 须为绝对路径";
    cwd_value(): "an absolute path or {{from: step.fact}}", "绝对路径或 {{from: step.fact}}";
    fact_is_produced(kind, name): "`{kind}` produces a fact `{name}` itself", "`{kind}` 自身已产生输出变量 `{name}`";
    rename_fact(): "choose another name", "请换一个名称";

    // Resolved plans.
    not_resolved(why): "not a resolved plan: {why}", "不是已解析的计划：{why}";
    plan_writes_one(): "`upledger plan PLAN --out FILE` writes one", "可用 `upledger plan PLAN --out FILE` 生成";
    resolved_version(): "this version of the format is not supported", "不支持该文件的格式版本";
    wrong_digest(named, found): "the digest does not match the plan: stated {named}, computed {found}", "计划的哈希值不符：文件中记为 {named}，实际为 {found}";
    never_edited(): "a resolved plan must not be edited; change the plan and resolve it again",
        "已解析的计划不可手工修改；请修改原计划后重新解析";
    empty_phase(): "a phase without steps, or no phase at all", "有阶段没有步骤，或根本没有阶段";
    bad_id(id): "the id `{id}` is invalid or duplicated", "id `{id}` 无效或重复";
    of_step(id, what): "step `{id}`: {what}", "步骤 `{id}`：{what}";
    two_cwds(): "it has two working directories", "指定了两个工作目录";
    not_local(): "its targets are not `local`", "目标不是 `local`";
    unreadable_action(): "an action that this version cannot read", "含有本版本无法识别的动作";
    look_that_acts(): "a probe or verify action that is not read-only", "探测或验证不是只读操作";
    wrong_probe(): "its probe declaration is inconsistent", "关于探测的声明与实际不符";
    no_own_undo(): "its action has no undo of its own", "该动作没有自带的撤销";
    // The YAML parser's words.
    yaml_unclosed(sign): "unclosed bracket '{sign}'", "括号 '{sign}' 没有闭合";
    yaml_mapping(info): "{info}", "此处不能再有 `键: 值`（{info}）";
    yaml_key(info): "{info}", "键与值之间的冒号有误（{info}）";
    yaml_flow(info): "{info}", "括号内缺少逗号，或括号没有闭合（{info}）";
    yaml_quote(info): "{info}", "引号没有闭合或位置有误（{info}）";
    yaml_indent(info): "{info}", "缩进没有对齐（{info}）";
    yaml_sign(info): "{info}", "此处有不允许的字符（{info}）";
    yaml_anchor(info): "{info}", "锚点或别名有误（{info}）";
}
