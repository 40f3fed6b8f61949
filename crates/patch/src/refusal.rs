//! Why a patch was refused: where, what was seen, and what to do about it.

use std::fmt;

/// Longest excerpt of the input that a refusal repeats, in bytes before escaping.
const FORM_BYTES: usize = 96;

/// Declares the codes with their stable spelling and their hint side by side.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $hint:literal;)+) => {
        /// The rule that a patch broke. The spelling of [`Code::as_str`] is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, in the order of declaration.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// Returns the stable spelling for envelopes and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// Returns what the author of the patch can do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Code::$name => $hint,)+ }
            }
        }
    };
}

codes! {
    /// The input is larger than [`crate::Limits::bytes`].
    TooLarge = "TOO_LARGE", "split the change, or raise the limit on patch bytes";
    /// A line is longer than [`crate::Limits::line_bytes`].
    LineTooLong = "LINE_TOO_LONG", "keep generated files out of the change, or raise the limit on line length";
    /// More sections than [`crate::Limits::sections`].
    TooManySections = "TOO_MANY_SECTIONS", "split the change, or raise the limit on changed files";
    /// More hunks than [`crate::Limits::hunks`].
    TooManyHunks = "TOO_MANY_HUNKS", "split the change, or raise the limit on hunks";
    /// A path is longer than [`crate::Limits::path_bytes`].
    PathTooLong = "PATH_TOO_LONG", "use shorter names";
    /// Binary data inflates past [`crate::Limits::binary_bytes`].
    BinaryTooLarge = "BINARY_TOO_LARGE", "keep large binary files out of the change, or raise the limit on binary bytes";
    /// There is no section at all.
    NoChange = "NO_CHANGE", "pass the output of `git diff --binary --full-index` on a tree that has changes";
    /// The input holds the codes that colour a terminal.
    Coloured = "COLOURED", "write it without colours: `git diff --no-color --binary --full-index`, and check color.ui";
    /// The input is in UTF-16, as some shells write what they redirect.
    WideText = "WIDE_TEXT", "let git write the file: `git diff --binary --full-index --output=FILE` instead of `> FILE`";
    /// A byte order mark stands in front.
    ByteOrderMark = "BYTE_ORDER_MARK", "let git write the file: `git diff --binary --full-index --output=FILE`; an editor or a shell put the mark there";
    /// The lines of the patch itself end with CR LF.
    CarriageReturn = "CR_LINE_ENDS", "let git write the file: `git diff --binary --full-index --output=FILE`; an editor or a mail changed its line ends";
    /// A line of the covering text looks like a part of a diff.
    StrayHeader = "STRAY_HEADER", "pass one diff as git writes it; let git apply other forms (line ends of CRLF, a combined diff) and emit them again";
    /// The input ends in the middle of a section, or its last line has no line feed.
    Truncated = "TRUNCATED", "pass the whole output of git, with its last line feed";
    /// A name is not spelled or quoted as git does it.
    BadName = "BAD_NAME", "use the a/ and b/ prefixes and git's own quoting: drop --no-prefix and --src-prefix";
    /// Names in one section differ from each other.
    NameMismatch = "NAME_MISMATCH", "let git write the section; a rename needs its rename lines";
    /// A mode is none of the four that git stores.
    BadMode = "BAD_MODE", "use 100644, 100755, 120000 or 160000";
    /// A section changes a file into a link or a submodule, or back.
    TypeChange = "TYPE_CHANGE", "write a deletion and a creation, as git does";
    /// A header line is unknown, repeated, incomplete or out of order.
    BadHeader = "BAD_HEADER", "let git write the section header";
    /// The `index` line is missing, malformed, or contradicts the operation.
    BadIndex = "BAD_INDEX", "keep the index line as git writes it";
    /// `/dev/null` without the matching mode line, or the mode line without `/dev/null`.
    DevNull = "DEV_NULL_MISMATCH", "a creation needs `new file mode`, a deletion `deleted file mode`";
    /// A section that changes nothing.
    EmptySection = "EMPTY_SECTION", "drop the section, or keep the hunks that belong to it";
    /// A hunk header is not in git's form.
    BadHunkHeader = "BAD_HUNK_HEADER", "let git write the hunk header: `@@ -start,count +start,count @@`";
    /// The lines of a hunk do not add up to its header.
    HunkCount = "HUNK_COUNT", "let git write the hunk; counts edited by hand do not add up";
    /// Hunks overlap, go backwards, or their new positions do not follow from the old ones.
    HunkPosition = "HUNK_POSITION", "let git write the hunks, in order and with true line numbers";
    /// A line inside a hunk has no marker.
    HunkLine = "HUNK_LINE", "start each line of a hunk with a blank, + or -, empty lines too";
    /// A line that looks like content follows a finished hunk.
    StrayHunkLine = "STRAY_HUNK_LINE", "let git write the hunk; its counts are too small";
    /// The marker of a missing last line feed is misplaced or misspelled.
    NoNewline = "NO_NEWLINE_MARKER", "keep `\\ No newline at end of file` as and where git writes it";
    /// A creation or deletion is not one hunk over the whole file.
    WholeFile = "WHOLE_FILE_HUNK", "a creation or deletion holds the whole file in one hunk";
    /// A binary change without its data.
    BinaryWithoutData = "BINARY_WITHOUT_DATA", "write the patch with `git diff --binary --full-index`";
    /// Binary data that does not decode to what its header says.
    BadBinary = "BAD_BINARY", "write the patch with `git diff --binary --full-index` and keep it unedited";
    /// A binary delta, which cannot be read without its preimage.
    Delta = "DELTA_WITHOUT_REPOSITORY", "give the base commit, so that git can show the whole file";
    /// A submodule section that is not exactly git's one-line form.
    BadSubmodule = "BAD_SUBMODULE", "commit inside the submodule first, then let git write the section";
    /// A path that must not be written, see [`crate::path::check`].
    UnsafePath = "UNSAFE_PATH", "name a plain file inside the repository";
    /// Two sections claim the same path.
    DuplicatePath = "DUPLICATE_PATH", "pass one diff with one section for each file";
    /// One written path is a folder on the way to another one.
    PathConflict = "PATH_CONFLICT", "a path is either a file or a folder";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused patch: the first rule that it broke, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Line of the input, counted from 1.
    pub line: usize,
    /// The rule.
    pub code: Code,
    /// What was seen, escaped to printable ASCII and cut to a bounded length.
    pub form: String,
    /// What to do about it.
    pub hint: String,
}

impl Refusal {
    /// Builds the refusal of `seen` at `line`.
    pub(crate) fn new(code: Code, line: usize, seen: &[u8]) -> Self {
        Refusal {
            line,
            code,
            form: escape(seen),
            hint: code.hint().to_owned(),
        }
    }

    /// Replaces the excerpt by one that also says what is wrong with it.
    pub(crate) fn because(mut self, why: &str) -> Self {
        self.form = format!("{} ({why})", self.form);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal {
            line,
            code,
            form,
            hint,
        } = self;
        write!(f, "line {line}: {code}: got \"{form}\"; {hint}")
    }
}

impl std::error::Error for Refusal {}

/// Escapes the start of `bytes` to printable ASCII, so that it is safe on a terminal.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let shown = bytes.get(..FORM_BYTES).unwrap_or(bytes);
    let mut text = shown.escape_ascii().to_string();
    if shown.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_stable_in_form() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
            assert!(!code.hint().ends_with('.'));
        }
    }

    #[test]
    fn form_is_bounded_and_safe_for_terminals() {
        let refusal = Refusal::new(Code::BadName, 7, &[0x1b; 5000]);
        assert!(refusal.form.len() < 400);
        assert!(
            refusal
                .to_string()
                .bytes()
                .all(|b| (0x20..0x7f).contains(&b))
        );
        assert!(refusal.to_string().starts_with("line 7: BAD_NAME: got"));
    }
}
