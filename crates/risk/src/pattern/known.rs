//! What the patterns tell that baton comes with: read once, and kept beside them. A change calls up dozens of
//! rules, and to read a pattern costs more than what most of them then do.

use baton_core::digest;

use crate::pattern::shape::Facts;

/// A line for each pattern: the beginning of the SHA-256 of it and its keywords, and what it tells in JSON; in
/// order. A test makes it from the rules and holds it to them.
const TABLE: &str = include_str!("known.txt");
/// So many hexadecimal digits tell one pattern from every other.
const DIGITS: usize = 32;

/// What a pattern with these keywords tells, where it is one of those.
pub(crate) fn facts(pattern: &str, keywords: &[String]) -> Option<Facts> {
    let key = key(pattern, keywords);
    let line = line_from(first_from(&key)).filter(|line| line.starts_with(&key))?;
    serde_json::from_str(line.get(DIGITS..)?).ok()
}

fn key(pattern: &str, keywords: &[String]) -> String {
    let mut text = pattern.to_owned();
    for word in keywords {
        text.push('\0');
        text += word;
    }
    let mut digest = digest::sha256(text.as_bytes());
    digest.truncate(DIGITS);
    digest
}

/// Where the first line starts that does not lie before a key.
fn first_from(key: &str) -> usize {
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = low.midpoint(high);
        let head = TABLE.as_bytes().get(..middle).unwrap_or_default();
        let start = memchr::memrchr(b'\n', head).map_or(0, |end| end + 1);
        match line_from(start) {
            Some(line) if line < key => low = start + line.len() + 1,
            _ => high = start,
        }
    }
    low
}

fn line_from(start: usize) -> Option<&'static str> {
    TABLE.get(start..)?.lines().next()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use baton_core::policy::Policy;

    use super::*;
    use crate::pattern::shape;
    use crate::rule::secret;

    /// Every pattern that baton comes with, each with the keywords that it may hold.
    fn patterns() -> BTreeSet<(String, Vec<String>)> {
        let policy = Policy::parse(include_bytes!("../../../../ssot/POLICY.json")).unwrap();
        let own = include_bytes!("../../../../ssot/SECRET_RULES.toml");
        let secrets = secret::read("SECRET_RULES.toml", own).unwrap();
        let mut patterns = BTreeSet::new();
        for rule in &policy.risk_rules {
            patterns.insert((rule.pattern.to_string(), Vec::new()));
        }
        for rule in &secrets.rules {
            let lower = |word: &str| word.to_ascii_lowercase();
            let regex = rule.regex.iter();
            patterns.extend(
                regex.map(|regex| (regex.clone(), rule.keywords.iter().map(lower).collect())),
            );
            patterns.extend(rule.path.iter().map(|path| (path.clone(), Vec::new())));
        }
        patterns
    }

    #[test]
    fn the_facts_are_those_of_the_patterns() {
        let mut lines = BTreeSet::new();
        for (pattern, keywords) in patterns() {
            let (facts, _) = shape::facts_of(&pattern, &keywords);
            let json = serde_json::to_string(&facts).unwrap();
            lines.insert(format!("{}{json}\n", key(&pattern, &keywords)));
        }
        let table: String = lines.into_iter().collect();
        if std::env::var_os("BATON_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pattern/known.txt");
            std::fs::write(path, &table).unwrap();
            return;
        }
        assert!(
            table == TABLE,
            "make it anew: BATON_BLESS=1 cargo test -p baton-risk"
        );
        for (pattern, keywords) in patterns() {
            let (written, _) = shape::facts_of(&pattern, &keywords);
            let known = facts(&pattern, &keywords).unwrap();
            assert_eq!(format!("{known:?}"), format!("{written:?}"), "{pattern}");
        }
    }

    #[test]
    fn another_pattern_is_not_known() {
        for pattern in ["", "x", "(?i)eval"] {
            assert!(facts(pattern, &[]).is_none());
        }
        let (pattern, keywords) = patterns()
            .into_iter()
            .find(|(_, words)| !words.is_empty())
            .unwrap();
        assert!(facts(&pattern, &keywords).is_some());
        assert!(facts(&pattern, &keywords[1..]).is_none());
    }
}
