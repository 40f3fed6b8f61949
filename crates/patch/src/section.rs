//! One `diff --git` section: its header in git's order, then its content.

use crate::binary;
use crate::cursor::{Cursor, Line};
use crate::hunk::{Hunk, HunkLine, LineKind, number, read_hunks};
use crate::label::{Labels, check_side, read_labels, read_name};
use crate::model::{Body, Mode, Op, Section};
use crate::refusal::{Code, Refusal};

/// The ids of the empty blob under SHA-1 and SHA-256.
const EMPTY_BLOBS: [&str; 2] = [
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
];
/// Shortest abbreviated id that git writes.
const ID_MIN: usize = 4;

/// How header lines begin. git goes on reading them wherever they stand in a header, so one
/// that is left over is repeated or out of order.
const HEADER_LIKE: [&[u8]; 9] = [
    b"old mode",
    b"new mode",
    b"new file mode",
    b"deleted file mode",
    b"similarity index",
    b"dissimilarity index",
    b"rename ",
    b"copy ",
    b"index ",
];

/// What the lines between `diff --git` and the content say.
struct Header<'a> {
    line: Line<'a>,
    labels: Labels<'a>,
    op: Op,
    old_mode: Option<Mode>,
    new_mode: Option<Mode>,
    ids: Option<(&'a [u8], &'a [u8])>,
    /// Whether rename or copy lines say that the content differs, so that it has to follow.
    has_changes: bool,
}

/// Reads the section whose `diff --git` line is `line`, with `rest` after that prefix.
pub(crate) fn read_section<'a>(
    cursor: &mut Cursor<'a>,
    line: Line<'a>,
    rest: &'a [u8],
) -> Result<Section<'a>, Refusal> {
    let header = read_header(cursor, line, rest)?;
    let body = read_body(cursor, &header)?;
    check_content(&header, &body)?;
    let Header {
        labels,
        op,
        old_mode,
        new_mode,
        ids,
        ..
    } = header;
    let (insertions, deletions) = match &body {
        Body::Text(hunks) => (
            hunks.iter().map(|hunk| hunk.insertions).sum(),
            hunks.iter().map(|hunk| hunk.deletions).sum(),
        ),
        Body::Binary { .. } | Body::BinaryDelta(_) | Body::None => (0, 0),
    };
    Ok(Section {
        line: line.number,
        op,
        old_path: (op != Op::Add).then_some(labels.old_path),
        new_path: (op != Op::Delete).then_some(labels.new_path),
        old_mode,
        new_mode,
        ids,
        body,
        insertions,
        deletions,
    })
}

fn read_header<'a>(
    cursor: &mut Cursor<'a>,
    line: Line<'a>,
    rest: &'a [u8],
) -> Result<Header<'a>, Refusal> {
    let (mut op, mut old_mode, mut new_mode) = read_modes(cursor)?;
    let moved = if op == Op::Modify {
        read_move(cursor)?
    } else {
        None
    };
    let from = moved.as_ref().map(|moved| moved.from);
    let labels = read_labels(line, rest, from, cursor.limits())?;
    let mut has_changes = false;
    if let Some(moved) = moved {
        op = moved.op;
        has_changes = moved.percent < 100;
        let agree = labels.old_path == moved.old_path && labels.new_path == moved.new_path;
        if !agree || labels.old_path == labels.new_path {
            return line.refuse(Code::NameMismatch);
        }
    }
    let has_modes = old_mode.is_some() || new_mode.is_some();
    let ids = match cursor.take("index ")? {
        None => None,
        Some((index, rest)) => {
            let (old, new, mode) = read_index(index, rest)?;
            check_ids(index, op, old, new)?;
            if mode.is_some() == has_modes {
                return index.refuse(Code::BadIndex);
            }
            if mode.is_some() {
                (old_mode, new_mode) = (mode, mode);
            }
            Some((old, new))
        }
    };
    Ok(Header {
        line,
        labels,
        op,
        old_mode,
        new_mode,
        ids,
        has_changes,
    })
}

/// Reads the mode lines, if there are any, and what they make of the section.
fn read_modes(cursor: &mut Cursor<'_>) -> Result<(Op, Option<Mode>, Option<Mode>), Refusal> {
    if let Some((line, digits)) = cursor.take("new file mode ")? {
        return Ok((Op::Add, None, Some(read_mode(line, digits)?)));
    }
    if let Some((line, digits)) = cursor.take("deleted file mode ")? {
        return Ok((Op::Delete, Some(read_mode(line, digits)?), None));
    }
    let Some((line, digits)) = cursor.take("old mode ")? else {
        return Ok((Op::Modify, None, None));
    };
    let old = read_mode(line, digits)?;
    let Some((line, digits)) = cursor.take("new mode ")? else {
        return line.refuse(Code::BadHeader);
    };
    let new = read_mode(line, digits)?;
    if !old.is_same_type(new) {
        return line.refuse(Code::TypeChange);
    }
    if old == new {
        return line.refuse(Code::BadMode);
    }
    Ok((Op::Modify, Some(old), Some(new)))
}

fn read_mode(line: Line<'_>, digits: &[u8]) -> Result<Mode, Refusal> {
    Mode::from_digits(digits).map_or_else(|| line.refuse(Code::BadMode), Ok)
}

/// The rename or copy lines.
struct Move<'a> {
    op: Op,
    /// How much of the content stays.
    percent: usize,
    /// The source as written, for cutting the `diff --git` line.
    from: &'a [u8],
    old_path: Vec<u8>,
    new_path: Vec<u8>,
}

fn read_move<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Move<'a>>, Refusal> {
    let Some((line, rest)) = cursor.take("similarity index ")? else {
        return Ok(None);
    };
    let Some((percent @ 0..=100, b"%")) = number(rest) else {
        return line.refuse(Code::BadHeader);
    };
    let (op, to, source) = match (cursor.take("rename from ")?, cursor.take("copy from ")?) {
        (Some(source), None) => (Op::Rename, "rename to ", source),
        (None, Some(source)) => (Op::Copy, "copy to ", source),
        _ => return line.refuse(Code::BadHeader),
    };
    let (from_line, from) = source;
    let Some((to_line, to)) = cursor.take(to)? else {
        return from_line.refuse(Code::BadHeader);
    };
    Ok(Some(Move {
        op,
        percent,
        from,
        old_path: read_name(from_line, from, cursor.limits())?,
        new_path: read_name(to_line, to, cursor.limits())?,
    }))
}

type Index<'a> = (&'a [u8], &'a [u8], Option<Mode>);

fn read_index<'a>(line: Line<'a>, rest: &'a [u8]) -> Result<Index<'a>, Refusal> {
    let mut words = rest.split(|byte| *byte == b' ');
    let (ids, mode, end) = (words.next().unwrap_or_default(), words.next(), words.next());
    let dots = ids.windows(2).position(|pair| pair == b"..");
    let Some((old, [_, _, new @ ..])) = dots.and_then(|dots| ids.split_at_checked(dots)) else {
        return line.refuse(Code::BadIndex);
    };
    if !is_id(old) || !is_id(new) || end.is_some() {
        return line.refuse(Code::BadIndex);
    }
    let mode = mode.map(|digits| read_mode(line, digits)).transpose()?;
    Ok((old, new, mode))
}

fn is_id(id: &[u8]) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    (ID_MIN..=40).contains(&id.len()) && id.iter().all(is_hex)
        || id.len() == 64 && id.iter().all(is_hex)
}

fn check_ids(line: Line<'_>, op: Op, old: &[u8], new: &[u8]) -> Result<(), Refusal> {
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    let zeros = (is_zero(old), is_zero(new));
    let expected = (op == Op::Add, op == Op::Delete);
    if zeros != expected || old == new {
        return line.refuse(Code::BadIndex);
    }
    Ok(())
}

fn read_body<'a>(cursor: &mut Cursor<'a>, header: &Header<'a>) -> Result<Body<'a>, Refusal> {
    let Some(line) = cursor.peek() else {
        return Ok(Body::None);
    };
    if let Some((line, rest)) = cursor.take("--- ")? {
        let Header { labels, op, .. } = header;
        check_side(line, rest, (*op != Op::Add).then_some(labels.old))?;
        let Some((line, rest)) = cursor.take("+++ ")? else {
            return line.refuse(Code::BadHeader);
        };
        check_side(line, rest, (*op != Op::Delete).then_some(labels.new))?;
        return Ok(Body::Text(read_hunks(cursor)?));
    }
    if line.text == b"GIT binary patch" {
        cursor.step()?;
        return binary::read_binary(cursor);
    }
    if line.text.starts_with(b"Binary files ") {
        return line.refuse(Code::BinaryWithoutData);
    }
    if HEADER_LIKE.iter().any(|start| line.text.starts_with(start)) {
        return line.refuse(Code::BadHeader);
    }
    Ok(Body::None)
}

/// Checks that the content fits what the header says.
fn check_content(header: &Header<'_>, body: &Body<'_>) -> Result<(), Refusal> {
    let line = header.line;
    let created_or_deleted = matches!(header.op, Op::Add | Op::Delete);
    let is_submodule = [header.old_mode, header.new_mode].contains(&Some(Mode::Submodule));
    if header.ids.is_none() && (created_or_deleted || !matches!(body, Body::None)) {
        return line.refuse(Code::BadIndex);
    }
    match body {
        Body::Text(hunks) if is_submodule => check_submodule(header, hunks),
        _ if is_submodule => line.refuse(Code::BadSubmodule),
        Body::Text(hunks) => check_whole_file(header.op, hunks),
        Body::None => check_empty(header),
        Body::Binary { .. } | Body::BinaryDelta(_) => {
            let is_full = |id: &[u8]| matches!(id.len(), 40 | 64);
            match header.ids {
                Some((old, new)) if is_full(old) && old.len() == new.len() => {}
                _ => return line.refuse(Code::BadIndex),
            }
            let leaves = match body {
                Body::Binary { new, .. } => header.op == Op::Delete && !new.is_empty(),
                Body::BinaryDelta(_) => created_or_deleted,
                Body::Text(_) | Body::None => false,
            };
            if leaves {
                line.refuse(Code::BadBinary)
            } else {
                Ok(())
            }
        }
    }
}

/// Checks that a creation or deletion is one hunk over the whole file.
fn check_whole_file(op: Op, hunks: &[Hunk<'_>]) -> Result<(), Refusal> {
    let whole = |hunk: &Hunk<'_>| match op {
        Op::Add => (hunk.old_start, hunk.old_count, hunk.new_start) == (0, 0, 1),
        Op::Delete => (hunk.new_start, hunk.new_count, hunk.old_start) == (0, 0, 1),
        Op::Modify | Op::Rename | Op::Copy | Op::Type => true,
    };
    let one = !matches!(op, Op::Add | Op::Delete) || hunks.len() == 1;
    match hunks.iter().find(|hunk| !whole(hunk) || !one) {
        None => Ok(()),
        Some(hunk) => Err(Refusal::new(Code::WholeFile, hunk.line, b"@@").because(op.as_str())),
    }
}

/// Checks a section without content: it must still change something.
fn check_empty(header: &Header<'_>) -> Result<(), Refusal> {
    let is_empty_blob = |id: &[u8]| {
        EMPTY_BLOBS
            .iter()
            .any(|empty| empty.as_bytes().starts_with(id))
    };
    let changes = match (header.op, header.ids) {
        (Op::Add, Some((_, id))) | (Op::Delete, Some((id, _))) => is_empty_blob(id),
        (Op::Rename | Op::Copy, None) => !header.has_changes,
        (Op::Modify, None) => header.old_mode.is_some(),
        (Op::Add | Op::Delete | Op::Modify | Op::Rename | Op::Copy | Op::Type, _) => false,
    };
    if changes {
        Ok(())
    } else {
        header.line.refuse(Code::EmptySection)
    }
}

/// Checks that a submodule section is git's one line for each side, with the ids of the
/// `index` line.
fn check_submodule(header: &Header<'_>, hunks: &[Hunk<'_>]) -> Result<(), Refusal> {
    let (old, new) = header.ids.unwrap_or_default();
    let lines: Vec<HunkLine<'_>> = hunks.iter().flat_map(Hunk::lines).take(3).collect();
    let says = |line: &HunkLine<'_>, kind: LineKind, id: &[u8]| {
        let commit = line
            .text
            .strip_prefix(b"Subproject commit ")
            .unwrap_or_default();
        let is_full = is_id(commit) && matches!(commit.len(), 40 | 64);
        line.kind == kind && !line.no_newline && is_full && commit.starts_with(id)
    };
    let fits = match (header.op, lines.as_slice()) {
        (Op::Add, [line]) => says(line, LineKind::Added, new),
        (Op::Delete, [line]) => says(line, LineKind::Removed, old),
        (Op::Modify | Op::Rename | Op::Copy, [before, after]) => {
            says(before, LineKind::Removed, old) && says(after, LineKind::Added, new)
        }
        _ => false,
    };
    let one = hunks.len() == 1
        && hunks
            .iter()
            .all(|hunk| hunk.old_start <= 1 && hunk.new_start <= 1);
    if fits && one {
        Ok(())
    } else {
        header.line.refuse(Code::BadSubmodule)
    }
}
