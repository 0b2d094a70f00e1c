//! All that makes a backup or a restore refuse, looked at before anything changes.

use super::manifest::Needs;
use super::scratch::Site;
use crate::action::Error;
use crate::host::postgres::{Client, Row, literal};
use std::time::Duration;

/// Between two looks at the list of sessions, in seconds.
const PAUSE: f64 = 0.02;

/// The first column.
fn names(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.text(0)).collect()
}

/// What a database needs of a server.
pub(super) fn needs(client: &Client, database: &str) -> Result<Needs, Error> {
    // What the first role of a cluster owns is not here.
    let [roles, extensions, tablespaces] = client.each(
        database,
        [
            "SELECT DISTINCT r.rolname FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid \
             WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
            "SELECT extname, extversion FROM pg_extension",
            "SELECT DISTINCT t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE t.spcname <> 'pg_global'",
        ],
    )?;
    Ok(Needs {
        roles: names(&roles).into_iter().collect(),
        extensions: extensions
            .iter()
            .map(|row| (row.text(0), row.text(1)))
            .collect(),
        tablespaces: names(&tablespaces).into_iter().collect(),
    })
}

/// Refuses a database whose dump would leave something out, or whose copy would do more than be looked at.
pub(super) fn source(client: &Client, database: &str) -> Result<(), Error> {
    let [invalid, subscriptions] = client.each(
        database,
        [
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'",
            "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ],
    )?;
    if !invalid.is_empty() {
        return Err(Error::new(format!(
            "indexes of {database} are invalid, and a dump leaves them out: {}",
            names(&invalid).join(", ")
        ))
        .remedy("REINDEX INDEX CONCURRENTLY, or drop them"));
    }
    if !subscriptions.is_empty() {
        return Err(Error::new(format!(
            "{database} has subscriptions, whose state no dump holds: {}",
            names(&subscriptions).join(", ")
        ))
        .remedy("drop them before, or copy the whole cluster (pg_basebackup)"));
    }
    Ok(())
}

/// Refuses a server that cannot take the database: each thing that it lacks is named.
pub(super) fn target(site: Site<'_>, needs: &Needs) -> Result<(), Error> {
    let Site {
        client,
        maintenance,
        ..
    } = site;
    let [server, roles, extensions, tablespaces] = client.each(
        maintenance,
        [
            "SELECT pg_is_in_recovery(), (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user)",
            "SELECT rolname FROM pg_roles",
            "SELECT name FROM pg_available_extensions",
            "SELECT spcname FROM pg_tablespace",
        ],
    )?;
    let is = |column| server.first().is_some_and(|row| row.text(column) == "t");
    if is(0) {
        return Err(Error::new("the server is a replica, which takes no writes")
            .remedy("restore on the primary"));
    }
    let [roles, extensions, tablespaces] =
        [roles, extensions, tablespaces].map(|rows| names(&rows));
    let lacks = |what: &str, needed: Vec<&String>, there: &[String]| {
        let missing: Vec<&str> = needed
            .into_iter()
            .filter(|n| !there.contains(n))
            .map(String::as_str)
            .collect();
        (!missing.is_empty()).then(|| format!("{what} {}", missing.join(", ")))
    };
    let missing = [
        lacks("the roles", needs.roles.iter().collect(), &roles),
        lacks(
            "the extensions",
            needs.extensions.keys().collect(),
            &extensions,
        ),
        lacks(
            "the tablespaces",
            needs.tablespaces.iter().collect(),
            &tablespaces,
        ),
    ];
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    if !missing.is_empty() {
        return Err(Error::new(format!(
            "the server lacks what the backup needs: {}",
            missing.join("; ")
        ))
        .remedy("create the roles and tablespaces, install the packages of the extensions"));
    }
    if !is(1) {
        return Err(Error::new(
            "the role may not create databases, and a restore makes a new one first",
        )
        .remedy("ALTER ROLE ... CREATEDB, or use another role")
        .lasting());
    }
    Ok(())
}

/// Sessions, prepared transactions and replication slots that keep a database from being renamed and dropped.
pub(super) fn users(site: Site<'_>, database: &str) -> Result<Vec<String>, Error> {
    let name = literal(database);
    let rows = site.client.query(
        site.maintenance,
        &format!(
            "SELECT 'session ' || pid || ' of ' || COALESCE(usename, '?') || ' from ' || COALESCE(host(client_addr), 'this machine') \
             || ' (' || COALESCE(NULLIF(application_name, ''), 'no name') || ', ' || COALESCE(state, '?') || ' for ' || \
             COALESCE(extract(epoch FROM now() - state_change)::bigint, 0) || ' s)' \
             FROM pg_stat_activity WHERE datname = {name} AND pid <> pg_backend_pid() AND COALESCE(backend_type, '') <> 'autovacuum worker' \
             UNION ALL SELECT 'the prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = {name} \
             UNION ALL SELECT 'the replication slot ' || slot_name FROM pg_replication_slots WHERE database = {name}"
        ),
    )?;
    Ok(names(&rows))
}

/// Refuses while others use the database, and where somebody connects to it within that time, however short.
pub(super) fn others(site: Site<'_>, database: &str, watch: Duration) -> Result<(), Error> {
    let used = users(site, database)?;
    if !used.is_empty() {
        return Err(
            Error::new(format!("others use {database}: {}", used.join("; ")))
                .remedy("stop them, or end their sessions with pg_terminate_backend"),
        );
    }
    // The server counts sessions since 14; those that were shorter than a pause are in no list.
    let counter = match site.client.number >= 140_000 {
        true => format!(
            "SELECT NULL, sessions FROM pg_stat_database WHERE datname = {}",
            literal(database)
        ),
        false => "SELECT NULL, 0".to_owned(),
    };
    let list = format!(
        "SELECT DISTINCT pid, usename || ' from ' || COALESCE(host(client_addr), 'this machine') FROM pg_stat_activity \
         WHERE datname = {} AND COALESCE(backend_type, '') <> 'autovacuum worker'",
        literal(database)
    );
    let mut script = counter.clone();
    let mut passed = 0.0;
    while passed < watch.as_secs_f64() {
        script.push_str(&format!(
            ";\nDO $$BEGIN PERFORM pg_sleep({PAUSE}); END$$;\n{list}"
        ));
        passed += PAUSE;
    }
    script.push_str(&format!(";\n{counter}"));
    let rows = site.client.patiently(site.maintenance, &script)?;
    let count = |row: Option<&Row>| row.map_or(0, |row| row.number(1));
    // The first row and the last one are those of the counter.
    let made = count(rows.last()).saturating_sub(count(rows.first()));
    let mut seen: Vec<String> = rows
        .iter()
        .filter(|row| row.get(0).is_some())
        .map(|row| row.text(1))
        .collect();
    seen.sort();
    seen.dedup();
    if made == 0 && seen.is_empty() {
        return Ok(());
    }
    if seen.is_empty() {
        seen.push("too short to be seen".into());
    }
    Err(Error::new(format!(
        "others connect to {database} and may write to it: {} within {} ms: {}",
        made.max(seen.len() as u64),
        watch.as_millis(),
        seen.join("; ")
    ))
    .remedy("stop what connects"))
}
