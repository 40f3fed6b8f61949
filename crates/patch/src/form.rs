//! Texts that are a patch in another form: coloured, in UTF-16, with CR at line ends, with a mark in
//! front. Read line by line they are refused somewhere, with a word that names the wrong thing.

use crate::refusal::{Code, Refusal};

/// How far into the input the first section is looked for, in bytes.
const HEAD: usize = 64 << 10;
/// How the first section begins.
const SECTION: &[u8] = b"diff --git ";

/// Says of a refused input what it is, where the whole of it is in another form.
pub(crate) fn named(bytes: &[u8], refusal: Refusal) -> Refusal {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let is_wide =
        |text: &[u8]| text.starts_with(b"d\0i\0f\0f\0") || text.starts_with(b"\0d\0i\0f\0f");
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || is_wide(head) {
        return Refusal::new(Code::WideText, 1, first_line(head));
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        return Refusal::new(Code::ByteOrderMark, 1, first_line(head));
    }
    for (number, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let plain = uncoloured(line);
        if !plain.starts_with(SECTION) {
            continue;
        }
        return match plain.len() < line.len() {
            true => Refusal::new(Code::Coloured, number + 1, line),
            // git quotes a name that ends so.
            false if line.ends_with(b"\r") => Refusal::new(Code::CarriageReturn, number + 1, line),
            false => refusal,
        };
    }
    refusal
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or(text)
}

/// The line without what switches colours on at its start.
fn uncoloured(line: &[u8]) -> &[u8] {
    let mut rest = line;
    while let Some(after) = rest.strip_prefix(b"\x1b[") {
        let Some(end) = after.iter().position(|byte| *byte == b'm') else {
            break;
        };
        rest = after.get(end + 1..).unwrap_or_default();
    }
    rest
}
