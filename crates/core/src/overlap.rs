//! Whether two tasks may change one file, by what each is allowed to change. Nothing is looked up in the
//! repository, as a task may make files too; and what cannot be told counts as yes.

use crate::spelling;
use crate::task::Scope;

/// What a pattern says of one part of a path.
enum Part<'p> {
    /// Letters and stars; a `?` is seen as a star.
    Simple(&'p str),
    /// Anything, and any number of further parts.
    Anything,
}

/// What is left of the steps that comparing may take. Text from outside can make each comparison long and
/// ask for very many; what they would have told counts as yes.
#[derive(Debug)]
pub struct Effort(usize);

/// Steps of all comparisons of one choice: less than a second.
const STEPS: usize = 64_000_000;
/// Steps of the comparison of two tasks: a thousand names each can be told apart, and one pair leaves enough
/// for the others.
const STEPS_OF_PAIR: usize = 4_000_000;

impl Default for Effort {
    fn default() -> Self {
        Self(STEPS)
    }
}

impl Effort {
    /// Whether there was this much left.
    fn spend(&mut self, steps: usize) -> bool {
        let is_enough = steps <= self.0;
        self.0 = self.0.saturating_sub(steps);
        is_enough
    }
}

/// What a task may change, spelled once for any number of comparisons. What it denies is not counted: it only
/// makes it less.
#[derive(Debug)]
pub struct Reach {
    lower: Vec<String>,
    /// Some file systems see one file in several spellings. Empty where it is the same.
    folded: Vec<String>,
}

impl Reach {
    /// Reads the patterns of a task.
    #[must_use]
    pub fn of(scope: &Scope) -> Self {
        let spelled = |spell: fn(&[u8]) -> Vec<u8>| -> Vec<String> {
            let entries = scope.allow_patch_on_files.iter();
            let spelled = entries.map(|entry| spell(entry.as_bytes()));
            spelled
                .map(|entry| String::from_utf8_lossy(&entry).replace('?', "*"))
                .collect()
        };
        let (lower, mut folded) = (spelled(spelling::lower), spelled(spelling::folded));
        if folded == lower {
            folded = Vec::new();
        }
        Self { lower, folded }
    }

    /// Whether some path could be allowed by both, or it would take too long to tell.
    pub fn may_overlap(&self, other: &Self, effort: &mut Effort) -> bool {
        let mut of_pair = Effort(effort.0.min(STEPS_OF_PAIR));
        let before = of_pair.0;
        let folds = !self.folded.is_empty() || !other.folded.is_empty();
        let overlaps = any_meet(&self.lower, &other.lower, &mut of_pair)
            || folds && any_meet(self.folded(), other.folded(), &mut of_pair);
        effort.spend(before - of_pair.0);
        overlaps
    }

    fn folded(&self) -> &[String] {
        match self.folded.is_empty() {
            true => &self.lower,
            false => &self.folded,
        }
    }
}

fn any_meet(ones: &[String], others: &[String], effort: &mut Effort) -> bool {
    let mut pairs = ones
        .iter()
        .flat_map(|one| others.iter().map(move |other| (one, other)));
    pairs.any(|(one, other)| may_meet(one, other, effort))
}

/// Part by part from the front, until one differs or one says anything. A path that begins with all of
/// another meets it: where one has a file, the other needs a folder.
fn may_meet(one: &str, other: &str, effort: &mut Effort) -> bool {
    for (one, other) in one.split('/').zip(other.split('/')) {
        if !effort.spend(one.len().min(other.len()) / 16 + 1) {
            return true;
        }
        match (part(one), part(other)) {
            (Part::Simple(one), Part::Simple(other)) if one == other => {}
            (Part::Simple(one), Part::Simple(other)) if differ(one, other) => return false,
            (Part::Simple(one), Part::Simple(other)) => {
                // A star may stand for half of a letter that is written in two ways.
                let is_known = one.is_ascii() && other.is_ascii();
                if !is_known {
                    continue;
                }
                if !effort.spend((one.len() + 1) * (other.len() + 1)) {
                    return true;
                }
                if !meet(one.as_bytes(), other.as_bytes()) {
                    return false;
                }
            }
            _ => return true,
        }
    }
    true
}

/// Whether two parts that are not the same can be told apart by what stands before their first stars and
/// behind their last ones.
fn differ(one: &str, other: &str) -> bool {
    let plain = |byte: &&u8| **byte != b'*';
    let unlike = |(one, other)| one != other;
    let (first, second) = (one.as_bytes(), other.as_bytes());
    match (one.contains('*'), other.contains('*')) {
        (false, false) => true,
        _ if !one.is_ascii() || !other.is_ascii() => false,
        _ => {
            let fronts = first
                .iter()
                .take_while(plain)
                .zip(second.iter().take_while(plain));
            let backs = first.iter().rev().take_while(plain);
            let backs = backs.zip(second.iter().rev().take_while(plain));
            fronts.chain(backs).any(unlike)
        }
    }
}

/// Braces may stand for several parts, and classes for what is not seen at a glance; an empty part stands
/// behind a closing `/`, which means everything below.
fn part(text: &str) -> Part<'_> {
    let is_odd = text.is_empty()
        || text.contains("**")
        || text.contains(['[', ']', '{', '}', '!', '\\', ',']);
    match is_odd {
        true => Part::Anything,
        false => Part::Simple(text),
    }
}

/// Whether some name fits both, where `*` is any run of letters. The row says by which beginnings of
/// `other` what was read of `one` can be met.
fn meet(one: &[u8], other: &[u8]) -> bool {
    let is = |row: &[bool], at: Option<usize>| at.and_then(|at| row.get(at)) == Some(&true);
    let mut row: Vec<bool> = vec![true];
    let begins = other.iter().take_while(|byte| **byte == b'*').count();
    row.resize(begins + 1, true);
    row.resize(other.len() + 1, false);
    for byte in one {
        let mut next: Vec<bool> = Vec::with_capacity(row.len());
        for at in 0..row.len() {
            let before = at.checked_sub(1);
            let facing = before.and_then(|before| other.get(before)).copied();
            let met = match (*byte, facing) {
                // A star takes nothing, or one more of the other's.
                (b'*', _) => is(&row, Some(at)) || is(&next, before),
                (_, Some(b'*')) => is(&row, Some(at)) || is(&next, before),
                (byte, Some(facing)) => byte == facing && is(&row, before),
                (_, None) => false,
            };
            next.push(met);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(entries: &[&str]) -> Scope {
        Scope {
            target_files: Vec::new(),
            allow_patch_on_files: entries.iter().map(|entry| (*entry).to_owned()).collect(),
            deny_paths_glob: Vec::new(),
        }
    }

    #[test]
    fn only_what_certainly_is_apart_is_apart() {
        for (one, other, expected) in [
            ("src/a.rs", "src/a.rs", true),
            ("src/a.rs", "src/b.rs", false),
            ("src/a.rs", "SRC/A.rs", true),
            ("src/**", "docs/**", false),
            ("src/**", "src/a/b.rs", true),
            ("src/a/**", "src/b/**", false),
            ("**", "docs/x.md", true),
            ("**/*.md", "src/a.rs", true),
            ("docs/*.md", "docs/*.txt", false),
            ("docs/*.md", "docs/a*", true),
            ("docs/a*.md", "docs/b*.md", false),
            ("docs/*a*b", "docs/*b*a", false),
            ("docs/*a*", "docs/*b*", true),
            ("docs/*ab", "docs/a*b", true),
            ("a?c", "abc", true),
            ("a?c", "abd", false),
            ("a?c", "a*", true),
            ("e*", "é", true),
            ("é.rs", "e.rs", false),
            ("a.", "a", true),
            ("x??", "x?.", true),
            ("src", "src/a.rs", true),
            ("src/", "src/a.rs", true),
            ("src/", "docs/a.rs", false),
            ("src/{a,b/c}.rs", "src/d.rs", true),
            ("{src,docs}/a", "other/a", true),
            ("src/[ab].rs", "src/c.rs", true),
            ("app/[id]/page.tsx", "lib/[id]/page.tsx", false),
            ("*", "a", true),
            ("*", "a/b", true),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(overlap(&[one], &[other]), expected, "{one} {other}");
            }
        }
        assert!(overlap(&["a", "b"], &["c", "b"]));
        assert!(!overlap(&["a", "b"], &["c", "d"]));
    }

    fn overlap(one: &[&str], other: &[&str]) -> bool {
        let (one, other) = (Reach::of(&scope(one)), Reach::of(&scope(other)));
        one.may_overlap(&other, &mut Effort::default())
    }

    fn of_many(name: impl Fn(u32) -> String) -> Reach {
        let names: Vec<String> = (0..1000).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Reach::of(&scope(&names))
    }

    #[test]
    fn what_takes_too_long_to_tell_apart_overlaps_and_leaves_steps_for_others() {
        let stars = "*a".repeat(60);
        let one = of_many(|at| format!("src/{stars}b{at}*"));
        let other = of_many(|at| format!("src/{stars}c{at}*"));
        let mut effort = Effort::default();
        assert!(one.may_overlap(&other, &mut effort));
        assert!(effort.0 >= STEPS - STEPS_OF_PAIR, "{effort:?}");
        let (a, b) = (Reach::of(&scope(&["a*b"])), Reach::of(&scope(&["a*c"])));
        assert!(!a.may_overlap(&b, &mut effort));
        while effort.0 > 0 {
            assert!(one.may_overlap(&other, &mut effort));
        }
        assert!(a.may_overlap(&b, &mut effort), "nothing is left");
    }

    #[test]
    fn a_thousand_names_each_are_told_apart() {
        let plain = of_many(|at| format!("src/a{at}"));
        let ended = of_many(|at| format!("src/*{at}.rs"));
        let mut effort = Effort::default();
        assert!(!plain.may_overlap(&of_many(|at| format!("src/b{at}")), &mut effort));
        assert!(!ended.may_overlap(&of_many(|at| format!("src/*{at}.md")), &mut effort));
    }

    proptest::proptest! {
        /// Whatever path two scopes both allow, they are said to overlap.
        #[test]
        fn what_both_allow_overlaps(
            one in "[ab*?]{1,4}(/[ab*?]{1,4}){0,2}",
            other in "[ab*?{},]{1,5}(/[ab*?]{1,4}){0,2}",
            path in "[ab]{1,3}(/[ab]{1,3}){0,3}",
        ) {
            use crate::rules::ScopeRules;
            let (one, other) = (scope(&[&one]), scope(&[&other]));
            let allows = |scope: &Scope| ScopeRules::compile(scope).is_ok_and(|rules| rules.allows(&path));
            if allows(&one) && allows(&other) {
                let (one, other) = (Reach::of(&one), Reach::of(&other));
                proptest::prop_assert!(one.may_overlap(&other, &mut Effort::default()));
            }
        }
    }
}
