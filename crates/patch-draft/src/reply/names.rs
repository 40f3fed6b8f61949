//! From what a reply calls a file to the paths it can mean. Nothing is guessed: every reading is held
//! against the files that were offered, byte for byte.

use baton_patch::{path, unquote};

use super::model::Name;
use super::refusal::{Code, Refusal, shown};

const DEV_NULL: &[u8] = b"/dev/null";

/// One side of a diff's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// There is no file on this side.
    Nothing { mended: bool },
    /// A file.
    File { name: Vec<u8>, mended: bool },
}

/// Reads what follows `---` or `+++`.
pub(crate) fn side(rest: &[u8]) -> Side {
    let (name, mended) = bare(rest);
    match name.as_slice() {
        DEV_NULL => Side::Nothing { mended },
        b"dev/null" | b"a/dev/null" | b"b/dev/null" | b"a//dev/null" | b"b//dev/null" => {
            Side::Nothing { mended: true }
        }
        _ => Side::File { name, mended },
    }
}

/// A name without what stands around it, and whether anything did.
pub(crate) fn bare(written: &[u8]) -> (Vec<u8>, bool) {
    let line = written.strip_suffix(b"\r").unwrap_or(written);
    // git ends a name that holds a blank with a tab.
    let until_tab = line.split(|byte| *byte == b'\t').next().unwrap_or_default();
    let only_tab = line.len() == until_tab.len() + 1 && until_tab.contains(&b' ');
    let mut mended = until_tab.len() != line.len() && !only_tab;
    let mut name = without_time(until_tab).trim_ascii().to_vec();
    mended |= name != until_tab;
    if let Some(plain) = name.starts_with(b"\"").then(|| unquote(&name)).flatten() {
        mended |= path::quote(&plain).as_bytes() != name;
        name = plain;
    }
    for mark in [b'`', b'\'', b'"'] {
        if let [first, inner @ .., last] = name.as_slice()
            && *first == mark
            && *last == mark
        {
            name = inner.to_vec();
            mended = true;
        }
    }
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest.to_vec();
        mended = true;
    }
    (name, mended)
}

/// Cuts off a time such as ` 2026-02-08 09:00:00`, which some programs write behind a blank.
fn without_time(name: &[u8]) -> &[u8] {
    let is_date = |at: usize| {
        let digits = name.get(at + 1..at + 11).unwrap_or_default();
        digits.len() == 10
            && digits.iter().enumerate().all(|(index, byte)| match index {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
            && matches!(name.get(at + 11), None | Some(b' ' | b'T'))
    };
    let blanks = (0..name.len()).filter(|at| name.get(*at) == Some(&b' '));
    let cut = blanks.into_iter().find(|at| is_date(*at));
    cut.and_then(|at| name.get(..at)).unwrap_or(name)
}

/// The readings of a path that stands alone, as before a block.
pub(crate) fn alone(written: &[u8], line: usize) -> Result<Vec<Name>, Refusal> {
    let (mut name, mut mended) = bare(written);
    // Headings, emphasis and a colon, as in Markdown.
    let trimmed = name.trim_ascii_start();
    let hashes = trimmed.iter().take_while(|byte| **byte == b'#').count();
    if hashes > 0 && trimmed.get(hashes) == Some(&b' ') {
        let rest = trimmed.get(hashes..).unwrap_or_default();
        name = rest.trim_ascii().to_vec();
        mended = true;
    }
    if let Some(rest) = name.strip_suffix(b":").filter(|rest| !rest.is_empty()) {
        name = rest.to_vec();
        mended = true;
    }
    for mark in [&b"**"[..], b"`", b"'", b"\""] {
        let inner = name.strip_prefix(mark).and_then(|n| n.strip_suffix(mark));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
            name = inner.to_vec();
            mended = true;
        }
    }
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest.to_vec();
        mended = true;
    }
    Ok(vec![reading(&name, mended, line)?])
}

/// The readings of a diff's two names, given the rest of its `diff --git` line if it has one.
pub(crate) fn of_diff(
    old: &Side,
    new: &Side,
    header: Option<&[u8]>,
    line: usize,
) -> Result<Vec<Name>, Refusal> {
    let (name, mended) = match new {
        Side::File { name, mended } => (name, *mended),
        Side::Nothing { .. } => {
            return Err(Refusal::new(
                Code::Delete,
                line,
                "the new side is /dev/null",
            ));
        }
    };
    let mut names = match old {
        Side::Nothing { .. } => created(name, mended, header, line)?,
        Side::File {
            name: old,
            mended: more,
        } => changed(old, name, mended || *more, line)?,
    };
    if let Some(header) = header {
        let header = header.strip_suffix(b"\r").unwrap_or(header);
        names.retain(|name| {
            let quoted = path::quote(name.path.as_bytes());
            let quoted = quoted.trim_end_matches('"').trim_start_matches('"');
            let is_named = |path: &[u8]| {
                let header = header.strip_suffix(b"\"").unwrap_or(header);
                header.ends_with(path)
            };
            is_named(name.path.as_bytes()) || is_named(quoted.as_bytes())
        });
        if names.is_empty() {
            let message = format!(
                "the header names \"{}\" and the lines below another file",
                shown(header)
            );
            return Err(Refusal::new(Code::PathUnclear, line, message));
        }
    }
    Ok(names)
}

/// A new file: git writes `b/` before its name. Only a header tells that from a folder called `b`.
fn created(
    name: &[u8],
    mended: bool,
    header: Option<&[u8]>,
    line: usize,
) -> Result<Vec<Name>, Refusal> {
    let Some(rest) = name.strip_prefix(b"b/") else {
        return Ok(vec![reading(name, true, line)?]);
    };
    let has_prefixes = header
        .map(|header| header.trim_ascii_start().starts_with(b"a/") || header.starts_with(b"\"a/"));
    let mut stripped = reading(rest, mended, line)?;
    match has_prefixes {
        Some(true) => Ok(vec![stripped]),
        Some(false) => Ok(vec![reading(name, true, line)?]),
        None => {
            stripped.unless_folder = Some("b");
            Ok(vec![stripped, reading(name, true, line)?])
        }
    }
}

fn changed(old: &[u8], new: &[u8], mended: bool, line: usize) -> Result<Vec<Name>, Refusal> {
    let stripped = |name: &[u8]| match name {
        [
            b'a' | b'b' | b'c' | b'i' | b'o' | b'w' | b'1' | b'2',
            b'/',
            rest @ ..,
        ] => rest.to_vec(),
        _ => name.to_vec(),
    };
    if let (Some(one), Some(other)) = (old.strip_prefix(b"a/"), new.strip_prefix(b"b/"))
        && one == other
    {
        return Ok(vec![reading(one, mended, line)?]);
    }
    if old == new {
        let mut names = vec![reading(old, true, line)?];
        if stripped(old) != old {
            names.push(reading(&stripped(old), true, line)?);
        }
        return Ok(names);
    }
    if stripped(old) == stripped(new) {
        return Ok(vec![reading(&stripped(new), true, line)?]);
    }
    let message = format!("\"{}\" becomes \"{}\"", shown(old), shown(new));
    Err(Refusal::new(Code::Rename, line, message))
}

fn reading(name: &[u8], mended: bool, line: usize) -> Result<Name, Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(Code::NoPath, line, "the name is empty"));
    }
    let refuse = |why: &str| {
        let message = format!("the path \"{}\" {why}", shown(name));
        Refusal::new(Code::Unsafe, line, message)
    };
    path::check(name).map_err(|problem| refuse(problem.as_str()))?;
    let text = std::str::from_utf8(name).map_err(|_| refuse("is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(refuse("holds a control character"));
    }
    Ok(Name {
        path: text.to_owned(),
        mended,
        unless_folder: None,
    })
}
