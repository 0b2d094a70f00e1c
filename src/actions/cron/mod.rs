//! Scheduled jobs: [`disable`] comments out exactly the lines of a crontab that match, [`enable`] takes such a comment
//! away.
//!
//! Both are one machine (`switch`) with two ways to say what a line becomes. What a line is, is `table`'s; where a
//! crontab lies and how it is written, `place`'s; which jobs are still at work, `running`'s. Left out: systemd timers
//! and Celery's beat, which are services.

pub mod disable;
pub mod enable;
mod others;
mod place;
mod running;
pub mod switch;
mod table;

#[cfg(test)]
mod tests;
