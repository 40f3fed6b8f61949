//! Checks over all sections: one claim for each path, and no path below a written file.

use crate::model::{Op, Section, is_type_change};
use crate::refusal::{Code, Refusal};
use std::collections::HashMap;

/// How a path is claimed. A copy may share its source with anything but a creation.
#[derive(Clone, Copy, Default)]
struct Claims {
    /// Something new is written here, so there was nothing before.
    created: bool,
    /// What was here is changed or goes away.
    changed: bool,
    /// What was here is the source of a copy.
    copied: bool,
}

/// Refuses sections that contradict each other.
pub(crate) fn check_sections(sections: &[Section<'_>]) -> Result<(), Refusal> {
    let mut claims: HashMap<&[u8], Claims> = HashMap::with_capacity(sections.len());
    let mut previous: Option<&Section<'_>> = None;
    for section in sections {
        let folded = previous.is_some_and(|before| is_type_change(before, section));
        if !folded {
            for (path, claim) in claims_of(section) {
                let known = claims.entry(path).or_default();
                if !known.admits(claim) {
                    return Err(Refusal::new(Code::DuplicatePath, section.line, path));
                }
                known.created |= claim.created;
                known.changed |= claim.changed;
                known.copied |= claim.copied;
            }
        }
        previous = Some(section);
    }
    check_folders(sections)
}

impl Claims {
    fn admits(self, other: Claims) -> bool {
        let existed = self.changed || self.copied;
        match (other.created, other.changed) {
            (true, _) => !self.created && !existed,
            (false, true) => !self.created && !self.changed,
            (false, false) => !self.created,
        }
    }
}

fn claims_of<'s>(section: &'s Section<'_>) -> Vec<(&'s [u8], Claims)> {
    let created = Claims {
        created: true,
        ..Claims::default()
    };
    let changed = Claims {
        changed: true,
        ..Claims::default()
    };
    let copied = Claims {
        copied: true,
        ..Claims::default()
    };
    let source = section.old_path.as_deref().unwrap_or_default();
    match section.op {
        Op::Add => vec![(section.path(), created)],
        Op::Modify | Op::Delete | Op::Type => vec![(section.path(), changed)],
        Op::Rename => vec![(source, changed), (section.path(), created)],
        Op::Copy => vec![(source, copied), (section.path(), created)],
    }
}

/// Refuses a written path that is a folder of another one. Sorted with the slash before every
/// other byte, a path is directly followed by those below it.
fn check_folders(sections: &[Section<'_>]) -> Result<(), Refusal> {
    fn key(path: &[u8]) -> impl Iterator<Item = u8> + '_ {
        path.iter()
            .map(|byte| if *byte == b'/' { 0 } else { *byte })
    }
    let mut written: Vec<(&[u8], usize)> = sections
        .iter()
        .filter_map(|section| Some((section.new_path.as_deref()?, section.line)))
        .collect();
    written.sort_by(|(left, _), (right, _)| key(left).cmp(key(right)));
    for ((folder, _), (path, line)) in written.iter().zip(written.iter().skip(1)) {
        if path
            .strip_prefix(*folder)
            .is_some_and(|rest| rest.starts_with(b"/"))
        {
            return Err(Refusal::new(Code::PathConflict, *line, path));
        }
    }
    Ok(())
}
