//! A folder of the queue, wherever the queue is kept: on disk, or in a database. Everything that the store
//! does, it does through these few operations, so its rules stand once for all kinds.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, FlockOperation, flock};

use super::Started;
use super::database::{Database, DatabaseLock, Row};
use crate::files::{Entry, Folder, Kind, component};

/// How often a lock in a database that another has is asked for again.
const POLL: Duration = Duration::from_millis(4);
/// The largest file that is copied to a disk, in bytes.
const LARGEST: usize = 16 << 20;

/// An open folder of the queue. It stays the same folder when it is moved.
#[derive(Debug)]
pub enum Directory {
    /// One on disk.
    Disk(Folder),
    /// One in a database.
    Rows(Rows),
}

/// An open folder in a database.
#[derive(Clone, Debug)]
pub struct Rows {
    database: Arc<dyn Database>,
    id: i64,
}

/// What tells one entry from every other one: device and inode, or the database's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

/// A lock on a folder, or on a name in one, until dropped.
#[derive(Debug)]
#[must_use]
pub enum Lock {
    /// A folder's own.
    Folder(OwnedFd),
    /// A lock file's.
    File(File),
    /// A database's.
    Database(DatabaseLock),
}

impl Rows {
    pub(super) fn database(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn row(&self, name: &str) -> io::Result<Option<Row>> {
        self.database.entry(self.id, component(name)?)
    }

    fn open(&self, row: &Row) -> io::Result<Directory> {
        if !row.is_folder {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Directory::Rows(Self {
            database: Arc::clone(&self.database),
            id: row.id,
        }))
    }
}

impl Directory {
    /// The top folder of a queue in a database.
    #[must_use]
    pub fn in_database(database: Arc<dyn Database>) -> Self {
        let id = super::database::ROOT;
        Self::Rows(Rows { database, id })
    }

    /// Opens the same folder once more.
    ///
    /// # Errors
    /// The system's.
    pub fn again(&self) -> io::Result<Self> {
        match self {
            Self::Disk(folder) => folder.sub_self().map(Self::Disk),
            Self::Rows(rows) => Ok(Self::Rows(rows.clone())),
        }
    }

    /// Opens a folder inside.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, else the system's.
    pub fn sub(&self, name: &str) -> io::Result<Self> {
        match self {
            Self::Disk(folder) => folder.sub(name).map(Self::Disk),
            Self::Rows(rows) => match rows.row(name)? {
                Some(row) => rows.open(&row),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Opens a folder inside, made first if it is missing.
    ///
    /// # Errors
    /// As [`Self::sub`].
    pub fn sub_or_new(&self, name: &str) -> io::Result<Self> {
        match self {
            Self::Disk(folder) => folder.sub_or_new(name).map(Self::Disk),
            Self::Rows(_) => match self.sub(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => match self.new_sub(name) {
                    // Somebody was quicker.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.sub(name),
                    outcome => outcome,
                },
                outcome => outcome,
            },
        }
    }

    /// Makes a folder that must not exist yet.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub fn new_sub(&self, name: &str) -> io::Result<Self> {
        match self {
            Self::Disk(folder) => folder.new_sub(name).map(Self::Disk),
            Self::Rows(rows) => {
                let id = rows.database.make_folder(rows.id, component(name)?)?;
                let database = Arc::clone(&rows.database);
                Ok(Self::Rows(Rows { database, id }))
            }
        }
    }

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound`, `InvalidData` when it is larger or no file, else the system's.
    pub fn read(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Disk(folder) => folder.read(name, limit),
            Self::Rows(rows) => rows.database.read(rows.id, component(name)?, limit),
        }
    }

    /// Writes a file that must not exist yet; durable when this returns.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Disk(folder) => folder.write_new(name, bytes),
            Self::Rows(rows) => rows.database.put(rows.id, component(name)?, bytes, false),
        }
    }

    /// As [`Self::write_new`] in a folder that nobody reads before it gets its name: the file need not come
    /// in one step.
    ///
    /// # Errors
    /// As [`Self::write_new`]; what was begun stays.
    pub(super) fn write_unseen(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Self::Disk(folder) = self else {
            return self.write_new(name, bytes);
        };
        let mut file = folder.new_file(name)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        folder.sync()
    }

    /// Puts a file in place of another in one step. Only for what is state and not a record.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Disk(folder) => folder.replace(name, bytes),
            Self::Rows(rows) => rows.database.put(rows.id, component(name)?, bytes, true),
        }
    }

    /// Writes what can be made again, in place of what is there; on disk nothing is synced.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Disk(folder) => folder.make_file(name)?.write_all(bytes),
            Self::Rows(_) => self.replace(name, bytes),
        }
    }

    /// Removes what can be made again; on disk nothing is synced.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Disk(folder) => folder.unlink(name),
            Self::Rows(_) => self.remove(name),
        }
    }

    /// Moves an entry to another folder of the same queue, where nothing of that name may exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `CrossesDevices` between two stores, else the system's.
    pub fn move_to(&self, name: &str, target: &Self, new_name: &str) -> io::Result<()> {
        match (self, target) {
            (Self::Disk(from), Self::Disk(to)) => from.move_to(name, to, new_name),
            (Self::Rows(from), Self::Rows(to)) => {
                let (name, new_name) = (component(name)?, component(new_name)?);
                from.database.rename((from.id, name), (to.id, new_name))
            }
            _ => Err(io::ErrorKind::CrossesDevices.into()),
        }
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, else the system's.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Disk(folder) => folder.remove(name),
            Self::Rows(rows) => match rows.row(name)? {
                Some(row) if row.is_folder => Err(io::ErrorKind::IsADirectory.into()),
                Some(_) => rows.database.remove(rows.id, name),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Removes a folder if it is empty; says whether it is gone.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_if_empty(&self, name: &str) -> io::Result<bool> {
        match self {
            Self::Disk(folder) => folder.remove_if_empty(name),
            Self::Rows(rows) => match rows.database.remove(rows.id, component(name)?) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Folders and files inside, but for those that begin with `.tmp-`; in no order.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        match self {
            Self::Disk(folder) => folder.list(),
            Self::Rows(_) => {
                let entries = self.list_with_times()?.into_iter();
                Ok(entries.map(|(entry, _)| entry).collect())
            }
        }
    }

    /// As [`Self::list`], each with the time of its last change; what goes meanwhile is left out.
    ///
    /// # Errors
    /// The system's.
    pub fn list_with_times(&self) -> io::Result<Vec<(Entry, SystemTime)>> {
        match self {
            Self::Disk(folder) => {
                let entries = folder.list()?.into_iter();
                let timed = entries.filter_map(|entry| {
                    let modified = folder.modified(&entry.name).ok()?;
                    Some((entry, modified))
                });
                Ok(timed.collect())
            }
            Self::Rows(rows) => {
                let entries = rows.database.entries(rows.id)?.into_iter();
                let listed = entries.filter(|(name, _)| !name.starts_with(".tmp-"));
                let timed = listed.map(|(name, row)| {
                    let is_folder = row.is_folder;
                    (Entry { name, is_folder }, row.modified)
                });
                Ok(timed.collect())
            }
        }
    }

    /// The names of everything inside, as the system has them; `None` when there are more than `most`.
    pub(crate) fn names(&self, most: usize) -> io::Result<Option<Vec<Vec<u8>>>> {
        match self {
            Self::Disk(folder) => {
                let entries = folder.entries(most)?;
                Ok(entries.map(|all| all.into_iter().map(|(name, _)| name).collect()))
            }
            Self::Rows(rows) => {
                let entries = rows.database.entries(rows.id)?;
                let few = entries.len() <= most;
                let names = entries.into_iter().map(|(name, _)| name.into_bytes());
                Ok(few.then(|| names.collect()))
            }
        }
    }

    /// The names of what is no folder and no file: on disk anything may lie about.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn odd_names(&self) -> io::Result<Vec<String>> {
        let Self::Disk(folder) = self else {
            return Ok(Vec::new());
        };
        let ours = |kind| [FileType::Directory, FileType::RegularFile].contains(&kind);
        let entries = folder.entries(usize::MAX)?.unwrap_or_default().into_iter();
        let odd = entries.filter(|(_, kind)| !ours(*kind));
        Ok(odd
            .map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
            .collect())
    }

    /// What lies under a name, a dangling link included; `None` when nothing does.
    ///
    /// # Errors
    /// The system's.
    pub fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match self {
            Self::Disk(folder) => folder.kind(name),
            Self::Rows(rows) => Ok(rows.row(name)?.map(|row| match row.is_folder {
                true => Kind::Folder,
                false => Kind::File,
            })),
        }
    }

    /// Whether there is anything of that name, a dangling link included.
    ///
    /// # Errors
    /// The system's.
    pub fn exists(&self, name: &str) -> io::Result<bool> {
        self.kind(name).map(|kind| kind.is_some())
    }

    /// When an entry was last changed.
    ///
    /// # Errors
    /// `NotFound`, else the system's.
    pub fn modified(&self, name: &str) -> io::Result<SystemTime> {
        match self {
            Self::Disk(folder) => folder.modified(name),
            Self::Rows(rows) => match rows.row(name)? {
                Some(row) => Ok(row.modified),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// What tells this folder from every other.
    ///
    /// # Errors
    /// The system's.
    pub fn identity(&self) -> io::Result<Identity> {
        match self {
            Self::Disk(folder) => folder
                .identity()
                .map(|(device, inode)| Identity(device, inode)),
            Self::Rows(rows) => Ok(Identity(0, rows.id.unsigned_abs())),
        }
    }

    /// What tells an entry from every other; `None` when there is none of that name.
    ///
    /// # Errors
    /// The system's.
    pub fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        match self {
            Self::Disk(folder) => match folder.stat(name) {
                Ok(stat) => Ok(Some(Identity(stat.st_dev, stat.st_ino))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Rows(rows) => Ok(rows
                .row(name)?
                .map(|row| Identity(0, row.id.unsigned_abs()))),
        }
    }

    /// Locks the folder itself against everybody else who asks. The lock goes along when it is moved.
    ///
    /// # Errors
    /// `WouldBlock` while another has it, else the system's.
    pub fn hold(&self) -> io::Result<Lock> {
        match self {
            Self::Disk(folder) => folder.hold().map(Lock::Folder),
            Self::Rows(rows) => rows.database.lock(rows.id).map(Lock::Database),
        }
    }

    /// Waits for the lock of this name in the folder, a file that is made if it is missing and stays.
    ///
    /// # Errors
    /// The system's.
    pub fn lock(&self, name: &str) -> io::Result<Lock> {
        match self {
            Self::Disk(folder) => {
                let file = folder.lock_file(name)?;
                flock(&file, FlockOperation::LockExclusive)?;
                Ok(Lock::File(file))
            }
            Self::Rows(_) => loop {
                match self.lock_if_free(name) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        std::thread::sleep(POLL);
                    }
                    outcome => return outcome,
                }
            },
        }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// `WouldBlock` while another has it, else the system's.
    pub fn lock_if_free(&self, name: &str) -> io::Result<Lock> {
        match self {
            Self::Disk(folder) => {
                let file = folder.lock_file(name)?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                Ok(Lock::File(file))
            }
            Self::Rows(rows) => {
                let id = match rows.row(name)? {
                    Some(row) => row.id,
                    None => {
                        match rows.database.put(rows.id, component(name)?, b"", false) {
                            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                                return Err(error);
                            }
                            _ => {}
                        }
                        let row = rows.row(name)?;
                        row.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
                            .id
                    }
                };
                rows.database.lock(id).map(Lock::Database)
            }
        }
    }

    /// Copies all files to a folder on disk, `last` after all others; what is there stays.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn copy_to(&self, target: &Folder, last: &str) -> io::Result<()> {
        let mut entries = self.list()?;
        entries.sort_by_key(|entry| entry.name == last);
        for entry in entries {
            if entry.is_folder {
                let inner = target.sub_or_new(&entry.name)?;
                self.sub(&entry.name)?.copy_to(&inner, last)?;
                continue;
            }
            let bytes = self.read(&entry.name, LARGEST)?;
            match target.write_new(&entry.name, &bytes) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes an empty file where nothing of that name is.
    ///
    /// # Errors
    /// `AlreadyExists`, else the system's.
    pub fn start(&self, name: &str) -> io::Result<Started> {
        let file = match self {
            Self::Disk(folder) => Some(folder.new_file(name)?),
            Self::Rows(rows) => {
                rows.database.put(rows.id, component(name)?, b"", false)?;
                None
            }
        };
        Ok(Started {
            directory: self.again()?,
            name: name.to_owned(),
            file,
        })
    }
}
