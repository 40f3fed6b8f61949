//! The eleven skills, in the order of the way through.

use baton_core::driver::Skill;

/// Every skill.
pub static SKILLS: [&Skill; 11] = [
    &stop_check::SKILL,
    &queue_scan::SKILL,
    &claim_lock::SKILL,
    &intake_validate::SKILL,
    &patch_draft::SKILL,
    &diff_risk_scan::SKILL,
    &gate_runner::SKILL,
    &decision_router::SKILL,
    &pr_merge_orchestrator::SKILL,
    &audit_append::SKILL,
    &incident_brief::SKILL,
];
