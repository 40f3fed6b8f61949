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

/// Whether some path could be allowed by both. What a task denies is not counted: it only makes it less.
#[must_use]
pub fn may_overlap(one: &Scope, other: &Scope) -> bool {
    // Some file systems see one file in several spellings.
    [spelling::lower, spelling::folded].iter().any(|spelled| {
        let patterns = |scope: &Scope| -> Vec<String> {
            let entries = scope.allow_patch_on_files.iter();
            let spelled = entries.map(|entry| spelled(entry.as_bytes()));
            spelled
                .map(|entry| String::from_utf8_lossy(&entry).replace('?', "*"))
                .collect()
        };
        let others = patterns(other);
        let meets = |one: &String| others.iter().any(|other| may_meet(one, other));
        patterns(one).iter().any(meets)
    })
}

/// Part by part from the front, until one differs or one says anything. A path that begins with all of
/// another meets it: where one has a file, the other needs a folder.
fn may_meet(one: &str, other: &str) -> bool {
    for (one, other) in one.split('/').zip(other.split('/')) {
        match (part(one), part(other)) {
            (Part::Simple(one), Part::Simple(other)) if one == other => {}
            (Part::Simple(one), Part::Simple(other)) => {
                // A star may stand for half of a letter that is written in two ways.
                let is_known = one.is_ascii() && other.is_ascii();
                if (is_known || !one.contains('*') && !other.contains('*'))
                    && !meet(one.as_bytes(), other.as_bytes())
                {
                    return false;
                }
            }
            _ => return true,
        }
    }
    true
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
                assert_eq!(
                    may_overlap(&scope(&[one]), &scope(&[other])),
                    expected,
                    "{one} {other}"
                );
            }
        }
        assert!(may_overlap(&scope(&["a", "b"]), &scope(&["c", "b"])));
        assert!(!may_overlap(&scope(&["a", "b"]), &scope(&["c", "d"])));
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
                proptest::prop_assert!(may_overlap(&one, &other));
            }
        }
    }
}
