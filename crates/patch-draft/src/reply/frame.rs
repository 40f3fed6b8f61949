//! Reading a reply: a bare patch, or the framed form
//! `---BEGIN_PATCH---` … `---END_PATCH---` `---BEGIN_NOTES---` … `---END_NOTES---`.

use baton_core::problem::Problem;

const BEGIN_PATCH: &[u8] = b"---BEGIN_PATCH---";
const END_PATCH: &[u8] = b"---END_PATCH---";
const BEGIN_NOTES: &[u8] = b"---BEGIN_NOTES---";
const END_NOTES: &[u8] = b"---END_NOTES---";
const NEED_INPUT: &[u8] = b"# NEED_INPUT";
/// The longest notes that are kept, in characters.
const MAX_NOTES: usize = 20_000;

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A patch, with notes if there were any.
    Patch {
        /// What is to be read.
        patch: Vec<u8>,
        /// The words with it.
        notes: Option<String>,
        /// Whether a frame around it was closed.
        is_framed: bool,
        /// Where it begins, from 1.
        first_line: usize,
    },
    /// The proposer cannot go on and asks.
    NeedInput {
        /// The questions.
        notes: String,
    },
}

/// Reads a reply.
///
/// # Errors
/// `REPLY_EMPTY`, `REPLY_CUT` when a frame is not closed, `REPLY_AMBIGUOUS` when it is there twice.
pub(crate) fn read(text: &[u8]) -> Result<Reply, Problem> {
    let empty = || {
        Problem::fail("REPLY_EMPTY", "the reply holds no patch")
            .hint("ask again, or pass a patch with --from FILE")
    };
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(empty());
    }
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let Some((first_line, patch)) = framed(&lines, BEGIN_PATCH, END_PATCH)? else {
        return Ok(Reply::Patch {
            patch: text.to_vec(),
            notes: None,
            is_framed: false,
            first_line: 1,
        });
    };
    let notes = framed(&lines, BEGIN_NOTES, END_NOTES)?.map(|(_, notes)| {
        String::from_utf8_lossy(&notes)
            .trim()
            .chars()
            .filter(|c| *c == '\n' || !c.is_control())
            .take(MAX_NOTES)
            .collect()
    });
    let start = patch
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .ok_or_else(empty)?;
    if patch
        .get(start..)
        .is_some_and(|patch| patch.starts_with(NEED_INPUT))
    {
        return Ok(Reply::NeedInput {
            notes: notes.unwrap_or_default(),
        });
    }
    Ok(Reply::Patch {
        patch,
        notes,
        is_framed: true,
        first_line,
    })
}

/// Whether a text holds a frame.
pub(crate) fn is_framed(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.trim_ascii_end() == BEGIN_PATCH)
}

/// The lines between two marker lines; `None` when the first is not there.
fn framed(lines: &[&[u8]], begin: &[u8], end: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Problem> {
    let places = |marker: &[u8]| -> Vec<usize> {
        let is_marker = |line: &[u8]| line.trim_ascii_end() == marker;
        lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_marker(line))
            .map(|(at, _)| at)
            .collect()
    };
    let name = String::from_utf8_lossy(begin).into_owned();
    match (places(begin).as_slice(), places(end).as_slice()) {
        ([], []) => Ok(None),
        ([from], [to]) if from < to => Ok(Some((
            from + 2,
            lines.get(from + 1..*to).unwrap_or_default().concat(),
        ))),
        ([_], []) => Err(Problem::fail(
            "REPLY_CUT",
            format!("the reply has {name} and not its end; it was cut off"),
        )
        .hint("ask again with room for a longer reply")),
        _ => Err(Problem::fail(
            "REPLY_AMBIGUOUS",
            format!("the reply has {name} and its end more than once or out of order"),
        )
        .hint("one patch is expected, framed once")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_patch_stays_as_it_is() {
        let text = b"diff --git a/x b/x\n";
        assert_eq!(
            read(text).unwrap(),
            Reply::Patch {
                patch: text.to_vec(),
                notes: None,
                is_framed: false,
                first_line: 1,
            }
        );
    }

    #[test]
    fn a_framed_reply_is_taken_apart() {
        let text = b"chatter\n---BEGIN_PATCH---\ndiff --git a/x b/x\n---END_PATCH---\n---BEGIN_NOTES---\n- why\n---END_NOTES---\n";
        let expected = Reply::Patch {
            patch: b"diff --git a/x b/x\n".to_vec(),
            notes: Some("- why".to_owned()),
            is_framed: true,
            first_line: 3,
        };
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn need_input_is_a_question() {
        let text = b"---BEGIN_PATCH---\n# NEED_INPUT\n---END_PATCH---\n---BEGIN_NOTES---\nwhich file?\n---END_NOTES---";
        assert_eq!(
            read(text).unwrap(),
            Reply::NeedInput {
                notes: "which file?".to_owned()
            }
        );
    }

    #[test]
    fn what_is_cut_empty_or_doubled_is_refused_by_name() {
        for (text, code) in [
            (&b" \n"[..], "REPLY_EMPTY"),
            (b"---BEGIN_PATCH---\n\n---END_PATCH---\n", "REPLY_EMPTY"),
            (b"---BEGIN_PATCH---\ndiff", "REPLY_CUT"),
            (b"---END_PATCH---\n---BEGIN_PATCH---\n", "REPLY_AMBIGUOUS"),
            (
                b"---BEGIN_PATCH---\na\n---END_PATCH---\n---BEGIN_PATCH---\nb\n---END_PATCH---\n",
                "REPLY_AMBIGUOUS",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().code, code);
        }
    }

    #[test]
    fn a_marker_inside_the_patch_is_content() {
        let text = b"---BEGIN_PATCH---\n+---END_PATCH---\n---END_PATCH---\n";
        assert_eq!(
            read(text).unwrap(),
            Reply::Patch {
                patch: b"+---END_PATCH---\n".to_vec(),
                notes: None,
                is_framed: true,
                first_line: 2,
            }
        );
    }
}
