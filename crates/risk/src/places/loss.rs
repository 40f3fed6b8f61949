//! What is lost: files that are deleted, moved, emptied, hollowed out, or shrunk beyond the policy's
//! share.

use std::borrow::Cow;

use baton_core::policy::Policy;
use baton_patch::{Body, HunkLine, LineKind, Mode, Op};

use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput};
use crate::language::Languages;
use crate::language::commented::lines_of_code;

/// Lines of context that git shows around a change.
const CONTEXT: usize = 3;
/// A file with fewer lines of code is not asked how many are left.
const FEWEST_LINES: u64 = 10;
/// Nor is a smaller one asked how many bytes are.
const FEWEST_BYTES: u64 = 256;
/// The ids of nothing, in both of git's hash functions.
const EMPTY_BLOBS: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];

/// Finds what the change takes away from a file.
pub(crate) fn scan(
    input: &ScanInput<'_>,
    file: &ScanFile<'_>,
    policy: &Policy,
    hits: &mut Vec<Hit>,
) {
    let share = policy.caps.delete_share_percent;
    let removed = (file.section.deletions as u64).saturating_sub(file.section.insertions as u64);
    let stays = matches!(file.op, Op::Modify | Op::Rename);
    if file.op == Op::Rename {
        let from = file.old_path.as_deref().unwrap_or_default();
        let why = format!("it was {from}; as a candidate that counts as deleted");
        hits.push(Hit::in_file("FILE_MOVED", file, why));
    }
    if let Some(size) = file.old_size.filter(|_| stays && file.old.is_none()) {
        by_bytes(file, size, share, hits);
        return;
    }
    let gone = match file.old_lines().or_else(|| whole_length(file)) {
        _ if file.op == Op::Delete => Some(("FILE_DELETED", deleted(input, file))),
        _ if loses_its_content(file) => Some((
            "FILE_DELETED",
            "the file's content is gone: it becomes something else".to_owned(),
        )),
        _ if stays && is_emptied(file) => Some(("FILE_EMPTIED", "the file is emptied".to_owned())),
        Some(old) if stays && old > 0 && removed * 100 >= old * share => Some((
            "FILE_SHRUNK",
            format!(
                "{removed} of {old} lines are gone, the policy draws the line at {share} percent"
            ),
        )),
        _ if stays => hollowed(file, share).map(|message| ("FILE_SHRUNK", message)),
        _ => None,
    };
    if let Some((id, message)) = gone {
        hits.push(Hit::in_file(id, file, message));
    }
}

/// A file too large to be read: what its hunks take away is measured in bytes.
fn by_bytes(file: &ScanFile<'_>, size: u64, share: u64, hits: &mut Vec<Hit>) {
    let count = |kind: LineKind| -> u64 {
        let lines = file.section.hunks().iter().flat_map(|hunk| hunk.lines());
        let lines = lines.filter(|line| line.kind == kind);
        lines.map(|line| line.text.len() as u64 + 1).sum()
    };
    let removed = count(LineKind::Removed).saturating_sub(count(LineKind::Added));
    if removed * 100 >= size * share {
        let message = format!(
            "{removed} of {size} bytes are gone, the policy draws the line at {share} percent"
        );
        hits.push(Hit::in_file("FILE_SHRUNK", file, message));
    }
    let message = format!("it has {size} bytes, so only the changed lines were judged");
    hits.push(Hit::in_file("FILE_NOT_READ", file, message));
}

/// All of a file.
type Whole<'f> = Cow<'f, [u8]>;

/// What is gone although lines stay: the most of the bytes, or code that gives way to comments and blanks.
fn hollowed(file: &ScanFile<'_>, share: u64) -> Option<String> {
    let (old, new) = whole(file)?;
    let line = format!("the policy draws the line at {share} percent");
    let is_gone = |old: u64, new: u64| new * 100 <= old * 100u64.saturating_sub(share);
    let (was, is) = (weight(file, &old), weight(file, &new));
    if was >= FEWEST_BYTES && is_gone(was, is) {
        return Some(format!("{} of {was} bytes are gone, {line}", was - is));
    }
    let languages = file.languages(Languages::of(file.section.path(), None));
    if !languages.is_code() {
        return None;
    }
    let (was, is) = (
        lines_of_code(&old, languages),
        lines_of_code(&new, languages),
    );
    (was >= FEWEST_LINES && is_gone(was, is))
        .then(|| format!("{is} of {was} lines of code are left, {line}"))
}

/// The whole file before and after, from the repository, or from a hunk that holds all of it.
fn whole<'f>(file: &'f ScanFile<'_>) -> Option<(Whole<'f>, Whole<'f>)> {
    if let (Some(old), Some(new)) = (&file.old, &file.new) {
        return Some((Cow::Borrowed(old), Cow::Borrowed(new)));
    }
    match &file.section.body {
        Body::Binary { new, old } => Some((Cow::Borrowed(old.as_ref()?), Cow::Borrowed(new))),
        Body::Text(hunks) => {
            let [hunk] = hunks.as_slice() else {
                return None;
            };
            let is_whole = whole_length(file) == Some(hunk.old_count as u64);
            is_whole.then(|| {
                let (old, new) = (hunk.old_text().text, hunk.new_text().text);
                (Cow::Owned(old), Cow::Owned(new))
            })
        }
        Body::BinaryDelta(_) | Body::None => None,
    }
}

/// How many bytes a file has; blanks say nothing in a text, and who takes them out loses nothing.
fn weight(file: &ScanFile<'_>, content: &[u8]) -> u64 {
    let is_binary = file.section.is_binary();
    let counts = |byte: &&u8| is_binary || !byte.is_ascii_whitespace();
    content.iter().filter(counts).count() as u64
}

/// Says of a deleted file whether the same content comes back under another name.
fn deleted(input: &ScanInput<'_>, file: &ScanFile<'_>) -> String {
    let old = file.section.ids.map(|(old, _)| old);
    let mut added = input.files.iter().filter(|other| other.op == Op::Add);
    let moved = added.find(|other| {
        let new = other.section.ids.map(|(_, new)| new);
        old.is_some() && new == old
    });
    match moved {
        Some(to) => format!(
            "the file is moved to {}, and counts as deleted where it was",
            to.path
        ),
        None => "the file is deleted".to_owned(),
    }
}

/// How many lines the old file has, where the text alone shows it: a last hunk with less context
/// behind it than git shows ends with the file.
fn whole_length(file: &ScanFile<'_>) -> Option<u64> {
    let (first, last) = (file.section.hunks().first()?, file.section.hunks().last()?);
    let is_context = |line: &HunkLine<'_>| line.kind == LineKind::Context;
    let before = first.lines().take_while(is_context).count();
    // From the end, and no further than it matters.
    let lines = last.raw().rsplit(|byte| *byte == b'\n');
    let behind = lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"\\"))
        .take_while(|line| line.starts_with(b" "))
        .take(CONTEXT)
        .count();
    let shows_context = before == CONTEXT || first.old_start <= 1;
    let lines = (last.old_start + last.old_count).checked_sub(1)?;
    (shows_context && behind < CONTEXT && lines > 0).then_some(lines as u64)
}

/// A file that becomes a link or a submodule; the other way round something is gained.
fn loses_its_content(file: &ScanFile<'_>) -> bool {
    let old = file.old_mode();
    file.op == Op::Type && matches!(old, Some(Mode::Regular | Mode::Executable))
}

fn is_emptied(file: &ScanFile<'_>) -> bool {
    let is_blank = |text: &Vec<u8>| text.iter().all(u8::is_ascii_whitespace);
    if let (Some(old), Some(new)) = (&file.old, &file.new)
        && is_blank(new)
        && !is_blank(old)
    {
        return true;
    }
    let is_empty_blob =
        |(_, new): (&[u8], &[u8])| EMPTY_BLOBS.iter().any(|id| id.as_bytes() == new);
    if file.section.ids.is_some_and(is_empty_blob) {
        return true;
    }
    match &file.section.body {
        Body::Text(hunks) => match hunks.as_slice() {
            [hunk] if hunk.old_start <= 1 && whole_length(file).is_some() => {
                hunk.new_text().text.iter().all(u8::is_ascii_whitespace)
            }
            _ => false,
        },
        Body::Binary { .. } | Body::BinaryDelta(_) => file.new.as_ref().is_some_and(Vec::is_empty),
        Body::None => false,
    }
}
