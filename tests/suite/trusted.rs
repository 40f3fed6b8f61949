//! Trust that is handed on: from a gate, a workflow, a guide to what they run and read, as a whole repository
//! shows it.

use serde_json::json;

use crate::changes::write;
use crate::judging::scan_on_base;
use crate::support::Bench;

/// A repository with files and links.
fn bench(files: &[(&str, &str)], links: &[(&str, &str)]) -> Bench {
    let bench = Bench::new();
    for (path, text) in files {
        write(path, text)(&bench.root());
    }
    for (path, to) in links {
        let path = bench.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    }
    bench.commit("scripts");
    bench
}

/// Which of two findings a change to a file brings.
fn found(bench: &Bench, path: &str) -> &'static str {
    // git itself reads some of them as settings.
    let other = if path.ends_with(".cfg") {
        "# other\n"
    } else {
        "echo other\n"
    };
    let scan = scan_on_base(bench, write(path, other));
    let findings = scan["findings"].to_string();
    let codes = ["GATE_SCRIPT", "TRUSTED_SCRIPT"];
    let mut found = codes.into_iter().filter(|code| findings.contains(*code));
    found.next().unwrap_or("")
}

fn workflow(steps: &str) -> String {
    format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}")
}

#[test]
fn a_gate_runs_what_its_link_leads_to() {
    let bench = bench(
        &[("tools/verdict.sh", "true\n"), ("tools/other.sh", "true\n")],
        &[("check.sh", "near.sh"), ("near.sh", "tools/verdict.sh")],
    );
    bench.policy(|policy| {
        let gates = policy["gates"].as_array_mut().unwrap();
        let gate = gates.iter_mut().find(|gate| gate["id"] == "G4").unwrap();
        gate["argv"] = json!(["./check.sh"]);
    });
    assert_eq!(found(&bench, "tools/verdict.sh"), "GATE_SCRIPT");
    assert_eq!(found(&bench, "tools/other.sh"), "");
}

#[test]
fn trust_does_not_end_at_a_link() {
    let steps = workflow("      - run: scripts/ci.sh && more/x.sh\n");
    let bench = bench(
        &[
            (".github/workflows/a.yml", &steps),
            ("tools/real.sh", "sh tools/after.sh\n"),
            ("tools/after.sh", "true\n"),
            ("tools/x.sh", "true\n"),
            ("tools/free.sh", "true\n"),
            ("docs/real.md", "Follow docs/more.md\n"),
            ("docs/more.md", "Ask.\n"),
            ("agents/rules/a.mdc", "Ask.\n"),
        ],
        &[
            ("scripts/ci.sh", "../tools/real.sh"),
            ("more", "tools"),
            ("CLAUDE.md", "guide.md"),
            ("guide.md", "docs/real.md"),
            (".cursor", "agents"),
        ],
    );
    for path in [
        "tools/real.sh",
        "tools/after.sh",
        "tools/x.sh",
        "docs/real.md",
        "docs/more.md",
        "agents/rules/a.mdc",
    ] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    assert_eq!(found(&bench, "tools/free.sh"), "");
}

#[test]
fn a_pipeline_is_what_its_parts_say() {
    let steps = workflow("      - uses: ./act\n      - uses: ./deep/a\n");
    let azure = "steps:\n  - template: ci/steps.yml@self\n";
    let bench = bench(
        &[
            (".github/workflows/a.yml", &steps),
            ("act/dist/index.js", "run()\n"),
            (
                "deep/a/action.yml",
                "runs:\n  steps:\n  - run: ./tools/y.sh\n",
            ),
            (".gitlab-ci.yml", "include:\n  - local: /ci/x.yml\n"),
            (
                "ci/x.yml",
                "a:\n  script:\n    - ./tools/r.sh\n    - cat ci/data.yml\n",
            ),
            ("azure-pipelines.yml", azure),
            ("ci/steps.yml", "steps:\n  - script: .\\tools\\z.ps1\n"),
            ("ci/data.yml", "a: tools/free.sh\n"),
            ("tools/y.sh", "true\n"),
            ("tools/r.sh", "true\n"),
            ("tools/z.ps1", "true\n"),
            ("tools/free.sh", "true\n"),
        ],
        &[],
    );
    for path in [
        "act/dist/index.js",
        "ci/x.yml",
        "tools/y.sh",
        "tools/r.sh",
        "tools/z.ps1",
    ] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    assert_eq!(found(&bench, "tools/free.sh"), "");
}

#[test]
fn an_action_at_the_root_is_what_its_file_runs() {
    let steps = workflow("      - uses: ./\n");
    let bench = bench(
        &[
            (".github/workflows/a.yml", &steps),
            (
                "action.yml",
                "runs:\n  using: node20\n  main: dist/index.js\n",
            ),
            ("dist/index.js", "run()\n"),
            ("src/index.js", "run()\n"),
        ],
        &[],
    );
    assert_eq!(found(&bench, "action.yml"), "TRUSTED_SCRIPT");
    assert_eq!(found(&bench, "dist/index.js"), "TRUSTED_SCRIPT");
    assert_eq!(found(&bench, "src/index.js"), "");
}

#[test]
fn what_agents_are_given_to_read_is_trusted() {
    let bench = bench(
        &[
            ("CLAUDE.md", "# Rules\n\n@docs/rules.md\n"),
            ("docs/rules.md", "See @../agents/more.md:3\n"),
            ("agents/more.md", "Ask.\n"),
            ("opencode.json", "{\"instructions\": [\"CONTRIBUTING.md\"]}"),
            (".aider.conf.yml", "read: docs/GUIDE.md\n"),
            (
                ".gemini/settings.json",
                "{\"contextFileName\": \"FAQ.md\", \"x\": \"NEWS.md\"}",
            ),
            ("CONTRIBUTING.md", "Ask.\n"),
            ("docs/GUIDE.md", "Ask.\n"),
            ("FAQ.md", "Ask.\n"),
            ("NEWS.md", "Ask.\n"),
        ],
        &[],
    );
    for path in [
        "docs/rules.md",
        "agents/more.md",
        "CONTRIBUTING.md",
        "docs/GUIDE.md",
        "FAQ.md",
    ] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    assert_eq!(found(&bench, "NEWS.md"), "");
}

#[test]
fn a_script_is_followed_to_the_neighbours_that_it_imports() {
    let steps = workflow("      - run: python ci/run.py && ruby ci/run.rb\n");
    let bench = bench(
        &[
            (".github/workflows/a.yml", &steps),
            ("ci/run.py", "import helper\nimport product\n"),
            ("ci/helper.py", "from . import deeper\n"),
            ("ci/deeper.py", "x = 1\n"),
            ("ci/run.rb", "require_relative 'aid'\n"),
            ("ci/aid.rb", "x = 1\n"),
            ("product/__init__.py", "x = 1\n"),
        ],
        &[],
    );
    for path in ["ci/helper.py", "ci/deeper.py", "ci/aid.rb"] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    assert_eq!(found(&bench, "product/__init__.py"), "");
}

#[test]
fn what_git_is_told_to_run_here_is_trusted() {
    let bench = bench(
        &[
            ("dev/strip.py", "import aid\n"),
            ("dev/aid.py", "x = 1\n"),
            ("dev/git.cfg", "[include]\n\tpath = more.cfg\n"),
            ("dev/last", "true\n"),
            ("dev/show", "true\n"),
            ("dev/tidy", "true\n"),
            ("dev/take/x", "true\n"),
            ("dev/after.sh", "true\n"),
            ("dev/deep.sh", "true\n"),
            ("dev/free", "true\n"),
            ("dev/text", "true\n"),
        ],
        &[],
    );
    let root = bench.root().display().to_string();
    for (key, value) in [
        ("filter.strip.clean", "./dev/strip.py %f"),
        ("include.path", "../dev/git.cfg"),
        ("alias.last", "!dev/last"),
        ("alias.text", "log dev/text"),
        ("commit.template", "dev/text"),
        ("core.pager", &format!("{root}/dev/show | less")),
        ("merge.tidy.driver", "\"$HOME/../repo/dev/tidy\" %A %O %B"),
        ("core.hooksPath", "./dev/take"),
    ] {
        bench.git(&["config", key, value]);
    }
    for path in [
        "dev/strip.py",
        "dev/aid.py",
        "dev/git.cfg",
        "dev/more.cfg",
        "dev/last",
        "dev/show",
        "dev/tidy",
        "dev/take/y",
    ] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    for path in ["dev/free", "dev/text", "dev/after.sh"] {
        assert_eq!(found(&bench, path), "", "{path}");
    }
    // The user's own settings are obeyed here too, and so are hooks in git's own folder.
    bench.git(&["config", "--unset", "core.hooksPath"]);
    bench.git(&["config", "--global", "core.fsmonitor", "./dev/free"]);
    let hook = bench.root().join(".git/hooks/pre-commit");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(hook, "#!/bin/sh\nexec sh dev/after.sh\n").unwrap();
    let link = bench.root().join(".git/hooks/post-merge");
    std::os::unix::fs::symlink("../../dev/deep.sh", link).unwrap();
    for path in ["dev/free", "dev/after.sh", "dev/deep.sh"] {
        assert_eq!(found(&bench, path), "TRUSTED_SCRIPT", "{path}");
    }
    assert_eq!(found(&bench, "dev/take/y"), "");
}
