//! `docs/skills/`: what its pages say of policy and tools is made from them. Run with BATON_BLESS=1 to
//! write it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use baton_core::driver::Upstream;
use baton_core::envelope::ToolClass;
use baton_core::policy::{Access, Actor, Policy};
use serde::Deserialize;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/skills")
}

fn policy_bytes() -> Vec<u8> {
    std::fs::read(folder().join("../../ssot/POLICY.json")).unwrap()
}

fn policy() -> Policy {
    Policy::parse(&policy_bytes()).unwrap()
}

const ACTORS: [Actor; 5] = [
    Actor::Openclaw,
    Actor::Cursor,
    Actor::ClaudeCode,
    Actor::Human,
    Actor::System,
];

fn classes(of: &[ToolClass]) -> String {
    let names: Vec<_> = of.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn skills() -> String {
    let mut text = String::from(
        "| skill | program | what it is for | classes | standard input | while STOP is on |\n|---|---|---|---|---|---|\n",
    );
    for skill in baton::SKILLS {
        let input = match skill.upstream {
            Upstream::Never => "never read",
            Upstream::PassOn => "the skill before; passes a bad end on",
            Upstream::Act => "the skill before; acts on a bad end",
        };
        let stop = if skill.acts_under_stop {
            "runs"
        } else {
            "ZERO_STOP"
        };
        let (name, program, about) = (skill.envelope, skill.name, skill.about);
        writeln!(text, "| [{name}](../../skill-pack/{name}/SKILL.md) | `{program}` | {about} | {} | {input} | {stop} |", classes(skill.classes)).unwrap();
    }
    text
}

/// What a policy does not say of a class.
struct Card {
    class: ToolClass,
    what: &'static str,
    denied: &'static str,
    recorded: &'static str,
    /// How the names of the caps that bound it begin.
    caps: &'static [&'static str],
}

const CARDS: [Card; 8] = [
    Card {
        class: ToolClass::Read,
        what: "Looking at the queue, the policy, a candidate or a diff.",
        denied: "a queue or a policy that is reached through a link",
        recorded: "every result that is not OK",
        caps: &["max_context"],
    },
    Card {
        class: ToolClass::Write,
        what: "Adding files to a task's own folder and lines to the log.",
        denied: "overwriting; anything outside the queue; bytes that a person rejected",
        recorded: "before the write counts, with the SHA-256 of each file",
        caps: &["max_file", "max_patch", "max_changed"],
    },
    Card {
        class: ToolClass::Move,
        what: "Taking a task from one state to the next.",
        denied: "a move without the lock or with an older fencing number; a state that does not follow",
        recorded: "before the move, with both states",
        caps: &["lease", "max_attempts"],
    },
    Card {
        class: ToolClass::Exec,
        what: "Running the policy's gate commands on a candidate, behind walls: no network, no home, no queue.",
        denied: "running below the minimum isolation; commands that the change brings along",
        recorded: "start and end, with exit code, isolation reached and evidence for each gate",
        caps: &["gate"],
    },
    Card {
        class: ToolClass::Pr,
        what: "Making a branch for review, pushing it, asking a forge for a review.",
        denied: "a candidate without an approval of its own; a decision of ZERO_STOP",
        recorded: "before the branch is made, with its name and the approval",
        caps: &[],
    },
    Card {
        class: ToolClass::Merge,
        what: "Moving the target branch forward by exactly the candidate.",
        denied: "as for PR; a decision of PR_ONLY; a tree that differs in one byte",
        recorded: "before the branch moves and after, with both commits",
        caps: &[],
    },
    Card {
        class: ToolClass::External,
        what: "Sending anything to a host: a branch for review (pr-merge-orchestrator, with `landing.push`), a prompt to a model server that is not this machine (patch-draft-request).",
        denied: "every host and purpose that the policy does not name",
        recorded: "with the run that needed it",
        caps: &[],
    },
    Card {
        class: ToolClass::Costly,
        what: "What costs money or much time, such as a model's answer (patch-draft-request).",
        denied: "going over a cap",
        recorded: "with the run that caused it",
        caps: &["cost", "tokens", "draft"],
    },
];

fn cards() -> String {
    let policy = policy();
    let raw: Value = serde_json::from_slice(&policy_bytes()).unwrap();
    let mut text = String::new();
    for card in CARDS {
        let uses = baton::SKILLS
            .iter()
            .filter(|skill| skill.classes.contains(&card.class));
        let uses = uses.map(|skill| skill.envelope.to_owned()).collect();
        let actors = ACTORS.iter().map(|actor| {
            format!(
                "{} {}",
                actor.name(),
                access(policy.access(*actor, card.class))
            )
        });
        let standing = policy
            .standing_approvals
            .iter()
            .filter(|one| one.tool_classes.contains(&card.class));
        let standing = standing
            .map(|one| format!("`{}` until {} ({})", one.id, one.until, one.reason))
            .collect();
        let caps = raw["caps"].as_object().unwrap().iter();
        let caps = caps.filter(|(name, _)| card.caps.iter().any(|cap| name.starts_with(cap)));
        let caps = caps
            .map(|(name, value)| format!("`{name}` {value}"))
            .collect();
        write!(text, "## {}\n\n{}\n\n- skills that always use it: {}\n- actors: {}\n- standing approvals: {}\n- denied always: {}\n- recorded: {}\n- caps: {}\n\n",
            card.class, card.what, listed(uses), listed(actors.collect()), listed(standing), card.denied, card.recorded, listed(caps)).unwrap();
    }
    let (exceptions, least) = (
        policy.external_exceptions.len(),
        policy.isolation.minimum.name(),
    );
    writeln!(text, "EXTERNAL exceptions in the default policy: {exceptions}. Minimum isolation for EXEC: {least}.").unwrap();
    text
}

fn listed(list: Vec<String>) -> String {
    match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(", "),
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Allow => "allow",
        Access::Limited => "limited",
        Access::Deny => "deny",
    }
}

fn matrix() -> String {
    let whole = policy().render_approval_matrix();
    whole.trim_end().to_owned() + "\n"
}

fn actors() -> String {
    let policy = policy();
    let mut text = String::from("| skill | classes |");
    for actor in ACTORS {
        write!(text, " {} |", actor.name()).unwrap();
    }
    text += "\n|---|---|---|---|---|---|---|\n";
    for skill in baton::SKILLS {
        write!(text, "| {} | {} |", skill.envelope, classes(skill.classes)).unwrap();
        for actor in ACTORS {
            let answers: Vec<_> = skill
                .classes
                .iter()
                .map(|class| answer(&policy, actor, *class))
                .collect();
            let worst = ["no", "asks", "yes"]
                .into_iter()
                .find(|one| answers.contains(one))
                .unwrap();
            write!(text, " {worst} |").unwrap();
        }
        text.push('\n');
    }
    text
}

fn answer(policy: &Policy, actor: Actor, class: ToolClass) -> &'static str {
    let stands = |one: &&baton_core::policy::StandingApproval| {
        one.actors.contains(&actor) && one.tool_classes.contains(&class)
    };
    match policy.access(actor, class) {
        Access::Deny => "no",
        _ if policy.standing_approvals.iter().any(|one| stands(&one)) => "yes",
        _ => "asks",
    }
}

fn recovery() -> String {
    let policy = policy();
    let mut text = String::from("| id | what | called by | when |\n|---|---|---|---|\n");
    for one in &policy.recovery {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            one.id, one.title, one.called_by, one.trigger
        )
        .unwrap();
    }
    for one in &policy.recovery {
        write!(
            text,
            "\n## {} {}\n\n{}\n\n",
            one.id, one.title, one.definition
        )
        .unwrap();
        for (index, step) in one.procedure.iter().enumerate() {
            writeln!(text, "{}. {step}", index + 1).unwrap();
        }
    }
    text
}

/// The prompts for one skill.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompts {
    yes: Vec<String>,
    no: Vec<NearMiss>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NearMiss {
    prompt: String,
    instead: Option<String>,
}

fn prompts() -> BTreeMap<String, Prompts> {
    serde_json::from_slice(&std::fs::read(folder().join("triggers.json")).unwrap()).unwrap()
}

fn is_korean(text: &str) -> bool {
    text.chars().any(|c| ('가'..='힣').contains(&c))
}

fn triggers() -> String {
    let all = prompts();
    let mut text = String::from(
        "| skill | should trigger | near misses | of all, Korean |\n|---|---|---|---|\n",
    );
    for skill in baton::SKILLS {
        let one = &all[skill.envelope];
        let both = one.yes.iter().chain(one.no.iter().map(|miss| &miss.prompt));
        let korean = both.filter(|prompt| is_korean(prompt)).count();
        writeln!(
            text,
            "| {} | {} | {} | {korean} |",
            skill.envelope,
            one.yes.len(),
            one.no.len()
        )
        .unwrap();
    }
    text
}

const PAGES: [(&str, &[(&str, fn() -> String)]); 5] = [
    ("SKILL_MAP.md", &[("skills", skills)]),
    ("TOOL_POLICY_CARDS.md", &[("cards", cards)]),
    (
        "APPROVAL_MATRIX.md",
        &[("matrix", matrix), ("actors", actors)],
    ),
    ("RECOVERY_PLAYBOOK.md", &[("recovery", recovery)]),
    ("TRACE_EVALS_PLAN.md", &[("triggers", triggers)]),
];

#[test]
fn what_the_pages_say_is_what_policy_and_tools_say() {
    for (page, blocks) in PAGES {
        let path = folder().join(page);
        let found = std::fs::read_to_string(&path).unwrap();
        let mut expected = found.clone();
        for (name, render) in blocks {
            let begin = format!("<!-- from: {name} -->\n");
            let (before, rest) = expected
                .split_once(&begin)
                .unwrap_or_else(|| panic!("{page}: {name}"));
            let (_, after) = rest.split_once("<!-- end -->").unwrap();
            expected = format!("{before}{begin}{}<!-- end -->{after}", render());
        }
        if std::env::var_os("BATON_BLESS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        } else {
            assert!(
                found == expected,
                "{page} drifted; run the tests with BATON_BLESS=1"
            );
        }
    }
}

#[test]
fn the_trigger_prompts_are_whole() {
    let all = prompts();
    let known: BTreeSet<_> = baton::SKILLS.iter().map(|skill| skill.envelope).collect();
    assert_eq!(
        all.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
    let mut seen = BTreeSet::new();
    for (name, prompts) in &all {
        assert!(
            prompts.yes.len() >= 5 && prompts.yes.len() == prompts.no.len(),
            "{name}"
        );
        let misses: Vec<_> = prompts.no.iter().map(|miss| &miss.prompt).collect();
        for side in [prompts.yes.iter().collect::<Vec<_>>(), misses] {
            let korean = side.iter().filter(|prompt| is_korean(prompt)).count();
            assert!(
                korean >= 2 && side.len() - korean >= 2,
                "{name}: {korean} of {}",
                side.len()
            );
            assert!(
                side.iter().all(|prompt| seen.insert((*prompt).clone())),
                "{name}: one stands twice"
            );
        }
        let instead = prompts.no.iter().filter_map(|miss| miss.instead.as_deref());
        assert!(
            instead
                .clone()
                .all(|other| known.contains(other) && other != name),
            "{name}"
        );
        assert!(
            instead.count() >= 1,
            "{name}: no near miss belongs to a neighbour"
        );
    }
}
