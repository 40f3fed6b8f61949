//! An account of its own for a gate that root runs.
//!
//! Root inside a user namespace is still root for the files of `/proc/sys`, and the kernel never
//! counts the processes of root. So root becomes an account that nothing else uses.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// Accounts that no distribution hands out: systemd's table of ranges names 60578 to 61183 as
/// unused, and they exist in every container that maps the usual 65536.
const RANGE: std::ops::Range<u32> = 60_600..61_100;
/// Where the locks are, and where root gathers what a gate may see.
const PLACE: &str = "/run/baton-sandbox";

/// An account that is ours until this is dropped.
pub(crate) struct Account {
    pub(crate) id: u32,
    /// Holds the lock.
    _lock: File,
}

/// Whether the caller is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether it is an account that root gives to gates. Nothing else has one.
pub(crate) fn is_gates(id: u32) -> bool {
    is_root() && RANGE.contains(&id)
}

/// The empty folder that root mounts over, in a mount namespace of its own.
pub(crate) fn staging() -> io::Result<PathBuf> {
    let place = Path::new(PLACE).join("stage");
    make_folder(Path::new(PLACE))?;
    make_folder(&place)?;
    Ok(place)
}

/// A folder that root owns and only root may write, made or found so.
fn make_folder(place: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let status = place.symlink_metadata()?;
    if status.is_dir() && status.uid() == 0 && status.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} belongs to somebody else",
            place.display()
        )))
    }
}

/// A file that nobody else can open: who can, if only to read, can hold its lock for ever.
fn open_lock(place: &Path) -> io::Result<File> {
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(place)?;
    lock.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(lock)
}

impl Account {
    /// Takes the first account of the range that no run holds and no process has.
    pub(crate) fn take() -> io::Result<Self> {
        make_folder(Path::new(PLACE))?;
        // Spread by our own id, so that runs at one time seldom meet.
        let count = RANGE.end - RANGE.start;
        let first = std::process::id() % count;
        for step in 0..count {
            let id = RANGE.start + (first + step) % count;
            let lock = open_lock(&Path::new(PLACE).join(format!("account-{id}")))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && !is_seen(id) {
                return Ok(Self { id, _lock: lock });
            }
        }
        Err(io::Error::other("every account of the range is in use"))
    }

    /// Kills what the account still runs; whether nothing is left. Nobody else uses it, so all of
    /// it came from the gate.
    pub(crate) fn clear(&self) -> bool {
        for _ in 0..100 {
            let left = processes_of(self.id);
            if left.is_empty() {
                return true;
            }
            for process in left {
                // One that ended meanwhile is the good case.
                let _ = kill_process(process, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

/// Whether a process of the account shows itself: one look at each folder, because this comes
/// before every gate. (`kill(-1, 0)` would be one call, but succeeds whenever there is any process.)
fn is_seen(id: u32) -> bool {
    fs::read_dir("/proc").is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes()
                .first()
                .is_some_and(u8::is_ascii_digit)
                && entry.metadata().is_ok_and(|status| status.uid() == id)
        })
    })
}

fn processes_of(id: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let process = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            // The owner of the folder is root where the process may not be dumped.
            let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
            let real: u32 = uids.split_ascii_whitespace().next()?.parse().ok()?;
            (real == id && !status.contains("\nState:\tZ")).then_some(process)
        })
        .collect()
}

/// Gives a tree to the account: every entry, links themselves and not what they lead to.
pub(crate) fn give(tree: &Path, id: u32) -> io::Result<()> {
    let mut open = vec![tree.to_path_buf()];
    lchown(tree, Some(id), Some(id))?;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path.clone());
            }
            lchown(&path, Some(id), Some(id))?;
        }
    }
    Ok(())
}
