//! The situations of `cards/databases` that concern MariaDB, each decided by what the two actions do.
