//! All tests of the ledger from outside, in one program: it is linked once, and an unused helper is a warning.

mod append;
mod canonical;
mod crash;
mod export;
mod file;
mod flip;
mod merkle;
mod moved;
mod page;
mod place;
mod seen;
mod support;
mod tamper;
mod together;
mod vectors;
