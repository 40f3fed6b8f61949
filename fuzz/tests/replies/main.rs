//! Replies: generated ones, and real commits that are malformed as models do it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../../crates/patch/tests/common/mod.rs"]
mod common;
mod history;
mod malform;

use baton_fuzz::replies;
use common::Random;

/// Pieces of replies in all three forms.
const PIECES: [&str; 64] = [
    "src/g.py\n",
    "src/open.txt\n",
    "docs/read me.md\n",
    "src/new.txt\n",
    "src/link\n",
    "src/given\n",
    "src/empty\n",
    "/etc/passwd\n",
    "src/../.git/config\n",
    "```python\n",
    "```\n",
    "````\n",
    "~~~\n",
    "``` src/dos.txt\n",
    "<<<<<<< SEARCH\n",
    "=======\n",
    ">>>>>>> REPLACE\n",
    "<think>\n",
    "</think>\n",
    "diff --git a/src/g.py b/src/g.py\n",
    "index 1234567..89abcde 100644\n",
    "new file mode 100644\n",
    "new file mode 120000\n",
    "old mode 100644\nnew mode 100755\n",
    "deleted file mode 100644\n",
    "rename from src/g.py\n",
    "GIT binary patch\n",
    "--- a/src/g.py\n+++ b/src/g.py\n",
    "--- src/g.py\n+++ src/g.py\n",
    "--- a/src/open.txt\n+++ b/src/open.txt\n",
    "--- a/src/dos.txt\n+++ b/src/dos.txt\n",
    "--- a/src/mixed.txt\n+++ b/src/mixed.txt\n",
    "--- a/src/given\n+++ b/src/given\n",
    "--- a/src/empty\n+++ b/src/empty\n",
    "--- /dev/null\n+++ b/src/new.txt\n",
    "--- a/src/g.py\n+++ /dev/null\n",
    "--- a/src/g.py\n",
    "+++ b/src/g.py\n",
    "@@ -1,3 +1,3 @@\n",
    "@@ -0,0 +1 @@\n",
    "@@ -999999999999999999999,1 +1 @@\n",
    "@@ ... @@\n",
    "@@\n",
    " import os\n",
    "-import os\n",
    "import os\n",
    "+import sys\n",
    " def two():\n",
    "-    return 2\n",
    "+    return 22\n",
    "    return 2\n",
    "  return 2\n",
    " a\n",
    "-b\n",
    " c\n",
    "b\r\n",
    "-b\r\n+x\r\n",
    "+x\n",
    " \n",
    "\n",
    "\\ No newline at end of file\n",
    "... rest of code unchanged ...\n",
    "---BEGIN_PATCH---\n",
    "a\n\0",
];

/// How many replies are tried; `BATON_MUTANTS` asks for more, and the first ones stay the same.
fn rounds(usual: usize) -> usize {
    let asked = std::env::var("BATON_MUTANTS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(usual)
}

#[test]
fn replies_hold_on_pieces_in_any_order() {
    let mut random = Random(0xba70_17ed);
    for _ in 0..rounds(60_000) {
        let mut bytes = vec![random.below(256) as u8];
        for _ in 0..random.below(14) {
            bytes.extend_from_slice(random.pick(&PIECES).as_bytes());
            if random.below(12) == 0 {
                bytes.pop();
            }
        }
        replies(&bytes);
    }
}

#[test]
fn replies_hold_on_damaged_ones() {
    let mut random = Random(0xba70_17ed);
    let seeds = malform::seeds();
    for _ in 0..rounds(20_000) {
        let mut bytes = random.pick(&seeds).clone();
        for _ in 0..=random.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = *random.pick(b"\n\r \t+-@`~<>=\\\0a"),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = random.pick(&PIECES).as_bytes().to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        replies(&bytes);
    }
}
