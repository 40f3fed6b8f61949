//! Folders and files under the queue: no link is followed, nothing is overwritten, every write is
//! durable before anybody is told.
//!
//! A write is: temporary file in the same folder, sync, rename that refuses an existing target,
//! sync of the folder. A power cut on ext4, xfs or btrfs then leaves the old or the new state.

mod links;
mod network;
mod placing;

pub use links::Kind;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};

use crate::problem::Problem;

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// Whoever can open a file, if only to read, can hold its lock for ever.
const LOCK_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// An open folder. All names are single path components, resolved against the folder itself, so
/// neither a link nor `..` can lead out of it.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Makes a temporary folder that only its owner enters. What lies in one is the change's: it may be
/// private, and a gate may have given it a mode by which it runs as whoever started the gate.
///
/// # Errors
/// `IO_ERROR`.
pub fn temporary_folder(prefix: &str) -> Result<tempfile::TempDir, Problem> {
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(PermissionsExt::from_mode(0o700))
        .tempdir();
    made.map_err(|error| Problem::io("temporary folder", &error))
}

/// One entry of a folder listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, when it is UTF-8; other names are never ours.
    pub name: String,
    /// True for a folder, false for a regular file; links and devices are not listed.
    pub is_folder: bool,
}

/// A name as the system has it, and what it is as far as the listing says.
pub(crate) type RawEntry = (Vec<u8>, FileType);

impl Folder {
    /// Opens a folder by path. Its last component must not be a link.
    ///
    /// # Errors
    /// The system's, `NotADirectory` for a link or a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// The path it was opened by, for messages and for programs that need one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its device and inode.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let status = rustix::fs::fstat(&self.fd)?;
        Ok((status.st_dev, status.st_ino))
    }

    /// Whether it is still what lies at the path it was opened by: somebody may have moved it away, and put
    /// another one there.
    pub(crate) fn is_in_place(&self) -> io::Result<bool> {
        match rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == self.identity()?),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder inside.
    ///
    /// # Errors
    /// The system's; `InvalidInput` when `name` is more than one component.
    pub fn sub(&self, name: &str) -> io::Result<Self> {
        let fd = rustix::fs::openat(&self.fd, component(name)?, FOLDER, Mode::empty())?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Opens a folder inside, made first if it is missing.
    ///
    /// # Errors
    /// The system's.
    pub fn sub_or_new(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, component(name)?, FOLDER_MODE) {
            Ok(()) => self.sync()?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.sub(name)
    }

    /// Makes a folder that must not exist yet. One that begins with `.tmp-` is durable once it was moved
    /// to its name.
    ///
    /// # Errors
    /// `AlreadyExists` when there is anything of that name.
    pub fn new_sub(&self, name: &str) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.fd, component(name)?, FOLDER_MODE)?;
        if !name.starts_with(".tmp-") {
            self.sync()?;
        }
        self.sub(name)
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// `InvalidData` when it is larger or no regular file, else the system's.
    pub fn read(&self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.open_file(name, OFlags::RDONLY)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(limit);
        // One byte more, so that the end is seen without another round.
        let mut bytes = Vec::with_capacity(size.min(limit) + 1);
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is larger than {limit} bytes",
                    self.path.join(name).display()
                ),
            ));
        }
        Ok(bytes)
    }

    /// Opens an existing regular file.
    ///
    /// # Errors
    /// `InvalidData` when it is no regular file, else the system's.
    pub fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // NONBLOCK, so that a planted pipe cannot make us wait.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(
            &self.fd,
            component(name)?,
            flags,
            Mode::empty(),
        )?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not a regular file", self.path.join(name).display()),
        ))
    }

    /// Opens a lock file, made if it is missing. The file is empty and stays.
    ///
    /// # Errors
    /// The system's.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = component(name)?;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, LOCK_MODE)?);
        let status = rustix::fs::fstat(&file)?;
        if status.st_mode & 0o044 != 0 && status.st_uid == rustix::process::geteuid().as_raw() {
            rustix::fs::fchmod(&file, LOCK_MODE)?;
        }
        Ok(file)
    }

    /// Writes a file that must not exist yet, and syncs it and the folder.
    ///
    /// # Errors
    /// `AlreadyExists` when there is anything of that name; nothing is left behind then.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, FILE_MODE, RenameFlags::NOREPLACE)?;
        self.sync()
    }

    /// As [`Self::write_new`], for a secret: nobody but its owner can read the file.
    ///
    /// # Errors
    /// As [`Self::write_new`].
    pub fn write_new_secret(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, LOCK_MODE, RenameFlags::NOREPLACE)?;
        self.sync()
    }

    /// Replaces a file by a new one in one step, and syncs. Only for locks, which are state and not
    /// a record, and for a policy that a person accepted: the one before is kept under its digest.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes, FILE_MODE, RenameFlags::empty())?;
        self.sync()
    }

    /// Moves an entry to another folder, where nothing of that name may exist, and syncs both.
    ///
    /// # Errors
    /// `AlreadyExists` or `NotFound`, else the system's.
    pub fn move_to(&self, name: &str, target: &Self, new_name: &str) -> io::Result<()> {
        let (from, to) = (component(name)?, component(new_name)?);
        rustix::fs::renameat_with(&self.fd, from, &target.fd, to, RenameFlags::NOREPLACE)?;
        target.sync()?;
        if self.identity()? == target.identity()? {
            return Ok(());
        }
        self.sync()
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.unlink(name)?;
        self.sync()
    }

    /// Opens a folder inside that nobody vouches for: see [`open_walled`].
    pub(crate) fn sub_walled(&self, name: &str) -> io::Result<Self> {
        let fd = open_walled(&self.fd, component(name)?, FOLDER)?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Opens a file inside that nobody vouches for: see [`open_walled`]. It may be of any kind.
    pub(crate) fn file_walled(&self, name: &str) -> io::Result<File> {
        // NONBLOCK and NOCTTY, so that neither a pipe nor a terminal does anything to us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = open_walled(
            &self.fd,
            component(name)?,
            flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        )?;
        Ok(File::from(fd))
    }

    /// The names and kinds of all entries, as the system has them; `None` when there are more than
    /// `most`.
    pub(crate) fn entries(&self, most: usize) -> io::Result<Option<Vec<RawEntry>>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.fd.as_fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() == most {
                return Ok(None);
            }
            entries.push((name.to_vec(), entry.file_type()));
        }
        Ok(Some(entries))
    }

    /// Lists folders and regular files whose names are UTF-8 and do not begin with `.tmp-`.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (name, kind) in self.entries(usize::MAX)?.unwrap_or_default() {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            if name.starts_with(".tmp-") {
                continue;
            }
            let kind = match kind {
                FileType::Unknown => FileType::from_raw_mode(self.stat(&name)?.st_mode),
                kind => kind,
            };
            let is_folder = kind == FileType::Directory;
            if is_folder || kind == FileType::RegularFile {
                entries.push(Entry { name, is_folder });
            }
        }
        Ok(entries)
    }

    /// Whether there is anything of that name, a dangling link included.
    ///
    /// # Errors
    /// Everything but `NotFound`.
    pub fn exists(&self, name: &str) -> io::Result<bool> {
        match self.stat(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// When an entry was last changed.
    ///
    /// # Errors
    /// The system's.
    pub fn modified(&self, name: &str) -> io::Result<SystemTime> {
        let stat = self.stat(name)?;
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Ok(SystemTime::UNIX_EPOCH + std::time::Duration::new(seconds, nanos))
    }

    /// What an entry is, itself and not what it may point to.
    pub(crate) fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(rustix::fs::statat(
            &self.fd,
            component(name)?,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// Makes the folder's own entries durable.
    ///
    /// # Errors
    /// The system's; a failed sync is never retried.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

/// Opens one entry of a folder that hostile code may be writing to: no link is followed, nothing
/// outside the folder and no other file system is entered.
#[cfg(target_os = "linux")]
fn open_walled(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let walls = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(
        folder,
        name,
        flags,
        Mode::empty(),
        walls,
    )?)
}

/// The same where the system has no such call: `name` is one component, so NOFOLLOW says it all but
/// for the file system.
#[cfg(not(target_os = "linux"))]
fn open_walled(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let fd = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    if rustix::fs::fstat(&fd)?.st_dev != rustix::fs::fstat(folder)?.st_dev {
        return Err(rustix::io::Errno::XDEV.into());
    }
    Ok(fd)
}

/// Refuses a name that is not one path component.
pub(crate) fn component(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("\"{}\" is not a single file name", name.escape_debug()),
        ));
    }
    Ok(name)
}

/// Reads a file that the user named, of at most `limit` bytes.
///
/// # Errors
/// `InvalidData` when it is larger, else the system's.
pub fn read_named(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_file(File::open(path)?, limit)
}

/// Reads a file that has its place, which nobody but baton names: no pipe or device, at which a reader
/// would wait for ever.
///
/// # Errors
/// `InvalidData` when it is larger or no regular file, else the system's.
pub fn read_placed(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_file(open_regular(path, OFlags::empty())?, limit)
}

/// Reads a file that only its owner may read: no link, no pipe, mode 0600 or less.
///
/// # Errors
/// `PermissionDenied` when others may read it, `InvalidData` when it is larger or no regular file,
/// else the system's.
pub fn read_private(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = open_regular(path, OFlags::NOFOLLOW)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("its mode is {mode:04o}, expected 0600: chmod 600 it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    read_file(file, limit)
}

/// Opens a regular file and waits for nobody.
fn open_regular(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let why = "no regular file";
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Reads a stream to its end, at most `limit` bytes.
///
/// # Errors
/// `InvalidData` when there is more, else the system's.
pub fn read_bounded(stream: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    read_into(Vec::new(), stream, limit)
}

/// As [`read_bounded`], in one go where the file is as long as it says.
fn read_file(file: File, limit: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    read_into(
        Vec::with_capacity(length.min(limit).saturating_add(1)),
        file,
        limit,
    )
}

fn read_into(mut bytes: Vec<u8>, stream: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    stream.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
