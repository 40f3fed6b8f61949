//! The pack itself: what is built in is what lies in the folder, clean by the lint, and read by every
//! parser as the same text.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use baton_skills::pack::{self, SKILLS};
use baton_skills::{frontmatter, lint};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skill-pack")
}

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => {
                found.insert(path);
            }
        }
    }
}

#[test]
fn the_program_holds_the_whole_pack() {
    let mut found = BTreeSet::new();
    files(&folder(), &mut found);
    let mut expected: BTreeSet<_> = [
        "claude/verifier.md",
        "codex/verifier.toml",
        "cursor/verifier.md",
        "copilot/verifier.agent.md",
    ]
    .map(|path| folder().join("agents").join(path))
    .into();
    for skill in SKILLS {
        expected.extend(
            skill
                .files()
                .map(|(path, _)| folder().join(skill.name).join(path)),
        );
    }
    assert_eq!(found, expected);
}

#[test]
fn the_pack_is_clean() {
    let linted = lint::folder(&folder()).unwrap();
    let findings: Vec<_> = linted.findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, [""; 0]);
    assert_eq!(linted.skills.len(), SKILLS.len());
}

#[test]
fn two_yaml_parsers_read_what_we_read() {
    for skill in SKILLS {
        let head = skill
            .skill
            .strip_prefix("---\n")
            .unwrap()
            .split("\n---\n")
            .next()
            .unwrap();
        let fields = frontmatter::read(head, 2).unwrap();
        assert_eq!(frontmatter::disagreement(head, &fields), None);
        let other: serde_yaml_ng::Value = serde_yaml_ng::from_str(head).unwrap();
        let description = &fields
            .iter()
            .find(|field| field.key == "description")
            .unwrap()
            .value;
        assert_eq!(other["description"].as_str(), Some(description.as_str()));
        assert_eq!(other["name"].as_str(), Some(skill.name));
    }
}

/// Listings are cut, and people ask in Korean and in English.
#[test]
fn descriptions_begin_with_words_that_people_use() {
    for skill in SKILLS {
        let line = skill
            .skill
            .lines()
            .find(|line| line.starts_with("description:"))
            .unwrap();
        let begin: String = line
            .chars()
            .skip("description: \"".len())
            .take(120)
            .collect();
        let korean = begin.chars().filter(|c| ('가'..='힣').contains(c)).count();
        let english = begin.chars().filter(char::is_ascii_alphabetic).count();
        assert!(korean >= 2 && english >= 20, "{}: {begin}", skill.name);
        assert!(
            line.contains("Not for ") || line.contains("not for "),
            "{}",
            skill.name
        );
    }
}

/// Each platform's form of the verifier says the same, and is given nothing that edits.
#[test]
fn the_verifier_is_one_and_only_reads() {
    let mut bodies = BTreeSet::new();
    for text in [
        pack::VERIFIER_CLAUDE,
        pack::VERIFIER_CURSOR,
        pack::VERIFIER_COPILOT,
    ] {
        let (head, body) = text
            .strip_prefix("---\n")
            .unwrap()
            .split_once("\n---\n\n")
            .unwrap();
        let head: serde_yaml_ng::Value = serde_yaml_ng::from_str(head).unwrap();
        assert_eq!(head["name"].as_str(), Some("verifier"));
        let tools = format!("{:?}", head["tools"]).to_lowercase();
        let edits = ["edit", "write", "agent", "*"];
        assert!(!edits.iter().any(|tool| tools.contains(tool)), "{tools}");
        let limited = tools != "null" || head["readonly"].as_bool() == Some(true);
        assert!(limited, "{text}");
        bodies.insert((
            head["description"].as_str().unwrap().to_owned(),
            body.to_owned(),
        ));
    }
    let codex: toml::Table = pack::VERIFIER_CODEX.parse().unwrap();
    let part = |key: &str| codex[key].as_str().unwrap().to_owned();
    assert_eq!(
        (part("name"), part("sandbox_mode")),
        ("verifier".to_owned(), "read-only".to_owned())
    );
    bodies.insert((part("description"), part("developer_instructions")));
    assert_eq!(bodies.len(), 1);
    let (_, body) = bodies.first().unwrap();
    assert!(body.contains("\n       baton verify TASK --strict\n"));
}
