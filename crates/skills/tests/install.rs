//! Installing and uninstalling, against what people and hostile repositories leave in the way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;

use baton_core::digest;
use baton_skills::install::{self, Options, Plan, Platform};
use baton_skills::{lint, pack};
use serde_json::Value;
use tempfile::TempDir;

const RECORD: &str = ".agents/baton-skills.json";
const GATES: &str = ".agents/skills/gate-runner/SKILL.md";

fn for_all() -> Options {
    Options {
        platforms: Platform::ALL.into(),
        ..Options::default()
    }
}

fn only(platform: Platform) -> Options {
    Options {
        platforms: [platform].into(),
        ..Options::default()
    }
}

fn installed(options: &Options) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), options);
    folder
}

fn install(root: &Path, options: &Options) -> Plan {
    let plan = install::plan(root, options).unwrap();
    plan.carry_out().unwrap();
    plan
}

fn uninstall(root: &Path) -> Plan {
    let plan = install::plan_removal(root, &BTreeSet::new()).unwrap();
    plan.carry_out().unwrap();
    plan
}

/// Everything below a folder: files with their text, links with their target.
fn all(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(name, format!("-> {}", target.display()));
            } else if path.is_dir() {
                open.push(path);
            } else {
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Demands that neither installing nor uninstalling does anything, and says why.
fn refused(root: &Path, options: &Options) -> String {
    let before = all(root);
    let problem = install::plan(root, options).unwrap_err();
    assert_eq!(all(root), before);
    format!("{problem}")
}

fn record(root: &Path, edit: impl FnOnce(&mut Value)) {
    let path = root.join(RECORD);
    let mut record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut record);
    std::fs::write(path, record.to_string()).unwrap();
}

#[test]
fn one_copy_and_links_and_nobody_sees_a_skill_twice() {
    let folder = installed(&for_all());
    let tree = all(folder.path());
    for skill in pack::SKILLS {
        let link = format!(".claude/skills/{}", skill.name);
        assert_eq!(
            tree[&link],
            format!("-> ../../.agents/skills/{}", skill.name)
        );
        let seen = std::fs::read_to_string(folder.path().join(link).join("SKILL.md")).unwrap();
        assert_eq!(seen, skill.skill);
        for (path, text) in skill.files() {
            assert_eq!(tree[&format!(".agents/skills/{}/{path}", skill.name)], text);
        }
    }
    let more = [
        RECORD,
        ".agents/skills/pr-merge-orchestrator/agents/openai.yaml",
    ];
    assert_eq!(tree.len(), 3 * pack::SKILLS.len() + more.len());
    assert!(more.iter().all(|path| tree.contains_key(*path)));
    assert_eq!(install(folder.path(), &for_all()).steps, []);
    assert_eq!(all(folder.path()), tree);
    assert!(
        lint::folder(&folder.path().join(".agents/skills"))
            .unwrap()
            .findings
            .is_empty()
    );
}

#[test]
fn a_plan_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        install::plan(folder.path(), &for_all())
            .unwrap()
            .steps
            .len(),
        34
    );
    assert_eq!(all(folder.path()), BTreeMap::new());
    install(folder.path(), &for_all());
    let tree = all(folder.path());
    assert_eq!(
        install::plan_removal(folder.path(), &BTreeSet::new())
            .unwrap()
            .steps
            .len(),
        34
    );
    assert_eq!(all(folder.path()), tree);
}

#[test]
fn uninstalling_takes_away_what_was_installed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in [
        "src/a",
        ".claude/settings.json",
        ".agents/skills/mine/SKILL.md",
    ] {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), path).unwrap();
    }
    let before = all(root);
    install(root, &for_all());
    std::fs::write(root.join(".agents/skills/gate-runner/notes.md"), "mine").unwrap();
    uninstall(root);
    let mut expected = before;
    expected.insert(
        ".agents/skills/gate-runner/notes.md".to_owned(),
        "mine".to_owned(),
    );
    assert_eq!(all(root), expected);
    assert_eq!(uninstall(root).steps, []);
}

#[test]
fn single_agents_come_and_go() {
    let folder = installed(&only(Platform::Codex));
    let root = folder.path();
    let codex = all(root);
    assert!(!codex.keys().any(|path| path.starts_with(".claude")));
    let both = install(root, &only(Platform::Claude));
    assert_eq!(both.platforms().len(), 2);
    assert!(all(root).contains_key(".claude/skills/stop-check"));
    let gone = install::plan_removal(root, &[Platform::Claude].into()).unwrap();
    gone.carry_out().unwrap();
    assert_eq!(all(root), codex);
}

#[test]
fn what_a_person_edited_stays_and_nothing_is_half_done() {
    let folder = installed(&only(Platform::Codex));
    let root = folder.path();
    std::fs::write(root.join(GATES), "edited").unwrap();
    let said = refused(root, &for_all());
    assert!(
        said.contains("SKILLS_CONFLICT") && said.contains(GATES),
        "{said}"
    );
    let before = all(root);
    let problem = install::plan_removal(root, &BTreeSet::new()).unwrap_err();
    assert!(problem.message.contains(GATES), "{problem}");
    assert_eq!(all(root), before);
}

#[test]
fn what_somebody_else_put_there_stays() {
    for path in [
        GATES,
        ".agents/skills/gate-runner/other.md",
        ".claude/skills/gate-runner/SKILL.md",
        ".claude/skills/gate-runner",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "theirs").unwrap();
        let said = refused(folder.path(), &for_all());
        assert!(
            said.contains("SKILLS_CONFLICT") && said.contains("gate-runner"),
            "{said}"
        );
    }
    // The same bytes are no conflict; they are not ours to take away either.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(GATES);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    let skill = pack::SKILLS
        .iter()
        .find(|one| one.name == "gate-runner")
        .unwrap();
    std::fs::write(&place, skill.skill).unwrap();
    assert_eq!(install(folder.path(), &for_all()).foreign, [GATES]);
    uninstall(folder.path());
    assert_eq!(all(folder.path()).keys().collect::<Vec<_>>(), [GATES]);
}

#[test]
fn an_older_copy_that_nobody_edited_is_replaced() {
    let folder = installed(&for_all());
    let root = folder.path();
    let new = all(root);
    std::fs::write(root.join(GATES), "older").unwrap();
    let gone = ".agents/skills/gone-skill/SKILL.md";
    std::fs::create_dir(root.join(".agents/skills/gone-skill")).unwrap();
    std::fs::write(root.join(gone), "older").unwrap();
    record(root, |record| {
        let digest = digest::sha256(b"older");
        record["files"][GATES] = [digest.clone()].into_iter().collect();
        record["files"][gone] = [digest].into_iter().collect();
    });
    let steps = install(root, &for_all()).steps;
    let steps: Vec<_> = steps
        .iter()
        .map(|step| (step.act, step.path.as_str()))
        .collect();
    assert_eq!(steps, [("remove", gone), ("replace", GATES)]);
    assert_eq!(all(root), new);
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    let whole = installed(&for_all());
    let tree = all(whole.path());
    // The record is written first, so any part of the rest may be missing.
    for missing in 0..3 {
        let folder = installed(&for_all());
        let paths = tree.keys().filter(|path| *path != RECORD);
        for (index, path) in paths.enumerate() {
            if index % 3 == missing {
                std::fs::remove_file(folder.path().join(path)).unwrap();
            }
        }
        install(folder.path(), &for_all());
        assert_eq!(all(folder.path()), tree);
    }
    // A killed upgrade leaves either digest of each file.
    let folder = installed(&for_all());
    std::fs::write(folder.path().join(GATES), "older").unwrap();
    record(folder.path(), |record| {
        let digests = record["files"][GATES].as_array_mut().unwrap();
        digests.push(digest::sha256(b"older").into());
    });
    install(folder.path(), &for_all());
    assert_eq!(all(folder.path()), tree);
}

#[test]
fn links_that_lead_elsewhere_are_refused() {
    for link in [
        ".agents",
        ".agents/skills",
        ".agents/skills/gate-runner",
        ".agents/skills/gate-runner/references",
        ".claude",
        ".claude/skills",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("repo"), folder.path().join("outside"));
        std::fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join(link)).unwrap();
        let said = refused(&root, &for_all());
        assert!(
            said.contains("LINK_REFUSED") || said.contains("SKILLS_CONFLICT"),
            "{link}: {said}"
        );
        assert_eq!(all(&outside), BTreeMap::new());
    }
    // So is a link in place of a file, also where the record calls the file ours.
    let folder = installed(&only(Platform::Codex));
    let target = folder.path().join("target");
    std::fs::write(&target, pack::SKILLS[0].skill).unwrap();
    std::fs::remove_file(folder.path().join(GATES)).unwrap();
    symlink(&target, folder.path().join(GATES)).unwrap();
    assert!(refused(folder.path(), &for_all()).contains("SKILLS_CONFLICT"));
    assert!(install::plan_removal(folder.path(), &BTreeSet::new()).is_err());
}

#[test]
fn a_link_from_claude_to_the_real_copies_is_enough() {
    let folder = installed(&only(Platform::Codex));
    std::fs::create_dir(folder.path().join(".claude")).unwrap();
    symlink("../.agents/skills", folder.path().join(".claude/skills")).unwrap();
    assert_eq!(install(folder.path(), &only(Platform::Claude)).steps, []);
    let seen = folder.path().join(".claude/skills/gate-runner/SKILL.md");
    assert!(seen.is_file());
    uninstall(folder.path());
    assert!(!seen.exists() && folder.path().join(".claude/skills").is_symlink());
}

#[test]
fn a_record_cannot_name_other_places() {
    for path in [
        "src/a",
        "../a",
        "/etc/passwd",
        ".git/hooks/pre-commit",
        ".agents/skills/a",
        ".agents/skills/../../a",
        ".agents/skills/a/../../../b",
        ".agents/skills/A/b",
        ".agents/skills/a//b",
        ".agents/skills/a/.git",
        ".claude/agents/mine.md",
        ".agents/skillsx/a/b",
    ] {
        let folder = installed(&only(Platform::Codex));
        record(folder.path(), |record| {
            record["files"][path] = [digest::sha256(b"x")].into_iter().collect();
        });
        assert!(
            refused(folder.path(), &for_all()).contains("RECORD_INVALID"),
            "{path}"
        );
        assert_eq!(
            install::plan_removal(folder.path(), &BTreeSet::new())
                .unwrap_err()
                .code,
            "RECORD_INVALID"
        );
    }
    for (path, target) in [
        ("src", "../../.agents/skills/a"),
        (".claude/skills/a", "/etc"),
        (".claude/skills/a/b", "../../.agents/skills/b"),
    ] {
        let folder = installed(&only(Platform::Codex));
        record(folder.path(), |record| {
            record["links"][path] = target.into()
        });
        assert!(
            refused(folder.path(), &for_all()).contains("RECORD_INVALID"),
            "{path}"
        );
    }
    let folder = installed(&only(Platform::Codex));
    record(folder.path(), |record| record["format"] = 2.into());
    assert!(refused(folder.path(), &for_all()).contains("RECORD_INVALID"));
    std::fs::write(folder.path().join(RECORD), "{}").unwrap();
    assert!(refused(folder.path(), &for_all()).contains("RECORD_INVALID"));
}

#[test]
fn copies_become_links_and_links_copies() {
    let folder = installed(&for_all());
    let root = folder.path();
    let linked = all(root);
    let copy = Options {
        copy: true,
        ..for_all()
    };
    install(root, &copy);
    let copied = all(root);
    assert_eq!(copied[".claude/skills/gate-runner/SKILL.md"], copied[GATES]);
    assert_eq!(install(root, &copy).steps, []);
    // A link that stands already when the record still names the copies.
    install(root, &for_all());
    assert_eq!(all(root), linked);
    install(root, &copy);
    std::fs::write(root.join(".claude/skills/gate-runner/notes.md"), "mine").unwrap();
    assert!(refused(root, &for_all()).contains("SKILLS_CONFLICT"));
}

#[test]
fn keys_of_single_platforms_are_written_on_request_only() {
    let explicit = Options {
        explicit_only: ["gate-runner".to_owned()].into(),
        ..for_all()
    };
    let folder = installed(&explicit);
    let tree = all(folder.path());
    let has_key = |name: &str| {
        tree[&format!(".agents/skills/{name}/SKILL.md")]
            .contains("\ndisable-model-invocation: true\n---\n")
    };
    assert!(has_key("gate-runner") && !has_key("queue-scan"));
    let yaml = |tree: &BTreeMap<String, String>, name: &str| {
        tree.contains_key(&format!(".agents/skills/{name}/agents/openai.yaml"))
    };
    assert!(
        yaml(&tree, "gate-runner")
            && yaml(&tree, "pr-merge-orchestrator")
            && !yaml(&tree, "queue-scan")
    );
    install(folder.path(), &for_all());
    assert!(!yaml(&all(folder.path()), "gate-runner"));
    let folder = installed(&only(Platform::Cursor));
    assert!(!yaml(&all(folder.path()), "pr-merge-orchestrator"));
}

#[test]
fn the_verifier_comes_on_request() {
    let options = Options {
        verifier: true,
        ..for_all()
    };
    let folder = installed(&options);
    let tree = all(folder.path());
    for path in [
        ".claude/agents/verifier.md",
        ".codex/agents/verifier.toml",
        ".cursor/agents/verifier.md",
        ".github/agents/verifier.agent.md",
    ] {
        assert!(tree[path].contains("baton verify TASK --strict"), "{path}");
    }
    let home = installed(&Options {
        user: true,
        ..options
    });
    assert!(all(home.path()).contains_key(".copilot/agents/verifier.agent.md"));
    uninstall(home.path());
    assert_eq!(all(home.path()), BTreeMap::new());
}
