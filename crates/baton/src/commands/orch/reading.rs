//! `QUEUE.md` read: every row of it, or nothing. What stands there is anybody's text.

use std::collections::BTreeSet;

use baton_core::problem::Problem;
use baton_core::task::{Priority, TaskId};
use baton_core::terminal;
use clap::ValueEnum as _;

use super::hidden::Hidden;
use super::table::{COLUMNS, MOST_ROWS, QueueStatus, Row, cell, from_kst};

/// Reads the rows of a file, every one of them, or nothing: what stands under the columns and holds a bar is
/// a row, also after an empty line, or it is wrong.
///
/// # Errors
/// `QUEUE_MD_INVALID` naming the line.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Row>, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(None, error.to_string()))?;
    // Some editors put a mark of the byte order in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = lone_return(text) {
        let why = "a carriage return ends nothing by itself, expected a line feed at the end of each line";
        return Err(wrong(Some(at), why.to_owned()));
    }
    let mut reading = Reading::default();
    let mut hidden = Hidden::default();
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, at)) = lines.next() {
        let below = lines.peek().map(|(below, _)| *below).unwrap_or_default();
        // What nobody sees as a table holds no tasks.
        let is_hidden = hidden.hides(line, at);
        let is_hidden = is_hidden.map_err(|why| wrong(Some(at), why))?;
        let taken = reading.line(if is_hidden { "" } else { line }, below);
        taken.map_err(|why| wrong(Some(at), why))?;
    }
    if let Some((at, what)) = hidden.unclosed() {
        return Err(wrong(
            Some(at),
            format!("{what} that begins here has no end"),
        ));
    }
    if reading.columns.is_none() {
        let why = "there is no table with the columns id, status and task";
        return Err(wrong(None, why.to_owned()));
    }
    Ok(reading.rows)
}

/// The line of the first carriage return that no line feed follows.
fn lone_return(text: &str) -> Option<usize> {
    let rest = |at: usize| text.get(at + 1..).unwrap_or_default();
    let mut returns = text.match_indices('\r').map(|(at, _)| at);
    let at = returns.find(|at| !rest(*at).starts_with('\n'))?;
    let before = text.get(..at).unwrap_or_default();
    Some(1 + before.matches('\n').count())
}

/// How far a file is read.
#[derive(Default)]
struct Reading {
    /// The tasks' columns, once they came; a second table of tasks brings its own.
    columns: Option<Columns>,
    /// Whether the line before belongs to a table, and whether that is another one than the tasks'.
    inside: bool,
    other: bool,
    rows: Vec<Row>,
    /// Their names with case folded.
    names: BTreeSet<String>,
}

impl Reading {
    fn line(&mut self, line: &str, below: &str) -> Result<(), String> {
        let was_inside = std::mem::replace(&mut self.inside, has_bar(line));
        if !self.inside {
            return Ok(());
        }
        let Some(cells) = cells(line) else {
            let is_above = self.columns.is_none() || (was_inside && self.other);
            let why =
                "it holds a bar and is no whole row: a row is one line that begins and ends with |";
            return is_above.then_some(()).ok_or_else(|| why.to_owned());
        };
        let is_head = !was_inside && is_rule_line(below);
        if is_head || self.columns.is_none() {
            return self.head(&cells, was_inside, is_head);
        }
        match is_rule_line(line) || (was_inside && self.other) {
            true => Ok(()),
            false => self.row(&cells),
        }
    }

    /// The first line of a table, or one above the tasks'.
    fn head(&mut self, cells: &[String], was_inside: bool, is_head: bool) -> Result<(), String> {
        let lacks = "a table without the columns id, status and task";
        match columns(cells)? {
            Some(columns) => {
                self.columns = Some(columns);
                self.other = false;
                Ok(())
            }
            None if self.columns.is_some() => {
                Err(format!("{lacks}; it can stand above the tasks, not below"))
            }
            None if is_head && cells.iter().any(|cell| cell.eq_ignore_ascii_case("id")) => {
                Err(lacks.to_owned())
            }
            None if is_head || (was_inside && self.other) => {
                self.other = true;
                Ok(())
            }
            None => Err("a row above the columns".to_owned()),
        }
    }

    fn row(&mut self, cells: &[String]) -> Result<(), String> {
        let Some(columns) = &self.columns else {
            return Ok(());
        };
        if self.rows.len() == MOST_ROWS {
            return Err(format!("more than {MOST_ROWS} rows"));
        }
        let row = row(columns, cells)?;
        if !self.names.insert(row.id.folded()) {
            return Err(format!("a second row {}", row.id));
        }
        self.rows.push(row);
        Ok(())
    }
}

fn wrong(line: Option<usize>, why: String) -> Problem {
    let line = line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    Problem::fail("QUEUE_MD_INVALID", format!("QUEUE.md: {line}{why}"))
        .hint("mend it and import it again; nothing was taken in")
}

/// The cells of a line of a table. Some write a bar inside a cell as `\|`.
fn cells(line: &str) -> Option<Vec<String>> {
    let line = line.trim().replace("\\|", "/");
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(
        inside
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect(),
    )
}

/// Whether a line holds a bar that stands for the end of a cell.
fn has_bar(line: &str) -> bool {
    line.replace("\\|", "/").contains('|')
}

fn is_rule_line(line: &str) -> bool {
    cells(line).is_some_and(|cells| cells.iter().all(|cell| is_rule(cell)))
}

fn is_rule(cell: &str) -> bool {
    let dashes = cell.trim_matches(':');
    !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
}

/// Where each known column stands, if this is a line of columns; they may stand in any order, each once.
fn columns(cells: &[String]) -> Result<Option<Columns>, String> {
    let at = |name: &str| {
        let mut names = cells.iter();
        names.position(|cell| cell.eq_ignore_ascii_case(name))
    };
    let known = COLUMNS.map(at);
    let has = |name: &str| at(name).is_some();
    if !(has("id") && has("status") && has("task")) {
        return Ok(None);
    }
    let count_of = |name: &str| {
        let same = cells.iter().filter(|cell| cell.eq_ignore_ascii_case(name));
        same.count()
    };
    if let Some(twice) = COLUMNS.iter().find(|name| count_of(name) > 1) {
        return Err(format!("two columns {twice}"));
    }
    let count = cells.len();
    Ok(Some(Columns { known, count }))
}

struct Columns {
    known: [Option<usize>; 8],
    count: usize,
}

fn row(columns: &Columns, cells: &[String]) -> Result<Row, String> {
    if cells.len() != columns.count {
        let (got, expected) = (cells.len(), columns.count);
        return Err(format!("{got} cells, expected {expected}"));
    }
    if let Some(odd) = cells.iter().find(|cell| cell.chars().any(is_odd)) {
        let shown: String = terminal::visible_line(odd).chars().take(80).collect();
        return Err(format!("a cell holds control characters: \"{shown}\""));
    }
    let [
        id,
        priority,
        status,
        owner_session,
        task,
        success_criteria,
        due_at_kst,
        notes,
    ] = columns.known.map(|at| {
        let found = at.and_then(|at| cells.get(at));
        cell(found.map(String::as_str).unwrap_or_default())
    });
    if !due_at_kst.is_empty() {
        from_kst(&due_at_kst)?;
    }
    Ok(Row {
        id: TaskId::parse(&id).map_err(|problem| problem.message)?,
        priority: read_priority(&priority)?,
        status: QueueStatus::from_str(&status, true).map_err(|_| {
            let names = QueueStatus::ALL.map(QueueStatus::name).join(", ");
            format!("status \"{status}\", expected one of {names}")
        })?,
        owner_session,
        task,
        success_criteria,
        due_at_kst,
        notes,
    })
}

/// What steers a terminal or turns the order of letters round. What else does not show is shown.
fn is_odd(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // A tab is no more than a blank.
    turns || (c.is_control() && c != '\t')
}

fn read_priority(text: &str) -> Result<Priority, String> {
    match text {
        "" => Ok(Priority::default()),
        "P0" => Ok(Priority::P0),
        "P1" => Ok(Priority::P1),
        "P2" => Ok(Priority::P2),
        other => Err(format!("priority \"{other}\", expected P0, P1 or P2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_any_order_and_what_is_wrong_is_named_by_its_line() {
        let text =
            "text\n\n|Task|ID|x|Status|\n|:--|--|-|-|\n|a \\| b|T-1|y|done|\n\n|c|T-2|y|DONE|\n";
        let rows = parse(text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2, "an empty line ends nothing");
        assert_eq!(
            (rows[0].task.as_str(), rows[0].status),
            ("a / b", QueueStatus::Done)
        );
        let head = "|id|status|task|priority|due_at_kst|\n";
        for (line, expected) in [
            ("|T-1|PENDING|a|P1|", "line 2: 4 cells, expected 5"),
            ("|../x|PENDING|a|P1||", "cannot name a task"),
            ("|T-1|OPEN|a|P1||", "line 2: status \"OPEN\""),
            ("|T-1|PENDING|a|P9||", "priority \"P9\""),
            ("|T-1|PENDING|a\u{1b}[31m|P1||", "control characters"),
            ("|T-1|PENDING|a\u{202e}b|P1||", "control characters"),
            ("|T-1|PENDING|a|P1|tomorrow|", "a time in Korea"),
            ("|T-1|PENDING|a|P1|2026-02-31 10:00|", "a time in Korea"),
            (
                "|T-1|PENDING|a|P1||\n|t-1|PENDING|a|P1||",
                "line 3: a second row t-1",
            ),
        ] {
            let problem = parse(format!("{head}{line}\n").as_bytes()).unwrap_err();
            assert_eq!(problem.code, "QUEUE_MD_INVALID");
            assert!(problem.message.contains(expected), "{}", problem.message);
        }
        assert!(parse(b"no table").is_err() && parse(b"\xff").is_err());
    }

    #[test]
    fn no_row_is_left_out_without_a_word() {
        let ids = |text: &str| {
            let rows = parse(text.as_bytes()).unwrap().into_iter();
            rows.map(|row| row.id.to_string()).collect::<Vec<_>>()
        };
        let head = "| id | status | task |\n|---|---|---|\n";
        let row = |id: &str| format!("| {id} | PENDING | x |\n");
        let (one, two) = (row("B-1"), row("B-2"));
        for text in [
            format!("{head}{one}\n{two}"),
            format!("{head}{one}<!-- a comment -->\n{two}"),
            format!("\u{feff}{head}{one}|---|---|---|\n{two}"),
            format!("{head}{one}\n# more\n\n{head}{two}"),
            format!("| word | what |\n|---|---|\n| a | b |\n\nx | y\n\n{head}{one}{two}"),
            format!("{head}{one}\n| task | id | status |\n|-|-|-|\n| x | B-2 | PENDING |\n"),
        ] {
            assert_eq!(ids(&text), ["B-1", "B-2"], "{text}");
        }
        let three = row("B-3");
        for text in [
            format!("{head}{one}<!-- not now:\n{three}-->\n{two}"),
            format!("{head}{one}<!-- {three}-->\n{two}<!-- | B-3 | PENDING | x | -->\n"),
            format!("{head}{one}<!--> \n{two}<!-- x --> y <!-- z -->\n"),
            format!("{head}{one}\n<pre class=\"x\">\n{three}</pre>\n{two}"),
            format!("{head}{one}\n<STYLE>\n{three}</style>\n<prefix>\n\n{two}"),
            format!("See `<!--` and `-->`.\n\n{head}{one}{two}"),
            format!("{head}{one}\n```\n    ```\n{three}```\n{two}"),
            format!("```md\n{head}{three}```\n\n{head}{one}{two}"),
            format!("{head}{one}\n~~~~\n{three}~~~\n```\n{three}~~~~~\n{two}"),
            format!("{head}{one}{two}").replace('\n', "\r\n"),
        ] {
            assert_eq!(ids(&text), ["B-1", "B-2"], "{text}");
        }
        for (text, expected) in [
            (format!("{head}{one}<!--\n{two}"), "line 4: a comment that"),
            (format!("{head}{one}```\n{two}"), "line 4: a block of code"),
            (
                format!("for example <!-- one\n{three}-->\n{head}{one}"),
                "line 1: a comment begins within",
            ),
            (
                format!("Opens with `<!--`.\n\n{head}{one}\nEnds with `-->`.\n"),
                "line 1: a comment begins within",
            ),
            (
                format!("{head}{one}\n<!-- a\n--> <!-- b\n{two}-->\n"),
                "line 6: a comment begins within",
            ),
            (
                format!("{head}{one}\n<!-- a --> {two}"),
                "line 5: a bar stands behind the end of a comment",
            ),
            (
                format!("1. - ```\n  x\n  ```\n\n{head}{one}\n- ```\n  y\n  ```\n"),
                "line 1: a block of code in a list",
            ),
            (
                format!("{head}{one}\n    x\n\n \t{two}"),
                "line 7: a row stands four",
            ),
            (
                format!("{head}{one}<pre>\n{two}"),
                "line 4: an element of HTML",
            ),
            (
                format!("{head}{one}").replace('\n', "\r"),
                "line 1: a carriage return",
            ),
            (
                format!("{head}| B-1 | PENDING | x\ny |\n{two}"),
                "line 3: it holds a bar",
            ),
            (format!("{head}{one}y |\n"), "line 4: it holds a bar"),
            (
                format!("{head}{one}\nB-2 | PENDING | x\n"),
                "line 5: it holds a bar",
            ),
            (
                format!("{head}{one}\n| word | what |\n|-|-|\n"),
                "line 5: a table without",
            ),
            (
                format!("| id | what |\n|-|-|\n| B-2 | x |\n\n{head}{one}"),
                "line 1: a table without",
            ),
            (
                format!("{two}{head}{one}"),
                "line 1: a row above the columns",
            ),
            (
                format!("| id | status | task | ID |\n{one}"),
                "line 1: two columns id",
            ),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert!(
                problem.message.contains(expected),
                "{text}: {}",
                problem.message
            );
        }
    }
}
