//! The checks that are built in: what no pattern can tell. One list, so that each has its weight, its
//! reason and its way out in one place.

use baton_core::envelope::Severity;
use baton_core::policy::RiskKind;

use HitKind as K;
use Severity as S;

/// What a finding is about; the first six raise a flag or the decision table's D3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HitKind {
    Secret,
    Delete,
    Allowlist,
    ExternalIo,
    Protected,
    Lockfile,
    Dependency,
    Weakened,
    Instruction,
    Payload,
    Hidden,
    Mode,
    Binary,
    Size,
    Note,
}

impl From<RiskKind> for HitKind {
    fn from(kind: RiskKind) -> Self {
        match kind {
            RiskKind::Secret => Self::Secret,
            RiskKind::ExternalIo => Self::ExternalIo,
            RiskKind::Dependency => Self::Dependency,
            RiskKind::Weakened => Self::Weakened,
            RiskKind::Instruction => Self::Instruction,
            RiskKind::Payload => Self::Payload,
            RiskKind::Hidden => Self::Hidden,
        }
    }
}

impl HitKind {
    /// The finding's code for a rule of the policy or of a secret rule file.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Secret => baton_core::decision::SECRET_FOUND,
            Self::Delete => "DELETE_DETECTED",
            Self::Allowlist => "ALLOWLIST_VIOLATION",
            Self::ExternalIo => "EXTERNAL_IO_ATTEMPT",
            Self::Protected => "PROTECTED_ZONE_TOUCHED",
            Self::Lockfile => "LOCKFILE_TOUCHED",
            Self::Dependency => "DEPENDENCY_ADDED",
            Self::Weakened => "CHECK_WEAKENED",
            Self::Instruction => "INSTRUCTION_FOUND",
            Self::Payload => "PAYLOAD_FOUND",
            Self::Hidden => "HIDDEN_TEXT",
            Self::Mode => "MODE_CHANGED",
            Self::Binary => "BINARY_FOUND",
            Self::Size => "LIMIT_EXCEEDED",
            Self::Note => "NOTE",
        }
    }

    /// The smallest step that is permitted and takes the finding away.
    #[must_use]
    pub const fn next(self) -> &'static str {
        match self {
            Self::Secret => {
                "take it out and read it from the environment; once it was shared, replace it where it counts"
            }
            Self::Delete => {
                "keep the file in this change; a person removes it, or raises caps.delete_share_percent where only a part of it is gone"
            }
            Self::Allowlist => {
                "leave this path as it is, or ask for a task whose scope and policy name it"
            }
            Self::ExternalIo => {
                "leave the reach outside out; a person can name host and purpose under external_exceptions"
            }
            Self::Protected => {
                "leave this file out of the change, or let a person review it as PR_ONLY"
            }
            Self::Lockfile => {
                "leave the lockfile out, or let a person review what it pins as PR_ONLY"
            }
            Self::Dependency => "do without it, or let a person review where it comes from",
            Self::Weakened => {
                "mend the code and leave the check as strict as it was, or let a person agree"
            }
            Self::Instruction => "take the text out, or say it so that it addresses nobody",
            Self::Payload => "put the plain text in its place, so that it can be read",
            Self::Hidden => "write the text with characters that show",
            Self::Mode => "leave the file and its mode as they were, or let a person review it",
            Self::Binary => "leave the binary out, or let a person review it",
            Self::Size => "split the change into smaller tasks",
            Self::Note => "nothing to do",
        }
    }
}

/// One built-in check.
#[derive(Debug)]
pub struct BuiltIn {
    /// What findings and `baton explain` call it.
    pub id: &'static str,
    /// What it is about.
    pub kind: HitKind,
    /// How much it weighs.
    pub severity: Severity,
    /// What it looks for and why.
    pub about: &'static str,
}

const fn check(
    id: &'static str,
    kind: HitKind,
    severity: Severity,
    about: &'static str,
) -> BuiltIn {
    BuiltIn {
        id,
        kind,
        severity,
        about,
    }
}

/// Every built-in check.
pub const BUILT_IN: [BuiltIn; 54] = [
    check(
        "PATH_FORBIDDEN",
        K::Allowlist,
        S::Critical,
        "The path is no plain path inside the repository, or reaches into .git under some spelling.",
    ),
    check(
        "QUEUE_TOUCHED",
        K::Allowlist,
        S::Critical,
        "The path lies in the queue, which is never committed.",
    ),
    check(
        "NOT_ALLOWLISTED",
        K::Allowlist,
        S::Critical,
        "No rule of the policy's allowlist names the path.",
    ),
    check(
        "OUT_OF_SCOPE",
        K::Allowlist,
        S::Critical,
        "The path is not among the files that the task may change.",
    ),
    check(
        "PATH_COLLISION",
        K::Allowlist,
        S::Critical,
        "Two paths are one file, or two folders, or a file and a folder, on some file systems: case, Unicode normal form, trailing dots.",
    ),
    check(
        "LINK_LEAVES_TREE",
        K::Allowlist,
        S::Critical,
        "A symbolic link points out of the repository, or at what the policy denies.",
    ),
    check(
        "LINK_ON_THE_WAY",
        K::Allowlist,
        S::Critical,
        "A folder on the way to the file is a symbolic link in your checkout, so a write would land elsewhere.",
    ),
    check(
        "SUBMODULE",
        K::Allowlist,
        S::Critical,
        "A submodule brings in content from elsewhere, which no rule has read.",
    ),
    check(
        "SSOT_TOUCHED",
        K::Protected,
        S::High,
        "The path holds the rules that judge the next change.",
    ),
    check(
        "TRUSTED_SCRIPT",
        K::Protected,
        S::High,
        "A file of a protected zone, or a setting or hook of git in the checkout, runs or reads this one, so trust is handed on to it.",
    ),
    check(
        "GIT_FOLDER",
        K::Protected,
        S::High,
        "Plain folders make a repository, whatever they are called: git runs what its settings and hooks say for whoever enters it.",
    ),
    check(
        "GATE_SCRIPT",
        K::Protected,
        S::High,
        "A gate of the policy runs this file, so the change would write its own verdict.",
    ),
    check(
        "FILE_DELETED",
        K::Delete,
        S::Critical,
        "The file is deleted, or moved away without a rename line.",
    ),
    check(
        "FILE_EMPTIED",
        K::Delete,
        S::Critical,
        "Nothing is left of the file.",
    ),
    check(
        "FILE_MOVED",
        HitKind::Mode,
        Severity::Medium,
        "A file goes to another place. A patch may say so with rename lines; the candidate that is made of it keeps no such lines, and there the old file counts as deleted.",
    ),
    check(
        "FILE_NOT_READ",
        HitKind::Size,
        Severity::Medium,
        "A file is too large to be read as a whole, so that only its changed lines were judged: what stands around them was not seen.",
    ),
    check(
        "FILE_SHRUNK",
        K::Delete,
        S::Critical,
        "More of the file is gone than caps.delete_share_percent of the policy allows: of its lines, of its bytes, or of its code that stands in no comment.",
    ),
    check(
        "PATH_CONTROL_CHARACTER",
        K::Hidden,
        S::Medium,
        "The name holds control characters, which can drive a terminal.",
    ),
    check(
        "PATH_BIDI_CHARACTER",
        K::Hidden,
        S::Medium,
        "The name holds marks of writing direction, which can disguise it.",
    ),
    check(
        "PATH_INVISIBLE_CHARACTER",
        K::Hidden,
        S::Medium,
        "The name holds characters that do not show.",
    ),
    check(
        "PATH_NOT_UTF8",
        K::Hidden,
        S::Medium,
        "The name is not UTF-8, so tools show it in different ways.",
    ),
    check(
        "PATH_TRAILING_DOT_OR_BLANK",
        K::Hidden,
        S::Medium,
        "A part of the name ends with a dot or a blank, which some file systems drop.",
    ),
    check(
        "PATH_DEVICE_NAME",
        K::Hidden,
        S::Medium,
        "A part of the name is a device on Windows, where no file can have it: a checkout there breaks.",
    ),
    check(
        "PATH_SHORT_NAME",
        K::Protected,
        S::High,
        "A part of the name has the form of a short name such as `CLAUDE~1.MD`, under which Windows opens the file or folder with the long one.",
    ),
    check(
        "PATH_STREAM",
        K::Protected,
        S::High,
        "The name ends with a stream such as `::$DATA`, which NTFS takes for a part of the file before the colon.",
    ),
    check(
        "PATH_CONFUSABLE",
        K::Hidden,
        S::Medium,
        "The name holds letters of another script that look like plain ones.",
    ),
    check(
        "HIDDEN_CHARACTER",
        K::Hidden,
        S::Medium,
        "An added line holds a character that changes how the line is shown, or that does not show at all.",
    ),
    check(
        "CONFUSABLE",
        K::Hidden,
        S::Medium,
        "An added word holds letters of another script that look like plain ones, so it is not the name it seems to be.",
    ),
    check(
        "HIDDEN_BY_BLANKS",
        K::Hidden,
        S::Medium,
        "A long run of blanks pushes the rest of an added line out of sight.",
    ),
    check(
        "UNREADABLE_LINE",
        K::Hidden,
        S::Medium,
        "An added line of code is longer than anybody reads.",
    ),
    check(
        "NUL_IN_TEXT",
        K::Hidden,
        S::Medium,
        "A NUL byte in a text makes git call it binary, so that nobody is shown the change.",
    ),
    check(
        "MIXED_LINE_ENDINGS",
        K::Hidden,
        S::Low,
        "The change mixes two kinds of line ends in one file, which hides what changed.",
    ),
    check(
        "ENCODED_TEXT",
        K::Payload,
        S::Medium,
        "An added line of code holds a long run of encoded bytes that nobody can read.",
    ),
    check(
        "SOURCE_ENCODING",
        K::Payload,
        S::High,
        "A source in Python declares an encoding in which other bytes than those of ASCII may be code: what looks like a comment may be run.",
    ),
    check(
        "SUBJECT_REPLACED",
        K::Weakened,
        S::Medium,
        "A test puts a stand-in in the place of what it tests, so that it passes whatever the code does.",
    ),
    check(
        "EXPECTATION_CHANGED",
        K::Weakened,
        S::Medium,
        "A value that a test expects is replaced by another one, in a change of tests and documents alone, or by what the tested call says itself.",
    ),
    check(
        "CHECK_LOOSENED",
        K::Weakened,
        S::Medium,
        "Something to pass over comes into the settings of a linter, a scanner, a test runner or a count of coverage.",
    ),
    check(
        "TEST_SHADOWED",
        K::Weakened,
        S::Medium,
        "A test gets the name of another one in its file, which then is never run.",
    ),
    check(
        "SECRET_REMOVED",
        K::Note,
        S::High,
        "A removed line held a secret; it stays in the history, so it must be replaced where it counts.",
    ),
    check(
        "SECRET_ALLOWED",
        K::Note,
        S::Medium,
        "A comment on the line allows a secret, and the policy lets it: a person looks.",
    ),
    check(
        "REACH_EXCEPTED",
        K::Note,
        S::Medium,
        "A reach outside whose line names excepted or local hosts only. Text does not show where a program will really connect to, so a person looks.",
    ),
    check(
        "REACH_KEPT",
        K::Note,
        S::Medium,
        "A reach outside that stands on a changed or moved line and word for word on a removed one of the file. Whether it now runs at another time text does not show, so a person looks.",
    ),
    check(
        "DEPENDENCY_CHANGED",
        K::Note,
        S::Info,
        "A dependency that was there before is named in another way, such as another version.",
    ),
    check(
        "MODE_EXECUTABLE",
        K::Mode,
        S::Medium,
        "The file becomes executable.",
    ),
    check(
        "MODE_PLAIN",
        K::Mode,
        S::Medium,
        "A file can be run no more: what runs it fails, or passes it over.",
    ),
    check(
        "SYMLINK",
        K::Mode,
        S::Medium,
        "The file is a symbolic link.",
    ),
    check(
        "FILE_TYPE_CHANGED",
        K::Mode,
        S::High,
        "A file becomes a link or a submodule, or the other way round.",
    ),
    check(
        "BINARY",
        K::Binary,
        S::Medium,
        "The content is binary: nobody can review it as text.",
    ),
    check(
        "BINARY_UNREAD",
        K::Binary,
        S::High,
        "The content comes as a binary difference that could not be read here.",
    ),
    check(
        "GENERATED_FILE",
        K::Note,
        S::Info,
        "The file says that a program writes it; an edit by hand is lost with the next run.",
    ),
    check(
        "TOO_MANY_FILES",
        K::Size,
        S::High,
        "More files change than caps.max_changed_files allows.",
    ),
    check(
        "FILE_TOO_LARGE",
        K::Size,
        S::High,
        "One file grows by more bytes than caps.max_file_bytes allows.",
    ),
    check(
        "FUZZY_DRAFT",
        K::Note,
        S::Medium,
        "A place or a line of the proposer's reply was guessed (patch-draft --fuzz), so the change may not be the one that was meant.",
    ),
    check(
        "TEXT_ONLY",
        K::Note,
        S::Info,
        "The text itself was scanned; what only a repository knows was not asked.",
    ),
];

/// The smallest step for a finding of a rule or check: that of its kind, but for what it would not fit.
pub(crate) fn next(rule: &str, kind: HitKind) -> &'static str {
    match rule {
        "SECRET_ALLOWED" | "REACH_EXCEPTED" | "REACH_KEPT" => {
            "nothing to change; a person looks at it"
        }
        "SOURCE_ENCODING" => "save the file as UTF-8 and take the declaration out",
        "FUZZY_DRAFT" => "let a person compare the guessed places with what was asked for",
        "SECRET_REMOVED" => "replace the secret where it counts; taking it out is right",
        _ if kind == K::Hidden && rule.starts_with("PATH_") => {
            "give the file a plain name, which means the same on every system"
        }
        _ => kind.next(),
    }
}

/// The built-in check of this id; the last resort is the first of the list, which stops everything.
pub(crate) fn built_in(id: &str) -> &'static BuiltIn {
    let found = BUILT_IN.iter().find(|check| check.id == id);
    found.unwrap_or(&BUILT_IN[0])
}
