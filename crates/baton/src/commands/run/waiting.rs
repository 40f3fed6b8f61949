//! Ways that end before their end and are no incident.

use super::Way;

/// What says nothing about the change and passes: a moved base, a forge or a database that does not answer, another
/// holder, a file for an operator to mend. The next run goes on from there.
const WAITS: [&str; 26] = [
    "APPROVAL_REQUIRED",
    "BASE_MOVED",
    "BRANCH_EXISTS",
    "BRANCH_IN_USE",
    "BRANCH_NOT_MOVED",
    "BRANCH_SYMBOLIC",
    "EXTERNAL_DENIED",
    "FILE_EXISTS",
    "FORGE_FAILED",
    "LANDING_BUSY",
    "LANDING_FENCED",
    "LANDING_UNRECORDED",
    "LEASE_LOST",
    "LOCK_CONFLICT",
    "NEED_INPUT",
    "PIPE_FAILED",
    "PUSH_FAILED",
    "REMOTE_MISSING",
    "REMOTE_REFUSED",
    "SIGNERS_DIFFER",
    "SIGNERS_INVALID",
    "SIGNING_FAILED",
    "STORE_UNREACHABLE",
    "TARGET_MISSING",
    "TASK_NOT_FOUND",
    "TOKEN_MISSING",
];

impl Way<'_> {
    /// Whether the last step said that the task only waits.
    pub(super) fn waits(&self) -> bool {
        let findings = self.last.iter().flat_map(|done| &done.envelope.findings);
        findings
            .map(|finding| finding.code.as_str())
            .any(|code| WAITS.contains(&code))
    }
}
