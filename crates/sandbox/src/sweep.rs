//! Takes away what a gate left behind, whatever it made of it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes a folder and all that is in it.
///
/// A gate may close its folders, and nest them deeper than a path is long and than a stack or a
/// table of open files is large. So nothing here goes deep: each folder that is found is first moved
/// up beside the others, and emptied there. Where the gate's supervisor was killed, something of the
/// gate may still run and put a link where a folder was: each folder is held open and nothing is asked
/// for by a path, so it is never led out of the folder.
///
/// # Errors
/// The system's, when something cannot be removed.
pub fn sweep(top: &Path) -> io::Result<()> {
    let name = top.file_name().ok_or(Errno::INVAL)?;
    let beside = top.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = rustix::fs::openat(
        CWD,
        beside.unwrap_or(Path::new(".")),
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let open = enter(&beside, name)?;
    empty(&open)?;
    Ok(rustix::fs::unlinkat(&beside, name, AtFlags::REMOVEDIR)?)
}

/// Removes all that is in a folder.
pub(crate) fn empty(top: &OwnedFd) -> io::Result<()> {
    rustix::fs::fchmod(top, Mode::RWXU)?;
    let mut number = 0_u64;
    let mut waiting = clear(top)?;
    while let Some(name) = waiting.pop() {
        let name = OsStr::from_bytes(name.as_bytes());
        let folder = enter(top, name)?;
        for inner in clear(&folder)? {
            waiting.push(lift((&folder, inner), top, &mut number)?);
        }
        rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Removes what is no folder, and gives the folders.
fn clear(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if is_folder(folder, &entry)? {
            folders.push(name.to_owned());
        } else {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(folders)
}

fn is_folder(folder: &OwnedFd, entry: &rustix::fs::DirEntry) -> io::Result<bool> {
    let known = match entry.file_type() {
        FileType::Unknown => {
            let status = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            FileType::from_raw_mode(status.st_mode)
        }
        known => known,
    };
    Ok(known == FileType::Directory)
}

/// Opens a folder, and makes it one that can be read and changed.
fn enter(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let open = || rustix::fs::openat(folder, name, FOLDER, Mode::empty());
    let inner = match open() {
        Err(Errno::ACCESS) => {
            unlock(folder, name)?;
            open()?
        }
        opened => opened?,
    };
    rustix::fs::fchmod(&inner, Mode::RWXU)?;
    Ok(inner)
}

/// Opens up a folder that is closed to its owner. What is opened as a mere place is what is changed.
#[cfg(target_os = "linux")]
fn unlock(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let place = rustix::fs::openat(folder, name, FOLDER | OFlags::PATH, Mode::empty())?;
    let itself = format!("/proc/self/fd/{}", place.as_raw_fd());
    Ok(rustix::fs::chmod(itself, Mode::RWXU)?)
}

#[cfg(not(target_os = "linux"))]
fn unlock(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chmodat(folder, name, Mode::RWXU, flags)?)
}

/// Moves a folder to a free name right below `top`.
fn lift(
    (folder, name): (&OwnedFd, CString),
    top: &OwnedFd,
    number: &mut u64,
) -> io::Result<CString> {
    // Its entry `..` changes, so it must be writable itself.
    drop(enter(folder, OsStr::from_bytes(name.as_bytes()))?);
    let mut place = name.clone();
    // Something of the gate's may have that name, and a rename would take the place of a folder.
    while rustix::fs::statat(top, &place, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        *number += 1;
        place = CString::new(number.to_string())?;
    }
    rustix::fs::renameat(folder, &name, top, &place)?;
    Ok(place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Makes folders in each other, far deeper than a path can name.
    fn nest(top: &Path, depth: usize) {
        use rustix::fs::{mkdirat, openat};
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = openat(CWD, top, flags, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&folder, "1", Mode::RWXU).unwrap();
            folder = openat(&folder, "1", flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn nothing_is_too_deep_or_closed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("tree");
        let outside = folder.path().join("outside");
        fs::create_dir(&top).unwrap();
        fs::write(&outside, "stays").unwrap();
        nest(&top, 30_000);
        for name in ["2", "3/4", "closed/inner"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        fs::write(top.join("5"), "a file where a folder would be moved").unwrap();
        std::os::unix::fs::symlink(&outside, top.join("closed/inner/link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), top.join("6")).unwrap();
        fs::set_permissions(top.join("closed"), Permissions::from_mode(0o000)).unwrap();
        sweep(&top).unwrap();
        assert!(top.symlink_metadata().is_err());
        assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
    }
}
