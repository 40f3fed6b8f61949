//! The user's checkouts of the target branch: a clean one follows a landing, any other is left alone
//! and told so.

use baton_core::envelope::{Finding, Severity};
use baton_core::git::{Obstacle, Oid, Repository};
use baton_core::problem::Problem;

/// The checkouts that are on the branch, each with what keeps it from following.
#[derive(Default)]
pub(crate) struct Checkouts {
    branch: String,
    all: Vec<(Repository, Option<Obstacle>)>,
}

impl Checkouts {
    pub(crate) fn of(repository: &Repository, branch: &str) -> Result<Self, Problem> {
        let all = repository.checkouts_of(branch)?.into_iter();
        Ok(Self {
            branch: branch.to_owned(),
            all: all.map(|checkout| (checkout, None)).collect(),
        })
    }

    /// Those whose index still holds the tree of `earlier`: a landing was killed after the reference
    /// moved and before they followed.
    pub(crate) fn behind(
        repository: &Repository,
        branch: &str,
        earlier: &Oid,
    ) -> Result<Self, Problem> {
        let mut behind = Self::of(repository, branch)?;
        let mut kept = Vec::new();
        for (checkout, obstacle) in behind.all {
            if checkout.index_is(earlier)? {
                kept.push((checkout, obstacle));
            }
        }
        behind.all = kept;
        Ok(behind)
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
        Self::behind(repository, branch, &base)?.follow(&base, commit)
    }

    /// Before the reference moves: whoever cannot follow stays on `base`, without a branch.
    pub(crate) fn step_aside(&mut self, base: &Oid, commit: &Oid) -> Result<(), Problem> {
        for (checkout, obstacle) in &mut self.all {
            *obstacle = checkout.obstacle(base, commit)?;
            if obstacle.is_some() {
                checkout.detach(base, base)?;
            }
        }
        Ok(())
    }

    /// The reference did not move after all.
    pub(crate) fn step_back(&self) -> Result<(), Problem> {
        for (checkout, obstacle) in &self.all {
            if obstacle.is_some() {
                checkout.attach(&self.branch)?;
            }
        }
        Ok(())
    }

    /// After the reference moved: files and index come along where nothing is in the way.
    pub(crate) fn follow(self, base: &Oid, commit: &Oid) -> Result<Vec<Finding>, Problem> {
        let mut findings = Vec::new();
        for (checkout, obstacle) in self.all {
            let obstacle = match obstacle {
                Some(obstacle) => Some(obstacle),
                None => {
                    let late = checkout.follow(base, commit)?;
                    if late.is_some() {
                        // Something came in between: it stays on what its files belong to.
                        checkout.detach(base, commit)?;
                    }
                    late
                }
            };
            if let Some(obstacle) = obstacle {
                findings.push(left_alone(&checkout, &self.branch, &obstacle, base));
            }
        }
        Ok(findings)
    }
}

fn left_alone(checkout: &Repository, branch: &str, obstacle: &Obstacle, base: &Oid) -> Finding {
    let folder = checkout.root.file_name().unwrap_or_default();
    let folder = folder.to_string_lossy();
    let folder = folder.escape_debug();
    let message = format!(
        "the checkout in {folder} was left alone, on {base} without a branch: {obstacle}. Catch up there when you like: git switch --no-overwrite-ignore {branch}"
    );
    Finding::new(Severity::Low, "CHECKOUT_LEFT_ALONE", message)
}
