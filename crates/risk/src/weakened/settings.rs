//! Settings of checks, loosened: something to pass over comes into a file that tells a linter, a scanner, a
//! test runner or a count of coverage what to do. Each tool has words of its own for it, and most share these.

use std::borrow::Cow;

use baton_patch::{LineKind, Op};

use crate::hit::Hit;
use crate::hit::shorten;
use crate::input::ScanFile;
use crate::language::comment::is_noted;

/// Files that hold nothing but the settings of a check, by name.
const NAMES: [&str; 40] = [
    ".bandit",
    ".coveragerc",
    ".credo.exs",
    ".editorconfig-checker.json",
    ".flake8",
    ".luacheckrc",
    ".perlcriticrc",
    ".pylintrc",
    ".rspec",
    ".shellcheckrc",
    ".simplecov",
    ".slather.yml",
    ".snyk",
    ".tflint.hcl",
    "analysis_options.yaml",
    "bandit.yaml",
    "biome.json",
    "biome.jsonc",
    "deny.toml",
    "dependency-check-suppression.xml",
    "infection.json5",
    "lcovrc",
    "mypy.ini",
    ".mypy.ini",
    "nextest.toml",
    "psalm-baseline.xml",
    "psalm.xml",
    "psalm.xml.dist",
    "pylintrc",
    "pyrightconfig.json",
    "pytest.ini",
    "ruff.toml",
    ".ruff.toml",
    "sonar-project.properties",
    "tarpaulin.toml",
    "tox.ini",
    "clippy.toml",
    ".clippy.toml",
    "xunit.runner.json",
    "semgrep.yml",
];
/// The same by how their names begin, after a dot that many have.
const BEGINNINGS: [&str; 44] = [
    "ansible-lint",
    "ava.config",
    "brakeman",
    "bundler-audit",
    "c8rc",
    "checkov",
    "checkstyle",
    "clang-tidy",
    "codeclimate",
    "codecov",
    "coveralls",
    "cypress.",
    "detekt",
    "eslint",
    "gitleaks",
    "golangci",
    "hadolint",
    "jest.config",
    "karma.conf",
    "markdownlint",
    "mocharc",
    "nycrc",
    "oxlint",
    "phpcs",
    "phpstan",
    "phpunit",
    "playwright.config",
    "pmd",
    "reek",
    "rubocop",
    "scalafix",
    "semgrep",
    "spotbugs",
    "sqlfluff",
    "stryker",
    "stylelint",
    "swiftlint",
    "testng",
    "tfsec",
    "trivy",
    "tsconfig",
    "vitest.config",
    "wdio.conf",
    "yamllint",
];
/// What a word begins with that takes something out of a check.
const STEMS: [&str; 11] = [
    "exclu",
    "ignor",
    "omit",
    "skip",
    "allowlist",
    "whitelist",
    "suppress",
    "disabl",
    "waive",
    "baseline",
    "exempt",
];
/// Words beside such a one that turn it round: `warn_unused_ignores`.
const TURNED: [&str; 7] = [
    "unused", "warn", "report", "disallow", "forbid", "deny", "fail",
];
/// Ends of the names of files that hold such settings among others.
const MANIFESTS: [&[u8]; 6] = [
    b".csproj",
    b".props",
    b".targets",
    b"pyproject.toml",
    b"setup.cfg",
    b"package.json",
];
/// Values by which such a word takes nothing out.
const STRICT: [&str; 8] = [
    "false", "no", "off", "0", "never", "error", "deny", "forbid",
];
/// Folders of what nobody writes by hand, and of what others wrote: to check these is no use.
const MADE: [&str; 34] = [
    "node_modules",
    "dist",
    "build",
    "out",
    "target",
    "vendor",
    "vendored",
    "third_party",
    "thirdparty",
    "generated",
    "gen",
    "coverage",
    "venv",
    "__pycache__",
    "git",
    "next",
    "nuxt",
    "cache",
    "tmp",
    "temp",
    "bin",
    "obj",
    "lib-cov",
    "site-packages",
    "eggs",
    "storybook-static",
    "public",
    "pb",
    "min",
    "d",
    "lock",
    "log",
    "logs",
    "minified",
];
/// So many added lines of one file are looked at, and so many lines above each.
const MOST: usize = 200;

/// Whether a file of this path holds the settings of a check.
fn is_of_a_check(path: &[u8]) -> bool {
    let start = memchr::memrchr(b'/', path).map_or(0, |at| at + 1);
    let name = String::from_utf8_lossy(path.get(start..).unwrap_or_default()).to_ascii_lowercase();
    let bare = name.strip_prefix('.').unwrap_or(&name);
    NAMES.contains(&name.as_str()) || BEGINNINGS.iter().any(|begin| bare.starts_with(begin))
}

/// Finds the first added line that takes something out of a check.
pub(crate) fn scan(file: &ScanFile<'_>, hits: &mut Vec<Hit>) {
    // Settings that come as a whole bring the check with them.
    if file.op == Op::Add || !is_of_a_check(file.section.path()) {
        return;
    }
    let lines = || file.section.hunks().iter().flat_map(|hunk| hunk.lines());
    let gone: Vec<Vec<String>> = lines()
        .filter(|line| line.kind == LineKind::Removed)
        .take(MOST)
        .map(|line| words(&String::from_utf8_lossy(line.text)))
        .collect();
    let above = Above::of(file);
    let added = lines()
        .filter(|line| line.kind == LineKind::Added)
        .take(MOST);
    let found = added.into_iter().find(|line| {
        let text = String::from_utf8_lossy(line.text);
        let own = words(&text);
        // A line that was there, or said the same of more.
        let is_less = |old: &Vec<String>| own.iter().all(|word| old.contains(word));
        !gone.iter().any(is_less) && takes_out(&text, || above.headings(line.new_number, &text))
    });
    if let Some(line) = found {
        let why = "the settings of a check let it pass something over";
        let hit = Hit::in_file("CHECK_LOOSENED", file, why).at(line.new_number);
        hits.push(hit.showing(shorten(line.text)));
    }
}

/// Whether a line takes something out of a check, by its own word or by one of the headings that it stands
/// under.
fn takes_out(line: &str, headings: impl FnOnce() -> Vec<String>) -> bool {
    let line = line.trim();
    if line.is_empty() || is_noted(line.as_bytes()) {
        return false;
    }
    let (key, value) = match line.find([':', '=', '>']) {
        Some(at) => line.split_at(at),
        None => ("", line),
    };
    let value = value.trim_matches(|letter: char| " \t:=>,;'\"[](){}".contains(letter));
    let named = is_loosening(key);
    let listed = || headings().iter().any(|heading| is_loosening(heading));
    let says = !value.is_empty()
        && !is_made(value)
        && !STRICT.contains(&value.to_ascii_lowercase().as_str());
    let is_switch = ["true", "yes", "on", "1"].contains(&value.to_ascii_lowercase().as_str());
    says && (named || (!is_switch && listed()))
}

/// Whether a word of a key takes something out of a check.
fn is_loosening(key: &str) -> bool {
    let own = words(key);
    let begins = |word: &String| STEMS.iter().any(|stem| word.starts_with(stem));
    let turns = |word: &String| TURNED.contains(&word.as_str());
    (own.iter().any(begins) && !own.iter().any(turns)) || key.contains("NoWarn")
}

/// Whether all that a value names was made by a program, or by others.
fn is_made(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let is_part = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
    let mut named = value.split(|letter| !is_part(letter));
    named.any(|part| MADE.contains(&part))
}

/// Whether a line of settings names less to pass over than the one that it replaces: the same key, and of
/// the words behind it no new one.
pub(crate) fn is_shortened(line: &[u8], file: &ScanFile<'_>) -> bool {
    let path = file.section.path();
    let is_settings = is_of_a_check(path) || MANIFESTS.iter().any(|end| path.ends_with(end));
    let line = String::from_utf8_lossy(line);
    let key = |line: &str| {
        line.trim()
            .find([':', '=', '>'])
            .map(|at| line.trim().split_at(at).0.to_owned())
    };
    let Some(own) = key(&line).filter(|key| is_settings && is_loosening(key)) else {
        return false;
    };
    let named = words(&line);
    let mut removed = file.section.removed_text().take(MOST);
    removed.any(|(_, old)| {
        let old = String::from_utf8_lossy(old);
        let all = words(&old);
        key(&old) == Some(own.clone()) && named.iter().all(|word| all.contains(word))
    })
}

/// The words of a line in lower case: `coveragePathIgnorePatterns` has four.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in line.chars() {
        let begins = letter.is_uppercase() && was_lower;
        was_lower = letter.is_lowercase();
        if begins || !(letter.is_alphanumeric()) {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            last.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The new text of a file, to see under which headings a line stands.
struct Above<'f> {
    /// Each line with its number; all of them, or those in sight.
    lines: Vec<(usize, Cow<'f, str>)>,
}

impl<'f> Above<'f> {
    fn of(file: &'f ScanFile<'_>) -> Self {
        let lines = match &file.new {
            Some(whole) => {
                let lines = whole.split(|byte| *byte == b'\n').enumerate();
                let lines = lines.map(|(at, line)| (at + 1, String::from_utf8_lossy(line)));
                lines.collect()
            }
            None => {
                let lines = file.section.hunks().iter().flat_map(|hunk| hunk.lines());
                let new = lines.filter(|line| line.kind != LineKind::Removed);
                let new = new.map(|line| (line.new_number, String::from_utf8_lossy(line.text)));
                new.collect()
            }
        };
        Self { lines }
    }

    /// The lines above one that hold it, the nearest first: each is less far to the right than the one before,
    /// or stands in brackets at the start of a section.
    fn headings(&self, number: usize, line: &str) -> Vec<String> {
        let end = self.lines.partition_point(|(at, _)| *at < number);
        let above = self
            .lines
            .get(end.saturating_sub(MOST)..end)
            .unwrap_or_default();
        let mut depth = indent(line) + usize::from(line.trim_start().starts_with("- "));
        let mut headings = Vec::new();
        for (_, text) in above
            .iter()
            .rev()
            .filter(|(_, text)| !text.trim().is_empty())
        {
            let is_section = indent(text) == 0 && text.starts_with('[');
            if indent(text) < depth || is_section {
                depth = indent(text);
                headings.push(text.clone().into_owned());
            }
            if is_section || depth == 0 && !line.starts_with(char::is_whitespace) {
                break;
            }
        }
        headings
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use crate::tests::{changed, scanned};

    fn is_found(path: &str, old: &str, new: &str) -> bool {
        let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
        let findings = scanned(&changed(path, &old, &new), None).findings;
        let mut messages = findings.into_iter().map(|finding| finding.message);
        messages.any(|message| message.contains("[CHECK_LOOSENED]"))
    }

    #[test]
    fn what_a_check_is_told_to_pass_over_is_seen() {
        for (path, old, new) in [
            (
                ".reek.yml",
                "exclude_paths:",
                "exclude_paths:\n  - app/models",
            ),
            ("wdio.conf.ts", "a", "  exclude: ['./test/pay.spec.ts'],"),
            (
                ".rspec",
                "--color",
                "--color\n--exclude-pattern=spec/pay/**",
            ),
            (
                "psalm.xml",
                "<psalm>",
                "<psalm>\n<ignoreFiles>\n  <directory name=\"src/pay\"/>",
            ),
            (
                ".luacheckrc",
                "std = \"lua\"",
                "std = \"lua\"\nignore = {\"212\"}",
            ),
            (
                "deny.toml",
                "[advisories]",
                "[advisories]\nignore = [\n  \"RUSTSEC-2024-0001\",\n]",
            ),
            (
                "conf/pytest.ini",
                "[pytest]",
                "[pytest]\naddopts_skip = slow",
            ),
        ] {
            assert!(is_found(path, old, new), "{path} {new}");
        }
    }

    #[test]
    fn what_is_stricter_or_says_nothing_is_let_be() {
        for (path, old, new) in [
            (
                ".reek.yml",
                "exclude_paths:",
                "exclude_paths:\n  - vendor/js",
            ),
            ("mypy.ini", "ignore_errors = true", "ignore_errors = false"),
            (
                "ruff.toml",
                "ignore = [\"E501\", \"F401\"]",
                "ignore = [\"E501\"]",
            ),
            ("wdio.conf.ts", "a", "  // exclude: ['x.spec.ts'],"),
            ("mypy.ini", "[mypy]", "[mypy]\nwarn_unused_ignores = true"),
            ("wdio.conf.ts", "a", "  specs: ['x.spec.ts'],"),
            ("src/a.py", "exclude = []", "exclude = ['a']"),
            (
                ".eslintrc.json",
                "\"no-eval\": \"warn\"",
                "\"no-eval\": \"error\"",
            ),
        ] {
            assert!(!is_found(path, old, new), "{path} {new}");
        }
    }

    #[test]
    fn a_list_that_gets_shorter_is_spared_by_the_rules_too() {
        let weakened = |old: &str, new: &str| {
            let found = scanned(&changed("ruff.toml", &[old], &[new]), None).findings;
            found
                .iter()
                .any(|one| one.message.contains("[weak-lint-ignore]"))
        };
        assert!(weakened(
            "ignore = [\"E501\"]",
            "ignore = [\"E501\", \"F401\"]"
        ));
        assert!(!weakened(
            "ignore = [\"E501\", \"F401\"]",
            "ignore = [\"E501\"]"
        ));
        assert!(weakened(
            "select = [\"E501\", \"F401\"]",
            "ignore = [\"E501\"]"
        ));
    }
}
