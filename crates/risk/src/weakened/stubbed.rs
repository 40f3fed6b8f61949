//! Tests that check what they themselves put in place: a method is given its answer, and the assertion
//! asks that method for it.

use baton_patch::LineKind;

use crate::hit::Hit;
use crate::input::ScanFile;
use crate::weakened::expected::asserts;
use crate::weakened::mocked::MOST;

/// Calls that give a method its answer, with the object and the name in their parentheses.
const CALLS: [&str; 8] = [
    "spyOn(",
    "sinon.stub(",
    "patch.object(",
    "setattr(",
    "stub(",
    "replaceMethod(",
    "mock.method(",
    "replace(",
];
/// Calls that hold the call itself which gets an answer: `when(cart.total())`.
const CALLED: [&str; 5] = ["when(", "every { ", "every {", "given(", "whenever("];
/// What stands in the lines that any of these are in.
const MARKS: [&[u8]; 11] = [
    b"stub",
    b"spyOn(",
    b".to receive(:",
    b"patch.object(",
    b"setattr(",
    b"replace",
    b".method(",
    b"when",
    b"every {",
    b"given(",
    b"mock",
];
/// What shows that a spy answers in the place of what it watches.
const ANSWERS: [&str; 8] = [
    ".mock",
    "return_value",
    "returns(",
    "lambda",
    "=>",
    "side_effect",
    "fn(",
    "Mock(",
];

/// A method that an added line gives its answer.
struct Stub<'t> {
    object: &'t str,
    method: &'t str,
    /// Another name for it: `with patch.object(…) as total`.
    alias: Option<&'t str>,
}

/// Finds added lines of a test file that give a method its answer, where an assertion then calls that method.
pub(crate) fn scan(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    let hunks = file.section.hunks().iter();
    let hunks = hunks.filter(|hunk| hunk.insertions > 0 && may_stub(hunk.raw()));
    let lines = hunks.flat_map(|hunk| hunk.lines());
    let added = lines.filter(|line| line.kind == LineKind::Added);
    let stubs = added.filter_map(|line| {
        let text = str::from_utf8(line.text).ok()?;
        Some((line.new_number, text, stub(text)?))
    });
    let mut sides: Option<Vec<String>> = None;
    for (number, line, stub) in stubs.take(MOST) {
        let sides = sides.get_or_insert_with(|| {
            let sides = file.section.new_text();
            let texts = sides.map(|side| String::from_utf8_lossy(&side.text).into_owned());
            texts.collect()
        });
        let mut others = sides.iter().flat_map(|side| side.lines());
        if others.any(|other| other != line && stub.is_asked(other)) {
            let (object, method) = (stub.object, stub.method);
            let message =
                format!("the test asks for the answer that it gave itself: {object}.{method}");
            hits.push(Hit::in_file("SUBJECT_REPLACED", file, message).at(number));
            return;
        }
    }
}

/// Whether lines could give a method its answer; most do not, and are not read.
fn may_stub(raw: &[u8]) -> bool {
    MARKS
        .iter()
        .any(|mark| memchr::memmem::find(raw, mark).is_some())
}

impl<'t> Stub<'t> {
    /// None where the object is no plain name, or the path of one.
    fn of(object: &'t str, method: &'t str, alias: Option<&'t str>) -> Option<Self> {
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_.@$".contains(c);
        let is_plain = !object.is_empty() && object.chars().all(is_path) && !method.is_empty();
        is_plain.then_some(Self {
            object,
            method,
            alias: alias.filter(|alias| !alias.is_empty()),
        })
    }

    /// Whether a line asserts what the method answers.
    fn is_asked(&self, line: &str) -> bool {
        if !line.contains(self.method) && self.alias.is_none_or(|alias| !line.contains(alias)) {
            return false;
        }
        let call = format!("{}.{}", self.object, self.method);
        let calls = |name: &str| {
            line.match_indices(name).any(|(at, _)| {
                let before = line.get(..at).and_then(|head| head.chars().next_back());
                let after = line.get(at + name.len()..).unwrap_or_default();
                // Ruby calls without parentheses; a spy that is only looked at has a closing one behind it.
                let is_called = after.starts_with('(')
                    || (self.object.starts_with('@') && !after.starts_with(')'));
                is_called && before.is_none_or(|c| !(c.is_alphanumeric() || "_.".contains(c)))
            })
        };
        asserts(line.as_bytes())
            && stub(line).is_none()
            && (calls(&call) || self.alias.is_some_and(calls))
    }
}

/// The method that a line gives its answer.
fn stub(line: &str) -> Option<Stub<'_>> {
    ruby(line)
        .or_else(|| by_name(line))
        .or_else(|| by_call(line))
}

/// `cart.stub :total, 5 do`, `allow(cart).to receive(:total)`.
fn ruby(line: &str) -> Option<Stub<'_>> {
    let (object, rest) = match line.split_once("allow(") {
        Some((_, rest)) => {
            let (object, rest) = rest.split_once(").to receive(:")?;
            (object, rest)
        }
        None => {
            let at = line.find(".stub :").map(|at| (at, ".stub :".len()));
            let (at, length) = at.or_else(|| Some((line.find(".stub(:")?, ".stub(:".len())))?;
            (last_path(line.get(..at)?), line.get(at + length..)?)
        }
    };
    Stub::of(object, first_name(rest), None)
}

/// `jest.spyOn(cart, 'total').mockReturnValue(5)`, `patch.object(cart, "total", return_value=5) as total`.
fn by_name(line: &str) -> Option<Stub<'_>> {
    let rest = CALLS.iter().find_map(|call| line.split_once(call))?.1;
    let (object, rest) = rest.split_once(',')?;
    let name = rest.trim_start().strip_prefix(['"', '\'', '`'])?;
    let is_answered = ANSWERS.iter().any(|answer| rest.contains(answer));
    let alias = rest
        .rsplit_once(") as ")
        .map(|(_, alias)| first_name(alias));
    is_answered.then(|| Stub::of(object.trim(), first_name(name), alias))?
}

/// `when(cart.total()).thenReturn(5)`, `every { cart.total() } returns 5`.
fn by_call(line: &str) -> Option<Stub<'_>> {
    let rest = CALLED.iter().find_map(|call| line.split_once(call))?.1;
    let call = rest.get(..rest.find('(')?)?;
    let (object, method) = call.rsplit_once('.')?;
    let after = rest.get(call.len()..)?;
    let is_answered = [").then", ").will", "} returns", ").returns"]
        .iter()
        .any(|end| after.contains(end));
    is_answered.then(|| Stub::of(object.trim(), method, None))?
}

fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// The dotted name that a text ends with.
fn last_path(text: &str) -> &str {
    let start = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_.@$".contains(c)));
    text.get(start.map_or(0, |at| at + 1)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::tests::{changed, scanned};

    fn is_found(path: &str, lines: &[&str]) -> bool {
        let report = scanned(&changed(path, &["old"], lines), None);
        let messages = report.findings.into_iter().map(|finding| finding.message);
        messages
            .into_iter()
            .any(|message| message.contains("[SUBJECT_REPLACED]"))
    }

    #[test]
    fn an_answer_that_the_test_gave_itself_proves_nothing() {
        for (path, lines) in [
            (
                "test/geo_test.rb",
                &[
                    "@geo.stub :locate, [1, 2] do",
                    "  assert_equal [1, 2], @geo.locate('x').to_a",
                ][..],
            ),
            (
                "spec/cart_spec.rb",
                &[
                    "allow(cart).to receive(:total).and_return(5)",
                    "expect(cart.total(1)).to eq 5",
                ],
            ),
            (
                "src/cart.test.ts",
                &[
                    "vi.spyOn(cart, 'total').mockReturnValue(5);",
                    "expect(cart.total()).toBe(5);",
                ],
            ),
            (
                "test/a.spec.js",
                &[
                    "sinon.stub(cart, 'total').returns(5);",
                    "expect(cart.total()).to.equal(5);",
                ],
            ),
            (
                "tests/test_a.py",
                &[
                    "with mock.patch.object(a, \"fee\", return_value=2) as fee:",
                    "    assert fee(1) == 2",
                ],
            ),
            (
                "tests/test_a.py",
                &[
                    "monkeypatch.setattr(a, 'fee', lambda x: 2)",
                    "assert a.fee(1) == 2",
                ],
            ),
            (
                "src/test/java/ATest.java",
                &[
                    "when(cart.total(any())).thenReturn(5);",
                    "assertEquals(5, cart.total(items));",
                ],
            ),
            (
                "src/test/kotlin/ATest.kt",
                &[
                    "every { cart.total(any()) } returns 5",
                    "assertEquals(5, cart.total(items))",
                ],
            ),
        ] {
            assert!(is_found(path, lines), "{lines:?}");
        }
    }

    #[test]
    fn a_stand_in_for_what_the_subject_uses_is_let_be() {
        for (path, lines) in [
            (
                "test/geo_test.rb",
                &[
                    "@http.stub :get, '1' do",
                    "  assert_equal 1, @geo.locate('x')",
                ][..],
            ),
            (
                "src/cart.test.ts",
                &[
                    "vi.spyOn(rates, 'load').mockReturnValue(5);",
                    "expect(cart.total()).toBe(5);",
                ],
            ),
            (
                "src/cart.test.ts",
                &[
                    "vi.spyOn(log, 'warn').mockImplementation(() => {});",
                    "expect(log.warn).toHaveBeenCalled();",
                ],
            ),
            (
                "src/cart.test.ts",
                &[
                    "const spy = vi.spyOn(cart, 'total');",
                    "expect(cart.total()).toBe(5);",
                ],
            ),
            (
                "tests/test_a.py",
                &[
                    "monkeypatch.setattr(a, 'fee', lambda x: 2)",
                    "assert a.total(1) == 2",
                ],
            ),
            (
                "src/test/java/ATest.java",
                &[
                    "when(rates.load()).thenReturn(5);",
                    "assertEquals(5, cart.total(items));",
                ],
            ),
        ] {
            assert!(!is_found(path, lines), "{lines:?}");
        }
    }
}
