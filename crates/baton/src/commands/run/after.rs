//! What is looked at when a landing did not end as it should.

use super::Way;

impl Way<'_> {
    /// Whether the target has the task's change, although this run ended badly: killed before, stopped, or
    /// failed after the branch had moved. That is no incident of a task; its landing is to be finished.
    pub(super) fn has_landed(&mut self) -> bool {
        let landed = self
            .session()
            .and_then(|session| session.unrecorded_landing());
        let Ok(Some(landed)) = landed else {
            return false;
        };
        let problem = landed.refusal("LANDING_UNRECORDED");
        if let Some(last) = &mut self.last {
            last.hints.push(problem.message);
            last.hints.extend(problem.hints);
        }
        true
    }

    /// Forgets what was said of a candidate, but for the checkouts that are left without a branch.
    pub(super) fn keep_what_was_left(&mut self) {
        let done = self.last.take();
        let findings = done.iter().flat_map(|done| &done.envelope.findings);
        let left = findings.filter(|one| one.code == "CHECKOUT_LEFT_ALONE");
        self.left.extend(left.map(|one| one.message.clone()));
    }
}
