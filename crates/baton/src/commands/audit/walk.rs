//! Going through the log's lines: `export`, `search` and `tail`. However long the log is, one block of
//! it and one line are held at a time.

use std::io::{BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use baton_core::audit::{Event, Log};
use baton_core::digest;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::terminal::visible_line;

use super::export::{Entry, Format, Writer};
use super::filter::{self, Filter};
use super::name;
use crate::reply::Reply;

/// How often `tail -f` looks for new lines.
const PAUSE: Duration = Duration::from_millis(200);

/// The flags of `export`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Export {
    /// From this line's number, or this time in UTC, on (default: all)
    #[arg(long, value_name = "SEQ|TIME")]
    since: Option<String>,
    /// In this form
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
}

/// The flags of `search`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Search {
    #[command(flatten)]
    filter: filter::Arguments,
    /// End after this many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// The flags of `tail`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Tail {
    /// Show this many lines
    #[arg(short = 'n', long = "lines", value_name = "N", default_value = "10")]
    lines: u64,
    /// Go on with each new line, until interrupted
    #[arg(short = 'f', long)]
    follow: bool,
}

/// Standard output, for lines.
struct Out {
    stdout: BufWriter<StdoutLock<'static>>,
    for_people: bool,
}

impl Out {
    fn new(json: bool) -> Self {
        let stdout = std::io::stdout().lock();
        Self {
            for_people: stdout.is_terminal() && !json,
            stdout: BufWriter::new(stdout),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Problem> {
        self.stdout
            .write_all(text.as_bytes())
            .map_err(|error| unwritten(&error))
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), Problem> {
        if self.for_people {
            return self.write(&format!("{}\n", for_people(entry.event)));
        }
        self.write(&format!("{}\n", String::from_utf8_lossy(entry.line)))
    }

    fn flush(&mut self) -> Result<(), Problem> {
        self.stdout.flush().map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &std::io::Error) -> Problem {
    Problem::fail(
        "OUTPUT_FAILED",
        format!("standard output could not be written: {error}"),
    )
}

/// One line for a terminal: nothing in it steers one.
fn for_people(event: &Event) -> String {
    let findings: Vec<&str> = event.findings.iter().map(|one| one.code.as_str()).collect();
    let text = format!(
        "{} {:>6} {:<5} {:<11} {:<17} {:<12} {} {}",
        event.ts,
        event.seq,
        name(&event.level),
        name(&event.actor),
        name(&event.action),
        event.task_id,
        name(&event.status),
        findings.join(" ")
    );
    visible_line(text.trim_end())
}

/// Gives `each` the lines that are meant, in order.
fn walk(
    log: &Log,
    filter: &Filter,
    mut each: impl FnMut(&Entry<'_>) -> Result<ControlFlow<()>, Problem>,
) -> Result<(), Problem> {
    log.lines(filter.first(), |line| {
        if !filter.may_take(line) {
            return Ok(ControlFlow::Continue(()));
        }
        let event = Event::parse(line)?;
        if filter.takes(&event)
            && each(&Entry {
                line,
                event: &event,
            })?
            .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        if filter.ends_at(event.seq) {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Writes the log in another form. Every link between the lines that go out is checked on the way.
pub(super) fn export(session: &Session, arguments: &Export) -> Result<Reply, Problem> {
    let filter = Filter::since(arguments.since.as_deref())?;
    let mut out = Out::new(true);
    let mut writer = Writer::new(arguments.format);
    let mut before: Option<(u64, String)> = None;
    walk(session.store()?.log()?, &filter, |entry| {
        if let Some((seq, sha256)) = &before
            && *seq + 1 == entry.event.seq
            && *sha256 != entry.event.prev_sha256
        {
            return Err(Problem::fail(
                "LOG_BROKEN",
                format!(
                    "line {} of the audit log does not follow line {seq}",
                    entry.event.seq
                ),
            )
            .hint("look closer: baton audit verify"));
        }
        before = Some((entry.event.seq, digest::sha256(entry.line)));
        out.write(&writer.entry(entry))?;
        Ok(ControlFlow::Continue(()))
    })?;
    out.write(&writer.end())?;
    out.flush()?;
    Ok(Reply::payload(""))
}

/// Shows the lines that match; ends with 1 when none does.
pub(super) fn search(session: &Session, arguments: &Search, json: bool) -> Result<Reply, Problem> {
    let filter = Filter::of(&arguments.filter)?;
    let most = arguments.limit.unwrap_or(u64::MAX);
    let mut out = Out::new(json);
    let mut found = 0;
    if most > 0 {
        walk(session.store()?.log()?, &filter, |entry| {
            out.entry(entry)?;
            found += 1;
            Ok(if found < most {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
    }
    out.flush()?;
    Ok(Reply::payload("").code(u8::from(found == 0)))
}

/// Shows the last lines, and with `-f` those that come.
pub(super) fn tail(session: &Session, arguments: &Tail, json: bool) -> Result<Reply, Problem> {
    let log = session.store()?.log()?;
    let mut out = Out::new(json);
    let mut next = log.head()?.seq.saturating_sub(arguments.lines) + 1;
    loop {
        let head = log.head()?.seq;
        if head + 1 < next {
            let got = format!(
                "the audit log has {head} lines, {} were shown already",
                next - 1
            );
            return Err(Problem::fail("LOG_CUT", got).hint("look closer: baton audit verify"));
        }
        if head >= next {
            next = show(log, next, head, &mut out)?;
        }
        out.flush()?;
        if !arguments.follow {
            return Ok(Reply::payload(""));
        }
        thread::sleep(PAUSE);
    }
}

/// Shows lines `from` to `to`; says which comes next.
fn show(log: &Log, from: u64, to: u64, out: &mut Out) -> Result<u64, Problem> {
    let mut next = from;
    log.lines(from, |line| {
        let event = Event::parse(line)?;
        out.entry(&Entry {
            line,
            event: &event,
        })?;
        next = event.seq + 1;
        Ok(if next <= to {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    Ok(next)
}
