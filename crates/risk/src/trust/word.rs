//! The words of a text that could be paths, each with what stands before it.

use std::borrow::Cow;

/// What a text is: it says what the words in it mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What is run, or says what is run.
    #[default]
    Script,
    /// What agents read; what that names is text that they are to read as well.
    Prose,
    /// An agent's settings, some of which list what it reads.
    Settings,
}

/// Keys of pipelines whose value is another part of the pipeline.
const PARTS: [&[u8]; 4] = [b"include", b"local", b"template", b"uses"];
/// Keys of agents' settings that list what an agent is to read.
const LISTS: [&[u8]; 7] = [
    b"instructions",
    b"read",
    b"contextFileName",
    b"fileName",
    b"project_doc_fallback_filenames",
    b"context_paths",
    b"file",
];
/// A longer word is no path, in bytes.
const MOST: usize = 1024;

/// One word as it stands in a text.
#[derive(Debug)]
pub(crate) struct Seen<'t> {
    pub(crate) text: Cow<'t, [u8]>,
    /// The word before it.
    pub(crate) before: &'t [u8],
    /// Whether its first part is the name of a variable.
    pub(crate) is_variable: bool,
    /// Whether it brings the file into the text: a part of the pipeline, or more for an agent to read.
    pub(crate) is_part: bool,
    /// Whether it is what a pipeline's `uses:` names.
    pub(crate) is_action: bool,
}

/// Reads a text word by word.
#[derive(Debug)]
pub(crate) struct Words<'t> {
    text: &'t [u8],
    kind: Kind,
    at: usize,
    before: &'t [u8],
    /// The last key, and whether nothing has followed it yet.
    key: &'t [u8],
    is_value: bool,
    /// Whether the words are of a list of includes.
    is_included: bool,
}

impl<'t> Words<'t> {
    pub(crate) fn of(text: &'t [u8], kind: Kind) -> Self {
        Self {
            text,
            kind,
            at: 0,
            before: b"",
            key: b"",
            is_value: false,
            is_included: false,
        }
    }

    fn is_part(&self, word: &[u8]) -> bool {
        match self.kind {
            Kind::Prose => word.starts_with(b"@"),
            Kind::Settings => LISTS.contains(&self.key),
            Kind::Script => {
                let is_value = self.is_value && PARTS.contains(&self.key);
                is_value || self.is_included
            }
        }
    }

    /// Keeps what the next word is to know.
    fn passed(&mut self, word: &'t [u8], start: usize) {
        let after = self.text.get(self.at..).unwrap_or_default();
        let after = after.trim_ascii_start().first();
        let is_key = word.ends_with(b":") || after == Some(&b'=');
        if is_key {
            self.key = word.strip_suffix(b":").unwrap_or(word);
        }
        self.is_value = is_key;
        let is_first = start == 0 || self.text.get(start - 1) == Some(&b'\n');
        if is_first && word != b"-" {
            self.is_included = word == b"include:";
        }
        self.before = word;
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Seen<'t>;

    fn next(&mut self) -> Option<Seen<'t>> {
        loop {
            let start = self.at + self.text.get(self.at..)?.iter().position(is_inner)?;
            let rest = self.text.get(start..)?;
            let length = rest.iter().position(|byte| !is_inner(byte));
            let mut word = rest.get(..length.unwrap_or(rest.len()))?;
            self.at = start + word.len();
            let sign = self.text.get(..start).and_then(<[u8]>::last);
            // `"key": value`: the colon is a word of its own, or begins one.
            if let Some(rest) = word.strip_prefix(b":") {
                (self.key, self.is_value) = (self.before, true);
                word = rest;
            }
            // `key: >-` and `key: |-`: the value stands on the next line.
            let is_fold = word == b"-" && matches!(sign, Some(b'>' | b'|'));
            if word.is_empty() || is_fold {
                continue;
            }
            let seen = Seen {
                text: Cow::Borrowed(word),
                before: self.before,
                is_variable: sign == Some(&b'$'),
                is_part: self.is_part(word),
                is_action: self.is_value && self.key == b"uses",
            };
            self.passed(word, start);
            return Some(seen);
        }
    }
}

/// The words that hold backslashes, as Windows writes paths, with slashes instead. They are looked for beside
/// the others, for a backslash has many other meanings.
pub(crate) fn of_windows(text: &[u8]) -> impl Iterator<Item = Seen<'_>> {
    let is_in = |byte: &u8| is_inner(byte) || *byte == b'\\';
    let mut done = 0;
    let signs = memchr::memchr_iter(b'\\', text);
    signs.filter_map(move |at| {
        if at < done {
            return None;
        }
        let (head, tail) = text.split_at_checked(at)?;
        let least = head.len().saturating_sub(MOST).max(done);
        let before = head.get(least..)?.iter().rposition(|byte| !is_in(byte));
        let start = before.map_or(least, |before| least + before + 1);
        let tail = tail.get(..MOST).unwrap_or(tail);
        let length = tail.iter().position(|byte| !is_in(byte));
        done = at + length.unwrap_or(tail.len());
        let slash = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
        let head = text.get(..start)?;
        let word = text.get(start..done)?;
        // `%~dp0` is the folder of the script itself.
        let own = word.strip_prefix(b"dp0").filter(|_| head.ends_with(b"~"));
        let word: Vec<u8> = own.unwrap_or(word).iter().map(slash).collect();
        let name = name_of(&word);
        // A single letter behind a backslash is an escape, and the programs of Windows have endings.
        name.contains(&b'.').then(|| Seen {
            before: last_word(head),
            is_variable: head.ends_with(b"$"),
            is_part: false,
            is_action: false,
            text: Cow::Owned(word),
        })
    })
}

/// The last word of a text, as far as it stands near its end.
fn last_word(text: &[u8]) -> &[u8] {
    let near = text.get(text.len().saturating_sub(MOST)..).unwrap_or(text);
    let end = near.iter().rposition(is_inner).map_or(0, |at| at + 1);
    let near = near.get(..end).unwrap_or_default();
    let start = near.iter().rposition(|byte| !is_inner(byte));
    near.get(start.map_or(0, |at| at + 1)..).unwrap_or_default()
}

/// Bytes of a path that a text names without quotes.
fn is_inner(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./@+*:".contains(byte) || !byte.is_ascii()
}

pub(crate) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// What a word is made of that a colon parts: a path with a line, a test or the place where it is mounted behind
/// it; an address; two paths.
pub(crate) fn pieces(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pieces = word.split(|byte| *byte == b':');
    pieces.filter(|piece| !piece.is_empty())
}

/// A word as a path from the root, as far as it tells.
pub(crate) fn plain(word: &[u8], is_variable: bool) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = word.split(|byte| *byte == b'/').collect();
    if is_variable && parts.len() > 1 {
        parts.remove(0);
    }
    parts.retain(|part| !matches!(*part, b"" | b"." | b".."));
    parts
        .join(&b'/')
        .trim_ascii_end()
        .strip_suffix(b".")
        .map_or_else(|| parts.join(&b'/'), <[u8]>::to_vec)
}
