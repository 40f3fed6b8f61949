//! What the log says of the places: the list is a file like any other, and who can write it must not be the one
//! who says where checkpoints go.

use std::collections::HashMap;
use std::ops::ControlFlow;

use baton_core::audit::{Action, Draft, Log};
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::session::Session;
use serde_json::Value;

use super::places::{Place, Places};

/// What the log says of a place. Machines that share a log have lists of their own, so there a place counts as
/// named once any of them named it, and none is missed.
#[derive(Default)]
struct Named {
    is_known: bool,
    /// A person named it, and nobody let it go since.
    stays: bool,
    /// The keys or addresses that it had; older lines do not say.
    is: Vec<Option<String>>,
}

/// The log line's mark of what a name alone does not say: a witness's key, a remote's address.
pub(super) fn with_mark(draft: Draft, session: &Session, place: &Place) -> Result<Draft, Problem> {
    Ok(match place.mark(session)? {
        Some(mark) => draft.meta("is", mark),
        None => draft,
    })
}

/// Each place in which the list is not what the log says, with how. The list's own come first.
pub(super) fn differences(
    session: &Session,
    log: &Log,
    places: &Places,
) -> Result<Vec<(String, Problem)>, Problem> {
    let is_shared = session.store()?.is_shared();
    let mut named = named(log, is_shared)?;
    let mut found = Vec::new();
    for place in places.all() {
        let name = place.to_string();
        let why = match named.remove(&name) {
            Some(Named {
                stays: true, is, ..
            }) => other(session, place, &is)?,
            _ => Some("is in the list, and the log does not say that a person named it".to_owned()),
        };
        found.extend(why.map(|why| (name.clone(), differs(&name, &why))));
    }
    let gone = named.into_iter().filter(|(_, one)| one.stays && !is_shared);
    let mut gone: Vec<_> = gone.map(|(name, _)| name).collect();
    gone.sort();
    for name in gone {
        let problem = differs(
            &name,
            "was named by a person, and is not in the list any more",
        );
        found.push((name, problem));
    }
    Ok(found)
}

/// What the last line says that speaks of each place; of a shared log every line that names one.
fn named(log: &Log, is_shared: bool) -> Result<HashMap<String, Named>, Problem> {
    let mut named: HashMap<String, Named> = HashMap::new();
    log.back(|seen| {
        if let Action::WitnessAdded | Action::WitnessRemoved = seen.action() {
            let event = seen.event()?;
            let said = |key: &str| event.meta.get(key).and_then(Value::as_str);
            let one = named
                .entry(said("place").unwrap_or_default().to_owned())
                .or_default();
            if event.action == Action::WitnessAdded && (is_shared || !one.is_known) {
                one.stays = true;
                one.is.push(said("is").map(str::to_owned));
            }
            one.is_known = true;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(named)
}

/// How the place is another one by now under the same name.
fn other(
    session: &Session,
    place: &Place,
    was: &[Option<String>],
) -> Result<Option<String>, Problem> {
    let is = place.mark(session)?;
    let is = is.map(|is| masking::text(&is).into_owned());
    if was.iter().any(|was| was.is_none() || *was == is) {
        return Ok(None);
    }
    let was = was.iter().flatten().next().cloned().unwrap_or_default();
    let is = is.unwrap_or_else(|| "nothing".to_owned());
    Ok(Some(format!(
        "is {is} by now, and was {was} when a person named it"
    )))
}

fn differs(name: &str, why: &str) -> Problem {
    Problem::fail("WITNESS_DIFFERS", format!("{name} {why}")).hint(format!(
        "find out who changed .autodev_queue/audit/witnesses.json or the remote; a person puts it right: baton audit witness remove {name}, and add"
    ))
}

/// Whether the log has a place by this name that no person let go.
pub(super) fn knows(log: &Log, name: &str) -> Result<bool, Problem> {
    Ok(named(log, false)?.get(name).is_some_and(|one| one.stays))
}
