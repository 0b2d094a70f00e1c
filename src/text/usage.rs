//! Texts about a wrong command line.

texts! {
    unknown_argument(what): "unknown option or argument: {what}", "未知的选项或参数：{what}";
    unknown_command(what): "unknown command: {what}", "未知的命令：{what}";
    missing_command(): "a command is missing", "缺少命令";
    missing_argument(what): "missing: {what}", "缺少参数：{what}";
    missing_value(what): "a value is missing for {what}", "{what} 缺少值";
    wrong_value(value, what, valid): "{value} is not a valid value for {what}; valid values: {valid}", "{what} 的值 {value} 无效；可用的值：{valid}";
    empty(): "it is empty", "内容为空";
    conflict(one, other): "{one} cannot be used with {other}", "{one} 不能与 {other} 同时使用";
    more(): "see: upledger --help", "帮助：upledger --help";
}
