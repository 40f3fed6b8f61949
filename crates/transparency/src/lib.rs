//! What convinces a stranger that a log was not rewritten: an RFC 6962 Merkle tree over its lines, and
//! the C2SP text forms around it (signed note, checkpoint, cosignature, proof, witness request).
//!
//! Nothing here opens a file or a connection, and nothing here keeps a secret but [`SigningKey`]. Every
//! reader is bounded, takes one spelling only, and says what it got and what it expected.

mod checkpoint;
mod error;
mod lines;
mod note;
mod receipt;
mod sha256;
mod stored;
#[cfg(test)]
mod tests;
mod tree;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use note::{
    KeyKind, MAX_NOTE_BYTES, MAX_SIGNATURES, SignatureLine, SignedNote, SigningKey, VerifyingKey,
};
pub use receipt::Receipt;
pub use stored::{Hashes, completed_by, consistency, inclusion, root, stored_count, stored_index};
pub use tree::{
    Hash, Hashing, LineHashes, MAX_PROOF, MAX_SIZE, TreeRange, check_consistency, check_inclusion,
    empty_root, leaf_hash, node_hash,
};
