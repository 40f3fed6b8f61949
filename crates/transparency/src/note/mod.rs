//! C2SP signed notes: a text with signature lines beneath. Lines of unknown keys are kept and never
//! refused, so that keys can change, witnesses can add theirs, and other algorithms can come later.

mod keys;
mod signature;

use std::fmt;
use std::str::FromStr;

pub use keys::{KeyKind, SigningKey, VerifyingKey};
pub use signature::SignatureLine;

use crate::error::Error;
use crate::lines;

/// Bytes that a note may have, signatures included.
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// Signature lines that a note may have.
pub const MAX_SIGNATURES: usize = 100;

/// A text and its signatures, of which none is verified by reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// The text that is signed, its last newline included.
    pub text: String,
    /// In the order of the note.
    pub signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// Signs a text.
    ///
    /// # Errors
    /// If a note cannot hold the text, or a cosigner's key is given: those sign by
    /// [`SigningKey::cosign`], with a time.
    pub fn sign(text: &str, key: &SigningKey) -> Result<Self, Error> {
        check_text(text)?;
        let signature = key.sign(text)?;
        let note = Self {
            text: text.to_owned(),
            signatures: vec![signature],
        };
        lines::bounded("signed note", note.to_string().len(), MAX_NOTE_BYTES)?;
        Ok(note)
    }

    /// Adds a signature line; one that is there already is not added twice.
    ///
    /// # Errors
    /// If the note would be larger than one may be; it is as it was then.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), Error> {
        if self.signatures.contains(&line) {
            return Ok(());
        }
        count(self.signatures.len() + 1)?;
        lines::bounded(
            "signed note",
            self.to_string().len() + line.to_string().len() + 1,
            MAX_NOTE_BYTES,
        )?;
        self.signatures.push(line);
        Ok(())
    }

    /// The keys that signed this note, each once.
    ///
    /// # Errors
    /// If a line that names one of `keys` does not verify, or no line names any of them.
    pub fn verified_by<'a>(
        &self,
        keys: &'a [VerifyingKey],
    ) -> Result<Vec<&'a VerifyingKey>, Error> {
        let mut signers: Vec<&VerifyingKey> = Vec::new();
        for line in &self.signatures {
            for key in keys.iter().filter(|key| line.names(key)) {
                key.verify(&self.text, line)?;
                if !signers.contains(&key) {
                    signers.push(key);
                }
            }
        }
        if signers.is_empty() {
            let got: Vec<&str> = self.signatures.iter().map(SignatureLine::name).collect();
            let expected = keys.iter().map(VerifyingKey::to_string);
            let expected: Vec<String> = expected.collect();
            let expected = format!("one by {}", expected.join(" or "));
            return Err(Error::new("signature", got.join(", "), expected));
        }
        Ok(signers)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for SignedNote {
    type Err = Error;

    fn from_str(note: &str) -> Result<Self, Error> {
        // Before anything looks for lines in it.
        lines::bounded("signed note", note.len(), MAX_NOTE_BYTES)?;
        // The text may have empty lines; the last one ends it.
        let expected = "a text, an empty line, and signature lines";
        let end = note.rfind("\n\n").filter(|_| note.ends_with('\n'));
        let (text, below) = end
            .and_then(|end| note.split_at_checked(end + 1))
            .ok_or_else(|| Error::new("signed note", note, expected))?;
        check_text(text)?;
        let written: Vec<&str> = below.trim_matches('\n').split('\n').collect();
        count(written.len())?;
        let signatures = written
            .into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }
}

/// What a note's text may be, whoever wrote it.
fn check_text(text: &str) -> Result<(), Error> {
    if !text.ends_with('\n') {
        return Err(Error::new("text of a note", text, "a newline at its end"));
    }
    match text.chars().find(|&one| one < ' ' && one != '\n') {
        None => Ok(()),
        Some(control) => {
            let expected = "no control character but the newline";
            Err(Error::new("text of a note", control, expected))
        }
    }
}

fn count(lines: usize) -> Result<(), Error> {
    if lines <= MAX_SIGNATURES {
        return Ok(());
    }
    let expected = format!("at most {MAX_SIGNATURES}");
    Err(Error::new("signature lines", lines, expected))
}
