//! Compiled rules: globs for paths, patterns for text. Compiling checks the examples, so a rule that
//! does not do what its author thought is refused before it judges anything.

use std::cell::OnceCell;

use globset::{GlobBuilder, GlobMatcher};
use regex::bytes::{Regex, RegexBuilder};

use crate::policy::{PathRule, RiskRule};
use crate::problem::Problem;
use crate::task::Scope;

/// The largest compiled pattern, in bytes: a pattern is data and must not eat the memory.
const PATTERN_LIMIT: usize = 8 << 20;

/// Whether upper and lower case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// As written.
    Exact,
    /// The same: some file systems see one file in both, so a forbidding rule must too.
    Folded,
}

/// A set of path rules.
#[derive(Debug)]
pub struct PathRules<'a> {
    rules: Vec<(&'a PathRule, GlobMatcher)>,
}

impl<'a> PathRules<'a> {
    /// Compiles the rules and checks their examples.
    ///
    /// # Errors
    /// `POLICY_INVALID` for a glob that cannot be read, `POLICY_EXAMPLE` for an example that fails.
    pub fn compile(rules: &'a [PathRule], case: Case) -> Result<Self, Problem> {
        let compiled = rules.iter().map(|rule| {
            let matcher = glob(&rule.glob, case).map_err(|why| {
                Problem::fail("POLICY_INVALID", format!("policy rule {}: {why}", rule.id))
            })?;
            check(&rule.id, &rule.matches, &rule.no_match, |path| {
                matcher.is_match(path)
            })?;
            Ok((rule, matcher))
        });
        Ok(Self {
            rules: compiled.collect::<Result<_, Problem>>()?,
        })
    }

    /// The first rule that matches a path.
    #[must_use]
    pub fn first_match(&self, path: &str) -> Option<&'a PathRule> {
        self.rules
            .iter()
            .find(|(_, matcher)| matcher.is_match(path))
            .map(|(rule, _)| *rule)
    }
}

fn glob(text: &str, case: Case) -> Result<GlobMatcher, String> {
    GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .case_insensitive(case == Case::Folded)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| {
            format!(
                "glob \"{}\" cannot be read: {}",
                text.escape_debug(),
                error.kind()
            )
        })
}

fn check(
    id: &str,
    yes: &[String],
    no: &[String],
    matches: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let failed = |example: &str, expected: &str| {
        let shown: String = example
            .chars()
            .take(80)
            .flat_map(char::escape_debug)
            .collect();
        Problem::fail(
            "POLICY_EXAMPLE",
            format!("policy rule {id} {expected} its example \"{shown}\""),
        )
        .hint("correct the rule or the example in POLICY.json")
    };
    if let Some(example) = yes.iter().find(|example| !matches(example)) {
        return Err(failed(example, "does not match"));
    }
    match no.iter().find(|example| matches(example)) {
        Some(example) => Err(failed(example, "must not match and matches")),
        None => Ok(()),
    }
}

/// What a task lets change.
#[derive(Debug)]
pub struct ScopeRules {
    allowed: Vec<(String, Option<GlobMatcher>)>,
    denied: Vec<GlobMatcher>,
}

impl ScopeRules {
    /// Compiles a task's scope.
    ///
    /// # Errors
    /// `TASK_INVALID` for a glob that cannot be read.
    pub fn compile(scope: &Scope) -> Result<Self, Problem> {
        let invalid = |why: String| Problem::fail("TASK_INVALID", format!("task: scope: {why}"));
        let allowed = scope.allow_patch_on_files.iter().map(|entry| {
            // A name such as `app/[id]/page.tsx` is also a plain path, so both readings count.
            match glob(entry, Case::Exact) {
                Ok(matcher) => Ok((entry.clone(), Some(matcher))),
                Err(_) if !entry.contains(['*', '?']) => Ok((entry.clone(), None)),
                Err(why) => Err(invalid(why)),
            }
        });
        let denied = scope
            .deny_paths_glob
            .iter()
            .map(|entry| glob(entry, Case::Folded).map_err(invalid));
        Ok(Self {
            allowed: allowed.collect::<Result<_, _>>()?,
            denied: denied.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a path may change: some entry allows it and none denies it.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        let allowed = self.allowed.iter().any(|(plain, matcher)| {
            plain == path
                || matcher
                    .as_ref()
                    .is_some_and(|matcher| matcher.is_match(path))
        });
        allowed && !self.denied.iter().any(|matcher| matcher.is_match(path))
    }
}

/// A set of risk rules. A pattern is compiled when a file comes up that it reads.
#[derive(Debug)]
pub struct RiskRules<'a> {
    rules: Vec<CompiledRisk<'a>>,
}

/// One risk rule.
#[derive(Debug)]
pub struct CompiledRisk<'a> {
    /// The rule.
    pub rule: &'a RiskRule,
    places: Vec<GlobMatcher>,
    pattern: OnceCell<Regex>,
}

impl<'a> RiskRules<'a> {
    /// Compiles the globs; the patterns follow on first use.
    ///
    /// # Errors
    /// `POLICY_INVALID`.
    pub fn compile(rules: &'a [RiskRule]) -> Result<Self, Problem> {
        let compiled = rules.iter().map(|rule| {
            let places = rule.place.globs.iter().map(|text| {
                glob(text, Case::Folded).map_err(|why| {
                    Problem::fail("POLICY_INVALID", format!("policy rule {}: {why}", rule.id))
                })
            });
            Ok(CompiledRisk {
                rule,
                places: places.collect::<Result<_, Problem>>()?,
                pattern: OnceCell::new(),
            })
        });
        Ok(Self {
            rules: compiled.collect::<Result<_, Problem>>()?,
        })
    }

    /// The rules that read a file of this path.
    pub fn for_path<'s>(&'s self, path: &'s str) -> impl Iterator<Item = &'s CompiledRisk<'a>> {
        self.rules.iter().filter(move |risk| {
            risk.places.is_empty() || risk.places.iter().any(|glob| glob.is_match(path))
        })
    }

    /// Compiles every pattern, which checks its examples.
    ///
    /// # Errors
    /// `POLICY_EXAMPLE`, `POLICY_INVALID`.
    pub fn check_examples(&self) -> Result<(), Problem> {
        self.rules
            .iter()
            .try_for_each(|risk| risk.pattern().map(drop))
    }
}

impl CompiledRisk<'_> {
    /// The pattern, compiled and checked against its examples on first use.
    ///
    /// # Errors
    /// `POLICY_EXAMPLE`, `POLICY_INVALID`.
    pub fn pattern(&self) -> Result<&Regex, Problem> {
        if let Some(pattern) = self.pattern.get() {
            return Ok(pattern);
        }
        let rule = self.rule;
        let pattern = RegexBuilder::new(&rule.pattern)
            .size_limit(PATTERN_LIMIT)
            .build()
            .map_err(|error| {
                Problem::fail(
                    "POLICY_INVALID",
                    format!("policy rule {}: {error}", rule.id),
                )
            })?;
        check(&rule.id, &rule.matches, &rule.no_match, |text| {
            pattern.is_match(text.as_bytes())
        })?;
        Ok(self.pattern.get_or_init(|| pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(glob: &str, yes: &str, no: &str) -> PathRule {
        PathRule {
            id: "r".to_owned(),
            glob: glob.to_owned(),
            reason: "test".to_owned(),
            matches: vec![yes.to_owned()],
            no_match: vec![no.to_owned()],
        }
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_cross() {
        let rules = [
            rule("src/*.rs", "src/a.rs", "src/b/a.rs"),
            rule("**/Cargo.lock", "Cargo.lock", "Cargo.lock.txt"),
        ];
        let rules = PathRules::compile(&rules, Case::Exact).unwrap();
        for depth in ["Cargo.lock", "a/Cargo.lock", "a/b/c/d/e/Cargo.lock"] {
            assert!(rules.first_match(depth).is_some(), "{depth}");
        }
    }

    #[test]
    fn a_wrong_example_is_named() {
        let problem = PathRules::compile(&[rule("a", "b", "c")], Case::Exact).unwrap_err();
        assert_eq!(problem.code, "POLICY_EXAMPLE");
        assert!(
            problem
                .message
                .contains("rule r does not match its example \"b\""),
            "{problem}"
        );
        let problem = PathRules::compile(&[rule("*", "b", "c")], Case::Exact).unwrap_err();
        assert!(problem.message.contains("must not match"), "{problem}");
    }

    #[test]
    fn a_scope_allows_what_it_names_and_denial_wins() {
        let scope = Scope {
            target_files: Vec::new(),
            allow_patch_on_files: ["src/**", "app/[id]/page.tsx"].map(str::to_owned).to_vec(),
            deny_paths_glob: vec!["src/secret/**".to_owned()],
        };
        let rules = ScopeRules::compile(&scope).unwrap();
        for path in ["src/a.rs", "src/b/c.rs", "app/[id]/page.tsx"] {
            assert!(rules.allows(path), "{path}");
        }
        for path in [
            "SRC/a.rs",
            "src",
            "README.md",
            "src/secret/x",
            "src/Secret/x",
        ] {
            assert!(!rules.allows(path), "{path}");
        }
    }
}
