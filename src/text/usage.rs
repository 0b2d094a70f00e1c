//! Texts about a wrong command line.

texts! {
    unknown_argument(what): "unknown option or argument: {what}", "未知的选项或参数：{what}";
    unknown_command(what): "unknown command: {what}", "未知的命令：{what}";
    missing_command(): "a command is missing", "缺少命令";
    missing_argument(what): "missing: {what}", "缺少参数：{what}";
    missing_value(what): "a value is missing for {what}", "{what} 缺少值";
    wrong_value(value, what, valid): "{value} is not a valid value for {what}; valid values: {valid}", "{what} 的值 {value} 无效；可用的值：{valid}";
    wrong_value_because(value, what, why): "{value} is not a valid value for {what}: {why}", "{what} 的值 {value} 无效：{why}";
    range(): "a range is SINCE..UNTIL, each an RFC 3339 date or date-time, such as 2026-11-01..2026-11-30; either end may be left out", "应为 `起..止`，RFC 3339 日期或日期时间，如 2026-11-01..2026-11-30，两端均可省略";
    empty(): "it is empty", "内容为空";
    conflict(one, other): "{one} cannot be used with {other}", "{one} 不能与 {other} 同时使用";
    more(): "see: upledger --help", "帮助：upledger --help";
}
