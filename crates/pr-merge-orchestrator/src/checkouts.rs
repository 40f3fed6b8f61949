//! The user's checkouts of the target branch: a clean one follows a landing, any other is left alone
//! and told so.

use baton_core::envelope::{Finding, Severity};
use baton_core::git::{Obstacle, Oid, Repository, Worktree, Worktrees};
use baton_core::problem::Problem;

/// The checkouts that are on the branch, each with what keeps it from following.
#[derive(Default)]
pub(crate) struct Checkouts {
    branch: String,
    all: Vec<Checkout>,
}

struct Checkout {
    at: Worktree,
    /// What keeps it from following; its `HEAD` is off the branch then.
    aside: Option<Obstacle>,
}

impl Checkouts {
    pub(crate) fn of(worktrees: Worktrees, branch: &str) -> Self {
        let all = worktrees.on(branch).into_iter();
        Self {
            branch: branch.to_owned(),
            all: all.map(|at| Checkout { at, aside: None }).collect(),
        }
    }

    /// Those whose index still holds the tree of `earlier`: a landing was killed after the reference
    /// moved and before they followed.
    fn behind(mut self, earlier: &Oid) -> Result<Self, Problem> {
        let mut kept = Vec::new();
        for one in self.all {
            if one.at.out_of_reach().is_none() && one.at.checkout.index_is(earlier)? {
                kept.push(one);
            }
        }
        self.all = kept;
        Ok(self)
    }

    /// Brings along what a killed landing of `commit` left behind, and names what was left alone.
    pub(crate) fn heal(
        repository: &Repository,
        branch: &str,
        commit: &Oid,
    ) -> Result<Vec<Finding>, Problem> {
        let Some(base) = repository.parent(commit)? else {
            return Ok(Vec::new());
        };
        if repository.tip(branch)?.as_ref() != Some(commit) {
            return Ok(Vec::new());
        }
        let on_it = Self::of(repository.worktrees()?, branch);
        Ok(on_it.behind(&base)?.follow(&base, commit))
    }

    /// Before the reference moves: whoever cannot follow stays on `base`, without a branch. When one of
    /// them cannot be left so, none is.
    pub(crate) fn step_aside(
        &mut self,
        repository: &Repository,
        base: &Oid,
        commit: &Oid,
    ) -> Result<(), Problem> {
        let mut trouble = None;
        for one in &mut self.all {
            let Some(obstacle) = one.obstacle(base, commit) else {
                continue;
            };
            match one.at.checkout.detach(&self.branch, base, base) {
                Ok(()) => one.aside = Some(obstacle),
                Err(problem) => {
                    trouble = Some(format!("the checkout in {}: {problem}", one.folder()));
                    break;
                }
            }
        }
        let Some(why) = trouble else {
            return Ok(());
        };
        let next = "nothing was moved; let git write there (another git may have left a lock file), then run it again";
        Err(Problem::fail("BRANCH_NOT_MOVED", why)
            .hint(next)
            .with_findings(self.step_back(repository, base)))
    }

    /// The reference was not moved by this landing after all. Where somebody else moved it meanwhile, a
    /// checkout stays on what its files belong to, and that is told.
    pub(crate) fn step_back(&self, repository: &Repository, base: &Oid) -> Vec<Finding> {
        let mut findings = Vec::new();
        for one in &self.all {
            let Some(obstacle) = &one.aside else { continue };
            if one.back(repository, &self.branch, base).ok() != Some(true) {
                findings.push(one.left_alone(&self.branch, obstacle, base));
            }
        }
        findings
    }

    /// After the reference moved: files and index come along where nothing is in the way. Whatever goes
    /// wrong with a checkout, the change has landed.
    pub(crate) fn follow(self, base: &Oid, commit: &Oid) -> Vec<Finding> {
        let mut findings = Vec::new();
        for one in self.all {
            let late = || one.late(&self.branch, base, commit);
            if let Some(obstacle) = one.aside.clone().or_else(late) {
                findings.push(one.left_alone(&self.branch, &obstacle, base));
            }
        }
        findings
    }
}

impl Checkout {
    /// What keeps it from following; one that cannot be looked at does not follow.
    fn obstacle(&self, base: &Oid, commit: &Oid) -> Option<Obstacle> {
        self.at.out_of_reach().or_else(|| {
            let found = self.at.checkout.obstacle(base, commit);
            found.unwrap_or_else(|problem| Some(Obstacle::Other(problem.message)))
        })
    }

    /// Puts `HEAD` back, if the branch is still what the files belong to; says whether it was.
    fn back(&self, repository: &Repository, branch: &str, base: &Oid) -> Result<bool, Problem> {
        if repository.tip(branch)?.as_ref() != Some(base) {
            return Ok(false);
        }
        self.at.checkout.attach(branch)?;
        // Until now git kept nobody from moving it; from now on it does.
        match repository.tip(branch)? {
            Some(tip) if tip != *base => {
                self.at.checkout.detach(branch, base, &tip).map(|()| false)
            }
            _ => Ok(true),
        }
    }

    /// Brings it along, and says what came in between. Then it stays on what its files belong to.
    fn late(&self, branch: &str, base: &Oid, commit: &Oid) -> Option<Obstacle> {
        let followed = self.at.checkout.follow(base, commit);
        let late = followed.unwrap_or_else(|problem| Some(Obstacle::Other(problem.message)))?;
        match self.at.checkout.detach(branch, base, commit) {
            Ok(()) => Some(late),
            Err(problem) => Some(Obstacle::Other(format!(
                "{late}; its HEAD is still on {branch}, so that git shows the landing as taken back: {}",
                problem.message
            ))),
        }
    }

    fn folder(&self) -> String {
        let folder = self.at.folder.file_name().unwrap_or_default();
        folder.to_string_lossy().escape_debug().to_string()
    }

    fn left_alone(&self, branch: &str, obstacle: &Obstacle, base: &Oid) -> Finding {
        let switch = format!("git switch --no-overwrite-ignore {branch}");
        let next = match obstacle {
            Obstacle::Foreign => "Where this repository was moved: git worktree repair; where that worktree is gone: git worktree prune".to_owned(),
            Obstacle::Away => format!("Catch up there when it is back: {switch}"),
            _ => format!("Catch up there when you like: {switch}"),
        };
        let message = format!(
            "the checkout in {} was left alone, on {base} without a branch: {obstacle}. {next}",
            self.folder()
        );
        Finding::new(Severity::Low, "CHECKOUT_LEFT_ALONE", message)
    }
}
