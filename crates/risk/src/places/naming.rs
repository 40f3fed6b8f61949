//! What the names of a change tell: what they hide, and under which other names file systems know
//! them.

use std::collections::{HashMap, HashSet};

use baton_core::spelling;
use baton_patch::{Op, path};

use crate::hidden;
use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput, shown};
use crate::places::{Matched, always_closed};

/// Folders of tests.
const TESTS: [&[u8]; 9] = [
    b"test",
    b"tests",
    b"__tests__",
    b"spec",
    b"specs",
    b"e2e",
    b"testing",
    b"testdata",
    b"t",
];

/// Whether a path is one of a test, by the names that most tools look for.
pub(crate) fn is_test(path: &[u8]) -> bool {
    let (folders, name) = match memchr::memrchr(b'/', path) {
        Some(at) => path.split_at(at),
        None => (&b""[..], path),
    };
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let stem = memchr::memchr(b'.', name).and_then(|end| name.get(..end));
    let stem = stem.unwrap_or(name);
    let is_folder = |one: &[u8]| TESTS.iter().any(|test| test.eq_ignore_ascii_case(one));
    let lower = stem.to_ascii_lowercase();
    let ends = [&b"_test"[..], b"_tests", b"_spec", b"-test", b"-spec"];
    let capital = [&b"Test"[..], b"Tests", b"Spec", b"Specs", b"IT"];
    let marks = [&b".test."[..], b".spec."];
    folders.split(|byte| *byte == b'/').any(is_folder)
        || lower.starts_with(b"test_")
        || ends.iter().any(|end| lower.ends_with(end))
        || capital.iter().any(|end| stem.ends_with(end))
        || marks
            .iter()
            .any(|mark| memchr::memmem::find(name, mark).is_some())
        || name.ends_with(b".bats")
}

/// Whether anything is odd about a name.
pub(crate) fn is_odd(path: &[u8], matched: &Matched<'_>) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    !path::warnings(path).is_empty()
        || parts.any(|part| hidden::confusable_word(part).is_some())
        || stream_of(path, matched).is_some()
}

/// A name as the words that it is made of.
pub(crate) fn words(path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| match byte {
        b'-' | b'_' | b'.' | b'/' | b'+' => b' ',
        byte => *byte,
    };
    path.iter().map(plain).collect()
}

/// The file that a name is a part of on NTFS, where that matters: `::$DATA` is the file itself; another
/// name after a colon counts where the file does.
fn stream_of(path: &[u8], matched: &Matched<'_>) -> Option<Vec<u8>> {
    let whole = path::without_streams(path)?;
    let is_stream = memchr::memmem::find(path, b":$").is_some();
    let counts = is_stream || !matched.forbidden.is_empty() || always_closed(&whole).is_some();
    counts.then_some(whole)
}

/// Finds what is odd about one name.
pub(crate) fn by_name(file: &ScanFile<'_>, matched: &Matched<'_>, hits: &mut Vec<Hit>) {
    let path = file.section.path();
    for warning in path::warnings(path) {
        let why = "the name hides something or means another file elsewhere";
        hits.push(Hit::in_file(warning.as_str(), file, why));
    }
    if let Some(word) = path
        .split(|byte| *byte == b'/')
        .find_map(hidden::confusable_word)
    {
        let why = "the name holds letters of another script that look like plain ones";
        hits.push(Hit::in_file("PATH_CONFUSABLE", file, why).showing(word));
    }
    if let Some(whole) = stream_of(path, matched) {
        let why = format!("on NTFS it is part of {}", shown(&whole));
        hits.push(Hit::in_file("PATH_STREAM", file, why));
    }
}

/// Two paths that are one file on some file systems, or one that is a folder of the other there:
/// within the change, and with what the base holds already.
pub(crate) fn collisions(input: &ScanInput<'_>, hits: &mut Vec<Hit>) {
    // One file alone meets nothing.
    if input.files.len() < 2 && input.surroundings.is_none() {
        return;
    }
    let stays = |file: &&ScanFile<'_>| file.op != Op::Delete;
    let mut seen: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    let gone: HashSet<&[u8]> = input
        .files
        .iter()
        .filter(|file| !stays(file))
        .map(|file| file.section.path())
        .collect();
    let base = input.surroundings.iter().flat_map(|all| &all.paths);
    for path in base.filter(|path| !gone.contains(path.as_slice())) {
        seen.insert(spelling::folded(path), path);
    }
    for file in input.files.iter().filter(stays) {
        let path = file.section.path();
        let other = seen.insert(spelling::folded(path), path);
        if let Some(other) = other.filter(|other| *other != path) {
            hits.push(meets(file, other));
        }
    }
    let mut known = spellings(input, &gone);
    for file in input.files.iter().filter(stays) {
        let path = file.section.path();
        for folder in folders(path) {
            let key = spelling::folded(folder);
            if let Some(other) = seen.get(&key) {
                hits.push(meets(file, other));
            }
            let spelled = known.entry(key).or_default();
            if let Some(other) = spelled.first().filter(|_| !spelled.contains(&folder)) {
                hits.push(meets(file, other));
            }
            // One finding for each spelling is enough.
            if !spelled.contains(&folder) {
                spelled.push(folder);
            }
        }
    }
}

/// How the base spells the folders that the change names: one that it spells as the change does was
/// there before.
fn spellings<'i>(
    input: &'i ScanInput<'_>,
    gone: &HashSet<&[u8]>,
) -> HashMap<Vec<u8>, Vec<&'i [u8]>> {
    let mut known: HashMap<Vec<u8>, Vec<&[u8]>> = HashMap::new();
    let named = input.files.iter().map(|file| file.section.path());
    known.extend(named.flat_map(|path| {
        let keys = folders(path).map(spelling::folded);
        keys.map(|key| (key, Vec::new())).collect::<Vec<_>>()
    }));
    let mut last: &[u8] = b"";
    let base = input.surroundings.iter().flat_map(|all| &all.paths);
    for path in base.filter(|path| !gone.contains(path.as_slice())) {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let folder = end.and_then(|end| path.get(..end)).unwrap_or_default();
        // The paths of a tree come in order, folder by folder.
        if folder == last {
            continue;
        }
        last = folder;
        for folder in folders(path) {
            let spelled = known.get_mut(&spelling::folded(folder));
            if let Some(spelled) = spelled.filter(|spelled| !spelled.contains(&folder)) {
                spelled.push(folder);
            }
        }
    }
    known
}

/// The folders on the way to a file, from the top.
fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(at, _)| path.get(..at))
}

fn meets(file: &ScanFile<'_>, other: &[u8]) -> Hit {
    let why = format!("meets {} on some file systems", shown(other));
    Hit::in_file("PATH_COLLISION", file, why)
}

#[cfg(test)]
mod tests {
    use baton_patch::{Limits, parse};

    use super::*;
    use crate::surroundings::Surroundings;

    /// Whether new files meet something of a base.
    fn meet(base: &[&str], new: &[&str]) -> bool {
        let text: String = new
            .iter()
            .map(|path| {
                format!(
                    "diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000..e69de29\n"
                )
            })
            .collect();
        let patch = parse(text.as_bytes(), &Limits::default()).unwrap();
        let mut input = ScanInput::from_patch(&patch);
        input.surroundings = Some(Surroundings {
            paths: base.iter().map(|path| path.as_bytes().to_vec()).collect(),
            ..Surroundings::default()
        });
        let mut hits = Vec::new();
        collisions(&input, &mut hits);
        !hits.is_empty()
    }

    #[test]
    fn tests_are_known_by_their_names() {
        for path in [
            "tests/a.rs",
            "a/Test/b.php",
            "src/test/java/A.java",
            "a/test_b.py",
            "a_test.go",
            "b.test.ts",
            "CartTest.java",
            "spec/a_spec.rb",
            "t/a.t",
            "check.bats",
            "x/a-test.js",
        ] {
            assert!(is_test(path.as_bytes()), "{path}");
        }
        for path in [
            "src/attest.rs",
            "contest/a.py",
            "latest.py",
            "src/a.rs",
            "inspect.go",
            "a.bats.md",
        ] {
            assert!(!is_test(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_folder_in_another_spelling_meets_the_one_that_is_there() {
        assert!(meet(&["src/a.rs"], &["SRC/new.txt"]));
        assert!(meet(&["caf/x", "e/caf\u{e9}/a"], &["e/Caf\u{c9}/b"]));
        assert!(meet(&[], &["src/a.rs", "SRC/b.rs"]));
        assert!(meet(&["src/b/c/a.rs"], &["src/B/d.rs"]));
        assert!(!meet(&["src/a.rs"], &["src/new.txt", "docs/SRC/x"]));
        // Both were there before.
        assert!(!meet(
            &["SRC/a.rs", "src/a.rs", "src/b.rs"],
            &["SRC/new.txt"]
        ));
    }
}
