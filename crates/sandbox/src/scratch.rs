//! Folders for one run, and what runs that were killed left of theirs.
//!
//! Nobody takes a folder away whose owner was killed. So its owner holds a lock on it, which ends with
//! the owner however that one ends, and whoever comes later takes away what nobody holds. A lock tells
//! more than a process id: it holds across containers that share a folder, and nobody has it by chance.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use tempfile::TempDir;

use crate::account;
use crate::sweep::{empty, sweep};

/// What the name of each begins with. Programs of before made others, without a lock.
const PREFIX: &str = "baton-run-";
/// So often another folder is made where somebody took one away as it was being made.
const TRIES: usize = 16;

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A temporary folder that only its owner enters. What a gate leaves in it may be of any shape; all of
/// it goes when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    /// Holds the lock.
    _held: OwnedFd,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> io::Result<Self> {
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(PermissionsExt::from_mode(0o700))
                .tempdir_in(place)?;
            let Ok(held) = openat(CWD, folder.path(), FOLDER, Mode::empty()) else {
                continue;
            };
            // Where folders cannot be locked nobody takes this one for a dead run's either.
            let is_taken = flock(&held, FlockOperation::NonBlockingLockExclusive)
                .is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK);
            if !is_taken && is_at(&held, folder.path()) {
                return Ok(Self {
                    folder,
                    _held: held,
                });
            }
        }
        Err(io::Error::other(
            "each folder was taken away as it was made",
        ))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be taken away stays, in a folder that only its owner enters.
        let _ = sweep(self.folder.path());
    }
}

/// Whether the folder that is open is still the one at the path.
fn is_at(open: &OwnedFd, path: &Path) -> bool {
    let there = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    let same =
        |(a, b): (rustix::fs::Stat, rustix::fs::Stat)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    fstat(open).ok().zip(there.ok()).is_some_and(same)
}

/// Takes away what runs that were killed left in the folder for temporary files; says how many folders.
#[must_use]
pub fn sweep_left() -> usize {
    sweep_left_in(&std::env::temp_dir())
}

fn sweep_left_in(place: &Path) -> usize {
    let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (Ok(entries), Ok(place)) = (
        std::fs::read_dir(place),
        openat(CWD, place, folder, Mode::empty()),
    ) else {
        return 0;
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .filter(|name| take_away(&place, name).unwrap_or(false))
        .count()
}

/// Takes one folder away that is ours and that nobody holds; whether it was.
fn take_away(place: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let open = openat(place, name, FOLDER, Mode::empty())?;
    let owner = fstat(&open)?.st_uid;
    let is_ours = owner == rustix::process::geteuid().as_raw() || account::is_gates(owner);
    if !is_ours || flock(&open, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    empty(&open)?;
    rustix::fs::unlinkat(place, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_nobody_holds_is_taken_away_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let live = Scratch::below(place.path()).unwrap();
        fs::write(live.path().join("file"), "stays").unwrap();
        let others = ["baton-gate-older", "other", "kept"];
        for name in others {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let kept = place.path().join("kept");
        fs::write(kept.join("file"), "stays").unwrap();
        symlink(&kept, place.path().join("baton-run-link")).unwrap();
        fs::write(place.path().join("baton-run-file"), "").unwrap();
        let dead = place.path().join("baton-run-dead");
        fs::create_dir_all(dead.join("tree/src")).unwrap();
        fs::write(dead.join("tree/src/big"), "x").unwrap();
        symlink(&kept, dead.join("tree/link")).unwrap();
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(dead.join("tree/src"), closed).unwrap();
        assert_eq!(sweep_left_in(place.path()), 1);
        assert!(!dead.exists());
        assert_eq!(
            fs::read_to_string(live.path().join("file")).unwrap(),
            "stays"
        );
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "stays");
        let path = live.path().to_path_buf();
        drop(live);
        assert!(!path.exists());
        assert_eq!(sweep_left_in(place.path()), 0);
    }

    #[test]
    fn a_folder_is_never_swept_while_it_is_being_made() {
        let place = tempfile::tempdir().unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(order) {
                        let _ = sweep_left_in(place.path());
                    }
                });
            }
            for _ in 0..500 {
                let made = Scratch::below(place.path()).unwrap();
                fs::write(made.path().join("file"), "x").unwrap();
                assert!(made.path().join("file").exists());
            }
            is_over.store(true, order);
        });
    }
}
