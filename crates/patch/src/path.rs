//! Rules for the paths that a change may name, on every platform that git runs on.
//!
//! A path that is harmless on Linux may reach into `.git` on a file system that ignores case,
//! trailing dots or some code points. Since a change is checked once and checked out anywhere,
//! all such spellings are refused everywhere.

use crate::quoting;
use std::fmt;

/// Longest path that [`check`] accepts, in bytes: `PATH_MAX` on Linux.
pub const PATH_BYTES: usize = 4096;
/// Longest part of a path that [`check`] accepts, in bytes: `NAME_MAX` on Linux.
pub const PART_BYTES: usize = 255;

/// Why a path must not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathProblem {
    /// The path is empty.
    Empty,
    /// The path starts with a slash.
    Absolute,
    /// The path starts with a Windows drive letter, as in `C:`.
    DriveLetter,
    /// The path holds a backslash, which separates folders on Windows.
    Backslash,
    /// The path holds a NUL byte.
    Nul,
    /// The path is longer than [`PATH_BYTES`].
    TooLong,
    /// A part of the path is longer than [`PART_BYTES`].
    PartTooLong,
    /// Two slashes follow each other.
    EmptyPart,
    /// The path ends with a slash.
    TrailingSlash,
    /// A part is `.` or `..`.
    DotPart,
    /// A part is `.git` in a spelling that some platform takes for it.
    DotGit,
}

impl PathProblem {
    /// Returns the problem in words that fit after "the path".
    pub fn as_str(self) -> &'static str {
        match self {
            PathProblem::Empty => "is empty",
            PathProblem::Absolute => "is absolute",
            PathProblem::DriveLetter => "starts with a drive letter",
            PathProblem::Backslash => "holds a backslash",
            PathProblem::Nul => "holds a NUL byte",
            PathProblem::TooLong => "is longer than 4096 bytes",
            PathProblem::PartTooLong => "has a part longer than 255 bytes",
            PathProblem::EmptyPart => "has an empty part",
            PathProblem::TrailingSlash => "ends with a slash",
            PathProblem::DotPart => "has a part . or ..",
            PathProblem::DotGit => "has a part that is a spelling of .git",
        }
    }
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for PathProblem {}

/// What is odd about a path without being forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathWarning {
    /// Holds control characters, which can drive a terminal.
    Control,
    /// Holds marks that change the direction of writing, which can disguise a name.
    Bidi,
    /// Holds characters that are not shown.
    Invisible,
    /// Is not UTF-8.
    NotUtf8,
    /// A part ends with a dot or a blank, which Windows drops.
    TrailingDotOrBlank,
    /// A part is the name of a device on Windows, where no file can have it.
    Device,
    /// A part has the form of a short name, under which Windows opens the file or folder whose long
    /// name it stands for.
    ShortName,
}

impl PathWarning {
    /// Returns the stable spelling for findings.
    pub fn as_str(self) -> &'static str {
        match self {
            PathWarning::Control => "PATH_CONTROL_CHARACTER",
            PathWarning::Bidi => "PATH_BIDI_CHARACTER",
            PathWarning::Invisible => "PATH_INVISIBLE_CHARACTER",
            PathWarning::NotUtf8 => "PATH_NOT_UTF8",
            PathWarning::TrailingDotOrBlank => "PATH_TRAILING_DOT_OR_BLANK",
            PathWarning::Device => "PATH_DEVICE_NAME",
            PathWarning::ShortName => "PATH_SHORT_NAME",
        }
    }
}

/// Checks that `path` names a place inside a repository on every platform, and never one
/// inside `.git`.
///
/// # Errors
/// The first problem found.
pub fn check(path: &[u8]) -> Result<(), PathProblem> {
    let problem = match path {
        [] => Some(PathProblem::Empty),
        [b'/', ..] => Some(PathProblem::Absolute),
        [letter, b':', ..] if letter.is_ascii_alphabetic() => Some(PathProblem::DriveLetter),
        _ if path.len() > PATH_BYTES => Some(PathProblem::TooLong),
        _ if path.contains(&0) => Some(PathProblem::Nul),
        _ if path.contains(&b'\\') => Some(PathProblem::Backslash),
        _ if path.ends_with(b"/") => Some(PathProblem::TrailingSlash),
        _ => path.split(|byte| *byte == b'/').find_map(part_problem),
    };
    problem.map_or(Ok(()), Err)
}

/// Tells whether `path` is a clean relative path, for lists that people write.
pub fn is_clean_relative(path: &str) -> bool {
    check(path.as_bytes()).is_ok()
}

/// Returns what is odd about `path`, each kind once, in a fixed order.
pub fn warnings(path: &[u8]) -> Vec<PathWarning> {
    let mut found = Vec::new();
    let shows = |byte: &u8| matches!(byte, b' '..=b'~');
    // Most names are plain; the rest is looked at letter by letter.
    let odd = if path.iter().all(shows) {
        &[][..]
    } else {
        path
    };
    for chunk in odd.utf8_chunks() {
        found.extend(chunk.valid().chars().filter_map(character_warning));
        if !chunk.invalid().is_empty() {
            found.push(PathWarning::NotUtf8);
        }
    }
    for part in path.split(|byte| *byte == b'/') {
        let ends_oddly = part.ends_with(b".") || part.ends_with(b" ");
        found.extend(ends_oddly.then_some(PathWarning::TrailingDotOrBlank));
        found.extend(is_device(part).then_some(PathWarning::Device));
        found.extend(is_short_name(part).then_some(PathWarning::ShortName));
    }
    found.sort();
    found.dedup();
    found
}

/// Returns a key under which paths that some platform takes for the same file are equal: case
/// folded, code points that HFS+ ignores dropped, trailing dots and blanks of each part
/// dropped. Unicode normal forms are not folded.
pub fn fold(path: &[u8]) -> Vec<u8> {
    let ends_oddly = |part: &[u8]| matches!(part.last(), Some(b'.' | b' '));
    // Nearly every path is plain, and of each file several are asked for.
    if path.is_ascii() && !path.split(|byte| *byte == b'/').any(ends_oddly) {
        return path.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(path.len());
    for (index, part) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        let folded = fold_case(part);
        out.extend_from_slice(trim_dots_and_blanks(&folded));
    }
    out
}

/// Quotes `path` exactly as git writes it with `core.quotePath=true`. The result is ASCII.
pub fn quote(path: &[u8]) -> String {
    quoting::encode(path, true)
        .into_iter()
        .map(char::from)
        .collect()
}

/// Undoes [`quote`]; a name without quotes is returned as it is. None if the name opens a
/// quote and is not well formed.
pub fn unquote(name: &[u8]) -> Option<Vec<u8>> {
    quoting::decode(name)
}

fn part_problem(part: &[u8]) -> Option<PathProblem> {
    match part {
        [] => Some(PathProblem::EmptyPart),
        b"." | b".." => Some(PathProblem::DotPart),
        _ if part.len() > PART_BYTES => Some(PathProblem::PartTooLong),
        _ if is_dot_git(part) => Some(PathProblem::DotGit),
        _ => None,
    }
}

/// Tells whether some platform opens `.git` under this name: HFS+ drops some code points,
/// NTFS drops trailing dots and blanks, knows short names, and cuts streams at a colon.
fn is_dot_git(part: &[u8]) -> bool {
    // What is dropped is not ASCII, and most names are.
    if !matches!(part.first(), Some(b'.' | b'g' | b'G')) && part.is_ascii() {
        return false;
    }
    let visible = drop_hfs_ignored(part);
    let name = visible
        .split(|byte| *byte == b':')
        .next()
        .unwrap_or_default();
    let name = trim_dots_and_blanks(name);
    name.eq_ignore_ascii_case(b".git") || name.eq_ignore_ascii_case(b"git~1")
}

/// Returns `path` without what NTFS takes for the name of a stream: `a/b` for `a/b::$DATA`. None
/// where it names none.
pub fn without_streams(path: &[u8]) -> Option<Vec<u8>> {
    if !path.contains(&b':') {
        return None;
    }
    let parts = path.split(|byte| *byte == b'/').map(|part| {
        let mut names = part.split(|byte| *byte == b':');
        names.next().unwrap_or_default()
    });
    Some(parts.collect::<Vec<_>>().join(&b'/'))
}

/// Tells whether Windows takes the name for a device, whatever ending it has.
fn is_device(part: &[u8]) -> bool {
    let stem = part.split(|byte| matches!(byte, b'.' | b':')).next();
    let stem = trim_dots_and_blanks(stem.unwrap_or_default());
    if !(3..=7).contains(&stem.len()) {
        return false;
    }
    let stem = stem.to_ascii_lowercase();
    match stem.as_slice() {
        b"con" | b"prn" | b"aux" | b"nul" | b"conin$" | b"conout$" => true,
        [b'c', b'o', b'm', rest @ ..] | [b'l', b'p', b't', rest @ ..] => {
            matches!(rest, [b'1'..=b'9'] | [0xc2, 0xb9 | 0xb2 | 0xb3])
        }
        _ => false,
    }
}

/// Tells whether the name is one that Windows makes up for a longer one: `CLAUDE~1.MD`.
fn is_short_name(part: &[u8]) -> bool {
    let mut halves = part.splitn(2, |byte| *byte == b'.');
    let (stem, ending) = (halves.next().unwrap_or_default(), halves.next());
    let Some(tilde) = stem.iter().rposition(|byte| *byte == b'~') else {
        return false;
    };
    let number = stem.get(tilde + 1..).unwrap_or_default();
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    let is_ending = ending.is_none_or(|ending| ending.len() <= 3 && !ending.contains(&b'.'));
    tilde > 0 && is_number && stem.len() <= 8 && is_ending
}

fn trim_dots_and_blanks(name: &[u8]) -> &[u8] {
    let kept = name.iter().rposition(|byte| !matches!(byte, b'.' | b' '));
    name.get(..kept.map_or(0, |last| last + 1))
        .unwrap_or_default()
}

fn drop_hfs_ignored(part: &[u8]) -> Vec<u8> {
    map_characters(part, |character, out| {
        if !is_hfs_ignored(character) {
            out.push(character);
        }
    })
}

fn fold_case(part: &[u8]) -> Vec<u8> {
    if part.is_ascii() {
        return part.to_ascii_lowercase();
    }
    map_characters(part, |character, out| {
        if !is_hfs_ignored(character) {
            // Through upper case, so that letters with two lower-case forms meet.
            out.extend(character.to_uppercase().flat_map(char::to_lowercase));
        }
    })
}

/// Maps the characters of `part`; bytes that are not UTF-8 stay as they are.
fn map_characters(part: &[u8], mut map: impl FnMut(char, &mut String)) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    for chunk in part.utf8_chunks() {
        let mut text = String::with_capacity(chunk.valid().len());
        chunk
            .valid()
            .chars()
            .for_each(|character| map(character, &mut text));
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// The code points that HFS+ ignores in names, as listed in git's `utf8.c`.
fn is_hfs_ignored(character: char) -> bool {
    matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn character_warning(character: char) -> Option<PathWarning> {
    match character {
        _ if character.is_control() => Some(PathWarning::Control),
        '\u{061c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => Some(PathWarning::Bidi),
        '\u{00ad}'
        | '\u{034f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{e0000}'..='\u{e0fff}' => Some(PathWarning::Invisible),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_leaves_the_repository() {
        for (path, problem) in [
            (&b""[..], PathProblem::Empty),
            (b"/etc/passwd", PathProblem::Absolute),
            (b"C:/x", PathProblem::DriveLetter),
            (b"c:x", PathProblem::DriveLetter),
            (b"a\\..\\b", PathProblem::Backslash),
            (b"a\0b", PathProblem::Nul),
            (b"a//b", PathProblem::EmptyPart),
            (b"a/", PathProblem::TrailingSlash),
            (b"./a", PathProblem::DotPart),
            (b"a/../b", PathProblem::DotPart),
            (b"..", PathProblem::DotPart),
        ] {
            assert_eq!(check(path), Err(problem), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn refuses_every_spelling_of_dot_git() {
        for part in [
            ".git",
            ".GIT",
            ".Git.",
            ".git ",
            ".git . .",
            "git~1",
            "GIT~1",
            "GIT~1. ",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".git .:x",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{206f}t",
        ] {
            for path in [
                part.to_owned(),
                format!("{part}/config"),
                format!("sub/{part}/hooks/x"),
            ] {
                assert_eq!(check(path.as_bytes()), Err(PathProblem::DotGit), "{path}");
            }
        }
        let mut raw = b"\xff/.git".to_vec();
        raw.extend_from_slice(b"\xe2\x80\x8c");
        assert_eq!(check(&raw), Err(PathProblem::DotGit));
    }

    #[test]
    fn accepts_names_that_only_look_alike() {
        for path in [
            ".gitignore",
            ".github/x",
            "a.git",
            "git~10",
            "...",
            "a b/c\td",
            "\u{e9}",
            "x/C:",
            "-rf",
            "a:b:c/d",
        ] {
            if path == "a:b:c/d" {
                assert_eq!(check(path.as_bytes()), Err(PathProblem::DriveLetter));
            } else {
                assert_eq!(check(path.as_bytes()), Ok(()), "{path}");
            }
        }
        assert_eq!(check(b"\xff\xfe"), Ok(()));
        assert!(is_clean_relative("src/lib.rs"));
        assert!(!is_clean_relative("../src"));
    }

    #[test]
    fn lengths_are_exact() {
        let part = "a".repeat(PART_BYTES);
        assert_eq!(check(part.as_bytes()), Ok(()));
        assert_eq!(
            check(format!("{part}a").as_bytes()),
            Err(PathProblem::PartTooLong)
        );
        let path = "ab/".repeat(1365) + "a";
        assert_eq!((path.len(), check(path.as_bytes())), (4096, Ok(())));
        assert_eq!(
            check(format!("{path}a").as_bytes()),
            Err(PathProblem::TooLong)
        );
    }

    #[test]
    fn warns_of_disguises() {
        assert_eq!(warnings(b"src/lib.rs"), []);
        assert_eq!(warnings(b"a\x1b[2Jb"), [PathWarning::Control]);
        assert_eq!(warnings("a\u{202e}b".as_bytes()), [PathWarning::Bidi]);
        assert_eq!(warnings("a\u{200b}b".as_bytes()), [PathWarning::Invisible]);
        assert_eq!(warnings(b"\xff"), [PathWarning::NotUtf8]);
        assert_eq!(warnings(b"a./b"), [PathWarning::TrailingDotOrBlank]);
        for device in ["aux.rs", "a/CON", "nul.tar.gz", "x/com7.txt/y", "lpt\u{b9}"] {
            assert_eq!(
                warnings(device.as_bytes()),
                [PathWarning::Device],
                "{device}"
            );
        }
        for short in ["GITHUB~1/x", "CLAUDE~1.MD", "a/GITMO~12", "HUSKY~1"] {
            assert_eq!(
                warnings(short.as_bytes()),
                [PathWarning::ShortName],
                "{short}"
            );
        }
        for plain in [
            "com0",
            "auxiliary.rs",
            "console",
            "a.aux",
            "com10",
            "file.txt~",
            "a.~1~",
            "~1",
            "longname~1",
            "a~b",
            "v1~2.tar.gz",
        ] {
            assert_eq!(warnings(plain.as_bytes()), [], "{plain}");
        }
    }

    #[test]
    fn cuts_streams() {
        let cut = |path: &str| {
            let cut = without_streams(path.as_bytes())?;
            Some(String::from_utf8_lossy(&cut).into_owned())
        };
        assert_eq!(cut("a/b"), None);
        assert_eq!(cut("a::$INDEX_ALLOCATION/b:c").as_deref(), Some("a/b"));
    }

    #[test]
    fn folds_what_collides() {
        assert_eq!(fold(b"SRC/Lib.RS. ."), fold(b"src/lib.rs"));
        assert_eq!(fold("STRA\u{df}E".as_bytes()), fold(b"strasse"));
        assert_eq!(fold("a\u{200c}b".as_bytes()), b"ab");
        assert_ne!(fold(b"a/b"), fold(b"ab"));
        assert_eq!(fold(b"\xffA"), b"\xffa");
    }
}
