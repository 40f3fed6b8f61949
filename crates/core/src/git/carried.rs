//! Objects that travel: files stored as a tree, packed for somebody who has none of them, unpacked there.

use std::path::Path;

use super::{Call, ObjectStore, Oid, Repository};
use crate::problem::Problem;

/// What git may fill while it unpacks what somebody else packed, in bytes.
const UNPACK_MEMORY: u64 = 2 << 30;
/// The reference that the stored tree hangs on.
const STORED: &str = "refs/baton/stored";

impl ObjectStore {
    /// Stores files and returns the tree that holds them under their names.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn store_files(&self, files: &[(String, Vec<u8>)]) -> Result<Oid, Problem> {
        let mut stream =
            format!("commit {STORED}\ncommitter baton <baton@localhost> 0 +0000\ndata 0\n")
                .into_bytes();
        for (name, bytes) in files {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            stream.extend(format!("M 100644 inline \"{quoted}\"\ndata {}\n", bytes.len()).bytes());
            stream.extend_from_slice(bytes);
            stream.push(b'\n');
        }
        stream.extend(b"done\n");
        self.call()
            .args(["fast-import", "--quiet", "--done", "--force"])
            .input(stream)
            .output("storing files")?;
        let line = self
            .call()
            .args(["rev-parse", "--verify", &format!("{STORED}^{{tree}}")])
            .line("naming the stored tree")?;
        Oid::parse(&line)
    }

    /// Packs commits and trees with everything in them, but no commit before them.
    ///
    /// # Errors
    /// `GIT_FAILED`, `GIT_OUTPUT_TOO_LARGE`.
    pub fn pack_whole(&self, whole: &[&Oid]) -> Result<Vec<u8>, Problem> {
        let listing = self
            .call()
            .args(["rev-list", "--objects", "--no-walk"])
            .args(whole.iter().map(|id| id.to_string()))
            .output("listing what to pack")?;
        self.call()
            .args(["pack-objects", "--quiet", "--stdout", "--delta-base-offset"])
            .input(listing)
            .output("packing")
    }
}

impl Repository {
    /// Makes a repository in an empty folder whose objects are those of `pack`, which somebody else made.
    ///
    /// # Errors
    /// `GIT_FAILED` when the pack is broken, or unpacks to more than fits.
    pub fn of_pack(folder: &Path, object_format: &str, pack: Vec<u8>) -> Result<Self, Problem> {
        let git_dir = folder.join(".git");
        Call::clean(&git_dir, folder)
            .args(["init", "--quiet", "--template="])
            .args([format!("--object-format={object_format}")])
            .args([folder.to_owned()])
            .output("making a repository")?;
        Call::clean(&git_dir, folder)
            .args(["index-pack", "--stdin"])
            .input(pack)
            .memory(UNPACK_MEMORY)
            .output("unpacking")?;
        Self::open(folder)
    }
}
