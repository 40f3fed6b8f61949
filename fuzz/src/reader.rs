//! The patch reader: what it accepts holds together, and what it refuses it can explain.

use crate::is_printable;
use crate::listing::holds_patch_to_its_listing;
use baton_patch::path;
use baton_patch::{
    Body, Code, Hunk, Limits, LineKind, Mode, Op, Patch, Refusal, Section, SideText, parse,
};

/// Reads the bytes as a patch and checks whatever comes of it.
///
/// # Panics
/// When one of the properties does not hold.
pub fn reader(bytes: &[u8]) {
    beside(bytes);
    let strict = Limits::default();
    let lenient = Limits {
        allow_delta: true,
        ..Limits::default()
    };
    let (first, second) = (parse(bytes, &strict), parse(bytes, &lenient));
    assert_eq!(first, parse(bytes, &strict), "the same answer twice");
    match (&first, &second) {
        (Err(refusal), _) if refusal.code == Code::Delta => {}
        _ => assert_eq!(first, second, "deltas are the only difference"),
    }
    match second {
        Ok(patch) => accepted(bytes, &patch, &lenient),
        Err(refusal) => refused(bytes, &refusal),
    }
}

/// What stands beside the change is a part of the text, each once and in its order, whatever the text is.
fn beside(bytes: &[u8]) {
    let around = baton_patch::beside(bytes).around;
    let starts = around
        .iter()
        .map(|part| part.as_ptr() as usize - bytes.as_ptr() as usize);
    let ends: Vec<usize> = starts
        .clone()
        .zip(&around)
        .map(|(start, part)| start + part.len())
        .collect();
    assert!(
        starts.skip(1).zip(&ends).all(|(next, end)| next >= *end),
        "parts overlap"
    );
    assert!(
        ends.last().is_none_or(|end| *end <= bytes.len()),
        "a part is of another text"
    );
}

fn refused(bytes: &[u8], refusal: &Refusal) {
    assert!((1..=lines(bytes).len() + 1).contains(&refusal.line));
    assert!(is_printable(&refusal.to_string()), "{refusal}");
    assert!(!refusal.hint.is_empty());
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').collect()
}

fn accepted(bytes: &[u8], patch: &Patch<'_>, limits: &Limits) {
    let lines = lines(bytes);
    assert!(!patch.sections.is_empty());
    assert!(bytes.starts_with(patch.prologue) && bytes.ends_with(patch.trailer));
    for section in &patch.sections {
        section_holds(section);
        for hunk in section.hunks() {
            hunk_holds(hunk);
        }
    }
    every_header_is_read(&lines, patch);
    no_path_is_written_twice(patch);
    holds_patch_to_its_listing(patch);
    parts_read_alike(bytes, patch, limits);
}

/// No line that starts a section or a hunk is left over, wherever it stands: content lines begin
/// with a marker, so none of them can look like one.
fn every_header_is_read(lines: &[&[u8]], patch: &Patch<'_>) {
    let places = |start: &[u8]| -> Vec<usize> {
        let numbered = lines.iter().enumerate();
        let found = numbered.filter(|(_, line)| line.starts_with(start));
        found.map(|(index, _)| index + 1).collect()
    };
    let sections: Vec<usize> = patch.sections.iter().map(|section| section.line).collect();
    assert_eq!(sections, places(b"diff --git "));
    let hunks = patch.sections.iter().flat_map(Section::hunks);
    let hunks: Vec<usize> = hunks.map(|hunk| hunk.line).collect();
    assert_eq!(hunks, places(b"@@"));
}

fn section_holds(section: &Section<'_>) {
    for path in [&section.old_path, &section.new_path].into_iter().flatten() {
        assert_eq!(path::check(path), Ok(()));
    }
    let same_path = section.old_path == section.new_path;
    let modes = (section.old_mode, section.new_mode);
    match section.op {
        Op::Add => assert!(section.old_path.is_none() && section.new_path.is_some()),
        Op::Delete => assert!(section.new_path.is_none() && section.old_path.is_some()),
        Op::Modify => assert!(same_path && section.new_path.is_some()),
        Op::Rename | Op::Copy => assert!(!same_path),
        Op::Type => assert_ne!(section.op, Op::Type, "only changes have it"),
    }
    match modes {
        (None, Some(_)) => assert_eq!(section.op, Op::Add),
        (Some(_), None) => assert_eq!(section.op, Op::Delete),
        (Some(old), Some(new)) => assert!(old.is_same_type(new)),
        (None, None) => {
            assert!(matches!(section.op, Op::Rename | Op::Copy));
            assert_eq!(section.body, Body::None, "new content comes with a mode");
        }
    }
    let is_submodule = modes.0.or(modes.1) == Some(Mode::Submodule);
    assert!(!(is_submodule && section.is_binary()));
    let sum = |count: fn(&Hunk<'_>) -> usize| section.hunks().iter().map(count).sum::<usize>();
    assert_eq!(section.insertions, sum(|hunk| hunk.insertions));
    assert_eq!(section.deletions, sum(|hunk| hunk.deletions));
    assert_eq!(section.insertions, section.added_text().count());
    assert_eq!(section.deletions, section.removed_text().count());
    assert_eq!(
        matches!(section.body, Body::Text(_)),
        !section.hunks().is_empty()
    );
    for (before, after) in section.hunks().iter().zip(section.hunks().iter().skip(1)) {
        assert!(before.old_start + before.old_count <= after.old_start + 1);
        assert!(before.new_start + before.new_count <= after.new_start + 1);
    }
}

fn hunk_holds(hunk: &Hunk<'_>) {
    let lines: Vec<_> = hunk.lines().collect();
    let count = |without: LineKind| lines.iter().filter(|line| line.kind != without).count();
    assert_eq!(hunk.old_count, count(LineKind::Added));
    assert_eq!(hunk.new_count, count(LineKind::Removed));
    assert_eq!(hunk.insertions, lines.len() - hunk.old_count);
    assert_eq!(hunk.deletions, lines.len() - hunk.new_count);
    let numbers = |without: LineKind, new: bool| {
        let side = lines.iter().filter(move |line| line.kind != without);
        side.map(move |line| {
            if new {
                line.new_number
            } else {
                line.old_number
            }
        })
    };
    assert!(numbers(LineKind::Added, false).eq(hunk.old_start..hunk.old_start + hunk.old_count));
    assert!(numbers(LineKind::Removed, true).eq(hunk.new_start..hunk.new_start + hunk.new_count));
    assert!(lines.iter().all(|line| !line.text.contains(&b'\n')));
    // A side without its last line feed ends there.
    for without in [LineKind::Added, LineKind::Removed] {
        let side = lines.iter().rev().filter(|line| line.kind != without);
        assert!(!side.skip(1).any(|line| line.no_newline));
    }
    let (old, new) = (hunk.old_text(), hunk.new_text());
    side_holds(&old, (hunk.old_start, hunk.old_count), hunk.deletions);
    side_holds(&new, (hunk.new_start, hunk.new_count), hunk.insertions);
    assert_ne!(old.text, new.text, "a hunk changes something");
    let markers = hunk.raw().split(|byte| *byte == b'\n');
    let markers = markers.filter(|line| line.starts_with(b"\\")).count();
    let no_newlines = lines.iter().filter(|line| line.no_newline).count();
    assert_eq!(markers, no_newlines);
}

/// A side has as many lines as the header says, and each but the last ends with a line feed.
fn side_holds(side: &SideText, (start, lines): (usize, usize), changed: usize) {
    assert!(lines == 0 || side.first_line == start);
    assert_eq!(side.changed.len(), lines);
    assert_eq!(side.changed.iter().filter(|line| **line).count(), changed);
    let feeds = side.text.iter().filter(|byte| **byte == b'\n').count();
    let is_open = side.text.last().is_some_and(|byte| *byte != b'\n');
    assert_eq!(feeds + usize::from(is_open), lines);
}

/// No path is the target of two sections, and none is a folder of another.
fn no_path_is_written_twice(patch: &Patch<'_>) {
    let targets = patch.sections.iter();
    let mut targets: Vec<&[u8]> = targets.filter_map(|s| s.new_path.as_deref()).collect();
    let count = targets.len();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), count);
    for target in &targets {
        let ends = target.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut folders = ends.filter_map(|(end, _)| target.get(..end));
        assert!(!folders.any(|folder| targets.binary_search(&folder).is_ok()));
    }
}

/// The sections read the same without the text around them, without the last of them, and the
/// last of them alone.
fn parts_read_alike(bytes: &[u8], patch: &Patch<'_>, limits: &Limits) {
    let (start, end) = (patch.prologue.len(), bytes.len() - patch.trailer.len());
    let bare = bytes.get(start..end).unwrap_or_default();
    assert!(is_read_as(bare, &patch.sections, limits));
    let Some((last, rest)) = patch.sections.split_last() else {
        return;
    };
    let before: usize = lines(bytes)
        .iter()
        .take(last.line - 1)
        .map(|line| line.len() + 1)
        .sum();
    let (head, tail) = bytes
        .get(..end)
        .and_then(|text| text.split_at_checked(before))
        .unwrap_or_default();
    assert!(is_read_as(tail, std::slice::from_ref(last), limits));
    assert!(rest.is_empty() || is_read_as(head, rest, limits));
}

/// Whether the bytes are read as these sections, line numbers aside.
fn is_read_as(bytes: &[u8], sections: &[Section<'_>], limits: &Limits) -> bool {
    let bare = |section: &Section<'_>| {
        let added: Vec<Vec<u8>> = section
            .added_text()
            .map(|(_, text)| text.to_vec())
            .collect();
        (
            (
                section.op,
                section.old_path.clone(),
                section.new_path.clone(),
            ),
            (section.old_mode, section.new_mode, section.is_binary()),
            (section.insertions, section.deletions, added),
        )
    };
    parse(bytes, limits).is_ok_and(|read| {
        read.sections.len() == sections.len()
            && read.sections.iter().map(bare).eq(sections.iter().map(bare))
    })
}
