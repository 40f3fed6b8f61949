//! What tells one state of a file or a folder of the host from another, so that a result that was got with
//! the one is never used again with the other.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use baton_core::{digest, files};
use serde_json::{Value, json};

/// The largest file whose bytes are hashed; of a larger one its status stands for them.
const HASHED: u64 = 256 << 20;
/// The most that is looked at of one folder. Three toolchains are half of it.
const MOST: usize = 250_000;

/// The state of one place.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) told: Value,
    /// Any change shows in `told`.
    pub(crate) is_whole: bool,
}

/// The places of one run. Each is looked at once, when the first gate asks: all gates of a run go by what
/// was there then.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<PathBuf, State>>);

impl Places {
    pub(crate) fn state(&self, path: &Path) -> State {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = known.entry(path.to_owned());
        state.or_insert_with(|| state_of(path, MOST)).clone()
    }
}

fn state_of(path: &Path, most: usize) -> State {
    let place = path.display().to_string();
    let whole = |told| State {
        told,
        is_whole: true,
    };
    let status = match path.metadata() {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return whole(json!({"place": place, "missing": true}));
        }
        Err(error) => return unknown(&place, &error.to_string()),
    };
    if status.is_dir() {
        return match below(path, most) {
            Ok(sha256) => whole(json!({"place": place, "entries_sha256": sha256})),
            Err(why) => unknown(&place, &why),
        };
    }
    let limit = usize::try_from(HASHED).unwrap_or(usize::MAX);
    let hashed = (status.len() <= HASHED)
        .then(|| files::read_named(path, limit).ok())
        .flatten();
    whole(match hashed {
        Some(bytes) => json!({"place": place, "sha256": digest::sha256(&bytes)}),
        None => json!({"place": place, "status": seen(&status)}),
    })
}

fn unknown(place: &str, why: &str) -> State {
    State {
        told: json!({"place": place, "not_used_again": why}),
        is_whole: false,
    }
}

/// Everything in a folder and below it, as one digest. An installation, an update or an edit changes it:
/// no file is written without a new time of change, which nobody can set.
fn below(top: &Path, most: usize) -> Result<String, String> {
    let mut waiting = vec![(Vec::new(), top.to_owned())];
    let (mut folders, mut left) = (String::new(), most);
    while let Some((inside, folder)) = waiting.pop() {
        let cannot = |error: io::Error| format!("{}: {error}", folder.display());
        let mut lines = Vec::new();
        for (name, entry) in listed(&folder).map_err(cannot)? {
            left = left
                .checked_sub(1)
                .ok_or_else(|| format!("it holds more than {most} files, too many to look at"))?;
            let status = entry.metadata().map_err(cannot)?;
            lines.extend_from_slice(name.as_bytes());
            lines.push(0);
            tell(&entry, &status, &mut lines);
            if status.is_dir() {
                waiting.push((joined(&inside, &name), entry.path()));
            }
        }
        folders.push_str(&digest::sha256(&inside));
        folders.push_str(&digest::sha256(&lines));
    }
    Ok(digest::sha256(folders.as_bytes()))
}

/// The entries in an order that does not depend on the file system.
fn listed(folder: &Path) -> io::Result<Vec<(OsString, DirEntry)>> {
    let entries = fs::read_dir(folder)?;
    let named = entries.map(|entry| entry.map(|entry| (entry.file_name(), entry)));
    let mut named = named.collect::<io::Result<Vec<_>>>()?;
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(named)
}

fn joined(inside: &[u8], name: &OsString) -> Vec<u8> {
    [inside, b"/", name.as_bytes()].concat()
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
fn seen(status: &Metadata) -> [u64; 7] {
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
            std::thread::sleep(Duration::from_millis(20));
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

    #[test]
    fn what_is_too_much_is_not_told_apart_and_says_so() {
        let folder = folder();
        assert!(state_of(folder.path(), 6).is_whole);
        let state = state_of(folder.path(), 4);
        assert!(!state.is_whole);
        let why = state.told["not_used_again"].as_str().unwrap();
        assert!(why.contains("more than 4 files"), "{why}");
    }
}
