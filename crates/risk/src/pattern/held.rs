//! The texts that the matches of a pattern hold: whether one of a rule's keywords is among them.

use regex_syntax::hir::{Class, Hir, HirKind, Literal};

/// So many texts that a pattern can hold are written down.
const MOST_TEXTS: usize = 512;

/// Whether every match of a pattern holds one of some words.
pub(crate) fn must_hold(hir: &Hir, words: &[String]) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => must_hold(&capture.sub, words),
        HirKind::Alternation(parts) => parts.iter().all(|part| must_hold(part, words)),
        HirKind::Repetition(repetition) => repetition.min > 0 && must_hold(&repetition.sub, words),
        HirKind::Concat(parts) => {
            let mut run = vec![String::new()];
            for part in parts {
                let ends = starts_of(part);
                run = joined(&run, ends.as_ref().map_or(&[], |(texts, _)| texts));
                if all_hold(&run, words) || must_hold(part, words) {
                    return true;
                }
                if !ends.is_some_and(|(_, is_whole)| is_whole) {
                    run = vec![String::new()];
                }
            }
            false
        }
        _ => starts_of(hir).is_some_and(|(texts, _)| all_hold(&texts, words)),
    }
}

fn all_hold(texts: &[String], words: &[String]) -> bool {
    texts
        .iter()
        .all(|text| words.iter().any(|word| text.contains(word.as_str())))
}

/// What a part of a pattern can begin with, in lower case, and whether that is all it can be; None
/// where that is too much to write down.
fn starts_of(hir: &Hir) -> Option<(Vec<String>, bool)> {
    let texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(Literal(bytes)) => {
            vec![String::from_utf8(bytes.to_ascii_lowercase()).ok()?]
        }
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let mut bytes: Vec<u8> = bytes.map(|byte| byte.to_ascii_lowercase()).collect();
            bytes.sort_unstable();
            bytes.dedup();
            let few = bytes.len() <= MOST_TEXTS && bytes.is_ascii();
            few.then(|| {
                bytes
                    .iter()
                    .map(|byte| char::from(*byte).to_string())
                    .collect()
            })?
        }
        HirKind::Capture(capture) => return starts_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            let (texts, _) = starts_of(&repetition.sub)?;
            return Some((texts, false));
        }
        HirKind::Alternation(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(starts_of).collect();
            let parts = parts?;
            let is_whole = parts.iter().all(|(_, is_whole)| *is_whole);
            let texts: Vec<String> = parts.into_iter().flat_map(|(texts, _)| texts).collect();
            return (texts.len() <= MOST_TEXTS).then_some((texts, is_whole));
        }
        HirKind::Concat(parts) => {
            let mut run = vec![String::new()];
            for part in parts {
                let Some((texts, is_whole)) = starts_of(part) else {
                    return Some((run, false));
                };
                run = joined(&run, &texts);
                if !is_whole || run.is_empty() {
                    return (!run.is_empty()).then_some((run, false));
                }
            }
            return Some((run, true));
        }
        _ => return None,
    };
    Some((texts, true))
}

/// Every text of one list followed by every one of another; the first list where that is too much.
fn joined(first: &[String], second: &[String]) -> Vec<String> {
    if second.is_empty() || first.len() * second.len() > MOST_TEXTS {
        return first.to_vec();
    }
    let pairs = first
        .iter()
        .flat_map(|one| second.iter().map(move |two| format!("{one}{two}")));
    pairs.collect()
}
