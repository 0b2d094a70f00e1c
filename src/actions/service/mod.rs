//! `service.*`: services of any kind, whoever manages them.

pub mod start;
pub mod stop;
