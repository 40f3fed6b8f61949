//! Whatever comes in, the readers answer.
#![allow(clippy::unwrap_used)]

use baton_patch::{Limits, parse, path, raw};
use proptest::prelude::*;

/// Pieces that lead deep into the reader.
const PIECES: [&str; 28] = [
    "diff --git a/x b/x\n",
    "diff --git ",
    "a/x",
    "\"a/\\303\\251\"",
    "old mode 100644\n",
    "new mode 100755\n",
    "new file mode 100644\n",
    "deleted file mode 100644\n",
    "similarity index 100%\n",
    "rename from x\n",
    "rename to y\n",
    "index 0000000..e69de29\n",
    "index 1234567..89abcde 100644\n",
    "--- a/x\n",
    "+++ b/x\n",
    "--- /dev/null\n",
    "@@ -1 +1 @@\n",
    "@@ -0,0 +1,2147483647 @@\n",
    "@@ -2147483647,2147483647 +1 @@\n",
    "-a\n",
    "+b\n",
    " c\n",
    "\\ No newline at end of file\n",
    "GIT binary patch\n",
    "literal 0\nHcmV?d00001\n\n",
    "literal 2147483647\nzcmV?d00001\n\n",
    "\n",
    "-- \n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(parse(&bytes, &Limits::default()));
        drop(raw::read(&bytes));
        let _ = path::check(&bytes);
        path::warnings(&bytes);
        path::fold(&bytes);
        prop_assert_eq!(path::unquote(path::quote(&bytes).as_bytes()), Some(bytes));
    }

    #[test]
    fn on_pieces_of_patches(pieces in proptest::collection::vec(
        prop_oneof![9 => proptest::sample::select(&PIECES[..]).prop_map(|s| s.as_bytes().to_vec()),
                    1 => proptest::collection::vec(any::<u8>(), 0..9)], 0..30)) {
        let bytes = pieces.concat();
        if let Ok(patch) = parse(&bytes, &Limits::default()) {
            for section in &patch.sections {
                let added: usize = section.added_text().count();
                prop_assert_eq!(added, section.insertions);
                prop_assert_eq!(section.removed_text().count(), section.deletions);
            }
            drop(baton_patch::agrees(&patch, &[]));
        }
    }
}
