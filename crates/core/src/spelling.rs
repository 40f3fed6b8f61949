//! Under which names other file systems know a path. A rule that forbids must hold for all of them.

use baton_patch::path;
use unicode_normalization::UnicodeNormalization;

/// A text with its case folded, and in the one normal form in which rules and paths are compared: an
/// accent may be a letter's own or stand after it, and some file systems see one name in both.
#[must_use]
pub fn lower(text: &[u8]) -> Vec<u8> {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Through upper case, so that letters with two lower-case forms meet.
    let fold = |letter: char| letter.to_uppercase().flat_map(char::to_lowercase);
    let folded = text.utf8_chunks().flat_map(|chunk| {
        let letters: String = chunk.valid().nfc().flat_map(fold).nfc().collect();
        [letters.into_bytes(), chunk.invalid().to_vec()].concat()
    });
    folded.collect()
}

/// The key under which paths that some file system takes for one are equal: as [`path::fold`], in one
/// normal form.
#[must_use]
pub fn folded(path: &[u8]) -> Vec<u8> {
    let folded = path::fold(path);
    match folded.is_ascii() {
        true => folded,
        // What is ignored may stand between a letter and its accent.
        false => lower(&folded),
    }
}

/// The other names of a path that a forbidding rule is asked for: what folds beyond case, and on
/// NTFS, where a colon cuts off a stream, the file that the stream belongs to.
#[must_use]
pub fn others(path: &[u8]) -> Vec<Vec<u8>> {
    let ends_oddly = |part: &[u8]| part.ends_with(b".") || part.ends_with(b" ");
    let mut parts = path.split(|byte| *byte == b'/');
    // Nearly every path is plain, and every path of a repository may be asked for.
    if path.is_ascii() && !path.contains(&b':') && !parts.any(ends_oddly) {
        return Vec::new();
    }
    let is_other = |name: &Vec<u8>| *name != lower(path);
    let cut = path::without_streams(path).map(|name| folded(&name));
    let names = [Some(folded(path)), cut].into_iter().flatten();
    names.filter(is_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_what_is_dropped_meet() {
        for (one, other) in [
            ("SRC/A.rs", "src/a.rs"),
            ("caf\u{e9}/x", "CAFE\u{301}/x"),
            ("a\u{200c}b. ", "ab"),
            ("e\u{200d}\u{301}", "\u{e9}"),
        ] {
            assert_eq!(folded(one.as_bytes()), folded(other.as_bytes()), "{one}");
        }
        assert_eq!(lower(b"\xffA\xc3\x89"), b"\xffa\xc3\xa9");
        assert_ne!(lower(b"a."), lower(b"a"));
    }

    #[test]
    fn a_plain_path_has_no_other_name() {
        assert!(others(b"Src/A.rs").is_empty());
        assert_eq!(others(b"Src/A.rs."), [b"src/a.rs"]);
        assert_eq!(others(b".Env::$DATA"), [b".env"]);
    }
}
