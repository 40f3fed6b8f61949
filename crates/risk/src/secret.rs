//! Rules for secrets, read from files in the rule format of gitleaks (TOML).
//!
//! Field names and their meaning are that format's, so that a team can bring the file it already
//! trusts: a rule's `regex`, `secretGroup`, `entropy`, `keywords`, `path` and allowlists count here
//! as there. What has no meaning for one change (commits) or would read other files (`extend`) is
//! refused with a word on what to do instead.

use baton_core::problem::Problem;
use regex::bytes::Captures;
use serde::Deserialize;

use crate::pattern::{self, Pattern};

/// The largest rule file, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The most rules of one file.
const MOST_RULES: usize = 5000;

/// The content of a rule file. Unknown keys are ignored, as the format's own reader does.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    rules: Vec<FileRule>,
    #[serde(default)]
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
    #[serde(default)]
    extend: Option<toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRule {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    regex: Option<String>,
    #[serde(default)]
    secret_group: usize,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAllowlist {
    #[serde(default)]
    condition: Condition,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    regex_target: Target,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    target_rules: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Condition {
    #[default]
    #[serde(rename = "OR", alias = "or", alias = "||")]
    Any,
    #[serde(rename = "AND", alias = "and", alias = "&&")]
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Target {
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
    pub(crate) keywords: Vec<String>,
    group: usize,
    entropy: f64,
    allowlists: Vec<Allowlist>,
}

/// What one rule, or every rule, leaves alone.
#[derive(Debug)]
pub(crate) struct Allowlist {
    condition: Condition,
    paths: Vec<Pattern>,
    regexes: Vec<Pattern>,
    target: Target,
    /// Lower case.
    stopwords: Vec<String>,
    rules: Vec<String>,
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

/// Reads one rule file.
///
/// # Errors
/// `SECRET_RULES_INVALID` naming the file, the rule and what is wrong.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<SecretFile, Problem> {
    let invalid = |why: String| {
        Problem::fail("SECRET_RULES_INVALID", format!("secret rules {name}: {why}")).hint(
            "expected a rule file in the format of gitleaks: [[rules]] with id, regex or path, keywords",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let file: File = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
    if file.extend.is_some() {
        return Err(invalid("it has [extend]".to_owned())
            .hint("list every file under secret_rules.files of POLICY.json instead"));
    }
    if file.rules.is_empty() || file.rules.len() > MOST_RULES {
        let seen = file.rules.len();
        return Err(invalid(format!(
            "it has {seen} rules, expected 1 to {MOST_RULES}"
        )));
    }
    let rules = file.rules.into_iter().map(|rule| rule.check());
    let allowlists = file.allowlist.into_iter().chain(file.allowlists);
    Ok(SecretFile {
        rules: rules.collect::<Result<_, String>>().map_err(invalid)?,
        allowlists: allowlists.map(Allowlist::from).collect(),
    })
}

impl FileRule {
    fn check(self) -> Result<SecretRule, String> {
        let id = self.id;
        let named = |what: &str| format!("rule \"{}\" {what}", id.escape_debug());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if id.is_empty() || id.len() > 100 || !id.bytes().all(plain) {
            return Err(named("has no plain id"));
        }
        if self.regex.is_none() && self.path.is_none() {
            return Err(named("has neither regex nor path"));
        }
        if self
            .keywords
            .iter()
            .any(|word| word.is_empty() || !word.is_ascii())
        {
            return Err(named("has a keyword that is empty or not ASCII"));
        }
        let allowlists = self.allowlist.into_iter().chain(self.allowlists);
        Ok(SecretRule {
            description: if self.description.is_empty() {
                format!("A secret of the kind {id}")
            } else {
                self.description
            },
            regex: self.regex,
            path: self.path,
            keywords: self.keywords,
            group: self.secret_group,
            entropy: self.entropy,
            allowlists: allowlists.map(Allowlist::from).collect(),
            id,
        })
    }
}

impl From<FileAllowlist> for Allowlist {
    fn from(list: FileAllowlist) -> Self {
        let patterns = |texts: Vec<String>| texts.into_iter().map(Pattern::new).collect();
        Self {
            condition: list.condition,
            paths: patterns(list.paths),
            regexes: patterns(list.regexes),
            target: list.regex_target,
            stopwords: list
                .stopwords
                .iter()
                .map(|word| word.to_ascii_lowercase())
                .collect(),
            rules: list.target_rules,
        }
    }
}

impl SecretRule {
    /// The secret within a match: the group that the rule names, else the first group that took
    /// part, else the whole match.
    pub(crate) fn secret<'t>(&self, captures: &Captures<'t>) -> Option<&'t [u8]> {
        let named = (self.group > 0).then(|| captures.get(self.group)).flatten();
        let first = || {
            captures
                .iter()
                .skip(1)
                .flatten()
                .find(|group| !group.is_empty())
        };
        let whole = || captures.get(0);
        named
            .or_else(first)
            .or_else(whole)
            .map(|group| group.as_bytes())
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

    /// Every pattern of the rule, for a full check.
    pub(crate) fn check_all(&self) -> Result<(), Problem> {
        let own = self.regex.iter().chain(&self.path);
        for text in own {
            pattern::compile(text).map_err(|why| self.invalid(&why))?;
        }
        self.allowlists.iter().try_for_each(Allowlist::check_all)
    }

    pub(crate) fn invalid(&self, why: &str) -> Problem {
        Problem::fail(
            "SECRET_RULES_INVALID",
            format!("secret rule {}: {why}", self.id),
        )
        .hint("correct the rule in its file, and its SHA-256 in POLICY.json")
    }
}

impl Allowlist {
    fn spares(&self, place: &Place<'_>) -> Result<bool, Problem> {
        let text = match self.target {
            Target::Secret => place.secret,
            Target::Match => place.matched,
            Target::Line => place.line,
        };
        let by_path = any(&self.paths, place.path)?;
        let by_regex = any(&self.regexes, text)?;
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
        ];
        let mut asked = given.iter().filter(|(absent, _)| !absent).peekable();
        Ok(asked.peek().is_some() && asked.all(|(_, spared)| *spared))
    }

    pub(crate) fn check_all(&self) -> Result<(), Problem> {
        let mut patterns = self.paths.iter().chain(&self.regexes);
        patterns.try_for_each(|pattern| pattern.get().map(drop))
    }
}

fn any(patterns: &[Pattern], text: &[u8]) -> Result<bool, Problem> {
    for pattern in patterns {
        if pattern.get()?.is_match(text) {
            return Ok(true);
        }
    }
    Ok(false)
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
        let regex = pattern::compile(rule.regex.as_deref().unwrap()).unwrap();
        let captures = regex.captures(line.as_bytes()).unwrap();
        let place = Place {
            path: path.as_bytes(),
            matched: captures.get(0).unwrap().as_bytes(),
            secret: rule.secret(&captures).unwrap(),
            line: line.as_bytes(),
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
        let regex = pattern::compile(regex).unwrap();
        let mut found = regex.captures_iter(text.as_bytes()).filter(|captures| {
            let matched = captures.get(0).unwrap();
            let held = String::from_utf8_lossy(matched.as_bytes()).to_ascii_lowercase();
            let place = Place {
                path: b"",
                matched: matched.as_bytes(),
                secret: rule.secret(captures).unwrap(),
                line: text.as_bytes(),
            };
            rule.keywords
                .iter()
                .any(|word| held.contains(word.as_str()))
                && rule.counts(&place, &file.allowlists).unwrap()
        });
        found.next().is_some()
            && rule
                .keywords
                .iter()
                .any(|word| lower.contains(word.as_str()))
    }

    #[test]
    fn every_default_rule_does_what_its_examples_say() {
        let file = read("default", include_bytes!("../../../ssot/SECRET_RULES.toml")).unwrap();
        assert!(file.rules.len() >= 120, "{}", file.rules.len());
        // The mark keeps the made-up credentials from looking alive in this repository.
        let examples = include_str!("../tests/secret_examples.json").replace("{~~}", "");
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
                let path = pattern::compile(path).unwrap();
                let fits = |name: &&String| path.is_match(name.as_bytes());
                wrong.extend(own.path_match.iter().filter(|name| !fits(name)).cloned());
                wrong.extend(own.path_no_match.iter().filter(fits).cloned());
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_is_no_rule_file_is_refused() {
        for text in [
            "",
            "rules = 1",
            "[[rules]]\nid = 'a b'\nregex = 'x'",
            "[[rules]]\nid = 'a'",
            "[extend]\nuseDefault = true\n[[rules]]\nid = 'a'\nregex = 'x'",
            "[[rules]]\nid = 'a'\nregex = 'x'\nkeywords = ['']",
        ] {
            let problem = read("test", text.as_bytes()).unwrap_err();
            assert_eq!(problem.code, "SECRET_RULES_INVALID", "{text}");
        }
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9 && entropy(b"") == 0.0);
    }
}
