//! What the engine looks at: the sections of a patch, and what a repository adds to them.

use baton_patch::path::{self, PathWarning};
use baton_patch::{Body, Op, Patch, Section, quote};

use crate::outputs::DiffStats;

/// One file of a change.
#[derive(Debug)]
pub struct ScanFile<'p> {
    /// The section of the patch.
    pub section: &'p Section<'p>,
    /// What happens; a deletion and a creation of one path are one change of type.
    pub op: Op,
    /// The path that is written, or removed, for people: quoted where git would quote it.
    pub path: String,
    /// The source of a rename or copy.
    pub old_path: Option<String>,
    /// How many lines the old file has, where a repository could be asked.
    pub old_lines: Option<u64>,
    /// The new content of a binary, where it is known.
    pub binary: Option<Vec<u8>>,
}

/// A whole change.
#[derive(Debug)]
pub struct ScanInput<'p> {
    /// Its files.
    pub files: Vec<ScanFile<'p>>,
    /// The text around the sections.
    pub around: Vec<&'p [u8]>,
}

impl<'p> ScanInput<'p> {
    /// Takes a patch apart.
    #[must_use]
    pub fn from_patch(patch: &'p Patch<'p>) -> Self {
        let mut files: Vec<ScanFile<'p>> = Vec::with_capacity(patch.sections.len());
        for section in &patch.sections {
            let mut file = file(section);
            let replaced = files.last().is_some_and(|before| {
                before.op == Op::Delete
                    && file.op == Op::Add
                    && before.section.path() == section.path()
            });
            if replaced {
                files.pop();
                file.op = Op::Type;
            }
            files.push(file);
        }
        Self {
            files,
            around: vec![patch.prologue, patch.trailer],
        }
    }

    /// Asks a repository for what the text does not tell: the content of binaries that came as a
    /// delta, and the length of files that shrink.
    pub fn ask(
        &mut self,
        new_content: impl Fn(&str) -> Option<Vec<u8>>,
        old_content: impl Fn(&str) -> Option<Vec<u8>>,
    ) {
        for file in &mut self.files {
            // Asked by its own name, not by the one that is shown. git hands out no others.
            let name = std::str::from_utf8(file.section.path()).unwrap_or(&file.path);
            if matches!(file.section.body, Body::BinaryDelta(_)) {
                file.binary = new_content(name);
            }
            if matches!(file.op, Op::Modify | Op::Rename)
                && file.section.deletions > file.section.insertions
            {
                let old = file.section.old_path.as_deref();
                let old = old.and_then(|old| std::str::from_utf8(old).ok());
                file.old_lines = old_content(old.unwrap_or(name)).as_deref().map(lines);
            }
        }
    }

    /// The size of the change.
    #[must_use]
    pub fn stats(&self) -> DiffStats {
        DiffStats {
            files_changed: self.files.len() as u64,
            insertions: self
                .files
                .iter()
                .map(|file| file.section.insertions as u64)
                .sum(),
            deletions: self
                .files
                .iter()
                .map(|file| file.section.deletions as u64)
                .sum(),
        }
    }
}

fn file<'p>(section: &'p Section<'p>) -> ScanFile<'p> {
    let moved = matches!(section.op, Op::Rename | Op::Copy);
    let binary = match &section.body {
        Body::Binary { new, .. } => Some(new.clone()),
        Body::Text(_) | Body::BinaryDelta(_) | Body::None => None,
    };
    ScanFile {
        section,
        op: section.op,
        path: shown(section.path()),
        old_path: section.old_path.as_deref().filter(|_| moved).map(shown),
        old_lines: None,
        binary,
    }
}

/// How many lines a file has; a last one without a line feed counts.
fn lines(content: &[u8]) -> u64 {
    let ends = content.iter().filter(|byte| **byte == b'\n').count() as u64;
    ends + u64::from(content.last().is_some_and(|byte| *byte != b'\n'))
}

/// A path as text: as it is when every character of it shows, else quoted as git does, which cannot
/// be mistaken for a plain path.
fn shown(path: &[u8]) -> String {
    let hides = path::warnings(path)
        .iter()
        .any(|warning| *warning != PathWarning::TrailingDotOrBlank);
    match std::str::from_utf8(path) {
        Ok(text) if !hides => text.to_owned(),
        _ => quote(path),
    }
}
