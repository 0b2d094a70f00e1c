//! How fast the ledger appends, opens and verifies on this machine: `cargo bench -p upledger-ledger`.
//!
//! The first argument is the number of events (100,000 if there is none). Appends are durable, so their speed is the
//! disk's; set TMPDIR to choose the disk.

use serde_json::json;
use std::io::Write as _;
use std::time::Instant;
use upledger_ledger::{Append, Draft, Identity, Ledger, Memory, Place, VerifyOptions, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events: usize = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000);
    let home = tempfile::tempdir()?;
    let place = Place::open_or_create(&home.path().join("state"))?;
    let memory = Memory::at(&home.path().join("memory"))?;
    let identity = Identity {
        actor: "alice".into(),
        host: "bk-paas-01".into(),
        session: json!({"uid": 1000}),
    };
    let draft = |n: usize| {
        Draft::of_run(
            format!("bklog-4.9.0-{}", n / 1000),
            "step.started",
            json!({"step": format!("migrate-{n}"), "attempt": 1, "argv": ["/usr/bin/python3", "manage.py", "migrate"]}),
        )
    };
    let mut ledger = Ledger::create_or_open(place.clone(), memory.clone(), identity)?;

    let single = 200;
    let start = Instant::now();
    for n in 0..single {
        ledger.append(&ledger.head(), &[draft(n)], &Append::default())?;
    }
    print_rate("append, one event a commit", single, start)?;

    let start = Instant::now();
    let drafts: Vec<Draft> = (single..events).map(draft).collect();
    for batch in drafts.chunks(1000) {
        ledger.append(&ledger.head(), batch, &Append::default())?;
    }
    print_rate("append, 1,000 events a commit", events - single, start)?;

    let start = Instant::now();
    let reader = Ledger::open_read(place.clone(), Some(memory.clone()))?;
    print_rate("open (schema, whole chain, memory)", events, start)?;

    let start = Instant::now();
    for record in reader.read_all() {
        record?;
    }
    print_rate("read every record", events, start)?;

    let start = Instant::now();
    let report = verify(
        &place.ledger_path(),
        &VerifyOptions {
            memory: Some(memory),
            ..VerifyOptions::default()
        },
    )?;
    print_rate("verify (and integrity_check)", events, start)?;
    let bytes = std::fs::metadata(place.ledger_path())?.len();
    writeln!(
        std::io::stdout(),
        "{} events, {bytes} bytes, {}",
        report.events,
        report.level
    )?;
    Ok(())
}

fn print_rate(what: &str, events: usize, start: Instant) -> std::io::Result<()> {
    let took = start.elapsed();
    let each = took.as_nanos() / u128::try_from(events.max(1)).unwrap_or(1);
    let rate = 1_000_000_000 / each.max(1);
    writeln!(
        std::io::stdout(),
        "{what:<36} {events:>8} events in {took:>10.2?}: {rate:>8} events/s"
    )
}
