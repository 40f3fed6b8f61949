//! A text of which some bytes were left out or put in, and where: so that only what says something new
//! is judged once more.

/// A text after one pass over it.
#[derive(Debug)]
pub(crate) struct Edited {
    pub(crate) text: Vec<u8>,
    /// Behind each change, the place in the text before and the place in this one, in order.
    edits: Vec<(usize, usize)>,
}

/// A text after some passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    pub(crate) text: Vec<u8>,
    /// Where something was changed, in order.
    pub(crate) marks: Vec<usize>,
}

impl Edited {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            edits: Vec::new(),
        }
    }

    /// Takes note that the text so far stands for what lies before a place of the text before.
    pub(crate) fn stands_for(&mut self, before: usize) {
        self.edits.push((before, self.text.len()));
    }

    pub(crate) fn is_changed(&self) -> bool {
        !self.edits.is_empty()
    }

    /// With the marks of earlier passes, at their new places.
    fn onto(self, marks: &[usize]) -> Pieces {
        let moved = |mark: usize| {
            let behind = self.edits.partition_point(|(before, _)| *before <= mark);
            let last = behind.checked_sub(1).and_then(|last| self.edits.get(last));
            let (before, now) = last.copied().unwrap_or((0, 0));
            let place = now + (mark - before);
            // What was left out stands nowhere; the next change is where it was.
            let next = self.edits.get(behind).map(|(_, now)| *now);
            next.map_or(place, |next| place.min(next))
        };
        let own = self.edits.iter().map(|(_, now)| *now);
        let mut all: Vec<usize> = marks.iter().map(|mark| moved(*mark)).chain(own).collect();
        all.sort_unstable();
        Pieces {
            text: self.text,
            marks: all,
        }
    }
}

impl Pieces {
    /// One more pass over a text, or over what earlier passes made of it; these where it changes nothing.
    pub(crate) fn then(
        pieces: Option<Self>,
        text: &[u8],
        pass: impl FnOnce(&[u8]) -> Option<Edited>,
    ) -> Option<Self> {
        let (text, marks) = match &pieces {
            Some(pieces) => (&*pieces.text, &*pieces.marks),
            None => (text, &[][..]),
        };
        match pass(text) {
            Some(edited) => Some(edited.onto(marks)),
            None => pieces,
        }
    }

    /// Which lines of the text were changed.
    pub(crate) fn changed_lines(&self) -> Vec<bool> {
        let mut marks = self.marks.iter().copied().peekable();
        let mut end = 0;
        let lines = self.text.split_inclusive(|byte| *byte == b'\n');
        let mut changed: Vec<bool> = lines
            .map(|line| {
                end += line.len();
                std::iter::from_fn(|| marks.next_if(|mark| *mark < end)).count() > 0
            })
            .collect();
        // A change at the very end belongs to the last line.
        if let (Some(last), true) = (changed.last_mut(), marks.peek().is_some()) {
            *last = true;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts `to` in the place of each `from`.
    fn replace(text: &[u8], from: u8, to: &[u8]) -> Option<Edited> {
        let mut edited = Edited::with_capacity(0);
        for (at, byte) in text.iter().enumerate() {
            if *byte == from {
                edited.text.extend_from_slice(to);
                edited.stands_for(at + 1);
            } else {
                edited.text.push(*byte);
            }
        }
        edited.is_changed().then_some(edited)
    }

    #[test]
    fn marks_move_with_what_they_mark() {
        let text = b"a\nb#c\nd\ne#\n|f\ng";
        let first = Pieces::then(None, text, |text| replace(text, b'#', b"++++")).unwrap();
        assert_eq!(
            first.changed_lines(),
            [false, true, false, true, false, false]
        );
        // The line feed before a bar is left out by the second pass.
        let second = Pieces::then(Some(first), text, |text| replace(text, b'|', b"")).unwrap();
        assert_eq!(second.text, b"a\nb++++c\nd\ne++++\nf\ng");
        assert_eq!(
            second.changed_lines(),
            [false, true, false, true, true, false]
        );
        let third = Pieces::then(Some(second), text, |text| replace(text, b'\n', b"")).unwrap();
        assert_eq!(third.text, b"ab++++cde++++fg");
        assert_eq!(third.changed_lines(), [true]);
        let same = Pieces::then(Some(third), text, |text| replace(text, b'?', b"")).unwrap();
        assert_eq!(same.text, b"ab++++cde++++fg");
        assert!(Pieces::then(None, text, |text| replace(text, b'?', b"")).is_none());
    }

    #[test]
    fn a_change_at_the_end_is_one_of_the_last_line() {
        let pieces = Pieces::then(None, b"a\nb|", |text| replace(text, b'|', b"")).unwrap();
        assert_eq!(pieces.changed_lines(), [false, true]);
    }
}
