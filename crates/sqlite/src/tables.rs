//! The tables, step by step, and the statements over them. A step that was released never changes.

use baton_core::store::database::ROOT;
use rusqlite::{Connection, TransactionBehavior};

/// Each step brings the tables to the version of its place in the list, beginning with 1. AUTOINCREMENT: a
/// number is never given to a second entry, so a lock on it never means another one.
const STEPS: [&str; 1] = ["
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        parent INTEGER REFERENCES entry(id),
        name TEXT NOT NULL,
        is_folder INTEGER NOT NULL,
        bytes BLOB,
        modified INTEGER NOT NULL,
        UNIQUE (parent, name)
    ) STRICT;
    CREATE TABLE line (
        seq INTEGER PRIMARY KEY,
        bytes BLOB NOT NULL
    ) STRICT;
"];

pub(crate) const ENTRY: &str =
    "SELECT id, is_folder, modified FROM entry WHERE parent = ?1 AND name = ?2";
pub(crate) const ENTRIES: &str =
    "SELECT name, id, is_folder, modified FROM entry WHERE parent = ?1";
pub(crate) const READ: &str = "SELECT is_folder, CASE WHEN length(bytes) <= ?3 THEN bytes END
    FROM entry WHERE parent = ?1 AND name = ?2";
pub(crate) const MAKE: &str = "INSERT INTO entry (parent, name, is_folder, bytes, modified)
    VALUES (?1, ?2, ?3, ?4, ?5)";
pub(crate) const PUT: &str = "INSERT INTO entry (parent, name, is_folder, bytes, modified)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (parent, name)
    DO UPDATE SET bytes = excluded.bytes, modified = excluded.modified WHERE NOT is_folder";
pub(crate) const RENAME: &str =
    "UPDATE entry SET parent = ?3, name = ?4 WHERE parent = ?1 AND name = ?2";
pub(crate) const REMOVE: &str = "DELETE FROM entry WHERE parent = ?1 AND name = ?2";
pub(crate) const LINES: &str = "SELECT bytes FROM line WHERE seq > ?1 ORDER BY seq LIMIT ?2";
/// No line without the one before it.
pub(crate) const ADD_LINE: &str = "INSERT INTO line (seq, bytes)
    SELECT ?1, ?2 WHERE ?1 = 1 OR EXISTS (SELECT 1 FROM line WHERE seq = ?1 - 1)";

/// The number of the line that comes next.
pub(crate) const NEXT_LINE: &str = "SELECT coalesce(max(seq), 0) + 1 FROM line";

pub(crate) fn newest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// Takes the steps that are missing, all or none.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let has: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in STEPS.iter().skip(has) {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT OR IGNORE INTO entry (id, parent, name, is_folder, modified) VALUES (?1, NULL, '', 1, 0)",
        [ROOT],
    )?;
    transaction.pragma_update(
        None,
        "user_version",
        newest().max(u32::try_from(has).unwrap_or(0)),
    )?;
    transaction.commit()
}
