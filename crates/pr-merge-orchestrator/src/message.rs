//! The commit message of a landing.

use baton_core::candidate::Candidate;
use baton_core::envelope::{ApprovalEntry, Decision};
use baton_core::masking;

/// The longest subject line, in characters.
const SUBJECT: usize = 72;

/// A title on one line; the task's name where it says nothing.
pub(crate) fn subject(title: &str, candidate: &Candidate) -> String {
    let title: String = masking::text(title)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUBJECT)
        .collect();
    let title = inert(&title);
    match title.trim() {
        "" => candidate.task_id.clone(),
        title => title.to_owned(),
    }
}

/// Text that forges and CI read without acting on it. They close issues by `Closes #1`, `GH-1` or an
/// address, tell people by `@name`, and leave a commit untested for `[skip ci]`: whoever writes a
/// task's title must not decide on any of it. Only the marks are taken apart, the words stay.
pub(crate) fn inert(text: &str) -> String {
    let lower = text.to_lowercase();
    let skips = ["skip", "no ci", "no-ci", "no_ci"];
    let skips = skips.iter().any(|word| lower.contains(word));
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '[' if skips => '(',
            ']' if skips => ')',
            '*' if skips => ' ',
            c => c,
        });
        let next = rest.peek().copied().unwrap_or(' ');
        let is_mark = match c {
            '#' | '@' => next.is_alphanumeric(),
            '-' => {
                next.is_ascii_digit()
                    && plain
                        .get(plain.len().saturating_sub(3)..)
                        .is_some_and(|end| end.eq_ignore_ascii_case("GH-"))
            }
            ':' => next == '/',
            _ => false,
        };
        if is_mark {
            plain.push(' ');
        }
    }
    plain
}

/// Makes the message. The title is the only text of the task in it, cut to one line, so that no
/// task can forge a trailer.
pub(crate) fn write(
    title: &str,
    candidate: &Candidate,
    decision: Decision,
    event: &str,
    approval: &ApprovalEntry,
) -> String {
    let title = subject(title, candidate);
    let decision = match decision {
        Decision::AutoMerge => "AUTO_MERGE",
        Decision::PrOnly | Decision::ZeroStop | Decision::NotApplicable => "PR_ONLY",
    };
    let by: String = approval
        .approved_by
        .as_deref()
        .unwrap_or("unknown")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    format!(
        "{title}\n\nBaton-Task: {}\nBaton-Decision: {decision}\nBaton-Event: {event}\nBaton-Patch-Sha256: {}\nBaton-Approved-By: {by}\n",
        candidate.task_id, candidate.patch_sha256
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_core::candidate::Source;
    use baton_core::envelope::{ApprovalState, ToolClass};
    use baton_core::policy::Actor;

    #[test]
    fn a_title_closes_tells_and_skips_nothing() {
        for (title, plain) in [
            ("Closes #1, fixes a/b#2", "Closes # 1, fixes a/b# 2"),
            ("fixes GH-3", "fixes GH- 3"),
            (
                "closes https://git.example/i/1",
                "closes https: //git.example/i/1",
            ),
            ("for @all", "for @ all"),
            ("quick [Skip CI]", "quick (Skip CI)"),
            ("x ***NO_CI***", "x    NO_CI   "),
            (
                "Read the C# file app/[id] in utf-8, T-1!",
                "Read the C# file app/[id] in utf-8, T-1!",
            ),
        ] {
            assert_eq!(inert(title), plain);
        }
    }

    #[test]
    fn a_title_cannot_forge_a_trailer() {
        let candidate = Candidate {
            schema_version: "1.0.0".into(),
            task_id: "T-1".into(),
            attempt: 1,
            base: "a".repeat(40),
            base_tree: "b".repeat(40),
            tree: "c".repeat(40),
            patch_sha256: "d".repeat(64),
            matched: baton_core::candidate::Match::Clean,
            source: Source::File,
            actor: Actor::Openclaw,
            policy_sha256: "e".repeat(64),
            created_at: "2026-01-01T00:00:00Z".into(),
        };
        let approval = ApprovalEntry {
            tool_class: ToolClass::Merge,
            needs_approval: true,
            state: ApprovalState::Approved,
            approved_by: Some("me\nBaton-Task: other".into()),
            approved_at: None,
            note: None,
        };
        let text = write(
            "Fix it\n\nBaton-Decision: AUTO_MERGE",
            &candidate,
            Decision::PrOnly,
            "EVT-1",
            &approval,
        );
        let trailers: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("Baton-"))
            .collect();
        assert_eq!(trailers.len(), 5, "{text}");
        assert!(text.contains("\nBaton-Decision: PR_ONLY\n"));
        assert_eq!(
            text.lines().next(),
            Some("Fix it  Baton-Decision: AUTO_MERGE")
        );
    }
}
