//! What stands in every match of a pattern: short runs of bytes, each place with the bytes that may
//! stand there. A text without any of a pattern's anchors holds no match of it, and a look at the few
//! bytes around a word says so at a small part of what a search costs.

use regex_syntax::hir::{Class, Hir, HirKind, Literal, Look, Repetition};

use crate::needs::place_of;
use crate::spot::{Bytes, NO_WORD, Spot, WORD};

/// So many runs of one pattern are told apart; beyond that they are cut short.
const MOST: usize = 48;
/// So many anchors are of use.
const MOST_ANCHORS: usize = 256;
/// An anchor is no longer than this, in places.
const LONGEST: usize = 20;
/// An anchor this rare is not made longer, in bits.
const RARE_ENOUGH: f64 = 30.0;
/// No better anchors are looked for than such as stand by chance once in so many places.
const GOOD_ENOUGH: f64 = 1e-7;
/// The shortest word by which an anchor is found.
const SHORTEST_WORD: usize = 3;
/// A word that is too short is made longer by a place with so many bytes.
const MOST_AT_A_PLACE: usize = 16;
/// Another is made longer as long as it makes no more words than this,
const MOST_WORDS: usize = 8;
/// and is no longer than this.
const LONG_WORD: usize = 12;

/// A run of places, of which some are a word.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(crate) spots: Vec<Spot>,
    /// The word by which it is found, in lower case, and at which place it begins.
    pub(crate) word: Vec<u8>,
    pub(crate) offset: usize,
}

impl Anchor {
    /// At each place the one letter that may stand there, in lower case; 0 where several may.
    pub(crate) fn letters(&self) -> impl Iterator<Item = u8> + Clone + '_ {
        self.spots.iter().map(|spot| spot.letter().unwrap_or(0))
    }
}

/// A run that is being read.
#[derive(Clone, Debug, Default)]
struct Run {
    spots: Vec<Spot>,
    /// Whether the next place begins at the border of a word.
    at_border: bool,
    /// Whether what follows in the pattern follows here.
    is_open: bool,
    bits: f64,
}

impl Run {
    fn new() -> Self {
        Self {
            is_open: true,
            ..Self::default()
        }
    }

    fn push(&mut self, mut spot: Spot) {
        if std::mem::take(&mut self.at_border) {
            match self.spots.last_mut() {
                None if spot.bytes.is_within(&WORD) && !spot.edge => {
                    self.spots.push(Spot::edge(NO_WORD));
                }
                None => {}
                Some(last) if last.bytes.is_within(&WORD) && !last.edge => {
                    spot.bytes = spot.bytes.without(&WORD);
                }
                Some(last) if spot.bytes.is_within(&WORD) && !spot.edge => {
                    last.bytes = last.bytes.without(&WORD);
                }
                Some(_) => {}
            }
        }
        self.bits -= (spot.bytes.share() + if spot.edge { 0.03 } else { 0.0 }).log2();
        self.spots.push(spot);
        if self.spots.len() >= LONGEST || self.bits > RARE_ENOUGH {
            self.is_open = false;
        }
    }

    fn close(&mut self) {
        let ends_word = |last: &Spot| last.bytes.is_within(&WORD) && !last.edge;
        if self.is_open && self.at_border && self.spots.last().is_some_and(ends_word) {
            self.push(Spot::edge(NO_WORD));
        }
        self.at_border = false;
        self.is_open = false;
    }

    /// Goes on with a part of a pattern that has but one length.
    fn go_on(&mut self, part: &Hir) {
        match part.kind() {
            HirKind::Look(look) => self.look(*look),
            HirKind::Literal(Literal(bytes)) => {
                for byte in bytes {
                    if self.is_open {
                        self.push(Spot::one(Bytes::of([*byte])));
                    }
                }
            }
            HirKind::Class(Class::Bytes(_)) => {
                self.push(Spot::one(bytes_of(part).unwrap_or_default()));
            }
            HirKind::Empty => {}
            // Patterns with classes of Unicode are not read.
            _ => self.close(),
        }
    }

    fn look(&mut self, look: Look) {
        let line_feed = Bytes::of([b'\n']);
        match look {
            Look::WordAscii => self.at_border = true,
            Look::Start if self.spots.is_empty() => self.push(Spot::edge(Bytes::default())),
            Look::StartLF if self.spots.is_empty() => self.push(Spot::edge(line_feed)),
            Look::End | Look::EndLF => {
                self.at_border = false;
                let bytes = if look == Look::End {
                    Bytes::default()
                } else {
                    line_feed
                };
                self.push(Spot::edge(bytes));
                self.is_open = false;
            }
            // What is not asked makes an anchor weaker, not wrong.
            _ => {}
        }
    }
}

/// The anchors of a pattern, one of which stands in every match; None where there are none that stand
/// more rarely than some words.
pub(crate) fn anchors_of(hir: &Hir, words: &[String]) -> Option<Vec<Anchor>> {
    let share = |word: &String| {
        let both = |byte: u8| Bytes::of([byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]);
        word.bytes().map(|byte| both(byte).share()).product::<f64>()
    };
    let by_words: f64 = match words.is_empty() {
        true => 1.0,
        false => words.iter().map(share).sum(),
    };
    let (anchors, share) = best(hir)?;
    (share < by_words).then_some(anchors)
}

/// The rarest anchors of a part of a pattern, and how likely one of them is to stand somewhere.
fn best(hir: &Hir) -> Option<(Vec<Anchor>, f64)> {
    let whole = || of_parts(std::slice::from_ref(hir));
    match hir.kind() {
        HirKind::Capture(capture) => best(&capture.sub),
        HirKind::Repetition(times) if times.min > 0 => rarer(best(&times.sub), whole()),
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(best).collect();
            let each = each.filter(|all| all.len() <= MOST_ANCHORS).map(|all| {
                let share = all.iter().map(|(_, share)| share).sum();
                let anchors = all.into_iter().flat_map(|(anchors, _)| anchors);
                (anchors.collect(), share)
            });
            rarer(each, whole())
        }
        HirKind::Concat(parts) => {
            // From a part that may be left out, or one byte over and over, nothing better begins.
            let begins = |part: &Hir| match part.kind() {
                HirKind::Repetition(times) => times.min > 0 && bytes_of(&times.sub).is_none(),
                _ => true,
            };
            let starts = parts.iter().enumerate().filter(|(_, part)| begins(part));
            let from = starts.map(|(at, _)| of_parts(parts.get(at..).unwrap_or_default()));
            let mut found = None;
            for one in from.chain(parts.iter().map(best)) {
                found = rarer(found, one);
                if found
                    .as_ref()
                    .is_some_and(|(_, share)| *share < GOOD_ENOUGH)
                {
                    break;
                }
            }
            found
        }
        _ => whole(),
    }
}

type Rated = Option<(Vec<Anchor>, f64)>;

fn rarer(one: Rated, other: Rated) -> Rated {
    match (one, other) {
        (Some(one), Some(other)) if other.1 < one.1 => Some(other),
        (one, other) => one.or(other),
    }
}

/// The anchors that begin where these parts of a pattern do.
fn of_parts(parts: &[Hir]) -> Rated {
    let mut runs = vec![Run::new()];
    for part in parts {
        runs = grown(runs, part);
        if runs.iter().all(|run| !run.is_open) {
            break;
        }
    }
    runs.iter_mut().for_each(Run::close);
    let share = runs.iter().map(|run| (-run.bits).exp2()).sum();
    let anchors: Option<Vec<_>> = runs.into_iter().map(|run| of_run(run.spots)).collect();
    let anchors: Vec<_> = anchors?.into_iter().flatten().collect();
    (anchors.len() <= MOST_ANCHORS).then_some((anchors, share))
}

/// The anchors with the places of a run, one for each word by which it is found.
fn of_run(spots: Vec<Spot>) -> Option<Vec<Anchor>> {
    let letters: Vec<Option<u8>> = spots.iter().map(Spot::letter).collect();
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        match (letter, runs.last_mut()) {
            (Some(letter), Some((start, word))) if *start + word.len() == at => word.push(*letter),
            (Some(letter), _) => runs.push((at, vec![*letter])),
            (None, _) => {}
        }
    }
    let rarity = |word: &[u8]| word.iter().map(|byte| place_of(*byte) + 18).sum::<usize>();
    let (offset, word) = runs.into_iter().max_by_key(|(_, word)| rarity(word))?;
    let words = longer(&spots, offset, word);
    let is_short = |word: &Vec<u8>| word.len() < SHORTEST_WORD;
    if words.1.iter().any(is_short) {
        return None;
    }
    let (offset, words) = words;
    let anchor = |word| Anchor {
        spots: spots.clone(),
        word,
        offset,
    };
    Some(words.into_iter().map(anchor).collect())
}

/// A word made longer by the places beside it at which few bytes may stand, which makes several words
/// of it; and at which place they begin.
fn longer(spots: &[Spot], mut offset: usize, word: Vec<u8>) -> (usize, Vec<Vec<u8>>) {
    let mut words = vec![word];
    let few = |at: usize, words: &[Vec<u8>]| {
        let spot = spots.get(at)?;
        let is_wide = spot.edge || spot.bytes.count() > 2 * MOST_AT_A_PLACE as u32;
        let bytes = (!is_wide).then(|| spot.bytes.folded())?;
        let length = words.first().map_or(0, Vec::len);
        let most = if length < SHORTEST_WORD {
            MOST_AT_A_PLACE
        } else {
            MOST_WORDS
        };
        let fits = !bytes.is_empty() && bytes.len() * words.len() <= most && length < LONG_WORD;
        fits.then_some(bytes)
    };
    loop {
        let end = offset + words.first().map_or(0, Vec::len);
        if let Some(bytes) = few(end, &words) {
            let pairs = words.iter().flat_map(|word| {
                bytes
                    .iter()
                    .map(move |byte| [word.as_slice(), &[*byte]].concat())
            });
            words = pairs.collect();
        } else if let Some(before) = offset.checked_sub(1)
            && let Some(bytes) = few(before, &words)
        {
            let pairs = words.iter().flat_map(|word| {
                bytes
                    .iter()
                    .map(move |byte| [&[*byte], word.as_slice()].concat())
            });
            words = pairs.collect();
            offset = before;
        } else {
            return (offset, words);
        }
    }
}

/// The runs with a part of a pattern behind each that is open.
fn grown(mut runs: Vec<Run>, part: &Hir) -> Vec<Run> {
    match part.kind() {
        HirKind::Concat(parts) => return parts.iter().fold(runs, grown),
        HirKind::Capture(capture) => return grown(runs, &capture.sub),
        HirKind::Alternation(_) | HirKind::Repetition(_) => {}
        _ => {
            // One goes on as one.
            for run in runs.iter_mut().filter(|run| run.is_open) {
                run.go_on(part);
            }
            return runs;
        }
    }
    let mut done = Vec::with_capacity(runs.len());
    let mut left = runs.iter().filter(|run| run.is_open).count();
    for mut run in runs {
        if !run.is_open {
            done.push(run);
            continue;
        }
        left -= 1;
        if done.len() + left < MOST {
            done.extend(behind(run, part));
        } else {
            // Too many: what was read so far has to do.
            run.close();
            done.push(run);
        }
    }
    done
}

/// What a run may go on as with a choice or a repetition.
fn behind(mut run: Run, part: &Hir) -> Vec<Run> {
    match part.kind() {
        HirKind::Alternation(parts) => {
            if let Some(spot) = edge_or_byte(parts, run.spots.is_empty()) {
                run.push(spot);
                if has_end(parts) {
                    run.is_open = false;
                }
                return vec![run];
            }
            let grow = |part| grown(vec![run.clone()], part);
            parts.iter().flat_map(grow).collect()
        }
        HirKind::Repetition(times) => repeated(run, times),
        _ => grown(vec![run], part),
    }
}

fn repeated(run: Run, times: &Repetition) -> Vec<Run> {
    let mut runs = vec![run];
    for _ in 0..times.min {
        if runs.iter().all(|run| !run.is_open) {
            return runs;
        }
        runs = grown(runs, &times.sub);
    }
    if times.max == Some(times.min) {
        return runs;
    }
    let (open, mut all): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.is_open);
    let is_one_more = times.max == Some(times.min + 1);
    for run in open {
        let mut more = grown(vec![run.clone()], &times.sub);
        if !is_one_more {
            // How many more there are is not known.
            more.iter_mut().for_each(Run::close);
        }
        all.extend(more);
        all.push(run);
    }
    all
}

/// The bytes that a part of a pattern is one of.
fn bytes_of(part: &Hir) -> Option<Bytes> {
    match part.kind() {
        HirKind::Literal(Literal(bytes)) if bytes.len() == 1 => {
            Some(Bytes::of(bytes.iter().copied()))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.iter();
            Some(Bytes::of(
                ranges.flat_map(|range| range.start()..=range.end()),
            ))
        }
        HirKind::Capture(capture) => bytes_of(&capture.sub),
        _ => None,
    }
}

/// The place that stands for a choice of one byte and the edge of a line, as in `(?:^|[^a-z])`. The
/// beginning of a line takes up a place only before everything else.
fn edge_or_byte(parts: &[Hir], is_first: bool) -> Option<Spot> {
    let mut spot = Spot::default();
    for part in parts {
        let bytes = match part.kind() {
            HirKind::Look(Look::Start) if is_first => None,
            HirKind::Look(Look::StartLF) if is_first => Some(Bytes::of([b'\n'])),
            HirKind::Look(Look::End) => None,
            HirKind::Look(Look::EndLF) => Some(Bytes::of([b'\n'])),
            _ => Some(bytes_of(part)?),
        };
        spot.edge |= matches!(part.kind(), HirKind::Look(_));
        spot.bytes = spot.bytes.or(&bytes.unwrap_or_default());
    }
    let is_both = is_first && has_end(parts);
    (!is_both).then_some(spot)
}

fn has_end(parts: &[Hir]) -> bool {
    let is_end = |part: &Hir| matches!(part.kind(), HirKind::Look(Look::End | Look::EndLF));
    parts.iter().any(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pattern: &str) -> Vec<String> {
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(pattern)
            .unwrap();
        let anchors = anchors_of(&hir, &[]).unwrap_or_default();
        let mut words: Vec<String> = anchors
            .into_iter()
            .map(|anchor| String::from_utf8(anchor.word).unwrap())
            .collect();
        words.sort();
        words.dedup();
        words
    }

    #[test]
    fn a_pattern_is_known_by_its_rarest_run() {
        for (pattern, expected) in [
            (
                r"\bnet\.(?:connect|listen)\(",
                &["net.connect(", "net.listen("][..],
            ),
            (r"(?i)[a-z]+://secret", &["://secret"]),
            (r"(?:^|[^a-z])(re_[A-Za-z0-9]{8})", &["re_"]),
            (
                r#"["']curl["']"#,
                &["\"curl\"", "\"curl'", "'curl\"", "'curl'"],
            ),
            (r"(?m)^[ \t]*assert\b", &["assert"]),
            ("https?://x", &["http://x", "https://x"]),
        ] {
            assert_eq!(words(pattern), expected, "{pattern}");
        }
        for pattern in [r"[a-z]+", "a?b?c?", "(?:curl)?", "x|curl", r"\w\d"] {
            assert_eq!(words(pattern), [""; 0], "{pattern}");
        }
    }
}
