//! Puts the pack where coding agents look: one real copy of each skill in `.agents/skills`, and a link to
//! it where an agent looks elsewhere, so that nobody sees a skill twice.
//!
//! What is there is compared with what is wanted before anything is touched. A file counts as ours when the
//! record beside the skills names its path and its SHA-256; anything else is never overwritten or removed.
//! The record is written first, with old and new digests, so a run that is killed is finished by the next.

mod place;
mod record;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use baton_core::digest;
use baton_core::problem::Problem;
use serde::{Deserialize, Serialize};

use self::place::{Found, Root};
use self::record::Record;

/// An agent that reads skills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// OpenAI Codex.
    Codex,
    /// Cursor.
    Cursor,
    /// GitHub Copilot: VS Code, its command line and its cloud agent.
    Copilot,
    /// Claude Code.
    Claude,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 4] = [Self::Codex, Self::Cursor, Self::Copilot, Self::Claude];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Cursor => "cursor",
            Self::Copilot => "copilot",
            Self::Claude => "claude",
        }
    }

    /// How a person switches one skill off there.
    #[must_use]
    pub fn switch_off(self) -> &'static str {
        match self {
            Self::Codex => {
                "in ~/.codex/config.toml: [[skills.config]] with name = \"NAME\" and enabled = false"
            }
            Self::Cursor => {
                "install it with --explicit-only=NAME: it then runs only when it is named"
            }
            Self::Copilot => {
                "copilot skill disable NAME; in VS Code install it with --explicit-only=NAME"
            }
            Self::Claude => {
                "in .claude/settings.json: \"skillOverrides\": {\"NAME\": \"off\"}, or deny Skill(NAME)"
            }
        }
    }
}

/// What is to be installed, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// For whom.
    pub platforms: BTreeSet<Platform>,
    /// Copies in place of links, for file systems without links.
    pub copy: bool,
    /// Skills that are used only when they are named.
    pub explicit_only: BTreeSet<String>,
    /// The read-only agent that verifies, too.
    pub verifier: bool,
    /// The root is a person's home and not a repository.
    pub user: bool,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `write`, `replace`, `link` or `remove`.
    pub act: &'static str,
    /// The path below the root.
    pub path: String,
}

/// What would be done, or was done.
#[derive(Debug)]
pub struct Plan {
    root: Root,
    before: Record,
    after: Record,
    files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
    /// The steps; none when everything is as it should be.
    pub steps: Vec<Step>,
    /// What is there and wanted, and was put there by somebody else.
    pub foreign: Vec<String>,
}

/// Says what installing would do below `root`, and touches nothing. The platforms of an earlier run stay.
///
/// # Errors
/// `SKILLS_CONFLICT` when something is in the way, `LINK_REFUSED` when a link leads elsewhere,
/// `RECORD_INVALID`, else the system's.
pub fn plan(root: &Path, options: &Options) -> Result<Plan, Problem> {
    let (root, before) = open(root)?;
    let mut options = options.clone();
    options.platforms.extend(&before.options.platforms);
    compare(root, before, options)
}

/// Says what uninstalling for these platforms would do, and touches nothing; none means all.
///
/// # Errors
/// As [`plan`].
pub fn plan_removal(root: &Path, platforms: &BTreeSet<Platform>) -> Result<Plan, Problem> {
    let (root, before) = open(root)?;
    let mut options = before.options.clone();
    if platforms.is_empty() {
        options.platforms.clear();
    }
    options.platforms.retain(|one| !platforms.contains(one));
    compare(root, before, options)
}

fn open(root: &Path) -> Result<(Root, Record), Problem> {
    let root = Root::open(root)?;
    let record = record::read(&root)?;
    Ok((root, record))
}

fn compare(root: Root, before: Record, options: Options) -> Result<Plan, Problem> {
    let (mut files, mut links) = wanted::tree(&options);
    if root.is_same_folder(wanted::REAL, wanted::CLAUDE) {
        // Claude Code looks at the one real copy already.
        files.retain(|path, _| !path.starts_with(wanted::CLAUDE));
        links.clear();
    }
    let mut plan = Plan {
        root,
        before,
        after: Record::new(options),
        files,
        links,
        steps: Vec::new(),
        foreign: Vec::new(),
    };
    let mut conflicts = Vec::new();
    plan.compare_old(&mut conflicts)?;
    plan.compare_files(&mut conflicts)?;
    plan.compare_links(&mut conflicts)?;
    if conflicts.is_empty() {
        return Ok(plan);
    }
    Err(Problem::fail(
        "SKILLS_CONFLICT",
        format!("nothing was changed: {}", conflicts.join("; ")),
    )
    .hint("move these away or put back what was there, and run it again"))
}

impl Plan {
    fn step(&mut self, act: &'static str, path: &str) {
        let path = path.to_owned();
        self.steps.push(Step { act, path });
    }

    /// Whether a path leads through a link of ours: nothing of its own lies there then.
    fn is_through_link(&self, path: &str) -> Result<bool, Problem> {
        for (link, target) in self.before.links.iter().chain(&self.links) {
            let is_below = path
                .strip_prefix(link.as_str())
                .is_some_and(|rest| rest.starts_with('/'));
            if is_below && self.root.find(link)? == Found::Link(target.clone()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an earlier run put there and nobody wants any more.
    fn compare_old(&mut self, conflicts: &mut Vec<String>) -> Result<(), Problem> {
        for (path, digests) in self.before.files.clone() {
            if self.files.contains_key(&path) || self.is_through_link(&path)? {
                continue;
            }
            match self.root.find(&path)? {
                Found::Nothing => {}
                Found::File(digest) if digests.contains(&digest) => self.step("remove", &path),
                _ => conflicts.push(format!("{path} was edited since it was installed")),
            }
        }
        for (path, target) in self.before.links.clone() {
            if self.links.contains_key(&path) {
                continue;
            }
            match self.root.find(&path)? {
                Found::Link(found) if found == target => self.step("remove", &path),
                // A copy takes its place, and is compared with the files.
                Found::Nothing | Found::Folder => {}
                _ => conflicts.push(format!("{path} is another link by now")),
            }
        }
        Ok(())
    }

    fn compare_files(&mut self, conflicts: &mut Vec<String>) -> Result<(), Problem> {
        for (path, bytes) in self.files.clone() {
            let digest = digest::sha256(&bytes);
            let ours = self.before.files.get(&path).cloned().unwrap_or_default();
            let found = match self.is_through_link(&path)? {
                true => Found::Nothing,
                false => self.root.find(&path)?,
            };
            match found {
                Found::Nothing if self.is_strange(&path)? => {
                    conflicts.push(format!("the folder of {path} is somebody else's"));
                    continue;
                }
                Found::Nothing => self.step("write", &path),
                Found::File(found) if found == digest && ours.contains(&found) => {}
                Found::File(found) if found == digest => {
                    self.foreign.push(path);
                    continue;
                }
                Found::File(found) if ours.contains(&found) => self.step("replace", &path),
                _ => {
                    conflicts.push(in_the_way(&path, !ours.is_empty()));
                    continue;
                }
            }
            self.after.files.insert(path, BTreeSet::from([digest]));
        }
        Ok(())
    }

    /// Whether a file would be put into a skill's folder that holds something, and nothing of ours.
    fn is_strange(&self, path: &str) -> Result<bool, Problem> {
        let Some(folder) = path.strip_suffix("/SKILL.md") else {
            return Ok(false);
        };
        let inside = format!("{folder}/");
        let mut known = self.before.files.keys();
        if known.any(|known| known.starts_with(&inside)) {
            return Ok(false);
        }
        Ok(
            self.root.find(folder)? == Found::Folder
                && !self.root.holds_only(folder, &|_| false)?,
        )
    }

    fn compare_links(&mut self, conflicts: &mut Vec<String>) -> Result<(), Problem> {
        for (path, target) in self.links.clone() {
            match self.root.find(&path)? {
                Found::Nothing => self.step("link", &path),
                Found::Link(found) if found == target => {
                    if !self.before.links.contains_key(&path) {
                        self.foreign.push(path);
                        continue;
                    }
                }
                // Our own copy goes first, if nothing else lies in its folder.
                Found::Folder if self.root.holds_only(&path, &|inner| self.removes(inner))? => {
                    self.step("link", &path);
                }
                _ => {
                    conflicts.push(in_the_way(&path, false));
                    continue;
                }
            }
            self.after.links.insert(path, target);
        }
        Ok(())
    }

    fn removes(&self, path: &str) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.act == "remove" && step.path == path)
    }

    /// Does it.
    ///
    /// # Errors
    /// The system's; what was done by then is in the record, and the next run finishes it.
    pub fn carry_out(&self) -> Result<(), Problem> {
        if self.steps.is_empty() && self.before == self.after {
            return Ok(());
        }
        record::write(&self.root, &self.before.joined(&self.after))?;
        // What goes comes first: a copy may stand where a link is wanted.
        for step in self.steps.iter().filter(|step| step.act == "remove") {
            self.root.remove(&step.path)?;
        }
        for step in self.steps.iter().filter(|step| step.act != "remove") {
            let target = self.links.get(&step.path);
            match (target, self.files.get(&step.path)) {
                (Some(target), _) if step.act == "link" => self.root.link(&step.path, target)?,
                (_, Some(bytes)) => self.root.write(&step.path, bytes, step.act == "replace")?,
                _ => {}
            }
        }
        if self.after.is_empty() {
            return record::remove(&self.root);
        }
        record::write(&self.root, &self.after)
    }

    /// For whom the skills are installed once this is done.
    #[must_use]
    pub fn platforms(&self) -> &BTreeSet<Platform> {
        &self.after.options.platforms
    }
}

fn in_the_way(path: &str, was_ours: bool) -> String {
    match was_ours {
        true => format!("{path} was edited since it was installed"),
        false => format!("{path} is there and was not installed by baton"),
    }
}
