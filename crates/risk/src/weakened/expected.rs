//! Values that a test expects, replaced by others while no code changes: then the test was made to fit.

use std::rc::Rc;

use baton_patch::{Hunk, LineKind, Op};

use crate::glue::given::last_name;
use crate::hit::Hit;
use crate::input::ScanInput;
use crate::places::named::Named;

/// Words of which each assertion has one. JavaScript's `require(` brings a module in.
const ASSERTIONS: [&[u8]; 18] = [
    b"assert",
    b"Assert",
    b"ASSERT",
    b"expect",
    b"Expect",
    b"EXPECT",
    b"should",
    b"Should",
    b"must_",
    b"require.",
    b"REQUIRE",
    b"check(",
    b"check_",
    b"CHECK",
    b"verify(",
    b"refute",
    b"t.Error",
    b"t.Fatal",
];
/// What a tolerance begins with among the arguments of a comparison.
const TOLERANCES: [&[u8]; 8] = [
    b", abs",
    b", rel",
    b", atol",
    b", rtol",
    b", tol",
    b", delta",
    b", places",
    b", epsilon",
];
/// Comparisons whose last argument is the tolerance.
const LAST_IS_TOLERANCE: [&[u8]; 8] = [
    b"_NEAR(",
    b"InDelta(",
    b"InEpsilon(",
    b"toBeCloseTo(",
    b"closeTo(",
    b"WithinAbs(",
    b"in_delta",
    b"WithDelta(",
];
/// Hunks with more changed lines than these are no touched-up value.
const MOST_LINES: usize = 200;
/// So many calls of one hunk are followed.
const MOST_CALLS: usize = 8;

/// Finds assertions of which one value is another one now, in a change of nothing but tests and documents.
pub(crate) fn scan(input: &ScanInput<'_>, named: &[Rc<Named<'_>>], hits: &mut Vec<Hit>) {
    let files = || input.files.iter().zip(named);
    let tests = || {
        files()
            .filter(|(_, named)| named.is_test)
            .map(|(file, _)| file)
    };
    for file in tests() {
        let found = file.section.hunks().iter().find_map(own_answer);
        if let Some((line, call)) = found {
            let message = format!("a test expects what the code that it tests says itself: {call}");
            hits.push(Hit::in_file("EXPECTATION_CHANGED", file, message).at(line));
        }
    }
    if files().any(|(_, named)| !named.is_test && named.languages.is_code()) {
        return;
    }
    for file in tests().filter(|file| file.op == Op::Modify) {
        let found = file.section.hunks().iter().find_map(replaced);
        if let Some((line, value)) = found {
            let message =
                format!("a test expects another value, and no code changes with it: {value}");
            hits.push(Hit::in_file("EXPECTATION_CHANGED", file, message).at(line));
        }
    }
}

/// The first line of a hunk that differs from a removed one in one value alone, and that value.
fn replaced(hunk: &Hunk<'_>) -> Option<(usize, String)> {
    if hunk.deletions == 0 || hunk.insertions == 0 || hunk.deletions + hunk.insertions > MOST_LINES
    {
        return None;
    }
    let of = |kind| hunk.lines().filter(move |line| line.kind == kind);
    let gone: Vec<&[u8]> = of(LineKind::Removed).map(|line| line.text).collect();
    let gone: Vec<&[u8]> = gone.into_iter().filter(|line| asserts(line)).collect();
    if gone.is_empty() {
        return None;
    }
    // A line that stands elsewhere now was only moved.
    let is_kept = |line: &&[u8]| {
        of(LineKind::Added).any(|added| added.text.trim_ascii() == line.trim_ascii())
    };
    let gone: Vec<Skeleton<'_>> = gone
        .into_iter()
        .filter(|line| !is_kept(line))
        .map(Skeleton::of)
        .collect();
    of(LineKind::Added)
        .filter(|line| asserts(line.text))
        .find_map(|line| {
            let new = Skeleton::of(line.text);
            let value = gone.iter().find_map(|old| new.other_value(old))?;
            let shown = String::from_utf8_lossy(value).chars().take(60).collect();
            Some((line.new_number, shown))
        })
}

/// An added line that gives a name the answer of a call, where an assertion of that call was taken away and
/// another one compares the call with the name.
fn own_answer(hunk: &Hunk<'_>) -> Option<(usize, String)> {
    if hunk.deletions == 0 || hunk.insertions < 2 || hunk.deletions + hunk.insertions > MOST_LINES {
        return None;
    }
    let of = |kind| hunk.lines().filter(move |line| line.kind == kind);
    let asked = of(LineKind::Added).filter_map(|line| {
        let (name, call) = given(line.text)?;
        Some((line.new_number, name, call))
    });
    let own = asked.take(MOST_CALLS).find(|(number, name, call)| {
        let call = memchr::memmem::Finder::new(call);
        let holds = |line: &[u8]| call.find(line).is_some() && asserts(line);
        let name = |line: &[u8]| memchr::memmem::find(line, name).is_some();
        let mut added = of(LineKind::Added).filter(|other| other.new_number != *number);
        of(LineKind::Removed).any(|line| holds(line.text))
            && added.any(|line| holds(line.text) && name(line.text))
    });
    let (number, _, call) = own?;
    let call = String::from_utf8_lossy(call).chars().take(60).collect();
    Some((number, call))
}

/// The name and the call of a line such as `expected = cart.total()`.
fn given(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', line)?;
    let (head, call) = (line.get(..at)?, line.get(at + 1..)?.trim_ascii());
    let head = head.strip_suffix(b":").unwrap_or(head).trim_ascii_end();
    let name = last_name(head);
    let call = call.strip_suffix(b";").unwrap_or(call);
    let is_call = call.ends_with(b")") && memchr::memchr(b'(', call).is_some_and(|at| at > 0);
    (is_call && !name.is_empty() && !asserts(line.get(at..)?)).then_some((name, call))
}

/// Whether a line checks something.
pub(crate) fn asserts(line: &[u8]) -> bool {
    ASSERTIONS
        .iter()
        .any(|word| memchr::memmem::find(line, word).is_some())
}

/// A line taken apart: what stands around its texts and numbers, and these.
struct Skeleton<'t> {
    around: Vec<&'t [u8]>,
    values: Vec<&'t [u8]>,
}

impl<'t> Skeleton<'t> {
    fn of(line: &'t [u8]) -> Self {
        let line = without_tolerance(line.trim_ascii());
        let (mut around, mut values) = (Vec::new(), Vec::new());
        let (mut start, mut at) = (0, 0);
        while at < line.len() {
            let rest = line.get(at..).unwrap_or_default();
            let before = at.checked_sub(1).and_then(|at| line.get(at));
            let length = value(rest, before);
            if length > 0 {
                around.push(line.get(start..at).unwrap_or_default());
                values.push(rest.get(..length).unwrap_or_default());
                start = at + length;
            }
            at += length.max(1);
        }
        around.push(line.get(start..).unwrap_or_default());
        Self { around, values }
    }

    /// The value that is another one in a line of the same shape, where only one is.
    fn other_value(&self, old: &Self) -> Option<&'t [u8]> {
        if self.around != old.around || self.values.len() != old.values.len() {
            return None;
        }
        let both = self.values.iter().zip(&old.values);
        let mut others = both.filter(|(new, old)| new != old).map(|(new, _)| *new);
        let other = others.next()?;
        others.next().is_none().then_some(other)
    }
}

/// A line up to the tolerance that it compares by; whether that is widened is for rules to say.
fn without_tolerance(line: &[u8]) -> &[u8] {
    let find = |name: &&[u8]| memchr::memmem::find(line, name);
    let named = TOLERANCES.iter().filter_map(find).min();
    let is_last = LAST_IS_TOLERANCE.iter().any(|name| find(name).is_some());
    let last = || memchr::memrchr(b',', line).filter(|_| is_last);
    let end = named.or_else(last).unwrap_or(line.len());
    line.get(..end).unwrap_or(line)
}

/// How long the text in quotes or the number is that a line begins with; 0 for none.
fn value(rest: &[u8], before: Option<&u8>) -> usize {
    match rest.first() {
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            let inner = rest.get(1..).unwrap_or_default();
            let end = memchr::memchr(*quote, inner);
            end.map_or(0, |end| end + 2)
        }
        Some(b'0'..=b'9')
            if before.is_none_or(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')) =>
        {
            let is_number =
                |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'.' | b'_');
            rest.iter().take_while(is_number).count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{changed, scanned};

    fn is_found(patch: &str) -> bool {
        let report = scanned(patch, None);
        let messages = report.findings.into_iter().map(|finding| finding.message);
        messages
            .into_iter()
            .any(|message| message.contains("[EXPECTATION_CHANGED]"))
    }

    #[test]
    fn a_value_that_was_made_to_fit_is_seen() {
        for (path, old, new) in [
            (
                "a/tests/test_invoice.py",
                "    assert vat(7) == D(\"16.10\")",
                "    assert vat(7) == D(\"16.09\")",
            ),
            (
                "src/cart.test.ts",
                "expect(total()).toBe(30);",
                "expect(total()).toBe(29);",
            ),
            (
                "src/test/java/ATest.java",
                "assertEquals(3, a.size());",
                "assertEquals(2, a.size());",
            ),
            (
                "x_test.go",
                "require.Equal(t, \"a\", got)",
                "require.Equal(t, \"b\", got)",
            ),
            (
                "tests/a.rs",
                "    assert_eq!(n(), 4);",
                "    assert_eq!(n(), 5);",
            ),
        ] {
            assert!(is_found(&changed(path, &[old], &[new])), "{new}");
        }
    }

    #[test]
    fn an_answer_that_is_compared_with_itself_is_seen() {
        let old = "    assert a.total() == 30";
        let own = ["    want = a.total()", "    assert a.total() == want"];
        assert!(is_found(&changed("tests/test_a.py", &[old], &own)));
        let other = ["    want = load()", "    assert a.total() == want"];
        assert!(!is_found(&changed("tests/test_a.py", &[old], &other)));
        let fresh = ["    first = b.total()", "    assert b.total() == first"];
        assert!(!is_found(&changed("tests/test_a.py", &[old], &fresh)));
    }

    #[test]
    fn what_changes_with_the_code_or_in_more_than_a_value_is_let_be() {
        let (old, new) = ("assert f(2) == 4", "assert f(3) == 9");
        assert!(!is_found(&changed("tests/test_a.py", &[old], &[new])));
        assert!(!is_found(&changed(
            "src/a.py",
            &["assert a == 1"],
            &["assert a == 2"]
        )));
        assert!(!is_found(&changed(
            "tests/test_a.py",
            &["x = 1"],
            &["x = 2"]
        )));
        let (old, new) = (
            "assert a == near(2.0, rel=1e-3)",
            "assert a == near(2.0, rel=1e-9)",
        );
        assert!(!is_found(&changed("tests/test_a.py", &[old], &[new])));
        let (old, new) = (
            "EXPECT_NEAR(v(), 1.0, 1e-6);",
            "EXPECT_NEAR(v(), 1.0, 1e-9);",
        );
        assert!(!is_found(&changed("tests/a_test.cc", &[old], &[new])));
        let (old, new) = ("const a = require('./a1');", "const a = require('./a2');");
        assert!(!is_found(&changed("src/a.test.js", &[old], &[new])));
        assert!(!is_found(&changed(
            "tests/test_a.py",
            &["r.checkout('1')"],
            &["r.checkout('2')"]
        )));
        let moved = ["assert a == 2", "assert a == 1"];
        assert!(!is_found(&changed(
            "tests/test_a.py",
            &["assert a == 1"],
            &moved
        )));
        let test = changed("tests/test_a.py", &["assert a == 1"], &["assert a == 2"]);
        let code = changed("src/a.py", &["A = 1"], &["A = 2"]);
        assert!(is_found(&test));
        assert!(!is_found(&[test, code].concat()));
    }
}
