//! What to run, what it may see, and how much it may use: plain data.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::level::{Level, Relax};
use crate::refused::Refused;

/// Where the tree lies for the gate at level I3, whatever its place on the host.
pub const TREE: &str = "/work/tree";
/// The home folder of the gate at level I3: empty, and gone afterwards.
pub const HOME: &str = "/tmp/home";

/// Folders of the system that every gate sees, beside `/usr`.
pub(crate) const SYSTEM: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// One gate.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The folder on the host that the gate may write, given up to it: as root it changes owner.
    pub tree: PathBuf,
    /// The folder around the tree, which holds nothing else and which nobody but the owner enters
    /// (mode 0700). As root it changes owner with the tree. Without it the tree is as open as the
    /// folders above it, also to other accounts: the gate chooses the modes of what it makes, and a
    /// file of its own with the setuid bit runs as its owner.
    pub shell: Option<PathBuf>,
    /// The working folder, below the tree.
    pub cwd: PathBuf,
    /// The program and its arguments; never a shell string.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited. `HOME`, `TMPDIR`, `USER` and `LOGNAME` are
    /// added when missing. Evidence holds the names only.
    #[serde(serialize_with = "names_only")]
    pub environment: BTreeMap<String, String>,
    /// What else the gate may read, at the same path as on the host: toolchains, package caches.
    /// Name the smallest folder: what lies in it is read, keys too, and a socket in it is reached,
    /// because a read-only bind does not stop a connection.
    pub read_only: Vec<PathBuf>,
    /// How much it may use.
    pub limits: Limits,
    /// Below this level the gate is not run. Stronger ones are always tried first; I1 is tried only
    /// when this is I1 or E.
    pub minimum: Level,
    /// Whether I2 may stand in for I3 where namespaces are refused (and `minimum` allows it).
    pub fallback: bool,
    /// The caller asserts that the machine is thrown away afterwards; needed for the minimum `E`.
    pub throwaway: bool,
    /// Refusals of the second stage that are lifted; each is recorded as weaker.
    pub relax: Vec<Relax>,
}

/// How much a gate may use. Every number is a choice of the policy; these are its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Memory of all processes together, in bytes, and the data segment of each one.
    pub memory_bytes: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// The size of one file, in bytes.
    pub file_bytes: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// The size of `/tmp` in bytes; `/dev/shm` gets a quarter of it besides.
    pub tmp_bytes: u64,
    /// How much the tree may grow on disk, in bytes.
    pub tree_growth_bytes: u64,
    /// How much of the log is kept, half from its beginning and half from its end, in bytes.
    pub log_bytes: usize,
    /// How much may be written to the log before the gate is killed for it, in bytes.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// Room for a build and its tests on an ordinary machine.
    fn default() -> Self {
        Self {
            wall_ms: 900_000,
            memory_bytes: 4 << 30,
            processes: 512,
            file_bytes: 2 << 30,
            open_files: 4096,
            tmp_bytes: 512 << 20,
            tree_growth_bytes: 4 << 30,
            log_bytes: 1 << 20,
            output_bytes: 256 << 20,
        }
    }
}

impl Profile {
    /// A profile with the default limits that runs `argv` in `tree`, I3 or nothing.
    #[must_use]
    pub fn new(tree: impl Into<PathBuf>, argv: Vec<String>) -> Self {
        Self {
            tree: tree.into(),
            shell: None,
            cwd: PathBuf::new(),
            argv,
            environment: BTreeMap::new(),
            read_only: Vec::new(),
            limits: Limits::default(),
            minimum: Level::I3,
            fallback: false,
            throwaway: false,
            relax: Vec::new(),
        }
    }

    /// Whether the gate finds what lies at this path of the host, at level I3: it is the system's, or
    /// named as read-only.
    #[must_use]
    pub fn shows(&self, path: &Path) -> bool {
        let system = SYSTEM.iter().chain(&["/usr", "/nix/store"]);
        let named = self.read_only.iter().map(PathBuf::as_path);
        system
            .map(Path::new)
            .chain(named)
            .any(|place| path.starts_with(place))
    }

    /// The levels that this profile lets a run try, strongest first.
    pub(crate) fn levels(&self) -> Vec<Level> {
        let mut levels = vec![Level::I3];
        if self.fallback && self.minimum <= Level::I2 {
            levels.push(Level::I2);
        }
        if self.minimum <= Level::I1 {
            levels.push(Level::I1);
        }
        levels
    }

    /// Checks what can be checked without running anything, and resolves the paths.
    pub(crate) fn checked(&self) -> Result<Self, Refused> {
        if self.argv.is_empty() || self.argv.iter().any(|word| word.contains('\0')) {
            return Err(Refused::profile("the gate names no program"));
        }
        if self.minimum == Level::E && !self.throwaway {
            return Err(Refused::profile(
                "the minimum E stands only where the caller asserts a throw-away machine",
            ));
        }
        if let Some(name) = self.environment.iter().find_map(|(name, value)| {
            let bad = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
            bad.then_some(name)
        }) {
            return Err(Refused::profile(format!("not a variable: {name:?}")));
        }
        let mut checked = self.clone();
        checked.tree = resolved(&self.tree)?;
        if !checked.tree.is_dir() || checked.tree == Path::new("/") {
            return Err(Refused::profile(format!(
                "the tree {} is not a folder",
                self.tree.display()
            )));
        }
        checked.cwd = self.working_folder(&checked.tree)?;
        checked.read_only = self.readable(&checked.tree)?;
        Ok(checked)
    }

    /// The working folder must be a real folder of the tree; a link could lead anywhere.
    fn working_folder(&self, tree: &Path) -> Result<PathBuf, Refused> {
        let outside = || {
            Refused::profile(format!(
                "the working folder {} is not in the tree",
                self.cwd.display()
            ))
        };
        let folder = tree.join(&self.cwd).canonicalize().map_err(|_| outside())?;
        let below = folder.strip_prefix(tree).map_err(|_| outside())?;
        if folder.is_dir() {
            Ok(below.to_path_buf())
        } else {
            Err(outside())
        }
    }

    /// Read-only places: absolute, without `..`, and none that would open the tree's neighbours.
    fn readable(&self, tree: &Path) -> Result<Vec<PathBuf>, Refused> {
        let mut places = Vec::new();
        for place in &self.read_only {
            let plain = place.is_absolute()
                && place
                    .components()
                    .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            if !plain || place == Path::new("/") || place.to_str().is_none() {
                return Err(Refused::profile(format!(
                    "{} cannot be shown to a gate: an absolute path below / is needed",
                    place.display()
                )));
            }
            if tree.starts_with(place) {
                return Err(Refused::profile(format!(
                    "{} holds the tree itself and what lies beside it",
                    place.display()
                )));
            }
            resolved(place)?;
            places.push(place.clone());
        }
        // A parent is bound before what lies below it.
        places.sort();
        places.dedup();
        Ok(places)
    }
}

fn resolved(path: &Path) -> Result<PathBuf, Refused> {
    let real = path
        .canonicalize()
        .map_err(|error| Refused::profile(format!("{}: {error}", path.display())))?;
    if real.to_str().is_none() {
        return Err(Refused::profile(format!(
            "{} is not valid UTF-8",
            path.display()
        )));
    }
    Ok(real)
}

fn names_only<S: Serializer>(
    environment: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(environment.keys())
}
