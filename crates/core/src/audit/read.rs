//! Looking things up without reading the whole log: from the signed head backwards along the chain, or
//! one line by its place in the tree.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use baton_transparency::{Checkpoint, TreeRange, check_inclusion, inclusion, leaf_hash};

use super::checkpoint::rewritten;
use super::glance::Glance;
use super::index::Index;
use super::segments::Parts;
use super::{Action, Event, GENESIS, Head, Log, Receipt, broken};
use crate::digest;
use crate::problem::Problem;

/// The log at one moment, with its end tied to the signed head.
struct Anchor {
    parts: Parts,
    head: Head,
    checkpoint: Checkpoint,
    /// `None` when it could not be used; then every signed line was read and hashed instead.
    index: Option<Index>,
}

/// One line on the way back, read as far as it takes to know it.
pub struct Seen<'a> {
    line: &'a [u8],
    glance: &'a Glance<'a>,
}

impl Seen<'_> {
    /// Its number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.glance.seq
    }

    /// Its task; `-` for none.
    #[must_use]
    pub fn task_id(&self) -> &str {
        self.glance.task_id()
    }

    /// What happened.
    #[must_use]
    pub fn action(&self) -> Action {
        self.glance.action
    }

    /// Whether the life of a task begins here.
    #[must_use]
    pub fn begins(&self, task_id: &str) -> bool {
        self.action() == Action::TaskSubmitted && self.task_id() == task_id
    }

    /// The whole event.
    ///
    /// # Errors
    /// `LOG_BROKEN`.
    pub fn event(&self) -> Result<Event, Problem> {
        Event::parse(self.line)
    }

    /// Where it stands.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt {
            seq: self.seq(),
            event_id: self.glance.event_id().to_owned(),
            sha256: digest::sha256(self.line),
        }
    }
}

impl Log {
    /// Checks what can be checked without reading the log: the last checkpoint's signature, that the
    /// index has the signed root and holds the last signed line, and the chain of all lines after it.
    ///
    /// It finds a log that was cut off below its signed head, one that was written anew, and every
    /// change after the signed head. It does not read the lines before: a change there, with the index
    /// left alone, is found by [`Self::check`] and by whoever reads that line through this type.
    ///
    /// # Errors
    /// `LOG_REWRITTEN`, `LOG_BROKEN`, `LOG_MISSING`, `CHECKPOINT_…`, `LOG_KEY_MISSING`.
    pub fn quick_check(&self) -> Result<Head, Problem> {
        Ok(self.anchor()?.head)
    }

    /// Reads every event in order and checks the chain: numbers without a gap, every link right. It
    /// asks neither tree nor signatures.
    ///
    /// # Errors
    /// `LOG_MISSING`; `LOG_BROKEN` naming the first line that does not fit.
    pub fn verify(&self, mut each: impl FnMut(&Event, &Receipt)) -> Result<Head, Problem> {
        let parts = self.parts_at_rest()?;
        let mut head = Head::empty();
        parts.forwards(1, |line| {
            let glance = Glance::parse(line, head.seq + 1)?;
            glance.follows(&head)?;
            let event =
                Event::parse(line).map_err(|problem| broken(head.seq + 1, &problem.message))?;
            head = glance.head(line);
            let receipt = Receipt {
                seq: head.seq,
                event_id: event.event_id.clone(),
                sha256: head.sha256.clone(),
            };
            each(&event, &receipt);
            Ok(ControlFlow::Continue(()))
        })?;
        complete(&parts, &head)?;
        Ok(head)
    }

    /// Walks back from the last line, as long as `each` goes on, and checks the chain of what it walks.
    ///
    /// # Errors
    /// As [`Self::quick_check`], and what `each` says.
    pub fn back(
        &self,
        mut each: impl FnMut(&Seen<'_>) -> Result<ControlFlow<()>, Problem>,
    ) -> Result<(), Problem> {
        let anchor = self.anchor()?;
        let mut lines = anchor.parts.backwards()?;
        let (mut seq, mut sha256) = (anchor.head.seq, anchor.head.sha256);
        while seq > 0 {
            let line = lines.next()?.unwrap_or_default();
            if digest::sha256(&line) != sha256 {
                return Err(broken(seq, "the line after it names another SHA-256"));
            }
            let glance = Glance::parse(&line, seq)?;
            if glance.seq != seq {
                return Err(broken(seq, &format!("seq is {}", glance.seq)));
            }
            if each(&Seen {
                line: &line,
                glance: &glance,
            })?
            .is_break()
            {
                return Ok(());
            }
            glance.prev_sha256().clone_into(&mut sha256);
            seq -= 1;
        }
        if sha256 != GENESIS || lines.next()?.is_some() {
            return Err(broken(1, "the log does not begin with it"));
        }
        Ok(())
    }

    /// The events of one task in order, from the last time that it was submitted.
    ///
    /// # Errors
    /// As [`Self::back`].
    pub fn events_of(&self, task_id: &str) -> Result<Vec<(Event, Receipt)>, Problem> {
        let mut events = Vec::new();
        self.back(|seen| {
            if seen.task_id() == task_id {
                events.push((seen.event()?, seen.receipt()));
            }
            Ok(if seen.begins(task_id) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        events.reverse();
        Ok(events)
    }

    /// The events of several tasks, each in order from the last time that it was submitted, in one walk.
    ///
    /// # Errors
    /// As [`Self::back`].
    pub fn histories(
        &self,
        mut ids: HashSet<String>,
    ) -> Result<HashMap<String, Vec<Event>>, Problem> {
        let mut histories: HashMap<String, Vec<Event>> = HashMap::new();
        if ids.is_empty() {
            return Ok(histories);
        }
        self.back(|seen| {
            let id = seen.task_id();
            if ids.contains(id) {
                let event = seen.event()?;
                histories.entry(id.to_owned()).or_default().push(event);
                if seen.begins(id) {
                    ids.remove(id);
                }
            }
            Ok(match ids.is_empty() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        histories.values_mut().for_each(|events| events.reverse());
        Ok(histories)
    }

    /// Line `seq`, shown to be in the signed tree or chained to it; `None` when the log is shorter.
    ///
    /// # Errors
    /// As [`Self::quick_check`].
    pub fn line(&self, seq: u64) -> Result<Option<(Event, Receipt)>, Problem> {
        let anchor = self.anchor()?;
        if seq == 0 || seq > anchor.head.seq {
            return Ok(None);
        }
        let mut found = None;
        if seq > anchor.checkpoint.size {
            self.back(|seen| {
                if seen.seq() == seq {
                    found = Some((seen.event()?, seen.receipt()));
                }
                Ok(if seen.seq() <= seq {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            return Ok(found);
        }
        let line = anchor.parts.line(seq)?;
        let line = line.ok_or_else(|| broken(seq, "it is not in its place"))?;
        anchor.check_line(seq, &line)?;
        let event = Event::parse(&line).map_err(|problem| broken(seq, &problem.message))?;
        let receipt = Receipt {
            seq,
            event_id: event.event_id.clone(),
            sha256: digest::sha256(&line),
        };
        Ok(Some((event, receipt)))
    }

    fn anchor(&self) -> Result<Anchor, Problem> {
        // The head is read before the lines, so that there is no line which it says and we do not see.
        let checkpoint = self.sealed()?.checkpoint;
        let (parts, index, _) = self.at_rest()?;
        let tail = parts.tail()?;
        let size = checkpoint.size;
        if size > tail.head.seq {
            return Err(rewritten(&format!(
                "it ends at line {}, and its signed head says {size}",
                tail.head.seq
            )));
        }
        let mut anchor = Anchor {
            parts,
            head: Head::empty(),
            index: usable(index, &checkpoint)?,
            checkpoint,
        };
        if anchor.index.is_none() {
            anchor.check_all_lines()?;
        }
        anchor.walk_unsigned()?;
        if anchor.head != tail.head {
            return Err(broken(anchor.head.seq + 1, "the lines end before it"));
        }
        Ok(anchor)
    }
}

/// The index, if it has the signed root.
fn usable(index: Option<Index>, checkpoint: &Checkpoint) -> Result<Option<Index>, Problem> {
    let Some(index) = index else {
        return Ok(None);
    };
    let root = Log::root_by(&index, checkpoint.size)?;
    Ok((root == Some(checkpoint.root)).then_some(index))
}

impl Anchor {
    /// From the last signed line to the end, along the chain.
    fn walk_unsigned(&mut self) -> Result<(), Problem> {
        let size = self.checkpoint.size;
        let mut head = Head::empty();
        self.parts.forwards(size.max(1), |line| {
            let glance = Glance::parse(line, head.seq.max(size) + 1)?;
            if glance.seq == size {
                self.check_line(size, line)?;
            } else {
                glance.follows(&head)?;
            }
            head = glance.head(line);
            Ok(ControlFlow::Continue(()))
        })?;
        self.head = head;
        Ok(())
    }

    /// Whether line `seq`, one of the signed ones, is in the signed tree.
    fn check_line(&self, seq: u64, line: &[u8]) -> Result<(), Problem> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let (at, size) = (seq.saturating_sub(1), self.checkpoint.size);
        let proof = inclusion(at, size, index)?;
        check_inclusion(&leaf_hash(line), at, size, &proof, &self.checkpoint.root)
            .map_err(|error| rewritten(&format!("line {seq}: {error}")))
    }

    fn check_all_lines(&self) -> Result<(), Problem> {
        let (size, mut tree) = (self.checkpoint.size, TreeRange::new(0));
        self.parts.forwards(1, |line| {
            if tree.end() == size {
                return Ok(ControlFlow::Break(()));
            }
            tree.push(leaf_hash(line), &mut |_, _| {});
            Ok(ControlFlow::Continue(()))
        })?;
        if tree.root()? == self.checkpoint.root {
            return Ok(());
        }
        Err(rewritten(&format!(
            "its first {size} lines make another root than the one that was signed"
        )))
    }
}

/// Whether a reader that went through all lines saw the last one, and nothing stands after it.
pub(super) fn complete(parts: &Parts, head: &Head) -> Result<(), Problem> {
    let tail = parts.tail()?;
    if tail.torn > 0 {
        let problem = broken(head.seq + 1, "the line has no end");
        let hint =
            "a crash leaves such an end: the next line that is written sets it aside and says so";
        return Err(Problem {
            hints: vec![hint.to_owned()],
            ..problem
        });
    }
    if tail.head != *head {
        return Err(broken(head.seq + 1, "the lines end before it"));
    }
    Ok(())
}
