//! `baton skills` as a program, and the manifests by which other installers find the pack.

use std::path::{Path, PathBuf};

use baton_skills::pack::SKILLS;
use serde_json::Value;

use crate::support::Bench;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn skills_are_installed_and_taken_away_in_a_repository() {
    let bench = Bench::bare();
    let skill = bench.root().join(".agents/skills/gate-runner/SKILL.md");
    let install = ["skills", "install", "--for", "codex,claude"];
    let planned = bench.baton(install.iter().copied().chain(["--plan"]));
    assert_eq!(planned.expect(0)["steps"].as_array().unwrap().len(), 34);
    assert_eq!(bench.git(&["status", "--short"]), "");
    let done = bench.baton(install);
    assert!(
        done.stderr.contains("skillOverrides") && done.stderr.contains("[[skills.config]]"),
        "{}",
        done.stderr
    );
    let done = done.expect(0);
    assert_eq!(done["steps"], planned.json()["steps"]);
    assert!(skill.is_file());
    assert_eq!(
        bench.baton(install).expect(0)["steps"],
        Value::Array(Vec::new())
    );
    let links = bench.baton(["skills", "lint", ".claude/skills"]);
    assert_eq!(links.expect(0)["skills"].as_array().unwrap().len(), 11);
    let mut below = bench.command(["skills", "lint"]);
    let below = below.current_dir(bench.root().join("src")).output();
    crate::support::ran(below.unwrap()).expect(0);
    std::fs::write(&skill, "edited").unwrap();
    for line in [&install[..], &["skills", "install", "--uninstall"]] {
        assert_eq!(bench.baton(line).expect(1)["code"], "SKILLS_CONFLICT");
        assert_eq!(std::fs::read_to_string(&skill).unwrap(), "edited");
    }
    assert_eq!(
        bench.baton(["skills", "lint", ".agents/skills"]).expect(1)["findings"][0]["code"],
        "FRONTMATTER_OPEN"
    );
    std::fs::remove_file(&skill).unwrap();
    bench.baton(["skills", "install", "--uninstall"]).expect(0);
    assert_eq!(bench.git(&["status", "--short"]), "");
}

#[test]
fn skills_are_installed_for_one_person_without_a_repository() {
    let bench = Bench::bare();
    let elsewhere = bench.scratch("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let run = |words: &[&str]| {
        let mut command = bench.command(words);
        crate::support::ran(command.current_dir(&elsewhere).output().unwrap())
    };
    run(&[
        "skills",
        "install",
        "--for",
        "copilot",
        "--user",
        "--explicit-only=gate-runner",
        "--verifier",
    ])
    .expect(0);
    let skill = bench.home().join(".agents/skills/gate-runner/SKILL.md");
    assert!(
        std::fs::read_to_string(&skill)
            .unwrap()
            .contains("disable-model-invocation: true")
    );
    assert!(
        bench
            .home()
            .join(".copilot/agents/verifier.agent.md")
            .is_file()
    );
    run(&["skills", "install", "--uninstall", "--user"]).expect(0);
    assert!(!bench.home().join(".agents").exists() && !bench.home().join(".copilot").exists());
    assert_ne!(
        run(&["skills", "install", "--for", "copilot"]).code,
        0,
        "there is no repository"
    );
}

#[test]
fn an_agent_installs_nothing_and_odd_flags_are_refused() {
    let bench = Bench::bare();
    let as_agent = ["skills", "install", "--for", "codex", "--actor", "openclaw"];
    assert_eq!(bench.baton(as_agent).expect(3)["code"], "HUMAN_ONLY");
    for words in [
        &["install"][..],
        &["install", "--for", "emacs"],
        &["install", "--for", "codex", "--user", "--project"],
        &["install", "--for", "codex", "--copy", "--link"],
        &["install", "--uninstall", "--copy"],
        &["install", "--for", "codex", "--explicit-only=x"],
        &["forget"],
    ] {
        assert_eq!(
            bench.baton(["skills"].iter().chain(words)).code,
            2,
            "{words:?}"
        );
    }
    assert_eq!(bench.git(&["status", "--short"]), "");
}

fn manifest(path: &str) -> Value {
    let bytes = std::fs::read(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&bytes).unwrap()
}

/// The skills that a list of paths or one folder names; each path has to exist.
fn named(skills: &Value) -> Vec<String> {
    let paths: Vec<_> = match skills {
        Value::String(folder) => {
            let inside = std::fs::read_dir(top().join(folder)).unwrap();
            let inside = inside.map(|entry| entry.unwrap().path());
            inside
                .filter(|path| path.join("SKILL.md").is_file())
                .collect()
        }
        _ => {
            let all = skills.as_array().unwrap().iter();
            all.map(|path| top().join(path.as_str().unwrap())).collect()
        }
    };
    let mut names: Vec<_> = paths
        .iter()
        .inspect(|path| assert!(path.join("SKILL.md").is_file(), "{}", path.display()))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_manifests_name_all_skills_at_paths_that_exist() {
    let mut expected: Vec<_> = SKILLS.iter().map(|skill| skill.name.to_owned()).collect();
    expected.sort();
    let claude = manifest(".claude-plugin/plugin.json");
    let codex = manifest(".codex-plugin/plugin.json");
    let market = manifest(".claude-plugin/marketplace.json");
    for plugin in [&claude, &codex] {
        assert_eq!(named(&plugin["skills"]), expected);
        assert_eq!(plugin["name"], "baton");
        assert_eq!(plugin["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(plugin["license"], "MIT");
    }
    for agent in claude["agents"].as_array().unwrap() {
        assert!(top().join(agent.as_str().unwrap()).is_file(), "{agent}");
    }
    let agents = manifest(".agents/plugins/marketplace.json");
    for market in [&market, &agents] {
        let plugins = market["plugins"].as_array().unwrap();
        assert_eq!(plugins.len(), 1);
        assert_eq!(plugins[0]["name"], "baton");
        let source = &plugins[0]["source"];
        let path = source.as_str().or(source["path"].as_str()).unwrap();
        assert!(
            path.starts_with("./") && top().join(path).is_dir(),
            "{path}"
        );
    }
}
