//! Keys, checkpoints and proofs that a flag names: as files, and keys also as their text.

use std::path::Path;

use baton_core::files;
use baton_core::problem::Problem;
use baton_core::terminal::visible_line;
use baton_transparency::{Error, KeyKind, SignedNote, VerifyingKey};

/// The largest proof or checkpoint that is read, in bytes.
pub(super) const MAX_PROOF_BYTES: usize = 2_000_000;
/// The longest line of a log, in bytes, its newline included.
const MAX_LINE_BYTES: usize = baton_core::audit::MAX_LINE;
/// The largest file of public keys, in bytes.
const MAX_KEYS_BYTES: usize = 256 << 10;

/// A refusal of the proofs' own crate.
pub(super) fn refused(error: &Error) -> Problem {
    Problem::fail("PROOF_REFUSED", error.to_string())
}

/// Reads a named file as text; `-` is standard input.
pub(super) fn text(path: &Path, limit: usize) -> Result<String, Problem> {
    let bytes = if path.as_os_str() == "-" {
        files::read_bounded(std::io::stdin().lock(), limit)
    } else {
        files::read_named(path, limit)
    };
    let unreadable = |why: String| {
        Problem::fail("FILE_UNREADABLE", format!("{}: {why}", path.display()))
            .hint("name a readable file, or - for standard input")
    };
    let bytes = bytes.map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))
}

/// Reads public keys that are given as text, or as a file with one on each line.
pub(in crate::commands) fn keys(given: &str) -> Result<Vec<VerifyingKey>, Problem> {
    let path = Path::new(given);
    let held = if path.is_file() {
        text(path, MAX_KEYS_BYTES)?
    } else {
        given.to_owned()
    };
    let keys: Result<Vec<_>, _> = held.lines().map(str::parse).collect();
    let hint = "pass the public key's text name+id+base64, or a file with it";
    let keys = keys.map_err(|error| refused(&error).hint(hint))?;
    if keys.is_empty() {
        let message = format!("\"{}\" holds no public key", given.escape_debug());
        return Err(Problem::usage(message).hint(hint));
    }
    Ok(keys)
}

/// Reads the one public key that is given in either way.
pub(super) fn key(given: &str) -> Result<VerifyingKey, Problem> {
    match <[VerifyingKey; 1]>::try_from(keys(given)?) {
        Ok([key]) => Ok(key),
        Err(keys) => {
            let message = format!("{given} holds {} keys, expected one", keys.len());
            Err(Problem::usage(message).hint("pass the text of the one that is meant"))
        }
    }
}

/// Of several logs' keys the one of the log that the checkpoint says it is of.
pub(super) fn key_of<'a>(
    keys: &'a [VerifyingKey],
    note: &SignedNote,
) -> Result<&'a VerifyingKey, Problem> {
    let origin = note.text.lines().next().unwrap_or_default();
    let mut ours = keys.iter().filter(|key| key.kind() == KeyKind::Log);
    ours.find(|key| key.name() == origin).ok_or_else(|| {
        let names: Vec<_> = keys.iter().map(VerifyingKey::name).collect();
        let message = format!(
            "the checkpoint is of {}, the key of {}",
            visible_line(origin),
            names.join(", ")
        );
        Problem::fail("PROOF_REFUSED", message)
            .hint("pass the public key of that log, if you trust it")
    })
}

/// Reads a signed checkpoint; nothing of it is verified yet.
pub(super) fn note(path: &Path) -> Result<SignedNote, Problem> {
    let text = text(path, MAX_PROOF_BYTES)?;
    text.parse().map_err(|error| {
        let problem = refused(&error);
        let message = format!("{}: {}", path.display(), problem.message);
        Problem::fail("PROOF_REFUSED", message).hint("name a file that holds a signed checkpoint")
    })
}

/// Reads a line of a log, with or without its newline.
pub(super) fn line(path: &Path) -> Result<Vec<u8>, Problem> {
    let bytes = text(path, MAX_LINE_BYTES)?.into_bytes();
    Ok(bytes.strip_suffix(b"\n").unwrap_or(&bytes).to_vec())
}
