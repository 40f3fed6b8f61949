//! `baton audit witness serve`: this place as a witness for another's log. One request on standard
//! input, one answer on standard output, so it works over ssh, in CI, and behind a web server.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use baton_core::files::Folder;
use baton_core::output_file;
use baton_core::problem::Problem;
use baton_core::{clock, digest, ids, terminal};
use baton_transparency::witness::{self, Answer, Memory, Seen};
use baton_transparency::{Checkpoint, KeyKind, SignedNote, SigningKey, VerifyingKey};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::commands::audit::named::{self, MAX_PROOF_BYTES, refused};
use crate::reply::Reply;

/// The flags of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::commands::audit) struct Arguments {
    /// The file with this witness's own secret key, as new-key makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The folder where it keeps what it signed last; made if it is missing
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The public key of a log that it speaks for: its text, or a file that holds it
    #[arg(long, value_name = "VKEY", required = true)]
    log: Vec<String>,
}

/// The flags of `new-key`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::commands::audit) struct NewKey {
    /// The witness's name, such as witness.example/ci
    #[arg(value_name = "NAME")]
    name: String,
    /// Where the secret key goes; the file must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes a witness's key.
pub(super) fn new_key(arguments: &NewKey) -> Result<Reply, Problem> {
    let seed = ids::random_bytes()?;
    let key = SigningKey::from_seed(&seed, &arguments.name, KeyKind::Cosigner);
    let key = key.map_err(|error| refused(&error))?;
    let (folder, name) = output_file::place(&arguments.out)?;
    folder
        .write_new_secret(&name, format!("{}\n", key.to_secret_text()).as_bytes())
        .map_err(|error| Problem::io(arguments.out.display(), &error))?;
    let public = key.verifying_key().to_string();
    Ok(Reply::ok(json!({
        "command": "audit witness new-key", "status": "OK", "public_key": public,
        "secret_key_file": arguments.out,
    }))
    .line(format!("made: {}", arguments.out.display()))
    .line(format!("  its public key: {public}")))
}

/// Answers the request on standard input.
pub(super) fn run(arguments: &Arguments) -> Result<Reply, Problem> {
    let key = own_key(&arguments.key)?;
    let logs = arguments.log.iter().map(|given| named::key(given));
    let logs: Vec<VerifyingKey> = logs.collect::<Result<_, _>>()?;
    let mut body = Vec::new();
    let limit = MAX_PROOF_BYTES as u64 + 1;
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut body);
    read.map_err(|error| Problem::io("standard input", &error))?;
    let body = String::from_utf8_lossy(&body);
    let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut state = State::open(&arguments.state, key.verifying_key().clone())?;
    let answer = witness::answer(&body, &logs, &key, &mut state, now.as_secs())?;
    if let Answer::Refused { status, why } = &answer {
        terminal::say(&format!("refused with {status}: {why}"));
    }
    let code = u8::from(answer.status() != 200);
    Ok(Reply::payload(answer.body()).code(code))
}

/// Reads the secret key; a file that others can read is no secret.
fn own_key(path: &Path) -> Result<SigningKey, Problem> {
    use std::os::unix::fs::MetadataExt as _;
    let status = std::fs::metadata(path).map_err(|error| Problem::io(path.display(), &error))?;
    if status.mode() & 0o077 != 0 {
        return Err(Problem::fail(
            "KEY_EXPOSED",
            format!(
                "{} has mode {:o}, expected 600",
                path.display(),
                status.mode() & 0o777
            ),
        )
        .hint("make a new key with new-key; whoever could read this one can sign with it"));
    }
    let text = named::text(path, 4096)?;
    SigningKey::parse(text.trim_end()).map_err(|error| refused(&error))
}

/// A folder with one signed checkpoint for each log, changed only by who holds its lock.
struct State {
    folder: Folder,
    key: VerifyingKey,
    _lock: std::fs::File,
}

impl State {
    fn open(path: &Path, key: VerifyingKey) -> Result<Self, Problem> {
        let failed = |error: std::io::Error| Problem::io(path.display(), &error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let folder = Folder::open(path).map_err(failed)?;
        let lock = folder.lock_file(".lock").map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self {
            folder,
            key,
            _lock: lock,
        })
    }
}

fn file_of(origin: &str) -> String {
    format!("{}.checkpoint", digest::sha256(origin.as_bytes()))
}

impl Memory for State {
    type Error = Problem;

    fn latest(&self, origin: &str) -> Result<Seen, Problem> {
        let name = file_of(origin);
        let bytes = match self.folder.read(&name, MAX_PROOF_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Seen::nothing());
            }
            Err(error) => return Err(Problem::io(name, &error)),
        };
        // What this witness did not sign, it did not keep.
        let read = || {
            let note: SignedNote = String::from_utf8_lossy(&bytes).parse()?;
            note.verified_by(std::slice::from_ref(&self.key))?;
            Checkpoint::parse(&note.text)
        };
        let head = read().map_err(|error| {
            Problem::fail("WITNESS_STATE_BROKEN", format!("{name}: {error}"))
                .hint("restore the file; without it this witness must not sign for that log")
        })?;
        Ok(Seen {
            size: head.size,
            root: head.root,
        })
    }

    fn swap(&mut self, origin: &str, from: &Seen, to: &SignedNote) -> Result<bool, Problem> {
        if self.latest(origin)? != *from {
            return Ok(false);
        }
        let name = file_of(origin);
        let kept = self.folder.replace(&name, to.to_string().as_bytes());
        kept.map_err(|error| Problem::io(name, &error))?;
        Ok(true)
    }
}
