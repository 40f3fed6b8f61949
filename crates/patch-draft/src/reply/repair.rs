//! The repairs, each with its stable id: what may be mended in a reply, and what was.

use super::refusal::shown;

/// Declares the repairs with their id and their meaning.
macro_rules! repairs {
    ($($name:ident = $id:literal, $fuzzy:literal, $about:literal;)+) => {
        /// One kind of repair. The spelling of [`RepairId::as_str`] is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the list itself says what each means")]
        pub enum RepairId { $($name,)+ }

        impl RepairId {
            /// Every repair, in the order of the list.
            pub const ALL: &'static [RepairId] = &[$(RepairId::$name,)+];

            /// The stable id.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(RepairId::$name => $id,)+ }
            }

            /// Whether it guesses, and so needs to be asked for.
            #[must_use]
            pub fn is_fuzzy(self) -> bool {
                match self { $(RepairId::$name => $fuzzy,)+ }
            }

            /// What it does.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(RepairId::$name => $about,)+ }
            }
        }
    };
}

repairs! {
    Think = "R01-think", false, "A leading <think> part is dropped.";
    Fence = "R02-fence", false, "The diff is taken out of its fence.";
    Prose = "R03-prose", false, "Text outside of the change is dropped.";
    Prefix = "R04-prefix", false, "The path is taken without what was written around it: missing or doubled a/ and b/, times, quotes, ./ in front.";
    GitHeader = "R05-git-header", false, "The diff --git line is supplied.";
    DevNull = "R06-devnull", false, "The form in which a new file is announced is made git's own.";
    Count = "R07-count", false, "The line counts of a hunk are counted again.";
    NoNumbers = "R08-no-numbers", false, "A hunk header without line numbers gets them.";
    Anchor = "R09-anchor", false, "A hunk is moved to the one place where its old lines are.";
    BlankContext = "R10-blank-context", false, "An empty line inside a hunk is an empty context line.";
    FinalNewline = "R11-final-newline", false, "The line feed that the end of the reply lacks is added.";
    EofMarker = "R12-eof-marker", false, "Whether the last line ends with a line feed stays as it is in the file.";
    Eol = "R13-eol", false, "The line ends become those of the file.";
    TrailingBlank = "R14-context-trailing-ws", false, "A context line that differs in blanks at its end becomes the file's own.";
    Indent = "F1-indent", true, "A hunk whose lines are all indented too much or too little by the same amount is shifted.";
    Missing = "F2-missing-context", true, "Empty lines and comments that a hunk left out of its context are kept.";
    Unicode = "F3-unicode", true, "A context line that differs in quotes, dashes or blanks of Unicode becomes the file's own.";
}

/// One repair that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Which.
    pub id: RepairId,
    /// The file; none for the reply as a whole.
    pub path: Option<String>,
    /// The hunk within the file, from 1; 0 for the whole.
    pub hunk: usize,
    /// The line of the reply, from 1; 0 for the whole.
    pub line: usize,
    /// What stood there, cut to a bounded length.
    pub before: String,
    /// What was taken instead.
    pub after: String,
}

impl Repair {
    pub(crate) fn new(id: RepairId, line: usize, before: &[u8], after: &[u8]) -> Self {
        Self {
            id,
            path: None,
            hunk: 0,
            line,
            before: shown(before),
            after: shown(after),
        }
    }

    pub(crate) fn of(mut self, path: &str, hunk: usize) -> Self {
        self.path = Some(path.to_owned());
        self.hunk = hunk;
        self
    }
}
