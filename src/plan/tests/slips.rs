//! Proves: one mistake is one problem, and its remedy is said.

use super::load_text;

/// One mistake is one problem, with its remedy: what follows from it is not said beside it.
#[test]
fn a_typical_slip_is_one_problem() {
    let good = "upledger: 1\nname: x\nvars: {dir: /srv}\nphases:\n  - phase: p\n    steps:\n      - id: a\n        do: {file.line: {path: \"${dir}/x\", match: ^a, line: b}}\n      - id: b\n        do: {service.stop: {by: {supervisor: {program: x}}}}\n";
    load_text("p", good).expect("it is good");
    for (was, is, part, remedy) in [
        ("match: ^a", "matches: ^a", "`matches`", "`match`"),
        (
            "path: \"${dir}",
            "file: \"${dir}",
            "`file`",
            "`path` is missing here",
        ),
        ("file.line", "file.lines", "`file.lines`", "`file.line`"),
        ("${dir}/x", "${dri}/x", "`dri`", "`dir`"),
        ("vars: {dir: /srv}", "var: {dir: /srv}", "`var`", "`vars`"),
        (
            "vars: {dir: /srv}",
            "vars: [dir]",
            "`vars` is a map",
            "vars: {name",
        ),
        ("- id: b", "- id: a", "`a`", "another id"),
        ("- id: b", "- name: b", "`name`", "`id`"),
        ("- phase: p", "- name: p", "`name`", "`phase`"),
        ("    steps:", "    step:", "`step`", "`steps`"),
        ("phases:", "phase:", "`phase`", "`phases`"),
        (
            "{supervisor: {",
            "{supervisr: {",
            "`supervisr`",
            "`supervisor`",
        ),
        ("{program: x}", "{progam: x}", "`progam`", "`program`"),
        (
            "        do: {service",
            "      do: {service",
            "YAML",
            "column",
        ),
        ("{path:", "{path\u{ff1a}", "Chinese", "`:`"),
    ] {
        assert!(good.contains(was), "{was}");
        let problems = load_text("p", &good.replacen(was, is, 1))
            .expect_err(is)
            .problems;
        assert_eq!(problems.len(), 1, "{is}: {problems:#?}");
        let hint = problems[0].hint.as_deref().unwrap_or_default();
        assert!(problems[0].message.contains(part), "{is}: {problems:#?}");
        assert!(hint.contains(remedy), "{is}: {problems:#?}");
    }
}
