//! The program from outside, and the rooms that only its own tests can reach. One file per behaviour.

mod amend;
mod attempt;
mod barred;
mod before_contract;
mod bytes;
mod certain;
mod chinese;
mod common;
mod comparison;
mod config_set;
mod contract;
mod crash;
mod cron_others;
mod crontabs;
mod daemons;
mod data_plans;
mod demo;
mod deploy;
mod directories;
mod docs;
mod doubt;
mod env_steps;
mod environment;
mod face;
mod files;
mod guard;
#[path = "../staging/keeper.rs"]
#[expect(
    dead_code,
    reason = "shared with the other test target, which uses the rest of it"
)]
mod keeper;
mod kills;
mod looks;
mod machine;
mod one_run;
mod pages;
mod pip;
mod pip_files;
mod pip_index;
mod ports;
mod preview;
mod processes;
mod record;
mod releases;
mod report;
mod rollback;
mod run;
mod secrets;
mod shut_out;
mod stdout;
mod steer;
mod summary;
mod taking_over;
mod terminal;
mod tidy;
mod timeline;
mod torture;
mod undo_bytes;
mod undo_worlds;
mod upgrade;
mod words;
