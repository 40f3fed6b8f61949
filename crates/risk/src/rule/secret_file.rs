//! Reads rule files for secrets, in the rule format of gitleaks (TOML).
//!
//! Field names and their meaning are that format's, so that a team can bring the file it already
//! trusts: a rule's `regex`, `secretGroup`, `entropy`, `keywords`, `path` and allowlists count here
//! as there. What is not known, would read other files (`extend`) or needs several matches
//! (`required`) is refused: a rule that is read in another way than its author meant finds nothing
//! and says nothing.

use std::rc::Rc;

use baton_core::policy::Texts;
use baton_core::problem::Problem;
use serde::Deserialize;

use crate::pattern::Pattern;
use crate::pattern::re2::translated;
use crate::pattern::shape;
use crate::rule::secret::{Allowlist, Condition, SecretFile, SecretRule, Target, invalid};

/// The largest rule file, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The most rules of one file.
const MOST_RULES: usize = 5000;
/// A byte holds no more entropy than this.
const MOST_ENTROPY: f64 = 8.0;

/// The rules that baton comes with.
pub(crate) const OWN: &[u8] = include_bytes!("../../../../ssot/SECRET_RULES.toml");
/// The same in JSON, for nearly every run reads them and TOML takes three times as long. A test makes it
/// from them and holds it to them.
const OWN_AS_JSON: &str = include_str!("own_rules.json");

/// The content of a rule file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    rules: Vec<FileRule>,
    #[serde(default)]
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
    #[serde(default)]
    extend: Option<toml::Table>,
    #[serde(default, rename = "title")]
    _title: Option<toml::Value>,
    #[serde(default, rename = "description")]
    _description: Option<toml::Value>,
    #[serde(default, rename = "minVersion")]
    _min_version: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
    keywords: Texts,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    allowlist: Option<FileAllowlist>,
    #[serde(default)]
    allowlists: Vec<FileAllowlist>,
    #[serde(default)]
    required: Vec<toml::Value>,
    #[serde(default)]
    skip_report: bool,
    #[serde(default, rename = "tags")]
    _tags: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileAllowlist {
    #[serde(default)]
    condition: Condition,
    #[serde(default)]
    commits: Vec<String>,
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
    #[serde(default, rename = "description")]
    _description: Option<toml::Value>,
}

/// Reads one rule file.
///
/// # Errors
/// `SECRET_RULES_INVALID` naming the file, the rule and what is wrong.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<SecretFile, Problem> {
    let wrong = |why: String| {
        invalid(name, &why).hint(
            "expected a rule file in the format of gitleaks: [[rules]] with id, regex or path, keywords",
        )
    };
    let file = content(bytes).map_err(wrong)?;
    if file.extend.is_some() {
        return Err(wrong("it has [extend]".to_owned())
            .hint("list every file under secret_rules.files of POLICY.json instead"));
    }
    if file.rules.is_empty() || file.rules.len() > MOST_RULES {
        let seen = file.rules.len();
        return Err(wrong(format!(
            "it has {seen} rules, expected 1 to {MOST_RULES}"
        )));
    }
    let name: Rc<str> = name.into();
    let is_shipped = bytes == OWN;
    let rules = file.rules.into_iter().map(|rule| rule.check(&name));
    let rules = rules.map(|rule| rule.map(|rule| SecretRule { is_shipped, ..rule }));
    let lists = file.allowlist.into_iter().chain(file.allowlists);
    let lists = lists.map(|list| list.check(name.to_string()));
    Ok(SecretFile {
        rules: rules.collect::<Result<_, _>>()?,
        allowlists: lists.collect::<Result<_, _>>()?,
    })
}

fn content(bytes: &[u8]) -> Result<File, String> {
    if bytes == OWN {
        return serde_json::from_str(OWN_AS_JSON).map_err(|error| error.to_string());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    file.translate();
    Ok(file)
}

impl File {
    /// Puts every pattern into our own syntax.
    fn translate(&mut self) {
        let lists = self.allowlist.iter_mut().chain(&mut self.allowlists);
        lists.for_each(FileAllowlist::translate);
        for rule in &mut self.rules {
            let patterns = rule.regex.iter_mut().chain(&mut rule.path);
            patterns.for_each(|pattern| *pattern = translated(pattern));
            let lists = rule.allowlist.iter_mut().chain(&mut rule.allowlists);
            lists.for_each(FileAllowlist::translate);
        }
    }
}

impl FileAllowlist {
    fn translate(&mut self) {
        let patterns = self.paths.iter_mut().chain(&mut self.regexes);
        patterns.for_each(|pattern| *pattern = translated(pattern));
    }
}

impl FileRule {
    fn check(self, file: &Rc<str>) -> Result<SecretRule, Problem> {
        if let Some(why) = self.wrong_fields().or_else(|| self.wrong_patterns().err()) {
            return Err(invalid(&owner(&self.id, file), &why));
        }
        let path_needs = self.path.as_deref().map(shape::needs_of).transpose();
        let path_needs = path_needs.map_err(|why| invalid(&owner(&self.id, file), &why))?;
        let lists = self.allowlist.into_iter().chain(self.allowlists);
        let lists =
            lists.map(|list| list.check(format!("an allowlist of {}", owner(&self.id, file))));
        Ok(SecretRule {
            description: if self.description.is_empty() {
                format!("A secret of the kind {}", self.id)
            } else {
                self.description
            },
            regex: self.regex,
            path: self.path,
            path_needs,
            keywords: self.keywords,
            group: self.secret_group,
            entropy: self.entropy,
            allowlists: lists.collect::<Result<_, _>>()?,
            id: self.id,
            file: Rc::clone(file),
            is_shipped: false,
        })
    }

    fn wrong_fields(&self) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_bad = |word: &str| word.is_empty() || !word.is_ascii();
        let why = match self {
            _ if self.id.is_empty() || self.id.len() > 100 || !self.id.bytes().all(plain) => {
                "its id is not plain: letters, digits, dots, `_` and `-`"
            }
            _ if self.regex.is_none() && self.path.is_none() => "it has neither regex nor path",
            _ if self.keywords.iter().any(is_bad) => "it has a keyword that is empty or not ASCII",
            _ if !self.required.is_empty() || self.skip_report => {
                "`required` and `skipReport` make one finding of several rules, which is not done \
                 here: write one regex for all, or leave the rule out"
            }
            _ if !(0.0..=MOST_ENTROPY).contains(&self.entropy) => {
                "its entropy is not in 0 to 8 bits: no text would ever be random enough"
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// What can be told of the patterns without reading each, which would cost every run more than the
    /// rest of it; [`crate::rule::Rule::check`] does, and the use of a rule.
    fn wrong_patterns(&self) -> Result<(), String> {
        if self.path.as_ref().is_some_and(String::is_empty) {
            return Err("its path is an empty pattern, which matches every file".to_owned());
        }
        let regex = self.regex.as_deref().unwrap_or("-");
        let most = regex.bytes().filter(|byte| *byte == b'(').count();
        match self.secret_group {
            _ if regex.is_empty() => Err("its regex is empty".to_owned()),
            group if group > most => Err(format!("secretGroup {group} is no group of its regex")),
            _ => Ok(()),
        }
    }
}

/// A rule, for messages.
fn owner(id: &str, file: &str) -> String {
    format!("rule \"{}\" of {file}", id.escape_debug())
}

impl FileAllowlist {
    fn check(self, owner: String) -> Result<Allowlist, Problem> {
        if let Err(why) = self.wrong() {
            return Err(invalid(&owner, &why));
        }
        let patterns = |texts: Vec<String>| texts.into_iter().map(Pattern::new).collect();
        let lower = self.stopwords.iter().map(|word| word.to_ascii_lowercase());
        Ok(Allowlist {
            condition: self.condition,
            stopwords: lower.collect(),
            names_commits: !self.commits.is_empty(),
            paths: patterns(self.paths),
            regexes: patterns(self.regexes),
            target: self.regex_target,
            rules: self.target_rules,
            owner,
        })
    }

    fn wrong(&self) -> Result<(), String> {
        let names = [&self.commits, &self.paths, &self.regexes, &self.stopwords];
        if names.iter().all(|list| list.is_empty()) {
            return Err("the allowlist names nothing".to_owned());
        }
        if names.iter().any(|list| list.iter().any(String::is_empty)) {
            return Err("the allowlist has an empty entry, which stands in every text".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Rule, Source};

    #[test]
    fn the_rules_that_baton_comes_with_are_the_same_in_both_forms() {
        let text = std::str::from_utf8(OWN).unwrap();
        let fields: toml::Table = toml::from_str(text).unwrap();
        let mut json = String::new();
        for (name, value) in &fields {
            json += if json.is_empty() { "{" } else { ",\n" };
            let one = |value: &toml::Value| serde_json::to_string(value).unwrap();
            json += &format!("\"{name}\": ");
            json += &match value.as_array() {
                Some(list) => {
                    let lines: Vec<String> = list.iter().map(one).collect();
                    format!("[\n{}\n]", lines.join(",\n"))
                }
                None => one(value),
            };
        }
        json += "}\n";
        if std::env::var_os("BATON_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rule/own_rules.json");
            std::fs::write(path, &json).unwrap();
            return;
        }
        assert!(
            json == OWN_AS_JSON,
            "make it anew: BATON_BLESS=1 cargo test -p baton-risk"
        );
        let written: File = toml::from_str(text).unwrap();
        assert_eq!(
            format!("{:?}", content(OWN).unwrap()),
            format!("{written:?}")
        );
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
    }

    #[test]
    fn a_rule_that_would_do_another_thing_than_it_says_is_refused() {
        for (field, word) in [
            ("regex = ''", "regex is empty"),
            ("regex = 'a(b)'\nsecretGroup = 2", "no group"),
            ("regex = 'ab'\nentropy = 100", "0 to 8"),
            ("regex = 'ab'\nentropy = nan", "0 to 8"),
            ("regex = 'ab'\nentropy = -1", "0 to 8"),
            ("path = '('", "unclosed group"),
            ("path = ''", "every file"),
            ("path = 'x'\nregexp = 'ab'", "unknown field `regexp`"),
            ("regex = 'ab'\nkeyword = ['a']", "unknown field `keyword`"),
            ("regex = 'ab'\nskipReport = true", "one finding of several"),
            ("regex = 'ab'\n[[rules.required]]\nid = 'b'", "one finding"),
            ("regex = 'ab'\n[[rules.allowlists]]", "names nothing"),
            (
                "regex = 'ab'\n[[rules.allowlists]]\nregexes = ['']",
                "empty entry",
            ),
            (
                "regex = 'ab'\n[[rules.allowlists]]\nregexp = ['x']",
                "unknown field",
            ),
        ] {
            let text = format!("[[rules]]\nid = 'one'\n{field}\n");
            let problem = read("own.toml", text.as_bytes()).unwrap_err();
            let message = problem.to_string();
            for part in ["own.toml", word] {
                assert!(message.contains(part), "{field}: no {part} in {message}");
            }
            assert!(!problem.hints.is_empty(), "{field}");
        }
        let text =
            "title = 't'\n[[rules]]\nid = 'one'\nregex = 'ab'\ntags = ['x']\nrequired = []\n";
        assert!(read("own.toml", text.as_bytes()).is_ok());
    }
    #[test]
    fn patterns_that_do_not_what_they_say_are_told_by_a_full_check() {
        for (field, word) in [
            ("regex = '('", "unclosed group"),
            ("regex = 'a*'", "empty text"),
            ("regex = '[^\\s\\S]'", "matches nothing"),
            ("regex = '\\((a)'\nsecretGroup = 2", "no group"),
            (
                "regex = 'ab'\n[[rules.allowlists]]\nregexes = ['(']",
                "unclosed group",
            ),
            (
                "regex = 'ab'\n[[rules.allowlists]]\nregexes = ['x?']",
                "every secret",
            ),
        ] {
            let text = format!("[[rules]]\nid = 'one'\n{field}\n");
            let rule = read("own.toml", text.as_bytes()).unwrap().rules.remove(0);
            let rule = Rule::new(Source::Secret(Box::new(rule)));
            let message = rule.check().unwrap_err().to_string();
            for part in ["own.toml", "one", word] {
                assert!(message.contains(part), "{field}: no {part} in {message}");
            }
        }
    }
}
