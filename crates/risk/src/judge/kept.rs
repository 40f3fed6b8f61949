//! What a changed line takes over from the one that it replaces.

use baton_patch::Section;

use crate::rule::secret::Place;

/// More removed lines than these are not read for one match.
const MOST_LINES: usize = 2_000;

/// Whether what is matched, with all that stands in the brackets that it opens, is part of a line that the
/// change takes away from the file: then the line was changed elsewhere, or moved.
pub(crate) fn stood_before(place: &Place<'_>, section: &Section<'_>) -> bool {
    let mut hunks = section.hunks().iter();
    hunks.any(|hunk| hunk.deletions > 0) && {
        let removed = section.removed_text().map(|(_, line)| line);
        // A pattern may begin with what stands before the word: a blank, a bracket.
        let before = place
            .matched
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace());
        let matched = place.matched.get(before.count()..).unwrap_or_default();
        is_part_of(matched, place.line, removed)
    }
}

fn is_part_of<'l>(matched: &[u8], line: &[u8], removed: impl Iterator<Item = &'l [u8]>) -> bool {
    let removed: Vec<&[u8]> = removed.take(MOST_LINES).collect();
    let mut places = memchr::memmem::find_iter(line, matched).peekable();
    // What the same words begin more than once on the line must have stood there each time: a kept call
    // speaks for no other one beside it.
    places.peek().is_some()
        && places.all(|start| {
            let whole = line
                .get(start..)
                .and_then(|rest| whole(rest, matched.len()));
            whole.is_some_and(|(whole, is_rest)| {
                removed.iter().any(|line| held(line, whole, is_rest))
            })
        })
}

/// Whether a removed line held this as code; where it is the rest of a line, at its end.
fn held(line: &[u8], whole: &[u8], is_rest: bool) -> bool {
    let line = line.trim_ascii_end();
    let place = match is_rest {
        true => line.ends_with(whole).then(|| line.len() - whole.len()),
        false => memchr::memmem::find(line, whole),
    };
    place.is_some_and(|at| ran(line.get(..at).unwrap_or_default()))
}

/// Whether what follows this on a line was code before: to take away the mark of a comment or a quote is
/// to bring it in.
fn ran(before: &[u8]) -> bool {
    const MARKS: [&[u8]; 8] = [b"#", b"//", b"/*", b"--", b"\"", b"'", b"`", b"<!"];
    const FIRST: [&[u8]; 5] = [b"*", b";", b"%", b"rem", b"REM"];
    let start = before.trim_ascii_start();
    !FIRST.iter().any(|mark| start.starts_with(mark))
        && !MARKS
            .iter()
            .any(|mark| memchr::memmem::find(before, mark).is_some())
}

/// A match that a text begins with, to the end of the brackets that it opens; where it opens none, with the
/// rest of its line, and true. `None` where a bracket stays open: what it holds stands elsewhere.
fn whole(text: &[u8], matched: usize) -> Option<(&[u8], bool)> {
    let line = memchr::memchr(b'\n', text).unwrap_or(text.len());
    if matched > line {
        return None;
    }
    let mut depth = 0_usize;
    let mut opened = false;
    for (at, byte) in text.get(..line)?.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => (depth, opened) = (depth + 1, true),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        // A call may be followed by the one that sends it.
        let goes_on = text.get(at + 1).is_some_and(|next| b"([{.?".contains(next));
        let is_closed = opened && depth == 0 && !goes_on;
        if is_closed && at + 1 >= matched {
            return Some((text.get(..=at)?, false));
        }
    }
    let rest = text.get(..line)?.trim_ascii_end();
    (depth == 0).then_some((rest, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{changed, scanned};

    /// What the rules for reaches outside find in a change of one line.
    fn found(before: &str, after: &str) -> Vec<String> {
        let report = scanned(&changed("a.py", &[before], &[after]), None);
        let messages = report.findings.into_iter().map(|finding| finding.message);
        let of_reach = |one: &String| one.contains("[REACH_KEPT]") || one.contains("[io-");
        messages.filter(of_reach).collect()
    }

    #[test]
    fn a_call_that_is_moved_asks_a_person_and_one_that_is_let_loose_is_stopped() {
        let call = "r = requests.get(u, timeout=3)";
        let is_kept = |after: &str, before: &str| {
            let found = found(before, after);
            assert!(!found.is_empty(), "{before} {after}");
            found.iter().all(|message| message.contains("[REACH_KEPT]"))
        };
        assert!(is_kept("    r = requests.get(u, timeout=3)", call));
        assert!(is_kept("if a: r = requests.get(u, timeout=3)", call));
        assert!(!is_kept(call, "# r = requests.get(u, timeout=3)"));
        assert!(!is_kept("r = requests.get(v, timeout=3)", call));
        let beside = format!("{call}; requests.get('https://x.example/' + key)");
        assert!(!is_kept(&beside, call));
        assert!(!is_kept(call, "r = load(u)"));
    }

    fn stood(matched: &str, line: &str, removed: &str) -> bool {
        let removed = removed.lines().map(str::as_bytes);
        is_part_of(matched.as_bytes(), line.as_bytes(), removed)
    }

    #[test]
    fn what_a_removed_line_held_with_its_arguments_is_not_new() {
        let old = "\treturn &http.Client{Timeout: 5}, nil\nx = get(url, 3)";
        for (matched, line, is_kept) in [
            (
                "http.Client{",
                "\treturn a(&http.Client{Timeout: 5}, token)",
                true,
            ),
            (
                "http.Client{",
                "\treturn a(&http.Client{Timeout: 9}, token)",
                false,
            ),
            ("get(u", "    x = get(url, 3)", true),
            ("get(u", "    x = get(url, 4)", false),
            ("get(u", "    x = get(url, 3).send(secret)", false),
            ("get(u", "    x = get(url,", false),
            ("x = get", "if a: x = get(url, 3)", true),
            ("nowhere", "x = 1", false),
        ] {
            assert_eq!(stood(matched, line, old), is_kept, "{line}");
        }
        assert!(stood(
            "curl -s",
            "  curl -s https://a.example",
            "curl -s https://a.example"
        ));
        assert!(!stood(
            "curl -s",
            "  curl -s https://b.example",
            "curl -s https://a.example"
        ));
        for comment in ["# ", "  // ", "x = 1 # ", " * ", "rem ", "<!-- ", "a = \""] {
            let old = format!("{comment}curl -s https://a.example");
            assert!(
                !stood("curl -s", "curl -s https://a.example", &old),
                "{old}"
            );
        }
        assert!(!stood(
            "curl -s",
            "curl -s https://a.example | sh",
            "curl -s https://a.example"
        ));
    }
}
