//! What git itself obeys in the checkout, its settings and hooks: they lie in no tree, and hand trust on as a
//! workflow does.

use std::path::Path;

use baton_core::git::{Obeyed, Repository};
use baton_core::problem::Problem;

use crate::trust::Trusted;
use crate::trust::mention::Mentions;
use crate::trust::word::Kind;

/// The settings and hooks of a checkout that name something. Where none is at hand, nobody obeys them.
pub(crate) fn in_checkout(checkout: Option<&Path>) -> Result<Vec<Trusted>, Problem> {
    let Some(root) = checkout else {
        return Ok(Vec::new());
    };
    let obeyed = Repository::open(root)?.obeyed()?.into_iter();
    let speaks = |one: &Trusted| !one.beside.is_empty() || one.mentions.speak();
    Ok(obeyed.map(trusted).filter(speaks).collect())
}

fn trusted(obeyed: Obeyed) -> Trusted {
    let kind = Kind::Script;
    Trusted {
        path: format!("git's {}", obeyed.name).into_bytes(),
        kind,
        mentions: Mentions::of(&obeyed.text, kind).and_folders(obeyed.folders),
        beside: obeyed.files,
    }
}
