//! `baton audit prove`: proofs for somebody who has neither this queue nor any trust in it.

use std::ops::ControlFlow;
use std::path::PathBuf;

use baton_core::audit::{Index, Log};
use baton_core::output_file;
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_transparency::witness::AddCheckpoint;
use baton_transparency::{self as transparency, Checkpoint, Hash, Receipt, SignedNote};
use serde_json::json;

use super::named;
use crate::reply::Reply;

/// The flags.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Prove that the log holds this line
    #[arg(
        value_name = "SEQ",
        value_parser = clap::value_parser!(u64).range(1..),
        required_unless_present = "consistency",
        conflicts_with = "consistency"
    )]
    seq: Option<u64>,
    /// Prove that the log begins with what this older checkpoint signs
    #[arg(long, value_name = "CHECKPOINT")]
    consistency: Option<PathBuf>,
    /// Write the proof into this file, which must not exist (default: standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Makes the proof and checks it before it is handed out.
pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<Reply, Problem> {
    let log = session.store()?.log()?;
    let (text, said) = match (arguments.seq, &arguments.consistency) {
        (Some(seq), _) => inclusion(log, seq)?,
        (None, Some(path)) => {
            let (proof, _) = consistency(log, &named::note(path)?)?;
            let said = format!(
                "the log begins with the {} lines of the checkpoint",
                proof.old
            );
            (proof.to_string(), said)
        }
        (None, None) => {
            return Err(Problem::usage(
                "name a line, or a checkpoint with --consistency",
            ));
        }
    };
    let Some(path) = &arguments.out else {
        return Ok(Reply::payload(text));
    };
    output_file::write_new(path, text.as_bytes())?;
    Ok(
        Reply::ok(json!({"command": "audit prove", "status": "OK", "proof": path}))
            .line(format!(
                "proven: {said}; the proof is in {}",
                path.display()
            ))
            .line("  check it anywhere: baton audit check-proof FILE --key LOG_KEY.pub"),
    )
}

/// The newest signed head that covers line `seq`: one that witnesses signed too, if there is one.
fn head_over(log: &Log, seq: u64, index: &Index) -> Result<(SignedNote, Checkpoint), Problem> {
    if let Some((note, head)) = log.witnessed()?
        && head.size >= seq
    {
        holds(&head, index)?;
        return Ok((note, head));
    }
    let (note, head) = log.checkpoint()?;
    if head.size >= seq {
        return Ok((note, head));
    }
    let last = log.head()?.seq;
    if seq > last {
        let message = format!("the log has {last} lines, line {seq} was asked for");
        return Err(
            Problem::fail("LINE_MISSING", message).hint("see the last ones: baton audit tail")
        );
    }
    log.seal_now()
}

fn inclusion(log: &Log, seq: u64) -> Result<(String, String), Problem> {
    let (note, head) = head_over(log, seq, &log.index()?)?;
    let index = log.index()?;
    holds(&head, &index)?;
    let receipt = Receipt {
        extra: Some(line_of(log, seq)?),
        index: seq - 1,
        proof: transparency::inclusion(seq - 1, head.size, &index)?,
        checkpoint: note,
    };
    let line = receipt.extra.as_deref().unwrap_or_default();
    let leaf = transparency::leaf_hash(line);
    transparency::check_inclusion(&leaf, receipt.index, head.size, &receipt.proof, &head.root)
        .map_err(|error| rewritten(&error.to_string()))?;
    let said = format!("line {seq} of the {} lines of {}", head.size, head.origin);
    Ok((receipt.to_string(), said))
}

/// The bytes of line `seq`.
fn line_of(log: &Log, seq: u64) -> Result<Vec<u8>, Problem> {
    let mut found = Vec::new();
    log.lines(seq, |line| {
        found.extend_from_slice(line);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The proof that today's log begins with what an older checkpoint of it signs.
pub(super) fn consistency(
    log: &Log,
    older: &SignedNote,
) -> Result<(AddCheckpoint, Checkpoint), Problem> {
    let older = log.signed_head(older)?;
    let (note, head) = log.seal_now()?;
    let index = log.index()?;
    holds(&head, &index)?;
    begins_with(&older, &head, &index)?;
    let proof = AddCheckpoint {
        old: older.size,
        proof: transparency::consistency(older.size, head.size, &index)?,
        checkpoint: note,
    };
    Ok((proof, head))
}

/// Whether the tree under `head` begins with the one that was signed as `older`.
pub(super) fn begins_with(
    older: &Checkpoint,
    head: &Checkpoint,
    index: &Index,
) -> Result<(), Problem> {
    comes_before(older, head)?;
    holds(older, index)
}

/// Whether an older checkpoint is of the same log and of no more lines.
pub(super) fn comes_before(older: &Checkpoint, head: &Checkpoint) -> Result<(), Problem> {
    if older.origin != head.origin {
        return Err(rewritten(&format!(
            "the checkpoint is of {}, this log is {}",
            older.origin, head.origin
        )));
    }
    if older.size > head.size {
        return Err(rewritten(&format!(
            "a checkpoint over {} lines was signed, {} are there: the log was cut",
            older.size, head.size
        )));
    }
    Ok(())
}

/// Whether the index has the root that this checkpoint of the log signs.
pub(super) fn holds(head: &Checkpoint, index: &Index) -> Result<(), Problem> {
    is_root(head, transparency::root(head.size, index)?)
}

/// Whether this is the root that the checkpoint signs.
pub(super) fn is_root(head: &Checkpoint, root: Hash) -> Result<(), Problem> {
    if root == head.root {
        return Ok(());
    }
    Err(rewritten(&format!(
        "its first {} lines have the root {root}, {} was signed",
        head.size, head.root
    )))
}

fn rewritten(why: &str) -> Problem {
    Problem::fail(
        "LOG_REWRITTEN",
        format!("the audit log is not the one that was signed: {why}"),
    )
    .hint("keep everything as it is and look closer: baton audit verify (recovery R8)")
}
