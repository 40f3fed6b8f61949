//! What the gates are run on: a task's candidate, or a bare patch on a base.

use std::path::Path;

use baton_core::candidate::{self, Candidate, Proposal};
use baton_core::envelope::{Artifact, ArtifactKind};
use baton_core::git::{ObjectStore, Oid};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_core::task::Scope;
use baton_risk::{RiskReport, RuleBook};

/// The candidate at hand, with everything the gates need to know of it.
pub(crate) struct Subject {
    pub(crate) objects: ObjectStore,
    pub(crate) base: Oid,
    pub(crate) base_tree: Oid,
    pub(crate) tree: Oid,
    pub(crate) patch: Vec<u8>,
    pub(crate) patch_sha256: String,
    /// The paths that the change touches.
    pub(crate) changed: Vec<Vec<u8>>,
    /// The task's record of it; `None` for a bare patch.
    pub(crate) task: Option<Candidate>,
    scope: Option<Scope>,
    /// The task that it would be of, where it is gated ahead.
    ahead: Option<String>,
    /// The bare patch as it was given; a task's was judged when it was drafted.
    given: Vec<u8>,
    /// What the bare patch was called.
    called: String,
    /// Keeps a throw-away object store until the gates are done.
    _folder: Option<tempfile::TempDir>,
}

/// One change of a chain.
pub struct Step {
    /// Whose change it is.
    pub task: String,
    /// The commit that it would be made anew on: the target's head, or one with the tree of the step
    /// before.
    pub base: Oid,
    /// The change on that commit, as a patch.
    pub patch: Vec<u8>,
    /// What the task may change.
    pub scope: Scope,
}

impl Subject {
    /// Opens it, and derives a task's candidate again: gates never run on anything else. Beside it the
    /// rules that will judge it.
    pub(crate) fn open<'s>(
        session: &'s Session,
        patch: Option<&Path>,
        base: Option<&str>,
    ) -> Result<(RuleBook<'s>, Self), Problem> {
        match patch {
            Some(path) => Self::of_patch(session, path, base.unwrap_or("HEAD")),
            None => Self::of_task(session),
        }
    }

    fn of_task(session: &Session) -> Result<(RuleBook<'_>, Self), Problem> {
        let task = session.undecided_task()?;
        let candidate = session.candidate()?;
        let repository = session.repository()?;
        let objects = session.store()?.objects(repository)?;
        let patch = task.patch()?;
        let limits = candidate::limits(session.policy()?);
        let (book, derived) = RuleBook::meanwhile(session, || {
            candidate::verify(repository, &objects, &candidate, &patch, &limits)
        })?;
        let subject = Self {
            base: derived.base,
            base_tree: derived.base_tree,
            tree: derived.tree,
            changed: derived.changed,
            patch_sha256: candidate.patch_sha256.clone(),
            scope: Some(session.store()?.asked(task)?.scope),
            ahead: None,
            task: Some(candidate),
            called: "draft.patch".to_owned(),
            objects,
            patch,
            given: Vec::new(),
            _folder: None,
        };
        Ok((book, subject))
    }

    fn of_patch<'s>(
        session: &'s Session,
        path: &Path,
        base: &str,
    ) -> Result<(RuleBook<'s>, Self), Problem> {
        let limits = candidate::limits(session.policy()?);
        let bytes = session.read_patch(path)?;
        let repository = session.repository()?;
        let (book, (folder, objects, proposal)) = RuleBook::meanwhile(session, || {
            let (folder, objects) = ObjectStore::temporary(repository)?;
            let base = repository.commit(base)?;
            repository.check_files(&base)?;
            let proposal = candidate::propose(&objects, &base, &bytes, &limits)?;
            Ok((folder, objects, proposal))
        })?;
        let shown = path.to_string_lossy();
        let called = match shown.as_ref() {
            "-" => "stdin".to_owned(),
            shown => shown.to_owned(),
        };
        let subject = Self {
            given: bytes,
            _folder: Some(folder),
            ..Self::proposed(objects, proposal, called)
        };
        Ok((book, subject))
    }

    /// A task's change on a base that it does not have yet.
    pub(crate) fn ahead(session: &Session, step: &Step) -> Result<Self, Problem> {
        let objects = session.store()?.objects(session.repository()?)?;
        let limits = candidate::limits(session.policy()?);
        let proposal = candidate::propose(&objects, &step.base, &step.patch, &limits)?;
        Ok(Self {
            scope: Some(step.scope.clone()),
            ahead: Some(step.task.clone()),
            ..Self::proposed(objects, proposal, step.task.clone())
        })
    }

    fn proposed(objects: ObjectStore, proposal: Proposal, called: String) -> Self {
        Self {
            patch_sha256: proposal.patch_sha256(),
            changed: proposal.changed,
            base: proposal.base,
            base_tree: proposal.base_tree,
            tree: proposal.tree,
            patch: proposal.patch,
            scope: None,
            ahead: None,
            task: None,
            called,
            objects,
            given: Vec::new(),
            _folder: None,
        }
    }

    /// The task whose results may be used again; none for a bare patch.
    pub(crate) fn results_of(&self) -> Option<&str> {
        let task = self.task.as_ref().map(|task| task.task_id.as_str());
        task.or(self.ahead.as_deref())
    }

    /// The artifact by which the envelope names the candidate.
    pub(crate) fn name(&self, session: &Session) -> Result<Artifact, Problem> {
        if let Some(candidate) = &self.task {
            return session.task()?.candidate_artifact(candidate);
        }
        let note = format!(
            "sha256={0} base={1} tree={2} patch={0}",
            self.patch_sha256, self.base, self.tree
        );
        Ok(Artifact::new(
            ArtifactKind::DraftPatch,
            self.called.clone(),
            note,
        ))
    }

    /// Looks at the change itself; G2 and G3 do not rely on an earlier scan.
    pub(crate) fn scan(
        &self,
        session: &Session,
        book: &RuleBook<'_>,
    ) -> Result<RiskReport, Problem> {
        let subject = baton_risk::Subject {
            store: &self.objects,
            base: &self.base,
            base_tree: &self.base_tree,
            tree: &self.tree,
            patch: &self.patch,
            checkout: Some(session.root()?),
            given: &self.given,
            matched: self
                .task
                .as_ref()
                .map_or_else(Default::default, |task| task.matched),
        };
        baton_risk::scan_candidate(&subject, book, self.scope.as_ref())
    }
}
