//! Dependencies: which come in, and which were there before.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::Judge;
use super::worth::Grade;
use crate::hit::Hit;
use crate::language::comment::{comment_in, is_noted};
use crate::rule::{Found, Rule, all};

impl Judge<'_, '_> {
    /// A dependency that comes in; one that the old text names in the same way is only changed.
    pub(super) fn dependency(
        &self,
        rule: &Rule<'_>,
        found: &Found<'_>,
        grade: Grade,
        excerpt: String,
    ) -> Hit {
        let name = String::from_utf8_lossy(found.name.unwrap_or_default());
        let name: String = name
            .chars()
            .flat_map(char::escape_debug)
            .take(100)
            .collect();
        let hit = match grade {
            Grade::Real => Hit::of_rule(rule, &self.file.path, String::new()),
            _ => Hit::built_in("DEPENDENCY_CHANGED", &self.file.path, "was there before"),
        };
        let message = format!("{name}: {}", hit.message);
        Hit { message, ..hit }.showing(excerpt)
    }

    /// Whether a removed line holds this name as a word of its own: a list that is written in another
    /// way brings nothing in.
    pub(super) fn takes_away(&self, name: &[u8]) -> bool {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
        let stands_alone = |line: &[u8], at: usize| {
            let before = at.checked_sub(1).and_then(|at| line.get(at));
            let after = line.get(at + name.len());
            before.is_none_or(|byte| !inner(byte)) && after.is_none_or(|byte| !inner(byte))
        };
        let mut removed = self.file.section.removed_text();
        !name.is_empty()
            && removed.any(|(_, line)| {
                // What a comment names was never brought in.
                let comment = comment_in(line, self.commented, || Cow::Borrowed(&[]));
                let mut places = memchr::memmem::find_iter(line, name);
                places.any(|at| stands_alone(line, at) && !comment.contains(&at) && !is_noted(line))
            })
    }

    /// The names that a rule for dependencies finds in the old text, as far as it is in sight.
    pub(super) fn names_before(&self, rule: &Rule<'_>) -> Rc<HashSet<Vec<u8>>> {
        if let Some(known) = self.before.borrow().get(rule.id()) {
            return Rc::clone(known);
        }
        let names = Rc::new(self.read_names_before(rule));
        let mut before = self.before.borrow_mut();
        before.insert(rule.id().to_owned(), Rc::clone(&names));
        names
    }

    fn read_names_before(&self, rule: &Rule<'_>) -> HashSet<Vec<u8>> {
        let mut names = HashSet::new();
        let mut look = |text: &[u8]| {
            let gather = |found: Found<'_>| {
                names.extend(found.name.map(<[u8]>::to_vec));
                Ok(ControlFlow::Continue(()))
            };
            // What cannot be read names nothing.
            drop(rule.each(text, &(0..text.len()), all, gather));
        };
        match &self.file.old {
            Some(old) => look(old),
            None => self
                .file
                .section
                .old_text()
                .for_each(|side| look(&side.text)),
        }
        names
    }
}
