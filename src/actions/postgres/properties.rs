//! What belongs to a database itself and is in no dump of it: encoding, collation, owner, privileges, settings.

use crate::action::Error;
use crate::actions::dump;
use crate::host::postgres::{Client, Row, ident, literal};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What belongs to a database itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseProperties {
    pub(super) owner: String,
    pub(super) encoding: String,
    pub(super) collate: String,
    pub(super) ctype: String,
    /// `c` for the C library, `i` for ICU, `b` for the server's own.
    pub(super) provider: String,
    /// The locale of another provider than the C library.
    pub(super) locale: String,
    pub(super) tablespace: String,
    /// How many connections it takes; -1 for any number.
    pub(super) connections: String,
    pub(super) comment: Option<String>,
    /// Grantee, privileges, and whether they may be passed on; none where they are the usual ones.
    pub(super) privileges: Option<Vec<(String, String, bool)>>,
    /// A role, or none for all, and `name=value`.
    pub(super) settings: Vec<(Option<String>, String)>,
}

/// Settings whose value is a list of names, which the server keeps with their quotes.
const LISTS: [&str; 5] = [
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
    "unix_socket_directories",
];

impl DatabaseProperties {
    /// Of a database; none where there is none.
    ///
    /// # Errors
    /// [`Error`] when it cannot be seen.
    pub(super) fn of(
        client: &Client,
        maintenance: &str,
        database: &str,
    ) -> Result<Option<Self>, Error> {
        let name = literal(database);
        // Which columns there are depends on the version.
        let [known, privileges, settings] = client.each(
            maintenance,
            [
            &format!(
                "SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, \
                 COALESCE(to_jsonb(d)->>'datlocprovider', 'c'), \
                 COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', ''), t.spcname, d.datconnlimit, \
                 shobj_description(d.oid, 'pg_database'), d.datacl IS NOT NULL \
                 FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = {name}"
            ),
            &format!(
                "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
                 string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), a.is_grantable \
                 FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = {name} GROUP BY 1, 3 ORDER BY 1, 3"
            ),
            &format!(
                "SELECT r.rolname, unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
                 LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = {name} ORDER BY 1, 2"
            ),
            ],
        )?;
        let Some(row) = known.first() else {
            return Ok(None);
        };
        let privilege = |row: &Row| (row.text(0), row.text(1), row.text(2) == "t");
        Ok(Some(Self {
            owner: row.text(0),
            encoding: row.text(1),
            collate: row.text(2),
            ctype: row.text(3),
            provider: row.text(4),
            locale: row.text(5),
            tablespace: row.text(6),
            connections: row.text(7),
            comment: row.get(8),
            privileges: (row.text(9) == "t").then(|| privileges.iter().map(privilege).collect()),
            settings: settings
                .iter()
                .map(|row| (row.get(0), row.text(1)))
                .collect(),
        }))
    }

    /// The statement that creates an empty database of another name like it.
    pub(super) fn create(&self, name: &str) -> String {
        let locale = match self.provider.as_str() {
            "i" => format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(&self.locale)),
            "b" => format!(
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE {}",
                literal(&self.locale)
            ),
            _ => String::new(),
        };
        format!(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}{locale} TABLESPACE {}",
            ident(name),
            ident(&self.owner),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
            ident(&self.tablespace)
        )
    }

    /// The statements that give that database the rest of it.
    pub(super) fn apply(&self, name: &str) -> String {
        let name = ident(name);
        let mut all = vec![format!(
            "ALTER DATABASE {name} CONNECTION LIMIT {}",
            self.connections
        )];
        if let Some(comment) = &self.comment {
            all.push(format!(
                "COMMENT ON DATABASE {name} IS {}",
                literal(comment)
            ));
        }
        if let Some(privileges) = &self.privileges {
            let owner = ident(&self.owner);
            all.push(format!(
                "REVOKE ALL ON DATABASE {name} FROM PUBLIC, {owner}"
            ));
            for (grantee, privileges, passes) in privileges {
                let option = if *passes { " WITH GRANT OPTION" } else { "" };
                all.push(format!(
                    "GRANT {privileges} ON DATABASE {name} TO {grantee}{option}"
                ));
            }
        }
        for (role, setting) in &self.settings {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            let value = match LISTS.contains(&key) && !value.is_empty() {
                true => value.to_owned(),
                false => literal(value),
            };
            // An extension's setting has a dot in its name.
            let key: Vec<String> = key.split('.').map(ident).collect();
            let key = key.join(".");
            all.push(match role {
                Some(role) => format!(
                    "ALTER ROLE {} IN DATABASE {name} SET {key} TO {value}",
                    ident(role)
                ),
                None => format!("ALTER DATABASE {name} SET {key} TO {value}"),
            });
        }
        all.join(";\n")
    }
}

/// Refuses where the server's data directory has too little room, where it is on this machine.
///
/// # Errors
/// [`Error`] with the room that there is.
pub(super) fn room_of_server(client: &Client, maintenance: &str, need: u64) -> Result<(), Error> {
    let asked = client.value(maintenance, "SELECT current_setting('data_directory')");
    let data = match asked {
        Ok(Some(data)) if client.login.is_local => PathBuf::from(data),
        // Whoever may not see it is told by the server itself.
        Ok(_) => return Ok(()),
        Err(e) if e.is_denied() => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let remedy = "free some space of the server's data directory";
    dump::room(&data, need, "the copy in the server", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_like_another_has_its_name_quoted_and_its_settings() {
        let like = DatabaseProperties {
            owner: "app".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            provider: "i".into(),
            locale: "de".into(),
            tablespace: "pg_default".into(),
            connections: "-1".into(),
            comment: None,
            privileges: Some(vec![("PUBLIC".into(), "CONNECT".into(), false)]),
            settings: vec![
                (None, r#"search_path="$user", app"#.into()),
                (Some("app".into()), "work_mem=8MB".into()),
            ],
        };
        let created = like.create("a\"b");
        assert!(
            created.starts_with(r#"CREATE DATABASE "a""b" TEMPLATE template0 OWNER "app""#),
            "{created}"
        );
        assert!(
            created.contains("LOCALE_PROVIDER icu ICU_LOCALE 'de'"),
            "{created}"
        );
        let applied = like.apply("d");
        for part in [
            r#"ALTER DATABASE "d" SET "search_path" TO "$user", app"#,
            r#"ALTER ROLE "app" IN DATABASE "d" SET "work_mem" TO '8MB'"#,
            r#"GRANT CONNECT ON DATABASE "d" TO PUBLIC"#,
        ] {
            assert!(applied.contains(part), "{applied}");
        }
    }
}
