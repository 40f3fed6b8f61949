//! Compiled rules: globs for paths, patterns for text. Compiling checks the examples, so a rule that
//! does not do what its author thought is refused before it judges anything.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use baton_patch::path;
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
                fits(&matcher, path.as_bytes())
            })?;
            Ok((rule, matcher))
        });
        Ok(Self {
            rules: compiled.collect::<Result<_, Problem>>()?,
        })
    }

    /// The first rule that matches a path, given as its bytes: a name that is not UTF-8 or holds
    /// control characters is matched as it is, never as it is shown.
    #[must_use]
    pub fn first_match(&self, path: impl AsRef<[u8]>) -> Option<&'a PathRule> {
        let path = path.as_ref();
        self.rules
            .iter()
            .find(|(_, matcher)| fits(matcher, path))
            .map(|(rule, _)| *rule)
    }

    /// As [`Self::first_match`], and also under the name that other file systems make of the path:
    /// `A.PEM.` is a key on some. For rules that forbid.
    #[must_use]
    pub fn first_match_folded(&self, path: impl AsRef<[u8]>) -> Option<&'a PathRule> {
        let path = path.as_ref();
        self.first_match(path)
            .or_else(|| self.first_match(path::fold(path)))
    }
}

fn fits(matcher: &GlobMatcher, path: &[u8]) -> bool {
    matcher.is_match(Path::new(OsStr::from_bytes(path)))
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

/// One entry of a scope. A name such as `app/[id]/page.tsx` is a glob and a plain path, so both
/// readings count.
#[derive(Debug)]
struct Entry {
    plain: Vec<u8>,
    matcher: Option<GlobMatcher>,
}

impl Entry {
    /// Reads an entry. One that ends with `/` means everything below.
    fn compile(text: &str, case: Case) -> Result<Self, String> {
        let below = text.strip_suffix('/').map(|folder| format!("{folder}/**"));
        let text = below.as_deref().unwrap_or(text);
        let matcher = match glob(text, case) {
            Ok(matcher) => Some(matcher),
            Err(_) if !text.contains(['*', '?']) => None,
            Err(why) => return Err(why),
        };
        let plain = match case {
            Case::Exact => text.as_bytes().to_vec(),
            Case::Folded => path::fold(text.as_bytes()),
        };
        Ok(Self { plain, matcher })
    }

    fn names(&self, path: &[u8]) -> bool {
        self.plain == path
            || self
                .matcher
                .as_ref()
                .is_some_and(|matcher| fits(matcher, path))
    }
}

/// What a task lets change.
#[derive(Debug)]
pub struct ScopeRules {
    allowed: Vec<Entry>,
    denied: Vec<Entry>,
}

impl ScopeRules {
    /// Compiles a task's scope.
    ///
    /// # Errors
    /// `TASK_INVALID` for a glob that cannot be read.
    pub fn compile(scope: &Scope) -> Result<Self, Problem> {
        let compile = |entries: &[String], case| {
            let entries = entries.iter().map(|entry| Entry::compile(entry, case));
            entries
                .collect::<Result<_, _>>()
                .map_err(|why| Problem::fail("TASK_INVALID", format!("task: scope: {why}")))
        };
        Ok(Self {
            allowed: compile(&scope.allow_patch_on_files, Case::Exact)?,
            denied: compile(&scope.deny_paths_glob, Case::Folded)?,
        })
    }

    /// Whether a path may change: some entry allows it, none denies it, and none is the plain name of
    /// a folder that it lies in.
    #[must_use]
    pub fn allows(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        self.allowed.iter().any(|entry| entry.names(path)) && !self.denies(path)
    }

    fn denies(&self, path: &[u8]) -> bool {
        let folded = path::fold(path);
        let lies_in = |entry: &Entry| {
            let rest = folded.strip_prefix(entry.plain.as_slice());
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.denied
            .iter()
            .any(|entry| entry.names(path) || entry.names(&folded) || lies_in(entry))
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
    pub fn for_path<'s>(&'s self, path: &'s [u8]) -> impl Iterator<Item = &'s CompiledRisk<'a>> {
        let folded = path::fold(path);
        self.rules.iter().filter(move |risk| {
            let reads = |glob: &GlobMatcher| fits(glob, path) || fits(glob, &folded);
            risk.places.is_empty() || risk.places.iter().any(reads)
        })
    }

    /// Every rule.
    pub fn all(&self) -> impl Iterator<Item = &CompiledRisk<'a>> {
        self.rules.iter()
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
    fn a_name_is_matched_by_its_bytes() {
        let rules = [rule("**/.github/**", ".github/x", "x")];
        let rules = PathRules::compile(&rules, Case::Folded).unwrap();
        for path in [
            &b".github/a\tb"[..],
            b".github/a\nb",
            b"x/.GitHub/\xff",
            b".github/\x7f/y",
        ] {
            assert!(rules.first_match(path).is_some(), "{}", path.escape_ascii());
        }
        assert!(rules.first_match(".github./x").is_none());
        assert!(rules.first_match_folded(".github./x").is_some());
    }

    #[test]
    fn an_entry_with_a_last_slash_means_everything_below() {
        let scope = Scope {
            target_files: Vec::new(),
            allow_patch_on_files: vec!["src/".to_owned()],
            deny_paths_glob: vec!["src/gen/".to_owned()],
        };
        let rules = ScopeRules::compile(&scope).unwrap();
        assert!(rules.allows("src/a/b.rs"));
        assert!(!rules.allows("srcs/a") && !rules.allows("src/gen/a/b"));
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
            deny_paths_glob: ["src/secret/**", "src/old", "src/[id]/page.tsx", "src/x/*"]
                .map(str::to_owned)
                .to_vec(),
        };
        let rules = ScopeRules::compile(&scope).unwrap();
        for path in [
            "src/a.rs",
            "src/b/c.rs",
            "src/x/y/z.rs",
            "app/[id]/page.tsx",
        ] {
            assert!(rules.allows(path), "{path}");
        }
        for path in [
            "SRC/a.rs",
            "src",
            "README.md",
            "src/secret/x",
            "src/Secret/x",
            "src/Secret./x",
            "src/old/a/b.rs",
            "src/[id]/page.tsx",
            "src/[ID]/page.tsx",
        ] {
            assert!(!rules.allows(path), "{path}");
        }
    }
}
