//! Real upgrades of a real platform: Django, Celery, MariaDB, Redis, Nginx, all private to the test. See `README.md`.

mod acceptance;
mod celery_drain;
mod celery_names;
mod celery_services;
#[path = "../behaviour/common.rs"]
#[expect(
    dead_code,
    reason = "shared with the other test target, which uses the rest of it"
)]
mod common;
mod config_readers;
mod django_entry;
mod fixture;
mod gunicorn;
mod hooks;
mod keeper;
mod killed;
mod lies;
mod living;
mod migrate;
mod migrate_failures;
mod migrate_fake;
mod migrate_kills;
mod migrate_refusals;
mod migrate_twice;
mod mysql;
mod mysql_cards;
mod mysql_expect;
mod nginx;
mod nights;
mod outage;
mod pip;
mod platform;
#[path = "../behaviour/ports.rs"]
mod ports;
mod postgres;
mod previews;
mod programs;
mod redis_backup;
mod redis_restore;
mod redis_server;
mod secrets;
mod services;
mod shipped_plan;
mod small;
mod static_files;
mod story;
mod switch;
