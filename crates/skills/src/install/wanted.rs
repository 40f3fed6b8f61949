//! What an installed pack consists of.

use std::collections::BTreeMap;

use super::{Options, Platform};
use crate::lint;
use crate::pack::{self, SKILLS};

/// Where the one real copy lies.
pub(super) const REAL: &str = ".agents/skills";
/// Where Claude Code looks, and nowhere else.
pub(super) const CLAUDE: &str = ".claude/skills";
/// It lands changes, so an agent should not come upon it by itself.
const CAREFUL: &str = "pr-merge-orchestrator";
/// Codex's own file beside a skill; the others leave it alone.
const OPENAI: &str = "agents/openai.yaml";
const OPENAI_TEXT: &str = "policy:\n  allow_implicit_invocation: false\n";
const VERIFIERS: [(Platform, &str, &str); 4] = [
    (
        Platform::Claude,
        ".claude/agents/verifier.md",
        pack::VERIFIER_CLAUDE,
    ),
    (
        Platform::Codex,
        ".codex/agents/verifier.toml",
        pack::VERIFIER_CODEX,
    ),
    (
        Platform::Cursor,
        ".cursor/agents/verifier.md",
        pack::VERIFIER_CURSOR,
    ),
    (
        Platform::Copilot,
        ".github/agents/verifier.agent.md",
        pack::VERIFIER_COPILOT,
    ),
];
const COPILOT_HOME: &str = ".copilot/agents/verifier.agent.md";

type Files = BTreeMap<String, Vec<u8>>;
type Links = BTreeMap<String, String>;

/// The files and links below the root.
pub(super) fn tree(options: &Options) -> (Files, Links) {
    let (mut files, mut links) = (Files::new(), Links::new());
    if options.platforms.is_empty() {
        return (files, links);
    }
    let for_claude = options.platforms.contains(&Platform::Claude);
    for skill in SKILLS {
        let mut places = vec![REAL];
        if for_claude && options.copy {
            places.push(CLAUDE);
        } else if for_claude {
            links.insert(format!("{CLAUDE}/{}", skill.name), target(skill.name));
        }
        for place in places {
            for (path, text) in of_skill(&skill, options) {
                files.insert(format!("{place}/{}/{path}", skill.name), text.into_bytes());
            }
        }
    }
    if options.verifier {
        for (platform, path, text) in VERIFIERS {
            // The same folder has another name in a person's home.
            let path = match (platform, options.user) {
                (Platform::Copilot, true) => COPILOT_HOME,
                _ => path,
            };
            if options.platforms.contains(&platform) {
                files.insert(path.to_owned(), text.as_bytes().to_vec());
            }
        }
    }
    (files, links)
}

fn target(name: &str) -> String {
    format!("../../{REAL}/{name}")
}

/// A skill's files, with the keys that single platforms know where they were asked for.
fn of_skill(skill: &pack::Skill, options: &Options) -> Vec<(&'static str, String)> {
    let explicit = options.explicit_only.contains(skill.name);
    let mut files: Vec<_> = skill
        .files()
        .into_iter()
        .map(|(path, text)| (path, text.to_owned()))
        .collect();
    if explicit && let Some((_, text)) = files.first_mut() {
        *text = text.replacen("\n---\n", "\ndisable-model-invocation: true\n---\n", 1);
    }
    let for_codex = options.platforms.contains(&Platform::Codex);
    if for_codex && (explicit || skill.name == CAREFUL) {
        files.push((OPENAI, OPENAI_TEXT.to_owned()));
    }
    files
}

/// Whether a file at this path can have been put there by this program, in this or an older version.
pub(super) fn may_hold(path: &str) -> bool {
    if path == COPILOT_HOME || VERIFIERS.iter().any(|(_, known, _)| *known == path) {
        return true;
    }
    let inner = path
        .strip_prefix(REAL)
        .or_else(|| path.strip_prefix(CLAUDE));
    let Some(inner) = inner.and_then(|inner| inner.strip_prefix('/')) else {
        return false;
    };
    let Some((name, rest)) = inner.split_once('/') else {
        return false;
    };
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    lint::is_name(name) && rest.split('/').all(plain)
}

/// The same of a link.
pub(super) fn may_link(path: &str, to: &str) -> bool {
    let name = path
        .strip_prefix(CLAUDE)
        .and_then(|inner| inner.strip_prefix('/'));
    name.is_some_and(|name| lint::is_name(name) && to == target(name))
}
