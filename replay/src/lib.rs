//! Events, the fold and every decision of an upgrade run.
//!
//! Pure: no file, clock, process or random number can be reached from here, because the crate is `no_std`. In reading
//! order: [`plan`] is what runs, [`event`] what happened, [`state`] and [`runs`] what
//! that amounts to (folded by `fold` as the table in `transition` allows, found by `index`; [`savepoint`] takes back what
//! was not to be, [`facts`] are what steps hand on; `text` reads events, `spec` the actions of a plan), [`decide`] what comes next, [`needs`] what that
//! will use, [`verdict`] what a look at a job directory means, [`attempt`] what becomes of an attempt, [`contract`] which
//! runs of earlier programs go on, [`amend`] how another plan takes the place of the run's own.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::wildcard_enum_match_arm
    )
)]

extern crate alloc;

pub mod amend;
pub mod attempt;
pub mod contract;
pub mod decide;
pub mod event;
pub mod facts;
mod fold;
mod index;
pub mod loss;
pub mod needs;
pub mod own;
pub mod plan;
pub mod runs;
pub mod savepoint;
mod spec;
pub mod state;
mod text;
mod transition;
pub mod verdict;
