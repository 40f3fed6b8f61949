//! Whether a text can hold a secret at all by the rules that baton comes with, told without reading them:
//! every program masks what it says, and most of what is said holds no keyword, or is too short.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::keyword::Numbered;

/// The keywords of those rules in lower case, each behind the length of the shortest match of the rules
/// that it calls up, in bytes. A test makes it from the rules and holds it to them.
const TABLE: &str = include_str!("keywords.txt");

/// How the table writes a line feed.
const LINE_FEED: &str = "\\n";

thread_local! {
    static WORDS: OnceCell<Numbered> = const { OnceCell::new() };
}

fn pairs() -> impl Iterator<Item = (Cow<'static, [u8]>, usize)> {
    let pair = |line: &'static str| {
        let (length, word) = line.split_once(' ')?;
        let word = match word.contains(LINE_FEED) {
            true => Cow::Owned(word.replace(LINE_FEED, "\n").into_bytes()),
            false => Cow::Borrowed(word.as_bytes()),
        };
        Some((word, length.parse().ok()?))
    };
    TABLE.lines().filter_map(pair)
}

/// Whether one of the rules may match in this text, as it is.
pub(crate) fn may_hold(text: &[u8]) -> bool {
    WORDS.with(|words| {
        let words = words.get_or_init(|| Numbered::of(pairs()));
        words.least(text).is_some_and(|least| least <= text.len())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use super::*;
    use crate::pattern::shape;
    use crate::rule::secret;

    #[test]
    fn the_table_is_that_of_the_rules() {
        let own = include_bytes!("../../../../ssot/SECRET_RULES.toml");
        let file = secret::read("SECRET_RULES.toml", own).unwrap();
        let mut words = BTreeMap::new();
        for rule in file.rules.iter().filter(|rule| rule.path.is_none()) {
            assert!(!rule.keywords.is_empty(), "{} runs on every text", rule.id);
            let read = shape::read(rule.regex.as_deref().unwrap()).unwrap();
            let shortest = read.hir.properties().minimum_len().unwrap_or(0);
            for word in rule.keywords.iter() {
                // A path that is taken apart has blanks where it had none, so a blank asks for nothing.
                let word = word.split(' ').max_by_key(|part| part.len()).unwrap();
                assert!(!word.is_empty(), "{} has a blank keyword", rule.id);
                assert!(!word.contains('\\'), "{word} cannot be written");
                let word = word.replace('\n', LINE_FEED);
                let least = words.entry(word.to_ascii_lowercase()).or_insert(shortest);
                *least = shortest.min(*least);
            }
        }
        let mut table = String::new();
        for (word, least) in words {
            writeln!(table, "{least} {word}").unwrap();
        }
        if std::env::var_os("BATON_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/masking/keywords.txt");
            std::fs::write(path, &table).unwrap();
            return;
        }
        assert_eq!(
            table, TABLE,
            "make it anew: BATON_BLESS=1 cargo test -p baton-risk"
        );
        assert_eq!(pairs().count(), TABLE.lines().count());
    }
}
