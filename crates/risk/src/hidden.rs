//! Text that does not look like what it is: characters that hide, letters that pass for others, code
//! pushed out of sight, bytes that nobody can read.

mod look_alike;

pub use look_alike::drawn_like;

use baton_patch::{LineKind, Section};

use crate::hit::Hit;
use crate::input::ScanFile;
use crate::language::Languages;
use crate::language::encoding::odd_encoding;
use crate::rule::secret::entropy;

/// A run of blanks this long inside a line puts the rest out of sight; no layout needs it.
const BLANKS: usize = 120;
/// A line of code longer than this is not read by anybody, in bytes.
const LONG_LINE: usize = 2_000;
/// A run of the letters of base64 or hex this long is data, not a name.
const ENCODED: usize = 400;
/// Prose and names repeat letters more often than encoded bytes do, in bits per byte.
const ENCODED_ENTROPY: f64 = 3.5;

/// What one file may be found with once each.
type Found = (&'static str, usize, String, String);

/// Finds what hides in the added lines of a file.
pub(crate) fn scan(file: &ScanFile<'_>, languages: Languages, hits: &mut Vec<Hit>) {
    let mut found: Vec<Found> = Vec::new();
    let is_code = languages.is_code();
    let hunks = file
        .section
        .hunks()
        .iter()
        .filter(|hunk| is_worth_a_look(hunk.raw()));
    let added = hunks.flat_map(|hunk| hunk.lines());
    for line in added.filter(|line| line.kind == LineKind::Added) {
        let (number, line) = (line.new_number, line.text);
        if line.len() < BLANKS && is_plain(line) {
            continue;
        }
        let mut note = |id, excerpt: String, message: String| {
            if found.iter().all(|(known, ..)| *known != id) {
                found.push((id, number, excerpt, message));
            }
        };
        if let Some(hiding) = hiding_character(line, number == 1) {
            let message = "an added line holds a character that changes how the line is shown";
            note(
                "HIDDEN_CHARACTER",
                hiding.escape_unicode().to_string(),
                message.to_owned(),
            );
        }
        if let Some(word) = confusable_word(line) {
            let message = "an added word holds letters of another script that look like plain ones";
            note("CONFUSABLE", word, message.to_owned());
        }
        for (id, message) in out_of_sight(line, is_code) {
            note(id, String::new(), message);
        }
    }
    for (id, number, excerpt, message) in found {
        hits.push(Hit::in_file(id, file, message).at(number).showing(excerpt));
    }
    if file.binary().is_some_and(is_text_with_nul) {
        let message = "NUL bytes in a text make git call it binary, so that nobody sees the change";
        hits.push(Hit::in_file("NUL_IN_TEXT", file, message));
    }
    if file.section.insertions > 0
        && let Some((number, name)) = odd_encoding(file, languages)
    {
        let message =
            format!("the file declares the encoding {name}, in which a comment may be code");
        hits.push(Hit::in_file("SOURCE_ENCODING", file, message).at(number));
    }
    if let Some(number) = mixed_line_end(file.section) {
        let message = "the change mixes lines that end with CR LF and lines that end with LF";
        hits.push(Hit::in_file("MIXED_LINE_ENDINGS", file, message).at(number));
    }
}

/// Finds what hides in text that lies in no file; gives the check's id and what hides.
pub(crate) fn in_text(text: &str) -> Vec<(&'static str, String)> {
    let lines = text.split('\n').map(str::as_bytes);
    let hiding = lines
        .clone()
        .find_map(|line| hiding_character(line, false))
        .map(|hiding| ("HIDDEN_CHARACTER", hiding.escape_unicode().to_string()));
    let word = lines.clone().find_map(confusable_word);
    hiding
        .into_iter()
        .chain(word.map(|word| ("CONFUSABLE", word)))
        .collect()
}

fn is_plain(line: &[u8]) -> bool {
    let plain = |byte: u8| matches!(byte, b'\t' | 0x0c | b' '..=b'~');
    // Without an early end the loop works on many bytes at once.
    !line.iter().fold(false, |odd, byte| odd | !plain(*byte))
}

/// Whether a text holds anything but short lines of plain characters.
fn is_worth_a_look(text: &[u8]) -> bool {
    let plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~');
    if text.iter().fold(false, |odd, byte| odd | !plain(*byte)) {
        return true;
    }
    // From one line feed to the last one that is less than a long line away.
    let mut start = 0;
    while let Some(line) = text.get(start..start + BLANKS) {
        match memchr::memrchr(b'\n', line) {
            Some(end) => start += end + 1,
            None => return true,
        }
    }
    false
}

/// The longest run of blanks of any script, in characters.
fn longest_blank(text: &str) -> usize {
    let runs = text.split(|letter: char| !letter.is_whitespace());
    runs.map(|run| run.chars().count())
        .max()
        .unwrap_or_default()
}

/// What a line puts where nobody looks.
fn out_of_sight(line: &[u8], is_code: bool) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let text = line.trim_ascii();
    let longest =
        |is_in: fn(&u8) -> bool| text.split(|byte| !is_in(byte)).max_by_key(|run| run.len());
    let blanks = match line.is_ascii() {
        true => longest(|byte| matches!(byte, b' ' | b'\t')).map_or(0, <[u8]>::len),
        false => longest_blank(&String::from_utf8_lossy(text)),
    };
    if blanks >= BLANKS {
        let message = format!("{blanks} blanks push the rest of the line out of sight");
        found.push(("HIDDEN_BY_BLANKS", message));
    }
    if !is_code {
        return found;
    }
    let encoded = longest(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte));
    let encoded = encoded.filter(|run| run.len() >= ENCODED && entropy(run) > ENCODED_ENTROPY);
    if let Some(run) = encoded {
        let length = run.len();
        found.push((
            "ENCODED_TEXT",
            format!("{length} encoded bytes that nobody can read"),
        ));
    } else if line.len() > LONG_LINE {
        let message = format!("a line of {} bytes, more than anybody reads", line.len());
        found.push(("UNREADABLE_LINE", message));
    }
    found
}

/// The first word of a line in which a letter of another script passes for a plain one. Text that is
/// really written in that script has letters that look like nothing else.
pub(crate) fn confusable_word(line: &[u8]) -> Option<String> {
    if line.is_ascii() {
        return None;
    }
    let line = String::from_utf8_lossy(line);
    let is_honest = line
        .chars()
        .any(|c| c >= FIRST_OTHER_SCRIPT && c.is_alphabetic() && !passes_for_plain(c));
    let words = line.split(|c: char| !c.is_alphanumeric());
    let mut odd = words.filter(|word| word.chars().any(passes_for_plain));
    let odd = odd.find(|word| {
        let mixed = word.chars().any(|c| c.is_ascii_alphabetic());
        let whole = word.chars().all(|c| c.is_ascii() || passes_for_plain(c));
        mixed || (whole && !is_honest && word.chars().count() >= 3)
    })?;
    let shown = odd.chars().take(40);
    Some(
        shown
            .map(|c| {
                if c.is_ascii() {
                    c.to_string()
                } else {
                    c.escape_unicode().to_string()
                }
            })
            .collect(),
    )
}

/// Greek and everything after it; what comes before are Latin letters with their marks.
const FIRST_OTHER_SCRIPT: char = '\u{370}';

/// Whether a letter of another script is drawn like a letter or digit of ASCII, by the Unicode
/// list of confusable characters (UTS 39).
fn passes_for_plain(character: char) -> bool {
    let is_latin = character < FIRST_OTHER_SCRIPT || matches!(character, '\u{1e00}'..='\u{1eff}');
    let is_drawn = || drawn_like(character).is_some_and(|drawn| drawn.is_ascii_alphanumeric());
    !is_latin && character.is_alphanumeric() && is_drawn()
}

/// Whether all but a few bytes of a content are text.
fn is_text_with_nul(content: &[u8]) -> bool {
    let is_text = |byte: &&u8| matches!(**byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let nul = content.iter().filter(|byte| **byte == 0).count();
    let text = content.iter().filter(is_text).count();
    nul > 0 && text + nul == content.len() && nul * 20 <= content.len()
}

/// The first added line whose end differs from its file's, where the old text had but one kind.
fn mixed_line_end(section: &Section<'_>) -> Option<usize> {
    let holds_cr = |text: &[u8]| memchr::memchr(b'\r', text).is_some();
    if !section.hunks().iter().any(|hunk| holds_cr(hunk.raw())) {
        return None;
    }
    let (mut old, mut new) = ([false; 2], [false; 2]);
    let mut first = [None; 2];
    let lines = section.hunks().iter().flat_map(|hunk| hunk.lines());
    for line in lines.filter(|line| !line.no_newline) {
        let is_crlf = usize::from(line.text.ends_with(b"\r"));
        let seen = |side: &mut [bool; 2]| side.get_mut(is_crlf).map(|kind| *kind = true);
        if line.kind != LineKind::Added {
            seen(&mut old);
        }
        if line.kind != LineKind::Removed {
            seen(&mut new);
        }
        if line.kind == LineKind::Added
            && let Some(slot) = first.get_mut(is_crlf)
        {
            slot.get_or_insert(line.new_number);
        }
    }
    let [lf, crlf] = first;
    match (old, new) {
        ([true, true], _) => None,
        (_, [true, true]) if old == [false, true] => lf,
        (_, [true, true]) => crlf,
        _ => None,
    }
}

/// The first character of a line that changes how the line is shown, or that does not show at all.
fn hiding_character(line: &[u8], is_first_line: bool) -> Option<char> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let plain = |byte: &u8| matches!(*byte, b'\t' | 0x0c | b' '..=b'~');
    if line.iter().all(plain) {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let goes_left = text.chars().any(goes_left);
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == FLAG && skip_region(&mut characters) {
            continue;
        }
        // Where letters go both ways a mark says which way a sign between them goes.
        if goes_left && matches!(character, '\u{200e}' | '\u{200f}' | '\u{61c}') {
            before = Some(character);
            continue;
        }
        // A byte order mark at the beginning of a file marks nothing else.
        let is_mark = character == '\u{feff}' && before.is_none() && is_first_line;
        let joins = joins(before, character, characters.peek().copied());
        if hides(character) && !is_mark && !joins {
            return Some(character);
        }
        before = Some(character);
    }
    None
}

/// The black flag, and the regions whose flags are written as it with the letters of their names.
const FLAG: char = '\u{1f3f4}';
const REGIONS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// Whether the flag of a region follows; takes its letters off.
fn skip_region(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let letter = |tag: char| char::from_u32((tag as u32).checked_sub(0xe0000)?);
    let name: String = rest.clone().take(5).filter_map(letter).collect();
    let ends = rest.clone().nth(5) == Some('\u{e007f}');
    let is_flag = ends && REGIONS.contains(&name.as_str());
    if is_flag {
        rest.nth(5);
    }
    is_flag
}

/// Whether a letter belongs to a script that is written from right to left.
fn goes_left(character: char) -> bool {
    character.is_alphabetic()
        && matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
}

/// Whether an invisible character does its ordinary work: it joins two visible letters or pictures
/// of other scripts, or picks how the picture before it is drawn.
fn joins(before: Option<char>, character: char, after: Option<char>) -> bool {
    let shows = |c: char| !c.is_ascii() && !c.is_control() && !hides(c);
    let draws = |c: char| shows(c) || matches!(c, '0'..='9' | '#' | '*');
    match character {
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(draws),
        '\u{200c}' | '\u{200d}' => {
            let selector = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}');
            before.is_some_and(|c| shows(c) || selector(c)) && after.is_some_and(shows)
        }
        _ => false,
    }
}

/// Control characters, marks of writing direction, and characters without a shape of their own.
fn hides(character: char) -> bool {
    if character.is_control() {
        return !matches!(character, '\t' | '\u{c}');
    }
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{2800}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hiding_characters_are_told_from_ordinary_ones() {
        let find = |line: &str| hiding_character(line.as_bytes(), false);
        for line in [
            "let a = 1;\r",
            "\ttab",
            "page\u{c}",
            "ü 日本 é",
            "⚠\u{fe0f} careful",
            "1\u{fe0f}\u{20e3}",
            "👩\u{200d}💻 ❤\u{fe0f}\u{200d}🔥",
            "می\u{200c}خواهم",
            "lang: تعلم C++\u{200f} اليوم",
            "flag: \u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(find(line), None, "{line:?}");
        }
        for odd in ['\u{2800}', '\u{1d173}', '\u{fff9}'] {
            assert_eq!(find(&format!("a{odd}b")), Some(odd), "{odd:?}");
        }
        for (line, expected) in [
            ("a\u{202e}b", '\u{202e}'),
            ("a\rb", '\r'),
            ("x\u{1b}[2K", '\u{1b}'),
            ("a\u{200d}b", '\u{200d}'),
            ("a\u{fe01}", '\u{fe01}'),
            ("⚠\u{fe0f}\u{fe0f}", '\u{fe0f}'),
            ("a\u{e0061}", '\u{e0061}'),
            ("a\u{ad}b", '\u{ad}'),
            ("a = b\u{200f} + c", '\u{200f}'),
            ("اب \u{202e}x", '\u{202e}'),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0078}\u{e006e}\u{e0067}\u{e007f}",
                '\u{e0067}',
            ),
            ("\u{feff}x", '\u{feff}'),
        ] {
            assert_eq!(find(line), Some(expected), "{line:?}");
        }
        assert_eq!(hiding_character("\u{feff}x".as_bytes(), true), None);
    }

    #[test]
    fn letters_that_pass_for_others_are_told_from_honest_text() {
        let word = |line: &str| confusable_word(line.as_bytes());
        for line in [
            "is_\u{430}dmin = True",
            "p\u{430}ypal",
            "\u{455}\u{441}\u{43e}\u{440}\u{435} = 1",
            "\u{ff45}\u{ff56}\u{ff41}\u{ff4c}(x)",
        ] {
            assert!(word(line).is_some(), "{line}");
        }
        for line in [
            "plain",
            "caf\u{e9} na\u{ef}ve",
            "# \u{44d}\u{442}\u{43e} \u{441}\u{43e}\u{440} \u{43f}\u{440}\u{43e}\u{432}\u{435}\u{440}\u{43a}\u{430}",
            "\u{3b1} + \u{3b2} * \u{394}t",
            "\u{3c3}_max = 3",
            "a\u{e7}\u{131}klama",
            "\u{65e5}\u{672c}\u{8a9e} \u{ff37}\u{ff45}\u{ff42} \u{30da}\u{30fc}\u{30b8}",
        ] {
            assert_eq!(word(line), None, "{line}");
        }
    }

    #[test]
    fn a_text_with_a_nul_is_no_picture() {
        assert!(is_text_with_nul(
            b"#!/bin/sh\necho all is well\n\0\ncurl x\n"
        ));
        for content in [
            &b"plain\n"[..],
            b"a\0b\0c\0d\0",
            b"\x89PNG\r\n\0\0\0\xff\xfe text text text",
        ] {
            assert!(!is_text_with_nul(content), "{content:?}");
        }
    }

    #[test]
    fn what_is_pushed_out_of_sight_is_found() {
        let ids = |line: &str, code| {
            let found = out_of_sight(line.as_bytes(), code);
            found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        let far = format!("x = 1;{}evil()", " ".repeat(200));
        for blank in ['\u{a0}', '\u{3000}'] {
            let far = format!("a();{}b();", blank.to_string().repeat(130));
            assert_eq!(ids(&far, true), ["HIDDEN_BY_BLANKS"]);
        }
        assert_eq!(ids(&far, false), ["HIDDEN_BY_BLANKS"]);
        assert!(ids(&format!("{}x", " ".repeat(300)), true).is_empty());
        let words: String = (0..600).map(|n| format!("w{n} ")).collect();
        assert_eq!(ids(&words, true), ["UNREADABLE_LINE"]);
        assert!(ids(&words, false).is_empty());
        let packed: String = (0..500_u32)
            .map(|n| char::from(b'a' + u8::try_from(n * n * 7 % 26).unwrap()))
            .collect();
        assert_eq!(ids(&packed, true), ["ENCODED_TEXT"]);
        assert!(ids(&"=".repeat(500), true).is_empty());
    }
}
