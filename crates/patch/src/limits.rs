//! Bounds on what the reader takes in, so that hostile input costs little.

/// Bounds of one patch; whatever exceeds one of them is refused.
///
/// The defaults are a judgement, not a measurement: each is far above what one reviewable
/// change needs and low enough for a small machine. git itself stops at 1,023 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the whole input in bytes. Default 64 MiB.
    pub bytes: usize,
    /// Number of `diff --git` sections. Default 20,000.
    pub sections: usize,
    /// Length of one line in bytes, without its line feed. Default 8 MiB (minified files).
    pub line_bytes: usize,
    /// Length of one path in bytes. Default 4,096, which is `PATH_MAX` on Linux.
    pub path_bytes: usize,
    /// Number of hunks over all sections. Default 200,000.
    pub hunks: usize,
    /// Size of all decoded binary data in bytes, so that a small patch cannot inflate into a
    /// huge one. Default 64 MiB.
    pub binary_bytes: usize,
    /// Whether binary deltas pass as [`crate::Body::BinaryDelta`]. Default false: what a delta
    /// writes cannot be seen without the file that it starts from.
    pub allow_delta: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Limits {
            bytes: 64 * MIB,
            sections: 20_000,
            line_bytes: 8 * MIB,
            path_bytes: 4096,
            hunks: 200_000,
            binary_bytes: 64 * MIB,
            allow_delta: false,
        }
    }
}
