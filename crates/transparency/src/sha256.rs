//! SHA-256 of two messages at a time. Each round of a hash waits for the round before, so that a processor
//! is half idle while it hashes one message; the blocks of two, taken in turn, fill the gaps (more than two
//! were no faster where it was measured). The compression function is the `sha2` crate's; only how a
//! message is cut into blocks and padded is written here.

use sha2::block_api::compress256;

type Block = [u8; 64];

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

/// Where the last block's length begins.
const LENGTH: usize = 56;

/// A message as blocks. Only those that are not the message's own bytes alone are copied.
pub(crate) struct Message<'m> {
    /// The first block, if a byte stands before the body and both fill it.
    first: Option<Block>,
    whole: &'m [Block],
    last: [Block; 2],
    /// Whether what is left takes both of the last blocks.
    is_long: bool,
}

impl<'m> Message<'m> {
    /// The body as it is.
    pub(crate) fn plain(body: &'m [u8]) -> Self {
        let (whole, rest) = body.as_chunks();
        Self::ended(None, whole, &[], rest, body.len())
    }

    /// One byte, and the body.
    pub(crate) fn prefixed(prefix: u8, body: &'m [u8]) -> Self {
        let length = body.len() + 1;
        let Some((begin, after)) = body.split_first_chunk::<63>() else {
            return Self::ended(None, &[], &[prefix], body, length);
        };
        let mut first = [prefix; 64];
        if let Some(room) = first.last_chunk_mut() {
            *room = *begin;
        }
        let (whole, rest) = after.as_chunks();
        Self::ended(Some(first), whole, &[], rest, length)
    }

    /// Pads what fills no block, which is less than 64 bytes: a one, zeros, the length in bits.
    fn ended(
        first: Option<Block>,
        whole: &'m [Block],
        before: &[u8],
        rest: &[u8],
        length: usize,
    ) -> Self {
        let mut last = [[0; 64]; 2];
        let (begin, room) = last.as_flattened_mut().split_at_mut(before.len());
        begin.copy_from_slice(before);
        let (text, room) = room.split_at_mut(rest.len());
        text.copy_from_slice(rest);
        room.iter_mut().take(1).for_each(|end| *end = 0x80);
        let is_long = before.len() + rest.len() >= LENGTH;
        let end = last.get_mut(usize::from(is_long));
        if let Some(end) = end.and_then(|block| block.last_chunk_mut()) {
            *end = (length as u64).wrapping_mul(8).to_be_bytes();
        }
        Self {
            first,
            whole,
            last,
            is_long,
        }
    }

    /// Its hash.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let [hash, _] = both(self, &Self::plain(&[]));
        hash
    }

    fn last(&self) -> &[Block] {
        self.last.split_at(1 + usize::from(self.is_long)).0
    }
}

/// The hashes of two messages.
pub(crate) fn both(one: &Message<'_>, other: &Message<'_>) -> [[u8; 32]; 2] {
    let mut states = [BEGIN; 2];
    in_turn(&mut states, one.first.as_slice(), other.first.as_slice());
    in_turn(&mut states, one.whole, other.whole);
    in_turn(&mut states, one.last(), other.last());
    states.map(bytes)
}

fn in_turn([first, second]: &mut [[u32; 8]; 2], one: &[Block], other: &[Block]) {
    let both = one.len().min(other.len());
    let ((one, first_alone), (other, second_alone)) = (one.split_at(both), other.split_at(both));
    for (this, that) in one.iter().zip(other) {
        compress(first, this);
        compress(second, that);
    }
    first_alone.iter().for_each(|block| compress(first, block));
    second_alone
        .iter()
        .for_each(|block| compress(second, block));
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
