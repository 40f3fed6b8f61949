//! Holds a queue in a PostgreSQL database: the store for several machines.
//!
//! One connection does everything, the locks included, which the server frees when the connection ends. A
//! lost connection is therefore a lost lock: until everything that was held over it is given up, nothing
//! more is done, and only then is another one opened.

#![warn(missing_docs)]

mod address;
mod connection;
mod tables;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use baton_core::store::Driver;
use baton_core::store::database::{Database, DatabaseLock, Row};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use address::Address;
use connection::{Connection, Values, answered};

/// This kind of store, for a program that links it.
pub const DRIVER: Driver = Driver {
    scheme: address::SCHEME,
    connect,
};

/// The upper half of the number of an advisory lock, so that other users of the database do not meet ours.
const LOCKS: i64 = 0x6261_0000_0000_0000;

struct Postgres {
    address: Address,
    link: Mutex<Link>,
    /// What waits for work listens on a connection of its own.
    listener: Mutex<Option<Connection>>,
}

/// The connection, and what is held over it.
#[derive(Default)]
struct Link {
    client: Option<Connection>,
    statements: HashMap<&'static str, Statement>,
    /// Locks of this process: to the server all its threads are one.
    held: Vec<i64>,
}

/// A lock that is held.
#[derive(Debug)]
struct Lock {
    database: Arc<Postgres>,
    id: i64,
}

/// A store that is handed out: [`Lock`] needs to share it.
#[derive(Debug)]
struct Shared(Arc<Postgres>);

fn connect(address: &str, _root: &Path, _make: bool) -> io::Result<Arc<dyn Database>> {
    let database = Postgres {
        address: Address::parse(address)?,
        link: Mutex::default(),
        listener: Mutex::default(),
    };
    database.with(|link| link.client().map(drop))?;
    Ok(Arc::new(Shared(Arc::new(database))))
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres")
    }
}

impl Link {
    fn client(&mut self) -> io::Result<&mut Connection> {
        self.client
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> io::Result<Vec<tokio_postgres::Row>> {
        let statement = self.statement(sql)?;
        self.client()?.query(&statement, values)
    }

    fn execute(&mut self, sql: &'static str, values: Values<'_>) -> io::Result<u64> {
        let statement = self.statement(sql)?;
        self.client()?.execute(&statement, values)
    }

    /// Prepared once for each connection.
    fn statement(&mut self, sql: &'static str) -> io::Result<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl Postgres {
    /// Works with the connection; opens it when there is none and nothing was held over the last one.
    fn with<T>(&self, act: impl FnOnce(&mut Link) -> io::Result<T>) -> io::Result<T> {
        let mut link = self.link();
        let is_lost = link.client.as_ref().is_none_or(Connection::is_closed);
        if is_lost {
            link.client = None;
            link.statements.clear();
            if !link.held.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the connection was lost, and the locks with it",
                ));
            }
            link.client = Some(self.address.open()?);
        }
        let outcome = act(&mut link);
        let is_cut_off = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionAborted;
        if outcome.as_ref().is_err_and(is_cut_off) {
            // The server may have said so before the driver sees that the connection is closed.
            link.client = None;
            link.statements.clear();
        }
        outcome
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        // Each statement is whole or was rolled back, whatever became of the thread.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one(&self, sql: &'static str, values: Values<'_>) -> io::Result<tokio_postgres::Row> {
        let rows = self.with(|link| link.query(sql, values))?;
        rows.into_iter()
            .next()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn notify(&self) -> io::Result<()> {
        self.with(|link| link.query(tables::NOTIFY, &[])).map(drop)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut link = self.database.link();
        link.held.retain(|held| *held != self.id);
        let key = LOCKS | self.id;
        // A lost connection has given it up already.
        let _ = link.query("SELECT pg_advisory_unlock($1)", &[&key]);
    }
}

impl Database for Shared {
    fn entry(&self, folder: i64, name: &str) -> io::Result<Option<Row>> {
        let rows = self
            .0
            .with(|link| link.query(tables::ENTRY, &[&folder, &name]))?;
        Ok(rows.first().map(|row| row_of(row, 0)))
    }

    fn entries(&self, folder: i64) -> io::Result<Vec<(String, Row)>> {
        let rows = self
            .0
            .with(|link| link.query(tables::ENTRIES, &[&folder]))?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), row_of(row, 1)))
            .collect())
    }

    fn read(&self, folder: i64, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let most = i32::try_from(limit).unwrap_or(i32::MAX);
        let row = self.0.one(tables::READ, &[&folder, &name, &most])?;
        match (row.get::<_, bool>(0), row.get::<_, Option<Vec<u8>>>(1)) {
            (true, _) => Err(invalid(&format!("{name} is no file"))),
            (false, None) => Err(invalid(&format!("{name} is larger than {limit} bytes"))),
            (false, Some(bytes)) => Ok(bytes),
        }
    }

    fn make_folder(&self, folder: i64, name: &str) -> io::Result<i64> {
        let none: Option<&[u8]> = None;
        let values: Values<'_> = &[&folder, &name, &true, &none, &now()];
        Ok(self.0.one(tables::MAKE, values)?.get(0))
    }

    fn put(&self, folder: i64, name: &str, bytes: &[u8], over: bool) -> io::Result<()> {
        let sql = if over { tables::PUT } else { tables::MAKE };
        let values: Values<'_> = &[&folder, &name, &false, &Some(bytes), &now()];
        match self.0.one(sql, values) {
            Err(error) if over && error.kind() == io::ErrorKind::NotFound => {
                Err(invalid(&format!("{name} is a folder")))
            }
            outcome => outcome.map(drop),
        }?;
        // STOP lies in the top folder.
        if folder == baton_core::store::database::ROOT {
            self.0.notify()?;
        }
        Ok(())
    }

    fn rename(&self, from: (i64, &str), to: (i64, &str)) -> io::Result<()> {
        let values: Values<'_> = &[&from.0, &from.1, &to.0, &to.1];
        self.0.one(tables::RENAME, values).map(drop)
    }

    fn remove(&self, folder: i64, name: &str) -> io::Result<()> {
        let removed = self
            .0
            .with(|link| link.execute(tables::REMOVE, &[&folder, &name]));
        match removed {
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
        let key = LOCKS | id;
        self.0.with(|link| {
            if link.held.contains(&id) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let rows = link.query("SELECT pg_try_advisory_lock($1)", &[&key])?;
            if !rows.first().is_some_and(|row| row.get(0)) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            link.held.push(id);
            Ok(())
        })?;
        let database = Arc::clone(&self.0);
        Ok(Box::new(Lock { database, id }))
    }

    fn lines(&self, after: u64, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let (after, most) = (number(after), i64::try_from(most).unwrap_or(i64::MAX));
        let rows = self
            .0
            .with(|link| link.query(tables::LINES, &[&after, &most]))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn add_lines(&self, first: u64, lines: &[&[u8]]) -> io::Result<()> {
        let missing = |seq: u64| {
            let why = format!("the line before line {seq} is missing");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        if let [line] = lines {
            let values: Values<'_> = &[&number(first), line];
            let added = self.0.with(|link| link.execute(tables::ADD_LINE, values))?;
            return if added == 0 {
                Err(missing(first))
            } else {
                Ok(())
            };
        }
        self.0.with(|link| {
            let statement = link.statement(tables::ADD_LINE)?;
            link.client()?.whole(async |transaction| {
                for (seq, line) in (first..).zip(lines) {
                    let values: Values<'_> = &[&number(seq), line];
                    if answered(transaction.execute(&statement, values)).await? == 0 {
                        return Err(missing(seq));
                    }
                }
                Ok(())
            })
        })
    }

    fn wait(&self, longest: Duration) -> io::Result<bool> {
        let began = Instant::now();
        let mut listener = self
            .0
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(Connection::is_closed) {
            let connection = self.0.address.open()?;
            connection.batch_execute("LISTEN baton")?;
            *listener = Some(connection);
            // What came before we listened is looked for at once.
            return Ok(true);
        }
        let left = longest.saturating_sub(began.elapsed());
        listener
            .as_ref()
            .map_or(Ok(true), |connection| connection.wait(left))
    }

    fn version(&self) -> io::Result<(u32, u32)> {
        let has = self.0.with(|link| tables::version(link.client()?))?;
        Ok((has, tables::newest()))
    }

    fn migrate(&self) -> io::Result<()> {
        self.0.with(|link| link.client()?.whole(tables::migrate))
    }

    fn try_adding(&self) -> io::Result<()> {
        self.0.with(|link| link.client()?.try_out(tables::TRY_LINE))
    }

    fn is_of_one_machine(&self) -> bool {
        false
    }
}

fn row_of(row: &tokio_postgres::Row, at: usize) -> Row {
    Row {
        id: row.get(at),
        is_folder: row.get(at + 1),
        modified: SystemTime::UNIX_EPOCH
            + Duration::from_nanos(row.get::<_, i64>(at + 2).unsigned_abs()),
    }
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// What a file system would say; `ConnectionAborted` when it is the server that is gone, and nothing in it. A
/// folder that is gone breaks a foreign key.
fn failed(error: tokio_postgres::Error) -> io::Error {
    let cause = std::error::Error::source(&error);
    let is_cut_off = error.is_closed() || cause.is_some_and(|cause| cause.is::<io::Error>());
    let kind = match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => io::ErrorKind::AlreadyExists,
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => io::ErrorKind::NotFound,
        Some(code) if *code == SqlState::DISK_FULL => io::ErrorKind::StorageFull,
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => io::ErrorKind::PermissionDenied,
        // Nothing was changed.
        Some(code) if [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED].contains(code) => {
            io::ErrorKind::TimedOut
        }
        Some(code) if is_going(code) => io::ErrorKind::ConnectionAborted,
        None if is_cut_off => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    // The driver's own text is "db error"; the server's says which.
    let text = match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    };
    io::Error::new(kind, text)
}

/// Whether a server says so that ends, or does not take anybody in yet (PostgreSQL, appendix A, classes 08 and
/// 57).
fn is_going(code: &SqlState) -> bool {
    let ending = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
    ];
    ending.contains(code) || code.code().starts_with("08")
}
