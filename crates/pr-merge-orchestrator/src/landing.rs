//! The act: from an approved candidate to a moved reference.

use std::ops::ControlFlow;

use baton_core::audit::{Action, Draft, Level};
use baton_core::candidate::Candidate;
use baton_core::clock;
use baton_core::envelope::{
    ApprovalEntry, ApprovalState, Artifact, ArtifactKind, Finding, Severity, ToolClass,
};
use baton_core::git::{Merged, ObjectStore, Oid, PersonIdent, Repository, SigningKey};
use baton_core::outcome::Outcome;
use baton_core::outputs::{LandingMode, PrMerge};
use baton_core::policy::{self, Role, Signatory, Signing};
use baton_core::problem::Problem;
use baton_core::quorum::Purpose;
use baton_core::session::Session;
use baton_core::state::State;
use baton_core::store::RECENT;
use serde_json::json;

use crate::checkouts::Checkouts;
use crate::{SKILL, decision, denied, message, review};

/// How far a landing is, or what keeps it from beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It can begin.
    Ready,
    /// The commit is there already: a run before was cut off.
    Landed(Oid),
    /// The target is at this commit by now, and the change can be made anew on it.
    Moved(Oid),
    /// The target is at this commit by now, and these files cannot be merged.
    Conflict(Oid, Vec<String>),
}

/// Everything a landing needs at hand.
pub(crate) struct Landing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) candidate: &'a Candidate,
    pub(crate) repository: &'a Repository,
    pub(crate) objects: ObjectStore,
    pub(crate) policy: &'a policy::Landing,
    pub(crate) mode: LandingMode,
    /// The branch that moves or comes to be.
    pub(crate) branch: String,
    base: Oid,
    tree: Oid,
    /// What the landing could not do, and is no failure.
    findings: Vec<Finding>,
}

impl<'a> Landing<'a> {
    pub(crate) fn new(session: &'a Session, candidate: &'a Candidate) -> Result<Self, Problem> {
        let repository = session.repository()?;
        let mut landing = Self {
            session,
            candidate,
            repository,
            objects: session.store()?.objects(repository)?,
            policy: &session.policy()?.landing,
            mode: LandingMode::AutoMerge,
            branch: String::new(),
            base: Oid::parse(&candidate.base)?,
            tree: Oid::parse(&candidate.tree)?,
            findings: Vec::new(),
        };
        landing.aim(LandingMode::AutoMerge);
        Ok(landing)
    }

    /// Says where it goes; until then to the target.
    pub(crate) fn aim(&mut self, mode: LandingMode) {
        self.mode = mode;
        self.branch = match mode {
            LandingMode::AutoMerge => self.policy.target.clone(),
            LandingMode::PrOnly => self.policy.review_branch(&self.candidate.task_id),
        };
    }

    /// Says how a landing stands that has not happened. A change that cannot be merged with what its
    /// target holds by now is for people: it becomes a branch for review, on its own base.
    pub(crate) fn standing(&mut self) -> Result<Standing, Problem> {
        let is_there = match self.mode {
            LandingMode::AutoMerge => None,
            LandingMode::PrOnly => self.already_landed()?,
        };
        if let Some(commit) = is_there {
            return Ok(Standing::Landed(commit));
        }
        let moved = self.moved()?;
        if let Standing::Conflict(tip, paths) = &moved {
            let message = format!(
                "{} is at {tip} by now, and the change conflicts with it in {}; it becomes a branch for review",
                self.policy.target,
                paths.join(", ")
            );
            self.findings
                .push(Finding::new(Severity::Medium, "MERGE_CONFLICT", message));
            self.aim(LandingMode::PrOnly);
            if let Some(commit) = self.already_landed()? {
                return Ok(Standing::Landed(commit));
            }
        }
        Ok(moved)
    }

    /// The commit of a landing that was cut off after the reference moved: it is finished, not done
    /// twice. Others may have landed on top meanwhile. What another task, or a person, landed is not
    /// ours, even where it is the same.
    pub(crate) fn already_landed(&self) -> Result<Option<Oid>, Problem> {
        let Some(tip) = self.repository.tip(&self.branch)? else {
            return Ok(None);
        };
        if tip == self.base {
            return Ok(None);
        }
        let (id, store) = (&self.candidate.task_id, self.session.store()?);
        let lines = store.landing_lines(id, &self.branch, [&self.base, &self.tree])?;
        self.repository
            .landed_as(&self.base, &tip, &self.tree, &lines)
    }

    fn moved(&self) -> Result<Standing, Problem> {
        let target = &self.policy.target;
        self.repository.not_symbolic(target)?;
        let Some(tip) = self.repository.tip(target)? else {
            return Err(Problem::fail(
                "TARGET_MISSING",
                format!("there is no branch {target} to land on"),
            )
            .hint("make the branch, or correct landing.target in POLICY.json"));
        };
        if tip == self.base {
            return Ok(Standing::Ready);
        }
        let merged = self.objects.transplant(&self.base, &self.tree, &tip)?;
        Ok(match merged {
            Merged::Clean(tree) if tree == self.repository.tree_of(&tip)? => {
                return Err(self.nothing_left(&tip));
            }
            Merged::Clean(_) => Standing::Moved(tip),
            Merged::Conflict(paths) => Standing::Conflict(tip, paths),
        })
    }

    fn nothing_left(&self, tip: &Oid) -> Problem {
        let (id, target) = (&self.candidate.task_id, &self.policy.target);
        Problem::fail(
            "NOTHING_TO_LAND",
            format!("{target} is at {tip} and has the change of {id} already, by another landing or commit: nothing is left to land"),
        )
        .hint(format!("look at what landed there: git log {target}; where something is missing: baton retry {id}, with a patch of it"))
    }

    /// What is found about it so far.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }

    /// The classes that this landing does.
    pub(crate) fn classes(&self) -> Vec<ToolClass> {
        match self.mode {
            LandingMode::AutoMerge => vec![ToolClass::Merge],
            LandingMode::PrOnly if self.policy.push => vec![ToolClass::Pr, ToolClass::External],
            LandingMode::PrOnly => vec![ToolClass::Pr],
        }
    }

    /// Lands the candidate, or makes its branch.
    pub(crate) fn execute(
        mut self,
        standing: &Standing,
        approval: &ApprovalEntry,
    ) -> Result<Outcome, Problem> {
        review::may_leave(&self)?;
        let commit = match standing {
            Standing::Landed(commit) => commit.clone(),
            Standing::Moved(tip) => return Err(self.base_moved(tip)),
            Standing::Ready | Standing::Conflict(..) => self.act(approval)?,
        };
        self.compare(&commit)
            .map_err(|problem| self.after_move(problem, &commit))?;
        if self.mode == LandingMode::AutoMerge && matches!(standing, Standing::Landed(_)) {
            self.bring_along(&commit);
        }
        self.finished(&commit)
    }

    /// What a landing that was killed left behind follows now. Whatever goes wrong with that, the change
    /// has landed, which is to be recorded.
    fn bring_along(&mut self, commit: &Oid) {
        let healed = self.session.alone().and_then(|_alone| {
            self.repository.worktrees()?.put_back_on(&self.branch)?;
            Checkouts::heal(self.repository, &self.branch, commit)
        });
        self.findings.extend(healed.unwrap_or_else(|problem| {
            let branch = &self.branch;
            let why = format!(
                "the change landed, and the checkouts of {branch} could not be brought along: {problem}. Look before you commit there: git status"
            );
            vec![Finding::new(Severity::Medium, "CHECKOUT_LEFT_ALONE", why)]
        }));
    }

    /// Nobody may take what failed after the reference moved for a landing that did not happen.
    fn after_move(&self, problem: Problem, commit: &Oid) -> Problem {
        if problem.code == "LANDED_TREE_DIFFERS" {
            return problem;
        }
        let (id, branch) = (&self.candidate.task_id, &self.branch);
        let why = format!("{branch} was moved to {commit}, and what comes after failed: {problem}");
        Problem::fail("LANDING_UNRECORDED", why).hint(format!("baton run {id} finishes it"))
    }

    fn base_moved(&self, tip: &Oid) -> Problem {
        Problem::fail(
            "BASE_MOVED",
            format!(
                "{} is at {tip}, the candidate was made on {}",
                self.policy.target, self.base
            ),
        )
        .hint(format!(
            "baton run {} makes it anew on the new head: gates and approval count for one base only",
            self.candidate.task_id
        ))
    }

    /// Makes the commit and moves the reference.
    fn act(&mut self, approval: &ApprovalEntry) -> Result<Oid, Problem> {
        let started = self.record_start()?;
        let title = self.session.store()?.asked(self.session.task()?)?.title;
        let text = message::write(
            &title,
            self.candidate,
            decision(self.mode),
            &started,
            approval,
        );
        let commit = self.commit(&text)?;
        self.repository
            .receive(&self.objects, &commit, &self.base)?;
        match self.mode {
            LandingMode::AutoMerge => self.move_target(&commit)?,
            LandingMode::PrOnly => self.move_branch(&commit)?,
        }
        Ok(commit)
    }

    /// Moves the target, with the checkouts that stand on it.
    fn move_target(&mut self, commit: &Oid) -> Result<(), Problem> {
        let repository = self.repository;
        let _alone = self.session.alone()?;
        let mut worktrees = repository.worktrees()?;
        worktrees.not_at_work_on(&self.branch)?;
        // A landing that was killed before the reference moved may have left some without a branch.
        worktrees.put_back_on(&self.branch)?;
        if self.base_is_a_landing_cut_off()? {
            let left = Checkouts::heal(repository, &self.branch, &self.base)?;
            self.findings.extend(left);
            // Some of them may be off the branch by now.
            worktrees = repository.worktrees()?;
        }
        let mut checkouts = Checkouts::of(worktrees, &self.branch);
        checkouts.step_aside(repository, &self.base, commit)?;
        if let Err(problem) = self.move_branch(commit) {
            let left = checkouts.step_back(repository, &self.base);
            return Err(problem.with_findings(left));
        }
        self.findings.extend(checkouts.follow(&self.base, commit));
        Ok(())
    }

    /// Whether the base is a landing that was killed before it was recorded: then its checkouts may
    /// not have followed yet, and would show it as if the user had taken it back. It is looked for in
    /// the last lines only; an older one has long been looked after.
    fn base_is_a_landing_cut_off(&self) -> Result<bool, Problem> {
        let (mut started, mut ended, mut walked) = (false, false, 0);
        let is = |value: Option<&serde_json::Value>, expected: &str| {
            value.and_then(|value| value.as_str()) == Some(expected)
        };
        self.session.store()?.log()?.back(|seen| {
            walked += 1;
            if let Action::LandingStarted | Action::ChangeLanded = seen.action() {
                let event = seen.event()?;
                let meta = &event.meta;
                started |= event.action == Action::LandingStarted
                    && is(meta.get("tree"), &self.candidate.base_tree);
                ended |= event.action == Action::ChangeLanded
                    && is(meta.get("commit"), &self.candidate.base);
            }
            Ok(if ended || walked >= RECENT {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(started && !ended)
    }

    fn commit(&self, text: &str) -> Result<Oid, Problem> {
        let author = self.person(&self.policy.author);
        let committer = self.person(&self.policy.committer);
        let format = match self.policy.sign {
            Signing::None => {
                return self
                    .objects
                    .commit(&self.tree, &self.base, &author, &committer, text);
            }
            Signing::Ssh => "ssh",
            Signing::Gpg => "openpgp",
        };
        let key = SigningKey::of_operator(self.repository, format);
        let people = [&author, &committer];
        self.objects
            .commit_signed(&self.tree, &self.base, people, text, &key)
    }

    fn person(&self, who: &Signatory) -> PersonIdent {
        match who {
            Signatory::Role(Role::Operator) => self.repository.operator(),
            Signatory::Role(Role::Agent) => PersonIdent {
                name: format!("baton ({})", self.candidate.actor.name()),
                ..PersonIdent::baton()
            },
            Signatory::Fixed(person) => PersonIdent {
                name: person.name.clone(),
                email: person.email.clone(),
            },
        }
    }

    /// The one step that cannot be taken back, after a last look. Nobody can take the lock over, give
    /// or deny an approval in between.
    fn move_branch(&self, commit: &Oid) -> Result<(), Problem> {
        let store = self.session.store()?;
        store.fenced(self.session.merge_lock()?, || {
            self.session.check_stop()?;
            let id = self.session.task_id()?;
            if store.find(&id)? != Some(State::Pr) {
                return Err(moved_on(id.as_str()));
            }
            for class in self.classes() {
                let entry = self
                    .session
                    .candidate_approval(self.candidate, class, Purpose::Act)?;
                if entry.state != ApprovalState::Approved {
                    let why = entry.note.unwrap_or_default();
                    let why = format!("the approval does not count any more: {why}");
                    return Err(denied(class, &why));
                }
            }
            let old = match self.mode {
                LandingMode::AutoMerge => Some(&self.base),
                LandingMode::PrOnly => None,
            };
            let reason = format!("baton: {}", self.candidate.task_id);
            self.repository
                .move_branch(&self.branch, commit, old, &reason)
        })
    }

    /// The log names the landing before anything moves, so that no effect is without a record.
    fn record_start(&self) -> Result<String, Problem> {
        let mut draft = Draft::new(self.session.actor, Action::LandingStarted, SKILL.envelope)?
            .task(&self.candidate.task_id, Some(State::Pr), Some(State::Pr))
            .meta("branch", self.branch.clone())
            .meta("fence", self.session.merge_lock()?.fence())
            .meta("tree", self.candidate.tree.clone());
        draft.decision = decision(self.mode);
        draft.repo_ref.clone_from(&self.candidate.base);
        draft.inputs_sha256.clone_from(&self.candidate.patch_sha256);
        let event = draft.event_id.clone();
        self.session.store()?.log()?.append(draft)?;
        Ok(event)
    }

    /// Compares what landed with what was approved. If they differ, nothing else may land: the queue
    /// stops, and a person looks.
    fn compare(&self, commit: &Oid) -> Result<(), Problem> {
        let tree = self.repository.tree_of(commit)?;
        let tip = self.repository.tip(&self.branch)?;
        let holds = match &tip {
            Some(tip) => tip == commit || self.repository.is_ancestor(commit, tip)?,
            None => false,
        };
        if tree == self.tree && holds {
            return Ok(());
        }
        let tip = tip.map_or("nowhere".to_owned(), |tip| tip.to_string());
        let reason = format!(
            "{} is at {tip}, and {commit} with tree {} should be in it",
            self.branch, self.tree
        );
        self.stop(&reason)?;
        Err(Problem::zero_stop("LANDED_TREE_DIFFERS", reason).hint(
            "recovery R6: STOP is on; find out who moved the branch and compare it with the candidate, then: baton resume",
        ))
    }

    fn stop(&self, reason: &str) -> Result<(), Problem> {
        let store = self.session.store()?;
        let now = clock::rfc3339(clock::now());
        let fresh = store.set_stop(&format!(
            "{}\n",
            json!({"by": SKILL.name, "at": now, "reason": reason})
        ))?;
        let mut draft = Draft::new(self.session.actor, Action::StopSet, SKILL.envelope)?
            .task(&self.candidate.task_id, Some(State::Pr), Some(State::Pr))
            .meta("reason", reason)
            .meta("was_on", !fresh);
        draft.level = Level::Error;
        store.log()?.append(draft).map(drop)
    }

    /// Says what came of it; a branch for review goes out first.
    fn finished(self, commit: &Oid) -> Result<Outcome, Problem> {
        let (task, branch) = (&self.candidate.task_id, &self.branch);
        let mut plan = vec![format!(
            "done: {branch} is at {commit}, its tree is the approved one"
        )];
        let mut artifacts = vec![self.link(commit)];
        let mut pr_url = None;
        let (summary, action) = match self.mode {
            LandingMode::AutoMerge => (
                format!("{task} landed on {branch} as {commit}"),
                Action::ChangeLanded,
            ),
            LandingMode::PrOnly => {
                let out = review::publish(&self, commit)?;
                artifacts.push(out.body);
                plan.extend(out.did);
                pr_url = out.address;
                let at = pr_url.clone().unwrap_or_else(|| format!("at {commit}"));
                (
                    format!("{task} is branch {branch} for review, {at}"),
                    Action::PrBranchCreated,
                )
            }
        };
        let data = PrMerge {
            mode: self.mode,
            plan,
            pr_url,
        };
        let mut outcome = Outcome::ok(summary, &data)
            .action(action)
            .transition(State::Done)
            .artifacts(artifacts)
            .meta("commit", commit.to_string())
            .meta("branch", self.branch.clone());
        outcome.unlock = true;
        outcome.decision = Some(decision(self.mode));
        for finding in &self.findings {
            outcome = outcome.hint(finding.message.clone());
        }
        Ok(outcome.findings(self.findings))
    }

    fn link(&self, commit: &Oid) -> Artifact {
        let note = format!("commit={commit} {}", self.candidate.binding());
        let path = format!("refs/heads/{}", self.branch);
        Artifact::new(ArtifactKind::PrLink, path, note)
    }
}

/// The task was in `pr` when this run began.
pub(crate) fn moved_on(id: &str) -> Problem {
    let message = format!("task {id} is not in pr any more; another run was quicker");
    Problem::fail("LEASE_LOST", message).hint(format!("baton show {id}"))
}
