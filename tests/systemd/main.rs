//! The program on machines with a real systemd, each booted by the test that uses it. See `README.md`.

mod fixture;
mod machine;
mod scopes;
mod services;
