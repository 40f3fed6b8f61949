//! What a patch says, once it is read.

use crate::hunk::{Hunk, HunkLine, LineKind, SideText};
use std::fmt;

/// A mode that git stores. There are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// A plain file, 100644.
    Regular,
    /// An executable file, 100755.
    Executable,
    /// A symbolic link, 120000.
    Symlink,
    /// A submodule, 160000.
    Submodule,
}

impl Mode {
    /// Reads the six octal digits, in exactly git's spelling.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        match digits {
            b"100644" => Some(Mode::Regular),
            b"100755" => Some(Mode::Executable),
            b"120000" => Some(Mode::Symlink),
            b"160000" => Some(Mode::Submodule),
            _ => None,
        }
    }

    /// Returns the six octal digits.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Regular => "100644",
            Mode::Executable => "100755",
            Mode::Symlink => "120000",
            Mode::Submodule => "160000",
        }
    }

    /// Tells whether both are files, both links, or both submodules.
    pub fn is_same_type(self, other: Mode) -> bool {
        let is_file = |mode| matches!(mode, Mode::Regular | Mode::Executable);
        self == other || (is_file(self) && is_file(other))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A new file.
    Add,
    /// New content, a new mode (100644 or 100755), or both.
    Modify,
    /// The file goes away.
    Delete,
    /// The file gets another name, and perhaps new content.
    Rename,
    /// A new file that starts from another one.
    Copy,
    /// A file becomes a link or a submodule, or back. git writes it as a deletion and a
    /// creation; only [`Patch::changes`] names it.
    Type,
}

impl Op {
    /// Returns the word used in diff summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Modify => "modify",
            Op::Delete => "delete",
            Op::Rename => "rename",
            Op::Copy => "copy",
            Op::Type => "type",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The content part of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Text hunks, in order.
    Text(Vec<Hunk<'a>>),
    /// A binary file, as its whole content.
    Binary {
        /// The new content, decoded; empty for a deletion.
        new: Vec<u8>,
        /// The old content, if the patch holds it whole and not as a delta.
        old: Option<Vec<u8>>,
    },
    /// A binary delta, decoded from its transport form but not applied. Only with
    /// [`crate::Limits::allow_delta`].
    BinaryDelta(Vec<u8>),
    /// No content changes: a mode change, a plain rename or copy, or an empty file.
    None,
}

/// One `diff --git` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Line of its `diff --git`, counted from 1.
    pub line: usize,
    /// What it does; never [`Op::Type`].
    pub op: Op,
    /// The path read from; none for an addition.
    pub old_path: Option<Vec<u8>>,
    /// The path written to; none for a deletion.
    pub new_path: Option<Vec<u8>>,
    /// The mode before; none for an addition, and for a plain rename or copy, which keeps
    /// whatever mode the file has.
    pub old_mode: Option<Mode>,
    /// The mode afterwards; none for a deletion, and as above.
    pub new_mode: Option<Mode>,
    /// The two object ids of the `index` line, perhaps abbreviated.
    pub ids: Option<(&'a [u8], &'a [u8])>,
    /// The content.
    pub body: Body<'a>,
    /// Added lines of text.
    pub insertions: usize,
    /// Removed lines of text.
    pub deletions: usize,
}

impl<'a> Section<'a> {
    /// Returns the path that the section is about: the new one, or the old one of a deletion.
    pub fn path(&self) -> &[u8] {
        self.new_path
            .as_deref()
            .or(self.old_path.as_deref())
            .unwrap_or_default()
    }

    /// Tells whether the content is binary.
    pub fn is_binary(&self) -> bool {
        matches!(self.body, Body::Binary { .. } | Body::BinaryDelta(_))
    }

    /// Returns the text hunks; none for other content.
    pub fn hunks(&self) -> &[Hunk<'a>] {
        match &self.body {
            Body::Text(hunks) => hunks,
            Body::Binary { .. } | Body::BinaryDelta(_) | Body::None => &[],
        }
    }

    /// Yields the added lines with their line numbers in the new file.
    pub fn added_text(&self) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        self.lines(LineKind::Added)
            .map(|line| (line.new_number, line.text))
    }

    /// Yields the removed lines with their line numbers in the old file.
    pub fn removed_text(&self) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        self.lines(LineKind::Removed)
            .map(|line| (line.old_number, line.text))
    }

    /// Yields the new text hunk by hunk, so that a scanner sees what spans lines.
    pub fn new_text(&self) -> impl Iterator<Item = SideText> + '_ {
        self.hunks().iter().map(Hunk::new_text)
    }

    /// Yields the old text hunk by hunk.
    pub fn old_text(&self) -> impl Iterator<Item = SideText> + '_ {
        self.hunks().iter().map(Hunk::old_text)
    }

    fn lines(&self, kind: LineKind) -> impl Iterator<Item = HunkLine<'a>> + '_ {
        self.hunks()
            .iter()
            .flat_map(Hunk::lines)
            .filter(move |line| line.kind == kind)
    }
}

/// A patch: one or more sections, and the text around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch<'a> {
    /// Text before the first section, such as a mail header.
    pub prologue: &'a [u8],
    /// The sections, in order; at least one.
    pub sections: Vec<Section<'a>>,
    /// Text after the last section, such as a mail signature.
    pub trailer: &'a [u8],
}

/// One change of a path: a section, or the pair of sections that changes a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'p> {
    /// What happens.
    pub op: Op,
    /// The path that it happens to: the new one, or the old one of a deletion.
    pub path: &'p [u8],
    /// The source of a rename or copy.
    pub source: Option<&'p [u8]>,
    /// The mode before, if there is one and the patch names it.
    pub old_mode: Option<Mode>,
    /// The mode afterwards, if there is one and the patch names it.
    pub new_mode: Option<Mode>,
}

impl Patch<'_> {
    /// Returns the changes in order, with each type change folded into one.
    pub fn changes(&self) -> Vec<Change<'_>> {
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(self.sections.len());
        let mut previous: Option<&Section<'_>> = None;
        for section in &self.sections {
            match (
                previous.is_some_and(|before| is_type_change(before, section)),
                changes.last_mut(),
            ) {
                (true, Some(deletion)) => {
                    deletion.op = Op::Type;
                    deletion.new_mode = section.new_mode;
                }
                _ => changes.push(change_of(section)),
            }
            previous = Some(section);
        }
        changes
    }
}

/// Tells whether a deletion and the creation right after it are one change of type.
pub(crate) fn is_type_change(before: &Section<'_>, after: &Section<'_>) -> bool {
    let types = before.old_mode.zip(after.new_mode);
    before.op == Op::Delete
        && after.op == Op::Add
        && before.path() == after.path()
        && types.is_some_and(|(old, new)| !old.is_same_type(new))
}

fn change_of<'p>(section: &'p Section<'_>) -> Change<'p> {
    let moved = matches!(section.op, Op::Rename | Op::Copy);
    Change {
        op: section.op,
        path: section.path(),
        source: section.old_path.as_deref().filter(|_| moved),
        old_mode: section.old_mode,
        new_mode: section.new_mode,
    }
}
