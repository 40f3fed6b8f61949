//! The rows of one file: numbers and mark in front, so that nothing of the content ever stands where
//! baton's own words stand, however wide the terminal is.

use baton_patch::LineKind;

use super::glyphs;

/// Columns in front of the content: two numbers, a mark, a bar.
const MARGIN: usize = 17;
/// The most of one line that is shown, in characters.
const MOST: usize = 4_000;
/// Lines longer than this are said to be.
const LONG: usize = 300;
/// More blank lines than this in a row are written as their number.
const BLANK: usize = 3;

/// One line of a change.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) kind: LineKind,
    pub(super) text: Vec<u8>,
    pub(super) old: usize,
    pub(super) new: usize,
    pub(super) no_newline: bool,
    /// It stands elsewhere in the change too, taken away there or put back.
    pub(super) moved: bool,
    /// It does not follow on the line before.
    pub(super) after_gap: bool,
}

impl Line {
    pub(super) fn is_changed(&self) -> bool {
        self.kind != LineKind::Context
    }

    fn is_blank(&self) -> bool {
        self.text.iter().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn mark(&self) -> char {
        match (self.kind, self.moved) {
            (LineKind::Context, _) => ' ',
            (LineKind::Added, false) => '+',
            (LineKind::Added, true) => '>',
            (LineKind::Removed, false) => '-',
            (LineKind::Removed, true) => '<',
        }
    }

    fn numbers(&self) -> String {
        let show = |number: usize, is_there: bool| match is_there {
            true => number.to_string(),
            false => String::new(),
        };
        let old = show(self.old, self.kind != LineKind::Added);
        let new = show(self.new, self.kind != LineKind::Removed);
        format!("{old:>6}{new:>6}")
    }
}

/// What was left out of the rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    pub(super) characters: usize,
}

/// Rows of lines, at most `width` columns wide.
pub(super) fn of(lines: &[Line], width: usize, left: &mut Left) -> Vec<String> {
    let mut rows = Vec::new();
    let mut rest = lines;
    while let Some(line) = rest.first() {
        if line.after_gap {
            rows.push(format!("{:>MARGIN$}", ".. | "));
        }
        let same = |other: &&Line| other.kind == line.kind && other.is_blank();
        let blank = rest.iter().take_while(same).count();
        if blank > BLANK && line.is_changed() {
            rows.push(format!(
                "{} {} | [{blank} blank lines]",
                line.numbers(),
                line.mark()
            ));
            rest = rest.get(blank..).unwrap_or_default();
            continue;
        }
        one(line, width, &mut rows, left);
        rest = rest.get(1..).unwrap_or_default();
    }
    rows
}

fn one(line: &Line, width: usize, rows: &mut Vec<String>, left: &mut Left) {
    let shown = glyphs::line(&line.text);
    let all = shown.chars().count();
    let mut front = format!("{} {} | ", line.numbers(), line.mark());
    let mut row = String::new();
    let mut used = MARGIN;
    for c in shown.chars().take(MOST) {
        let columns = glyphs::columns(c);
        if used + columns > width {
            rows.push(format!("{front}{row}"));
            row.clear();
            used = MARGIN;
            front = format!("{:>13}{} : ", "", line.mark());
        }
        row.push(c);
        used += columns;
    }
    rows.push(format!("{front}{row}"));
    let mut notes = Vec::new();
    if all > MOST {
        left.characters += all - MOST;
        notes.push(format!(
            "{} MORE CHARACTERS OF THIS LINE ARE NOT SHOWN",
            all - MOST
        ));
    } else if all > LONG {
        notes.push(format!("the line above has {all} characters"));
    }
    if glyphs::goes_left(&line.text) {
        notes.push("the line above has letters that run from right to left; the order shown may not be the order that counts".to_owned());
    }
    if line.no_newline {
        notes.push("no newline at the end of the file".to_owned());
    }
    rows.extend(
        notes
            .into_iter()
            .map(|note| format!("{:>13}{} = [{note}]", "", line.mark())),
    );
}
