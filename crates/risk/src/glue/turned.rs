//! Texts that are written backwards and turned round when the program runs.

use crate::glue::edited::Edited;

/// Whether the lines of a hunk turn a text round.
pub(crate) fn may_turn(raw: &[u8]) -> bool {
    let mut places = memchr::memmem::find_iter(raw, b"ever");
    places.any(|at| {
        let start = at.checked_sub(1).and_then(|start| raw.get(start..));
        start.is_some_and(|word| {
            word.get(..7)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"reverse"))
        })
    }) || [&b"[::-1]"[..], b"strrev("]
        .iter()
        .any(|sign| memchr::memmem::find(raw, sign).is_some())
}

/// A text with everything turned round that stands between two quotes in one line.
pub(crate) fn turned(text: &[u8]) -> Option<Edited> {
    let mut out = Edited::with_capacity(text.len());
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| {
        let place = memchr::memchr3(b'"', b'\'', b'`', rest)?;
        Some(at + place)
    }) {
        let rest = text.get(open + 1..).unwrap_or_default();
        let quote = text.get(open).copied().unwrap_or_default();
        let close = memchr::memchr2(quote, b'\n', rest).unwrap_or(rest.len());
        out.text
            .extend_from_slice(text.get(at..=open).unwrap_or_default());
        let inner = rest.get(..close).unwrap_or_default();
        at = open + 1 + close;
        if rest.get(close) == Some(&quote) && inner.len() > 1 {
            out.text.extend(inner.iter().rev());
            out.stands_for(at);
        } else {
            out.text.extend_from_slice(inner);
        }
        if rest.get(close) == Some(&quote) {
            out.text.push(quote);
            at += 1;
        }
    }
    out.text
        .extend_from_slice(text.get(at..).unwrap_or_default());
    out.is_changed().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_turned_round_are_read_so() {
        let turned = |text: &str| {
            let turned = turned(text.as_bytes());
            turned.map_or_else(String::new, |one| String::from_utf8(one.text).unwrap())
        };
        assert_eq!(
            turned("a = 'lruc' + \"x\nb = `pq`"),
            "a = 'curl' + \"x\nb = `qp`"
        );
        assert_eq!(turned("a = 'x' ''"), "");
        assert!(may_turn(b"x.Reversed()") && may_turn(b"a[::-1]") && !may_turn(b"never ever"));
        assert!(!may_turn(b"ever") && !may_turn(b""));
    }
}
