//! The tree difference that git itself reports, and whether a patch says the same.
//!
//! Reads `git diff-tree -r --raw -z --no-renames --no-abbrev OLD NEW` (or `diff-index`, which
//! has the same form). Object ids are not compared: a patch that applies at another offset
//! leads to another blob than the one its author saw.

use crate::model::{Mode, Op, Patch};
use crate::refusal::escape;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

/// One record of the raw difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawChange {
    /// The mode before; none for an addition.
    pub old_mode: Option<Mode>,
    /// The mode afterwards; none for a deletion.
    pub new_mode: Option<Mode>,
    /// The full object id before, as hex digits; all zeros if there is none.
    pub old_id: String,
    /// The full object id afterwards, as hex digits; all zeros if there is none.
    pub new_id: String,
    /// The status: `A`, `D`, `M` or `T`.
    pub status: char,
    /// The path.
    pub path: Vec<u8>,
}

/// A record that is not in git's raw form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawError {
    /// Number of the record, counted from 1.
    pub record: usize,
    /// What was seen, escaped and bounded.
    pub form: String,
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawError { record, form } = self;
        write!(
            f,
            "record {record} of the raw tree difference: got \"{form}\", expected \
             \":<mode> <mode> <id> <id> <A|D|M|T>\" and a path of its own; \
             run git diff-tree with -r --raw -z --no-renames --no-abbrev on two trees"
        )
    }
}

impl std::error::Error for RawError {}

/// Reads the raw difference. Empty input is an empty difference.
///
/// # Errors
/// The first record that is not in the form named above, whose status contradicts its modes, or
/// whose path another record already has: of two, only one could be compared.
pub fn read(bytes: &[u8]) -> Result<Vec<RawChange>, RawError> {
    let mut changes = Vec::new();
    let Some(records) = bytes.strip_suffix(b"\0") else {
        return if bytes.is_empty() {
            Ok(changes)
        } else {
            Err(error(1, bytes))
        };
    };
    let mut fields = records.split(|byte| *byte == 0);
    let mut seen = HashSet::new();
    while let Some(head) = fields.next() {
        let record = changes.len() + 1;
        let path = fields.next().filter(|path| seen.insert(*path));
        let change = path.and_then(|path| read_record(head, path));
        changes.push(change.ok_or_else(|| error(record, head))?);
    }
    Ok(changes)
}

fn error(record: usize, seen: &[u8]) -> RawError {
    RawError {
        record,
        form: escape(seen),
    }
}

fn read_record(head: &[u8], path: &[u8]) -> Option<RawChange> {
    let head = std::str::from_utf8(head).ok()?.strip_prefix(':')?;
    let mut words = head.split(' ');
    let (old_mode, new_mode) = (read_mode(words.next()?)?, read_mode(words.next()?)?);
    let (old_id, new_id) = (read_id(words.next()?)?, read_id(words.next()?)?);
    let status = words.next()?;
    let expected = match (old_mode, new_mode) {
        (None, Some(_)) => "A",
        (Some(_), None) => "D",
        (Some(old), Some(new)) if old.is_same_type(new) => "M",
        (Some(_), Some(_)) => "T",
        (None, None) => return None,
    };
    if words.next().is_some() || status != expected || path.is_empty() {
        return None;
    }
    let status = status.chars().next()?;
    Some(RawChange {
        old_mode,
        new_mode,
        old_id,
        new_id,
        status,
        path: path.to_vec(),
    })
}

fn read_mode(digits: &str) -> Option<Option<Mode>> {
    if digits == "000000" {
        return Some(None);
    }
    Mode::from_digits(digits.as_bytes()).map(Some)
}

fn read_id(id: &str) -> Option<String> {
    let is_full = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_full.then(|| id.to_owned())
}

/// The first path, in byte order, on which a patch and a tree difference differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The path.
    pub path: Vec<u8>,
    /// What the patch says, as an operation with modes, or "nothing".
    pub patch: String,
    /// What the tree difference says, in the same words.
    pub tree: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disagreement { path, patch, tree } = self;
        let path = escape(path);
        write!(
            f,
            "\"{path}\": the patch says {patch}, the tree difference says {tree}"
        )
    }
}

impl std::error::Error for Disagreement {}

/// What happens to one path when renames are not followed. Modes that are not known are none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Effect {
    op: Op,
    old_mode: Option<Mode>,
    new_mode: Option<Mode>,
}

impl Effect {
    /// Says whether the tree does this; a mode that the patch does not name may be any.
    fn is_met_by(self, tree: Effect) -> bool {
        let meets = |said: Option<Mode>, is: Option<Mode>| said.is_none() || said == is;
        self.op == tree.op
            && meets(self.old_mode, tree.old_mode)
            && meets(self.new_mode, tree.new_mode)
    }

    fn describe(self) -> String {
        let mode = |mode: Option<Mode>| mode.map_or("any", Mode::as_str);
        match self.op {
            Op::Add | Op::Copy | Op::Rename => format!("add {}", mode(self.new_mode)),
            Op::Delete => format!("delete {}", mode(self.old_mode)),
            Op::Modify | Op::Type => {
                format!(
                    "{} {} -> {}",
                    self.op,
                    mode(self.old_mode),
                    mode(self.new_mode)
                )
            }
        }
    }
}

/// Compares the paths, operations and modes of `patch` with the tree difference `raw`, in which
/// a rename is a deletion and an addition, and a copy an addition.
///
/// # Errors
/// The first difference.
pub fn agrees(patch: &Patch<'_>, raw: &[RawChange]) -> Result<(), Disagreement> {
    let tree: BTreeMap<&[u8], Effect> = raw
        .iter()
        .map(|change| (&*change.path, effect_of(change)))
        .collect();
    let mut said = effects(patch);
    for change in patch.changes() {
        complete_rename(change.source, change.path, &tree, &mut said);
    }
    let paths: BTreeSet<&[u8]> = said.keys().chain(tree.keys()).copied().collect();
    for path in paths {
        let (left, right) = (said.get(path), tree.get(path));
        if !left
            .zip(right)
            .is_some_and(|(left, right)| left.is_met_by(*right))
        {
            let words =
                |effect: Option<&Effect>| effect.map_or("nothing".to_owned(), |e| e.describe());
            return Err(Disagreement {
                path: path.to_vec(),
                patch: words(left),
                tree: words(right),
            });
        }
    }
    Ok(())
}

fn effect_of(change: &RawChange) -> Effect {
    let op = match (change.old_mode, change.new_mode) {
        (None, _) => Op::Add,
        (_, None) => Op::Delete,
        (Some(old), Some(new)) if old.is_same_type(new) => Op::Modify,
        (Some(_), Some(_)) => Op::Type,
    };
    Effect {
        op,
        old_mode: change.old_mode,
        new_mode: change.new_mode,
    }
}

fn effects<'p>(patch: &'p Patch<'_>) -> BTreeMap<&'p [u8], Effect> {
    let mut said = BTreeMap::new();
    for change in patch.changes() {
        let (old_mode, new_mode) = (change.old_mode, change.new_mode);
        let added = Effect {
            op: Op::Add,
            old_mode: None,
            new_mode,
        };
        match change.op {
            Op::Rename | Op::Copy => {
                said.insert(change.path, added);
            }
            Op::Add | Op::Modify | Op::Delete | Op::Type => {
                said.insert(
                    change.path,
                    Effect {
                        op: change.op,
                        old_mode,
                        new_mode,
                    },
                );
            }
        }
        if let (Op::Rename, Some(source)) = (change.op, change.source) {
            said.insert(
                source,
                Effect {
                    op: Op::Delete,
                    old_mode,
                    new_mode: None,
                },
            );
        }
    }
    said
}

/// A plain rename or copy names no mode but keeps the one of its source: takes it from the
/// tree, so that the target is held to it.
fn complete_rename<'p>(
    source: Option<&[u8]>,
    path: &'p [u8],
    tree: &BTreeMap<&[u8], Effect>,
    said: &mut BTreeMap<&'p [u8], Effect>,
) {
    let kept = source
        .and_then(|source| tree.get(source))
        .and_then(|effect| effect.old_mode);
    if let Some(target) = said.get_mut(path).filter(|_| source.is_some()) {
        target.new_mode = target.new_mode.or(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse};

    const ID: &str = "0123456789012345678901234567890123456789";

    fn record(head: &str, status: &str, path: &str) -> Vec<u8> {
        format!(":{head} {ID} {ID} {status}\0{path}\0").into_bytes()
    }

    #[test]
    fn reads_what_git_writes_and_nothing_else() {
        let bytes = [
            record("100644 100755", "M", "a b"),
            record("000000 120000", "A", "l"),
        ]
        .concat();
        let changes = read(&bytes).unwrap();
        assert_eq!((changes[0].status, &*changes[0].path), ('M', &b"a b"[..]));
        assert_eq!(changes[1].new_mode, Some(Mode::Symlink));
        assert_eq!(read(b""), Ok(Vec::new()));
        for bad in [
            record("100644 100755", "T", "a"),
            record("100644 100755", "R100", "a"),
            record("000000 000000", "M", "a"),
            record("100664 100644", "M", "a"),
            record("100644 100755", "M", ""),
            b"tree\0".to_vec(),
            b":100644".to_vec(),
        ] {
            assert_eq!(read(&bad).unwrap_err().record, 1, "{}", bad.escape_ascii());
        }
        let twice = [
            record("100644 000000", "D", "a"),
            record("100644 100755", "M", "b"),
            record("100644 100755", "M", "a"),
        ];
        assert_eq!(read(&twice.concat()).unwrap_err().record, 3);
    }

    #[test]
    fn names_the_first_disagreement() {
        let bytes = b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n";
        let patch = parse(bytes, &Limits::default()).unwrap();
        let check = |raw: &[u8]| agrees(&patch, &read(raw).unwrap()).map_err(|e| e.to_string());
        let same = record("100644 100755", "M", "x");
        assert_eq!(check(&same), Ok(()));
        for (raw, text) in [
            (
                Vec::new(),
                "\"x\": the patch says modify 100644 -> 100755, the tree difference says nothing",
            ),
            (
                record("100644 000000", "D", "x"),
                "\"x\": the patch says modify 100644 -> 100755, the tree difference says delete 100644",
            ),
            (
                record("100755 100644", "M", "x"),
                "\"x\": the patch says modify 100644 -> 100755, the tree difference says modify 100755 -> 100644",
            ),
            (
                [same, record("000000 100644", "A", "a")].concat(),
                "\"a\": the patch says nothing, the tree difference says add 100644",
            ),
        ] {
            assert_eq!(check(&raw), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_plain_rename_keeps_its_mode() {
        let bytes = b"diff --git a/x b/n\nsimilarity index 100%\nrename from x\nrename to n\n";
        let patch = parse(bytes, &Limits::default()).unwrap();
        let raw = |mode: &str| {
            let new = format!("000000 {mode}");
            read(&[record("100644 000000", "D", "x"), record(&new, "A", "n")].concat()).unwrap()
        };
        assert_eq!(agrees(&patch, &raw("100644")), Ok(()));
        assert_eq!(agrees(&patch, &raw("100755")).unwrap_err().path, b"n");
    }
}
