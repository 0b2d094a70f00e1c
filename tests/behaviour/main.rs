//! The program from outside: one file per behaviour, one binary, so that it links once.

mod attempt;
mod common;
mod crash;
mod deploy;
mod processes;
mod record;
mod run;
mod steer;
mod torture;
