//! Chinese screens of a whole night: their punctuation is full-width and their lists are joined by it, whatever is put into
//! a sentence; what was recorded, what is quoted and what is typed stay as they are.

use crate::common::{Done, World};
use regex::Regex;

const PLAN: &str = r#"
upledger: 1
name: 升级
change: {id: C-1, reason: 新版本, risk: low, impact: 无法访问, services: [web, db]}
vars: {z: "off", unused: x}
phases:
  - phase: 全部
    steps:
      - {id: packages, do: {run: [mkdir, -p, "@/dir/deep"]}, effect: idempotent, undo: none}
      - {id: files, do: {run: [mkdir, -p, "@/dir/deep"]}, effect: idempotent, undo: none}
      - {id: links, do: {run: [mkdir, -p, "@/dir/deep"]}, effect: idempotent, undo: none}
      - {id: saved, do: {run: [mkdir, -p, "@/dir/deep"]}, effect: idempotent, undo: none}
      - {id: inside, do: {run: [ls]}, cwd: "@/dir/deep", effect: pure}
      - {id: stopped, do: {expect.stopped: {processes: [no-such-aa, no-such-bb], ports: [1, 2]}}}
      - {id: left, do: {run: ["true"]}, when: {var: z, is: "on"}, effect: pure}
      - {id: edited, do: {file.replace: {path: "@/config", content: "a"}}}
      - {id: orders, do: {run: ["true"]}, effect: idempotent, retry: {times: 1, wait: 5s}, timeout: 1m, undo: {point_of_no_return: 已有订单}}
      - {id: fails, do: {run: ["false"]}, effect: idempotent, undo: {run: ["true"], effect: idempotent}}
      - {id: after, do: {run: ["true"]}, effect: pure}
"#;

fn speak(world: &World, args: &[&str]) -> Done {
    let mut command = world.command(args);
    command.env("UPLEDGER_LANG", "zh").env("COLUMNS", "200");
    Done::of(command.output().expect("the program starts"))
}

/// The cells of a screen that are Chinese, without what is recorded, quoted or typed in them, or said by the system.
fn ours(screen: &str) -> Vec<String> {
    let quoted = Regex::new(
        "`[^`]*`|'[^']*'|：[^：]*\\(os error [0-9]+\\)|探测结果：.*|upledger [a-z-]+ .*",
    )
    .expect("a pattern");
    let chinese = Regex::new(r"\p{Han}").expect("a pattern");
    let cells = screen
        .lines()
        .filter(|line| !line.trim_start().starts_with(['|', '$']))
        .flat_map(|line| line.split("  "));
    let cells = cells.map(|cell| quoted.replace_all(cell, "`").into_owned());
    cells.filter(|cell| chinese.is_match(cell)).collect()
}

/// Half-width punctuation that belongs to a Chinese sentence.
fn half_width(cell: &str) -> bool {
    let sign = Regex::new(r"[,;:] |[,;:!?()]\p{Han}|\p{Han}[,;:!?()]| \(|\) ").expect("a pattern");
    sign.is_match(cell)
}

fn assert_full_width(args: &[&str], screen: &str) {
    for cell in ours(screen) {
        assert!(!half_width(&cell), "{args:?}: {cell}\n{screen}");
    }
}

#[test]
fn half_width_signs_of_a_sentence_are_found() {
    for bad in [
        "会失败 5 个, 无法判断 4 个",
        "由探测判断是否完成; 结果未知时：等待",
        "可能由前面的步骤解决：packages, files, links，另有 1 个",
        "人工处理 slow: done",
        "不可逆点：slow (orders are in)",
        "错误：zz.yaml: 无法读取",
        "A: 结果",
    ] {
        assert!(half_width(bad), "{bad}");
    }
    assert!(!half_width("警告：plan.yaml:4：密钥 `db` 没有用到"));
    assert_eq!(
        ours("  | a, 中\n  0.5 s  process 1, 2"),
        Vec::<String>::new()
    );
}

#[test]
fn a_night_is_told_with_full_width_signs_alone() {
    let world = World::new();
    world.write("plan.yaml", PLAN);
    let told = |args: &[&str], code: i32, parts: &[&str]| {
        let done = speak(&world, args);
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        let screen = format!("{}{}", done.out, done.err);
        for part in parts {
            assert!(screen.contains(part), "{part}: {screen}");
        }
        assert_full_width(args, &screen);
    };
    told(
        &["check", "plan.yaml"],
        0,
        &["plan.yaml:", "：变量 `unused`"],
    );
    let plan = ["plan", "plan.yaml", "--details"];
    let named = "可能由前面的步骤解决：packages、files、links，另有 1 个";
    let parts = ["web、db", named, "no-such-aa、no-such-bb；端口 1、端口 2"];
    told(
        &plan,
        0,
        &[&parts[..], &["最长 1m；重试 1 次，间隔 5s", "个，"]].concat(),
    );
    told(&["check", "none.yaml"], 2, &["无法读取 none.yaml："]);
    told(
        &["init", "--template", "x"],
        2,
        &["可用的值：blank、django"],
    );
    told(
        &["report", "--runs", "2026"],
        2,
        &["应为 `起..止`，RFC 3339 日期"],
    );
    told(&["explain", "words"], 0, &["创建运行；"]);
    let force = ["run", "plan.yaml", "--force", "--reason", "试一次"];
    told(
        &force,
        1,
        &["使用 --force：试一次", "变量 z 为 'off'，不是 'on'"],
    );
    told(&["status"], 0, &["请选择："]);
    let decide = ["decide", "fails", "skip", "--reason", "不需要"];
    told(&decide, 0, &["已记录处理方式：skip"]);
    told(&["status"], 0, &["已记录 fails 的处理方式：skip（不需要）"]);
    told(&["resume"], 0, &["已完成"]);
    told(&["rollback", "--plan"], 0, &["不可逆点：已有订单"]);
    told(
        &["rollback", "--reason", "取消"],
        6,
        &["orders（已有订单）"],
    );
    let leave = ["decide", "orders", "skip", "--reason", "订单保留"];
    told(&leave, 0, &[]);
    told(&["resume"], 5, &[]);
    let left = ["orders（订单保留）", "packages、files、links、saved"];
    told(&["status"], 0, &left);
    told(&["log"], 0, &["fails：skip", "撤销 orders：skip"]);
    told(&["runs"], 0, &[]);
    told(&["timeline", "--format", "md", "--out", "night.md"], 0, &[]);
    let page = std::fs::read_to_string(world.path("night.md")).expect("written");
    assert!(
        page.contains("section 撤销 全部") || page.contains("section 撤销全部"),
        "{page}"
    );
    assert!(page.contains("| 序号 |"), "{page}");
}

/// What the program itself says is Chinese, whatever the record holds.
#[test]
fn what_the_program_says_itself_is_chinese() {
    let world = World::new();
    let plan = "upledger: 1\nname: x\nphases:\n  - phase: p\n    steps:\n      - {id: gone, do: {run: [ls]}, cwd: \"@/none\", effect: pure}\n";
    world.write("plan.yaml", plan);
    let run = speak(&world, &["run", "plan.yaml", "--force", "--reason", "x"]);
    assert_eq!(run.code, 1, "{run:?}");
    let path = world.path("none").display().to_string();
    let missing = format!("工作目录 {path} 不存在");
    assert!(run.out.contains(&missing), "{run:?}");
    assert!(run.out.contains("使用 --force：x；忽略："), "{run:?}");
    assert!(speak(&world, &["status"]).out.contains(&missing));
    let log = world.upledger(&["log", "--json"]).out;
    assert!(log.contains("--force: x; overridden: gone: "), "{log}");
    assert!(!log.contains("不存在"), "the record is English: {log}");
    let restored = speak(&world, &["ledger", "restored", "--reason", "x"]);
    assert_eq!(restored.code, 13, "{restored:?}");
    assert!(
        restored.err.contains("账本与链头记录一致，无需记录"),
        "{restored:?}"
    );
}

/// Each value of an option has a line of its own, and no command is broken.
#[test]
fn values_of_options_stand_below_each_other_in_help() {
    let world = World::new();
    let done = speak(&world, &["timeline", "--help"]);
    for (value, meaning) in [
        ("html", "独立网页（默认）"),
        ("md", "复盘报告"),
        ("csv", "电子表格"),
        ("json", "供程序读取"),
        ("mermaid", "甘特图"),
        ("grafana", "注释"),
    ] {
        let line = Regex::new(&format!(r"(?m)^ +- {value} +{meaning}$")).expect("a pattern");
        assert!(line.is_match(&done.out), "{value}: {}", done.out);
    }
    assert!(!done.out.contains("post-mortem"), "{}", done.out);
    for lang in ["en", "zh"] {
        let mut command = world.command(&["completion", "--help"]);
        let done = Done::of(
            command
                .env("UPLEDGER_LANG", lang)
                .output()
                .expect("it starts"),
        );
        let whole = "source <(upledger completion SHELL)";
        assert!(done.out.contains(whole), "{done:?}");
    }
}
