//! `QUEUE.md`: the table itself, read and written. What stands in its cells is anybody's text.

use std::time::{Duration, SystemTime};

use baton_core::task::{Priority, TaskId};
use baton_core::{clock, digest, terminal};
use clap::ValueEnum;
use serde::Serialize;

/// The largest file that is read, in bytes, and the most rows: a table that a person still reads.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// See [`MAX_BYTES`].
pub(super) const MOST_ROWS: usize = 10_000;
/// The longest notes that are written into a cell, in characters.
const MOST_NOTES: usize = 500;
/// What comes before the digest of all that stands above, in the last line of a file that was rendered.
const MARK: &str = "<!-- rendered by baton: sha256=";
/// Korea's time, which the column is named for: nine hours ahead, all year.
const KST: Duration = Duration::from_secs(9 * 3600);

/// The columns, as they are written.
pub(super) const COLUMNS: [&str; 8] = [
    "id",
    "priority",
    "status",
    "owner_session",
    "task",
    "success_criteria",
    "due_at_kst",
    "notes",
];

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum QueueStatus {
    Pending,
    InProgress,
    Done,
    Failed,
    Blocked,
}

impl QueueStatus {
    pub(super) const ALL: [Self; 5] = [
        Self::Pending,
        Self::InProgress,
        Self::Done,
        Self::Failed,
        Self::Blocked,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Blocked => "BLOCKED",
        }
    }
}

/// One row. Its texts are as they stand in a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) id: TaskId,
    pub(super) priority: Priority,
    pub(super) status: QueueStatus,
    pub(super) owner_session: String,
    pub(super) task: String,
    pub(super) success_criteria: String,
    pub(super) due_at_kst: String,
    pub(super) notes: String,
}

/// A text as it stands in a cell: one line, nothing that steers a terminal or does not show, `/` for `|`.
pub(super) fn cell(text: &str) -> String {
    let shown = terminal::visible_line(text.trim()).replace('|', "/");
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same for notes, which are cut: the whole of them stands in the log.
pub(super) fn notes_cell(text: &str) -> String {
    let shown = cell(text);
    match shown.char_indices().nth(MOST_NOTES) {
        Some((at, _)) => format!("{}…", shown.get(..at).unwrap_or_default().trim_end()),
        None => shown,
    }
}

/// A time as the column has it: `2026-02-08 18:00`, with seconds where there are any.
pub(super) fn to_kst(time: SystemTime) -> String {
    let there = clock::rfc3339(time + KST);
    let minutes = there.get(..16).unwrap_or_default().replace('T', " ");
    match there.get(16..19) {
        Some(seconds) if seconds != ":00" => minutes + seconds,
        _ => minutes,
    }
}

/// Such a time as tasks have it.
///
/// # Errors
/// Says what was got and shows the form.
pub(super) fn from_kst(text: &str) -> Result<String, String> {
    let written = match text.len() {
        16 => format!("{}:00+09:00", text.replacen(' ', "T", 1)),
        _ => format!("{}+09:00", text.replacen(' ', "T", 1)),
    };
    let has_form = matches!(text.len(), 16 | 19) && text.as_bytes().get(10) == Some(&b' ');
    match clock::parse_with_offset(&written).filter(|_| has_form) {
        Some(_) => Ok(written),
        None => Err(format!(
            "got \"{}\", expected a time in Korea such as 2026-02-08 18:00",
            text.escape_debug()
        )),
    }
}

/// Writes the file.
pub(super) fn render(rows: &[Row]) -> String {
    let line = |cells: &[&str]| {
        let cells = cells.iter().map(|cell| match *cell {
            "" => " ".to_owned(),
            cell => format!(" {cell} "),
        });
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let mut text = "# QUEUE\n\n".to_owned();
    text.push_str(&line(&COLUMNS));
    text.push_str(&line(&COLUMNS.map(|_| "---")));
    for row in rows {
        let priority = format!("{:?}", row.priority);
        text.push_str(&line(&[
            row.id.as_str(),
            &priority,
            row.status.name(),
            &row.owner_session,
            &row.task,
            &row.success_criteria,
            &row.due_at_kst,
            &row.notes,
        ]));
    }
    text.push('\n');
    let mark = format!("{MARK}{} -->\n", digest::sha256(text.as_bytes()));
    text + &mark
}

/// Whether a file is as it was rendered: by nobody else, and changed by nobody since.
pub(super) fn is_as_rendered(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Some((above, _)) = text.rsplit_once(MARK) else {
        return false;
    };
    text == format!("{above}{MARK}{} -->\n", digest::sha256(above.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::reading::parse;
    use super::*;
    use proptest::prelude::*;

    fn row(task: &str, notes: &str) -> Row {
        Row {
            id: TaskId::parse("ORCH-010").unwrap(),
            priority: Priority::P1,
            status: QueueStatus::Pending,
            owner_session: String::new(),
            task: cell(task),
            success_criteria: cell("README | tests"),
            due_at_kst: "2026-02-08 18:00".to_owned(),
            notes: notes_cell(notes),
        }
    }

    #[test]
    fn the_brief_s_row_reads_back_and_a_changed_file_is_told_from_a_rendered_one() {
        let text = render(&[row("문서 보완", "")]);
        let line =
            "| ORCH-010 | P1 | PENDING | | 문서 보완 | README / tests | 2026-02-08 18:00 | |\n";
        assert!(text.contains(line), "{text}");
        assert_eq!(parse(text.as_bytes()).unwrap(), [row("문서 보완", "")]);
        assert!(is_as_rendered(text.as_bytes()));
        for other in [
            text.replace("PENDING", "DONE"),
            format!("{text}\n"),
            format!("\n{text}"),
            "# QUEUE\n".to_owned(),
            String::new(),
        ] {
            assert!(!is_as_rendered(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn korea_is_nine_hours_ahead() {
        let due = from_kst("2026-02-08 18:00").unwrap();
        assert_eq!(due, "2026-02-08T18:00:00+09:00");
        let time = clock::parse_rfc3339("2026-02-08T09:00:00Z").unwrap();
        assert_eq!(clock::parse_with_offset(&due), Some(time));
        assert_eq!(to_kst(time), "2026-02-08 18:00");
        assert_eq!(to_kst(time + Duration::from_secs(5)), "2026-02-08 18:00:05");
    }

    proptest! {
        /// Whatever stands in a task, the file reads back, and reading changes nothing.
        #[test]
        fn any_text_reads_back(task in "\\PC{0,40}|[\\x00-\\x7f|\u{202e}\u{200b}\n]{0,40}", notes in ".{0,600}") {
            let rows = [row(&task, &notes)];
            let text = render(&rows);
            let read = parse(text.as_bytes());
            prop_assert!(read.is_ok(), "{:?} of {}", read, text);
            prop_assert_eq!(read.as_ref().unwrap(), &rows);
            prop_assert_eq!(render(&read.unwrap()), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cells in "(\\|[^|\n]{0,9}){0,9}\\|?") {
            let _ = parse(&bytes);
            let _ = parse(format!("|id|status|task|\n{cells}\n").as_bytes());
        }
    }
}
