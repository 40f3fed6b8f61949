//! The raw tree difference: what is read from it, and how it is compared with a patch.

use crate::is_printable;
use baton_patch::{Change, Limits, Mode, Op, Patch, RawChange, agrees, parse, raw};

/// A listing that is accepted says byte for byte what it said, and agrees with a patch only if it
/// has the same paths.
///
/// # Panics
/// When it does not.
pub fn raw_listing(bytes: &[u8]) {
    let answer = raw::read(bytes);
    assert_eq!(answer, raw::read(bytes), "the same answer twice");
    let changes = match answer {
        Ok(changes) => changes,
        Err(error) => {
            let records = bytes.iter().filter(|byte| **byte == 0).count() + 1;
            assert!((1..=records).contains(&error.record));
            assert!(is_printable(&error.to_string()));
            return;
        }
    };
    let rendered: Vec<u8> = changes.iter().flat_map(render).collect();
    assert_eq!(rendered, bytes);
    let twice = raw::read(&[bytes, bytes].concat());
    assert!(
        changes.is_empty() || twice.is_err(),
        "no path has two records"
    );
    let patch = parse(
        b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n",
        &Limits::default(),
    );
    assert!(patch.is_ok());
    for patch in patch.iter() {
        let same = changes.iter().all(|change| {
            (&*change.path, change.status) == (b"x", 'M')
                && (change.old_mode, change.new_mode)
                    == (Some(Mode::Regular), Some(Mode::Executable))
        });
        let verdict = agrees(patch, &changes);
        assert_eq!(verdict.is_ok(), same && !changes.is_empty());
        assert!(verdict.is_ok_and(|()| true) || is_printable(&first_words(patch, &changes)));
    }
}

fn first_words(patch: &Patch<'_>, changes: &[RawChange]) -> String {
    agrees(patch, changes).map_or_else(|difference| difference.to_string(), |()| String::new())
}

/// Writes a record as git does.
fn render(change: &RawChange) -> Vec<u8> {
    let mode = |mode: Option<Mode>| mode.map_or("000000", Mode::as_str);
    let RawChange {
        old_id,
        new_id,
        status,
        ..
    } = change;
    let (old, new) = (mode(change.old_mode), mode(change.new_mode));
    let mut record = format!(":{old} {new} {old_id} {new_id} {status}\0").into_bytes();
    record.extend_from_slice(&change.path);
    record.push(0);
    record
}

/// The listing that git would give for a tree in which exactly the patch happened. A mode that the
/// patch does not name is that of an executable file.
pub(crate) fn of_patch(patch: &Patch<'_>) -> Vec<RawChange> {
    let mut listing = Vec::new();
    for change in patch.changes() {
        let Change {
            op,
            path,
            source,
            old_mode,
            new_mode,
        } = change;
        let kept = Some(Mode::Executable);
        match op {
            Op::Rename | Op::Copy => {
                listing.push(record(None, new_mode.or(kept), path));
                if let (Op::Rename, Some(source)) = (op, source) {
                    listing.push(record(old_mode.or(kept), None, source));
                }
            }
            Op::Add | Op::Modify | Op::Delete | Op::Type => {
                listing.push(record(old_mode, new_mode, path));
            }
        }
    }
    listing.sort_by(|left, right| left.path.cmp(&right.path));
    listing
}

fn record(old_mode: Option<Mode>, new_mode: Option<Mode>, path: &[u8]) -> RawChange {
    let status = match (old_mode, new_mode) {
        (None, _) => 'A',
        (_, None) => 'D',
        (Some(old), Some(new)) if old.is_same_type(new) => 'M',
        (Some(_), Some(_)) => 'T',
    };
    RawChange {
        old_mode,
        new_mode,
        old_id: "0".repeat(40),
        new_id: "0".repeat(40),
        status,
        path: path.to_vec(),
    }
}

/// The patch agrees with its own listing, also after that went through git's form; and with no
/// listing that has a record less or more.
pub(crate) fn holds_patch_to_its_listing(patch: &Patch<'_>) {
    let listing = of_patch(patch);
    let rendered: Vec<u8> = listing.iter().flat_map(render).collect();
    assert_eq!(raw::read(&rendered).as_ref(), Ok(&listing));
    assert_eq!(agrees(patch, &listing), Ok(()));
    let mut other = listing.clone();
    let taken = other.pop();
    assert!(agrees(patch, &other).is_err(), "without {taken:?}");
    let mut other = listing;
    other.push(record(None, Some(Mode::Regular), b"one/more\0"));
    assert!(agrees(patch, &other).is_err());
}
