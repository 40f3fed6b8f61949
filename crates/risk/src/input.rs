//! What the engine looks at: the sections of a patch, and what a repository adds to them.

use baton_patch::path::{self, PathWarning};
use baton_patch::{Body, LineKind, Mode, Op, Patch, Section, quote};

use baton_core::outputs::DiffStats;

use crate::language::Languages;
use crate::surroundings::Surroundings;

/// One file of a change.
#[derive(Debug)]
pub struct ScanFile<'p> {
    /// The section of the patch.
    pub section: &'p Section<'p>,
    /// What happens; a deletion and a creation of one path are one change of type.
    pub op: Op,
    /// The section that removes what a change of type replaces.
    pub replaced: Option<&'p Section<'p>>,
    /// The path that is written, or removed, for people: quoted where git would quote it.
    pub path: String,
    /// The source of a rename or copy.
    pub old_path: Option<String>,
    /// Where the base holds what a new file holds, byte for byte, where a repository could be asked: a copy is
    /// one however the patch writes it.
    pub origins: Vec<Vec<u8>>,
    /// Denied files of the base of which a new file holds the most, where a repository could be asked.
    pub near: Vec<Vec<u8>>,
    /// The whole old file, where a repository could be asked.
    pub old: Option<Vec<u8>>,
    /// The size of the old file, where a repository could be asked, in bytes.
    pub old_size: Option<u64>,
    /// The whole new file, where a repository could be asked or the patch holds it.
    pub new: Option<Vec<u8>>,
}

/// A whole change.
#[derive(Debug)]
pub struct ScanInput<'p> {
    /// Its files.
    pub files: Vec<ScanFile<'p>>,
    /// The text around the sections.
    pub around: Vec<&'p [u8]>,
    /// The files that the text, as it was given, takes content from; a candidate's own patch names none.
    pub sources: Vec<Vec<u8>>,
    /// What the repository holds besides, where one could be asked.
    pub surroundings: Option<Surroundings>,
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
            if let Some(deleted) = files.pop_if(|_| replaced) {
                file.op = Op::Type;
                file.replaced = Some(deleted.section);
            }
            files.push(file);
        }
        Self {
            files,
            around: vec![patch.prologue, patch.trailer],
            sources: Vec::new(),
            surroundings: None,
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

impl ScanFile<'_> {
    /// The mode before, also of what a change of type replaces.
    pub(crate) fn old_mode(&self) -> Option<Mode> {
        let before = self.replaced.unwrap_or(self.section);
        before.old_mode
    }

    /// The new content, where it is binary and known.
    pub(crate) fn binary(&self) -> Option<&[u8]> {
        self.new.as_deref().filter(|_| self.section.is_binary())
    }

    /// How many lines the old file has, where that is known.
    pub(crate) fn old_lines(&self) -> Option<u64> {
        self.old.as_deref().map(lines)
    }

    /// The languages of the file, by those that its name tells, by its first line as far as that is in
    /// sight, and by whether it can be run.
    pub(crate) fn languages(&self, by_name: Languages) -> Languages {
        let found = match self.first_line().filter(|line| line.starts_with(b"#!")) {
            Some(first) => Languages::of(self.section.path(), Some(first)),
            None => by_name,
        };
        let is_program = || self.section.new_mode == Some(Mode::Executable);
        if found.is_any(&["go"]) && self.holds_cgo() {
            return found.and(Languages::cgo());
        }
        match found.is_none() && is_program() {
            true => Languages::shell(),
            false => found,
        }
    }

    /// Whether a file of Go holds C, as far as it is in sight.
    fn holds_cgo(&self) -> bool {
        let hunks = self.section.hunks().iter();
        match self.new.as_deref() {
            Some(whole) => imports_c(whole.split(|byte| *byte == b'\n')),
            None => hunks.into_iter().any(|hunk| {
                let lines = hunk.lines().filter(|line| line.kind != LineKind::Removed);
                imports_c(lines.map(|line| line.text))
            }),
        }
    }

    fn first_line(&self) -> Option<&[u8]> {
        if let Some(whole) = self.new.as_deref().or(self.old.as_deref()) {
            return whole.split(|byte| *byte == b'\n').next();
        }
        let hunk = self.section.hunks().first()?;
        let mut lines = hunk.lines();
        let first = lines.find(|line| line.kind != LineKind::Removed)?;
        (first.new_number == 1).then_some(first.text)
    }
}

fn file<'p>(section: &'p Section<'p>) -> ScanFile<'p> {
    let moved = matches!(section.op, Op::Rename | Op::Copy);
    let new = match &section.body {
        Body::Binary { new, .. } => Some(new.clone()),
        Body::Text(_) | Body::BinaryDelta(_) | Body::None => None,
    };
    ScanFile {
        origins: Vec::new(),
        near: Vec::new(),
        section,
        op: section.op,
        replaced: None,
        path: shown(section.path()),
        old_path: section.old_path.as_deref().filter(|_| moved).map(shown),
        old: None,
        old_size: None,
        new,
    }
}

/// Whether one of these lines of Go is `import "C"`, or a part of an import that is.
fn imports_c<'t>(mut lines: impl Iterator<Item = &'t [u8]>) -> bool {
    lines.any(|line| {
        let Some(at) = memchr::memmem::find(line, b"\"C\"") else {
            return false;
        };
        let (head, rest) = line.split_at(at);
        let (head, rest) = (head.trim_ascii(), rest.get(3..).unwrap_or_default());
        let before = head.strip_suffix(b"(").unwrap_or(head).trim_ascii_end();
        let is_import = before.ends_with(b"import") || head.ends_with(b"*/");
        let is_part = head.is_empty() || head.ends_with(b";");
        let ends = matches!(
            rest.trim_ascii_start().first(),
            None | Some(b';' | b')' | b'/')
        );
        ends && (is_import || is_part)
    })
}

/// How many lines a file has; a last one without a line feed counts.
fn lines(content: &[u8]) -> u64 {
    let ends = content.iter().filter(|byte| **byte == b'\n').count() as u64;
    ends + u64::from(content.last().is_some_and(|byte| *byte != b'\n'))
}

/// A path as text: as it is when every character of it shows, else quoted as git does, which cannot
/// be mistaken for a plain path.
pub(crate) fn shown(path: &[u8]) -> String {
    let is_plain = path.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let hides = || {
        path::warnings(path).iter().any(|warning| {
            use PathWarning::{Bidi, Control, Invisible, NotUtf8};
            matches!(warning, Control | Bidi | Invisible | NotUtf8)
        })
    };
    match std::str::from_utf8(path) {
        Ok(text) if is_plain || !hides() => text.to_owned(),
        _ => quote(path),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{changed, scanned};

    #[test]
    fn c_in_the_comment_before_its_import_is_code() {
        let reaches = |lines: &[&str]| {
            let report = scanned(&changed("src/a.go", &["x"], lines), None);
            report.flags.external_io_attempt
        };
        let slashed = ["package m", "// int g(){ return socket(AF_INET, 1, 0);}"];
        let block = ["package m", "/*", " #include <zmq.h>", "*/"];
        for import in [
            "import \"C\"",
            "import (\"fmt\"; \"C\")",
            "\t\"C\" // for g",
            "import(\"C\")",
        ] {
            assert!(reaches(&[&slashed[..], &[import]].concat()), "{import}");
            assert!(reaches(&[&block[..], &[import]].concat()), "{import}");
        }
        for other in ["import \"c\"", "x := f(\"C\")", "\t\"C\",", "case \"C\":"] {
            assert!(!reaches(&[&slashed[..], &[other]].concat()), "{other}");
            assert!(!reaches(&[&block[..], &[other]].concat()), "{other}");
        }
        assert!(!reaches(&["package m", "// int f(int a);", "import \"C\""]));
    }
}
