//! A line as it is made: what its writer says of the event is written down before the log is locked, and
//! what the log adds is put in front of it once it is known which line comes before.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Draft, EventState, EventStatus, Head, Level, MAX_LINE, Receipt};
use crate::envelope::{ApprovalEntry, Artifact, Decision, Finding};
use crate::policy::Actor;
use crate::problem::Problem;
use crate::{clock, digest};

/// The first fields of [`super::Event`], in its order.
#[derive(Serialize)]
struct Place<'a> {
    ts: &'a str,
    seq: u64,
    event_id: &'a str,
    prev_event_id: Option<&'a str>,
    prev_sha256: &'a str,
}

/// All others, in its order.
#[derive(Serialize)]
struct Said<'a> {
    level: Level,
    actor: Actor,
    action: super::Action,
    skill: &'a str,
    status: EventStatus,
    decision: Decision,
    task_id: &'a str,
    from_state: EventState,
    to_state: EventState,
    repo_ref: &'a str,
    inputs_sha256: &'a str,
    outputs_sha256: &'a str,
    approvals: &'a [ApprovalEntry],
    artifacts: &'a [Artifact],
    findings: &'a [Finding],
    meta: &'a Map<String, Value>,
}

/// An event that waits for its place.
pub(super) struct Ready {
    draft: Draft,
    /// What is said of it, as an object.
    said: Vec<u8>,
}

/// One line of the log, with its end.
pub(super) struct Line {
    pub(super) seq: u64,
    event_id: String,
    pub(super) bytes: Vec<u8>,
}

impl Line {
    /// The line without its end.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes)
    }

    pub(super) fn receipt(self) -> Receipt {
        Receipt {
            seq: self.seq,
            sha256: digest::sha256(self.body()),
            event_id: self.event_id,
        }
    }
}

impl Ready {
    pub(super) fn new(draft: Draft) -> Result<Self, Problem> {
        let said = written(&Said {
            level: draft.level,
            actor: draft.actor,
            action: draft.action,
            skill: &draft.skill,
            status: draft.status,
            decision: draft.decision,
            task_id: &draft.task_id,
            from_state: draft.from.into(),
            to_state: draft.to.into(),
            repo_ref: &draft.repo_ref,
            inputs_sha256: &draft.inputs_sha256,
            outputs_sha256: &draft.outputs_sha256,
            approvals: &draft.approvals,
            artifacts: &draft.artifacts,
            findings: &draft.findings,
            meta: &draft.meta,
        })?;
        Ok(Self { draft, said })
    }

    /// The line after the one that ends at `head`. One that would be too long loses findings, worst kept
    /// first, and says how many; the kept envelope still holds them all.
    pub(super) fn after(mut self, head: &Head) -> Result<Line, Problem> {
        let place = written(&Place {
            ts: &clock::rfc3339(clock::now()),
            seq: head.seq + 1,
            event_id: &self.draft.event_id,
            prev_event_id: head.event_id.as_deref(),
            prev_sha256: &head.sha256,
        })?;
        let mut omitted = 0;
        loop {
            // Two objects become one: a comma stands for the brackets between them.
            let (place, said) = (place.strip_suffix(b"}"), self.said.strip_prefix(b"{"));
            let parts = [place.unwrap_or_default(), said.unwrap_or_default()];
            let mut bytes = parts.join(&b',');
            bytes.push(b'\n');
            if bytes.len() <= MAX_LINE {
                return Ok(Line {
                    seq: head.seq + 1,
                    event_id: self.draft.event_id,
                    bytes,
                });
            }
            self = self.shortened(&mut omitted, bytes.len())?;
        }
    }

    fn shortened(self, omitted: &mut usize, length: usize) -> Result<Self, Problem> {
        let mut draft = self.draft;
        if draft.findings.is_empty() {
            return Err(Problem::fail(
                "LOG_LINE_TOO_LONG",
                format!("the event has {length} bytes, a line holds at most {MAX_LINE}"),
            )
            .hint("put what is large into an artifact and name it"));
        }
        draft
            .findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let keep = draft.findings.len() / 2;
        *omitted += draft.findings.len() - keep;
        draft.findings.truncate(keep);
        let number = (*omitted).into();
        draft.meta.insert("findings_omitted".to_owned(), number);
        Self::new(draft)
    }
}

fn written(object: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(object).map_err(|error| Problem::fail("LOG_WRITE_FAILED", error.to_string()))
}
