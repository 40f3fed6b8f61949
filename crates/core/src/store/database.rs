//! What a database must be able to do to hold a queue, and how a program that links a driver makes it
//! known. The rules of the queue are not here: they stand once, over [`super::Directory`].

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::problem::Problem;

/// The number of the queue's top folder in every database.
pub const ROOT: i64 = 1;
/// The lock under which lines are added to the log; no entry has this number.
pub const LOG_LOCK: i64 = 0;

/// One entry of a folder in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number, which it keeps wherever it is moved; no other entry ever gets it.
    pub id: i64,
    /// True for a folder, false for a file.
    pub is_folder: bool,
    /// When it was made or written.
    pub modified: SystemTime,
}

/// A lock in a database: dropped, or its process or connection ended, it is free.
pub type DatabaseLock = Box<dyn Any + Send + Sync>;

/// A database that holds a queue: folders and files in a tree, each change durable and whole when the call
/// returns, and the lines of the log. Names were checked by the caller: one path component, UTF-8.
///
/// Errors are the kinds that a file system gives: `NotFound`, `AlreadyExists`, `NotADirectory` for a file
/// where a folder is needed, `DirectoryNotEmpty`, `InvalidData` for a file that is too large,
/// `WouldBlock` for a lock that another has. Any other kind means that the database could not be asked,
/// or that nobody knows what became of the change.
pub trait Database: Debug + Send + Sync {
    /// What lies under a name.
    ///
    /// # Errors
    /// Everything but `NotFound`.
    fn entry(&self, folder: i64, name: &str) -> io::Result<Option<Row>>;

    /// Everything in a folder, in no order.
    ///
    /// # Errors
    /// `NotFound` when the folder is gone.
    fn entries(&self, folder: i64) -> io::Result<Vec<(String, Row)>>;

    /// The bytes of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound`, `InvalidData`.
    fn read(&self, folder: i64, name: &str, limit: usize) -> io::Result<Vec<u8>>;

    /// Makes an empty folder and gives its number.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`.
    fn make_folder(&self, folder: i64, name: &str) -> io::Result<i64>;

    /// Writes a file: a new one, or with `over` also in place of one that is there.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`.
    fn put(&self, folder: i64, name: &str, bytes: &[u8], over: bool) -> io::Result<()>;

    /// Moves an entry, with all that is in it, to where nothing of that name is.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`.
    fn rename(&self, from: (i64, &str), to: (i64, &str)) -> io::Result<()>;

    /// Removes a file or an empty folder.
    ///
    /// # Errors
    /// `NotFound`, `DirectoryNotEmpty`.
    fn remove(&self, folder: i64, name: &str) -> io::Result<()>;

    /// Takes the lock of this number, which nobody else has then, in this process or another.
    ///
    /// # Errors
    /// `WouldBlock`.
    fn lock(&self, id: i64) -> io::Result<DatabaseLock>;

    /// The lines of the log after number `after`, at most `most`, in order and without a gap.
    ///
    /// # Errors
    /// The database's.
    fn lines(&self, after: u64, most: usize) -> io::Result<Vec<Vec<u8>>>;

    /// Adds lines to the log, the first one as number `first`: all of them or none. The caller has
    /// [`LOG_LOCK`].
    ///
    /// # Errors
    /// `AlreadyExists` when there is such a line, `InvalidInput` when the one before is missing.
    fn add_lines(&self, first: u64, lines: &[&[u8]]) -> io::Result<()>;

    /// Waits until somebody changed something, or until the time is up, whichever is first. Says whether
    /// something may have changed; the first call may say so of what was there before.
    ///
    /// # Errors
    /// The database's.
    fn wait(&self, longest: Duration) -> io::Result<bool>;

    /// The version of its tables, 0 where there are none yet, and the one that this program knows.
    ///
    /// # Errors
    /// The database's.
    fn version(&self) -> io::Result<(u32, u32)>;

    /// Brings the tables to the version that this program knows, in one transaction. Steps only go forward;
    /// tables that are as new already stay as they are.
    ///
    /// # Errors
    /// The database's.
    fn migrate(&self) -> io::Result<()>;

    /// Whether a line could be added to the log: what that takes is done, and taken back.
    ///
    /// # Errors
    /// The database's; `AlreadyExists` when somebody else added one meanwhile.
    fn try_adding(&self) -> io::Result<()>;

    /// Whether no other machine can use it.
    fn is_of_one_machine(&self) -> bool;
}

/// Opens the database at an address; a path in it that is not absolute begins at the repository's top folder.
/// With `make` one that is not there is made, where the driver can.
pub type Connect = fn(address: &str, root: &Path, make: bool) -> io::Result<Arc<dyn Database>>;

/// A kind of database that this program can use.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// What an address of it begins with, such as `sqlite:`.
    pub scheme: &'static str,
    /// Opens one.
    pub connect: Connect,
}

/// What the address of a file begins with.
const FILE: &str = "sqlite:";

static DRIVERS: OnceLock<&'static [Driver]> = OnceLock::new();
/// One connection for each address: a lock belongs to the connection that took it.
static OPEN: Mutex<Option<Opened>> = Mutex::new(None);

/// Databases by their address and by the folder from which it is read.
type Opened = HashMap<(String, PathBuf), Arc<dyn Database>>;

/// Makes this program's drivers known, once, before anything else.
pub fn begin(drivers: &'static [Driver]) {
    // A second call would come from the same program and say the same.
    let _ = DRIVERS.set(drivers);
}

/// Whether this program links a driver for such an address.
#[must_use]
pub fn is_linked(address: &str) -> bool {
    driver(address).is_some()
}

fn driver(address: &str) -> Option<&'static Driver> {
    let drivers = DRIVERS.get().copied().unwrap_or_default();
    drivers
        .iter()
        .find(|driver| address.starts_with(driver.scheme))
}

/// The database at an address; this process opens each one once.
///
/// # Errors
/// `STORE_UNKNOWN` when this program has no driver for it, `STORE_UNREACHABLE`.
pub fn connect(address: &str, root: &Path) -> Result<Arc<dyn Database>, Problem> {
    let key = (address.to_owned(), root.to_owned());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    if let Some(database) = open.get(&key) {
        return Ok(Arc::clone(database));
    }
    let database = reach(address, root, false)?;
    check_version(address, database.as_ref())?;
    open.insert(key, Arc::clone(&database));
    Ok(database)
}

/// Brings the tables of the database at an address to this program's version; where there are none, only with
/// `make`. Says from which version to which.
///
/// # Errors
/// As [`connect`].
pub fn migrate(address: &str, root: &Path, make: bool) -> Result<(u32, u32), Problem> {
    let database = reach(address, root, make)?;
    let failed = |error: io::Error| unreachable(address, &error);
    let (has, knows) = database.version().map_err(failed)?;
    if has == 0 && !make {
        return Err(missing(address));
    }
    if has <= knows {
        database.migrate().map_err(failed)?;
    }
    check_version(address, database.as_ref())?;
    Ok((has, knows))
}

fn check_version(address: &str, database: &dyn Database) -> Result<(), Problem> {
    let version = database.version();
    let (has, knows) = version.map_err(|error| unreachable(address, &error))?;
    if has == knows {
        return Ok(());
    }
    if has == 0 {
        return Err(missing(address));
    }
    let why = format!(
        "the tables of the store {} have version {has}, this program knows {knows}",
        shown(address)
    );
    Err(Problem::fail("STORE_VERSION", why).hint(if has < knows {
        "stop the workers, then run: baton store migrate"
    } else {
        "install the newer baton that made them"
    }))
}

/// No queue is there; one that was is never replaced by an empty one.
fn missing(address: &str) -> Problem {
    let why = format!("there is no queue at {}", shown(address));
    Problem::fail("STORE_MISSING", why).hint(
        "if there was one, bring it back from a copy; one that lies elsewhere is moved by: baton store copy; an \
         empty one is made by baton init where no lines of an older log lie in .autodev_queue/audit",
    )
}

fn reach(address: &str, root: &Path, make: bool) -> Result<Arc<dyn Database>, Problem> {
    let driver = driver(address).ok_or_else(|| {
        Problem::fail(
            "STORE_UNKNOWN",
            format!("this program has no driver for the store {}", shown(address)),
        )
        .hint("expected folder, sqlite:PATH or postgres://USER@HOST/DATABASE; run the skill as: baton <skill>")
    })?;
    (driver.connect)(address, root, make).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !make => missing(address),
        _ => unreachable(address, &error),
    })
}

fn unreachable(address: &str, error: &io::Error) -> Problem {
    Problem::fail(
        "STORE_UNREACHABLE",
        format!("the store {} cannot be used: {error}", shown(address)),
    )
    .hint("nothing was done; see that the database is there and lets you in, then run it again")
}

/// The database went away in the middle.
pub(super) fn lost(what: &str, error: &io::Error) -> Problem {
    Problem::fail(
        "STORE_UNREACHABLE",
        format!("the store was lost at {what}: {error}"),
    )
    .hint("what was done is kept; see that the database is there, then run it again")
}

/// An address for people and for the log: without a password, should one stand in it, in whatever way it is
/// written. Of what stands after `?` only what says where it leads is kept.
#[must_use]
pub fn shown(address: &str) -> String {
    let Some((scheme, rest)) = apart(address) else {
        // A file, or what is no address at all.
        return match address.rsplit_once('@') {
            Some((_, after)) if !address.starts_with(FILE) => format!("...@{after}"),
            _ => address.to_owned(),
        };
    };
    let (user, host, query) = parts(rest);
    let leads = |pair: &&str| {
        let key = decoded(pair.split('=').next().unwrap_or_default());
        ["host", "hostaddr", "port"].contains(&key.as_str())
    };
    let query: Vec<_> = query.split('&').filter(leads).collect();
    let query = match query.is_empty() {
        true => String::new(),
        false => format!("?{}", query.join("&")),
    };
    match user.split(':').next().unwrap_or_default() {
        "" => format!("{scheme}://{host}{query}"),
        user => format!("{scheme}://{user}@{host}{query}"),
    }
}
/// Whether a password stands in an address.
#[must_use]
pub(crate) fn has_password(address: &str) -> bool {
    apart(address).is_some_and(|(_, rest)| {
        let (user, _, query) = parts(rest);
        user.contains(':') || decoded(query).contains("password=")
    })
}

/// The scheme of an address with a host, and what comes after it.
fn apart(address: &str) -> Option<(&str, &str)> {
    let file = address.starts_with(FILE);
    address.split_once("://").filter(|_| !file)
}

/// Who, where, and what stands after `?`. The driver takes all before the first `@` as a name and a password,
/// whatever is in it.
fn parts(rest: &str) -> (&str, &str, &str) {
    let named = rest.find('@').unwrap_or_default();
    let (_, after) = rest.split_at(named);
    let end = after.find(['/', '?']).map_or(rest.len(), |at| named + at);
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let from = authority.len() - host.len();
    let place = rest.get(from..).unwrap_or_default();
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let length = match path.contains('?') {
        true => place.len() - query.len() - 1,
        false => place.len(),
    };
    (user, place.get(..length).unwrap_or_default(), query)
}

/// A text with its `%..` resolved, as the driver does.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).map(|digits| u8::from_str_radix(digits, 16));
        match (byte, after.get(2..)) {
            (Some(Ok(byte)), Some(left)) => {
                bytes.push(byte);
                rest = left;
            }
            _ => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let cases = [
            ("sqlite:queue.db", "sqlite:queue.db"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://u:p@h:5432/d", "postgres://u@h:5432/d"),
            ("postgres://u:p@a@h/d?password=x", "postgres://u@h/d"),
            ("postgres://h?password=x", "postgres://h"),
            ("postgresql://u:p@h/d", "postgresql://u@h/d"),
            (" POSTGRES://u:p@h/d", " POSTGRES://u@h/d"),
            ("postgres://u:p/w@h/d", "postgres://u@h/d"),
            ("postgres://u:p?w@h/d?port=1", "postgres://u@h/d?port=1"),
            ("postgres:u:p@h/d", "...@h/d"),
            ("sqlite:/a@b/queue.db", "sqlite:/a@b/queue.db"),
            (
                "postgres://u@h/d?sslmode=x&hostaddr=192.0.2.2&pass%77ord=x",
                "postgres://u@h/d?hostaddr=192.0.2.2",
            ),
        ];
        for (address, expected) in cases {
            assert_eq!(shown(address), expected);
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for address in [
            "postgresql://u:secret@h/d",
            " postgres://u:secret@h/d",
            "POSTGRES://u:secret@h/d",
            "postgres:u:secret@h/d",
            "postgres://u:secret@h/d",
            "postgres://u:secret/1@h/d",
            "postgres://u:secret?1@h/d",
            "postgres://u@h/d?password=secret",
            "postgres://u@h/d?pass%77ord=secret",
        ] {
            let refused = crate::manifest::check_address(address).unwrap_err();
            assert_eq!(refused.code, "MANIFEST_INVALID", "{address}");
            assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
        }
        for address in ["postgres://u@h/d", "postgres://h:1/d?sslmode=require"] {
            crate::manifest::check_address(address).unwrap();
        }
    }

    #[test]
    fn an_address_without_a_driver_is_refused() {
        let refused = connect("mysql://h/d", Path::new(".")).unwrap_err();
        assert_eq!(refused.code, "STORE_UNKNOWN");
    }
}
