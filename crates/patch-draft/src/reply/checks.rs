//! What no section may hold, whatever its file: a fence that cannot be told from its own, and lines that
//! stand for code which was left out.

use std::collections::HashSet;

use super::file::OldText;
use super::model::{Body, Kind, Line, Section};
use super::placeholder::is_placeholder;
use super::refusal::{Code, Refusal, shown};
use super::text::Numbered;

/// A file that holds fences must stand in a longer one, or its end cannot be told.
pub(crate) fn check_fence(
    section: &Section<'_>,
    path: &str,
    old: Option<&OldText<'_>>,
) -> Result<(), Refusal> {
    let Body::Whole(lines) = &section.body else {
        return Ok(());
    };
    let (byte, length) = section.fence;
    let run = |text: &[u8]| {
        let line = Numbered { number: 0, text };
        line.fence()
            .filter(|fence| fence.byte == byte)
            .map_or(0, |fence| fence.length)
    };
    let inner = lines.iter().map(|line| run(line.text));
    let before = old.iter().flat_map(|old| &old.lines).map(|line| run(line));
    let longest = inner.chain(before).max().unwrap_or(0);
    let name = path.to_ascii_lowercase();
    let is_markdown = [".md", ".mdx", ".markdown", ".rmd", ".qmd"]
        .iter()
        .any(|end| name.ends_with(end));
    if length > longest && (length > 3 || !is_markdown) {
        return Ok(());
    }
    let message = format!("the fence has {length} marks, the file's own have {longest}");
    Err(Refusal::new(Code::Fence, section.line, message))
}

pub(crate) fn check_placeholders(
    lines: &[Line<'_>],
    known: Option<&HashSet<&[u8]>>,
) -> Result<(), Refusal> {
    let added = lines.iter().filter(|line| line.kind == Kind::Added);
    let stands_in = |line: &&Line<'_>| {
        is_placeholder(line.text, known.is_none())
            && !known.is_some_and(|known| known.contains(line.text.trim_ascii()))
    };
    match added.into_iter().find(stands_in) {
        None => Ok(()),
        Some(line) => {
            let message = format!(
                "\"{}\" stands for code that was left out",
                shown(line.text).trim()
            );
            Err(Refusal::new(Code::Placeholder, line.number, message))
        }
    }
}
