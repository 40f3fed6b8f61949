//! Files that a caller names for what a tool hands out: new ones, and none where baton or git keeps its own. A tool that
//! only reads would else write into the queue for whoever may call it.

use std::io;
use std::path::Path;

use crate::envelope::QUEUE_ROOT;
use crate::files::Folder;
use crate::manifest::SSOT;
use crate::problem::Problem;

/// Folders that nothing is handed out into, wherever they lie.
const CLOSED: [&str; 3] = [QUEUE_ROOT, SSOT, ".git"];

/// The folder of a file that is to be made, and its name.
///
/// # Errors
/// `PLACE_REFUSED` inside the queue, the rules or git's own folder, usage, `IO_ERROR`.
pub fn place(path: &Path) -> Result<(Folder, String), Problem> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Problem::usage(format!("{} names no file", path.display())))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let trouble = |error: io::Error| Problem::io(parent.display(), &error);
    let real = parent.canonicalize().map_err(trouble)?;
    let mut names = real
        .components()
        .map(|part| part.as_os_str())
        .chain([name.as_ref()]);
    let closed = names.find_map(|name| {
        CLOSED
            .into_iter()
            .find(|closed| name.eq_ignore_ascii_case(closed))
    });
    if let Some(closed) = closed {
        let why = format!(
            "{} lies in {closed}, where nothing is handed out",
            path.display()
        );
        return Err(Problem::fail("PLACE_REFUSED", why).hint("name a file elsewhere"));
    }
    Ok((Folder::open(&real).map_err(trouble)?, name.to_owned()))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// `FILE_EXISTS`, and as [`place`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let (folder, name) = place(path)?;
    folder
        .write_new(&name, bytes)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let why = format!("{} is there already", path.display());
                Problem::fail("FILE_EXISTS", why).hint("name a new file; nothing is overwritten")
            }
            _ => Problem::io(path.display(), &error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_handed_out_into_a_folder_of_ours_or_of_gits() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            ".autodev_queue/approved",
            ".autodev_ssot",
            ".git/hooks",
            "out",
        ] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at(".autodev_queue"), at("out/link")).unwrap();
        for name in [
            ".autodev_queue/landing.lock",
            ".autodev_queue/approved/x.json",
            ".autodev_ssot/REVOKED_KEYS",
            ".git/hooks/pre-commit",
            ".git",
            "out/../.git/config",
            "out/link/STOP",
        ] {
            let problem = write_new(&at(name), b"x").unwrap_err();
            assert_eq!(problem.code, "PLACE_REFUSED", "{name}");
            assert!(!at(name).is_file(), "{name}");
        }
        write_new(&at("out/a"), b"x").unwrap();
        assert_eq!(
            write_new(&at("out/a"), b"y").unwrap_err().code,
            "FILE_EXISTS"
        );
        assert_eq!(std::fs::read(at("out/a")).unwrap(), b"x");
    }
}
