//! Each rule against a skill that breaks it alone, and the frontmatter against two YAML parsers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use baton_skills::frontmatter;
use baton_skills::lint::{self, RULES};
use proptest::prelude::*;

const HEAD: &str = "name: good-skill\ndescription: \"Does a thing: well # really. Use when it is asked for.\"\nlicense: MIT\ncompatibility: \"Needs nothing.\"\nmetadata:\n  version: \"1.0\"\n";
const BODY: &str =
    "\n# Good skill\n\nRead [the examples](references/examples.json) when it fails.\n";

fn write(skill: &Path, head: &str, body: &str) {
    std::fs::create_dir_all(skill.join("references")).unwrap();
    std::fs::create_dir_all(skill.join("scripts")).unwrap();
    std::fs::write(skill.join("SKILL.md"), format!("---\n{head}---\n{body}")).unwrap();
    std::fs::write(skill.join("references/examples.json"), "{}").unwrap();
    std::fs::write(skill.join("scripts/go"), "#!/bin/sh\n").unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(skill.join("scripts/go"), mode).unwrap();
}

/// The codes that a lint finds after this damage.
fn codes(damage: impl FnOnce(&Path)) -> BTreeSet<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let skill = folder.path().join("good-skill");
    write(&skill, HEAD, BODY);
    damage(&skill);
    let linted = lint::folder(folder.path()).unwrap();
    linted.findings.iter().map(|one| one.code).collect()
}

fn head(change: &str, into: &str) -> BTreeSet<&'static str> {
    assert!(HEAD.contains(change), "{change}");
    codes(|skill| write(skill, &HEAD.replace(change, into), BODY))
}

fn body(text: &str) -> BTreeSet<&'static str> {
    let named = format!("{text}\n`references/examples.json`\n");
    codes(|skill| write(skill, HEAD, &named))
}

fn raw(text: &[u8]) -> BTreeSet<&'static str> {
    codes(|skill| std::fs::write(skill.join("SKILL.md"), text).unwrap())
}

fn file(name: &str, text: &str) -> BTreeSet<&'static str> {
    codes(|skill| std::fs::write(skill.join(name), text).unwrap())
}

#[test]
fn a_good_skill_has_no_findings() {
    assert_eq!(codes(|_| {}), BTreeSet::new());
    let folded = "description: >-\n  Does a thing: well # really.\n  Use when it is asked for.\n";
    let quoted = HEAD.lines().nth(1).unwrap();
    assert_eq!(head(&format!("{quoted}\n"), folded), BTreeSet::new());
}

#[test]
fn each_rule_finds_what_breaks_it_and_nothing_else_does() {
    let whole = format!("---\n{HEAD}---\n{BODY}");
    let long = "x".repeat(351);
    let cases: Vec<(&str, BTreeSet<&str>)> = vec![
        (
            "SKILL_MISSING",
            codes(|skill| {
                std::fs::rename(skill.join("SKILL.md"), skill.join("skill.md")).unwrap();
            }),
        ),
        (
            "TREE_SIZE",
            codes(|skill| std::fs::create_dir_all(skill.join("a/b/c/d")).unwrap()),
        ),
        ("TREE_SIZE", file("big", &"x".repeat((256 << 10) + 1))),
        (
            "TREE_SIZE",
            codes(|skill| {
                (0..100).for_each(|n| std::fs::write(skill.join(format!("z{n}")), "").unwrap());
            }),
        ),
        (
            "FILE_KIND",
            codes(|skill| symlink("/etc/passwd", skill.join("link")).unwrap()),
        ),
        ("FILE_KIND", file("한글.md", "")),
        ("FILE_STRAY", file("README.md", "")),
        ("FILE_STRAY", file("changelog.txt", "")),
        ("FILE_FORM", raw(format!("\u{feff}{whole}").as_bytes())),
        ("FILE_FORM", raw(b"---\n\xff\n---\n")),
        (
            "FILE_FORM",
            codes(|skill| write(skill, HEAD, &BODY.replace("fails.\n", "fails.\r\n"))),
        ),
        ("FRONTMATTER_OPEN", raw(format!("\n{whole}").as_bytes())),
        ("TEXT_HIDDEN", head("a thing", "a\u{200b}thing")),
        ("TEXT_HIDDEN", head("a thing", "a\u{2028}thing")),
        ("TEXT_HIDDEN", head("a thing", "a\u{85}thing")),
        ("TEXT_HIDDEN", head("a thing", "a\u{e0041}thing")),
        ("TEXT_HIDDEN", body("turned \u{202e}around")),
        ("TEXT_HIDDEN", body("\u{1b}[8mnot shown")),
        (
            "FRONTMATTER_OPEN",
            raw(whole.replacen("---", "----", 1).as_bytes()),
        ),
        ("FRONTMATTER_CLOSE", raw(format!("---\n{HEAD}").as_bytes())),
        (
            "FRONTMATTER_CLOSE",
            raw(format!("---\n{HEAD}--- \nname: x\n").as_bytes()),
        ),
        // Some of these the reference validator takes: a cut or an early end that nobody is told of.
        ("FRONTMATTER_DASHES", head("a thing", "a---thing")),
        ("FRONTMATTER_FORM", head("license: MIT", "license: [MIT]")),
        (
            "FRONTMATTER_FORM",
            head("license: MIT", "license: MIT # as ever"),
        ),
        ("FRONTMATTER_FORM", head("license: MIT", "license: *MIT")),
        ("FRONTMATTER_FORM", head("license: MIT", "license: `MIT`")),
        (
            "FRONTMATTER_FORM",
            head("license: MIT", "# license\nlicense: MIT"),
        ),
        ("FRONTMATTER_FORM", head("license: MIT", "license:\tMIT")),
        (
            "FRONTMATTER_FORM",
            head("license: MIT", "license: \"\\x41\""),
        ),
        (
            "FRONTMATTER_FORM",
            head("license: MIT", "license: \"MIT\" or so"),
        ),
        ("FRONTMATTER_FORM", head("license: MIT", "license: \"MIT")),
        (
            "FRONTMATTER_FORM",
            head("  version: \"1.0\"\n", "  version: \"1.0\"\n    a: \"b\"\n"),
        ),
        (
            "FRONTMATTER_FORM",
            head(
                "\"Does a thing: well # really. Use when it is asked for.\"",
                "Cut here # Use when",
            ),
        ),
        ("YAML_DISAGREES", head("license: MIT", "license: 1.0")),
        ("YAML_DISAGREES", head("license: MIT", "license: true")),
        ("YAML_DISAGREES", head("license: MIT", "license: null")),
        (
            "KEY_UNKNOWN",
            head("license: MIT", "license: MIT\nallowed-tools: Read"),
        ),
        (
            "KEY_UNKNOWN",
            head(
                "license: MIT",
                "license: MIT\ndisable-model-invocation: \"true\"",
            ),
        ),
        ("KEY_MISSING", head("license: MIT\n", "")),
        ("KEY_MISSING", head("metadata:\n  version: \"1.0\"\n", "")),
        ("DESCRIPTION_LENGTH", head("a thing", &long)),
        ("DESCRIPTION_ANGLE", head("a thing", "a <thing>")),
        ("DESCRIPTION_WHEN", head("Use when", "For when")),
        ("COMPATIBILITY_LENGTH", head("\"Needs nothing.\"", "\"\"")),
        ("COMPATIBILITY_LENGTH", head("nothing", &"x".repeat(500))),
        ("METADATA_QUOTES", head("\"1.0\"", "one")),
        (
            "BODY_LENGTH",
            codes(|skill| {
                write(skill, HEAD, "");
                std::fs::remove_dir_all(skill.join("references")).unwrap();
            }),
        ),
        ("BODY_LENGTH", body(&"line\n".repeat(500))),
        ("BODY_LENGTH", body(&"x".repeat(20_000))),
        ("LINK_BROKEN", body("[gone](references/gone.json)")),
        ("LINK_BROKEN", body("[out](../other-skill/SKILL.md)")),
        ("LINK_BROKEN", body("[back](references\\examples.json)")),
        ("LINK_BROKEN", body("![picture](assets/gone.png)")),
        ("LINK_BROKEN", body("read `references/gone.md`")),
        ("REFERENCE_UNUSED", file("references/more.json", "{}")),
        ("JSON_INVALID", file("references/examples.json", "{,}")),
        ("SCRIPT_MODE", file("scripts/other", "")),
    ];
    for (index, (code, found)) in cases.iter().enumerate() {
        assert_eq!(*found, BTreeSet::from([*code]), "case {index}");
    }
    // These cannot be broken alone: another rule has a word to say of the same thing.
    let pairs: Vec<(&str, BTreeSet<&str>, &str)> = vec![
        (
            "KEY_TWICE",
            head("license: MIT", "license: MIT\nlicense: MIT"),
            "YAML_DISAGREES",
        ),
        (
            "NAME_FORM",
            head("good-skill", "good--skill"),
            "NAME_FOLDER",
        ),
        ("NAME_FOLDER", head("good-skill", "Good"), "NAME_FORM"),
        (
            "DESCRIPTION_QUOTES",
            head(
                "\"Does a thing: well # really. Use when it is asked for.\"",
                "Use when asked",
            ),
            "",
        ),
    ];
    for (code, found, other) in &pairs {
        let expected: BTreeSet<_> = [*code, *other]
            .into_iter()
            .filter(|code| !code.is_empty())
            .collect();
        assert_eq!(*found, expected);
    }
    let tried: BTreeSet<_> = cases
        .iter()
        .map(|case| case.0)
        .chain(pairs.iter().map(|pair| pair.0))
        .collect();
    let all: BTreeSet<_> = RULES.iter().map(|rule| rule.0).collect();
    assert_eq!(tried, all);
}

#[test]
fn names_are_what_every_platform_takes() {
    for (name, right) in [
        ("a", true),
        ("a1-b2", true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("a--b", false),
        ("A", false),
        ("a_b", false),
        ("ä", false),
        (&"a".repeat(64), true),
        (&"a".repeat(65), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let skill = folder.path().join(if name.is_empty() { "x" } else { name });
        write(&skill, &HEAD.replace("good-skill", name), BODY);
        let found = lint::folder(&skill).unwrap().findings;
        let found = found
            .iter()
            .any(|one| one.code == "NAME_FORM" || one.code == "FRONTMATTER_FORM");
        assert_eq!(found, !right, "{name}");
    }
}

#[test]
fn a_folder_without_skills_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        lint::folder(folder.path()).unwrap_err().code,
        "SKILLS_MISSING"
    );
    assert_eq!(
        lint::folder(&folder.path().join("x")).unwrap_err().code,
        "IO_ERROR"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What we take in quotes, two parsers of different descent read as the same text.
    #[test]
    fn quoted_text_is_read_alike(value in "[^\\p{C}\u{2028}\u{2029}]{1,40}") {
        let written = value.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("name: x\ndescription: \"{written}\"\n");
        let fields = frontmatter::read(&text, 2).unwrap();
        prop_assert_eq!(&fields[1].value, &value);
        prop_assert_eq!(frontmatter::disagreement(&text, &fields), None);
        let other: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        prop_assert_eq!(other["description"].as_str(), Some(value.as_str()));
    }

    /// Whatever the lines are: what we take, and what the first parser does not contradict, the second
    /// reads alike too.
    #[test]
    fn lines_are_read_alike(lines in prop::collection::vec("(name|license|metadata|  a): ?(>-|\"[ -~é]{0,12}\"|[a-z0-9._/ -]{0,12})|  [ -~]{0,12}|metadata:", 1..6)) {
        let text = lines.join("\n") + "\n";
        let Ok(fields) = frontmatter::read(&text, 2) else { return Ok(()) };
        if frontmatter::disagreement(&text, &fields).is_some() { return Ok(()) }
        let other: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        for field in fields.iter().filter(|field| field.style != frontmatter::Style::Map) {
            let mut place = &other;
            for key in field.key.split('.') { place = &place[key]; }
            prop_assert_eq!(place.as_str(), Some(field.value.as_str()), "{}", text);
        }
    }
}
