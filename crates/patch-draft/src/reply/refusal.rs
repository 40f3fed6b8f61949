//! Every way in which a reply is turned down, in one list: code, what it means, what to do.

use baton_core::masking;

/// The longest message of one refusal, in characters.
const MESSAGE: usize = 400;

/// Declares the codes with their stable spelling, their meaning and their hint side by side.
macro_rules! codes {
    ($($name:ident = $text:literal, $about:literal, $hint:literal;)+) => {
        /// Why a reply was turned down. The spelling of [`Code::as_str`] is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the list itself says what each means")]
        pub enum Code { $($name,)+ }

        impl Code {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The stable spelling for envelopes, reports and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// What it means.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Code::$name => $about,)+ }
            }

            /// What whoever wrote the reply can do about it.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self { $(Code::$name => $hint,)+ }
            }
        }
    };
}

codes! {
    Empty = "REPLY_EMPTY",
        "The reply holds no change in the form that was asked for.",
        "answer in the form that the prompt shows";
    Cut = "REPLY_CUT",
        "The reply ends in the middle: a fence, a block, a frame or a hunk is not closed.",
        "answer again with room for a longer reply, or change less at once";
    Ambiguous = "REPLY_AMBIGUOUS",
        "The frame is there twice or out of order.",
        "one change is expected, framed once";
    TooLarge = "REPLY_TOO_LARGE",
        "The reply exceeds a bound on bytes, files, hunks, lines or repairs.",
        "split the change into smaller tasks";
    Placeholder = "REPLY_PLACEHOLDER",
        "An added line stands for code that was left out, such as \"rest of code unchanged\" or a lone \"...\".",
        "write every line out; what does not change needs no mention";
    NoChange = "REPLY_NO_CHANGE",
        "The reply, or one of its hunks, changes nothing.",
        "leave out what stays as it is";
    TextBetween = "REPLY_TEXT_BETWEEN",
        "Between two whole files there is text that is no path, so it cannot be told where a file ends.",
        "put nothing but the path before each fenced block";
    Fence = "REPLY_FENCE_UNCLEAR",
        "A file that holds fences of its own is fenced no longer than they are, so its end cannot be told.",
        "open and close the block with more backticks than the file uses, at least four";
    Block = "REPLY_BLOCK_MALFORMED",
        "A search-and-replace block does not have its three marker lines, once each and in order.",
        "write <<<<<<< SEARCH, =======, >>>>>>> REPLACE, each alone on its line";
    NotFound = "HUNK_NOT_FOUND",
        "The old lines of a hunk are nowhere in the file.",
        "copy the old lines from the file as it is, byte for byte";
    NotUnique = "HUNK_NOT_UNIQUE",
        "The old lines of a hunk are in the file more than once.",
        "give more lines around the change, so that the place is the only one";
    UnknownLine = "HUNK_REMOVES_UNKNOWN",
        "A hunk removes a line that the file does not have.",
        "remove only lines that are in the file, copied byte for byte";
    NoAnchor = "HUNK_WITHOUT_OLD_LINES",
        "A hunk adds lines to a file and shows none of its old lines, so its place cannot be told.",
        "give at least one old line before or after what is added";
    Overlap = "HUNK_OVERLAP",
        "Two hunks touch the same old line.",
        "make one hunk of them, or leave the shared line out of one";
    Unmarked = "HUNK_LINE_UNMARKED",
        "A line inside a hunk starts with neither a blank, + nor -, or a marker stands where it cannot.",
        "start every line of a hunk with a blank, + or -";
    NoPath = "REPLY_PATH_MISSING",
        "A change does not say which file it is for.",
        "name the file in the line before the change";
    PathUnclear = "REPLY_PATH_UNCLEAR",
        "The names of a change do not agree, or more than one file can be meant.",
        "name the file as the prompt lists it, with a/ and b/ in front only in a diff";
    NotOffered = "REPLY_PATH_NOT_OFFERED",
        "The change is for a file that the task does not let change.",
        "change only the files that the task allows, named byte for byte as listed";
    Unsafe = "REPLY_PATH_UNSAFE",
        "The path is absolute, leaves the repository, reaches into .git, or is not UTF-8.",
        "name a plain file inside the repository";
    Link = "REPLY_PATH_IS_LINK",
        "The path is a symbolic link, a submodule or a folder, or one of its folders is no folder.",
        "change plain files only";
    Twice = "REPLY_FILE_TWICE",
        "The same file is changed in two places of the reply.",
        "put all changes of one file together";
    Mode = "REPLY_MODE_REFUSED",
        "The reply sets a mode, makes a link or brings in a submodule.",
        "change content only; a person changes modes";
    Binary = "REPLY_BINARY_REFUSED",
        "The reply or the file is binary.",
        "change text files only";
    Rename = "REPLY_RENAME_REFUSED",
        "The reply renames or copies a file.",
        "write the new file whole; a person removes the old one";
    Delete = "REPLY_DELETE_REFUSED",
        "The reply deletes a file or leaves nothing of it. No task can ask for that: deletion is for a person.",
        "keep the file; a person removes it";
    Exists = "REPLY_FILE_EXISTS",
        "The reply creates a file that is there already.",
        "show the old lines that change";
    Absent = "REPLY_FILE_ABSENT",
        "The reply changes a file that is not in the base.",
        "name a file that is there, or create the file with added lines only";
    EolMixed = "REPLY_LINE_ENDS_MIXED",
        "The file mixes line ends and the reply does not write them as they are.",
        "let a person make the file's line ends the same first";
    EolUnknown = "REPLY_LINE_ENDS_UNKNOWN",
        "The lines around a new file end with CR LF as its own do, so whether its own should cannot be told.",
        "answer with plain line feeds";
}

/// Lines of the real file, to be quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The first line's number, from 1.
    pub first: usize,
    /// The lines, cut to a bounded length.
    pub lines: Vec<String>,
}

/// One thing that is wrong with a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub code: Code,
    /// The file, if it is known.
    pub path: Option<String>,
    /// The hunk or block within the file, from 1; 0 for the file or the reply as a whole.
    pub hunk: usize,
    /// The line of the reply, from 1; 0 for the whole.
    pub line: usize,
    /// What was got, and what was expected.
    pub message: String,
    /// The real lines around the nearest place.
    pub near: Option<Box<Near>>,
    /// The hunk as it was given, cut to a bounded length.
    pub given: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, line: usize, message: impl AsRef<str>) -> Self {
        Self {
            code,
            path: None,
            hunk: 0,
            line,
            message: plain(message.as_ref()),
            near: None,
            given: Vec::new(),
        }
    }

    pub(crate) fn of(mut self, path: &str, hunk: usize) -> Self {
        self.path = Some(path.to_owned());
        self.hunk = hunk;
        self
    }

    /// The place in words: file and hunk, or the line of the reply.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.path, self.hunk) {
            (Some(path), 0) => path.clone(),
            (Some(path), hunk) => format!("{path}, hunk {hunk}"),
            (None, _) if self.line > 0 => format!("line {} of the reply", self.line),
            (None, _) => "the reply".to_owned(),
        }
    }
}

/// A reply that was turned down: everything that is wrong with it, and what was fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// At least one.
    pub refusals: Vec<Refusal>,
    /// Files and hunks whose place was found.
    pub fine: Vec<(String, usize)>,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusals: vec![refusal],
            fine: Vec::new(),
        }
    }
}

/// A message without secrets and without what drives a terminal. It is masked before it is cut.
fn plain(message: &str) -> String {
    let masked = masking::text(message);
    let show = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    masked.chars().map(show).take(MESSAGE).collect()
}

/// Bytes of the reply as a short text for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..160).unwrap_or(bytes))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_unique_and_say_what_to_do() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?} twice");
            assert!(code.about().ends_with('.') && !code.hint().ends_with('.'));
        }
    }
}
