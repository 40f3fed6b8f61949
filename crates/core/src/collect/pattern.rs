//! Which files are taken: a relative path whose parts may be simple globs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

use super::shows;
use crate::bounds;
use crate::problem::Problem;

/// How deep a pattern may lead.
const MOST_PARTS: usize = 32;

/// A relative path. `*`, `?`, `[…]` and `{…}` match inside one part of it; there is no `**`, so the
/// pattern itself bounds how far a walk goes.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// One part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Name(String),
    Glob(NameGlob),
}

/// A glob over one name.
#[derive(Clone, Debug)]
pub(super) struct NameGlob(GlobMatcher);

impl NameGlob {
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        self.0.is_match(OsStr::from_bytes(name))
    }

    pub(super) fn text(&self) -> &str {
        self.0.glob().glob()
    }
}

impl Part {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Glob(glob) => glob.text(),
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `COLLECT_PATTERN` when it is absolute, leads upwards, holds `**`, or is no glob.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let refuse = |why: String| {
            Problem::fail("COLLECT_PATTERN", format!("pattern: {why}"))
                .hint("write a path below the tree's root, such as target/reports/*.xml")
        };
        bounds::task_path("the path", text).map_err(refuse)?;
        if !shows(text) {
            let text = text.escape_debug();
            return Err(refuse(format!("\"{text}\" holds characters that hide")));
        }
        let parts = text.split('/').map(part);
        let parts: Vec<_> = parts.collect::<Result<_, _>>().map_err(refuse)?;
        bounds::number("the depth", parts.len() as u64, 1, MOST_PARTS as u64).map_err(refuse)?;
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

fn part(text: &str) -> Result<Part, String> {
    if !text.contains(['*', '?', '[', '{']) {
        return Ok(Part::Name(text.to_owned()));
    }
    if text.contains("**") {
        return Err(format!("\"{text}\" holds **, expected the folders by name"));
    }
    let glob = GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Part::Glob(NameGlob(glob.compile_matcher())))
}
