//! A model of everything that an upgrade stands on: the durable record, two runners, job directories with their tokens and
//! locks, supervisors that come late or die, commands that do half of it, power cuts, meddling hands and people.
//!
//! `world` is what the machine holds, `acts` what can happen next, `runner` and `settle` what a runner does about it, in the
//! order of `src/runner` and `src/attempt` and by the decisions of this crate alone; `tale`, `truth` and `invariants` are
//! the judge; `explore` draws lives of such a world. `exhaustive` leaves out the machine and the crashes inside an attempt,
//! and looks at every history.

mod acts;
mod exhaustive;
mod explore;
mod invariants;
mod runner;
mod settle;
mod tale;
mod truth;
mod world;
