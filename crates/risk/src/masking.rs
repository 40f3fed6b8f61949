//! Texts as they may be said and kept: what the rules for secrets know is masked.

mod glimpse;

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use baton_core::masking::{Masker, Rules};
use baton_core::policy::SecretFile;
use baton_core::problem::Problem;
use baton_core::terminal;

use crate::book::{RuleBook, windows};
use crate::keyword::{Keywords, Table};
use crate::rule::rule_set::RuleSet;
use crate::rule::secret::{self, Allowlist, Place, SecretRule};
use crate::rule::{Rule, Source, all};

/// The digest of [`secret::OWN`]; a test says when it has to be written anew. Those rules count before a
/// policy is known, and where its own cannot be read: what is said of a broken policy must not hold a secret
/// either.
const OWN_SHA256: &str = "2499a9e5af49edbda82fd4ae3e05bdbc68322ee13da8527739ba40b286e47758";
/// What stands where a secret stood.
const MASK: &[u8] = b"[secret masked]";
/// The longest ending of a file's name that a secret in the name is seen before.
const ENDING: usize = 10;

/// What every program hands to [`baton_core::masking::begin`].
pub static MASKER: &Known = &Known;

/// The rules for secrets that a run works under.
#[derive(Debug)]
pub struct Known;

/// The text with every secret in it masked; for what a program printed. A secret counts as it is
/// and as it is read: colours and what does not show part no secret in two, and neither does a path that
/// it stands in.
///
/// # Errors
/// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`.
pub fn masked(book: &RuleBook<'_>, text: &[u8]) -> Result<Vec<u8>, Problem> {
    let places = Seeing::with(book).places(text)?;
    Ok(hide(
        text,
        places.into_iter().map(|(place, _)| place).collect(),
    ))
}

fn hide(text: &[u8], mut places: Vec<Range<usize>>) -> Vec<u8> {
    places.sort_by_key(|place| place.start);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for place in places {
        if place.end <= at {
            continue;
        }
        out.extend_from_slice(text.get(at..place.start.max(at)).unwrap_or_default());
        let hidden = text.get(place.start.max(at)..place.end).unwrap_or_default();
        out.extend_from_slice(MASK);
        // Lines stay countable.
        out.extend(hidden.iter().filter(|byte| **byte == b'\n'));
        at = place.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

/// The rules that see secrets.
struct Seeing<'b, 'p> {
    rules: &'b [Rule<'p>],
    table: Rc<Table>,
    allowlists: &'b [Allowlist],
}

impl<'b, 'p> Seeing<'b, 'p> {
    fn with(book: &'b RuleBook<'p>) -> Self {
        Self {
            rules: book.rules(),
            table: book.secrets(),
            allowlists: &book.allowlists,
        }
    }

    /// Where secrets stand in a text, and the number of the rule that says so.
    fn places(&self, text: &[u8]) -> Result<Vec<(Range<usize>, usize)>, Problem> {
        let mut places = Vec::new();
        self.as_it_is(text, &mut places)?;
        for (read, at) in [terminal::as_read(text), unquoted(text)] {
            if read == text {
                continue;
            }
            let mut seen = Vec::new();
            self.as_it_is(&read, &mut seen)?;
            for (found, rule) in seen {
                let first = at.get(found.start).copied();
                let last = found.end.checked_sub(1).and_then(|last| at.get(last));
                let place = first.zip(last).map(|(first, last)| first..last + 1);
                places.extend(place.map(|place| (place, rule)));
            }
        }
        if let Some(apart) = taken_apart(text) {
            self.as_it_is(&apart, &mut places)?;
        }
        Ok(places)
    }

    fn as_it_is(
        &self,
        text: &[u8],
        places: &mut Vec<(Range<usize>, usize)>,
    ) -> Result<(), Problem> {
        for (number, window) in windows(self.rules, &self.table, text) {
            let Some(rule) = self.rules.get(number) else {
                continue;
            };
            rule.each(text, &window, all, |found| {
                let matched = text.get(found.range.clone()).unwrap_or_default();
                if may_be_ours(rule, matched) {
                    return Ok(ControlFlow::Continue(()));
                }
                let place = Place {
                    path: b"",
                    matched,
                    secret: found.secret,
                    line: matched,
                };
                if rule.counts(&place, self.allowlists)? {
                    places.push((found.range, number));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }
}

/// Whether a team's rule takes for a secret what may as well be an object id or a digest that baton wrote: with
/// these masked no log and no candidate would hold together. With a keyword it knows more than that form.
fn may_be_ours(rule: &Rule<'_>, matched: &[u8]) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    matches!(matched.len(), 40 | 64)
        && matched.iter().all(is_hex)
        && rule.has_no_keyword()
        && !rule.is_shipped()
}

/// The text without the backslashes that stand before its quotes since it was quoted in a message, and where
/// each byte stood.
fn unquoted(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let is_left_out = |at: usize| {
        let next = text.get(at + 1);
        text.get(at) == Some(&b'\\') && next.is_some_and(|next| b"\"'\\".contains(next))
    };
    let (mut read, mut places) = (Vec::with_capacity(text.len()), Vec::new());
    let mut at = 0;
    while at < text.len() {
        // What the backslash stands before is one of the text, a backslash too.
        at += usize::from(is_left_out(at));
        read.extend(text.get(at));
        places.push(at);
        at += 1;
    }
    (read, places)
}

/// The text with each path in it taken apart, byte for byte as long: many a rule asks for a blank or the
/// end behind a secret, and in a path or a sentence a slash, the ending of a name or a mark stands there.
fn taken_apart(text: &[u8]) -> Option<Vec<u8>> {
    const PARTS: &[u8] = b"/,).:";
    if !text.iter().any(|byte| PARTS.contains(byte)) {
        return None;
    }
    let mut apart = text.to_vec();
    for (at, byte) in apart.iter_mut().enumerate() {
        let is_end = match byte {
            b'/' | b',' | b')' => true,
            b'.' | b':' => ends_a_name(text.get(at + 1..).unwrap_or_default()),
            _ => false,
        };
        if is_end {
            *byte = b' ';
        }
    }
    Some(apart)
}

/// Whether what follows is the ending of a file's name, or nothing more of it.
fn ends_a_name(rest: &[u8]) -> bool {
    let word = rest.iter().take(ENDING + 1);
    let length = word.take_while(|byte| byte.is_ascii_alphanumeric()).count();
    length <= ENDING
        && rest
            .get(length)
            .is_none_or(|byte| !matches!(byte, b'-' | b'_' | b'=' | b'+'))
}

/// The rules of secret rule files alone, without a policy around them.
struct SecretBook {
    of: Option<Rules>,
    rules: Vec<Rule<'static>>,
    allowlists: Vec<Allowlist>,
    table: Rc<Table>,
}

impl SecretBook {
    fn new(of: Option<Rules>, files: &[(String, Vec<u8>)]) -> Result<Self, Problem> {
        let mut rules = Vec::new();
        let mut allowlists = Vec::new();
        let mut reads = Vec::new();
        for (name, bytes) in files {
            let file = secret::read(name, bytes)?;
            for rule in file.rules {
                reads.push(reads_any_text(&rule));
                rules.push(Rule::new(Source::Secret(Box::new(rule))));
            }
            allowlists.extend(file.allowlists);
        }
        let mut set = RuleSet::of_size(rules.len());
        for (at, _) in reads.iter().enumerate().filter(|(_, reads)| **reads) {
            set.insert(at);
        }
        let table = Keywords::of(&rules).table(&set);
        Ok(Self {
            of,
            rules,
            allowlists,
            table,
        })
    }

    /// The rules that the policy pins, else those that baton comes with.
    fn of(rules: Option<&Rules>) -> Result<Self, Problem> {
        let pinned = rules.and_then(|rules| {
            let files = rules.pinned.read(&rules.folder, secret::MAX_BYTES).ok()?;
            Self::new(Some(rules.clone()), &files).ok()
        });
        let own = || {
            Self::new(
                rules.cloned(),
                &[("SECRET_RULES.toml".to_owned(), secret::OWN.to_vec())],
            )
        };
        pinned.map_or_else(own, Ok)
    }

    fn places(&self, text: &str) -> Result<Vec<(Range<usize>, usize)>, Problem> {
        let seeing = Seeing {
            rules: &self.rules,
            table: Rc::clone(&self.table),
            allowlists: &self.allowlists,
        };
        seeing.places(text.as_bytes())
    }
}

/// A rule that is bound to paths reads only files.
fn reads_any_text(rule: &SecretRule) -> bool {
    rule.path.is_none()
}

thread_local! {
    static BOOK: RefCell<Option<SecretBook>> = const { RefCell::new(None) };
}

/// Asks the book of these rules, which is made when it is asked for first.
fn ask<T>(
    rules: Option<&Rules>,
    question: impl FnOnce(&SecretBook) -> Result<T, Problem>,
) -> Result<T, Problem> {
    BOOK.with_borrow_mut(|known| {
        let book = match known.take() {
            Some(book) if book.of.as_ref() == rules => book,
            _ => SecretBook::of(rules)?,
        };
        question(known.insert(book))
    })
}

/// Whether the rules that baton comes with count, and none of them can match in this text, however it is
/// read.
fn is_plain(rules: Option<&Rules>, text: &str) -> bool {
    let own = |file: &SecretFile| file.sha256 == OWN_SHA256;
    let is_own = rules.is_none_or(|rules| matches!(&*rules.pinned.files, [file] if own(file)));
    is_own
        && !text.contains("\\\"")
        && !glimpse::may_hold(text.as_bytes())
        && terminal::as_read(text.as_bytes()).0 == text.as_bytes()
}

impl Masker for Known {
    fn masked(&self, rules: Option<&Rules>, text: &str) -> Option<String> {
        if text.is_empty() || is_plain(rules, text) {
            return None;
        }
        // What is said of rules that turn out to be broken is said under our own.
        let places = ask(rules, |book| book.places(text));
        match places.or_else(|_| ask(None, |book| book.places(text))) {
            Ok(places) if places.is_empty() => None,
            Ok(places) => {
                let places = places.into_iter().map(|(place, _)| place).collect();
                let masked = hide(text.as_bytes(), places);
                Some(String::from_utf8_lossy(&masked).into_owned())
            }
            // What cannot be looked at is not shown.
            Err(problem) => Some(format!("(left out: {})", problem.code)),
        }
    }

    fn kind(&self, rules: Option<&Rules>, text: &str) -> Option<String> {
        if is_plain(rules, text) {
            return None;
        }
        let first = |book: &SecretBook| {
            let places = book.places(text)?;
            let rule = places.first().and_then(|(_, rule)| book.rules.get(*rule));
            Ok(rule.map(|rule| rule.id().to_owned()))
        };
        ask(rules, first).unwrap_or_else(|problem| Some(problem.code))
    }
}

#[cfg(test)]
mod tests {
    use baton_core::digest;

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_rules() {
        assert_eq!(digest::sha256(secret::OWN), OWN_SHA256);
    }

    fn tokens() -> Vec<String> {
        let text = include_str!("../tests/secret_examples.json").replace("{~~}", "");
        let kinds: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&text).unwrap();
        let bare = |kind: &serde_json::Value| {
            let line = kind["match"][0].as_str()?;
            let token = line.strip_prefix("x = \"")?.strip_suffix('"')?;
            let is_plain = token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            (is_plain && token.len() >= 20).then(|| token.to_owned())
        };
        kinds.values().filter_map(bare).collect()
    }

    #[test]
    fn a_secret_is_seen_in_a_path_and_in_a_sentence() {
        let tokens = tokens();
        assert!(tokens.len() > 50);
        for token in tokens {
            for text in [
                token.clone(),
                format!("src/{token}.txt"),
                format!("src/{token}/a.sh"),
                format!("got {token}, expected another"),
                format!("what it is ({token}): wrong"),
            ] {
                let masked = MASKER.masked(None, &text).unwrap();
                assert!(!masked.contains(&token), "{text}: {masked}");
                assert!(MASKER.kind(None, &text).is_some(), "{text}");
                assert_eq!(MASKER.masked(None, &masked), None, "{masked}");
            }
        }
    }

    #[test]
    fn a_secret_is_seen_in_a_text_that_was_quoted() {
        // Made here so that they stand nowhere in clear.
        let key = ["aB3dE5fG7hI9", "jK1lM3nO5pQ7"].concat();
        let word = ["Tr0ub4dor", "&3xyzzy"].concat();
        for line in [
            format!("zz api_key=\"{key}\""),
            format!("password = \"{word}\""),
        ] {
            let said = format!("line 9: got \"{}\", expected a line", line.escape_debug());
            let masked = MASKER.masked(None, &said).unwrap();
            assert!(
                !masked.contains(&key) && !masked.contains(&word),
                "{masked}"
            );
            assert!(masked.ends_with("expected a line"), "{masked}");
        }
    }

    #[test]
    fn what_baton_says_of_its_own_stays() {
        let hex = digest::sha256(b"x");
        for text in [
            "no STOP; go on".to_owned(),
            format!("sha256={hex} seq=3"),
            format!(".autodev_queue/git/{hex}"),
            ".autodev_queue/work/T-1/evidence/G4.log".to_owned(),
            "EVT-01a1ff2b00dc-fab7c56702ae85e4".to_owned(),
            format!("candidate 4f0d3ee3a40f on base {hex}"),
            "Op <op@baton.example>".to_owned(),
            "2026-11-21T17:57:55.123Z".to_owned(),
            "AKIA… (20 characters)".to_owned(),
        ] {
            assert_eq!(MASKER.masked(None, &text), None, "{text}");
        }
    }

    #[test]
    fn rules_that_cannot_be_read_give_way_to_our_own() {
        let rules: Rules = Rules {
            pinned: serde_json::from_value(serde_json::json!(
                {"files": [{"path": "NONE.toml", "sha256": "0".repeat(64)}]}
            ))
            .unwrap(),
            folder: "/nonexistent".into(),
        };
        let token = tokens().remove(0);
        let masked = MASKER.masked(Some(&rules), &token).unwrap();
        assert!(!masked.contains(&token), "{masked}");
    }
}
