//! Texts of the kinds `redis.*`: problems of their settings, and what they do.

texts! {
    no_command(name, new): "`server.rename`: '{name}: {new}' does not name two commands", "`server.rename`：'{name}: {new}' 不是两个命令名";
    backup_rdb(server, to): "save all databases of Redis {server}, and copy the RDB file to {to}", "保存 Redis {server} 的所有数据库，并将 RDB 文件复制到 {to}";
    backup_keys(keys, server, db, to): "copy the keys {keys} of Redis {server}, db{db}, to {to}", "将 Redis {server} db{db} 的键 {keys} 复制到 {to}";
    save_blocks(): "SAVE, because the server has no BGSAVE: it answers nobody meanwhile", "服务器没有 BGSAVE，使用 SAVE：期间不响应任何请求";
    last_save_failed(): "the last save of the server failed (rdb_last_bgsave_status:err)", "服务器上一次保存失败（rdb_last_bgsave_status:err）";
    save_is_running(): "a save of another is running; it is waited for", "已有一个保存正在进行，将等待其结束";
    is_replica(master): "it is a replica of {master}", "它是 {master} 的副本";
    databases(all): "databases: {all}", "数据库：{all}";
    brokers(all): "queues of Celery are in {all}: they are in the backup, and a restore refuses them", "{all} 中有 Celery 队列：备份会包含它们，恢复时会拒绝";
    restore_keys(server, step): "restore the keys of the backup {step} on {server}; declared keys that it does not have are removed",
        "在 {server} 上恢复备份 {step} 的键；备份中没有的已声明的键会被删除";
    restore_rdb(server, step): "stop {server}, put the RDB file of the backup {step} in place, and start it again", "停止 {server}，放回备份 {step} 的 RDB 文件，再启动";
    redis_at(place): "Redis {place}", "Redis（{place}）";
    redis_of_backup(): "the Redis server of the backup", "备份所属的 Redis 服务器";
    undo_keys(): "restore the keys as they were before", "将这些键恢复为之前的内容";
    undo_rdb(): "stop the server, put its former files back, and start it again", "停止服务器，放回原来的文件，再启动";
    append_only(dir): "the server is in append-only mode: {dir} is moved aside, and made anew from the backup", "服务器处于 append-only 模式：{dir} 会被移开，并由备份重新生成";
    replicas(all): "its replicas take over what is restored: {all}", "其副本会同步恢复后的数据：{all}";
    backup_to_come(step): "the backup {step} has not run yet: its file is checked when the step runs", "备份 {step} 尚未执行：其文件在执行本步骤时检查";
    keys_only(setting): "`{setting}` applies to backups of `keys` only", "`{setting}` 只适用于 `keys` 备份";
    rdb_only(setting): "`{setting}` has no effect together with `keys`", "`{setting}` 与 `keys` 同时使用没有意义";
    nothing_expected(): "nothing is expected: set `keys`, `count`, `role`, `saves` or `max_keys`", "没有给出任何预期：请设置 `keys`、`count`、`role`、`saves` 或 `max_keys`";
    absent_beside(key): "`keys.{key}`: `exists: false` leaves nothing to compare", "`keys.{key}`：`exists: false` 时没有内容可供比较";
    expected_of(server, db, what): "Redis {server}, db{db}: {what}", "Redis {server} db{db}：{what}";
    key_exists(key): "{key} exists", "{key} 存在";
    key_absent(key): "{key} does not exist", "{key} 不存在";
    key_of(key, parts): "{key} with {parts}", "{key}，{parts}";
    of_type(kind): "type {kind}", "类型为 {kind}";
    of_value(value): "the value '{value}'", "值为 '{value}'";
    of_length(length): "length {length}", "长度为 {length}";
    with_ttl(): "a time to live", "有存活时间";
    without_ttl(): "no time to live", "没有存活时间";
    ttl_at_least(time): "a time to live of at least {time}", "存活时间至少 {time}";
    ttl_at_most(time): "a time to live of at most {time}", "存活时间至多 {time}";
    count(pattern, count): "keys that match {pattern}: {count}", "匹配 {pattern} 的键数：{count}";
    keys_at_most(number): "at most {number} keys (DBSIZE)", "键至多 {number} 个（DBSIZE）";
    role_is(role): "role {role}", "角色为 {role}";
    saves_well(): "its last save and its append-only file are ok", "最近一次保存与 append-only 文件均正常";
}
