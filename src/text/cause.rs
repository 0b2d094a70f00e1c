//! Causes that the ledger's library names: its own words are the English ones.

texts! {
    // Where the ledger is.
    no_access(path, owner): "no access to {path}, which is owned by {owner}", "无权访问 {path}，它属于 {owner}";
    not_ours(path, owner, us): "{path} is owned by {owner}, not by the current user ({us})", "{path} 属于 {owner}，而不是当前用户（{us}）";
    absent(path): "there is no state directory {path}", "状态目录 {path} 不存在";
    symlink(path): "{path} is a symbolic link", "{path} 是符号链接";
    hard_links(path, links): "{path} has {links} hard links", "{path} 有 {links} 个硬链接";
    too_open(path, mode): "{path} has mode {mode}: others have access (chmod go= {path})",
        "{path} 的权限是 {mode}，其他用户可以访问；收紧：chmod go= {path}";
    exposed(path, parent): "{parent}, above {path}, is world-writable, so any user could replace it (chmod o-w {parent})",
        "{path} 的上级目录 {parent} 任何用户都可写，因而可能被替换；收紧：chmod o-w {parent}";
    network(path, name): "{path} is on {name}, a file system whose locks and fsync are not reliable",
        "{path} 位于 {name} 文件系统，其文件锁和落盘不可靠";

    // Checkpoints.
    checkpoint_lines(): "a checkpoint is exactly three lines, each ended by a line feed", "检查点应恰好三行，每行以换行符结束";
    checkpoint_origin(): "the first line of a checkpoint is `upledger.local/` and 32 hexadecimal digits",
        "检查点第一行应为 `upledger.local/` 加 32 位十六进制数字";
    checkpoint_size(): "the second line of a checkpoint is a decimal number without leading zeros", "检查点第二行应为十进制数字，不带前导零";
    checkpoint_root(): "the third line of a checkpoint is 32 bytes in padded base64", "检查点第三行应为 32 字节的 base64，含末尾的 =";

    no_file(path): "there is no ledger {path}", "账本文件 {path} 不存在";

    // What is remembered of the ledger.
    shorter(path): "the ledger {path} is shorter than remembered (an older or incomplete copy)", "账本 {path} 比本机记录的短（旧副本，或被截断）";
    rewritten(path): "the ledger {path} does not match the remembered one (its events differ)", "账本 {path} 与本机记录的不一致（事件内容不同）";
    foreign(path): "the ledger {path} is not the remembered ledger", "账本 {path} 不是本机记录过的那一个";
    elsewhere(path): "this machine knows this ledger at {path}; the one here is a copy, or the ledger was moved", "本机记录的账本在 {path}，当前位置是它的副本，或它已被移动";
    missing(path): "the ledger {path} is missing", "账本 {path} 已不存在";
    remembered(how, size, id): "{how}; remembered: {size} events of {id}", "{how}：本机记录有 {size} 个事件，标识 {id}";
    remembered_and_found(how, size, id, found, other): "{how}; remembered: {size} events of {id}; found: {found} events of {other}",
        "{how}：本机记录有 {size} 个事件，标识 {id}；现有 {found} 个事件，标识 {other}";

    secret(name, why): "the secret {name} cannot be read: {why}", "密钥 {name}：{why}";

    // The directory of what is remembered, and events that are not understood.
    memory_inside(memory, state): "the memory {memory} lies inside the state directory {state}", "链头记录目录 {memory} 位于状态目录 {state} 之内";
    memory_damaged(path, what): "the memory file {path} is damaged ({what}): check the ledger against a checkpoint held elsewhere, then record `ledger restored` with a reason",
        "链头记录文件 {path} 已损坏（{what}）：请先用另行保存的检查点核对账本，再用 `ledger restored` 记录原因";
    memory_of_another(path, what): "the memory file {path} cannot be read ({what}), so that this ledger, of which nothing is remembered here, may be a copy of the one that it is about: check it against a checkpoint held elsewhere, then record `ledger restored` with a reason",
        "链头记录文件 {path} 无法读取（{what}），本机又没有此账本的记录，它可能是该文件所记账本的副本：请先用另行保存的检查点核对，再用 `ledger restored` 记录原因";
    memory_place(why): "the memory's directory cannot be used: {why}", "链头记录目录不可用：{why}";
    memory_io(what, path, why): "cannot {what} {path}: {why}", "无法访问链头记录 {path}（{what}）：{why}";
    unknown_event(seq, kind, why): "event {seq} has a kind or a shape that this version does not support: {kind}: {why}",
        "此版本不支持事件 {seq} 的类型或结构：{kind}（{why}）";
    impossible_event(seq, why): "event {seq} cannot follow those before it: {why}", "事件 {seq} 与之前的事件不能相容：{why}";
    short(): "the disk with the ledger is full; the space that was set aside holds the record of what was done", "账本所在磁盘已满；预留空间已用于记录已执行的操作";
    not_held(why): "another runner may be active: {why}", "可能另有执行进程：{why}";

    // What a verification found to be wrong.
    bad_event(fault): "an event breaks the format: {fault}", "事件不符合格式（{fault}）";
    bad_schema(fault): "the schema is not the one of the format: {fault}", "账本的表结构与格式不符（{fault}）";
    bad_integrity(found): "integrity_check: {found}", "SQLite 完整性检查（integrity_check）：{found}";
    unreadable(why): "the file cannot be read: {why}", "无法读取账本文件：{why}";
    bad_checkpoint(size, why): "the checkpoint over {size} events does not hold: {why}", "覆盖 {size} 个事件的检查点不吻合：{why}";
    bad_stored_checkpoint(size, why): "the stored checkpoint over {size} events does not hold: {why}",
        "覆盖 {size} 个事件的内置检查点不吻合：{why}";
    checkpoint_row(): "its row has another size than its text", "其记录中的事件数与文本不一致";
    checkpoint_other(id): "it is about ledger {id}", "它属于账本 {id}";
    checkpoint_truncated(have): "truncated: only {have} events are there", "账本被截断：现只有 {have} 个事件";
    checkpoint_rewritten(root): "rewritten: the root over these events is {root}", "账本被改写：这些事件现在的 Merkle 根为 {root}";
    memory_disagrees(how): "the remembered head disagrees: {how}", "与本机另存的链头记录不符：{how}";
    nothing_to_restore(): "the ledger matches the remembered head; there is nothing to record", "账本与链头记录一致，无需记录";
    bad_blob(sha256): "blob {sha256} is not what its digest says", "数据块 {sha256} 的内容与其哈希值不符";
}
