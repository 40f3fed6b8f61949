//! The manifest over the evidence of one gate run: every file with its SHA-256 and its size, bound
//! to the candidate, the policy and the program that ran.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::candidate::Candidate;
use crate::envelope::{Artifact, ArtifactKind};
use crate::problem::Problem;
use crate::store::TaskFolder;
use crate::task::TaskId;
use crate::terminal::{visible, visible_line};
use crate::{bounds, digest, wire};

/// The largest manifest that is read, in bytes.
pub const MAX_BYTES: usize = 8 << 20;
/// The folder that holds all evidence of a task.
pub const FOLDER: &str = "evidence";

const CODE: &str = "EVIDENCE_MANIFEST_INVALID";
const NAME: &str = "evidence/manifest.json";
const MOST_FILES: usize = 10_000;

/// What a gate run was about, and what judged it.
#[derive(Clone, Copy, Debug)]
pub struct RunOf<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// SHA-256 of the policy in force.
    pub policy_sha256: &'a str,
    /// SHA-256 of the program that ran the gates: [`running_program`].
    pub runner_sha256: &'a str,
}

/// One file of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// Its place in the task's folder, such as `evidence/G5.log`.
    pub path: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    #[serde(deserialize_with = "wire::count")]
    pub bytes: u64,
}

/// The content of `evidence/manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceManifest {
    /// Always `1.0.0`.
    pub schema_version: String,
    /// The task.
    pub task_id: String,
    /// The candidate's base commit.
    pub base: String,
    /// The candidate's tree.
    pub tree: String,
    /// SHA-256 of the candidate's canonical patch.
    pub patch_sha256: String,
    /// SHA-256 of the policy in force.
    pub policy_sha256: String,
    /// SHA-256 of the program that ran the gates.
    pub runner_sha256: String,
    /// The files, sorted by path, each once.
    pub files: Vec<EvidenceFile>,
}

/// A point at which the evidence folder is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file, as the manifest names it; printable.
    pub path: String,
    /// What is wrong with it.
    pub what: Differs,
}

/// How a file differs from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Differs {
    /// The manifest names it and it is not there.
    Missing,
    /// It is there with other content, or cannot be read; says what was got.
    Changed(String),
    /// It is there, and no result names it.
    Additional,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Differs::Missing => write!(f, "{} is missing", self.path),
            Differs::Changed(how) => write!(f, "{} is changed: {how}", self.path),
            Differs::Additional => write!(f, "{} is named by no result", self.path),
        }
    }
}

impl EvidenceManifest {
    /// Makes the manifest over the files that a gate run has written. Each is read back: what lies
    /// there counts, not what was meant to be written.
    ///
    /// # Errors
    /// `EVIDENCE_CHANGED` and `FILE_MISSING` when a file is not what its artifact says.
    pub fn over(
        task: &TaskFolder,
        run: &RunOf<'_>,
        artifacts: &[Artifact],
    ) -> Result<Self, Problem> {
        let mut files = Vec::new();
        for artifact in artifacts {
            let bytes = task.read_artifact(artifact)?;
            files.push(EvidenceFile {
                path: name_in_task(artifact).unwrap_or_default().to_owned(),
                sha256: digest::sha256(&bytes),
                bytes: bytes.len() as u64,
            });
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let candidate = run.candidate;
        let manifest = Self {
            schema_version: "1.0.0".to_owned(),
            task_id: task.id().to_string(),
            base: candidate.base.clone(),
            tree: candidate.tree.clone(),
            patch_sha256: candidate.patch_sha256.clone(),
            policy_sha256: run.policy_sha256.to_owned(),
            runner_sha256: run.runner_sha256.to_owned(),
            files,
        };
        manifest.check_form()?;
        Ok(manifest)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// `EVIDENCE_MANIFEST_INVALID`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let manifest: Self = wire::parse_unique(bytes, MAX_BYTES, "evidence manifest", CODE)?;
        manifest.check_form()?;
        Ok(manifest)
    }

    fn check_form(&self) -> Result<(), Problem> {
        self.bounded()
            .map_err(|why| Problem::fail(CODE, format!("evidence manifest: {why}")))
    }

    fn bounded(&self) -> bounds::Checked {
        bounds::schema_version(&self.schema_version)?;
        TaskId::parse(&self.task_id).map_err(|problem| problem.message)?;
        bounds::object_id("base", &self.base)?;
        bounds::object_id("tree", &self.tree)?;
        bounds::sha256("patch_sha256", &self.patch_sha256)?;
        bounds::sha256("policy_sha256", &self.policy_sha256)?;
        bounds::sha256("runner_sha256", &self.runner_sha256)?;
        bounds::list("files", &self.files, 0, MOST_FILES, |file| {
            check_path(&file.path)?;
            bounds::sha256("files.sha256", &file.sha256)
        })?;
        let sorted = self.files.is_sorted_by(|one, next| one.path < next.path);
        if sorted {
            Ok(())
        } else {
            Err("files are not sorted by path, or one stands twice".to_owned())
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// `IO_ERROR` when they cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Problem::fail("IO_ERROR", error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Writes it into the task's folder, where nothing is overwritten.
    ///
    /// # Errors
    /// As [`TaskFolder::write_new`].
    pub fn write(&self, task: &TaskFolder) -> Result<Artifact, Problem> {
        task.write_next(ArtifactKind::GateEvidence, NAME, &self.to_bytes()?)
    }

    /// Whether it is about this candidate.
    ///
    /// # Errors
    /// `EVIDENCE_UNBOUND`.
    pub fn check_candidate(&self, candidate: &Candidate) -> Result<(), Problem> {
        for (field, got, expected) in [
            ("task_id", &self.task_id, &candidate.task_id),
            ("base", &self.base, &candidate.base),
            ("tree", &self.tree, &candidate.tree),
            ("patch_sha256", &self.patch_sha256, &candidate.patch_sha256),
        ] {
            if got != expected {
                return Err(Problem::fail(
                    "EVIDENCE_UNBOUND",
                    format!("the evidence manifest has {field} {got}, the candidate {expected}"),
                ));
            }
        }
        Ok(())
    }

    /// Compares the evidence folder with the manifest and names every missing, changed and
    /// additional file. A file that another kept result of the task names is none of these.
    ///
    /// # Errors
    /// What keeps the folder from being read at all.
    pub fn check(&self, task: &TaskFolder) -> Result<Vec<Difference>, Problem> {
        let mut differences: Vec<_> = self
            .files
            .iter()
            .filter_map(|file| file.compare(task))
            .collect();
        let mut known = named_by_results(task)?;
        known.extend(self.files.iter().map(|file| file.path.clone()));
        for path in listed(task)? {
            if !known.contains(&path) {
                let what = Differs::Additional;
                differences.push(Difference { path, what });
            }
        }
        Ok(differences)
    }
}

impl EvidenceFile {
    fn compare(&self, task: &TaskFolder) -> Option<Difference> {
        let what = match task.read(&self.path) {
            Err(problem) if problem.code == "FILE_MISSING" => Differs::Missing,
            Err(problem) => Differs::Changed(problem.message),
            Ok(bytes) => {
                let (got, length) = (digest::sha256(&bytes), bytes.len() as u64);
                if got == self.sha256 && length == self.bytes {
                    return None;
                }
                Differs::Changed(format!(
                    "{length} bytes with SHA-256 {got}, expected {} with {}",
                    self.bytes, self.sha256
                ))
            }
        };
        Some(Difference {
            path: self.path.clone(),
            what,
        })
    }
}

/// One file in the evidence folder itself, under a name that shows.
fn check_path(path: &str) -> bounds::Checked {
    bounds::task_path("files.path", path)?;
    let name = path.strip_prefix(FOLDER).and_then(|p| p.strip_prefix('/'));
    if name.is_some_and(|name| !name.contains('/')) && visible_line(path) == path {
        return Ok(());
    }
    Err(format!(
        "files.path is \"{}\", expected a file such as evidence/G5.log",
        path.escape_debug()
    ))
}

/// The part of an artifact's path below the task's folder.
fn name_in_task(artifact: &Artifact) -> Option<&str> {
    artifact.path.splitn(4, '/').nth(3)
}

/// Every file that a kept result of the task names.
fn named_by_results(task: &TaskFolder) -> Result<BTreeSet<String>, Problem> {
    let mut known = BTreeSet::new();
    for kept in task.envelopes()? {
        let artifacts = kept.envelope.artifacts.iter();
        known.extend(artifacts.filter_map(name_in_task).map(str::to_owned));
    }
    Ok(known)
}

/// Moves what lies in the evidence folder and is named by no kept result into `unrecorded/`: a
/// killed run left it, and it is no evidence. To be called before a run writes its own.
///
/// # Errors
/// `EVIDENCE_CHANGED` when the kept results cannot be read, `IO_ERROR`.
pub fn set_unrecorded_aside(task: &TaskFolder) -> Result<(), Problem> {
    let known = named_by_results(task)?;
    let unknown = listed(task)?;
    let unknown: Vec<_> = unknown
        .iter()
        .filter(|path| !known.contains(*path))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let trouble = |error: std::io::Error| Problem::io(task.path(FOLDER), &error);
    let evidence = task.folder().sub(FOLDER).map_err(trouble)?;
    let aside = task.folder().sub_or_new("unrecorded").map_err(trouble)?;
    let mut number = aside.list().map_err(trouble)?.len();
    for path in unknown {
        let name = path.strip_prefix(FOLDER).and_then(|p| p.strip_prefix('/'));
        let Some(name) = name else { continue };
        // A name that does not show as it is stays where it is, and `check` names it.
        if !evidence.exists(name).map_err(trouble)? {
            continue;
        }
        number += 1;
        evidence
            .move_to(name, &aside, &format!("{number}-{name}"))
            .map_err(trouble)?;
    }
    Ok(())
}

/// Everything in the evidence folder, links and folders too. Temporary files of a killed write are
/// passed over, as every reader does.
fn listed(task: &TaskFolder) -> Result<Vec<String>, Problem> {
    let trouble = |error: &std::io::Error| Problem::io(task.path(FOLDER), error);
    let folder = match task.folder().sub(FOLDER) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(trouble(&error)),
    };
    let most = 2 * MOST_FILES;
    let found = folder.names(most).map_err(|error| trouble(&error))?;
    let found = found.ok_or_else(|| {
        let path = task.path(FOLDER);
        Problem::fail(CODE, format!("{path} holds more than {most} files"))
    })?;
    let mut names: Vec<_> = found
        .iter()
        .filter(|name| !name.starts_with(b".tmp-"))
        .map(|name| visible_line(&String::from_utf8_lossy(&visible(name))))
        .map(|name| format!("{FOLDER}/{name}"))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// SHA-256 of the program that is running.
///
/// # Errors
/// `IO_ERROR`.
pub fn running_program() -> Result<String, Problem> {
    let trouble = |error: std::io::Error| Problem::io("the running program", &error);
    // The link leads to the program that was started, also when another one lies there by now.
    let own = std::path::Path::new("/proc/self/exe");
    let mut file = std::fs::File::open(own)
        .or_else(|_| std::fs::File::open(std::env::current_exe()?))
        .map_err(trouble)?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(trouble)?;
        if read == 0 {
            return Ok(digest::hex(&sha256.finalize()));
        }
        sha256.update(buffer.get(..read).unwrap_or_default());
    }
}
