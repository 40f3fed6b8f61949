//! `baton audit witness push`: the newest checkpoint handed to every place, each of which must hold an
//! older head of the same log, or none.

use baton_core::audit::{Action, Draft, Index, Level, Log};
use baton_core::masking;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_transparency::witness::{self, AddCheckpoint, Answer};
use baton_transparency::{
    self as transparency, Checkpoint, SignatureLine, SignedNote, VerifyingKey,
};
use serde_json::{Value, json};

use super::places::{Place, Places, cosigner};
use super::{Accept, branch, folder, http, may_leave, recorded};
use crate::commands::audit::named::{self, MAX_PROOF_BYTES, refused};
use crate::commands::audit::prove::{begins_with, holds};
use crate::reply::Reply;

/// The checkpoint on its way.
pub(super) struct Handover<'a> {
    log: &'a Log,
    index: Index,
    note: SignedNote,
    head: Checkpoint,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The place keeps it now.
    Kept,
    /// The place had it.
    Already,
    /// A witness signed it.
    Signed(Vec<SignatureLine>),
}

impl<'a> Handover<'a> {
    /// Signs the log's head over everything that is there, and holds it against the index.
    fn new(log: &'a Log) -> Result<Self, Problem> {
        let (note, head) = log.seal_now()?;
        let index = log.index()?;
        holds(&head, &index)?;
        Ok(Self {
            log,
            index,
            note,
            head,
        })
    }

    pub(super) fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The signed checkpoint as text.
    pub(super) fn text(&self) -> String {
        self.note.to_string()
    }

    /// Whether a place that holds `before` has yet to get this head.
    ///
    /// # Errors
    /// If what it holds is of another log, or of one that is no beginning of this one.
    pub(super) fn is_news_after(&self, before: Option<&[u8]>) -> Result<bool, Problem> {
        let Some(before) = before else {
            return Ok(true);
        };
        let note = String::from_utf8_lossy(before).parse();
        let note: SignedNote = note.map_err(|error| refused(&error))?;
        let older = self.log.signed_head(&note)?;
        begins_with(&older, &self.head, &self.index)?;
        Ok(older.size < self.head.size)
    }

    /// What a witness is asked that signed `old` lines last.
    pub(super) fn request(&self, old: u64) -> Result<AddCheckpoint, Problem> {
        Ok(AddCheckpoint {
            old,
            proof: transparency::consistency(old, self.head.size, &self.index)?,
            checkpoint: self.note.clone(),
        })
    }

    /// The size that a witness says it signed last: it cannot be larger than the log.
    pub(super) fn check_claim(&self, witness: &str, size: u64) -> Result<u64, Problem> {
        if size <= self.head.size {
            return Ok(size);
        }
        Err(Problem::fail(
            "LOG_REWRITTEN",
            format!(
                "{witness} says that it signed {size} lines of this log, {} are there: the log was cut, or the witness is wrong",
                self.head.size
            ),
        )
        .hint("keep everything as it is and look closer: baton audit verify (recovery R8)"))
    }
}

/// Hands the newest checkpoint to every place.
pub(super) fn run(session: &Session) -> Result<Reply, Problem> {
    let log = session.store()?.log()?;
    let places = Places::read(log)?;
    let differs = recorded::differences(session, log, &places)?;
    if places.all().is_empty() && differs.is_empty() {
        return Err(Problem::fail(
            "WITNESS_UNKNOWN",
            "no place is named that checkpoints go to",
        )
        .hint("name one: baton audit witness add FILE|DIR|URL"));
    }
    session.check_stop()?;
    session.check_accepted()?;
    for place in places.all() {
        may_leave(session, place)?;
    }
    let names: Vec<String> = places.all().iter().map(Place::to_string).collect();
    let draft = Draft::new(session.actor, Action::WitnessAsked, "baton")?;
    log.append(draft.meta("places", names))?;
    let handover = Handover::new(log)?;
    let mut note = handover.note.clone();
    let outcomes = hand_all(session, &places, differs, &handover, &mut note);
    if outcomes.iter().any(|(_, taken)| taken.is_ok()) {
        log.set_witnessed(&note)?;
    }
    record_failures(session, log, &outcomes)?;
    Ok(answer(&handover.head, &outcomes))
}

type Outcome = (String, Result<Taken, Problem>);

/// Hands it to all of them. What nobody named gets no say, but what it holds may tell of a log that was cut.
fn hand_all(
    session: &Session,
    places: &Places,
    mut differs: Vec<(String, Problem)>,
    handover: &Handover<'_>,
    note: &mut SignedNote,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for place in places.all() {
        let name = place.to_string();
        let at = differs.iter().position(|(other, _)| *other == name);
        let taken = match at.map(|at| differs.remove(at).1) {
            None => hand(session, place, handover, note),
            Some(problem) if matches!(place, Place::Http { .. }) => Err(problem),
            Some(problem) => hand(session, place, handover, note).and(Err(problem)),
        };
        outcomes.push((name, taken));
    }
    let gone = differs.into_iter();
    outcomes.extend(gone.map(|(name, problem)| (name, Err(problem))));
    outcomes
}

fn hand(
    session: &Session,
    place: &Place,
    handover: &Handover<'_>,
    note: &mut SignedNote,
) -> Result<Taken, Problem> {
    match place {
        Place::File { path } => folder::to_file(path, handover),
        Place::Folder { path } => folder::to_folder(path, handover),
        Place::Branch { remote, branch } => branch::hand(session, remote, branch, handover),
        Place::Http { url, key } => {
            let key = cosigner(key)?;
            let known = signed_last(handover.log, &key)?;
            let lines = http::ask(url, &key, known, handover)?;
            witness::accept(note, &lines, &key).map_err(|error| refused(&error))?;
            Ok(Taken::Signed(lines))
        }
    }
}

/// How many lines this witness signed for last, as far as is known here.
fn signed_last(log: &Log, key: &VerifyingKey) -> Result<u64, Problem> {
    let Some((note, head)) = log.witnessed()? else {
        return Ok(0);
    };
    let by = note.verified_by(std::slice::from_ref(key));
    Ok(if by.is_ok() { head.size } else { 0 })
}

fn record_failures(session: &Session, log: &Log, outcomes: &[Outcome]) -> Result<(), Problem> {
    for (place, taken) in outcomes {
        if let Err(problem) = taken {
            let mut draft = Draft::new(session.actor, Action::Error, "baton")?
                .meta("place", place.clone())
                .meta("code", problem.code.clone());
            draft.level = Level::Error;
            draft.findings.push(problem.finding());
            log.append(draft)?;
        }
    }
    Ok(())
}

fn answer(head: &Checkpoint, outcomes: &[Outcome]) -> Reply {
    let failed = outcomes.iter().filter(|(_, taken)| taken.is_err()).count();
    let (status, code) = match failed {
        0 => ("OK", 0),
        some if some < outcomes.len() => ("PARTIAL", 5),
        _ => ("FAIL", 1),
    };
    let said = |taken: &Result<Taken, Problem>| match taken {
        Ok(Taken::Kept) => "keeps it",
        Ok(Taken::Already) => "has it already",
        Ok(Taken::Signed(_)) => "signed it",
        Err(_) => "did not take it",
    };
    let places: Vec<Value> = outcomes
        .iter()
        .map(|(place, taken)| {
            let problem = taken.as_ref().err();
            json!({
                "place": place, "said": said(taken), "code": problem.map(|one| &one.code),
                "message": problem.map(|one| &one.message),
            })
        })
        .collect();
    let json = json!({
        "command": "audit witness push", "status": status, "size": head.size,
        "root": head.root.to_string(), "places": places,
    });
    let mut reply = Reply::ok(json).code(code);
    reply = reply.line(format!("the head of {} lines:", head.size));
    for (place, taken) in outcomes {
        reply = reply.line(format!("  {place} {}", said(taken)));
        if let Err(problem) = taken {
            reply = reply.line(format!("    {}", problem.message));
        }
    }
    reply
}

/// Prints the request to a witness that somebody carries it to.
pub(super) fn request(session: &Session, old: u64) -> Result<Reply, Problem> {
    let handover = Handover::new(session.store()?.log()?)?;
    let old = handover.check_claim("the witness", old)?;
    Ok(Reply::payload(handover.request(old)?.to_string()))
}

/// Takes in what that witness answered.
pub(super) fn accept(session: &Session, arguments: &Accept) -> Result<Reply, Problem> {
    session.check_accepted()?;
    let key = cosigner(&arguments.key)?;
    let log = session.store()?.log()?;
    let text = named::text(&arguments.answer, MAX_PROOF_BYTES)?;
    let lines = signed_lines(&text, &key)?;
    let asked = match &arguments.request {
        Some(path) => {
            let text = named::text(path, MAX_PROOF_BYTES)?;
            let request: AddCheckpoint = text.parse().map_err(|error| refused(&error))?;
            Some(request.checkpoint)
        }
        None => None,
    };
    let (note, head) = accepted(log, asked, &lines, &key)?;
    holds(&head, &log.index()?)?;
    log.set_witnessed(&note)?;
    Ok(Reply::ok(json!({
        "command": "audit witness accept", "status": "OK", "size": head.size, "witness": key.name(),
    }))
    .line(format!(
        "{} has seen the head of {} lines",
        key.name(),
        head.size
    )))
}

/// The lines of an answer that came without a status: a refusal is a number, or words.
fn signed_lines(text: &str, key: &VerifyingKey) -> Result<Vec<SignatureLine>, Problem> {
    let status = if text.starts_with('\u{2014}') {
        200
    } else {
        409
    };
    match Answer::parse(status, text) {
        Ok(Answer::Cosigned(lines)) => Ok(lines),
        Ok(Answer::Conflict(size)) => {
            let message = format!("{} signed the head of {size} lines last", key.name());
            let hint = format!("ask again from there: baton audit witness request --old {size}");
            Err(Problem::fail("WITNESS_FAILED", message).hint(hint))
        }
        _ => {
            let said = masking::excerpt(text.trim_end(), 300);
            let message = format!("{} did not sign: {said}", key.name());
            Err(Problem::fail("WITNESS_FAILED", message)
                .hint("make the request anew: baton audit witness request"))
        }
    }
}

/// The signatures beneath the checkpoint that they are of: the one that was handed out last, the
/// latest, or the one in the request.
fn accepted(
    log: &Log,
    asked: Option<SignedNote>,
    lines: &[SignatureLine],
    key: &VerifyingKey,
) -> Result<(SignedNote, Checkpoint), Problem> {
    let mut notes: Vec<SignedNote> = log.witnessed()?.map(|(note, _)| note).into_iter().collect();
    notes.push(log.checkpoint()?.0);
    notes.extend(asked);
    let mut why = None;
    for mut note in notes {
        match witness::accept(&mut note, lines, key) {
            Ok(()) => {
                let head = log.signed_head(&note)?;
                return Ok((note, head));
            }
            Err(error) => why = Some(error),
        }
    }
    let problem = why.map_or_else(
        || Problem::fail("PROOF_REFUSED", "no checkpoint"),
        |error| refused(&error),
    );
    Err(problem.hint("if the log has grown since, name the request with --request FILE"))
}
