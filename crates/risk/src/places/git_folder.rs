//! Plain folders that git takes for a repository: whoever enters one runs what its settings say.

use std::collections::{HashMap, HashSet};

use baton_patch::Op;

use crate::hit::Hit;
use crate::input::{ScanFile, ScanInput, shown};

/// What the folder of a repository holds.
const PARTS: [&[u8]; 7] = [
    b"head",
    b"objects",
    b"refs",
    b"commondir",
    b"config",
    b"config.worktree",
    b"hooks",
];

/// Finds changes to a folder that is a repository afterwards, whatever it is called. One finding for each
/// folder is enough.
pub(crate) fn scan(input: &ScanInput<'_>, hits: &mut Vec<Hit>) {
    let changed = input.files.iter().filter(|file| file.op != Op::Delete);
    let mut told = HashSet::new();
    let mut kept = None;
    for file in changed {
        for (folder, _) in folders(file.section.path()) {
            let kept = kept.get_or_insert_with(|| kept_parts(input));
            let is_one = match kept.get(folder).map(state) {
                Some(State::Whole) => true,
                Some(State::Begun) => is_settings(file, folder),
                Some(State::Plain) | None => false,
            };
            if is_one && told.insert(folder) {
                let why = format!("git takes the folder {} for a repository", shown(folder));
                hits.push(Hit::in_file("GIT_FOLDER", file, why));
            }
        }
    }
}

/// How much of a repository a folder holds.
enum State {
    Whole,
    /// HEAD alone: with settings beside it, somebody means it to be one.
    Begun,
    Plain,
}

fn state(parts: &HashSet<Vec<u8>>) -> State {
    let holds = |part: &[u8]| parts.contains(part);
    match holds(b"head") {
        true if (holds(b"objects") && holds(b"refs")) || holds(b"commondir") => State::Whole,
        true => State::Begun,
        false => State::Plain,
    }
}

/// Which parts the change leaves in each folder that has one.
fn kept_parts<'i>(input: &'i ScanInput<'_>) -> HashMap<&'i [u8], HashSet<Vec<u8>>> {
    let is_gone = |file: &&ScanFile<'_>| file.op == Op::Delete;
    let (gone, there): (Vec<_>, Vec<_>) = input.files.iter().partition(is_gone);
    let gone: HashSet<&[u8]> = gone.iter().map(|file| file.section.path()).collect();
    let base = input.surroundings.iter().flat_map(|all| &all.paths);
    let base = base.map(Vec::as_slice).filter(|path| !gone.contains(path));
    let mut parts: HashMap<&[u8], HashSet<Vec<u8>>> = HashMap::new();
    for path in there.iter().map(|file| file.section.path()).chain(base) {
        for (folder, part) in folders(path) {
            parts.entry(folder).or_default().insert(part);
        }
    }
    parts
}

/// The folders of which a path is, or lies in, a part that repositories have, and that part in lower case.
/// The folder itself is without its last slash, and the root is empty.
fn folders(path: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut start = 0;
    path.split(|byte| *byte == b'/').filter_map(move |part| {
        let folder = path.get(..start.max(1) - 1)?;
        start += part.len() + 1;
        let part = part.to_ascii_lowercase();
        PARTS.contains(&part.as_slice()).then_some((folder, part))
    })
}

/// Whether a file is the settings of a repository that lies in this folder.
fn is_settings(file: &ScanFile<'_>, folder: &[u8]) -> bool {
    let path = file.section.path();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let is_here = path.len() == folder.len() + name.len() + usize::from(!folder.is_empty());
    let says = |line: &[u8]| {
        let line = line.to_ascii_lowercase();
        [&b"worktree"[..], b"fsmonitor", b"hookspath", b"sshcommand"]
            .iter()
            .any(|word| memchr::memmem::find(&line, word).is_some())
    };
    let mut added = file.section.added_text();
    is_here && name.eq_ignore_ascii_case(b"config") && added.any(|(_, text)| says(text))
}

#[cfg(test)]
mod tests {
    use baton_patch::{Limits, parse};

    use super::*;
    use crate::surroundings::Surroundings;
    use crate::tests::changed;

    /// The folders that are told of when files change on a base.
    fn told(base: &[&str], files: &[(&str, &str)]) -> usize {
        let text: String = files
            .iter()
            .map(|(path, line)| changed(path, &["x"], &[line]))
            .collect();
        let patch = parse(text.as_bytes(), &Limits::default()).unwrap();
        let mut input = ScanInput::from_patch(&patch);
        input.surroundings = Some(Surroundings {
            paths: base.iter().map(|path| path.as_bytes().to_vec()).collect(),
            ..Surroundings::default()
        });
        let mut hits = Vec::new();
        scan(&input, &mut hits);
        hits.len()
    }

    #[test]
    fn a_repository_in_plain_folders_is_one() {
        let whole = [
            ("fix/HEAD", "y"),
            ("fix/objects/.keep", "y"),
            ("fix/refs/x", "y"),
        ];
        assert_eq!(told(&[], &whole), 1);
        assert_eq!(
            told(&["a/fix/head", "a/fix/refs/x"], &[("a/fix/Objects", "y")]),
            1
        );
        assert_eq!(
            told(
                &["fix/HEAD", "fix/objects/x", "fix/refs/x"],
                &[("fix/config", "y")]
            ),
            1
        );
        assert_eq!(told(&["fix/HEAD"], &[("fix/commondir", "../.git")]), 1);
        assert_eq!(told(&["fix/HEAD"], &[("fix/config", "\tworkTree = ..")]), 1);
        assert_eq!(
            told(&[], &[("HEAD", "y"), ("objects/a", "y"), ("refs/a", "y")]),
            1
        );
        for (base, path) in [
            (
                &["src/objects/a.rs", "src/refs/b.rs"][..],
                "src/objects/c.rs",
            ),
            (&["a/HEAD", "b/objects/x", "b/refs/x"], "b/config"),
            (&["a/HEAD"], "a/config"),
            (
                &["fix/HEAD", "fix/objects/x", "fix/refs/x"],
                "fix/readme.md",
            ),
        ] {
            assert_eq!(told(base, &[(path, "y")]), 0, "{path}");
        }
    }
}
