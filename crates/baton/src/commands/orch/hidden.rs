//! What of a `QUEUE.md` nobody sees as it stands: comments, blocks of code, and of HTML.
//!
//! Only forms that every reader of Markdown takes alike hide anything. Where readers differ the file is
//! refused, for a row must neither get lost nor come in unseen.

/// Elements of HTML whose text is shown as it is, or not at all.
const PLAIN: [&str; 4] = ["pre", "script", "style", "textarea"];
/// From so many blanks on a line is a block of code.
const CODE: usize = 4;

/// What is not shown as it stands: a comment, a block of code, an element of HTML.
#[derive(Default)]
pub(super) struct Hidden {
    open: Option<Open>,
}

struct Open {
    line: usize,
    kind: Kind,
}

enum Kind {
    Comment,
    /// What ends it.
    Code(String),
    /// What ends it, in lower case.
    Html(String),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Comment => "a comment",
            Self::Code(_) => "a block of code",
            Self::Html(_) => "an element of HTML",
        }
    }
}

impl Hidden {
    /// Whether a line belongs to what is hidden.
    ///
    /// # Errors
    /// What is wrong with a line that some would show and others would not.
    pub(super) fn hides(&mut self, line: &str, at: usize) -> Result<bool, String> {
        let Some(open) = &self.open else {
            return self.begins(line, at);
        };
        let rest = match &open.kind {
            Kind::Comment => line.split_once("-->").map(|(_, rest)| rest),
            Kind::Code(fence) => code_ends(line, fence).then_some(""),
            Kind::Html(end) => {
                let at = line.to_ascii_lowercase().find(end);
                at.and_then(|at| line.get(at + end.len()..))
            }
        };
        let Some(rest) = rest else {
            return Ok(true);
        };
        let name = open.kind.name();
        self.open = None;
        is_alone(rest, name).map(|()| true)
    }

    fn begins(&mut self, line: &str, at: usize) -> Result<bool, String> {
        let text = line.trim();
        // In a row it is a part of a cell.
        if text.starts_with('|') {
            let is_code = blanks(line) >= CODE;
            let why = "a row stands four blanks in, where it is code; begin the line with |";
            return if is_code { Err(why.into()) } else { Ok(false) };
        }
        let open = |kind| Some(Open { line: at, kind });
        if let Some(fence) = fence(text).filter(|_| blanks(line) < CODE) {
            self.open = open(Kind::Code(fence.to_owned()));
            return Ok(true);
        }
        if fence(item(text)).is_some() {
            return Err("a block of code in a list; begin its marks on a line of their own".into());
        }
        if let Some(rest) = text.strip_prefix("<!--") {
            return match comment_ends(rest) {
                Some(rest) => is_alone(rest, "a comment").map(|()| true),
                None => {
                    self.open = open(Kind::Comment);
                    Ok(true)
                }
            };
        }
        without_comments(text)?;
        let lower = text.to_ascii_lowercase();
        if let Some(element) = PLAIN.iter().find(|name| begins_element(&lower, name)) {
            let end = format!("</{element}>");
            if !lower.contains(&end) {
                self.open = open(Kind::Html(end));
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// What is open at the end, and where it began.
    pub(super) fn unclosed(&self) -> Option<(usize, &'static str)> {
        let open = self.open.as_ref()?;
        Some((open.line, open.kind.name()))
    }
}

/// Nothing that could be a row may stand behind what ends on its line.
fn is_alone(rest: &str, name: &str) -> Result<(), String> {
    let why = || format!("a bar stands behind the end of {name}; begin a line with it");
    let is_text = !without_comments(rest)?.contains('|');
    is_text.then_some(()).ok_or_else(why)
}

/// A part of a line without the comments that end in it.
fn without_comments(text: &str) -> Result<String, String> {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, inner)) = rest.split_once("<!--") {
        let why = "a comment begins within a line and goes on; begin a line with it";
        kept.push_str(before);
        rest = comment_ends(inner).ok_or_else(|| why.to_owned())?;
    }
    Ok(kept + rest)
}

/// What stands behind the end of a comment. The shortest ones end where they begin.
fn comment_ends(inner: &str) -> Option<&str> {
    let short = inner.strip_prefix("->").or_else(|| inner.strip_prefix('>'));
    short.or_else(|| Some(inner.split_once("-->")?.1))
}

fn begins_element(text: &str, name: &str) -> bool {
    let rest = text
        .strip_prefix('<')
        .and_then(|text| text.strip_prefix(name));
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
}

/// How far in a line stands; a tab goes to the next fourth place.
fn blanks(line: &str) -> usize {
    let mut width = 0;
    for byte in line.bytes() {
        width = match byte {
            b' ' => width + 1,
            b'\t' => width + CODE - width % CODE,
            _ => break,
        };
    }
    width
}

/// A line without the marks of lists and quotes before it.
fn item(text: &str) -> &str {
    let mut text = text;
    loop {
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_number = digits.len() < text.len() && digits.starts_with(['.', ')']);
        let is_item = text.starts_with(['-', '*', '+', '>']);
        let mark = if is_number { digits } else { text };
        let rest = mark.get(1..).filter(|_| is_number || is_item);
        let rest = rest.filter(|rest| rest.starts_with([' ', '\t']) || text.starts_with('>'));
        match rest {
            Some(rest) => text = rest.trim_start(),
            None => return text,
        }
    }
}

/// Whether a line ends a block of code that these marks began.
fn code_ends(line: &str, fence: &str) -> bool {
    let mark = fence.chars().next().unwrap_or_default();
    let text = line.trim();
    blanks(line) < CODE && text.starts_with(fence) && text.chars().all(|c| c == mark)
}

/// The marks that begin a block of code, and that end it.
fn fence(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = text.chars().take_while(|c| *c == mark).count();
    let (fence, name) = text.split_at_checked(length)?;
    // Between marks on one line stands a word.
    (length >= 3 && !(mark == '`' && name.contains('`'))).then_some(fence)
}
