//! `MANIFEST.json`: where things lie, and the guard rails, as the brief fixes them.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::audit;
use crate::envelope::QUEUE_ROOT;
use crate::problem::Problem;
use crate::store::{STOP, database};
use crate::{bounds, files, wire};

/// Where the single source of truth lies.
pub const SSOT: &str = ".autodev_ssot";
/// What a manifest says of a queue in folders.
pub const FOLDERS: &str = "folder";
const CODE: &str = "MANIFEST_INVALID";
const MAX_BYTES: usize = 1 << 20;
const NEXT: &str = "correct .autodev_ssot/MANIFEST.json, or restore it from git";

/// Where things lie. There is one reading of each path; another one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Paths {
    pub queue_dir: String,
    pub ssot_dir: String,
    pub kill_switch: String,
    pub audit_events: String,
}

/// The default model runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Ollama {
    pub base_url_in_compose_network: String,
    pub generate_endpoint: String,
    pub default_model: String,
}

/// The guard rails that a report quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Guardrails {
    pub dry_run_default: bool,
    pub repo_mount_readonly: bool,
    #[serde(deserialize_with = "wire::count")]
    pub max_file_bytes: u64,
    #[serde(deserialize_with = "wire::count")]
    pub max_context_files: u64,
    pub require_unified_diff: bool,
    pub deny_paths_glob: Vec<String>,
}

/// How the log is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct AuditSettings {
    pub append_only: bool,
    pub hash_alg: String,
}

/// The content of `MANIFEST.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the brief's and say it")]
pub struct Manifest {
    pub schema_version: String,
    pub project_name: String,
    pub stage_current: String,
    pub stage_next: String,
    pub paths: Paths,
    pub ollama: Ollama,
    pub guardrails: Guardrails,
    pub roles: Map<String, Value>,
    pub audit: AuditSettings,
    /// Where the queue lies: `folder`, or the address of a database. Without it, in folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// `MANIFEST_INVALID` naming the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let manifest: Self = wire::parse(bytes, MAX_BYTES, "manifest", CODE)
            .map_err(|problem| problem.hint(NEXT))?;
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    fn check(&self) -> bounds::Checked {
        bounds::schema_version(&self.schema_version)?;
        bounds::text("project_name", &self.project_name, 1, 200)?;
        bounds::text("stage_current", &self.stage_current, 1, 64)?;
        bounds::text("stage_next", &self.stage_next, 1, 64)?;
        self.store.as_deref().map_or(Ok(()), check_store)?;
        for (field, got, expected) in [
            (
                "paths.queue_dir",
                &self.paths.queue_dir,
                QUEUE_ROOT.to_owned(),
            ),
            ("paths.ssot_dir", &self.paths.ssot_dir, SSOT.to_owned()),
            (
                "paths.kill_switch",
                &self.paths.kill_switch,
                format!("{QUEUE_ROOT}/{STOP}"),
            ),
            (
                "paths.audit_events",
                &self.paths.audit_events,
                audit::path(),
            ),
            ("audit.hash_alg", &self.audit.hash_alg, "sha256".to_owned()),
        ] {
            if *got != expected {
                return Err(format!(
                    "{field} is \"{}\", expected \"{expected}\"",
                    got.escape_debug()
                ));
            }
        }
        if !self.audit.append_only || !self.guardrails.require_unified_diff {
            return Err(
                "audit.append_only and guardrails.require_unified_diff must be true".to_owned(),
            );
        }
        bounds::number(
            "guardrails.max_file_bytes",
            self.guardrails.max_file_bytes,
            1,
            1 << 30,
        )?;
        bounds::number(
            "guardrails.max_context_files",
            self.guardrails.max_context_files,
            1,
            10_000,
        )?;
        bounds::list(
            "guardrails.deny_paths_glob",
            &self.guardrails.deny_paths_glob,
            0,
            1000,
            |glob| bounds::task_path("guardrails.deny_paths_glob", glob),
        )?;
        self.check_rest()
    }

    fn check_rest(&self) -> bounds::Checked {
        let ollama = &self.ollama;
        bounds::text(
            "ollama.base_url_in_compose_network",
            &ollama.base_url_in_compose_network,
            1,
            2048,
        )?;
        bounds::text(
            "ollama.generate_endpoint",
            &ollama.generate_endpoint,
            1,
            2048,
        )?;
        let url = &ollama.base_url_in_compose_network;
        let scheme = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        if scheme.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            return Err(format!(
                "ollama.base_url_in_compose_network \"{}\" is no http or https address",
                url.escape_debug()
            ));
        }
        if !ollama.generate_endpoint.starts_with('/')
            || ollama.generate_endpoint.contains(char::is_whitespace)
        {
            return Err(
                "ollama.generate_endpoint must begin with '/' and hold no blanks".to_owned(),
            );
        }
        bounds::text("ollama.default_model", &ollama.default_model, 1, 200)?;
        let known = [
            "claude_code",
            "cursor",
            "openclaw",
            "ollama",
            "human",
            "system",
        ];
        if let Some(unknown) = self
            .roles
            .keys()
            .find(|role| !known.contains(&role.as_str()))
        {
            return Err(format!(
                "roles names \"{}\", expected one of {known:?}",
                unknown.escape_debug()
            ));
        }
        for role in ["claude_code", "cursor", "openclaw", "ollama"] {
            if !self.roles.contains_key(role) {
                return Err(format!("roles lacks {role}"));
            }
        }
        self.roles
            .iter()
            .try_for_each(|(role, duties)| check_duties(role, duties))
    }
}

fn check_duties(role: &str, duties: &Value) -> bounds::Checked {
    let expected =
        || format!("roles.{role} must be a list of at most 32 different duties such as read_repo");
    let list = duties
        .as_array()
        .filter(|list| list.len() <= 32)
        .ok_or_else(expected)?;
    let names: Vec<_> = list
        .iter()
        .map(|duty| duty.as_str().ok_or_else(expected))
        .collect::<Result<_, _>>()?;
    bounds::unique(role, &names)?;
    let plain = |name: &&str| {
        name.len() <= 64
            && name
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if names.iter().all(plain) {
        Ok(())
    } else {
        Err(expected())
    }
}
/// An address that a manifest may hold: it is committed, so no password is in it.
fn check_store(address: &str) -> bounds::Checked {
    bounds::text("store", address, 1, 1024)?;
    let after = |scheme: &str| {
        address
            .strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    };
    if address != FOLDERS && !after("sqlite:") && !after("postgres://") {
        return Err(format!(
            "store is \"{}\", expected folder, sqlite:PATH or postgres://USER@HOST/DATABASE",
            database::shown(address).escape_debug()
        ));
    }
    // No such file is meant, and SQLite's own addresses are not read.
    if address.starts_with("sqlite:file:") || address.starts_with("sqlite::") {
        return Err(format!(
            "store is \"{}\", expected a plain path after sqlite:, such as sqlite:.autodev_queue/queue.db",
            address.escape_debug()
        ));
    }
    if address.starts_with("sqlite:") {
        return Ok(());
    }
    if database::has_password(address) {
        return Err(
            "store holds a password, and is committed: expected it in PGPASSWORD or in a \
                    password file"
                .to_owned(),
        );
    }
    Ok(())
}

/// The address of the database that holds the queue of the repository at `root`; `None` where it lies in
/// folders. A repository with no manifest has its queue in folders.
///
/// # Errors
/// `MANIFEST_INVALID`.
pub fn store_of(root: &Path) -> Result<Option<String>, Problem> {
    #[derive(Deserialize)]
    struct Pointer {
        #[serde(default)]
        store: Option<String>,
    }
    let bytes = match files::read_placed(&root.join(SSOT).join("MANIFEST.json"), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(invalid(error)),
    };
    let pointer: Pointer = serde_json::from_slice(&bytes).map_err(invalid)?;
    let Some(address) = pointer.store.filter(|address| address != FOLDERS) else {
        return Ok(None);
    };
    check_store(&address).map_err(invalid)?;
    Ok(Some(address))
}

/// Refuses an address that no manifest may hold.
///
/// # Errors
/// `MANIFEST_INVALID`.
pub fn check_address(address: &str) -> Result<(), Problem> {
    check_store(address)
        .map_err(|why| Problem::fail(CODE, format!("manifest: {why}")).hint("name another address"))
}

fn invalid(why: impl std::fmt::Display) -> Problem {
    Problem::fail(CODE, format!("manifest: {why}")).hint(NEXT)
}
