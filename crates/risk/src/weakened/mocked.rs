//! Tests that put a stand-in in the place of what they test: whatever the code does then, they pass.
//!
//! Only what is surely the subject counts: it has the name of the test file, and the test calls it
//! itself. A stand-in for what the subject uses is an ordinary part of a test.

use crate::hit::Hit;
use crate::input::ScanFile;
use crate::language::Languages;

/// Calls that replace a module in JavaScript and TypeScript, up to its name.
const MODULES: [&str; 6] = [
    "jest.mock(",
    "jest.doMock(",
    "jest.setMock(",
    "vi.mock(",
    "vi.doMock(",
    "mock.module(",
];
/// Calls that replace what a dotted name stands for in Python, up to the name.
const NAMES: [&str; 3] = ["patch(", "setattr(", "patch.object("];

/// So many stand-ins of one file are looked at: for each the whole file is read.
pub(crate) const MOST: usize = 64;

/// Finds added lines of a test that replace what it tests.
pub(crate) fn scan(file: &ScanFile<'_>, languages: Languages, hits: &mut Vec<Hit>) {
    let is_python = languages.is_any(&["python"]);
    if !(is_python || languages.is_any(&["javascript", "typescript"])) {
        return;
    }
    let Some(subject) = subject(&file.path) else {
        return;
    };
    let added = file.section.added_text();
    let replacing = added.filter_map(|(number, line)| {
        let line = std::str::from_utf8(line).ok()?;
        let name = match is_python {
            true => replaced_name(line),
            false => replaced_module(line),
        };
        Some((number, name?))
    });
    let mut seen: Option<String> = None;
    for (number, name) in replacing.take(MOST) {
        let seen = seen.get_or_insert_with(|| in_sight(file));
        let is_subject = match is_python {
            true => calls(seen, &name, subject),
            false => is_the_import(seen, &name, subject),
        };
        if is_subject {
            let message = format!("the test replaces what it tests: {name}");
            hits.push(Hit::in_file("SUBJECT_REPLACED", file, message).at(number));
            return;
        }
    }
}

/// What a test file is about, by its name: `tests/test_cart.py` and `cart.test.ts` are about `cart`.
fn subject(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let stem = name.split('.').next()?;
    let rest = name.get(stem.len()..)?;
    let bare = stem.strip_prefix("test_").or(stem.strip_suffix("_test"));
    let is_test = rest.starts_with(".test.") || rest.starts_with(".spec.");
    bare.or(is_test.then_some(stem))
        .filter(|subject| !subject.is_empty())
}

/// The new text of the file, as far as it is in sight.
fn in_sight(file: &ScanFile<'_>) -> String {
    if let Some(whole) = &file.new {
        return String::from_utf8_lossy(whole).into_owned();
    }
    let sides = file.section.new_text();
    let texts = sides.map(|side| String::from_utf8_lossy(&side.text).into_owned());
    texts.collect()
}

/// The text in quotes that a line begins with.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    text.get(1..)?.split(quote).next()
}

fn replaced_module(line: &str) -> Option<String> {
    let call = MODULES.iter().find_map(|call| line.split_once(call))?;
    quoted(call.1).map(str::to_owned)
}

/// The dotted name that a line replaces, whether it is written in one text or as two arguments.
fn replaced_name(line: &str) -> Option<String> {
    let arguments = NAMES.iter().find_map(|call| line.split_once(call))?.1;
    if let Some(name) = quoted(arguments) {
        return Some(name.to_owned());
    }
    let (object, rest) = arguments.split_once(',')?;
    Some(format!("{}.{}", object.trim(), quoted(rest)?))
}

/// Whether a test imports this module under the subject's name, and no other one.
fn is_the_import(seen: &str, module: &str, subject: &str) -> bool {
    let stem = |module: &str| {
        let last = module.rsplit('/').next().unwrap_or_default();
        last.split('.').next().unwrap_or_default().to_owned()
    };
    let marks = [" from ", "require(", "import("];
    let imports = seen.lines().filter_map(|line| {
        let rest = marks.iter().find_map(|mark| line.split_once(mark))?.1;
        quoted(rest)
    });
    let mut named = imports.filter(|import| stem(import) == subject).peekable();
    stem(module) == subject && named.peek().is_some() && named.all(|import| import == module)
}

/// Whether a test calls what a dotted name stands for, which the subject's module holds.
fn calls(seen: &str, name: &str, subject: &str) -> bool {
    let mut parts = name.rsplit('.');
    let (Some(last), Some(module)) = (parts.next(), parts.next()) else {
        return false;
    };
    if module != subject {
        return false;
    }
    let call = format!("{module}.{last}(");
    let bare = format!("{last}(");
    let is_imported = seen.lines().any(|line| {
        let (from, names) = line.split_once(" import ").unwrap_or_default();
        from.trim_start_matches("from ").ends_with(subject)
            && names.split([',', '(', ')', ' ']).any(|one| one == last)
    });
    let begins_alone = |(at, _): (usize, &str)| {
        let before = seen.get(..at).and_then(|head| head.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || "_.\"'".contains(c)))
    };
    seen.match_indices(&call).any(begins_alone)
        || (is_imported && seen.match_indices(&bare).any(begins_alone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::ScanInput;

    fn is_found(path: &str, lines: &str) -> bool {
        let count = lines.lines().count();
        let added: String = lines.lines().map(|line| format!("+{line}\n")).collect();
        let ids = format!("{}..{}", "0".repeat(40), "1".repeat(40));
        let patch = format!(
            "diff --git a/{path} b/{path}\nnew file mode 100644\nindex {ids}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{count} @@\n{added}"
        );
        let patch = baton_patch::parse(patch.as_bytes(), &baton_patch::Limits::default()).unwrap();
        let input = ScanInput::from_patch(&patch);
        let mut hits = Vec::new();
        let languages = Languages::of(path.as_bytes(), None);
        scan(&input.files[0], languages, &mut hits);
        !hits.is_empty()
    }

    #[test]
    fn a_subject_that_is_replaced_is_seen() {
        let js = "import { pay } from \"../src/pay\";\njest.mock(\"../src/pay\", () => ({}));";
        assert!(is_found("test/pay.test.ts", js));
        let js = "const p = require('./pay');\nvi.mock('./pay')";
        assert!(is_found("src/pay.spec.js", js));
        for py in [
            "from a import pay\n@mock.patch(\"a.pay.fee\", return_value=2)\ndef test(_):\n    assert pay.fee(1) == 2",
            "from a.pay import fee, tax\nmonkeypatch.setattr(\"a.pay.fee\", lambda: 2)\nx = fee(1)",
            "import pay\nwith patch.object(pay, \"fee\", new=f):\n    assert pay.fee(1) == 2",
        ] {
            assert!(is_found("tests/test_pay.py", py), "{py}");
        }
    }

    #[test]
    fn a_stand_in_for_something_else_is_let_be() {
        let js = "import { pay } from '../src/pay';\nimport { db } from '../src/db';\njest.mock('../src/db');";
        assert!(!is_found("test/pay.test.ts", js));
        let js = "import { user } from '../../routes/user';\nimport m from '../../models/user';\njest.mock('../../models/user');";
        assert!(!is_found("test/user.test.ts", js));
        assert!(!is_found(
            "src/setup.ts",
            "import a from './setup';\njest.mock('./setup');"
        ));
        for py in [
            "from a import pay\n@mock.patch(\"a.pay.requests.get\")\ndef test(_):\n    assert pay.fee(1) == 2",
            "from a import pay\n@mock.patch(\"a.pay.clock\")\ndef test(_):\n    assert pay.fee(1) == 2",
            "from a import rate, pay\n@mock.patch(\"a.rate.fee\")\ndef test(_):\n    assert rate.fee(1) == 2",
        ] {
            assert!(!is_found("tests/test_pay.py", py), "{py}");
        }
    }

    #[test]
    fn the_work_for_one_file_is_bounded() {
        let own = "from a import pay\nsetattr(pay, \"fee\", f)\nassert pay.fee(1) == 2\n";
        let other = |count: usize| "setattr(x, \"y\", f)\n".repeat(count);
        assert!(is_found("tests/test_pay.py", &(other(MOST - 1) + own)));
        assert!(!is_found("tests/test_pay.py", &(other(MOST) + own)));
    }
}
