//! Holds a queue in one SQLite file: write-ahead log, every commit synced before it counts.
//!
//! For one machine: SQLite's own locks, and the ones beside the file that keep a task from everybody else,
//! are the system's and hold for its processes alone.

#![warn(missing_docs)]

mod locks;
mod tables;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use baton_core::files::Folder;
use baton_core::store::Driver;
use baton_core::store::database::{Database, DatabaseLock, Row};
use rusqlite::{
    Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, TransactionBehavior, params,
};

use locks::Locks;

/// This kind of store, for a program that links it.
pub const DRIVER: Driver = Driver {
    scheme: SCHEME,
    connect,
};

const SCHEME: &str = "sqlite:";
/// How long to wait for another process's write; each takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look whether another process wrote something.
const LOOK: Duration = Duration::from_millis(40);

#[derive(Debug)]
struct Sqlite {
    connection: Mutex<Connection>,
    locks: Locks,
    /// The version of the data that whoever waits knows of.
    seen: Mutex<Option<i64>>,
    of_one_machine: bool,
}

fn connect(address: &str, root: &Path, make: bool) -> io::Result<Arc<dyn Database>> {
    let path = root.join(address.strip_prefix(SCHEME).unwrap_or(address));
    let path = resolved(&path)?;
    prepare(&path, make)?;
    // SQLite opens the file by itself, and makes none.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(unwritable(&path));
    }
    let set = |connection: &Connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)
    };
    set(&connection).map_err(failed)?;
    let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Arc::new(Sqlite {
        connection: Mutex::new(connection),
        locks: Locks::beside(&path)?,
        seen: Mutex::new(None),
        of_one_machine: folder.is_of_one_machine(),
    }))
}

/// Makes the file where there is none, and refuses one that others may read: whoever may, may read the log's
/// key.
///
/// A file that is there is never opened here. Closing any descriptor of a file takes all locks of this process
/// off it, those of its connections too; the next client would then take the log of writes away under them.
fn prepare(path: &Path, make: bool) -> io::Result<()> {
    // Of two threads the second one must not have its connection before the first one's descriptor is closed.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if make {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match path.symlink_metadata()?.mode() & 0o777 {
        mode if mode & 0o077 != 0 => {
            let why = format!("has mode {mode:03o}, expected 600: chmod 600 it");
            Err(refused(path, &why))
        }
        _ => Ok(()),
    }
}

/// Why a database cannot be written to: its file system, or the rights of this account.
fn unwritable(path: &Path) -> io::Error {
    let is_read_only = rustix::fs::statvfs(path)
        .is_ok_and(|of| of.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    refused(
        path,
        match is_read_only {
            true => "lies on a read-only file system",
            false => "cannot be written to by this account",
        },
    )
}

fn refused(path: &Path, why: &str) -> io::Error {
    let why = format!("{} {why}", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The file's folder with no link left in it, so that every process finds the same locks beside the file.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected sqlite:PATH, such as sqlite:.autodev_queue/queue.db",
        ));
    };
    let path = folder.canonicalize()?.join(name);
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is no regular file", path.display()),
        )),
        _ => Ok(path),
    }
}

impl Sqlite {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement is whole or was rolled back, whatever became of the thread.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a folder's entry, of whatever kind.
    fn row(&self, folder: i64, name: &str) -> io::Result<Option<Row>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(tables::ENTRY).map_err(failed)?;
        let row = statement.query_row(params![folder, name], |row| {
            Ok(Row {
                id: row.get(0)?,
                is_folder: row.get(1)?,
                modified: time(row.get(2)?),
            })
        });
        row.optional().map_err(failed)
    }

    fn change(&self, sql: &str, values: impl rusqlite::Params) -> io::Result<usize> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(values).map_err(failed)
    }
}

impl Database for Sqlite {
    fn entry(&self, folder: i64, name: &str) -> io::Result<Option<Row>> {
        self.row(folder, name)
    }

    fn entries(&self, folder: i64) -> io::Result<Vec<(String, Row)>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(tables::ENTRIES).map_err(failed)?;
        let rows = statement.query_map(params![folder], |row| {
            Ok((
                row.get(0)?,
                Row {
                    id: row.get(1)?,
                    is_folder: row.get(2)?,
                    modified: time(row.get(3)?),
                },
            ))
        });
        rows.and_then(Iterator::collect).map_err(failed)
    }

    fn read(&self, folder: i64, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let connection = self.connection();
        let mut statement = connection.prepare_cached(tables::READ).map_err(failed)?;
        let read = statement.query_row(params![folder, name, most], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
        });
        match read.optional().map_err(failed)? {
            None => Err(io::ErrorKind::NotFound.into()),
            Some((true, _)) => Err(invalid(&format!("{name} is no file"))),
            Some((false, None)) => Err(invalid(&format!("{name} is larger than {limit} bytes"))),
            Some((false, Some(bytes))) => Ok(bytes),
        }
    }

    fn make_folder(&self, folder: i64, name: &str) -> io::Result<i64> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(tables::MAKE).map_err(failed)?;
        let made = statement.insert(params![folder, name, true, None::<&[u8]>, now()]);
        made.map_err(failed)
    }

    fn put(&self, folder: i64, name: &str, bytes: &[u8], over: bool) -> io::Result<()> {
        let values = params![folder, name, false, Some(bytes), now()];
        if !over {
            return self.change(tables::MAKE, values).map(drop);
        }
        match self.change(tables::PUT, values)? {
            0 => Err(invalid(&format!("{name} is a folder"))),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: (i64, &str), to: (i64, &str)) -> io::Result<()> {
        match self.change(tables::RENAME, params![from.0, from.1, to.0, to.1])? {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    fn remove(&self, folder: i64, name: &str) -> io::Result<()> {
        match self.change(tables::REMOVE, params![folder, name]) {
            Ok(0) => Err(io::ErrorKind::NotFound.into()),
            Ok(_) => Ok(()),
            // What lies in a folder refers to it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(io::ErrorKind::DirectoryNotEmpty.into())
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self, id: i64) -> io::Result<DatabaseLock> {
        self.locks
            .take(id)
            .map(|lock| Box::new(lock) as DatabaseLock)
    }

    fn lines(&self, after: u64, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(tables::LINES).map_err(failed)?;
        let values = params![i64::try_from(after).unwrap_or(i64::MAX), most];
        let rows = statement.query_map(values, |row| row.get(0));
        rows.and_then(Iterator::collect).map_err(failed)
    }

    fn add_lines(&self, first: u64, lines: &[&[u8]]) -> io::Result<()> {
        let mut connection = self.connection();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(failed)?;
        for (seq, line) in (i64::try_from(first).unwrap_or(i64::MAX)..).zip(lines) {
            let added = transaction
                .prepare_cached(tables::ADD_LINE)
                .and_then(|mut statement| statement.execute(params![seq, line]));
            if added.map_err(failed)? == 0 {
                let why = format!("the line before line {seq} is missing");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        transaction.commit().map_err(failed)
    }

    fn wait(&self, longest: Duration) -> io::Result<bool> {
        let version = || -> io::Result<i64> {
            let connection = self.connection();
            let version = connection.pragma_query_value(None, "data_version", |row| row.get(0));
            version.map_err(failed)
        };
        let began = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = version()?;
            if seen.replace(now) != Some(now) {
                return Ok(true);
            }
            let left = longest.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(LOOK.min(left));
        }
    }

    fn version(&self) -> io::Result<(u32, u32)> {
        let connection = self.connection();
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        Ok((version.map_err(failed)?, tables::newest()))
    }

    fn migrate(&self) -> io::Result<()> {
        tables::migrate(&mut self.connection()).map_err(failed)
    }

    fn try_adding(&self) -> io::Result<()> {
        let mut connection = self.connection();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(failed)?;
        let next = transaction.query_row(tables::NEXT_LINE, [], |row| row.get::<_, i64>(0));
        let next = next.map_err(failed)?;
        let added = transaction.execute(tables::ADD_LINE, params![next, b""]);
        added.map_err(failed)?;
        transaction.rollback().map_err(failed)
    }

    fn is_of_one_machine(&self) -> bool {
        self.of_one_machine
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

fn time(nanos: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// What a file system would say. A folder that is gone breaks a foreign key.
fn failed(error: rusqlite::Error) -> io::Error {
    use io::ErrorKind::{AlreadyExists, NotFound, Other, PermissionDenied, StorageFull, TimedOut};
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE,
    };
    let kind = match error.sqlite_error() {
        Some(error) => match (error.extended_code, error.code) {
            (SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY, _) => AlreadyExists,
            (SQLITE_CONSTRAINT_FOREIGNKEY, _) => NotFound,
            (_, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => TimedOut,
            (_, ErrorCode::DiskFull) => StorageFull,
            (_, ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                PermissionDenied
            }
            _ => Other,
        },
        None => Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;
    use std::process::Command;

    const OTHER: &str = "BATON_TEST_OTHER_CLIENT";

    /// What another process does: reads, and closes the file as the last one would.
    #[test]
    #[ignore = "run by the test below, in a process of its own"]
    fn other_client() {
        let Some(path) = std::env::var_os(OTHER) else {
            return;
        };
        let connection = Connection::open(path).unwrap();
        let count = connection.query_row("SELECT count(*) FROM entry", [], |row| row.get(0));
        assert!(count.unwrap_or(0i64) > 0);
        connection.close().unwrap();
    }

    #[test]
    fn another_client_that_ends_takes_no_write_away() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("{SCHEME}{}", folder.path().join("queue.db").display());
        let database = connect(&address, folder.path(), true).unwrap();
        database.migrate().unwrap();
        // The same process may open it again, as `baton init` and a copy do.
        drop(connect(&address, folder.path(), true).unwrap());
        let wal = folder.path().join("queue.db-wal");
        let before = wal.symlink_metadata().unwrap();
        let other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "tests::other_client"])
            .env(OTHER, folder.path().join("queue.db"))
            .output()
            .unwrap();
        assert!(other.status.success(), "{other:?}");
        let after = wal.symlink_metadata().unwrap();
        assert_eq!(before.ino(), after.ino(), "the log of writes was replaced");
        database.put(1, "STOP", b"", false).unwrap();
        let again = Connection::open(folder.path().join("queue.db")).unwrap();
        let count = again.query_row("SELECT count(*) FROM entry", [], |row| row.get(0));
        assert_eq!(count, Ok(2i64));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_none_is_made_unasked() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let address = format!("{SCHEME}{}", path.display());
        let missing = connect(&address, folder.path(), false).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        drop(connect(&address, folder.path(), true).unwrap());
        let made = path.symlink_metadata().unwrap().mode() & 0o777;
        assert_eq!(made, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = connect(&address, folder.path(), false).unwrap_err();
        assert!(open.to_string().contains("has mode 644"), "{open}");
    }
}
