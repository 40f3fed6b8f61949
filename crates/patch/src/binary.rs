//! `GIT binary patch`: base85 lines around a zlib stream, decoded and checked in full.

use crate::cursor::{Cursor, Line};
use crate::hunk::number;
use crate::model::Body;
use crate::refusal::{Code, Refusal};
use flate2::{Decompress, FlushDecompress, Status};

/// git's base85 alphabet, in order of value.
const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// The value of each byte, or 255 for one that is not in the alphabet.
const VALUES: [u8; 256] = values();
/// Bytes that git puts on every line but the last.
const LINE_BYTES: usize = 52;
/// Step in which the output grows, so that a declared size alone costs no memory.
const GROWTH: usize = 64 * 1024;

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a panic is a build error"
)]
const fn values() -> [u8; 256] {
    let mut table = [255; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        table[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    table
}

/// One direction of a binary change.
enum Chunk {
    Literal(Vec<u8>),
    Delta(Vec<u8>),
}

/// Reads what follows the line `GIT binary patch`: the forward and the reverse direction.
pub(crate) fn read_binary<'a>(cursor: &mut Cursor<'a>) -> Result<Body<'a>, Refusal> {
    let start = cursor.peek();
    let forward = read_chunk(cursor)?;
    let reverse = read_chunk(cursor)?;
    match (forward, start) {
        (Chunk::Literal(new), _) => {
            let old = match reverse {
                Chunk::Literal(old) => Some(old),
                Chunk::Delta(_) => None,
            };
            Ok(Body::Binary { new, old })
        }
        (Chunk::Delta(delta), _) if cursor.limits().allow_delta => Ok(Body::BinaryDelta(delta)),
        (Chunk::Delta(_), Some(line)) => line.refuse(Code::Delta),
        (Chunk::Delta(_), None) => Err(cursor.end()),
    }
}

/// Reads `literal N` or `delta N`, its data lines, and the empty line that ends them.
fn read_chunk(cursor: &mut Cursor<'_>) -> Result<Chunk, Refusal> {
    let header = cursor.step()?;
    let (size, is_delta) = match (header.after("literal "), header.after("delta ")) {
        (Some(size), _) => (size, false),
        (_, Some(size)) => (size, true),
        (None, None) => return header.refuse(Code::BadBinary),
    };
    let Some((size, [])) = number(size) else {
        return header.refuse(Code::BadBinary);
    };
    cursor.count_binary(header, size)?;
    let packed = read_packed(cursor)?;
    match inflate(&packed, size) {
        Some(data) if is_delta => Ok(Chunk::Delta(data)),
        Some(data) => Ok(Chunk::Literal(data)),
        None => header.refuse(Code::BadBinary),
    }
}

fn read_packed(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Refusal> {
    let mut packed = Vec::new();
    let mut is_last = false;
    loop {
        let line = cursor.step()?;
        if line.text.is_empty() {
            return if packed.is_empty() {
                line.refuse(Code::BadBinary)
            } else {
                Ok(packed)
            };
        }
        if is_last {
            return line.refuse(Code::BadBinary);
        }
        let count = decode_line(line, &mut packed)?;
        is_last = count < LINE_BYTES;
    }
}

/// Decodes one data line: a letter for the number of bytes, then groups of five for four.
fn decode_line(line: Line<'_>, out: &mut Vec<u8>) -> Result<usize, Refusal> {
    let decoded = (|| {
        let (letter, groups) = line.text.split_first()?;
        let count = match *letter {
            letter @ b'A'..=b'Z' => usize::from(letter - b'A') + 1,
            letter @ b'a'..=b'z' => usize::from(letter - b'a') + 27,
            _ => return None,
        };
        if groups.len() != count.div_ceil(4) * 5 {
            return None;
        }
        let mut left = count;
        for group in groups.chunks_exact(5) {
            let bytes = decode_group(group)?;
            let (kept, padding) = bytes.split_at_checked(left.min(4))?;
            if padding.iter().any(|byte| *byte != 0) {
                return None;
            }
            out.extend_from_slice(kept);
            left -= kept.len();
        }
        Some(count)
    })();
    decoded.map_or_else(|| line.refuse(Code::BadBinary), Ok)
}

fn decode_group(group: &[u8]) -> Option<[u8; 4]> {
    let mut sum = 0_u64;
    for byte in group {
        let value = *VALUES
            .get(usize::from(*byte))
            .filter(|value| **value < 85)?;
        sum = sum * 85 + u64::from(value);
    }
    u32::try_from(sum).ok().map(u32::to_be_bytes)
}

/// Inflates a zlib stream that must end exactly with `packed` and yield exactly `size` bytes.
fn inflate(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut stream = Decompress::new(true);
    let mut out = Vec::new();
    loop {
        let used = usize::try_from(stream.total_in()).ok()?;
        let rest = packed.get(used..)?;
        // One byte more than declared, so that a stream that is too long shows.
        out.reserve((size + 1).saturating_sub(out.len()).clamp(1, GROWTH));
        let before = out.len();
        let status = stream
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .ok()?;
        let consumed = usize::try_from(stream.total_in()).ok()?;
        if out.len() > size {
            return None;
        }
        match status {
            Status::StreamEnd => {
                return (out.len() == size && consumed == packed.len()).then_some(out);
            }
            Status::Ok | Status::BufError if consumed == used && out.len() == before => {
                return None;
            }
            Status::Ok | Status::BufError => {}
        }
    }
}
