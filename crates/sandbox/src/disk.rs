//! What a tree takes on disk, however its folders are nested, and what is held open of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat, statvfs};
use rustix::io::Errno;
use rustix::process::Pid;

/// An entry counts with at least this, though an empty file takes no block: about what its inode
/// and its name take.
const ENTRY: u64 = 1024;
/// A way longer than this is begun anew at the folder it has led to: the system takes 4,096 bytes
/// (`PATH_MAX`) and no more, and a name of 255 must still fit.
const WAY: usize = 2048;
/// Files from this size on are remembered, so that one that is held open is not counted twice.
const LARGE: u64 = 256 << 10;

/// What a tree takes on disk.
pub(crate) struct Measure {
    pub(crate) bytes: u64,
    /// Whether every folder could be read: a gate may close one.
    pub(crate) whole: bool,
    pub(crate) took: Duration,
    device: Option<u64>,
    /// The large files that were met: device and inode.
    large: BTreeSet<(u64, u64)>,
}

/// A folder to be read: the way to it, from one that is held open where it is long.
struct Place {
    from: Option<Rc<OwnedFd>>,
    way: PathBuf,
}

impl Place {
    fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match &self.from {
            Some(from) => openat(from, &self.way, flags, Mode::empty()),
            None => openat(CWD, &self.way, flags, Mode::empty()),
        }
    }
}

/// Walks the tree. A folder is read by a handle and entered by a bounded way from one, so no nesting
/// is too deep for a path.
pub(crate) fn measure(tree: &Path) -> Measure {
    let began = Instant::now();
    let mut found = Measure {
        bytes: 0,
        whole: true,
        took: Duration::ZERO,
        device: fs::metadata(tree).ok().map(|status| status.dev()),
        large: BTreeSet::new(),
    };
    let mut open = vec![Place {
        from: None,
        way: tree.to_path_buf(),
    }];
    while let Some(place) = open.pop() {
        match place.open().and_then(|folder| found.read(&place, folder)) {
            Ok(folders) => open.extend(folders),
            // Gone, or something else in its place, is no folder to be counted any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => found.whole = false,
        }
    }
    found.took = began.elapsed();
    found
}

impl Measure {
    /// Counts the entries of one folder, and gives the folders among them.
    fn read(&mut self, place: &Place, folder: OwnedFd) -> Result<Vec<Place>, Errno> {
        let mut inner = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            // Of the entry itself: a link leads nowhere here.
            let Ok(status) = statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.count(&status);
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                inner.push(PathBuf::from(OsStr::from_bytes(name)));
            }
        }
        let (from, way) = if place.way.as_os_str().len() > WAY {
            (Some(Rc::new(folder)), PathBuf::new())
        } else {
            (place.from.clone(), place.way.clone())
        };
        let further = |name| Place {
            from: from.clone(),
            way: way.join(name),
        };
        Ok(inner.into_iter().map(further).collect())
    }

    fn count(&mut self, status: &Stat) {
        let (bytes, device, inode) = about(status);
        self.bytes = self.bytes.saturating_add(bytes.max(ENTRY));
        if bytes >= LARGE {
            self.large.insert((device, inode));
        }
    }
}

/// Bytes on disk, device and inode. The types of the fields are the platform's.
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
fn about(status: &Stat) -> (u64, u64, u64) {
    let bytes = (status.st_blocks as u64).saturating_mul(512);
    (bytes, status.st_dev as u64, status.st_ino as u64)
}

/// What open files take that the walk has not seen: those without a name, and, where a folder could
/// not be read, those that are written to on the tree's file system.
pub(crate) fn open_bytes(processes: &[Pid], measure: &Measure) -> u64 {
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    for process in processes {
        let id = process.as_raw_pid();
        let Ok(entries) = fs::read_dir(format!("/proc/{id}/fd")) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(status) = fs::metadata(entry.path()) else {
                continue;
            };
            let bytes = status.blocks().saturating_mul(512);
            let file = (status.dev(), status.ino());
            let unseen = status.nlink() == 0
                || (!measure.whole
                    && bytes >= LARGE
                    && measure.device == Some(status.dev())
                    && !measure.large.contains(&file)
                    && is_written(id, &entry.file_name()));
            if status.is_file() && unseen && seen.insert(file) {
                sum = sum.saturating_add(bytes);
            }
        }
    }
    sum
}

/// Whether a process holds this handle for writing: its flags, in octal, end in the access mode
/// (proc(5), `fdinfo`).
fn is_written(process: i32, handle: &OsStr) -> bool {
    let place = Path::new("/proc").join(process.to_string()).join("fdinfo");
    let text = fs::read_to_string(place.join(handle)).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| flags.trim().bytes().last())
        .is_some_and(|digit| digit & 0o3 != 0)
}

/// What is free on the file system of a path.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let status = statvfs(path).ok()?;
    Some(status.f_bfree.saturating_mul(status.f_frsize))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn every_file_of_a_deep_tree_is_counted_once() {
        let tree = tempfile::tempdir().unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = openat(CWD, tree.path(), flags, Mode::empty()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..300 {
            for beside in [name.as_str(), "beside"] {
                mkdirat(&folder, beside, Mode::RWXU).unwrap();
            }
            folder = openat(&folder, name.as_str(), flags, Mode::empty()).unwrap();
        }
        let empty = measure(tree.path());
        assert!(empty.whole);
        let create = OFlags::CREATE | OFlags::WRONLY;
        let file = openat(&folder, "file", create, Mode::RUSR).unwrap();
        std::io::Write::write_all(&mut fs::File::from(file), &vec![1; 3 << 20]).unwrap();
        symlink("/", tree.path().join("link")).unwrap();
        let filled = measure(tree.path());
        let grown = filled.bytes - empty.bytes;
        assert!(filled.whole && grown >= 3 << 20, "{grown}");
        assert!(grown < 4 << 20, "the link was followed: {grown}");
        crate::sweep(tree.path()).unwrap();
    }
}
