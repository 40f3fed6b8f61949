//! What a text says beside the change that git makes of it: the files that it takes content from, and the
//! words around its files. The difference of two trees keeps neither, so both are taken from the text as it was
//! given, in any form that `git apply` takes.

use crate::hunk::number;
use crate::quoting;

/// What a patch says beside its change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside<'a> {
    /// The paths that headers name as sources of copies, renames or of a file by another name.
    pub sources: Vec<Vec<u8>>,
    /// The text before, between and behind the files.
    pub around: Vec<&'a [u8]>,
}

/// How the lines of a header begin, as `git apply` knows them.
const HEADER: [&[u8]; 17] = [
    b"diff --git ",
    b"--- ",
    b"+++ ",
    b"old mode ",
    b"new mode ",
    b"deleted file mode ",
    b"new file mode ",
    b"copy from ",
    b"copy to ",
    b"rename from ",
    b"rename to ",
    b"rename old ",
    b"rename new ",
    b"similarity index ",
    b"dissimilarity index ",
    b"index ",
    b"Binary files ",
];
/// How a source is written on a line of its own.
const SOURCES: [&[u8]; 3] = [b"copy from ", b"rename from ", b"rename old "];

/// Where in the text a reader is.
enum Place {
    Around,
    Header,
    /// In a hunk that still has so many old and new lines; behind it, where it has none.
    Hunk(usize, usize),
    /// In binary data, or behind the empty line that ends a run of it.
    Binary {
        is_over: bool,
    },
}

/// Reads what stands beside the change. Nothing is refused: a line that belongs to no file is text.
#[must_use]
pub fn beside(bytes: &[u8]) -> Beside<'_> {
    let mut reader = Reader {
        place: Place::Around,
        old_name: None,
        said: Beside::default(),
    };
    let (mut start, mut at) = (0, 0);
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let end = at + line.len();
        if !reader.is_around(line, lines.peek().copied().unwrap_or_default()) {
            reader.said.around.extend(text(bytes, start, at));
            start = end;
        }
        at = end;
    }
    reader.said.around.extend(text(bytes, start, at));
    reader.said
}

fn text(bytes: &[u8], start: usize, end: usize) -> Option<&[u8]> {
    let text = bytes.get(start..end)?;
    (!text.iter().all(u8::is_ascii_whitespace)).then_some(text)
}

struct Reader<'a> {
    place: Place,
    /// The name on the `---` line of this header.
    old_name: Option<Vec<u8>>,
    said: Beside<'a>,
}

impl Reader<'_> {
    /// Takes the next line in, and tells whether it belongs to no file.
    fn is_around(&mut self, line: &[u8], next: &[u8]) -> bool {
        if let Place::Hunk(old, new) = self.place
            && (old, new) != (0, 0)
        {
            let (less_old, less_new) = match line.first() {
                Some(b'-') => (1, 0),
                Some(b'+') => (0, 1),
                Some(b'\\') => (0, 0),
                _ => (1, 1),
            };
            let left = (old.saturating_sub(less_old), new.saturating_sub(less_new));
            self.place = Place::Hunk(left.0, left.1);
            return false;
        }
        let is_pair = line.starts_with(b"--- ") && next.starts_with(b"+++ ");
        if is_pair || line.starts_with(b"diff --git ") {
            self.header(line);
            return false;
        }
        match self.place {
            Place::Around => true,
            Place::Binary { is_over } => {
                let is_size = line.starts_with(b"literal ") || line.starts_with(b"delta ");
                let is_data = !is_over && !line.contains(&b' ');
                self.place = Place::Binary {
                    is_over: line.trim_ascii().is_empty(),
                };
                self.unless(is_size || is_data)
            }
            Place::Header | Place::Hunk(..) => {
                if let Some((old, new)) = counts(line) {
                    self.place = Place::Hunk(old, new);
                    return false;
                }
                if line.starts_with(b"GIT binary patch") {
                    self.place = Place::Binary { is_over: false };
                    return false;
                }
                let is_header = matches!(self.place, Place::Header);
                if is_header && HEADER.iter().any(|start| line.starts_with(start)) {
                    self.header(line);
                    return false;
                }
                self.unless(line.starts_with(b"\\"))
            }
        }
    }

    /// What does not belong to the file any more is text, and so is what follows.
    fn unless(&mut self, belongs: bool) -> bool {
        if !belongs {
            self.place = Place::Around;
        }
        !belongs
    }

    fn header(&mut self, line: &[u8]) {
        self.place = Place::Header;
        if line.starts_with(b"diff --git ") {
            self.old_name = None;
        }
        if let Some(old) = line.strip_prefix(b"--- ") {
            self.old_name = side(old);
        }
        if let Some(new) = line.strip_prefix(b"+++ ") {
            let old = self.old_name.take();
            let source = old.filter(|old| side(new).is_some_and(|new| new != *old));
            self.said.sources.extend(source);
        }
        let mut source = SOURCES.iter().filter_map(|start| line.strip_prefix(*start));
        self.said.sources.extend(source.next().and_then(name));
    }
}

/// How many lines a hunk header promises of the old file and of the new one.
fn counts(line: &[u8]) -> Option<(usize, usize)> {
    let count = |rest| match number(rest)? {
        (_, [b',', rest @ ..]) => number(rest),
        (_, rest) => Some((1, rest)),
    };
    let (old, rest) = count(line.strip_prefix(b"@@ -")?)?;
    let (new, _) = count(rest.strip_prefix(b" +")?)?;
    Some((old, new))
}

/// A name as git reads it: without quotes, and slashes that stand together are one.
fn name(written: &[u8]) -> Option<Vec<u8>> {
    let written = written.trim_ascii_end();
    let mut path = quoting::decode(written).unwrap_or_else(|| written.to_vec());
    path.dedup_by(|next, before| (*next, *before) == (b'/', b'/'));
    (!path.is_empty()).then_some(path)
}

/// A name of a `---` or `+++` line, without its prefix; none where there is no file.
fn side(written: &[u8]) -> Option<Vec<u8>> {
    // What stands behind a tab is a time.
    let written = written.split(|byte| *byte == b'\t').next()?;
    let path = name(written).filter(|path| path != b"/dev/null")?;
    let slash = path.iter().position(|byte| *byte == b'/')?;
    path.get(slash + 1..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNK: &str = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-copy from .env\n+copy from .env\n";

    fn sources(text: &str) -> Vec<String> {
        let found = beside(text.as_bytes()).sources.into_iter();
        found.map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn every_form_in_which_git_takes_a_source_is_read() {
        for header in [
            "copy from .aws/plan.txt\ncopy to k\n",
            "copy from .aws//plan.txt\ncopy to k\n",
            "copy from \".aws/pl\\141n.txt\"\ncopy to k\n",
            "copy from .aws/plan.txt\r\ncopy to k\n",
            "similarity index 9%\nrename from .aws/plan.txt\nrename to k\n",
            "rename old .aws/plan.txt\nrename new k\n",
            "--- a/.aws/plan.txt\n+++ b/k\n@@ -0,0 +1 @@\n+x\n",
        ] {
            let text = format!("words\n\ndiff --git a/x b/k\n{header}");
            assert_eq!(sources(&text), [".aws/plan.txt"], "{header}");
        }
        let plain = format!("copy from .env\n\ndiff --git a/x b/x\n{HUNK}copy from .env\n");
        assert_eq!(sources(&plain), [""; 0]);
        assert_eq!(
            sources("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n"),
            [""; 0]
        );
    }

    #[test]
    fn what_belongs_to_no_file_is_text_wherever_it_stands() {
        let data = "GIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n";
        let text = format!(
            "From: a\n\nfirst\n---\n x | 2 +-\n\ndiff --git a/x b/x\nindex 1..2 100644\n{HUNK}-- \n2.47\n\nsecond\n\
             diff --git a/y b/y\nindex 1..2\n{data}third\n"
        );
        let around = beside(text.as_bytes()).around;
        let around: Vec<_> = around.into_iter().map(String::from_utf8_lossy).collect();
        assert_eq!(
            around,
            [
                "From: a\n\nfirst\n---\n x | 2 +-\n\n",
                "-- \n2.47\n\nsecond\n",
                "third\n"
            ]
        );
        assert!(beside(HUNK.as_bytes()).around.is_empty());
    }
}
