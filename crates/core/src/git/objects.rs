//! Our own bare repository under the queue: proposing writes here and nowhere else.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Call, Oid, Repository, last_words};
use crate::files;
use crate::problem::Problem;

/// Switches off, for every path, each attribute that could run a program or alter bytes on the way
/// between tree and folder. It outranks any `.gitattributes` in the tree.
const ATTRIBUTES: &str = "* -text -filter -ident -export-ignore -export-subst !eol !working-tree-encoding !diff !merge\n";

/// What git may fill with an index, or with a patch and all files that it makes: some hundred bytes can be a delta
/// that inflates to gigabytes, and git holds every result until the last.
const APPLY_MEMORY: u64 = 1 << 30;

/// A bare repository of ours that borrows the user's objects.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    folder: PathBuf,
    borrowed: PathBuf,
}

/// An index file in a temporary folder; gone when dropped.
#[derive(Debug)]
pub struct TemporaryIndex {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl ObjectStore {
    /// Opens the store in `folder`, made first if it is missing.
    ///
    /// # Errors
    /// `GIT_FAILED`, `IO_ERROR`.
    pub fn open(folder: &Path, repository: &Repository) -> Result<Self, Problem> {
        let (borrowed, object_format) = repository.objects()?;
        let store = Self {
            folder: folder.to_owned(),
            borrowed,
        };
        if !folder.join("HEAD").exists() {
            store.create(&object_format)?;
        }
        Ok(store)
    }

    /// Whether an object lies here by itself, and not in a pack or in the user's own store.
    #[must_use]
    pub fn has_own(&self, id: &Oid) -> bool {
        let name = id.as_str();
        let (first, rest) = name.split_at_checked(2).unwrap_or((name, ""));
        let path = self.folder.join("objects").join(first).join(rest);
        path.is_file()
    }

    /// Makes a store in a temporary folder, for work that leaves nothing behind.
    ///
    /// # Errors
    /// `GIT_FAILED`, `IO_ERROR`.
    pub fn temporary(repository: &Repository) -> Result<(tempfile::TempDir, Self), Problem> {
        let folder = files::temporary_folder("baton-")?;
        let store = Self::open(&folder.path().join("git"), repository)?;
        Ok((folder, store))
    }

    fn create(&self, object_format: &str) -> Result<(), Problem> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        Call::clean(&self.folder, parent)
            .args(["init", "--quiet", "--bare", "--template="])
            .args([format!("--object-format={object_format}")])
            .args([self.folder.clone()])
            .output("making the object store")?;
        let info = self.folder.join("info");
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES))
            .map_err(|error| Problem::io(info.display(), &error))
    }

    pub(super) fn call(&self) -> Call {
        Call::clean(&self.folder, &self.folder)
            .set("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&self.borrowed))
    }

    pub(super) fn indexed(&self, index: &TemporaryIndex) -> Call {
        self.call()
            .set("GIT_INDEX_FILE", index.file.as_os_str())
            // It lives for a moment, and a digest over it guards nothing. The user's own keeps its digest: other
            // programs check it, and a split index is found by it.
            .args(["-c", "index.skipHash=true"])
    }

    /// Makes an index that holds a tree, or a commit's.
    ///
    /// # Errors
    /// `GIT_FAILED` when the tree is not there.
    pub fn index_of(&self, tree: &Oid) -> Result<TemporaryIndex, Problem> {
        let folder = files::temporary_folder("baton-")?;
        let index = TemporaryIndex {
            file: folder.path().join("index"),
            _folder: folder,
        };
        self.indexed(&index)
            .args(["read-tree", tree.as_str()])
            // Some hundred bytes can be a tree of a billion files.
            .memory(APPLY_MEMORY)
            .output("reading the base")?;
        Ok(index)
    }

    /// Applies a patch to an index only; no file is touched.
    ///
    /// # Errors
    /// `PATCH_DOES_NOT_APPLY` with git's own words, which name the file and the line of the hunk.
    pub fn apply(&self, index: &TemporaryIndex, patch: &[u8]) -> Result<(), Problem> {
        let done = self
            .indexed(index)
            .args([
                "apply",
                "--cached",
                "-p1",
                "--whitespace=nowarn",
                "--unidiff-zero",
                "-",
            ])
            .input(patch)
            .memory(APPLY_MEMORY)
            .finish()?;
        // git applies what comes before a broken section, drops the rest and ends well; and it drops
        // a file of a mode that it does not know. Half a change is not the change.
        let complaint = done.stderr.bytes.split(|byte| *byte == b'\n');
        let complains = complaint.clone().any(|line| line.starts_with(b"error: "));
        if done.ended.is_success() && !complains {
            return Ok(());
        }
        Err(Problem::fail(
            "PATCH_DOES_NOT_APPLY",
            format!(
                "git does not apply the patch: {}",
                // An option that nobody here can pass.
                last_words(&done.stderr.bytes).replace(" (allow with \\\"--allow-empty\\\")", "")
            ),
        )
        .hint("make the patch against the task's base commit with `git diff --binary`"))
    }

    /// Writes the index as a tree. Its entries are of a tree that is there, or were written a moment
    /// ago; git is not to look each of them up again, which takes longer than all the rest.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn write_tree(&self, index: &TemporaryIndex) -> Result<Oid, Problem> {
        Oid::parse(
            &self
                .indexed(index)
                .args(["write-tree", "--missing-ok"])
                .line("writing the tree")?,
        )
    }

    /// Stores a file's bytes as they are.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn store_blob(&self, bytes: &[u8]) -> Result<Oid, Problem> {
        Oid::parse(
            &self
                .call()
                .args(["hash-object", "-w", "--no-filters", "--stdin"])
                .input(bytes)
                .line("storing a file")?,
        )
    }

    /// Puts stored files into an index: mode, id and path. A path that would be a folder of another one
    /// is refused.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn put(&self, index: &TemporaryIndex, files: &[(&str, Oid, &str)]) -> Result<(), Problem> {
        let mut input = Vec::new();
        for (mode, id, path) in files {
            input.extend_from_slice(format!("{mode} {id}\t{path}").as_bytes());
            input.push(0);
        }
        self.indexed(index)
            .args(["update-index", "-z", "--index-info"])
            .input(input)
            .output("putting files into the index")
            .map(drop)
    }

    /// git's own difference of two trees, as the canonical patch.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn patch_between(&self, from: &Oid, to: &Oid) -> Result<Vec<u8>, Problem> {
        self.call()
            .args([
                "diff-tree",
                "-r",
                "-p",
                "--binary",
                "--full-index",
                "--no-renames",
                "--no-color",
            ])
            .args([
                "--no-ext-diff",
                "--no-textconv",
                "--ignore-submodules=none",
                "--submodule=short",
            ])
            .args([
                "--src-prefix=a/",
                "--dst-prefix=b/",
                "-U3",
                "--diff-algorithm=myers",
            ])
            .args([from.as_str(), to.as_str()])
            .output("writing the canonical patch")
    }

    /// git's own list of changed entries of two trees, NUL-separated, without rename detection.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn raw_between(&self, from: &Oid, to: &Oid) -> Result<Vec<u8>, Problem> {
        self.call()
            .args([
                "diff-tree",
                "-r",
                "--raw",
                "-z",
                "--no-renames",
                "--full-index",
                "--no-abbrev",
            ])
            .args(["--ignore-submodules=none"])
            .args([from.as_str(), to.as_str()])
            .output("listing the difference")
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid, Problem> {
        let line = self
            .call()
            .args(["rev-parse", "--verify", "--end-of-options"])
            .args([format!("{commit}^{{tree}}")])
            .line("reading a tree")?;
        Oid::parse(&line)
    }

    /// Content of a blob; `None` when it is not there.
    ///
    /// # Errors
    /// `GIT_FAILED`, `TOOL_MISSING`.
    pub fn blob(&self, tree: &Oid, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        let done = self
            .call()
            .args(["cat-file", "blob"])
            .args([format!("{tree}:{path}")])
            .finish()?;
        Ok(done.ended.is_success().then_some(done.stdout.bytes))
    }

    /// Every file, link and submodule of a tree.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn entries(&self, tree: &Oid) -> Result<Vec<TreeEntry>, Problem> {
        let listing = self
            .call()
            .args(["ls-tree", "-r", "-z", "--full-tree", tree.as_str()])
            .output("listing a tree")?;
        let lines = listing.split(|byte| *byte == 0);
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| {
                TreeEntry::read(line).ok_or_else(|| {
                    let line = line.escape_ascii();
                    Problem::fail("GIT_FAILED", format!("git lists a tree with \"{line}\""))
                })
            })
            .collect()
    }

    /// The sizes of blobs in bytes, in order; none for what is not there or no blob.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn blob_sizes(&self, ids: &[Oid]) -> Result<Vec<Option<u64>>, Problem> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let listing = self
            .call()
            .args(["cat-file", "--batch-check=%(objecttype) %(objectsize)"])
            .input(lines_of(ids))
            .output("asking for sizes")?;
        let listing = String::from_utf8_lossy(&listing);
        let size = |line: &str| line.strip_prefix("blob ")?.parse().ok();
        let sizes: Vec<_> = listing.lines().map(size).collect();
        if sizes.len() == ids.len() {
            return Ok(sizes);
        }
        Err(Problem::fail(
            "GIT_FAILED",
            format!("git gave {} sizes for {} objects", sizes.len(), ids.len()),
        ))
    }

    /// The contents of blobs that are there, in order.
    ///
    /// # Errors
    /// `GIT_FAILED`, `GIT_OUTPUT_TOO_LARGE`.
    pub fn blobs(&self, ids: &[Oid]) -> Result<Vec<Vec<u8>>, Problem> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let output = self
            .call()
            .args(["cat-file", "--batch=%(objectsize)"])
            .input(lines_of(ids))
            .output("reading blobs")?;
        let mut rest = output.as_slice();
        let mut next = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let size = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
            let (content, after) = rest.get(end + 1..)?.split_at_checked(size)?;
            rest = after.strip_prefix(b"\n")?;
            Some(content.to_vec())
        };
        let cut = || Problem::fail("GIT_FAILED", "git's answer ends within a blob");
        ids.iter().map(|_| next().ok_or_else(cut)).collect()
    }

    /// Writes the files of a tree into an empty folder. No attribute, filter or hook takes part.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn check_out(&self, tree: &Oid, folder: &Path) -> Result<(), Problem> {
        let index = self.index_of(tree)?;
        self.indexed(&index)
            .set("GIT_WORK_TREE", folder)
            .args(["checkout-index", "--all", "--quiet"])
            .output("checking out the candidate")
            .map(drop)
    }

    /// Keeps a commit from being lost by naming it.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn keep(&self, name: &str, commit: &Oid) -> Result<(), Problem> {
        self.call()
            .args(["update-ref", name, commit.as_str()])
            .output("naming a commit")
            .map(drop)
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// git's six octal digits.
    pub mode: String,
    /// The blob, or a submodule's commit.
    pub id: Oid,
    /// The path's bytes.
    pub path: Vec<u8>,
}

impl TreeEntry {
    /// Reads `<mode> <type> <id>\t<path>`. Sizes are asked for by [`ObjectStore::blob_sizes`], for as
    /// few as need be: git looks up every object to tell one.
    fn read(line: &[u8]) -> Option<Self> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let mut words = std::str::from_utf8(line.get(..tab)?).ok()?.split(' ');
        let (mode, _, id) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            mode: mode.to_owned(),
            id: Oid::parse(id).ok()?,
            path: line.get(tab + 1..)?.to_vec(),
        })
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.mode == "120000"
    }

    /// Whether it is a file, executable or not.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode.starts_with("100")
    }
}

fn lines_of(ids: &[Oid]) -> Vec<u8> {
    let lines = ids.iter().map(|id| format!("{id}\n"));
    lines.collect::<String>().into_bytes()
}

/// Quotes a folder for a list that is separated by colons.
fn quoted(path: &Path) -> OsString {
    let plain = path.as_os_str().as_bytes();
    if !plain.contains(&b':') && !plain.starts_with(b"\"") {
        return path.as_os_str().to_owned();
    }
    let mut quoted = vec![b'"'];
    for byte in plain {
        if matches!(byte, b'\\' | b'"') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
