//! A stream taken apart into lines, and a reply put together from them.

use baton_core::problem::Problem;

/// The longest line, in bytes: one piece of a reply and what stands around it.
const MOST_LINE: usize = 1 << 20;

/// Cuts pieces into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// Takes a piece and gives each line that is complete, without its end.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            self.0.extend_from_slice(line);
            self.check()?;
            each(self.0.trim_ascii())?;
            self.0.clear();
            rest = after.get(1..).unwrap_or_default();
        }
        self.0.extend_from_slice(rest);
        self.check()
    }

    /// Gives the last line, if it has no end.
    pub(crate) fn finish(
        self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        each(self.0.trim_ascii())
    }

    fn check(&self) -> Result<(), Problem> {
        if self.0.len() <= MOST_LINE {
            return Ok(());
        }
        let why = format!("the server sent a line of more than {MOST_LINE} bytes");
        Err(Problem::fail("REPLY_TOO_LARGE", why)
            .hint("is it a model server? look at what it sends with another client"))
    }
}

/// A reply as it grows.
#[derive(Debug)]
pub(crate) struct Growing {
    pub(crate) text: String,
    /// Whether the model thought aloud; what it thought is not kept.
    pub(crate) has_thought: bool,
    most: usize,
}

impl Growing {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            text: String::new(),
            has_thought: false,
            most,
        }
    }

    pub(crate) fn add(&mut self, text: &str) -> Result<(), Problem> {
        self.text.push_str(text);
        if self.text.len() <= self.most {
            return Ok(());
        }
        let why = format!(
            "the reply has more than {} bytes, the policy allows no more (max_patch_bytes)",
            self.most
        );
        Err(Problem::fail("REPLY_TOO_LARGE", why)
            .hint("make the task smaller, or raise caps.max_patch_bytes"))
    }

    /// Refuses a reply that says nothing.
    pub(crate) fn check_not_empty(&self) -> Result<(), Problem> {
        if !self.text.trim().is_empty() {
            return Ok(());
        }
        if self.has_thought {
            let why = "the model thought and then said nothing, expected a reply after it";
            return Err(Problem::fail("REPLY_EMPTY", why)
                .hint("set think to false, raise num_predict, or ask another model"));
        }
        Err(
            Problem::fail("REPLY_EMPTY", "the model ended and had said nothing")
                .hint("ask again, or ask another model"),
        )
    }
}

/// A reply that the model did not end by itself.
pub(crate) fn cut(what: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::fail("REPLY_CUT", what).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut each = |line: &[u8]| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, &mut each).unwrap();
        }
        lines.finish(&mut each).unwrap();
        seen
    }

    #[test]
    fn lines_do_not_care_where_pieces_end() {
        let whole = b"{\"a\":1}\r\n\n{\"b\":\"\xc3\xa4\"}\nend".as_slice();
        let expected = ["{\"a\":1}", "", "{\"b\":\"\u{e4}\"}", "end"];
        assert_eq!(lines(&[whole]), expected);
        let bytes: Vec<_> = whole.chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 64 << 10];
        let mut pushed = 0;
        let problem = loop {
            pushed += 1;
            if let Err(problem) = lines.push(&piece, &mut |_| Ok(())) {
                break problem;
            }
        };
        assert_eq!(problem.code, "REPLY_TOO_LARGE");
        assert_eq!(pushed, 17);
    }
}
