use crate::error::Error;
use crate::lines::{self, take};
use crate::note::{MAX_NOTE_BYTES, SignedNote, SigningKey, VerifyingKey};
use crate::tree::{Hash, MAX_SIZE};

/// A log's head in the form of C2SP tlog-checkpoint: which log, how many lines, and their tree's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many lines.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// Further lines, which nobody can check and which we never write.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A head without further lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        }
    }

    /// Reads a note's text.
    ///
    /// # Errors
    /// If it is in any other form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        lines::bounded("checkpoint", text.len(), MAX_NOTE_BYTES)?;
        let mut rest = text;
        let origin = filled("origin", take("origin", &mut rest)?)?;
        let size = lines::decimal("size of the tree", take("size of the tree", &mut rest)?)?;
        if size >= MAX_SIZE {
            let expected = format!("less than {MAX_SIZE}");
            return Err(Error::new("size of the tree", size, expected));
        }
        let root = take("root of the tree", &mut rest)?.parse()?;
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            extensions.push(filled(
                "extension line",
                take("extension line", &mut rest)?,
            )?);
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root);
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Signs it with the log's key.
    ///
    /// # Errors
    /// If the key is another log's, or a line holds what a line cannot.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedNote, Error> {
        same_origin(&self.origin, key.verifying_key())?;
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(Error::new("checkpoint", text, "no newline inside a line"));
        }
        SignedNote::sign(&text, key)
    }

    /// Reads a signed checkpoint and verifies it by the log's key. Lines of other keys are not asked.
    ///
    /// # Errors
    /// If that key did not sign it, or it is another log's.
    pub fn open(note: &SignedNote, log: &VerifyingKey) -> Result<Self, Error> {
        note.verified_by(std::slice::from_ref(log))?;
        let checkpoint = Self::parse(&note.text)?;
        same_origin(&checkpoint.origin, log)?;
        Ok(checkpoint)
    }
}

/// One key, one log: its name is the log's origin.
fn same_origin(origin: &str, key: &VerifyingKey) -> Result<(), Error> {
    if origin == key.name() {
        return Ok(());
    }
    let expected = format!("{}, the name of the key", key.name());
    Err(Error::new("origin of the checkpoint", origin, expected))
}

fn filled(what: &str, line: &str) -> Result<String, Error> {
    if line.is_empty() {
        return Err(Error::new(what, "an empty line", "at least one character"));
    }
    Ok(line.to_owned())
}
