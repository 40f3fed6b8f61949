//! The pack as it stood when this program was built, so that installing needs no checkout.

/// A skill's files, by their paths below the skill's folder.
#[derive(Clone, Copy, Debug)]
pub struct Skill {
    /// The skill's name, which is its folder's.
    pub name: &'static str,
    /// The text of `SKILL.md`.
    pub skill: &'static str,
    /// The text of `references/examples.json`.
    pub examples: &'static str,
}

macro_rules! skills {
    ($($name:literal),* $(,)?) => {
        [$(Skill {
            name: $name,
            skill: include_str!(concat!("../../../skill-pack/", $name, "/SKILL.md")),
            examples: include_str!(concat!("../../../skill-pack/", $name, "/references/examples.json")),
        }),*]
    };
}

/// Every skill, in the order of the way through.
pub const SKILLS: [Skill; 11] = skills![
    "stop-check",
    "queue-scan",
    "claim-lock",
    "intake-validate",
    "patch-draft-request",
    "diff-risk-scan",
    "gate-runner",
    "decision-router",
    "pr-merge-orchestrator",
    "audit-append",
    "incident-brief",
];

impl Skill {
    /// The files with their paths below the skill's folder.
    #[must_use]
    pub fn files(&self) -> [(&'static str, &'static str); 2] {
        [
            ("SKILL.md", self.skill),
            ("references/examples.json", self.examples),
        ]
    }
}

/// The read-only agent that verifies, for Claude Code.
pub const VERIFIER_CLAUDE: &str = include_str!("../../../skill-pack/agents/claude/verifier.md");
/// The same for Codex.
pub const VERIFIER_CODEX: &str = include_str!("../../../skill-pack/agents/codex/verifier.toml");
/// The same for Cursor.
pub const VERIFIER_CURSOR: &str = include_str!("../../../skill-pack/agents/cursor/verifier.md");
/// The same for GitHub Copilot.
pub const VERIFIER_COPILOT: &str =
    include_str!("../../../skill-pack/agents/copilot/verifier.agent.md");
