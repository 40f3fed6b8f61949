//! Blocks that only went from one place to another: lines that the change takes away and puts back in
//! the same order, in the same file or another.

use std::collections::HashMap;

/// A block has at least this many lines.
const LEAST: usize = 3;
/// And at least this many letters and digits, or any `}` would be a move.
const LETTERS: usize = 20;
/// A line that stands in more places than this begins no block: the search stays linear.
const PLACES: usize = 64;

/// Which of the added lines, and which of the removed ones, are part of a moved block. Both lists are
/// all lines of their kind in the order of the change; `breaks` says where a new run begins.
pub(crate) struct Moved {
    /// For each added line.
    pub(crate) here: Vec<bool>,
    /// For each removed line.
    pub(crate) away: Vec<bool>,
}

/// One line, and whether it follows directly on the one before in its list.
pub(crate) type Line<'a> = (&'a [u8], bool);

/// Finds the moved blocks.
pub(crate) fn find(added: &[Line<'_>], removed: &[Line<'_>]) -> Moved {
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, (text, _)) in removed.iter().enumerate() {
        places.entry(text).or_default().push(at);
    }
    let mut moved = Moved {
        here: vec![false; added.len()],
        away: vec![false; removed.len()],
    };
    let mut at = 0;
    while let Some((text, _)) = added.get(at) {
        let starts = places.get(text).filter(|starts| starts.len() <= PLACES);
        let best = starts
            .into_iter()
            .flatten()
            .filter(|start| moved.away.get(**start) == Some(&false))
            .map(|start| (run(added, at, removed, *start, &moved.away), *start))
            .max_by_key(|(length, start)| (*length, std::cmp::Reverse(*start)));
        let Some((length, start)) = best.filter(|(length, _)| is_block(added, at, *length)) else {
            at += 1;
            continue;
        };
        moved
            .here
            .iter_mut()
            .skip(at)
            .take(length)
            .for_each(|one| *one = true);
        moved
            .away
            .iter_mut()
            .skip(start)
            .take(length)
            .for_each(|one| *one = true);
        at += length;
    }
    moved
}

/// How many lines are the same from here on, without a break in either run.
fn run(added: &[Line<'_>], at: usize, removed: &[Line<'_>], start: usize, taken: &[bool]) -> usize {
    let here = added.iter().skip(at).enumerate();
    let there = removed.iter().zip(taken).skip(start);
    let same = here
        .zip(there)
        .take_while(|((step, (a, a_follows)), ((b, b_follows), taken))| {
            a == b && !**taken && (*step == 0 || (*a_follows && *b_follows))
        });
    same.count()
}

fn is_block(added: &[Line<'_>], at: usize, length: usize) -> bool {
    let letters = |text: &[u8]| {
        text.iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .count()
    };
    let block = added.iter().skip(at).take(length);
    length >= LEAST && block.map(|(text, _)| letters(text)).sum::<usize>() >= LETTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&'static str]) -> Vec<Line<'static>> {
        texts
            .iter()
            .enumerate()
            .map(|(at, text)| (text.as_bytes(), at > 0))
            .collect()
    }

    #[test]
    fn a_block_is_found_and_the_line_that_changed_in_it_is_not_part_of_it() {
        let old = [
            "alpha_one();",
            "beta_two();",
            "gamma_three();",
            "if ok {",
            "delta();",
            "echo_five();",
            "fox_sixteen();",
            "}",
        ];
        let mut new = old;
        new[3] = "if true {";
        let moved = find(&lines(&new), &lines(&old));
        let expected = [true, true, true, false, true, true, true, true];
        assert_eq!(moved.here, expected);
        assert_eq!(moved.away, expected);
    }

    #[test]
    fn a_few_braces_are_no_block() {
        let text = ["}", "}", "}", "{"];
        assert!(
            find(&lines(&text), &lines(&text))
                .here
                .iter()
                .all(|moved| !moved)
        );
    }
}
