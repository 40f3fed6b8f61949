//! The names in a section's header, and that they all agree.

use crate::cursor::Line;
use crate::limits::Limits;
use crate::path;
use crate::quoting;
use crate::refusal::{Code, Refusal};

/// The prefixes that git writes before a path, also under `diff.mnemonicPrefix`.
const PREFIXES: &[u8] = b"abciow12";

/// The two names of a `diff --git` line, as written and as paths.
pub(crate) struct Labels<'a> {
    /// The old name with prefix and quotes, for comparison with `---`.
    pub(crate) old: &'a [u8],
    /// The new name with prefix and quotes, for comparison with `+++`.
    pub(crate) new: &'a [u8],
    /// The old path.
    pub(crate) old_path: Vec<u8>,
    /// The new path.
    pub(crate) new_path: Vec<u8>,
}

/// Reads the rest of a `diff --git` line. Without a `from` name both names must be the same
/// path; with one, as written on the `rename from` or `copy from` line, they are cut there.
pub(crate) fn read_labels<'a>(
    line: Line<'a>,
    rest: &'a [u8],
    from: Option<&[u8]>,
    limits: &Limits,
) -> Result<Labels<'a>, Refusal> {
    // Both names carry a prefix of the same length, so equal paths make equal lengths.
    let cut = from.map_or(rest.len() / 2, |from| from.len() + 2);
    let Some((old, [b' ', new @ ..])) = rest.split_at_checked(cut) else {
        return line.refuse(Code::NameMismatch);
    };
    let old_path = read_label(line, old, limits)?;
    // Without quotes the same bytes after the prefix are the same path.
    let is_same = old.get(1..) == new.get(1..) && is_prefixed(old) && is_prefixed(new);
    let new_path = match is_same {
        true => old_path.clone(),
        false => read_label(line, new, limits)?,
    };
    let labels = Labels {
        old,
        new,
        old_path,
        new_path,
    };
    if from.is_none() && labels.old_path != labels.new_path {
        return line.refuse(Code::NameMismatch);
    }
    Ok(labels)
}

/// Reads a name without prefix, as on rename and copy lines.
pub(crate) fn read_name(line: Line<'_>, name: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    match quoting::decode_exact(name) {
        None => line.refuse(Code::BadName),
        Some(path) => check(line, path, limits),
    }
}

/// Whether a name is written without quotes, with one of the prefixes.
fn is_prefixed(label: &[u8]) -> bool {
    matches!(label, [prefix, b'/', ..] if PREFIXES.contains(prefix))
}

fn read_label(line: Line<'_>, label: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    match quoting::decode_exact(label).as_deref() {
        Some([prefix, b'/', path @ ..]) if PREFIXES.contains(prefix) => {
            check(line, path.to_vec(), limits)
        }
        _ => line.refuse(Code::BadName),
    }
}

fn check(line: Line<'_>, path: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    if path.len() > limits.path_bytes {
        return line.refuse(Code::PathTooLong);
    }
    match path::check(&path) {
        Ok(()) => Ok(path),
        Err(problem) => {
            let why = format!("the path {problem}");
            Err(Refusal::new(Code::UnsafePath, line.number, &path).because(&why))
        }
    }
}

/// Checks a `---` or `+++` line, given its rest, against the name on the `diff --git` line or
/// against `/dev/null`. git ends a name that holds a blank with a tab.
pub(crate) fn check_side(line: Line<'_>, rest: &[u8], label: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(label) = label else {
        return if rest == b"/dev/null" {
            Ok(())
        } else {
            line.refuse(Code::DevNull)
        };
    };
    let tab: &[u8] = if label.contains(&b' ') { b"\t" } else { b"" };
    if rest.strip_prefix(label) == Some(tab) {
        return Ok(());
    }
    line.refuse(if rest.starts_with(b"/dev/null") {
        Code::DevNull
    } else {
        Code::NameMismatch
    })
}
