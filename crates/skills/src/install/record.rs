//! What was installed: the record lies beside the skills, and in a repository is committed with them.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::problem::Problem;
use baton_core::wire;
use serde::{Deserialize, Serialize};

use super::place::{Found, Root};
use super::{Options, wanted};

const PATH: &str = ".agents/baton-skills.json";
const MAX_BYTES: usize = 256 << 10;
const FORMAT: u32 = 1;

/// What an earlier run put there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// How it was asked for.
    pub(super) options: Options,
    /// The digests that a file of ours may have: more than one only while a run is under way.
    pub(super) files: BTreeMap<String, BTreeSet<String>>,
    pub(super) links: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn new(options: Options) -> Self {
        Self {
            format: FORMAT,
            options,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.options.platforms.is_empty() && self.files.is_empty() && self.links.is_empty()
    }

    /// What holds while the work is under way: either state of each file.
    pub(super) fn joined(&self, after: &Self) -> Self {
        let mut joined = after.clone();
        for (path, digests) in &self.files {
            let all = joined.files.entry(path.clone()).or_default();
            all.extend(digests.iter().cloned());
        }
        for (path, target) in &self.links {
            let known = joined.links.entry(path.clone());
            known.or_insert_with(|| target.clone());
        }
        joined
    }
}

/// Reads the record; an empty one when nothing was installed. It may come with a repository that somebody
/// else made, so it can only name what this program puts there.
pub(super) fn read(root: &Root) -> Result<Record, Problem> {
    let Some(bytes) = root.read(PATH, MAX_BYTES)? else {
        return Ok(Record::new(Options::default()));
    };
    let record: Record = wire::parse_unique(&bytes, MAX_BYTES, PATH, "RECORD_INVALID")?;
    let odd = record.files.keys().find(|path| !wanted::may_hold(path));
    let odd = odd.or_else(|| {
        let mut links = record.links.iter();
        let odd = links.find(|(path, target)| !wanted::may_link(path, target));
        odd.map(|(path, _)| path)
    });
    let why = match odd {
        Some(path) => format!(
            "names {}, which is no place for skills",
            path.escape_debug()
        ),
        None if record.format != FORMAT => format!("has format {}, expected 1", record.format),
        None => return Ok(record),
    };
    Err(Problem::fail("RECORD_INVALID", format!("{PATH} {why}"))
        .hint("put it back as it was, or move it away: then nothing there counts as installed"))
}

pub(super) fn write(root: &Root, record: &Record) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(record).unwrap_or_default() + "\n";
    let is_there = root.find(PATH)? != Found::Nothing;
    root.write(PATH, text.as_bytes(), is_there)
}

pub(super) fn remove(root: &Root) -> Result<(), Problem> {
    match root.find(PATH)? {
        Found::Nothing => Ok(()),
        _ => root.remove(PATH),
    }
}
