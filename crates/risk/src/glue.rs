//! What a text says once its pieces are put together: `"cu" + "rl"` is `"curl"` to whoever runs it.
//!
//! Texts that stand side by side in the source are joined: by an operator, by standing next to each
//! other, by a call that joins a list, letter by letter, or by quotes within a word of a shell. So are
//! names that the same lines give a text, and letters in a wider form that Python takes for plain ones.

mod edited;
pub(crate) mod given;
mod lists;
mod spelled;
mod turned;
pub(crate) mod undone;

use baton_patch::{Hunk, LineKind};
use unicode_normalization::UnicodeNormalization as _;

use crate::glue::edited::{Edited, Pieces};
use crate::glue::given::Given;
use crate::glue::lists::{calls_a_join, is_given_to, joined_names, joins_a_list};
use crate::glue::spelled::{may_spell, spelled};
use crate::glue::turned::{may_turn, turned};
use crate::glue::undone::Undone;
use crate::language::Languages;

/// Operators that join two texts in some language.
const OPERATORS: [&[u8]; 6] = [b"+", b"..", b".", b"&", b"<>", b"||"];
/// A list of so many single letters is a word.
const LETTERS: usize = 4;
/// So many lists are known by their names, for each line is held against each.
const MOST_LISTS: usize = 64;
/// Added lines are put together so far at a time, in bytes; a single line that is longer is not read so.
const MOST: usize = 64 << 10;
/// So much of what stands above is put together with them again, in bytes: pieces may stand on both sides.
const AGAIN: usize = 4 << 10;
/// Added lines that say something else once their pieces are put together.
#[derive(Debug)]
pub(crate) struct Joined {
    /// What they say.
    pub(crate) pieces: Pieces,
    /// The number in the new file of the first of them.
    pub(crate) line: usize,
}

/// Added lines that follow each other.
struct Block {
    text: Vec<u8>,
    line: usize,
}

impl Block {
    fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// Its last lines that are no longer than this together.
    fn last_lines(&self, most: usize) -> &[u8] {
        let start = self.text.len().saturating_sub(most);
        let cut = self.text.get(start..).unwrap_or_default();
        let whole = memchr::memchr(b'\n', cut).filter(|_| start > 0);
        let whole = whole.map_or(0, |end| end + 1);
        cut.get(whole..).unwrap_or_default()
    }
}

/// How the program that a change is part of puts texts together: what one hunk does to them may stand in
/// another.
pub(crate) struct Manner<'h> {
    languages: Languages,
    is_shell: bool,
    /// The lists that are joined by their names.
    lists: Vec<lists::Named<'h>>,
    /// Whether texts are turned round.
    turns: bool,
    /// What the language undoes itself.
    undone: Undone,
}

impl<'h> Manner<'h> {
    /// Of these hunks. `decodes` says that the encoding of the file undoes escapes.
    pub(crate) fn of(hunks: &'h [Hunk<'_>], languages: Languages, decodes: bool) -> Self {
        let is_shell = languages.is_any(&["shell", "make", "just", "dockerfile", "workflow"]);
        // C and C++ join no lists and turn no texts round.
        let is_c = languages.is_any(&["c", "cpp", "objc"]);
        let hunks = || hunks.iter().filter(|_| languages.is_code() && !is_c);
        let joining = hunks().filter(|hunk| !is_shell && calls_a_join(hunk.raw()));
        Self {
            languages,
            is_shell,
            lists: joining
                .flat_map(|hunk| joined_names(hunk.raw()))
                .take(MOST_LISTS)
                .collect(),
            turns: hunks().any(|hunk| may_turn(hunk.raw())),
            undone: Undone::of(languages, decodes),
        }
    }
}

/// The blocks of added lines of a hunk in which something is put together or undone.
pub(crate) fn joined(hunk: &Hunk<'_>, manner: &Manner<'_>) -> Vec<Joined> {
    let (languages, is_shell) = (manner.languages, manner.is_shell);
    if hunk.insertions == 0 {
        return Vec::new();
    }
    let undoes = manner.undone.may(hunk.raw());
    let joins = !manner.lists.is_empty() || may_join(hunk.raw(), is_shell);
    let folds = languages.is_any(&["python"]) && !hunk.raw().is_ascii();
    // What is joined may be what a name is given.
    let names = may_name(hunk.raw(), languages, is_shell)
        && (joins || folds || undoes || gives_a_text(hunk, is_shell));
    let spells = may_spell(hunk.raw());
    let as_written = joins || folds || names || manner.turns || spells;
    if !(as_written || undoes) {
        return Vec::new();
    }
    let blocks = added_blocks(hunk);
    let versions: Vec<Version<'_>> = blocks
        .iter()
        .flat_map(|block| versions(block, manner, (as_written, undoes, folds)))
        .collect();
    // A copy, for what is known of a block is handed on with it.
    let texts: Vec<Vec<u8>> = match names {
        true => versions.iter().map(|one| one.text().to_vec()).collect(),
        false => Vec::new(),
    };
    let given = Given::read(texts.iter().map(Vec::as_slice), is_shell);
    let joined = versions.into_iter().flat_map(|Version { block, whole }| {
        let readings = readings(&block.text, whole, &given, (manner, spells));
        readings.map(|pieces| Joined {
            pieces,
            line: block.line,
        })
    });
    joined.collect()
}

/// A block as it is written, or with what the language undoes undone, its pieces put together.
struct Version<'b> {
    block: &'b Block,
    /// None where nothing was done to it.
    whole: Option<Pieces>,
}

impl Version<'_> {
    fn text(&self) -> &[u8] {
        self.whole
            .as_ref()
            .map_or(&*self.block.text, |whole| &whole.text)
    }
}

/// Both versions of a block, as far as there is something in them to be put together.
fn versions<'b>(
    block: &'b Block,
    manner: &Manner<'_>,
    (as_written, undoes, folds): (bool, bool, bool),
) -> impl Iterator<Item = Version<'b>> + use<'b> {
    let undone = undoes.then(|| manner.undone.undo(&block.text)).flatten();
    let starts = [as_written.then_some(None), undone.map(Some)];
    let joined = starts.map(|start| {
        let folded = Pieces::then(start?, &block.text, |text| folds.then(|| folded(text))?);
        let whole = Pieces::then(folded, &block.text, |text| {
            join(text, manner.is_shell, &manner.lists)
        });
        Some(Version { block, whole })
    });
    joined.into_iter().flatten()
}

/// What a text says with its pieces put together, as it is given; with what its names were given put in;
/// turned round; and with what is spelled in another way. Each is read: no one must hide what another says.
fn readings(
    text: &[u8],
    whole: Option<Pieces>,
    given: &Given<'_>,
    (manner, spells): (&Manner<'_>, bool),
) -> impl Iterator<Item = Pieces> + use<> {
    let now = whole.as_ref().map_or(text, |whole| &whole.text);
    let again = given.put_in(now).and_then(|put| {
        let put = Pieces::then(whole.clone(), text, |_| Some(put));
        Pieces::then(put, text, |text| join(text, manner.is_shell, &manner.lists))
    });
    let turned = manner.turns.then(|| turned(now)).flatten();
    let turned = turned.and_then(|turned| Pieces::then(None, now, |_| Some(turned)));
    let read = spells.then(|| Pieces::then(None, now, spelled)).flatten();
    whole.into_iter().chain(again).chain(turned).chain(read)
}

/// The added lines of a hunk, those that follow each other in one.
fn added_blocks(hunk: &Hunk<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut next = None;
    let added = hunk.lines().filter(|line| line.kind != LineKind::Removed);
    for line in added {
        if line.kind != LineKind::Added {
            next = None;
            continue;
        }
        let fits = |block: &&mut Block| block.text.len() + line.text.len() < MOST;
        let last = blocks.last_mut().filter(|_| next == Some(line.new_number));
        match last {
            Some(block) if fits(&block) => block.push(line.text),
            last => {
                let room = AGAIN.min(MOST.saturating_sub(line.text.len() + 1));
                let above = last.map_or(&b""[..], |block| block.last_lines(room));
                let mut block = Block {
                    text: above.to_vec(),
                    line: line.new_number - memchr::memchr_iter(b'\n', above).count(),
                };
                block.push(line.text);
                blocks.push(block);
            }
        }
        next = Some(line.new_number + 1);
    }
    blocks.retain(|block| block.text.len() <= MOST);
    blocks
}

/// Whether an added line gives a text to a name.
fn gives_a_text(hunk: &Hunk<'_>, is_shell: bool) -> bool {
    let added = hunk.lines().filter(|line| line.kind == LineKind::Added);
    !Given::read(added.map(|line| line.text), is_shell).is_empty()
}

/// Whether the lines of a hunk could write a name into a text or join it to one. Prose does not, and C
/// and C++ join no texts so.
fn may_name(raw: &[u8], languages: Languages, is_shell: bool) -> bool {
    let is_c = languages.is_any(&["c", "cpp", "objc"]);
    if !is_shell && (is_c || !languages.is_code()) {
        return false;
    }
    let is_name = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'{' | b'('))
    };
    let is_sum = |at: usize| {
        raw.get(at + 1)
            .is_some_and(|byte| b" \t\r\n\"'".contains(byte))
    };
    let mut signs = memchr::memchr3_iter(b'$', b'{', b'+', raw);
    signs.any(|at| match raw.get(at) {
        Some(b'$') => is_name(raw.get(at + 1)),
        _ if is_shell => false,
        Some(b'+') => is_sum(at),
        _ => raw
            .get(at + 1)
            .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_'),
    })
}

/// A text with wider forms of plain letters as Python reads them in names; None where there are none.
fn folded(text: &[u8]) -> Option<Edited> {
    let mut out = Edited::with_capacity(text.len());
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let mut plain = std::iter::once(letter).nfkc();
            at += letter.len_utf8();
            match (plain.next(), plain.next()) {
                (Some(plain), None) if plain != letter && is_of_names(plain) => {
                    out.text.extend(plain.encode_utf8(&mut [0; 4]).as_bytes());
                    out.stands_for(at);
                }
                _ => out.text.extend(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        at += chunk.invalid().len();
        out.text.extend_from_slice(chunk.invalid());
    }
    out.is_changed().then_some(out)
}

/// Whether a character may stand in a name.
fn is_of_names(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Whether the lines of a hunk could put something together; most do not, and are not copied.
fn may_join(raw: &[u8], is_shell: bool) -> bool {
    let glue = |byte: &&u8| b" \t\r\n\\+.&|<>".contains(byte);
    let mut quotes = memchr::memchr3_iter(b'"', b'\'', b'`', raw).peekable();
    if quotes.peek().is_none() {
        return false;
    }
    quotes.any(|at| {
        let rest = raw.get(at + 1..).unwrap_or_default();
        if is_shell {
            let before = at.checked_sub(1).and_then(|at| raw.get(at));
            return before.is_some_and(|byte| byte.is_ascii_alphanumeric() || is_quote(*byte))
                && rest.first().is_some_and(u8::is_ascii_alphanumeric);
        }
        let skipped = rest.iter().take_while(glue).count();
        let next = rest.get(skipped..).unwrap_or_default();
        let is_letter = matches!(rest, [_, close, b',', ..] if is_quote(*close));
        let opens = matches!(next, [quote, ..] | [b'f' | b'b' | b'r' | b'u' | b'$' | b'@', quote, ..] if is_quote(*quote));
        is_letter || (skipped > 0 && opens)
    }) || (!is_shell && calls_a_join(raw))
}

/// A text with its pieces put together, and the lists of these names; None where nothing was.
fn join(text: &[u8], is_shell: bool, lists: &[lists::Named<'_>]) -> Option<Edited> {
    let mut out = Edited::with_capacity(text.len());
    let has_lists = !is_shell && (!lists.is_empty() || joins_a_list(text).is_some());
    let (mut letters_left, mut line_end, mut sign) = (0, 0, None);
    let (mut at, mut after_glue) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        // Only quotes are glue.
        let plain = memchr::memchr3(b'"', b'\'', b'`', rest).unwrap_or(rest.len());
        let (plain, rest) = rest.split_at(plain);
        out.text.extend_from_slice(plain);
        at += plain.len();
        let Some(quote) = rest.first() else {
            break;
        };
        if has_lists && at >= line_end {
            let start = text.get(..at).and_then(|head| memchr::memrchr(b'\n', head));
            let start = start.map_or(0, |end| end + 1).max(after_glue);
            line_end = at + memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = text.get(start..line_end).unwrap_or_default();
            let by_name = || lists.iter().find(|list| is_given_to(list.name, line));
            sign = joins_a_list(line).or_else(|| by_name().map(|list| list.sign));
        }
        let glue = match is_shell {
            true => within_word(text, at),
            false => between(rest, &out.text, sign.is_some(), &mut letters_left),
        };
        match glue {
            Some(length) => {
                let is_comma = !is_shell && next_of(rest, 1).is_some_and(|(byte, _)| byte == b',');
                out.text
                    .extend(sign.filter(|_| is_comma).unwrap_or_default());
                at += length;
                after_glue = at;
                out.stands_for(at);
            }
            None => {
                out.text.push(*quote);
                at += 1;
            }
        }
    }
    out.is_changed().then_some(out)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// How long the glue is that begins with the closing quote of one text and ends with the opening one
/// of the next.
fn between(rest: &[u8], before: &[u8], is_list: bool, letters_left: &mut usize) -> Option<usize> {
    let blanks = |from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        // A backslash at its end takes a line on into the next.
        let is_blank = |(at, byte): &(usize, &u8)| {
            let goes_on = || tail.get(at + 1).is_some_and(|next| b"\r\n".contains(next));
            byte.is_ascii_whitespace() || (**byte == b'\\' && goes_on())
        };
        from + tail.iter().enumerate().take_while(is_blank).count()
    };
    let start = blanks(1);
    let tail = rest.get(start..).unwrap_or_default();
    let operator = OPERATORS.iter().find(|operator| tail.starts_with(operator));
    let is_letter = before
        .iter()
        .rev()
        .nth(1)
        .is_some_and(|byte| is_quote(*byte));
    if *letters_left == 0 && is_letter && letters(rest) + 1 >= LETTERS {
        *letters_left = letters(rest);
    }
    let is_list = is_list || *letters_left > 0;
    *letters_left = letters_left.saturating_sub(1);
    let comma = || (tail.starts_with(b",") && is_list).then_some(1);
    let length = operator
        .map(|operator| operator.len())
        .or_else(comma)
        .unwrap_or(0);
    let end = blanks(start + length);
    // A prefix such as Python's `f` may stand before a quote.
    let prefix = usize::from(matches!(
        rest.get(end),
        Some(b'f' | b'b' | b'r' | b'u' | b'$' | b'@')
    ));
    let opens = rest.get(end + prefix).is_some_and(|byte| is_quote(*byte));
    let is_text = before.last().is_some_and(|byte| !is_quote(*byte));
    // Two texts that only stand side by side need a blank between them, or they are one escaped quote.
    let is_glue = length > 0 || end > 1;
    (opens && is_text && is_glue).then_some(end + prefix + 1)
}

/// How many texts of one letter follow the closing quote that a text begins with.
fn letters(rest: &[u8]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while let Some((b',', tail)) = next_of(rest, at + 1) {
        match tail {
            [open, letter, close, ..] if is_quote(*open) && open == close && !is_quote(*letter) => {
                count += 1;
                at = rest.len() - tail.len() + 2;
            }
            _ => break,
        }
    }
    count
}

/// The first byte from a place on that is no blank, and what follows it without blanks.
fn next_of(text: &[u8], at: usize) -> Option<(u8, &[u8])> {
    let (byte, tail) = text.get(at..)?.trim_ascii_start().split_first()?;
    Some((*byte, tail.trim_ascii_start()))
}

/// How long a quote is that stands within a word of a shell: `w'g'et`.
fn within_word(text: &[u8], at: usize) -> Option<usize> {
    let is_inner = |at: Option<usize>| {
        let byte = at.and_then(|at| text.get(at));
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || is_quote(*byte))
    };
    let quote = text.get(at)?;
    let is_pair = |byte: &u8| byte == quote;
    // It opens after a letter and closes after a few, or it closes what was opened so.
    let tail = text.get(at + 1..)?;
    let few = tail
        .iter()
        .take(12)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let opens = is_inner(at.checked_sub(1)) && tail.get(few).is_some_and(is_pair);
    let head = text.get(..at)?;
    let few = head
        .iter()
        .rev()
        .take(12)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let closes = is_inner(Some(at + 1)) && head.iter().rev().nth(few).is_some_and(is_pair);
    (opens || closes).then_some(1)
}

#[cfg(test)]
mod tests;
