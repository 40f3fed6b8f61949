//! The witness's side and the log's side of C2SP tlog-witness, without the connection between them.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::lines::{self, take};
use crate::note::{KeyKind, MAX_NOTE_BYTES, SignatureLine, SignedNote, SigningKey, VerifyingKey};
use crate::receipt::{proof_lines, signed_head};
use crate::tree::{Hash, MAX_PROOF, check_consistency, empty_root};

/// What a log asks of a witness: sign this head, which continues the one of `old` lines.
///
/// The same text, kept in a file, proves to whoever kept that older head that nothing before it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Lines of the head that was signed last.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new head, signed by the log.
    pub checkpoint: SignedNote,
}

impl AddCheckpoint {
    /// Checks that the new head is this log's and continues `older`, a head that the reader kept.
    ///
    /// # Errors
    /// If the signature, the origin or the proof does not hold.
    pub fn check(&self, older: &Checkpoint, log: &VerifyingKey) -> Result<Checkpoint, Error> {
        let head = Checkpoint::open(&self.checkpoint, log)?;
        if older.origin != head.origin {
            let what = "origin of the older checkpoint";
            return Err(Error::new(what, &older.origin, head.origin));
        }
        if older.size != self.old {
            let what = "size of the older checkpoint";
            return Err(Error::new(what, older.size, self.old));
        }
        check_consistency(older.size, &older.root, head.size, &head.root, &self.proof)?;
        Ok(head)
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        lines::bounded("request", text.len(), 2 * MAX_NOTE_BYTES)?;
        let mut rest = text;
        Ok(Self {
            old: lines::labelled("old", take("old size", &mut rest)?)?,
            proof: proof_lines(&mut rest, MAX_PROOF)?,
            checkpoint: signed_head(rest)?,
        })
    }
}

/// The head that a witness signed last for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its lines.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Seen {
    /// What a witness has seen of a log that it never signed for.
    pub fn nothing() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }
}

/// Where a witness keeps what it signed last, one record for each origin.
pub trait Memory {
    /// Why a record could not be read or kept.
    type Error;

    /// What was signed last for this origin.
    ///
    /// # Errors
    /// If that cannot be read.
    fn latest(&self, origin: &str) -> Result<Seen, Self::Error>;

    /// Keeps `checkpoint`, durably, if what was signed last is still `from`; says whether it was.
    ///
    /// # Errors
    /// If it cannot be kept; then nothing is signed.
    fn swap(
        &mut self,
        origin: &str,
        from: &Seen,
        checkpoint: &SignedNote,
    ) -> Result<bool, Self::Error>;
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It signed: its lines.
    Cosigned(Vec<SignatureLine>),
    /// It last signed a head of this size, which is not the old size that was sent.
    Conflict(u64),
    /// It did not sign.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why, for people.
        why: String,
    },
}

impl Answer {
    fn refused(status: u16, why: Error) -> Self {
        Self::Refused {
            status,
            why: why.to_string(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::Conflict(_) => 409,
            Self::Refused { status, .. } => *status,
        }
    }

    /// The type of the body.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "text/x.tlog.size",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            Self::Conflict(size) => format!("{size}\n"),
            Self::Refused { why, .. } => format!("{why}\n"),
        }
    }

    /// Reads an answer. Nothing in it is verified: see [`accept`].
    ///
    /// # Errors
    /// If a witness cannot have sent it.
    pub fn parse(status: u16, body: &str) -> Result<Self, Error> {
        lines::bounded("answer of the witness", body.len(), MAX_NOTE_BYTES)?;
        let lines = body.strip_suffix('\n');
        let lines =
            || lines.ok_or_else(|| Error::new("answer of the witness", body, "whole lines"));
        match status {
            200 => {
                let lines = lines()?.split('\n').map(str::parse);
                Ok(Self::Cosigned(lines.collect::<Result<_, _>>()?))
            }
            409 => Ok(Self::Conflict(lines::decimal(
                "size in the answer",
                lines()?,
            )?)),
            status => Ok(Self::Refused {
                status,
                why: body.trim_end().to_owned(),
            }),
        }
    }
}

/// The witness's own rule: whether to sign, given what it signed last. `logs` are the keys it knows, each
/// named by its log's origin.
///
/// # Errors
/// The answer that refuses.
pub fn judge(
    request: &AddCheckpoint,
    logs: &[VerifyingKey],
    latest: &Seen,
) -> Result<Checkpoint, Answer> {
    let head = Checkpoint::parse(&request.checkpoint.text);
    let head = head.map_err(|why| Answer::refused(400, why))?;
    let log = |key: &&VerifyingKey| key.kind() == KeyKind::Log && key.name() == head.origin;
    let keys: Vec<VerifyingKey> = logs.iter().filter(log).cloned().collect();
    if keys.is_empty() {
        let expected = "a log that this witness was told of";
        return Err(Answer::refused(
            404,
            Error::new("origin", &head.origin, expected),
        ));
    }
    let signed = request.checkpoint.verified_by(&keys);
    signed.map_err(|why| Answer::refused(403, why))?;
    if request.old > head.size {
        let expected = format!("at most the new size, {}", head.size);
        return Err(Answer::refused(
            400,
            Error::new("old size", request.old, expected),
        ));
    }
    if request.old != latest.size {
        return Err(Answer::Conflict(latest.size));
    }
    let grown = check_consistency(
        latest.size,
        &latest.root,
        head.size,
        &head.root,
        &request.proof,
    );
    grown.map_err(|why| Answer::refused(422, why))?;
    Ok(head)
}

/// Answers a request as a witness: judges it, keeps the new head, and only then signs it for `now`, in
/// seconds since 1970.
///
/// # Errors
/// If the memory fails. What is wrong with a request is an answer.
pub fn answer<M: Memory>(
    body: &str,
    logs: &[VerifyingKey],
    key: &SigningKey,
    memory: &mut M,
    now: u64,
) -> Result<Answer, M::Error> {
    let request: AddCheckpoint = match body.parse() {
        Ok(request) => request,
        Err(why) => return Ok(Answer::refused(400, why)),
    };
    let note = &request.checkpoint;
    let origin = note.text.split('\n').next().unwrap_or_default();
    let latest = memory.latest(origin)?;
    if let Err(refusal) = judge(&request, logs, &latest) {
        return Ok(refusal);
    }
    // Before it is kept: a key that cannot sign must not move the record.
    let line = match key.cosign(&note.text, now) {
        Ok(line) => line,
        Err(why) => return Ok(Answer::refused(500, why)),
    };
    // Of the lines that came along, one for each key that was just verified.
    let by = |log: &VerifyingKey| note.signatures.iter().find(|line| line.names(log)).cloned();
    let mut signatures: Vec<SignatureLine> = logs.iter().filter_map(by).collect();
    signatures.push(line.clone());
    let kept = SignedNote {
        text: note.text.clone(),
        signatures,
    };
    if !memory.swap(origin, &latest, &kept)? {
        return Ok(Answer::Conflict(memory.latest(origin)?.size));
    }
    Ok(Answer::Cosigned(vec![line]))
}

/// Takes into a checkpoint what a witness whose key is known answered; lines of other keys are left out.
///
/// # Errors
/// If none of the lines is that witness's, or one that says so does not verify.
pub fn accept(
    checkpoint: &mut SignedNote,
    lines: &[SignatureLine],
    witness: &VerifyingKey,
) -> Result<(), Error> {
    if witness.kind() != KeyKind::Cosigner {
        return Err(Error::new("key of the witness", witness, "a cosigner's"));
    }
    let theirs: Vec<&SignatureLine> = lines.iter().filter(|line| line.names(witness)).collect();
    if theirs.is_empty() {
        let got: Vec<&str> = lines.iter().map(SignatureLine::name).collect();
        return Err(Error::new(
            "cosignature",
            got.join(", "),
            format!("one by {witness}"),
        ));
    }
    for line in &theirs {
        witness.verify(&checkpoint.text, line)?;
    }
    // Of one witness the newest word is enough.
    checkpoint.signatures.retain(|line| !line.names(witness));
    theirs
        .into_iter()
        .try_for_each(|line| checkpoint.add(line.clone()))
}
