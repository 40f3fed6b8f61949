//! The whole patch: covering text, sections, covering text.

use crate::conflict::check_sections;
use crate::cursor::{Cursor, Line};
use crate::form;
use crate::limits::Limits;
use crate::model::{Body, Patch, Section};
use crate::refusal::{Code, Refusal};
use crate::section::read_section;

/// How lines begin that git, or another tool, could take for a part of a diff.
const DIFF_LIKE: [&[u8]; 8] = [
    b"--- ",
    b"+++ ",
    b"@@",
    b"diff --",
    b"GIT binary patch",
    b"Binary files ",
    b"Index: ",
    b"*** ",
];
/// Reads a patch in the grammar that `git diff --binary --full-index` writes. Ids may be
/// abbreviated except on binary sections, and covering text is allowed around the sections as
/// long as no line of it could be taken for a part of a diff.
///
/// # Errors
/// The first place where the input leaves that grammar, breaks a path rule, or exceeds a
/// limit. An input without any section is refused too, with [`Code::NoChange`].
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Patch<'a>, Refusal> {
    read(bytes, limits).map_err(|refusal| match refusal.code {
        Code::TooLarge => refusal,
        _ => form::named(bytes, refusal),
    })
}

fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Patch<'a>, Refusal> {
    if bytes.len() > limits.bytes {
        let seen = format!("{} bytes", bytes.len());
        return Err(Refusal::new(Code::TooLarge, 1, seen.as_bytes()));
    }
    let mut cursor = Cursor::new(bytes, limits)?;
    while cursor
        .peek()
        .is_some_and(|line| line.after("diff --git ").is_none())
    {
        skip_covering_line(&mut cursor)?;
    }
    let prologue = cursor.since(0);
    let mut sections: Vec<Section<'a>> = Vec::new();
    while let Some((line, rest)) = cursor.take("diff --git ")? {
        if sections.len() >= limits.sections {
            return line.refuse(Code::TooManySections);
        }
        let section = read_section(&mut cursor, line, rest)?;
        check_next(cursor.peek(), &section.body)?;
        sections.push(section);
    }
    let start = cursor.offset();
    while cursor.peek().is_some() {
        skip_covering_line(&mut cursor)?;
    }
    let trailer = cursor.since(start);
    if sections.is_empty() {
        return Err(Refusal::new(Code::NoChange, 1, prologue));
    }
    check_sections(&sections)?;
    Ok(Patch {
        prologue,
        sections,
        trailer,
    })
}

fn skip_covering_line(cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
    match cursor.skip()? {
        Some(line) if DIFF_LIKE.iter().any(|start| line.text.starts_with(start)) => {
            line.refuse(Code::StrayHeader)
        }
        _ => Ok(()),
    }
}

/// Checks the line after a section: one that looks like content, right after a hunk, means
/// that the counts are too small. (After a section without content, `section` checks.)
fn check_next(next: Option<Line<'_>>, body: &Body<'_>) -> Result<(), Refusal> {
    let Some(line) = next else {
        return Ok(());
    };
    match body {
        // The signature of a mail is the one line that may look like content.
        Body::Text(_) if line.text == b"-- " => Ok(()),
        Body::Text(_) if matches!(line.text.first(), Some(b'+' | b'-' | b' ' | b'\\')) => {
            line.refuse(Code::StrayHunkLine)
        }
        Body::Text(_) | Body::None | Body::Binary { .. } | Body::BinaryDelta(_) => Ok(()),
    }
}
