//! What a reply must look like, said to whoever writes it. One text for each form.

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Whole files in fenced blocks.
    Whole,
    /// Old and new lines between markers.
    SearchReplace,
    /// A unified diff, with or without line numbers.
    Udiff,
}

/// Up to this size a file is best given back whole, in bytes.
const WHOLE_BYTES: usize = 16_000;
/// The same in lines.
const WHOLE_LINES: usize = 400;

impl Format {
    /// Every form, in the order of the documents.
    pub const ALL: [Self; 3] = [Self::Whole, Self::SearchReplace, Self::Udiff];

    /// The name in flags and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::SearchReplace => "search-replace",
            Self::Udiff => "udiff",
        }
    }

    /// The form of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The form that a local model keeps to best: whole files while all are small, else blocks.
    pub fn for_files<'f>(files: impl IntoIterator<Item = &'f [u8]>) -> Self {
        let is_small = |file: &[u8]| {
            let lines = file.iter().filter(|byte| **byte == b'\n').count();
            file.len() <= WHOLE_BYTES && lines <= WHOLE_LINES
        };
        match files.into_iter().all(is_small) {
            true => Self::Whole,
            false => Self::SearchReplace,
        }
    }
}

const WHOLE: &str = "\
Between the frame's markers give each file that changes whole: first a line with nothing but its path,
then its complete new text in a fenced block. Nothing else stands between two files.

src/example.txt
````
every line of the file as it shall be
````

Use four backticks, and more where the file itself has four. Write every line out; leave out nothing.
";

const SEARCH_REPLACE: &str = "\
Between the frame's markers give search-and-replace blocks: a line with nothing but the path, then

src/example.txt
<<<<<<< SEARCH
lines of the file as they are now, byte for byte
=======
the same lines as they shall be
>>>>>>> REPLACE

The lines under SEARCH must be in the file exactly once: give so many whole lines that they are. Each
block is held against the file as it is now, not as an earlier block leaves it, and no two blocks touch
the same line. More blocks for the same file need no second path line. For a new file leave SEARCH
empty. Put nothing in place of lines that you leave out; write them.
";

const UDIFF: &str = "\
Between the frame's markers give a unified diff: for each file a line `--- a/path`, a line
`+++ b/path`, and hunks. A hunk starts with a line `@@ ... @@`; no line numbers are needed. Every line
of a hunk starts with a blank (stays), a minus (goes) or a plus (comes).

--- a/src/example.txt
+++ b/src/example.txt
@@ ... @@
 a line that stays
-a line that goes
+a line that comes

The lines that stay and go must be in the file exactly once, byte for byte: give enough of them around
each change. For a new file write `--- /dev/null`. Do not rename, delete or change modes.
";

/// What a reply in this form must look like.
#[must_use]
pub const fn instructions(format: Format) -> &'static str {
    match format {
        Format::Whole => WHOLE,
        Format::SearchReplace => SEARCH_REPLACE,
        Format::Udiff => UDIFF,
    }
}
