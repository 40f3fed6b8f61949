//! Which store a checkout belongs to, as a person said by `baton init`. The manifest alone would not do: a
//! change that somebody checked out, in CI say, brings its own, and nobody's password is for whatever host that
//! names. An older commit names the store that was put away. So the address is kept in git's own folder, which
//! no commit can write to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::database::shown;
use crate::files;
use crate::manifest::FOLDERS;
use crate::problem::Problem;

/// The file in git's folder. A checkout without it has its queue in folders, or none.
const FILE: &str = "baton-store";
/// The longest address that is read, in bytes.
const MOST: usize = 4096;

/// Remembers that a person chose this address for the checkout at `root`; `None` for folders.
pub(super) fn pin(root: &Path, address: Option<&str>) -> Result<(), Problem> {
    let chosen = pinned(root)?;
    if chosen.as_deref().unwrap_or(FOLDERS) == address.unwrap_or(FOLDERS) {
        return Ok(());
    }
    let folder = git_folder(root)?;
    let failed = |error: io::Error| Problem::io(folder.join(FILE).display(), &error);
    let folder = files::Folder::open(&folder).map_err(failed)?;
    let address = address.unwrap_or(FOLDERS);
    folder.replace(FILE, address.as_bytes()).map_err(failed)
}

/// Refuses an address that no person chose for this checkout; `None` for folders.
pub(super) fn check(root: &Path, address: Option<&str>) -> Result<(), Problem> {
    let pinned = pinned(root)?;
    if pinned.as_deref().unwrap_or(FOLDERS) == address.unwrap_or(FOLDERS) {
        return Ok(());
    }
    let (now, before) = (
        shown(address.unwrap_or(FOLDERS)),
        pinned.map_or("no database".to_owned(), |pinned| shown(&pinned)),
    );
    let before = match before == now {
        true => "the same place, and with other words after the ? of its address".to_owned(),
        false => before,
    };
    let why = format!(
        "the manifest keeps the queue at {now}, and this checkout was set up with {before}"
    );
    Err(Problem::fail("STORE_UNTRUSTED", why)
        .hint("nothing was done; if the manifest is right, a person runs here: baton init"))
}

/// The address that was chosen, if any was.
fn pinned(root: &Path) -> Result<Option<String>, Problem> {
    if root.join(".git").symlink_metadata().is_err() {
        return Ok(None);
    }
    let path = git_folder(root)?.join(FILE);
    match files::read_placed(&path, MOST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::io(path.display(), &error)),
    }
}

/// git's folder of this checkout; a linked worktree names its own in a file.
fn git_folder(root: &Path) -> Result<PathBuf, Problem> {
    let path = root.join(".git");
    if path.is_dir() {
        return Ok(path);
    }
    let text = fs::read_to_string(&path).map_err(|error| Problem::io(path.display(), &error))?;
    let named = text.strip_prefix("gitdir: ").map(str::trim_end);
    named.map(|named| root.join(named)).ok_or_else(|| {
        let why = format!("{} is neither a folder nor names one", path.display());
        Problem::fail("NO_REPOSITORY", why).hint("run it in a checkout that git knows")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_a_person_chose_it_and_no_other_does() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".git")).unwrap();
        let refused = check(root.path(), Some("sqlite:a")).unwrap_err();
        assert_eq!(refused.code, "STORE_UNTRUSTED");
        pin(root.path(), Some("sqlite:a")).unwrap();
        check(root.path(), Some("sqlite:a")).unwrap();
        check(root.path(), None).unwrap_err();
        let other = check(root.path(), Some("postgres://u@elsewhere/d")).unwrap_err();
        assert!(other.message.contains("sqlite:a"), "{other:?}");
        assert!(other.message.contains("postgres://u@elsewhere/d"));
    }

    #[test]
    fn addresses_that_differ_in_their_query_alone_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".git")).unwrap();
        pin(root.path(), Some("postgres://u@h/d")).unwrap();
        for (query, said) in [
            ("?hostaddr=192.0.2.2", "d?hostaddr=192.0.2.2, and"),
            ("?sslmode=disable", "other words after the ?"),
        ] {
            let other = format!("postgres://u@h/d{query}");
            let refused = check(root.path(), Some(&other)).unwrap_err();
            assert!(refused.message.contains(said), "{refused:?}");
        }
    }

    #[test]
    fn folders_are_a_choice_too() {
        let root = tempfile::tempdir().unwrap();
        check(root.path(), None).unwrap();
        fs::create_dir(root.path().join(".git")).unwrap();
        check(root.path(), None).unwrap();
        pin(root.path(), None).unwrap();
        assert!(!root.path().join(".git").join(FILE).exists());
        pin(root.path(), Some("sqlite:a")).unwrap();
        let put_away = check(root.path(), None).unwrap_err();
        assert_eq!(put_away.code, "STORE_UNTRUSTED");
        pin(root.path(), None).unwrap();
        check(root.path(), None).unwrap();
        check(root.path(), Some("sqlite:a")).unwrap_err();
    }

    #[test]
    fn a_worktree_has_a_choice_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("real");
        fs::create_dir(&own).unwrap();
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        pin(&tree, Some("sqlite:a")).unwrap();
        assert!(own.join(FILE).exists());
        check(&tree, Some("sqlite:a")).unwrap();
        assert!(check(root.path(), Some("sqlite:a")).is_err());
    }
}
