//! The act: from an approved candidate to a moved reference.

use baton_core::audit::{Action, Draft};
use baton_core::candidate::Candidate;
use baton_core::envelope::{ApprovalEntry, Artifact, ArtifactKind, Finding, Severity, Status};
use baton_core::git::{CheckoutState, ObjectStore, Oid, PersonIdent, Repository};
use baton_core::outcome::Outcome;
use baton_core::outputs::{LandingMode, PrMerge};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::state::State;

use crate::{SKILL, decision, message};

/// Everything a landing needs at hand.
struct Landing<'a> {
    session: &'a Session,
    candidate: &'a Candidate,
    repository: &'a Repository,
    objects: ObjectStore,
    mode: LandingMode,
    /// The branch that moves or comes to be.
    branch: String,
    base: Oid,
    tree: Oid,
}

/// Lands the candidate, or makes its branch.
pub(crate) fn execute(
    session: &Session,
    candidate: &Candidate,
    mode: LandingMode,
    approval: &ApprovalEntry,
) -> Result<Outcome, Problem> {
    let repository = session.repository()?;
    let landing = &session.policy()?.landing;
    let branch = match mode {
        LandingMode::AutoMerge => landing.target.clone(),
        LandingMode::PrOnly => format!("{}{}", landing.branch_prefix, candidate.task_id),
    };
    let landing = Landing {
        session,
        candidate,
        repository,
        objects: session.store()?.objects(repository)?,
        mode,
        branch,
        base: Oid::parse(&candidate.base)?,
        tree: Oid::parse(&candidate.tree)?,
    };
    if let Some(commit) = landing.already_landed()? {
        return landing.finished(&commit, landing.checkout_left_behind(&commit)?);
    }
    landing.check_base()?;
    let checkout = landing.check_checkout()?;
    landing.act(approval, &checkout)
}

impl Landing<'_> {
    /// A landing that was cut off after the reference moved is finished, not done twice.
    fn already_landed(&self) -> Result<Option<Oid>, Problem> {
        let Some(tip) = self.repository.tip(&self.branch)? else {
            return Ok(None);
        };
        if tip == self.base || self.repository.tree_of(&tip)? != self.tree {
            return Ok(None);
        }
        let parent = self.repository.commit(&format!("{tip}^"));
        Ok(parent
            .is_ok_and(|parent| parent == self.base)
            .then_some(tip))
    }

    /// Brings a checkout along that a killed landing left on the base. Where it followed already this
    /// changes nothing, and what the user changed elsewhere stays.
    fn checkout_left_behind(&self, commit: &Oid) -> Result<Option<Problem>, Problem> {
        if self.repository.current_branch()?.as_deref() != Some(self.branch.as_str()) {
            return Ok(None);
        }
        Ok(self
            .repository
            .update_checkout(&self.base, commit, false)
            .err())
    }

    fn check_base(&self) -> Result<(), Problem> {
        let target = &self.session.policy()?.landing.target;
        let id = &self.candidate.task_id;
        match self.repository.tip(target)? {
            Some(tip) if tip == self.base => Ok(()),
            tip => {
                let tip = tip.map_or("nowhere".to_owned(), |tip| tip.to_string());
                Err(Problem::fail("BASE_MOVED", format!("{target} is at {tip}, the candidate was made on {}", self.base))
                    .hint(format!("baton retry {id}, then run it again: gates and approval count for one base only")))
            }
        }
    }

    fn check_checkout(&self) -> Result<CheckoutState, Problem> {
        let state = match self.mode {
            LandingMode::AutoMerge => self.repository.checkout_state(&self.branch)?,
            LandingMode::PrOnly => CheckoutState::Elsewhere,
        };
        match &state {
            CheckoutState::Elsewhere | CheckoutState::Clean => Ok(state),
            CheckoutState::Dirty(paths) => {
                let shown: Vec<_> = paths.iter().take(5).map(String::as_str).collect();
                Err(Problem::fail(
                    "CHECKOUT_DIRTY",
                    format!(
                        "{} is checked out with changes of your own in {}",
                        self.branch,
                        shown.join(", ")
                    ),
                )
                .hint(format!(
                    "commit or stash them, then: baton run {}",
                    self.candidate.task_id
                )))
            }
            CheckoutState::OtherWorktree(folder) => Err(Problem::fail(
                "CHECKOUT_DIRTY",
                format!("{} is checked out in {folder}", self.branch),
            )
            .hint("check another branch out there, then run it again")),
        }
    }

    fn act(&self, approval: &ApprovalEntry, checkout: &CheckoutState) -> Result<Outcome, Problem> {
        let started = self.record_start()?;
        let title = self.session.task()?.task()?.title;
        let text = message::write(
            &title,
            self.candidate,
            decision(self.mode),
            &started,
            approval,
        );
        let author = PersonIdent {
            name: format!("baton ({})", self.candidate.actor.name()),
            email: "baton@localhost".to_owned(),
        };
        let commit = self.objects.commit(
            &self.tree,
            &self.base,
            &author,
            &self.repository.operator(),
            &text,
        )?;
        self.repository
            .receive(&self.objects, &commit, &self.base)?;
        if *checkout == CheckoutState::Clean {
            self.repository.update_checkout(&self.base, &commit, true)?;
        }
        // The last look before the one step that cannot be taken back.
        self.session.check_stop()?;
        let old = match self.mode {
            LandingMode::AutoMerge => Some(&self.base),
            LandingMode::PrOnly => None,
        };
        self.repository.move_branch(
            &self.branch,
            &commit,
            old,
            &format!("baton: {}", self.candidate.task_id),
        )?;
        let trouble = match checkout {
            CheckoutState::Clean => self
                .repository
                .update_checkout(&self.base, &commit, false)
                .err(),
            _ => None,
        };
        self.finished(&commit, trouble)
    }

    /// The log names the landing before anything moves, so that no effect is without a record.
    fn record_start(&self) -> Result<String, Problem> {
        let mut draft = Draft::new(self.session.actor, Action::LandingStarted, SKILL.envelope)?
            .task(&self.candidate.task_id, Some(State::Pr), Some(State::Pr))
            .meta("branch", self.branch.clone())
            .meta("tree", self.candidate.tree.clone());
        draft.decision = decision(self.mode);
        draft.repo_ref.clone_from(&self.candidate.base);
        draft.inputs_sha256.clone_from(&self.candidate.patch_sha256);
        let event = draft.event_id.clone();
        self.session.store()?.log()?.append(draft)?;
        Ok(event)
    }

    /// Compares what landed with what was approved, and says what came of it.
    fn finished(&self, commit: &Oid, trouble: Option<Problem>) -> Result<Outcome, Problem> {
        let tip = self.repository.tip(&self.branch)?;
        let landed_tree = tip
            .as_ref()
            .map(|tip| self.repository.tree_of(tip))
            .transpose()?;
        if landed_tree.as_ref() != Some(&self.tree) {
            return Err(Problem::zero_stop(
                "LANDED_TREE_DIFFERS",
                format!("{} is at {tip:?} with tree {landed_tree:?}, approved was {}", self.branch, self.tree),
            )
            .hint("recovery R6: compare the branch with the candidate, and stop the queue: baton stop"));
        }
        let (summary, action) = match self.mode {
            LandingMode::AutoMerge => (
                format!(
                    "{} landed on {} as {commit}",
                    self.candidate.task_id, self.branch
                ),
                Action::ChangeLanded,
            ),
            LandingMode::PrOnly => (
                format!(
                    "{} is branch {} for review, at {commit}",
                    self.candidate.task_id, self.branch
                ),
                Action::PrBranchCreated,
            ),
        };
        let plan = vec![format!(
            "done: {} is at {commit}, its tree is the approved one",
            self.branch
        )];
        let status = if trouble.is_some() {
            Status::Partial
        } else {
            Status::Ok
        };
        let mut outcome = Outcome::new(
            status,
            summary,
            &PrMerge {
                mode: self.mode,
                plan,
                pr_url: None,
            },
        )
        .action(action)
        .transition(State::Done)
        .artifacts([self.link(commit)?])
        .meta("commit", commit.to_string())
        .meta("branch", self.branch.clone());
        outcome.unlock = true;
        outcome.decision = Some(decision(self.mode));
        if let Some(problem) = trouble {
            outcome.hints.clone_from(&problem.hints);
            outcome = outcome.findings([Finding::new(
                Severity::Medium,
                &problem.code,
                problem.message,
            )]);
        }
        Ok(outcome)
    }

    fn link(&self, commit: &Oid) -> Result<Artifact, Problem> {
        let note = format!("commit={commit} {}", self.candidate.binding());
        Ok(Artifact::new(
            ArtifactKind::PrLink,
            format!("refs/heads/{}", self.branch),
            note,
        ))
    }
}
