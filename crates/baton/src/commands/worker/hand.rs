//! The task in the worker's hand: its lease is renewed while somebody drafts, and the draft ends when the
//! lease is lost or a signal comes.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use baton_core::audit::{Action, Draft};
use baton_core::caller::Caller;
use baton_core::clock::{self, Moment};
use baton_core::envelope::{ApprovalEntry, ToolClass};
use baton_core::lease::Lease;
use baton_core::policy::Actor;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::Claim;
use baton_core::task::TaskId;
use baton_core::terminal;

use crate::commands::signals::Signals;

/// How often the lock is looked at while somebody drafts.
const LOOK: Duration = Duration::from_secs(1);
/// How often the line on a terminal is drawn anew.
const DRAW: Duration = Duration::from_millis(500);

/// The worker's hand, empty or with one task in it.
pub(super) struct Hand {
    signals: Signals,
    drain: bool,
    grant: RefCell<Option<String>>,
    held: RefCell<Option<Held>>,
    drawn: Cell<Option<Instant>>,
}

struct Held {
    session: Session,
    id: TaskId,
    lease: Lease,
    length: Duration,
    began: Instant,
    looked: Instant,
    lost: Option<Problem>,
    /// Tokens of the reply, and how many come in a second.
    tokens: Option<(u64, f64)>,
}

impl Hand {
    pub(super) fn new(signals: Signals, drain: bool) -> Self {
        Self {
            signals,
            drain,
            grant: RefCell::new(None),
            held: RefCell::new(None),
            drawn: Cell::new(None),
        }
    }

    /// Says by which standing approval tasks may be moved.
    pub(super) fn set_grant(&self, grant: Option<String>) {
        self.grant.replace(grant);
    }

    /// Takes a claimed task into the hand. `session` is for the hand alone.
    ///
    /// # Errors
    /// As reading the policy.
    pub(super) fn hold_on(&self, session: Session, claim: &Claim) -> Result<(), Problem> {
        let length = Duration::from_secs(session.policy()?.caps.lease_seconds);
        self.held.replace(Some(Held {
            session,
            id: claim.task.id().clone(),
            lease: claim.lease.clone(),
            length,
            began: Instant::now(),
            looked: Instant::now(),
            lost: None,
            tokens: None,
        }));
        Ok(())
    }

    /// Gives the task back where it lies: the lock comes off, and the log says why. `failed` is the code of
    /// what went wrong, when this counts as a try. A task that is held by nobody or by another is left.
    ///
    /// # Errors
    /// Those of the log and the queue.
    pub(super) fn let_go(&self, reason: &str, failed: Option<&str>) -> Result<(), Problem> {
        self.wipe();
        let Some(held) = self.held.take() else {
            return Ok(());
        };
        let store = held.session.store()?;
        let task = store.task(&held.id)?;
        let state = task.state();
        store.let_go(&task, &held.lease, failed, || {
            let draft = held.event(Action::LeaseReleased, state)?;
            Ok(draft.meta("reason", reason))
        })?;
        Ok(())
    }

    fn wipe(&self) {
        if self.drawn.take().is_some() {
            // When standard error is gone, there is nobody to tell.
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn draw(&self, held: &Held) {
        let due = self.drawn.get().is_none_or(|drawn| drawn.elapsed() >= DRAW);
        if !due || !std::io::stderr().is_terminal() {
            return;
        }
        self.drawn.set(Some(Instant::now()));
        let mut line = format!("{}  {} s", held.id, held.began.elapsed().as_secs());
        if let Some((tokens, per_second)) = held.tokens {
            line.push_str(&format!("  {tokens} tokens, {per_second:.1} tokens/s"));
        }
        let line = terminal::visible_line(&line);
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r{line}\x1b[K").and_then(|()| stderr.flush());
    }
}

impl Held {
    fn event(&self, action: Action, state: State) -> Result<Draft, Problem> {
        let mut draft = event(&self.id, action, state, &self.lease)?;
        draft.approvals = vec![write_approval(&self.session)?];
        Ok(draft)
    }

    /// Looks whether the lock is still this one, and renews it when a third of it is over.
    fn look(&mut self) -> Result<(), Problem> {
        self.looked = Instant::now();
        let store = self.session.store()?;
        let task = store.task(&self.id)?;
        let held = task.lease()?;
        let is_ours =
            |held: &Lease| held.owner == self.lease.owner && held.fence == self.lease.fence;
        if !held.as_ref().is_some_and(is_ours) {
            let who = held.map_or("nobody".to_owned(), |held| held.owner);
            let why = format!(
                "task {} is held by {who} by now; what was drafted is thrown away",
                self.id
            );
            return Err(
                Problem::fail("LEASE_LOST", why).hint("leave the task to them: baton status")
            );
        }
        let now = Moment::now();
        let left = self.lease.left(now);
        if left.is_some_and(|left| left > self.length * 2 / 3) {
            return Ok(());
        }
        let draft = self.event(Action::LeaseRenewed, task.state())?;
        store.log()?.append(draft)?;
        let owner = self.lease.owner.clone();
        let renewed = store.renew(&task, &owner, self.length, now);
        self.lease = renewed.map_err(|mut problem| {
            // Between the look and the renewal somebody took it.
            if problem.code == "NOT_OWNER" {
                "LEASE_LOST".clone_into(&mut problem.code);
            }
            problem
        })?;
        Ok(())
    }
}

/// A log line about a lock, by the worker.
pub(super) fn event(
    id: &TaskId,
    action: Action,
    state: State,
    lease: &Lease,
) -> Result<Draft, Problem> {
    let draft = Draft::new(Actor::Openclaw, action, "baton")?;
    let draft = draft.task(id.as_str(), Some(state), Some(state));
    Ok(draft
        .meta("owner", lease.owner.clone())
        .meta("fence", lease.fence))
}

/// The approval by which the worker writes.
pub(super) fn write_approval(session: &Session) -> Result<ApprovalEntry, Problem> {
    let policy = session.policy()?;
    Ok(policy.authorize(Actor::Openclaw, ToolClass::Write, clock::now()))
}

impl Caller for Hand {
    fn halt(&self) -> Option<Problem> {
        if let Some(signal) = self
            .signals
            .first()
            .filter(|_| !self.drain || self.signals.is_urgent())
        {
            let why =
                format!("the worker was asked to end by {signal}; what was drafted is thrown away");
            return Some(
                Problem::fail("WORKER_ENDED", why).hint("start the worker again: baton worker"),
            );
        }
        let mut held = self.held.borrow_mut();
        let held = held.as_mut()?;
        if held.lost.is_none() && held.looked.elapsed() >= LOOK {
            held.lost = held.look().err();
        }
        self.draw(held);
        held.lost.clone()
    }

    fn fence(&self) -> Option<u64> {
        self.held.borrow().as_ref().map(|held| held.lease.fence)
    }

    fn hold(&self) -> Result<(), Problem> {
        let mut held = self.held.borrow_mut();
        let Some(held) = held.as_mut() else {
            return Ok(());
        };
        held.lost.clone().map_or_else(|| held.look(), Err)
    }

    fn progress(&self, tokens: u64, per_second: f64) {
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.tokens = Some((tokens, per_second));
        }
    }

    fn tell(&self, line: &str) {
        self.wipe();
        terminal::say(line);
    }

    fn grant(&self) -> Option<String> {
        self.grant.borrow().clone()
    }
}
