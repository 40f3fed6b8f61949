//! Tests that are never run because another one of the same name comes after them in their file.

use std::collections::HashMap;

use baton_patch::LineKind;

use crate::hit::Hit;
use crate::input::ScanFile;

/// What a test's definition begins with, in languages that let a second one take the place of the first.
const BEGINS: [&str; 2] = ["def test", "async def test"];

/// Finds added tests whose name another one of the same class has.
pub(crate) fn scan(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let path = file.section.path();
    let Some(whole) = file
        .new
        .as_deref()
        .filter(|_| [&b".py"[..], b".rb"].iter().any(|end| path.ends_with(end)))
    else {
        return;
    };
    let hunks = file.section.hunks().iter();
    let lines = hunks.flat_map(|hunk| hunk.lines());
    let added = lines.filter(|line| line.kind == LineKind::Added && name(line.text).is_some());
    let added: Vec<usize> = added.map(|line| line.new_number).collect();
    if added.is_empty() {
        return;
    }
    // By what it stands in: where the last class began, and how far to the right.
    let (mut class, mut seen) = (0, HashMap::new());
    for (at, line) in whole.split(|byte| *byte == b'\n').enumerate() {
        let number = at + 1;
        if line.trim_ascii_start().starts_with(b"class ") {
            class = number;
        }
        let Some(name) = name(line) else { continue };
        let depth = line.len() - line.trim_ascii_start().len();
        let Some(first) = seen.insert((class, depth, name), number) else {
            continue;
        };
        if added.contains(&number) || added.contains(&first) {
            let message = format!("{name} in line {first} is never run: this one has its name");
            hits.push(Hit::in_file("TEST_SHADOWED", file, message).at(number));
            return;
        }
    }
}

/// The name of the test that a line begins.
fn name(line: &[u8]) -> Option<&str> {
    let line = str::from_utf8(line).ok()?.trim_start();
    let begin = BEGINS.iter().find(|begin| line.starts_with(**begin))?;
    let start = begin.len() - "test".len();
    let rest = line.get(start..)?;
    let end = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    rest.get(..end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use baton_patch::{Limits, parse};

    use super::*;
    use crate::input::ScanInput;
    use crate::tests::changed;

    fn found(path: &str, whole: &str) -> bool {
        let patch = changed(path, &["x"], &whole.lines().collect::<Vec<_>>());
        let patch = parse(patch.as_bytes(), &Limits::default()).unwrap();
        let mut input = ScanInput::from_patch(&patch);
        input.files[0].new = Some(whole.as_bytes().to_vec());
        let mut hits = Vec::new();
        scan(&input.files[0], &mut hits);
        !hits.is_empty()
    }

    #[test]
    fn a_test_that_takes_the_name_of_another_one_is_seen() {
        let twice =
            "class A:\n    def test_a(self):\n        x\n\n    def test_a(self):\n        y\n";
        assert!(found("tests/test_a.py", twice));
        assert!(found(
            "test/a_test.rb",
            "def test_a\nend\ndef test_a\nend\n"
        ));
        let apart = "class A:\n    def test_a(self): x\nclass B:\n    def test_a(self): y\n";
        assert!(!found("tests/test_a.py", apart));
        assert!(!found(
            "tests/test_a.py",
            "def test_a(): x\ndef test_ab(): y\n"
        ));
        assert!(!found("tests/a.rs", "def test_a(): x\ndef test_a(): y\n"));
    }
}
