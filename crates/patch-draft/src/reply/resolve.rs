//! Holding what a reply says against the files of the base, and working out their new bytes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::checks::{check_fence, check_placeholders};
use super::file::{self, Eol, EolPlan, OldText, eol_of};
use super::locate::{Placed, Searched};
use super::model::{Body, Hunk, Kind, Line, Name, Parsed, Section};
use super::refusal::{Code, Refusal, Rejected, shown};
use super::repair::{Repair, RepairId};
use super::text::Limits;

/// What the base has under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// Nothing, and a file can be made there.
    Missing,
    /// A plain file with these bytes.
    File(Vec<u8>),
    /// Something that is no plain file, or one of its folders is none; said in words.
    NoFile(String),
    /// A file of more bytes than may be read.
    TooLarge,
}

/// The files that a reply may change, as the base has them. A path that is not here was not offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// By path.
    pub old: BTreeMap<String, Old>,
    /// Those of the folders `a` and `b` that are at the top of the base.
    pub folders: BTreeSet<String>,
}

/// How near a reply was to what became of it; the higher, the farther.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// Just as it was written.
    Clean,
    /// Mended without guessing.
    Repaired,
    /// A place or a line was guessed.
    Fuzzy,
}

/// One file's new bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: String,
    /// What the base has; none for a new file.
    pub old: Option<Vec<u8>>,
    /// What it becomes.
    pub new: Vec<u8>,
}

/// A reply that holds: what every file becomes, and what was mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// At least one, each path once.
    pub changes: Vec<Change>,
    /// In the order of the reply.
    pub repairs: Vec<Repair>,
    /// The worst of the repairs.
    pub nearness: Nearness,
}

impl Parsed<'_> {
    /// Works out the new files.
    ///
    /// # Errors
    /// Everything that is wrong, and which hunks were fine.
    pub fn resolve(self, files: &Files, fuzz: bool, limits: &Limits) -> Result<Resolved, Rejected> {
        let mut work = Work {
            files,
            fuzz,
            limits,
            spent: 0,
            repairs: self.repairs,
            refusals: self.refusals,
            fine: Vec::new(),
            changes: Vec::new(),
        };
        if self.sections.len() > limits.files {
            let message = format!(
                "{} files, at most {} may change",
                self.sections.len(),
                limits.files
            );
            return Err(Refusal::new(Code::TooLarge, 0, message).into());
        }
        let mut seen = HashSet::new();
        for section in self.sections {
            match choose(&section, files) {
                Err(refusal) => work.refusals.push(refusal),
                Ok(name) if !seen.insert(name.path.clone()) => {
                    let message = "an earlier part of the reply changes it as well";
                    let refusal = Refusal::new(Code::Twice, section.line, message);
                    work.refusals.push(refusal.of(&name.path, 0));
                }
                Ok(name) => work.section(section, name),
            }
        }
        work.finish()
    }
}

/// Which of its readings a path has.
fn choose(section: &Section<'_>, files: &Files) -> Result<Name, Refusal> {
    let offered: Vec<&Name> = section
        .names
        .iter()
        .filter(|name| files.old.contains_key(&name.path))
        .collect();
    let unclear = |message: &str| Refusal::new(Code::PathUnclear, section.line, message);
    let there: Vec<&&Name> = offered
        .iter()
        .filter(|name| files.old.get(&name.path) != Some(&Old::Missing))
        .collect();
    match (offered.as_slice(), there.as_slice()) {
        ([], _) => {
            let message = format!(
                "\"{}\" is not among the files that may change",
                section.written
            );
            Err(Refusal::new(Code::NotOffered, section.line, message))
        }
        ([name], _) => Ok((*name).clone()),
        ([first, ..], []) => match first.unless_folder {
            Some(folder) if files.folders.contains(folder) => Err(unclear(&format!(
                "\"{}\" may lie in the folder {folder} or not",
                section.written
            ))),
            _ => Ok((*first).clone()),
        },
        (_, [name]) if !section.creates => Ok((**name).clone()),
        _ => Err(unclear(&format!(
            "\"{}\" can be more than one file",
            section.written
        ))),
    }
}

struct Work<'a> {
    files: &'a Files,
    fuzz: bool,
    limits: &'a Limits,
    spent: usize,
    repairs: Vec<Repair>,
    refusals: Vec<Refusal>,
    fine: Vec<(String, usize)>,
    changes: Vec<Change>,
}

impl Work<'_> {
    fn section(&mut self, mut section: Section<'_>, name: Name) {
        let path = name.path.as_str();
        let repairs = section.repairs.drain(..).map(|repair| {
            let hunk = repair.hunk;
            repair.of(path, hunk)
        });
        self.repairs.extend(repairs);
        if name.mended {
            let repair = Repair::new(
                RepairId::Prefix,
                section.line,
                section.written.as_bytes(),
                path.as_bytes(),
            );
            self.repairs.push(repair.of(path, 0));
        }
        let before = self.refusals.len();
        let new = match self.files.old.get(path) {
            None | Some(Old::Missing) => self.created(&section, path),
            Some(Old::File(bytes)) if bytes.contains(&0) => Err(Refusal::new(
                Code::Binary,
                section.line,
                "the file holds a NUL byte",
            )),
            Some(Old::File(bytes)) => self.changed(&section, path, bytes),
            Some(Old::NoFile(why)) => Err(Refusal::new(Code::Link, section.line, why)),
            Some(Old::TooLarge) => {
                let message = "the file is larger than the policy lets a proposer see";
                Err(Refusal::new(Code::TooLarge, section.line, message))
            }
        };
        let old = match self.files.old.get(path) {
            Some(Old::File(bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let new = new.and_then(|new| self.judged(&section, old.as_deref(), new));
        match new {
            Err(mut refusal) => {
                refusal.path.get_or_insert_with(|| path.to_owned());
                self.refusals.push(refusal);
            }
            Ok(new) if self.refusals.len() == before => self.changes.push(Change {
                path: path.to_owned(),
                old,
                new,
            }),
            Ok(_) => {}
        }
    }

    /// Whether the new bytes are a change at all.
    fn judged(
        &self,
        section: &Section<'_>,
        old: Option<&[u8]>,
        new: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Refusal> {
        // None: its hunks were turned down one by one.
        let Some(new) = new else {
            return Ok(Vec::new());
        };
        if new.is_empty() {
            let code = if old.is_some() {
                Code::Delete
            } else {
                Code::NoChange
            };
            return Err(Refusal::new(
                code,
                section.line,
                "nothing would be in the file",
            ));
        }
        if Some(new.as_slice()) == old {
            return Err(Refusal::new(
                Code::NoChange,
                section.line,
                "the file stays as it is",
            ));
        }
        Ok(new)
    }

    /// A file that is not in the base.
    fn created(&mut self, section: &Section<'_>, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let (lines, is_open) = match &section.body {
            Body::Whole(lines) => (lines, false),
            Body::Hunks(hunks) => {
                let [hunk] = hunks.as_slice() else {
                    let message = "a new file comes in one piece";
                    return Err(Refusal::new(Code::Absent, section.line, message));
                };
                if let Some(line) = hunk.lines.iter().find(|line| line.kind != Kind::Added) {
                    let code = if section.creates {
                        Code::Unmarked
                    } else {
                        Code::Absent
                    };
                    let message = format!(
                        "\"{}\" is said to be in a file that is not there",
                        shown(line.text)
                    );
                    return Err(Refusal::new(code, line.number, message));
                }
                if !section.creates && hunk.claim.is_some() {
                    let repair = Repair::new(
                        RepairId::DevNull,
                        section.line,
                        path.as_bytes(),
                        b"/dev/null",
                    );
                    self.repairs.push(repair.of(path, 0));
                }
                (&hunk.lines, hunk.new_open)
            }
        };
        check_fence(section, path, None)?;
        check_placeholders(lines, None)?;
        if section.is_cr && eol_of(lines.iter()) != Some(Eol::Lf) {
            return Err(Refusal::new(
                Code::EolUnknown,
                section.line,
                "the file is new",
            ));
        }
        let mut new = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            new.extend_from_slice(line.text);
            if at + 1 < lines.len() || !is_open {
                new.push(b'\n');
            }
        }
        Ok(Some(new))
    }

    fn changed(
        &mut self,
        section: &Section<'_>,
        path: &str,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let old = OldText::new(bytes);
        if old.lines.len() > self.limits.lines {
            let message = format!(
                "the file has {} lines, at most {} are read",
                old.lines.len(),
                self.limits.lines
            );
            return Err(Refusal::new(Code::TooLarge, section.line, message));
        }
        let known: HashSet<&[u8]> = old.lines.iter().map(|line| line.trim_ascii()).collect();
        match &section.body {
            Body::Whole(lines) => {
                check_fence(section, path, Some(&old))?;
                check_placeholders(lines, Some(&known))?;
                self.whole(section, path, lines, &old).map(Some)
            }
            Body::Hunks(_) if section.creates => Err(Refusal::new(
                Code::Exists,
                section.line,
                "it is announced as new",
            )),
            Body::Hunks(hunks) => {
                for hunk in hunks {
                    check_placeholders(&hunk.lines, Some(&known))?;
                }
                self.hunks(hunks, path, &old)
            }
        }
    }

    fn whole(
        &mut self,
        section: &Section<'_>,
        path: &str,
        lines: &[Line<'_>],
        old: &OldText<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        if old.eol == Eol::Mixed {
            return Err(Refusal::new(
                Code::EolMixed,
                section.line,
                "a whole file cannot say which line ends how",
            ));
        }
        let eol = eol_of(lines.iter());
        let mut plan = EolPlan::new(old.eol, eol);
        // CR LF around the file as well came with the reply; only in it, it is meant.
        if plan.strip_section && !plan.strip_file && !section.is_cr {
            plan = EolPlan::new(old.eol, None);
        }
        if plan.is_repair {
            self.repairs.push(plan.repair(section.line).of(path, 0));
        }
        if old.is_open {
            let repair = Repair::new(
                RepairId::EofMarker,
                section.line,
                b"a line feed at the end",
                b"no line feed at the end",
            );
            self.repairs.push(repair.of(path, 0));
        }
        let mut new = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let text = if plan.strip_section {
                file::without_cr(line.text)
            } else {
                line.text
            };
            new.extend_from_slice(text);
            if at + 1 < lines.len() || !old.is_open {
                new.extend_from_slice(plan.end());
            }
        }
        Ok(new)
    }

    fn hunks(
        &mut self,
        hunks: &[Hunk<'_>],
        path: &str,
        old: &OldText<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let plan = EolPlan::new(old.eol, eol_of(hunks.iter().flat_map(|hunk| &hunk.lines)));
        if plan.is_repair {
            let line = hunks.first().map_or(0, |hunk| hunk.line);
            self.repairs.push(plan.repair(line).of(path, 0));
        }
        let mut searched = Searched::new(old, plan.strip_file, self.fuzz);
        let mut placed = Vec::new();
        for (at, hunk) in hunks.iter().enumerate() {
            let mut hunk = hunk.clone();
            if plan.strip_section {
                file::strip(&mut hunk);
            }
            self.spent += old.lines.len() + hunk.lines.len();
            if self.spent > self.limits.work {
                let message = "its hunks are too many for files of this size";
                return Err(Refusal::new(Code::TooLarge, hunk.line, message));
            }
            let number = at + 1;
            let found = if hunk.lines.iter().all(|line| line.kind == Kind::Context) {
                Err(searched.refuse(Code::NoChange, &hunk, "it changes no line"))
            } else {
                searched.place(&hunk)
            };
            match found {
                Ok(found) => {
                    placed.push((number, hunk.line, found));
                    self.fine.push((path.to_owned(), number));
                }
                Err(mut refusal) => {
                    if refusal.code == Code::NotFound && old.eol == Eol::Mixed {
                        refusal.code = Code::EolMixed;
                    }
                    self.refusals.push(refusal.of(path, number));
                }
            }
        }
        if placed.len() < hunks.len() {
            return Ok(None);
        }
        self.build(placed, path, old, plan).map(Some)
    }

    fn build(
        &mut self,
        mut placed: Vec<(usize, usize, Placed)>,
        path: &str,
        old: &OldText<'_>,
        plan: EolPlan,
    ) -> Result<Vec<u8>, Refusal> {
        placed.sort_by_key(|(_, _, placed)| placed.start);
        let mut new = Vec::new();
        let mut at = 0;
        for (number, line, placed) in placed {
            if placed.start < at || (placed.start == 0 && placed.length == 0 && number > 1) {
                let message = format!(
                    "another hunk covers line {} of the file as well",
                    placed.start + 1
                );
                return Err(Refusal::new(Code::Overlap, line, message).of(path, number));
            }
            old.raw(at, placed.start, &mut new);
            let count = placed.new.len();
            for (index, (text, _)) in placed.new.iter().enumerate() {
                new.extend_from_slice(text);
                if index + 1 < count || !placed.is_open {
                    new.extend_from_slice(plan.end());
                }
            }
            at = placed.start + placed.length;
            self.repairs.extend(
                placed
                    .repairs
                    .into_iter()
                    .map(|repair| repair.of(path, number)),
            );
        }
        old.raw(at, old.lines.len(), &mut new);
        Ok(new)
    }

    fn finish(self) -> Result<Resolved, Rejected> {
        let mut refusals = self.refusals;
        if refusals.is_empty() && self.repairs.len() > self.limits.repairs {
            let message = format!(
                "{} repairs would be needed, at most {} are made",
                self.repairs.len(),
                self.limits.repairs
            );
            refusals.push(Refusal::new(Code::TooLarge, 0, message));
        }
        if !refusals.is_empty() {
            let is_fine = |place: &(String, usize)| {
                let is_it = |refusal: &Refusal| {
                    refusal.path.as_ref() == Some(&place.0)
                        && (refusal.hunk == 0 || refusal.hunk == place.1)
                };
                !refusals.iter().any(is_it)
            };
            let fine = self.fine.into_iter().filter(is_fine).collect();
            return Err(Rejected { refusals, fine });
        }
        let nearness = match self.repairs.as_slice() {
            [] => Nearness::Clean,
            repairs if repairs.iter().any(|repair| repair.id.is_fuzzy()) => Nearness::Fuzzy,
            _ => Nearness::Repaired,
        };
        Ok(Resolved {
            changes: self.changes,
            repairs: self.repairs,
            nearness,
        })
    }
}
