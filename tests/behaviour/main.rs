//! The program from outside, and the rooms that only its own tests can reach. One file per behaviour.

mod attempt;
mod common;
mod crash;
mod crontabs;
mod daemons;
mod demo;
mod deploy;
mod docs;
mod doubt;
mod face;
mod files;
mod machine;
mod pip;
mod preview;
mod processes;
mod record;
mod releases;
mod run;
mod secrets;
mod stdout;
mod steer;
mod terminal;
mod tidy;
mod torture;
mod upgrade;
mod words;
