//! A line read where it lies: everything is held to the same types and bounds as [`super::Event`], and
//! nothing is copied that need not be. Checking the whole log lives on this.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{Action, EventState, EventStatus, Fields, Head, Level, MAX_LINE, broken, written};
use crate::envelope::{ApprovalEntry, Artifact, Decision, Finding};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::state::State;
use crate::{digest, wire};

/// As [`super::Event`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Glance<'a> {
    #[serde(borrow)]
    pub(super) ts: Text<'a>,
    pub(super) seq: u64,
    #[serde(borrow)]
    pub(super) event_id: Text<'a>,
    #[serde(borrow, deserialize_with = "wire::nullable")]
    pub(super) prev_event_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) prev_sha256: Text<'a>,
    #[serde(rename = "level")]
    pub(super) _level: Level,
    #[serde(rename = "actor")]
    pub(super) _actor: Actor,
    pub(super) action: Action,
    #[serde(borrow)]
    pub(super) skill: Text<'a>,
    #[serde(rename = "status")]
    pub(super) _status: EventStatus,
    #[serde(rename = "decision")]
    pub(super) _decision: Decision,
    #[serde(borrow)]
    pub(super) task_id: Text<'a>,
    pub(super) from_state: EventState,
    pub(super) to_state: EventState,
    #[serde(borrow)]
    pub(super) repo_ref: Text<'a>,
    #[serde(borrow)]
    pub(super) inputs_sha256: Text<'a>,
    #[serde(borrow)]
    pub(super) outputs_sha256: Text<'a>,
    #[serde(rename = "approvals")]
    pub(super) _approvals: Vec<ApprovalEntry>,
    #[serde(rename = "artifacts")]
    pub(super) _artifacts: Vec<Artifact>,
    #[serde(rename = "findings")]
    pub(super) _findings: Vec<Finding>,
    #[serde(rename = "meta")]
    pub(super) _meta: AnyObject,
}

impl<'a> Glance<'a> {
    /// Reads one line, which is expected to be number `expected`.
    ///
    /// # Errors
    /// `LOG_BROKEN` naming the line and the field.
    pub(super) fn parse(line: &'a [u8], expected: u64) -> Result<Self, Problem> {
        if line.len() >= MAX_LINE {
            let why = format!("it has {} bytes, at most {MAX_LINE} are read", line.len());
            return Err(broken(expected, &why));
        }
        // Once for the line is less than once for each of its strings.
        let text = std::str::from_utf8(line).unwrap_or_default();
        let read = written::read(text).or_else(|| serde_json::from_str(text).ok());
        let Some(glance) = read else {
            // The slow reader names the field.
            let why = super::Event::parse(line)
                .err()
                .map_or("it is no event".to_owned(), |problem| problem.message);
            return Err(broken(expected, &why));
        };
        let fields = Fields {
            ts: &glance.ts.0,
            seq: glance.seq,
            event_id: &glance.event_id.0,
            prev_event_id: glance.prev_event_id(),
            task_id: &glance.task_id.0,
            skill: &glance.skill.0,
            repo_ref: &glance.repo_ref.0,
            digests: [
                &glance.prev_sha256.0,
                &glance.inputs_sha256.0,
                &glance.outputs_sha256.0,
            ],
        };
        fields
            .check()
            .map_err(|why| broken(expected, &format!("audit event: {why}")))?;
        Ok(glance)
    }

    pub(super) fn event_id(&self) -> &str {
        &self.event_id.0
    }

    pub(super) fn into_event_id(self) -> Cow<'a, str> {
        self.event_id.0
    }

    pub(super) fn prev_event_id(&self) -> Option<&str> {
        self.prev_event_id.as_ref().map(|text| &*text.0)
    }

    pub(super) fn prev_sha256(&self) -> &str {
        &self.prev_sha256.0
    }

    pub(super) fn task_id(&self) -> &str {
        &self.task_id.0
    }

    /// Where it moves its task, if it does. A line that moves nothing says where its writer found the
    /// task, which somebody may have moved since.
    pub(super) fn moves_to(&self) -> Option<State> {
        let moves = self.task_id() != "-" && self.from_state != self.to_state;
        self.to_state.state().filter(|_| moves)
    }

    /// Whether it follows the line that ends at `head`.
    pub(super) fn follows(&self, head: &Head) -> Result<(), Problem> {
        self.links(head.seq, &head.sha256, head.event_id.as_deref())
    }

    /// Whether it follows line number `seq` with these names.
    pub(super) fn links(
        &self,
        seq: u64,
        sha256: &str,
        event_id: Option<&str>,
    ) -> Result<(), Problem> {
        let line = seq + 1;
        if self.seq != line {
            return Err(broken(
                line,
                &format!("seq is {}, expected {line}", self.seq),
            ));
        }
        if self.prev_sha256() != sha256 {
            let why = format!(
                "prev_sha256 is {}, the line before hashes to {sha256}",
                self.prev_sha256()
            );
            return Err(broken(line, &why));
        }
        if self.prev_event_id() != event_id {
            return Err(broken(line, "prev_event_id does not name the line before"));
        }
        Ok(())
    }

    /// The head that its line makes.
    pub(super) fn head(&self, line: &[u8]) -> Head {
        Head {
            seq: self.seq,
            event_id: Some(self.event_id().to_owned()),
            sha256: digest::sha256(line),
        }
    }
}

/// A string, borrowed unless it holds escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// An object with whatever in it.
pub(super) struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for AnyObject {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}
