//! What a skill must be so that every agent's parser, and every validator known to us, reads it alike.

mod body;
mod head;
mod tree;

use std::fmt;
use std::path::Path;

use baton_core::problem::Problem;

/// Every rule: its code, and what it demands.
pub const RULES: [(&str, &str); 27] = [
    (
        "SKILL_MISSING",
        "a skill is a folder that holds a file named exactly SKILL.md",
    ),
    (
        "TREE_SIZE",
        "at most 100 files, 4 folders deep, 256 KiB each",
    ),
    (
        "FILE_KIND",
        "only folders and regular files, with plain ASCII names",
    ),
    (
        "FILE_STRAY",
        "no README or CHANGELOG: agents read SKILL.md and what it names",
    ),
    (
        "FILE_FORM",
        "SKILL.md is UTF-8 without a byte order mark, its lines end with LF alone",
    ),
    (
        "TEXT_HIDDEN",
        "no character that shows nothing, turns the writing direction or ends a line for some parsers",
    ),
    ("FRONTMATTER_OPEN", "the first line is ---"),
    (
        "FRONTMATTER_CLOSE",
        "a later line is --- alone, within the first 64 lines",
    ),
    (
        "FRONTMATTER_DASHES",
        "no other --- stands between the two: some parsers end there",
    ),
    (
        "FRONTMATTER_FORM",
        "lines are key: \"value\", key: word, key: >- or metadata:",
    ),
    (
        "YAML_DISAGREES",
        "a YAML parser reads each value as the same text",
    ),
    (
        "KEY_UNKNOWN",
        "only name, description, license, compatibility and metadata",
    ),
    ("KEY_TWICE", "no key stands twice"),
    (
        "KEY_MISSING",
        "name, description, license, compatibility and metadata are all there",
    ),
    (
        "NAME_FORM",
        "the name is 1 to 64 of a-z, 0-9 and single hyphens inside",
    ),
    ("NAME_FOLDER", "the name is the folder's name"),
    (
        "DESCRIPTION_QUOTES",
        "the description stands in double quotes or after >-",
    ),
    (
        "DESCRIPTION_LENGTH",
        "the description has 1 to 350 characters: listings share a budget",
    ),
    ("DESCRIPTION_ANGLE", "the description holds neither < nor >"),
    ("DESCRIPTION_WHEN", "the description says \"Use when\""),
    (
        "COMPATIBILITY_LENGTH",
        "compatibility has 1 to 500 characters",
    ),
    (
        "METADATA_QUOTES",
        "metadata's values stand in double quotes",
    ),
    (
        "BODY_LENGTH",
        "the body has 1 to 500 lines and at most 20000 bytes",
    ),
    (
        "LINK_BROKEN",
        "a relative link leads to a file inside the skill, with forward slashes",
    ),
    (
        "REFERENCE_UNUSED",
        "the body names every file under references/: others are never read",
    ),
    ("JSON_INVALID", "a .json file parses"),
    ("SCRIPT_MODE", "a file under scripts/ may be executed"),
];

/// The longest description; the specification allows 1024, and listings cut them much earlier.
pub const MAX_DESCRIPTION: usize = 350;

/// Whether this may be the name of a skill: what every platform takes.
#[must_use]
pub fn is_name(name: &str) -> bool {
    head::is_name(name)
}

/// A rule that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's code, one of [`RULES`].
    pub code: &'static str,
    /// The file, below the folder that was named.
    pub path: String,
    /// The line, counted from 1, if it is about one.
    pub line: Option<usize>,
    /// What was got, and what was expected.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}: {}", self.path, self.code, self.message),
            None => write!(f, "{}: {}: {}", self.path, self.code, self.message),
        }
    }
}

/// What a lint found.
#[derive(Clone, Debug)]
pub struct Linted {
    /// The names of the skills that were looked at.
    pub skills: Vec<String>,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

/// Lints one skill, or every skill of a folder: `agents/` in such a folder holds agents and is left out.
///
/// # Errors
/// `SKILLS_MISSING` when there is no skill at all, else when the folder cannot be read.
pub fn folder(path: &Path) -> Result<Linted, Problem> {
    // "." has no name of its own, and a skill must be called as its folder is.
    let path = path
        .canonicalize()
        .map_err(|error| Problem::io(path.display(), &error))?;
    let mut linted = Linted {
        skills: Vec::new(),
        findings: Vec::new(),
    };
    if path.join("SKILL.md").symlink_metadata().is_ok() {
        one(&path, "", &mut linted)?;
    } else {
        for name in tree::folders(&path)? {
            if name != "agents" {
                let skill = path.join(&name);
                let skill = skill
                    .canonicalize()
                    .map_err(|error| Problem::io(skill.display(), &error))?;
                one(&skill, &format!("{name}/"), &mut linted)?;
            }
        }
    }
    // The system lists folders in any order.
    linted
        .findings
        .sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    if linted.skills.is_empty() {
        let what = format!("{} holds no skill and is none", path.display());
        return Err(Problem::fail("SKILLS_MISSING", what)
            .hint("name a folder with a SKILL.md, or a folder of such folders"));
    }
    Ok(linted)
}

fn one(path: &Path, prefix: &str, linted: &mut Linted) -> Result<(), Problem> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut report = Report {
        prefix,
        findings: &mut linted.findings,
    };
    let tree = tree::read(path, &mut report)?;
    tree::check(&tree, &mut report);
    if let Some(text) = head::text(&tree, &mut report)
        && let Some((head, body)) = head::split(text, &mut report)
    {
        head::check(&head, &name, &mut report);
        body::check(&body, &tree, &mut report);
    }
    linted.skills.push(name.into_owned());
    Ok(())
}

/// Where findings go.
struct Report<'a> {
    prefix: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Report<'_> {
    fn add(
        &mut self,
        code: &'static str,
        path: &str,
        line: Option<usize>,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding {
            code,
            path: format!("{}{path}", self.prefix),
            line,
            message: message.into(),
        });
    }

    /// About `SKILL.md`.
    fn skill(&mut self, code: &'static str, line: Option<usize>, message: impl Into<String>) {
        self.add(code, tree::SKILL, line, message);
    }
}

/// Some lines of `SKILL.md`, and the number of the first.
struct Part<'a> {
    text: &'a str,
    first: usize,
}
