//! The log of a gate: its beginning and its end, how much came in all, and the hash over all.

use std::collections::VecDeque;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// What a gate wrote to its standard output and error, which are one pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Log {
    /// The first bytes.
    #[serde(skip)]
    pub head: Vec<u8>,
    /// The last bytes, of what did not fit into the head.
    #[serde(skip)]
    pub tail: Vec<u8>,
    /// How many bytes are kept.
    pub kept_bytes: u64,
    /// How many bytes came.
    pub total_bytes: u64,
    /// SHA-256 in hexadecimal over all bytes that came, those left out included.
    pub sha256: String,
    /// Whether the pipe was still open when reading ended: something held it.
    pub cut_off: bool,
}

impl Log {
    /// Whether bytes were left out.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.total_bytes > self.kept_bytes
    }

    /// The beginning and the end, with a line between them that says how much is left out.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut text = self.head.clone();
        if self.is_truncated() {
            let left_out = self.total_bytes - self.kept_bytes;
            text.extend_from_slice(format!("\n[{left_out} bytes left out]\n").as_bytes());
        }
        text.extend_from_slice(&self.tail);
        text
    }
}

/// A log while it is being written.
pub(crate) struct Recorder {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    room: usize,
    total: u64,
    hash: Sha256,
}

impl Recorder {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            room: limit / 2,
            total: 0,
            hash: Sha256::new(),
        }
    }

    pub(crate) fn take_in(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.total = self.total.saturating_add(bytes.len() as u64);
        let room = self.room.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        let kept = rest
            .get(rest.len().saturating_sub(self.room)..)
            .unwrap_or(rest);
        self.tail.extend(kept);
        let over = self.tail.len().saturating_sub(self.room);
        self.tail.drain(..over);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What has come so far, as text for an error message.
    pub(crate) fn words(&self) -> String {
        let mut bytes = self.head.clone();
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    pub(crate) fn finish(self, cut_off: bool) -> Log {
        let tail = Vec::from(self.tail);
        Log {
            kept_bytes: (self.head.len() + tail.len()) as u64,
            head: self.head,
            tail,
            total_bytes: self.total,
            sha256: self
                .hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            cut_off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_and_all_is_counted() {
        let mut recorder = Recorder::new(10);
        for part in ["abc", "defgh", "ijklmnopq", "rs"] {
            recorder.take_in(part.as_bytes());
        }
        let log = recorder.finish(false);
        assert_eq!(log.text(), b"abcde\n[9 bytes left out]\nopqrs");
        assert_eq!((log.total_bytes, log.kept_bytes), (19, 10));
        assert_eq!(log.sha256.len(), 64);
    }

    #[test]
    fn a_short_log_is_whole() {
        let mut recorder = Recorder::new(10);
        recorder.take_in(b"abcdefg");
        let log = recorder.finish(false);
        assert_eq!(log.text(), b"abcdefg");
        assert!(!log.is_truncated());
        assert!(log.sha256.starts_with("7d1a5412"), "{}", log.sha256);
    }
}
