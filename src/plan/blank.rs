//! The plan that `init` writes: short, commented, and accepted by `check` as it is.

/// A starting plan.
pub const BLANK: &str = r#"# yaml-language-server: $schema=./upledger-plan.schema.json
#
# upledger check PLAN    is it complete? (errors point at the line)
# upledger plan PLAN     what would be done, and the way back; changes nothing
# upledger run PLAN      does it, and records it

upledger: 1
name: example ${version}
environment: staging
# change: {id: CR-1, reason: why this is done, risk: low, impact: what users notice, services: [example]}
on_failure: ask                # or: rollback

vars:                          # ${name} puts a value into a string below
  version: "2.0"
  root: /tmp/upledger-example
# secrets:                     # names and sources; values are never recorded
#   db: {env: DB_PASSWORD}     # or {file: PATH}, {command: [pass, show, db]}

phases:
  - phase: prepare
    steps:
      - id: space
        do: {run: [df, -h, /tmp]}              # a list is a command, word by word, without a shell
        effect: pure                           # it changes nothing, so there is nothing to undo

  - phase: upgrade
    steps:
      - id: directory
        do: {run: [mkdir, -p, "${root}"]}
        effect: idempotent                     # running it twice is as good as once
        undo: {run: [rmdir, "${root}"], effect: probed, probe: {run: [test, "!", -e, "${root}"]}}

      - id: release
        do: {shell: 'echo "$VERSION" > current.new && mv current.new current'}
        env: {VERSION: "${version}"}           # values reach a script by its environment; secrets too: {secret: db}
        cwd: ${root}
        probe: {run: [test, -e, "${root}/current"]}    # exit 0: done; 1: nothing of it happened; else: cannot tell
        verify: {run: [grep, -qx, "${version}", "${root}/current"]}
        effect: probed                         # without a probe: leave it out, and say `on_doubt: ask`
        undo: {run: [rm, -f, "${root}/current", "${root}/current.new"], effect: idempotent}
                                               # or `none`, or {point_of_no_return: why}
        timeout: 1m
        retry: {times: 1, wait: 5s}
"#;
