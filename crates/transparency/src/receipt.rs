use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::lines::{self, take};
use crate::note::{MAX_NOTE_BYTES, SignedNote, VerifyingKey};
use crate::tree::{Hash, MAX_PROOF, check_inclusion, leaf_hash};

/// The first line of every receipt.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof in the form of C2SP tlog-proof that a log holds one line: checkable with the log's public key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What the maker put beside the proof, such as the line itself. Nothing vouches for it but a
    /// check of it against the proof.
    pub extra: Option<Vec<u8>>,
    /// The line's number, counted from 0.
    pub index: u64,
    /// From the leaf's sibling upwards.
    pub proof: Vec<Hash>,
    /// A signed head of the log, with whatever witnesses added.
    pub checkpoint: SignedNote,
}

impl Receipt {
    /// Checks that the log whose key this is holds `line` (without its newline) where the receipt says.
    ///
    /// # Errors
    /// If the signature, the origin or the proof does not hold.
    pub fn check(&self, line: &[u8], log: &VerifyingKey) -> Result<Checkpoint, Error> {
        let head = Checkpoint::open(&self.checkpoint, log)?;
        let leaf = leaf_hash(line);
        check_inclusion(&leaf, self.index, head.size, &self.proof, &head.root)?;
        Ok(head)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Receipt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        lines::bounded("receipt", text.len(), 2 * MAX_NOTE_BYTES)?;
        let mut rest = text;
        let header = take("first line of the receipt", &mut rest)?;
        if header != HEADER {
            return Err(Error::new("first line of the receipt", header, HEADER));
        }
        let mut line = take("index line", &mut rest)?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = Some(lines::base64("extra data", encoded)?);
            line = take("index line", &mut rest)?;
        }
        let index = lines::labelled("index", line)?;
        Ok(Self {
            extra,
            index,
            proof: proof_lines(&mut rest, MAX_PROOF)?,
            checkpoint: signed_head(rest)?,
        })
    }
}

/// A note whose text is a checkpoint; the note is kept as it is.
pub(crate) fn signed_head(text: &str) -> Result<SignedNote, Error> {
    let note: SignedNote = text.parse()?;
    Checkpoint::parse(&note.text)?;
    Ok(note)
}

/// The hashes up to the next empty line, one on each line.
pub(crate) fn proof_lines(rest: &mut &str, most: usize) -> Result<Vec<Hash>, Error> {
    let mut proof = Vec::new();
    loop {
        let line = take("line of the proof", rest)?;
        if line.is_empty() {
            return Ok(proof);
        }
        if proof.len() == most {
            let got = format!("more than {most} hashes");
            return Err(Error::new("proof", got, format!("at most {most}")));
        }
        proof.push(line.parse()?);
    }
}
