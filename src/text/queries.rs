//! Texts of what is expected of databases, and of the queries that ask them.

texts! {
    no_limit(setting): "`{setting}` needs `exactly`, `min` or `max`", "`{setting}` 需要 `exactly`、`min` 或 `max`";
    min_above_max(setting, min, max): "`{setting}`: `min` is {min}, but `max` is {max}", "`{setting}`：`min` 为 {min}，大于 `max`（{max}）";
    exactly(number): "exactly {number}", "恰好 {number}";
    at_least(number): "at least {number}", "至少 {number}";
    at_most(number): "at most {number}", "至多 {number}";
    expected_of(server, what): "on {server}: {what}", "{server}：{what}";
    rows(table, count): "rows of {table}: {count}", "{table} 的行数：{count}";
    exists(name): "{name} exists", "{name} 存在";
    absent(name): "{name} does not exist", "{name} 不存在";
    column_type(name, kind): "{name} of type {kind}", "{name} 的类型为 {kind}";
    nullable(name): "{name} may be NULL", "{name} 可为 NULL";
    not_null(name): "{name} may not be NULL", "{name} 不可为 NULL";
    equals(query, value): "{query} to return '{value}'", "{query} 返回 '{value}'";
    is_null(query): "{query} to return NULL", "{query} 返回 NULL";
    counts(query, count): "{query} to return {count}", "{query} 返回 {count}";
    matches(query, pattern): "{query} to return what matches {pattern}", "{query} 的结果匹配 {pattern}";
    writable(): "it takes writes, and is no replica", "可写，且不是副本";
    not_writable(): "it takes no writes, or is a replica", "不可写，或是副本";
    ask(server, query): "ask {server}, in a read-only session: {query}", "在只读会话中查询 {server}：{query}";
    nothing_expected(): "nothing is expected: set `rows`, `tables`, `columns`, `values` or `writable`", "没有给出任何预期：请设置 `rows`、`tables`、`columns`、`values` 或 `writable`";
    needs_database(setting): "`{setting}` requires `database`", "`{setting}` 需要 `database`";
    absent_beside(name): "`{name}`: `exists: false` leaves nothing to compare", "`{name}`：`exists: false` 时没有内容可供比较";
    one_answer(query): "`values`: set one of `equals`, `is_null`, `matches` and `count` for {query}", "`values`：{query} 须在 `equals`、`is_null`、`matches`、`count` 中给出且仅给出一个";
    no_query(query): "`{query}` is not a query: it must begin with SELECT, WITH, SHOW, EXPLAIN, DESCRIBE or CHECKSUM", "`{query}` 不是查询：须以 SELECT、WITH、SHOW、EXPLAIN、DESCRIBE 或 CHECKSUM 开头";
    several_statements(query): "`{query}` is more than one statement", "`{query}` 含有多条语句";
    writes(query, word): "`{query}` writes or waits ({word}); a query only reads", "`{query}` 会写入或等待（{word}）；查询只能读取";
}
