//! What a reply says, once it is read and before it is held against the files.

use super::refusal::Refusal;
use super::repair::Repair;

/// What a line of a hunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On both sides.
    Context,
    /// On the old side only.
    Removed,
    /// On the new side only.
    Added,
}

/// One line of a hunk, without marker and line feed; a CR before the line feed is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    pub(crate) kind: Kind,
    pub(crate) text: &'t [u8],
    /// In the reply, from 1.
    pub(crate) number: usize,
}

/// The numbers of a hunk's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) old_start: usize,
    pub(crate) old_count: usize,
    pub(crate) new_count: usize,
}

/// A stretch of old lines and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hunk<'t> {
    /// Its first line in the reply.
    pub(crate) line: usize,
    pub(crate) claim: Option<Claim>,
    pub(crate) lines: Vec<Line<'t>>,
    /// Whether the old side is said to end without a line feed.
    pub(crate) old_open: bool,
    pub(crate) new_open: bool,
}

impl Hunk<'_> {
    pub(crate) fn count(&self, without: Kind) -> usize {
        let lines = self.lines.iter();
        lines.filter(|line| line.kind != without).count()
    }

    /// Whether the header's counts are those of the lines.
    pub(crate) fn counts_agree(&self) -> bool {
        self.claim.is_some_and(|claim| {
            claim.old_count == self.count(Kind::Added)
                && claim.new_count == self.count(Kind::Removed)
        })
    }

    /// Whether the header promises more lines than there are.
    pub(crate) fn is_short(&self) -> bool {
        self.claim.is_some_and(|claim| {
            claim.old_count > self.count(Kind::Added) || claim.new_count > self.count(Kind::Removed)
        })
    }
}

/// What a section says of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body<'t> {
    /// Hunks against the old text.
    Hunks(Vec<Hunk<'t>>),
    /// The new text, line by line, without line feeds.
    Whole(Vec<Line<'t>>),
}

/// One file's part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section<'t> {
    /// Its first line in the reply.
    pub(crate) line: usize,
    /// What the file can be called, in the order of preference.
    pub(crate) names: Vec<Name>,
    /// As it was written.
    pub(crate) written: String,
    /// Whether it says that the file is new.
    pub(crate) creates: bool,
    pub(crate) body: Body<'t>,
    /// Byte and length of the fence around a whole file.
    pub(crate) fence: (u8, usize),
    /// Whether the lines around its content end with CR LF, so that it came that way with the reply.
    pub(crate) is_cr: bool,
    /// Repairs of this section, whose path is not known yet.
    pub(crate) repairs: Vec<Repair>,
}

/// One reading of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) path: String,
    /// Whether something had to be taken off.
    pub(crate) mended: bool,
    /// A folder that makes another reading as likely when it is there.
    pub(crate) unless_folder: Option<&'static str>,
}

/// A reply that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'t> {
    pub(crate) sections: Vec<Section<'t>>,
    /// Repairs of the reply as a whole.
    pub(crate) repairs: Vec<Repair>,
    /// What is wrong with single sections.
    pub(crate) refusals: Vec<Refusal>,
}

impl Parsed<'_> {
    /// The same after a repair of what stood before it.
    #[must_use]
    pub fn after(mut self, repair: Option<Repair>) -> Self {
        self.repairs.splice(0..0, repair);
        self
    }

    /// Every path that the reply may mean; which of them it does is for the files to tell.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        let names = self.sections.iter().flat_map(|section| &section.names);
        let mut paths: Vec<&str> = names.map(|name| name.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
