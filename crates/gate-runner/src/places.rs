//! What tells one state of a file or a folder of the host from another, so that a result that was got with
//! the one is never used again with the other.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use baton_core::{digest, files};
use serde_json::{Value, json};

use crate::walk::{below, seen};

/// The largest file whose bytes are hashed; of a larger one its status stands for them.
const HASHED: u64 = 256 << 20;
/// The most that is looked at of one folder. Three toolchains are a quarter of it.
const MOST: usize = 500_000;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_not_told_apart_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        for name in ["a", "lib/b", "lib/c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(state_of(folder.path(), 4).is_whole);
        for most in [1, 3] {
            let state = state_of(folder.path(), most);
            assert!(!state.is_whole);
            let why = state.told["not_used_again"].as_str().unwrap();
            assert!(why.contains(&format!("more than {most} files")), "{why}");
        }
    }

    #[test]
    fn a_place_is_looked_at_once_in_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::default();
        let before = places.state(folder.path()).told;
        std::fs::write(folder.path().join("new"), "").unwrap();
        assert_eq!(places.state(folder.path()).told, before);
        assert_ne!(Places::default().state(folder.path()).told, before);
    }
}
