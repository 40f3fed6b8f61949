//! The pack itself: what is built in is what lies in the folder, clean by the lint, and read by every
//! parser as the same text.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use baton_skills::pack::SKILLS;
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
