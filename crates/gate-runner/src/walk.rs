//! Everything below a folder of the host as one digest, so that any change of it shows.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};

use baton_core::digest;

/// So many look at one time. A toolchain has 40,000 files, and the kernel answers for each.
const AT_ONCE: usize = 4;

/// Everything in a folder and below it, as one digest. An installation, an update or an edit changes it:
/// no file is written without a new time of change, which nobody can set.
///
/// # Errors
/// What could not be looked at, or that there is more than `most`.
pub(crate) fn below(top: &Path, most: usize) -> Result<String, String> {
    let walk = Walk {
        open: Mutex::new(Open {
            waiting: vec![(Vec::new(), top.to_owned())],
            ..Open::default()
        }),
        changed: Condvar::new(),
        most,
    };
    let others = thread::available_parallelism().map_or(1, |count| count.get().min(AT_ONCE)) - 1;
    thread::scope(|scope| {
        for _ in 0..others {
            // One that cannot be had is no trouble: those that are there do all of it.
            let _ = Builder::new().spawn_scoped(scope, || walk.work());
        }
        walk.work();
    });
    let open = walk.open.into_inner();
    let mut open = open.unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = open.trouble {
        return Err(why);
    }
    open.done.sort_unstable();
    Ok(digest::sha256(open.done.concat().as_bytes()))
}

/// A folder by its path below the top, and where it is.
type Place = (Vec<u8>, PathBuf);

struct Walk {
    open: Mutex<Open>,
    changed: Condvar,
    most: usize,
}

#[derive(Default)]
struct Open {
    waiting: Vec<Place>,
    /// So many folders are being looked at.
    busy: usize,
    /// So much was found.
    found: usize,
    /// What each folder came to: the digest of its path, and that of what it holds.
    done: Vec<String>,
    trouble: Option<String>,
}

impl Walk {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((inside, folder)) = self.next() {
            let looked = look(&inside, &folder, self.most);
            let looked = looked.map_err(|error| format!("{}: {error}", folder.display()));
            let mut open = self.lock();
            open.busy -= 1;
            match looked {
                Ok((told, found, folders)) => {
                    open.done.push(told);
                    open.found += found;
                    open.waiting.extend(folders);
                }
                Err(why) => open.trouble = Some(why),
            }
            if open.found > self.most {
                let most = self.most;
                open.trouble = Some(format!(
                    "it holds more than {most} files, too many to look at"
                ));
            }
            drop(open);
            self.changed.notify_all();
        }
    }

    /// The next folder; none when all were looked at, or one could not be.
    fn next(&self) -> Option<Place> {
        let mut open = self.lock();
        while open.trouble.is_none() {
            if let Some(place) = open.waiting.pop() {
                open.busy += 1;
                return Some(place);
            }
            if open.busy == 0 {
                return None;
            }
            let woken = self.changed.wait(open);
            open = woken.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

/// One folder: what it comes to, how much it holds, and the folders in it.
fn look(inside: &[u8], folder: &Path, most: usize) -> io::Result<(String, usize, Vec<Place>)> {
    let (mut lines, mut folders) = (Vec::new(), Vec::new());
    let entries = listed(folder, most)?;
    for (name, entry) in &entries {
        let status = entry.metadata()?;
        lines.extend_from_slice(name.as_bytes());
        lines.push(0);
        tell(entry, &status, &mut lines);
        if status.is_dir() {
            folders.push(([inside, b"/", name.as_bytes()].concat(), entry.path()));
        }
    }
    let told = digest::sha256(inside) + &digest::sha256(&lines);
    Ok((told, entries.len(), folders))
}

/// The entries in an order that does not depend on the file system; of too many one more than the most.
fn listed(folder: &Path, most: usize) -> io::Result<Vec<(OsString, DirEntry)>> {
    let entries = fs::read_dir(folder)?.take(most.saturating_add(1));
    let named = entries.map(|entry| entry.map(|entry| (entry.file_name(), entry)));
    let mut named = named.collect::<io::Result<Vec<_>>>()?;
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(named)
}

/// One entry. A folder is what it holds, whenever something came and went in it; a link is also the file
/// that it leads to.
fn tell(entry: &DirEntry, status: &Metadata, lines: &mut Vec<u8>) {
    let mut add = |numbers: &[u64]| {
        lines.push(u8::try_from(numbers.len()).unwrap_or_default());
        lines.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    };
    if status.is_dir() {
        return add(&[status.mode(), status.uid(), status.gid()].map(u64::from));
    }
    add(&seen(status));
    if status.is_symlink() {
        match fs::metadata(entry.path()) {
            Ok(target) if target.is_file() => add(&seen(&target)),
            Ok(_) => add(&[1]),
            Err(_) => add(&[]),
        }
    }
}

/// What the file system says of a file; whoever writes to it cannot leave all of it as it was.
pub(crate) fn seen(status: &Metadata) -> [u64; 7] {
    [
        u64::from(status.mode()),
        status.size(),
        status.ino(),
        status.mtime().cast_unsigned(),
        status.mtime_nsec().cast_unsigned(),
        status.ctime().cast_unsigned(),
        status.ctime_nsec().cast_unsigned(),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::FileTimes;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    const MOST: usize = 100;

    /// What is done to the folder, by its name.
    type Change = (&'static str, fn(&Path));

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("lib/pkg")).unwrap();
        fs::write(folder.path().join("lib/pkg/m.py"), "VALUE = 3").unwrap();
        fs::write(folder.path().join("beside"), "1").unwrap();
        symlink("../beside", folder.path().join("lib/link")).unwrap();
        folder
    }

    #[test]
    fn any_change_below_shows() {
        let changes: [Change; 7] = [
            ("written in place, same size", |top| {
                // With the time put back, as an archive does.
                let file = top.join("lib/pkg/m.py");
                let modified = file.metadata().unwrap().modified().unwrap();
                fs::write(&file, "VALUE = 4").unwrap();
                let open = fs::File::options().write(true).open(&file).unwrap();
                open.set_times(FileTimes::new().set_modified(modified))
                    .unwrap();
            }),
            ("replaced", |top| {
                fs::write(top.join("new"), "VALUE = 4").unwrap();
                fs::rename(top.join("new"), top.join("lib/pkg/m.py")).unwrap();
            }),
            ("taken away", |top| {
                fs::remove_file(top.join("lib/pkg/m.py")).unwrap();
            }),
            ("moved", |top| {
                fs::rename(top.join("lib/pkg"), top.join("pkg")).unwrap();
            }),
            ("made executable", |top| {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(top.join("lib/pkg/m.py"), mode).unwrap();
            }),
            ("an empty folder", |top| {
                fs::create_dir(top.join("lib/pkg/more")).unwrap();
            }),
            ("another link", |top| {
                fs::remove_file(top.join("lib/link")).unwrap();
                symlink("pkg/m.py", top.join("lib/link")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let folder = folder();
            let before = below(folder.path(), MOST).unwrap();
            assert_eq!(before, below(folder.path(), MOST).unwrap());
            // The kernel's clock for files goes on in steps.
            thread::sleep(Duration::from_millis(20));
            change(folder.path());
            assert_ne!(before, below(folder.path(), MOST).unwrap(), "{what}");
        }
    }

    #[test]
    fn a_link_is_also_what_it_leads_to() {
        let (outside, folder) = (tempfile::tempdir().unwrap(), folder());
        let program = outside.path().join("python");
        fs::write(&program, "1").unwrap();
        symlink(&program, folder.path().join("python")).unwrap();
        let before = below(folder.path(), MOST).unwrap();
        let open = fs::File::options().write(true).open(&program).unwrap();
        open.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(before, below(folder.path(), MOST).unwrap());
    }

    #[test]
    fn what_came_and_went_again_does_not_show() {
        let folder = folder();
        let before = below(folder.path(), MOST).unwrap();
        fs::write(folder.path().join("lib/lock"), "").unwrap();
        fs::remove_file(folder.path().join("lib/lock")).unwrap();
        assert_eq!(before, below(folder.path(), MOST).unwrap());
    }
}
