//! A log as lines of plain text. What a test prints is hostile: nothing in it may swallow a line of
//! the runner.

/// The longest name that is kept, in characters.
const LONGEST_NAME: usize = 300;

/// The log as text. Colour codes are dropped. A carriage return and every other escape sequence end
/// the line instead of hiding what stands after or before them: a screen would overwrite it, a
/// reader must not. Other control characters are dropped.
pub(super) fn clean(log: &[u8]) -> String {
    let raw = String::from_utf8_lossy(log);
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '\u{1b}' => match colour_code(raw.get(at + 1..).unwrap_or_default()) {
                Some(length) => {
                    rest.nth(length - 1);
                }
                None => text.push('\n'),
            },
            '\r' => text.push('\n'),
            '\n' | '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// The length of `[1;31m` after an escape character, in characters. Only this form is taken as a
/// colour, as any other could take the first letters of the runner's next line with it.
fn colour_code(rest: &str) -> Option<usize> {
    const LONGEST: usize = 24;
    let bytes = rest.as_bytes();
    if bytes.first() != Some(&b'[') {
        return None;
    }
    let parameters = bytes
        .iter()
        .skip(1)
        .take(LONGEST)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b';')
        .count();
    (bytes.get(1 + parameters) == Some(&b'm')).then_some(parameters + 2)
}

/// Text that may be shown and kept as a name: control characters and those that change the
/// direction of text are escaped, and it is cut when too long.
pub(super) fn shown(text: &str) -> String {
    shown_up_to(text, LONGEST_NAME)
}

/// The same with a length of the caller's, in characters.
pub(super) fn shown_up_to(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    let mut characters = text.chars();
    for c in characters.by_ref().take(most) {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{e0000}'..='\u{e007f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A number of tests: digits only. A longer one is no honest count, and sums of these cannot
/// overflow.
pub(super) fn count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `3 passed` as number and word. What is glued to the number from the left is left out: a test
/// that prints without a line end must not hide the runner's line.
pub(super) fn number_and_word(part: &str) -> Option<(Option<u64>, &str)> {
    let (left, word) = part.trim().rsplit_once(' ')?;
    let digits = left.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = left.get(digits..)?;
    (!number.is_empty()).then(|| (count(number), word))
}

/// How far a line is indented, in bytes of white space.
pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Drops `(1.2ms)`, `(3 ms)` or `2ms` from the end of a title, as it differs from run to run.
pub(super) fn without_time(title: &str) -> &str {
    let title = title.trim_end();
    let is_time = |text: &str| {
        let number = text
            .trim_end_matches(|c: char| c.is_ascii_lowercase() || c == ' ')
            .trim();
        ["ms", "s", "m"].iter().any(|unit| text.ends_with(unit))
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    if let Some((head, time)) = title.strip_suffix(')').and_then(|t| t.rsplit_once(" ("))
        && is_time(time)
    {
        return head;
    }
    match title.rsplit_once(' ') {
        Some((head, time)) if is_time(time) => head.trim_end(),
        _ => title,
    }
}

/// The titles above a line of an indented outline.
#[derive(Default)]
pub(super) struct Outline {
    above: Vec<(usize, String)>,
}

impl Outline {
    /// Deeper titles are not kept.
    const DEEPEST: usize = 32;

    /// A title at this indent closes those at the same indent or deeper.
    pub(super) fn open(&mut self, indent: usize, title: &str) {
        self.close_to(indent);
        if self.above.len() < Self::DEEPEST {
            self.above.push((indent, shown(title)));
        }
    }

    /// Takes out the innermost title when it is this one.
    pub(super) fn close(&mut self, indent: usize, title: &str) -> bool {
        while self.above.last().is_some_and(|(at, _)| *at > indent) {
            self.above.pop();
        }
        let same = self
            .above
            .last()
            .is_some_and(|(at, open)| *at == indent && *open == shown(title));
        if same {
            self.above.pop();
        }
        same
    }

    fn close_to(&mut self, indent: usize) {
        while self.above.last().is_some_and(|(at, _)| *at >= indent) {
            self.above.pop();
        }
    }

    /// The full name of a test with this title at this indent.
    pub(super) fn name(&mut self, indent: usize, title: &str) -> String {
        self.close_to(indent);
        let title = shown(title);
        let titles = self.above.iter().map(|(_, title)| title.as_str());
        join(titles.chain([title.as_str()]))
    }
}

/// Joins titles to a name whose length is bounded.
pub(super) fn join<'a>(titles: impl Iterator<Item = &'a str>) -> String {
    const LONGEST: usize = 400;
    let mut name = String::new();
    for title in titles {
        if !name.is_empty() {
            name.push_str(" > ");
        }
        name.push_str(title);
        if name.len() > LONGEST {
            break;
        }
    }
    name
}
