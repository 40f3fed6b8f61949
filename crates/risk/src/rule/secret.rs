//! Rules for secrets: what counts as one, and what an allowlist leaves alone.

use std::ops::Range;
use std::rc::Rc;

use baton_core::policy::Texts;
use baton_core::problem::Problem;
use regex_syntax::hir::Hir;
use serde::Deserialize;

use crate::pattern::needs::Needs;
use crate::pattern::{Groups, Pattern, Regex};
pub(crate) use crate::rule::secret_file::{MAX_BYTES, OWN, read};

/// What the fields of an allowlist are joined by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Condition {
    #[default]
    #[serde(rename = "OR", alias = "or", alias = "||")]
    Any,
    #[serde(rename = "AND", alias = "and", alias = "&&")]
    All,
}

/// What the regexes of an allowlist look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    #[default]
    #[serde(alias = "")]
    Secret,
    Match,
    Line,
}

/// One rule for secrets.
#[derive(Debug)]
pub(crate) struct SecretRule {
    pub(crate) id: String,
    pub(crate) description: String,
    /// None for a rule that looks at the path alone.
    pub(crate) regex: Option<String>,
    pub(crate) path: Option<String>,
    /// What a path must hold for that pattern to match.
    pub(crate) path_needs: Option<Needs>,
    pub(crate) keywords: Texts,
    pub(crate) group: usize,
    pub(crate) entropy: f64,
    pub(crate) allowlists: Vec<Allowlist>,
    /// The name of its file, for messages.
    pub(crate) file: Rc<str>,
    /// Whether it is of the file that baton comes with.
    pub(crate) is_shipped: bool,
}

/// What one rule, or every rule, leaves alone.
#[derive(Debug)]
pub(crate) struct Allowlist {
    pub(crate) condition: Condition,
    pub(crate) paths: Vec<Pattern>,
    pub(crate) regexes: Vec<Pattern>,
    pub(crate) target: Target,
    /// Lower case.
    pub(crate) stopwords: Vec<String>,
    /// Whether it names commits. What is judged has no commit yet, so that none of them is this one.
    pub(crate) names_commits: bool,
    pub(crate) rules: Vec<String>,
    /// Whose it is, for messages.
    pub(crate) owner: String,
}

/// One file, read.
#[derive(Debug, Default)]
pub(crate) struct SecretFile {
    pub(crate) rules: Vec<SecretRule>,
    /// Those that count for every rule, of this file or another.
    pub(crate) allowlists: Vec<Allowlist>,
}

/// A place that a rule's pattern matched.
pub(crate) struct Place<'t> {
    pub(crate) path: &'t [u8],
    pub(crate) matched: &'t [u8],
    pub(crate) secret: &'t [u8],
    pub(crate) line: &'t [u8],
}

impl SecretRule {
    /// The secret within a match: the group that the rule names, else the first group that took
    /// part, else the whole match.
    pub(crate) fn secret(&self, groups: &Groups) -> Option<Range<usize>> {
        let named = (self.group > 0).then(|| groups.get_group(self.group));
        let first = || {
            let mut groups = groups.iter().skip(1).flatten();
            groups.find(|group| !group.is_empty())
        };
        let whole = || groups.get_group(0);
        let secret = named.flatten().or_else(first).or_else(whole);
        secret.map(|group| group.range())
    }

    /// Whether a match counts: its secret is random enough, and no allowlist leaves it alone.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID` for a pattern that cannot be compiled.
    pub(crate) fn counts(
        &self,
        place: &Place<'_>,
        everywhere: &[Allowlist],
    ) -> Result<bool, Problem> {
        if self.entropy > 0.0 && entropy(place.secret) <= self.entropy {
            return Ok(false);
        }
        for list in self.allowlists.iter().chain(everywhere) {
            let speaks = list.rules.is_empty() || list.rules.contains(&self.id);
            if speaks && list.spares(place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The compiled pattern, once it is known to do what the rule says.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID`.
    pub(crate) fn compile(&self, hir: &Result<Rc<Hir>, String>) -> Result<Regex, Problem> {
        let text = self.regex.as_deref().unwrap_or_default();
        let hir = hir.as_ref().map_err(|why| self.invalid(why))?;
        let shape = hir.properties();
        let why = match self.group {
            _ if shape.minimum_len().is_none() => "its regex matches nothing".to_owned(),
            _ if shape.minimum_len() == Some(0) => "its regex can match an empty text".to_owned(),
            group if group > shape.explicit_captures_len() => {
                format!("secretGroup {group} is no group of its regex")
            }
            _ => return Regex::of_hir(text, Rc::clone(hir)).map_err(|why| self.invalid(&why)),
        };
        Err(self.invalid(&why))
    }

    /// The rule's other patterns, for a full check.
    pub(crate) fn check_others(&self) -> Result<(), Problem> {
        if let Some(path) = &self.path {
            Regex::of(path).map_err(|why| self.invalid(&why))?;
        }
        self.allowlists.iter().try_for_each(Allowlist::check_all)
    }

    pub(crate) fn invalid(&self, why: &str) -> Problem {
        invalid(&format!("rule {} of {}", self.id, self.file), why)
    }
}

impl Allowlist {
    fn spares(&self, place: &Place<'_>) -> Result<bool, Problem> {
        let text = match self.target {
            Target::Secret => place.secret,
            Target::Match => place.matched,
            Target::Line => place.line,
        };
        let by_path = self.any(&self.paths, place.path)?;
        let by_regex = self.finds(text)?;
        let lower = place.secret.to_ascii_lowercase();
        let holds = |word: &String| {
            let mut parts = lower.windows(word.len().max(1));
            parts.any(|part| part == word.as_bytes())
        };
        let by_word = self.stopwords.iter().any(holds);
        if self.condition == Condition::Any {
            return Ok(by_path || by_regex || by_word);
        }
        let given = [
            (self.paths.is_empty(), by_path),
            (self.regexes.is_empty(), by_regex),
            (self.stopwords.is_empty(), by_word),
            (!self.names_commits, false),
        ];
        let mut asked = given.iter().filter(|(absent, _)| !absent).peekable();
        Ok(asked.peek().is_some() && asked.all(|(_, spared)| *spared))
    }

    pub(crate) fn check_all(&self) -> Result<(), Problem> {
        let wrong = |why: String| invalid(&self.owner, &why);
        for pattern in self.paths.iter().chain(&self.regexes) {
            pattern.get().map_err(wrong)?;
        }
        self.finds(b"").map(drop)
    }

    /// Whether a regex finds something to leave alone. One that can be empty would in any text.
    fn finds(&self, text: &[u8]) -> Result<bool, Problem> {
        let found = self.any(&self.regexes, text)?;
        if found && self.any(&self.regexes, b"")? {
            let why = "a regex can match an empty text, which stands in every secret";
            return Err(invalid(&self.owner, why));
        }
        Ok(found)
    }

    fn any(&self, patterns: &[Pattern], text: &[u8]) -> Result<bool, Problem> {
        for pattern in patterns {
            let regex = pattern.get().map_err(|why| invalid(&self.owner, &why))?;
            if regex.is_match(text) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is wrong with a part of a rule file, and the next step.
pub(crate) fn invalid(owner: &str, why: &str) -> Problem {
    Problem::fail(
        "SECRET_RULES_INVALID",
        format!("secret rules: {owner}: {why}"),
    )
    .hint("correct the file, and its SHA-256 under secret_rules.files of POLICY.json")
}

/// Shannon entropy of the bytes, in bits per byte.
pub(crate) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(1));
    let shares = counts.iter().filter(|count| **count > 0);
    shares
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[allowlists]]
        paths = ['''(^|/)vendor/''']
        [[rules]]
        id = "one"
        regex = '''key=([a-z0-9]{8,})'''
        entropy = 2.5
        keywords = ["key="]
        [[rules.allowlists]]
        stopwords = ["example"]
        [[rules.allowlists]]
        condition = "AND"
        regexTarget = "line"
        regexes = ['''^#''']
        paths = ['''\.md$''']
    "#;

    fn counts(path: &str, line: &str) -> bool {
        let file = read("test", FILE.as_bytes()).unwrap();
        let rule = &file.rules[0];
        let regex = Regex::of(rule.regex.as_deref().unwrap()).unwrap();
        let line = line.as_bytes();
        let groups = regex.groups_at(line, 0).unwrap();
        let place = Place {
            path: path.as_bytes(),
            matched: &line[groups.get_group(0).unwrap().range()],
            secret: &line[rule.secret(&groups).unwrap()],
            line,
        };
        rule.counts(&place, &file.allowlists).unwrap()
    }

    #[test]
    fn entropy_and_allowlists_count() {
        assert!(counts("a.py", "key=q7w2e9r4t1"));
        assert!(!counts("a.py", "key=aaaaaaaaab"));
        assert!(!counts("a.py", "key=q7example4t1"));
        assert!(!counts("x/vendor/a.py", "key=q7w2e9r4t1"));
        assert!(!counts("a.md", "# key=q7w2e9r4t1"));
        assert!(counts("a.md", "key=q7w2e9r4t1"));
        assert!(counts("a.py", "# key=q7w2e9r4t1"));
    }

    #[derive(Deserialize)]
    struct Examples {
        #[serde(rename = "match")]
        matches: Vec<String>,
        no_match: Vec<String>,
        #[serde(default)]
        path_match: Vec<String>,
        #[serde(default)]
        path_no_match: Vec<String>,
    }

    /// Whether a rule of the default file finds something in a text, as a scan would look for it.
    fn finds(rule: &SecretRule, file: &SecretFile, text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        let Some(regex) = &rule.regex else {
            return false;
        };
        let regex = Regex::of(regex).unwrap();
        let mut found = regex.all_in(text.as_bytes()).filter(|found| {
            let matched = &text.as_bytes()[found.clone()];
            let groups = regex.groups_at(text.as_bytes(), found.start).unwrap();
            let held = String::from_utf8_lossy(matched).to_ascii_lowercase();
            let place = Place {
                path: b"",
                matched,
                secret: &text.as_bytes()[rule.secret(&groups).unwrap()],
                line: text.as_bytes(),
            };
            rule.keywords.iter().any(|word| held.contains(word))
                && rule.counts(&place, &file.allowlists).unwrap()
        });
        found.next().is_some() && rule.keywords.iter().any(|word| lower.contains(word))
    }

    #[test]
    fn every_default_rule_does_what_its_examples_say() {
        let file = read(
            "default",
            include_bytes!("../../../../ssot/SECRET_RULES.toml"),
        )
        .unwrap();
        assert!(file.rules.len() >= 120, "{}", file.rules.len());
        // The mark keeps the made-up credentials from looking alive in this repository.
        let examples = include_str!("../../tests/secret_examples.json").replace("{~~}", "");
        let examples: std::collections::BTreeMap<String, Examples> =
            serde_json::from_str(&examples).unwrap();
        let mut wrong = Vec::new();
        for rule in &file.rules {
            let Some(own) = examples.get(&rule.id) else {
                wrong.push(format!("{}: no examples", rule.id));
                continue;
            };
            let few = own.matches.len() < 2 || own.no_match.is_empty();
            let few_paths = own.path_match.is_empty() || own.path_no_match.is_empty();
            if (rule.regex.is_some() && few) || (rule.path.is_some() && few_paths) {
                wrong.push(format!("{}: too few examples", rule.id));
            }
            let missed = own.matches.iter().filter(|text| !finds(rule, &file, text));
            wrong.extend(missed.map(|text| format!("{}: misses {text}", rule.id)));
            let false_alarm = own.no_match.iter().filter(|text| finds(rule, &file, text));
            wrong.extend(false_alarm.map(|text| format!("{}: finds {text}", rule.id)));
            if let Some(path) = &rule.path {
                let path = Regex::of(path).unwrap();
                let fits = |name: &&String| path.is_match(name.as_bytes());
                wrong.extend(own.path_match.iter().filter(|name| !fits(name)).cloned());
                wrong.extend(own.path_no_match.iter().filter(fits).cloned());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn entropy_is_told_in_bits_per_byte() {
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9 && entropy(b"") == 0.0);
    }

    #[test]
    fn a_list_that_also_asks_for_a_commit_spares_nothing() {
        let spares = |list: &str| {
            let text =
                format!("[[rules]]\nid = 'a'\nregex = 'tok_[a-z]+'\n[[rules.allowlists]]\n{list}");
            let file = read("test", text.as_bytes()).unwrap();
            let place = Place {
                path: b"a",
                matched: b"tok_abc",
                secret: b"tok_abc",
                line: b"tok_abc",
            };
            !file.rules[0].counts(&place, &[]).unwrap()
        };
        assert!(spares("condition = 'AND'\nregexes = ['tok_']"));
        assert!(spares("commits = ['abc']\nregexes = ['tok_']"));
        assert!(spares(
            "condition = 'AND'\npaths = ['.*']\nregexes = ['tok_']"
        ));
        assert!(!spares("commits = ['abc']"));
        assert!(!spares(
            "condition = 'AND'\ncommits = ['abc']\nregexes = ['tok_']"
        ));
    }
}
