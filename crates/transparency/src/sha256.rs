//! SHA-256 of two messages at a time. Each round of a hash waits for the round before, so that a processor
//! is half idle while it hashes one message; the blocks of two, taken in turn, fill the gaps (more than two
//! were no faster where it was measured). The compression function is the `sha2` crate's; only how a
//! message is cut into blocks and padded is written here.

use sha2::block_api::compress256;

pub(crate) type Block = [u8; 64];

/// The state that every hash begins with (FIPS 180-4, 5.3.3).
const BEGIN: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// What stands after a message at least: a one, and its length in bits.
const END: usize = 9;

/// Blocks that a message of so many bytes takes.
pub(crate) fn block_count(length: usize) -> usize {
    (length + END).div_ceil(64)
}

/// Lays a message out, what stands before its body first, in as many blocks as it takes.
pub(crate) fn lay_out(blocks: &mut [Block], prefix: &[u8], body: &[u8]) {
    let length = prefix.len() + body.len();
    let (begin, room) = blocks.as_flattened_mut().split_at_mut(prefix.len());
    begin.copy_from_slice(prefix);
    let (text, room) = room.split_at_mut(body.len());
    text.copy_from_slice(body);
    room.fill(0);
    room.iter_mut().take(1).for_each(|end| *end = 0x80);
    if let Some(end) = room.last_chunk_mut() {
        *end = (length as u64).wrapping_mul(8).to_be_bytes();
    }
}

/// The hashes of two messages that are laid out.
pub(crate) fn both(one: &[Block], other: &[Block]) -> [[u8; 32]; 2] {
    InTurn::new(one, other).hashes()
}

/// Two messages that are being hashed.
pub(crate) struct InTurn<'b> {
    states: [[u32; 8]; 2],
    left: [std::slice::Iter<'b, Block>; 2],
    is_others_turn: bool,
}

impl<'b> InTurn<'b> {
    /// Before the first blocks of both.
    pub(crate) fn new(one: &'b [Block], other: &'b [Block]) -> Self {
        Self {
            states: [BEGIN; 2],
            left: [one.iter(), other.iter()],
            is_others_turn: false,
        }
    }

    /// Hashes one block, of the one and of the other in turn.
    #[inline]
    pub(crate) fn step(&mut self) {
        let ([first, second], [one, other]) = (&mut self.states, &mut self.left);
        let (state, block) = match self.is_others_turn {
            false => (first, one.next()),
            true => (second, other.next()),
        };
        if let Some(block) = block {
            compress(state, block);
        }
        self.is_others_turn = !self.is_others_turn;
    }

    /// Hashes what is left of them.
    pub(crate) fn hashes(self) -> [[u8; 32]; 2] {
        let ([mut first, mut second], [mut one, mut other]) = (self.states, self.left);
        loop {
            let (this, that) = (one.next(), other.next());
            this.into_iter()
                .for_each(|block| compress(&mut first, block));
            that.into_iter()
                .for_each(|block| compress(&mut second, block));
            if this.is_none() && that.is_none() {
                return [first, second].map(bytes);
            }
        }
    }
}

fn compress(state: &mut [u32; 8], block: &Block) {
    compress256(state, std::slice::from_ref(block));
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (words, _) = bytes.as_chunks_mut();
    let from = state.into_iter().map(u32::to_be_bytes);
    words.iter_mut().zip(from).for_each(|(to, from)| *to = from);
    bytes
}
