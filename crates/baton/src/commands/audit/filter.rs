//! Which lines of the log are meant: flags that several verbs share.

use std::time::SystemTime;

use baton_core::audit::{Action, Event, Level};
use baton_core::clock;
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::task::TaskId;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The line of this number.
    Seq(u64),
    /// The lines of this time.
    Time(SystemTime),
}

impl Place {
    /// Reads `120` or `2026-03-04T05:06:07Z`.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Seq(seq));
        }
        clock::parse_rfc3339(text).map(Self::Time).ok_or_else(|| {
            let got = text.escape_debug();
            Problem::usage(format!(
                "got \"{got}\", expected a line's number or a time in UTC"
            ))
            .hint("for example: --since 120, or --since 2026-03-04T00:00:00Z")
        })
    }
}

/// The flags of search.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// About this task
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// With this action, such as CHANGE_LANDED
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// By this actor
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// At least as loud as this: INFO, WARN or ERROR
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// With this text anywhere in the line
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// From this line's number, or this time in UTC, on
    #[arg(long, value_name = "SEQ|TIME")]
    since: Option<String>,
    /// Up to this line's number, or this time in UTC
    #[arg(long, value_name = "SEQ|TIME")]
    until: Option<String>,
}

/// What must hold of a line; what is not asked for holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    task: Option<String>,
    action: Option<Action>,
    actor: Option<Actor>,
    level: Option<Level>,
    text: Option<String>,
    since: Option<Place>,
    until: Option<Place>,
}

impl Filter {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Problem> {
        let task = arguments.task.as_deref().map(TaskId::parse).transpose()?;
        Ok(Self {
            task: task.map(|id| id.to_string()),
            action: named("action", arguments.action.as_deref())?,
            actor: named("actor", arguments.by.as_deref())?,
            level: named("level", arguments.level.as_deref())?,
            text: arguments.text.as_deref().map(as_written),
            since: arguments.since.as_deref().map(Place::parse).transpose()?,
            until: arguments.until.as_deref().map(Place::parse).transpose()?,
        })
    }

    /// Everything from a place on.
    pub(super) fn since(place: Option<&str>) -> Result<Self, Problem> {
        Ok(Self {
            since: place.map(Place::parse).transpose()?,
            ..Self::default()
        })
    }

    /// The first line that can be meant.
    pub(super) fn first(&self) -> u64 {
        match self.since {
            Some(Place::Seq(seq)) => seq.max(1),
            _ => 1,
        }
    }

    /// Whether no line after number `seq` can be meant.
    pub(super) fn ends_at(&self, seq: u64) -> bool {
        matches!(self.until, Some(Place::Seq(last)) if seq >= last)
    }

    /// Whether the bytes can be of a line that is meant: asked before they are read as an event.
    pub(super) fn may_take(&self, line: &[u8]) -> bool {
        let holds = |text: &str| std::str::from_utf8(line).is_ok_and(|line| line.contains(text));
        self.text.as_deref().is_none_or(holds) && self.task.as_deref().is_none_or(holds)
    }

    /// Whether the event is meant; its bytes were asked before.
    pub(super) fn takes(&self, event: &Event) -> bool {
        let time = clock::parse_rfc3339(&event.ts);
        let from = match self.since {
            Some(Place::Seq(seq)) => event.seq >= seq,
            Some(Place::Time(begin)) => time.is_none_or(|time| time >= begin),
            None => true,
        };
        let to = match self.until {
            Some(Place::Seq(seq)) => event.seq <= seq,
            Some(Place::Time(end)) => time.is_none_or(|time| time <= end),
            None => true,
        };
        from && to
            && self.task.as_ref().is_none_or(|task| event.task_id == *task)
            && self.action.is_none_or(|action| event.action == action)
            && self.actor.is_none_or(|actor| event.actor == actor)
            && self.level.is_none_or(|level| event.level >= level)
    }
}

/// A value by the name that the log writes.
fn named<T: DeserializeOwned>(what: &str, name: Option<&str>) -> Result<Option<T>, Problem> {
    let read = |name: &str| {
        serde_json::from_value(Value::from(name)).map_err(|error| {
            let got = name.escape_debug();
            Problem::usage(format!("no {what} is called \"{got}\": {error}"))
        })
    };
    name.map(read).transpose()
}

/// A text as it stands inside a line: quotes and control characters are escaped there.
fn as_written(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let inner = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(&quoted).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(Place::parse("12").unwrap(), Place::Seq(12));
        let time = Place::parse("1970-01-01T00:00:01Z").unwrap();
        assert_eq!(
            time,
            Place::Time(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1))
        );
        for wrong in ["", "yesterday", "-3", "2026-03-04", "12 "] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_names_are_told() {
        let of = |arguments: Arguments| Filter::of(&arguments).map(drop);
        let action = |name: &str| {
            of(Arguments {
                action: Some(name.to_owned()),
                ..Arguments::default()
            })
        };
        assert!(action("CHANGE_LANDED").is_ok());
        assert!(
            action("NOTHING")
                .unwrap_err()
                .message
                .contains("CHANGE_LANDED")
        );
        assert!(
            of(Arguments {
                level: Some("LOUD".to_owned()),
                ..Arguments::default()
            })
            .is_err()
        );
        assert!(
            of(Arguments {
                by: Some("root".to_owned()),
                ..Arguments::default()
            })
            .is_err()
        );
        assert!(
            of(Arguments {
                task: Some("../x".to_owned()),
                ..Arguments::default()
            })
            .is_err()
        );
    }

    #[test]
    fn a_text_is_looked_for_as_the_line_writes_it() {
        let filter = Filter {
            text: Some(as_written("say \"hi\"\n")),
            ..Filter::default()
        };
        let line = |text: &str| serde_json::json!({"text": text}).to_string().into_bytes();
        assert!(filter.may_take(&line("I say \"hi\"\nto you")));
        assert!(!filter.may_take(&line("I say hi")));
    }
}
