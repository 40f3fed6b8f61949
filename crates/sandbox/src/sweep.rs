//! Takes away what a gate left behind, whatever it made of it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Removes a folder and all that is in it. Only for what no process writes to any more.
///
/// A gate may close its folders, and nest them deeper than a path is long and than a stack or a
/// table of open files is large. So nothing here goes deep: each folder that is found is first moved
/// up beside the others, and emptied there.
///
/// # Errors
/// The system's, when something cannot be removed.
pub fn sweep(top: &Path) -> io::Result<()> {
    let mut number = 0_u64;
    let mut waiting = open(top)?;
    while let Some(folder) = waiting.pop() {
        for inner in open(&folder)? {
            let place = lift(&inner, top, &mut number)?;
            waiting.push(place);
        }
        fs::remove_dir(&folder)?;
    }
    fs::remove_dir(top)
}

/// Removes what is no folder, and gives the folders.
fn open(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(folders)
}

/// Moves a folder to a free name right below `top`.
fn lift(folder: &Path, top: &Path, number: &mut u64) -> io::Result<PathBuf> {
    // Its entry `..` changes, so it must be writable itself.
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let mut place = folder.to_path_buf();
    // Something of the gate's may have that name, and a rename would take the place of a folder.
    while place.symlink_metadata().is_ok() {
        *number += 1;
        place = top.join(number.to_string());
    }
    fs::rename(folder, &place)?;
    Ok(place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Makes folders in each other, far deeper than a path can name.
    fn nest(top: &Path, depth: usize) {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
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
