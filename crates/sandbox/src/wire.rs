//! What the supervisor and the second stage say to each other: one JSON object in a frame, its
//! length before it. The channel is the second stage's standard input, which is a socket.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::level::{Aspect, Level, Relax};

/// The first argument that makes a host program the outer half of the second stage.
pub(crate) const OUTER: &str = "baton-sandbox:outer";
/// The first argument that makes a host program the inner half.
pub(crate) const KEEPER: &str = "baton-sandbox:keeper";
/// The longest frame, in bytes. An environment and an argument list fit well.
const FRAME: usize = 4 << 20;
/// What lets the gate start.
pub(crate) const GO: u8 = b'g';

/// For the outer half, before any wall stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OuterPlan {
    pub(crate) level: Level,
    /// The account to become, when the caller is root.
    pub(crate) account: Option<u32>,
    /// An empty folder where root gathers what the account could not reach by its path.
    pub(crate) staging: Option<PathBuf>,
    /// Where `bwrap` is, at level I3.
    pub(crate) bwrap: Option<PathBuf>,
    /// The program to be the keeper.
    pub(crate) program: PathBuf,
    pub(crate) tree: PathBuf,
    /// A folder of this run for home and temporary files, below level I3.
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) read_only: Vec<PathBuf>,
    /// Where root gathered each of them; empty where they are taken as they are.
    pub(crate) staged: Vec<PathBuf>,
    pub(crate) tmp_bytes: u64,
}

/// For the inner half.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StagePlan {
    pub(crate) level: Level,
    pub(crate) own_account: bool,
    pub(crate) argv: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Below the tree.
    pub(crate) cwd: PathBuf,
    pub(crate) read_only: Vec<PathBuf>,
    pub(crate) limits: Rlimits,
    pub(crate) relax: Vec<Relax>,
    pub(crate) bait: Bait,
}

/// The limits that a process carries.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rlimits {
    pub(crate) data: u64,
    pub(crate) file: u64,
    pub(crate) open: u64,
    /// None where the count would take in the processes of the user outside.
    pub(crate) processes: Option<u64>,
}

/// What the canary tries to reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bait {
    /// A folder of the host that anybody may write.
    pub(crate) folder: PathBuf,
    /// A file in it that anybody may read.
    pub(crate) secret: PathBuf,
    /// A listening socket in it that anybody may connect to.
    pub(crate) socket: PathBuf,
    /// The abstract name of another.
    pub(crate) abstract_name: String,
    /// A listener on the loopback of the host.
    pub(crate) tcp_port: u16,
    pub(crate) udp_port: u16,
    /// The process of ours that is nearest to the gate and outside of its walls.
    pub(crate) outer: u32,
    /// The caller's own process.
    pub(crate) caller: u32,
}

/// From the second stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The walls stand and the canary has tried them.
    Ready(Box<Ready>),
    /// A step on the way to the gate did not work.
    Failed { step: String, error: String },
    /// The gate's program could not be started.
    NotStarted { error: String },
    /// The gate's main process ended.
    Ended { end: End, cpu_ms: u64 },
    /// What was left of it half a second later, and was killed.
    Left { processes: u64 },
}

/// How the gate's main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
}

/// What the second stage found when it stood inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) uid: u32,
    pub(crate) landlock: String,
    pub(crate) seccomp: String,
    /// The names of the namespaces, as the kernel writes them: `net` is `net:[4026532000]`.
    pub(crate) namespaces: BTreeMap<String, String>,
    pub(crate) trials: Vec<Trial>,
}

/// One attempt of the canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The aspect it is about.
    pub aspect: Aspect,
    /// What was tried.
    pub what: String,
    /// Whether the wall held.
    pub held: bool,
    /// What the kernel answered.
    pub answer: String,
}

/// Writes one frame.
pub(crate) fn send<T: Serialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)
}

/// Reads one frame, and not a byte beyond it.
pub(crate) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME {
        return Err(io::Error::other("a frame is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Takes the first whole frame out of what has arrived so far.
pub(crate) fn take<T: DeserializeOwned>(arrived: &mut Vec<u8>) -> Option<io::Result<T>> {
    let length = arrived.first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > FRAME {
        return Some(Err(io::Error::other("a frame is too long")));
    }
    let body = arrived.get(4..4 + length)?;
    let value = serde_json::from_slice(body).map_err(io::Error::from);
    arrived.drain(..4 + length);
    Some(value)
}
