//! `baton audit check-proof`: a proof checked with nothing but itself, a checkpoint and public keys. No
//! repository, no queue and no log is looked at.

use std::path::PathBuf;

use baton_core::digest;
use baton_core::problem::Problem;
use baton_transparency::witness::AddCheckpoint;
use baton_transparency::{Checkpoint, KeyKind, Receipt, SignedNote, VerifyingKey};
use serde_json::{Value, json};

use super::named::{self, MAX_PROOF_BYTES, refused};
use crate::reply::Reply;

/// The flags.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The proof, as `audit prove` writes it; - for standard input
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    /// The log's public key: its text, or a file that holds it
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// The line that is to be proven (default: the one that the proof carries)
    #[arg(long, value_name = "FILE")]
    line: Option<PathBuf>,
    /// A checkpoint that was kept: for a proof of consistency the older one
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Also demand the signature of this witness
    #[arg(long, value_name = "VKEY")]
    witness: Vec<String>,
}

/// Checks the proof.
pub(super) fn run(arguments: &Arguments) -> Result<Reply, Problem> {
    let keys = named::keys(&arguments.key)?;
    let text = named::text(&arguments.proof, MAX_PROOF_BYTES)?;
    let (mut json, said, note) = if text.starts_with("old ") {
        consistency(&text, arguments, &keys)?
    } else {
        inclusion(&text, arguments, &keys)?
    };
    let witnesses = witnesses(&note, &arguments.witness)?;
    if let Value::Object(fields) = &mut json {
        fields.insert("command".to_owned(), "audit check-proof".into());
        fields.insert("status".to_owned(), "OK".into());
        fields.insert(
            "witnesses".to_owned(),
            witnesses.iter().map(|(json, _)| json.clone()).collect(),
        );
    }
    let mut reply = said.into_iter().fold(Reply::ok(json), Reply::line);
    for (_, line) in &witnesses {
        reply = reply.line(line);
    }
    if witnesses.is_empty() {
        reply = reply.line(
            "  no witness was asked for: who holds the log's key could have made it all anew",
        );
    }
    Ok(reply)
}

type Shown = (Value, Vec<String>, SignedNote);

fn inclusion(text: &str, arguments: &Arguments, keys: &[VerifyingKey]) -> Result<Shown, Problem> {
    let receipt: Receipt = text.parse().map_err(|error| {
        refused(&error).hint("pass a .tlog-proof file as `baton audit prove SEQ` writes it")
    })?;
    let line = match (&arguments.line, &receipt.extra) {
        (Some(path), _) => named::line(path)?,
        (None, Some(extra)) => extra.clone(),
        (None, None) => {
            return Err(Problem::usage(
                "the proof carries no line: name it with --line FILE",
            ));
        }
    };
    let key = named::key_of(keys, &receipt.checkpoint)?;
    let head = receipt.check(&line, key).map_err(|error| refused(&error))?;
    if let Some(path) = &arguments.checkpoint {
        let kept = opened(path, key)?;
        if (kept.size, kept.root) != (head.size, head.root) {
            return Err(Problem::fail(
                "PROOF_REFUSED",
                format!(
                    "the proof leads to the head of {} lines with root {}, the checkpoint is of {} lines with root {}",
                    head.size, head.root, kept.size, kept.root
                ),
            )
            .hint("join the two by a proof of consistency: baton audit prove --consistency CHECKPOINT"));
        }
    }
    let seq = receipt.index + 1;
    let shown = String::from_utf8_lossy(&line).into_owned();
    let json = json!({
        "kind": "inclusion", "origin": head.origin, "seq": seq, "size": head.size,
        "root": head.root.to_string(), "line_sha256": digest::sha256(&line), "line": shown,
    });
    let said = vec![
        format!(
            "proven: line {seq} of the {} lines of {}",
            head.size, head.origin
        ),
        format!("  {shown}"),
    ];
    Ok((json, said, receipt.checkpoint))
}

fn consistency(text: &str, arguments: &Arguments, keys: &[VerifyingKey]) -> Result<Shown, Problem> {
    let proof: AddCheckpoint = text.parse().map_err(|error| refused(&error))?;
    let Some(path) = &arguments.checkpoint else {
        return Err(Problem::usage(
            "a proof of consistency starts at a checkpoint that was kept: name it with --checkpoint FILE",
        ));
    };
    let key = named::key_of(keys, &proof.checkpoint)?;
    let older = opened(path, key)?;
    let head = proof.check(&older, key).map_err(|error| refused(&error))?;
    let json = json!({
        "kind": "consistency", "origin": head.origin, "old_size": older.size, "size": head.size,
        "root": head.root.to_string(),
    });
    let said = format!(
        "proven: the {} lines of {} begin with the {} lines of the checkpoint, unchanged",
        head.size, head.origin, older.size
    );
    Ok((json, vec![said], proof.checkpoint))
}

fn opened(path: &std::path::Path, key: &VerifyingKey) -> Result<Checkpoint, Problem> {
    Checkpoint::open(&named::note(path)?, key).map_err(|error| refused(&error))
}

/// What each demanded witness says, and when it said it.
fn witnesses(note: &SignedNote, demanded: &[String]) -> Result<Vec<(Value, String)>, Problem> {
    let one = |given: &String| {
        let key = named::key(given)?;
        if key.kind() != KeyKind::Cosigner {
            let message = format!("{key} is a log's key, expected a witness's");
            return Err(Problem::usage(message));
        }
        note.verified_by(std::slice::from_ref(&key))
            .map_err(|error| refused(&error).hint("the checkpoint has no word of that witness"))?;
        let times = note.signatures.iter().filter(|line| line.names(&key));
        let times = times.filter_map(|line| key.cosigned_at(&note.text, line).ok());
        let time = times.max().unwrap_or_default();
        let time = super::time(time);
        let said = format!("  seen by {} at {time}", key.name());
        Ok((json!({"name": key.name(), "time": time}), said))
    };
    demanded.iter().map(one).collect()
}
