//! What a changed line takes over from the one that it replaces.

use baton_patch::Section;

use crate::secret::Place;

/// More removed lines than these are not read for one match.
const MOST_LINES: usize = 2_000;

/// Whether what is matched, with all that stands in the brackets that it opens, is part of a line that the
/// change takes away from the file: then the line was changed elsewhere, or moved.
pub(crate) fn stood_before(place: &Place<'_>, section: &Section<'_>) -> bool {
    let mut hunks = section.hunks().iter();
    hunks.any(|hunk| hunk.deletions > 0) && {
        let removed = section.removed_text().map(|(_, line)| line);
        is_part_of(place.matched, place.line, removed)
    }
}

fn is_part_of<'l>(matched: &[u8], line: &[u8], removed: impl Iterator<Item = &'l [u8]>) -> bool {
    let place = memchr::memmem::find(line, matched);
    let whole = place.and_then(|start| whole(line.get(start..)?, matched.len()));
    whole.is_some_and(|(whole, is_rest)| {
        let finder = memchr::memmem::Finder::new(whole);
        let mut removed = removed.take(MOST_LINES);
        removed.any(|line| match is_rest {
            true => line.trim_ascii_end().ends_with(whole),
            false => finder.find(line).is_some(),
        })
    })
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
        assert!(!stood(
            "curl -s",
            "curl -s https://a.example | sh",
            "curl -s https://a.example"
        ));
    }
}
