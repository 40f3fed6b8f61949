//! Finding the one place in the file where a hunk's old lines stand.

use super::file::{Ids, OldText, without_cr};
use super::fuzzy;
use super::model::{Hunk, Kind, Line};
use super::refusal::{Code, Near, Refusal, shown};
use super::repair::{Repair, RepairId};

/// How many places of a hunk are counted.
const MOST_PLACES: usize = 100;
/// A line that the file has more often than that says little about a place.
const COMMON: usize = 50;
/// How many lines around the nearest place are quoted, before and after.
const AROUND: usize = 3;
/// How many lines of a hunk or of the file are quoted.
const MOST_QUOTED: usize = 40;

/// A hunk that has its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The first old line, from 0.
    pub(crate) start: usize,
    /// How many lines of the file it covers.
    pub(crate) length: usize,
    /// What stands there afterwards, without line ends. Where the flag is set, the line is the file's
    /// own.
    pub(crate) new: Vec<(Vec<u8>, bool)>,
    /// Whether the last new line, at the end of the file, goes without a line feed.
    pub(crate) is_open: bool,
    pub(crate) repairs: Vec<Repair>,
}

/// The file, ready to be searched. What costs is made when it is first asked for.
pub(crate) struct Searched<'s, 'f> {
    pub(crate) old: &'s OldText<'f>,
    /// The file's lines as they are compared.
    pub(crate) lines: Vec<&'f [u8]>,
    exact: Ids,
    trimmed: Option<Ids>,
    pub(crate) fuzz: bool,
}

impl<'s, 'f> Searched<'s, 'f> {
    pub(crate) fn new(old: &'s OldText<'f>, strip_cr: bool, fuzz: bool) -> Self {
        let lines: Vec<&'f [u8]> = match strip_cr {
            true => old.lines.iter().map(|line| without_cr(line)).collect(),
            false => old.lines.clone(),
        };
        let exact = Ids::new(lines.iter().copied(), <[u8]>::to_vec);
        Self {
            old,
            lines,
            exact,
            trimmed: None,
            fuzz,
        }
    }

    pub(crate) fn line(&self, at: usize) -> &'f [u8] {
        self.lines.get(at).copied().unwrap_or_default()
    }

    /// Finds a hunk's place.
    ///
    /// # Errors
    /// `HUNK_NOT_FOUND`, `HUNK_NOT_UNIQUE`, `HUNK_REMOVES_UNKNOWN`, `HUNK_WITHOUT_OLD_LINES`.
    pub(crate) fn place(&mut self, hunk: &Hunk<'_>) -> Result<Placed, Refusal> {
        let old: Vec<Line<'_>> = hunk
            .lines
            .iter()
            .copied()
            .filter(|line| line.kind != Kind::Added)
            .collect();
        if old.is_empty() && !self.lines.is_empty() {
            return Err(self.refuse(Code::NoAnchor, hunk, "it shows no old line"));
        }
        if old.is_empty() {
            return Ok(self.placed(hunk, 0, Vec::new()));
        }
        if self.is_loose(hunk, old.len()) {
            let message = "its header counts other old lines than it shows, and a side of what it adds shows none, so the place cannot be told";
            return Err(self.refuse(Code::NoAnchor, hunk, message));
        }
        let exact = self.among(hunk, old.len(), |searched| {
            let ids: Option<Vec<_>> = old
                .iter()
                .map(|line| searched.exact.id(line.text))
                .collect();
            ids.map_or(Vec::new(), |ids| searched.exact.places(&ids, MOST_PLACES))
        });
        if let Some(start) = self.one(&exact, hunk)? {
            return Ok(self.placed(hunk, start, Vec::new()));
        }
        let trimmed = self.among(hunk, old.len(), |searched| searched.trimmed_places(&old));
        if let Some(start) = self.one(&trimmed, hunk)? {
            let repairs = self.differing(&old, start, RepairId::TrailingBlank);
            return Ok(self.placed(hunk, start, repairs));
        }
        if self.fuzz
            && let Some(placed) = fuzzy::place(self, hunk, &old)?
        {
            return Ok(placed);
        }
        Err(self.not_found(hunk, &old))
    }

    /// Whether old lines are missing, as the header tells, and may be missing right beside added lines:
    /// then these would come to stand in another place.
    fn is_loose(&self, hunk: &Hunk<'_>, shown: usize) -> bool {
        let is_added = |line: Option<&Line<'_>>| line.is_some_and(|line| line.kind == Kind::Added);
        let counted = hunk.claim.is_none_or(|claim| claim.old_count <= shown);
        !counted && (is_added(hunk.lines.first()) || is_added(hunk.lines.last()))
    }

    /// The places that a marker of a missing line feed, if there is one, allows.
    fn among(
        &mut self,
        hunk: &Hunk<'_>,
        length: usize,
        search: impl FnOnce(&mut Self) -> Vec<usize>,
    ) -> Vec<usize> {
        let mut places = search(self);
        if hunk.old_open || hunk.new_open {
            let end = self.lines.len();
            places.retain(|start| start + length == end);
        }
        places
    }

    pub(crate) fn one(&self, places: &[usize], hunk: &Hunk<'_>) -> Result<Option<usize>, Refusal> {
        match places {
            [] => Ok(None),
            [start] => Ok(Some(*start)),
            [first, ..] => {
                let shown: Vec<_> = places
                    .iter()
                    .take(10)
                    .map(|at| (at + 1).to_string())
                    .collect();
                let message = format!(
                    "its old lines stand in {}{} places: at lines {}",
                    places.len(),
                    if places.len() >= MOST_PLACES {
                        " or more"
                    } else {
                        ""
                    },
                    shown.join(", ")
                );
                let mut refusal = self.refuse(Code::NotUnique, hunk, &message);
                refusal.near = Some(Box::new(self.quote(*first, hunk.count(Kind::Added))));
                Err(refusal)
            }
        }
    }

    /// Places where all lines fit but for blanks at the end of context lines.
    fn trimmed_places(&mut self, old: &[Line<'_>]) -> Vec<usize> {
        let key = |line: &[u8]| unblanked(line).to_vec();
        if self.trimmed.is_none() {
            self.trimmed = Some(Ids::new(self.lines.iter().copied(), key));
        }
        let Some(ids) = &self.trimmed else {
            return Vec::new();
        };
        let wanted: Option<Vec<_>> = old
            .iter()
            .map(|line| ids.id(unblanked(line.text)))
            .collect();
        let found = wanted.map_or(Vec::new(), |wanted| ids.places(&wanted, MOST_PLACES));
        let fits = |start: &usize| {
            old.iter()
                .enumerate()
                .all(|(at, line)| line.kind != Kind::Removed || line.text == self.line(start + at))
        };
        found.into_iter().filter(fits).collect()
    }

    /// One repair for each context line that is not the file's own.
    pub(crate) fn differing(&self, old: &[Line<'_>], start: usize, id: RepairId) -> Vec<Repair> {
        let pairs = old
            .iter()
            .enumerate()
            .map(|(at, line)| (line, self.line(start + at)));
        pairs
            .filter(|(line, real)| line.text != *real)
            .map(|(line, real)| Repair::new(id, line.number, line.text, real))
            .collect()
    }

    /// The new lines of a hunk whose old lines are one stretch: context is the file's own.
    fn placed(&self, hunk: &Hunk<'_>, start: usize, repairs: Vec<Repair>) -> Placed {
        let mut new = Vec::new();
        let mut at = start;
        for line in &hunk.lines {
            match line.kind {
                Kind::Added => new.push((line.text.to_vec(), false)),
                Kind::Context => new.push((self.line(at).to_vec(), true)),
                Kind::Removed => {}
            }
            at += usize::from(line.kind != Kind::Added);
        }
        self.finish(hunk, (start, at - start), new, repairs)
    }

    /// Settles the end of the file and says where the hunk was claimed to be.
    pub(crate) fn finish(
        &self,
        hunk: &Hunk<'_>,
        (start, length): (usize, usize),
        new: Vec<(Vec<u8>, bool)>,
        mut repairs: Vec<Repair>,
    ) -> Placed {
        if let Some(claim) = hunk.claim.filter(|_| length > 0)
            && claim.old_start != start + 1
        {
            let (before, after) = (claim.old_start.to_string(), (start + 1).to_string());
            let repair = Repair::new(
                RepairId::Anchor,
                hunk.line,
                before.as_bytes(),
                after.as_bytes(),
            );
            repairs.push(repair);
        }
        let at_end = start + length == self.lines.len();
        let is_open = match (at_end, self.old.is_open, hunk.old_open) {
            (false, _, _) => false,
            (true, true, true) | (true, false, false) => hunk.new_open,
            (true, is_open, said) => {
                let word = |is_open: bool| match is_open {
                    true => &b"no line feed at the end"[..],
                    false => b"a line feed at the end",
                };
                let repair = Repair::new(RepairId::EofMarker, hunk.line, word(said), word(is_open));
                repairs.push(repair);
                is_open
            }
        };
        Placed {
            start,
            length,
            new,
            is_open,
            repairs,
        }
    }

    fn not_found(&mut self, hunk: &Hunk<'_>, old: &[Line<'_>]) -> Refusal {
        let unknown = old
            .iter()
            .find(|line| line.kind == Kind::Removed && self.exact.id(line.text).is_none());
        let mut refusal = match unknown {
            Some(line) => {
                let message = format!(
                    "it removes \"{}\", which is no line of the file",
                    shown(line.text)
                );
                self.refuse(Code::UnknownLine, hunk, &message)
            }
            None => self.refuse(
                Code::NotFound,
                hunk,
                "its old lines are nowhere in the file",
            ),
        };
        let nearest = self.nearest(hunk, old);
        refusal.near = Some(Box::new(self.quote(nearest, old.len())));
        refusal
    }

    pub(crate) fn refuse(&self, code: Code, hunk: &Hunk<'_>, message: &str) -> Refusal {
        let mut refusal = Refusal::new(code, hunk.line, message);
        let lines = hunk.lines.iter().take(MOST_QUOTED);
        let given = lines.map(|line| {
            let mark = match line.kind {
                Kind::Context => ' ',
                Kind::Removed => '-',
                Kind::Added => '+',
            };
            format!("{mark}{}", shown(line.text))
        });
        refusal.given = given.collect();
        refusal
    }

    /// The place that most of the old lines speak for; without any, the one that was claimed.
    fn nearest(&mut self, hunk: &Hunk<'_>, old: &[Line<'_>]) -> usize {
        let key = |line: &[u8]| line.trim_ascii().to_vec();
        let ids = Ids::new(self.lines.iter().copied(), key);
        let mut stands: std::collections::HashMap<u32, Vec<usize>> =
            std::collections::HashMap::new();
        for (at, id) in ids.lines.iter().enumerate() {
            stands.entry(*id).or_default().push(at);
        }
        let mut votes: std::collections::HashMap<usize, usize> = std::collections::HashMap::new();
        for (offset, line) in old
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.text.trim_ascii().is_empty())
        {
            let places = ids
                .id(line.text.trim_ascii())
                .and_then(|id| stands.get(&id));
            for at in places
                .filter(|places| places.len() <= COMMON)
                .into_iter()
                .flatten()
            {
                *votes.entry(at.saturating_sub(offset)).or_default() += 1;
            }
        }
        let best = votes
            .into_iter()
            .max_by_key(|(at, count)| (*count, std::cmp::Reverse(*at)));
        let claimed = hunk
            .claim
            .map_or(0, |claim| claim.old_start.saturating_sub(1));
        let last = self.lines.len().saturating_sub(1);
        best.map_or(claimed, |(at, _)| at).min(last)
    }

    fn quote(&self, start: usize, length: usize) -> Near {
        let first = start.saturating_sub(AROUND);
        let count = (start - first + length + AROUND).min(MOST_QUOTED);
        let lines = self.lines.iter().skip(first).take(count);
        Near {
            first: first + 1,
            lines: lines.map(|line| shown(line)).collect(),
        }
    }
}

/// A line without blanks and tabs at its end. A CR is none: where files mix line ends, it counts.
fn unblanked(line: &[u8]) -> &[u8] {
    let kept = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    line.get(..kept.map_or(0, |last| last + 1))
        .unwrap_or_default()
}
