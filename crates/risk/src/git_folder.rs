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
    let mut told = HashSet::new();
    let mut known = HashMap::new();
    for file in input.files.iter().filter(|file| file.op != Op::Delete) {
        for folder in folders(file.section.path()) {
            let state = *known.entry(folder).or_insert_with(|| state(input, folder));
            let is_one = match state {
                State::Whole => true,
                State::Begun => is_settings(file, folder),
                State::Plain => false,
            };
            if is_one && told.insert(folder) {
                let why = format!("git takes the folder {} for a repository", shown(folder));
                hits.push(Hit::in_file("GIT_FOLDER", file, why));
            }
        }
    }
}

/// How much of a repository a folder holds.
#[derive(Clone, Copy)]
enum State {
    Whole,
    /// HEAD alone: with settings beside it, somebody means it to be one.
    Begun,
    Plain,
}

fn state(input: &ScanInput<'_>, folder: &[u8]) -> State {
    let holds = |part: &str| holds(input, folder, part);
    match holds("HEAD") {
        true if (holds("objects") && holds("refs")) || holds("commondir") => State::Whole,
        true => State::Begun,
        false => State::Plain,
    }
}

/// The folders of which a path is, or lies in, a part that repositories have. The folder itself is without
/// its last slash, and the root is empty.
fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    path.split(|byte| *byte == b'/').filter_map(move |part| {
        let folder = path.get(..start.max(1) - 1);
        start += part.len() + 1;
        let part = part.to_ascii_lowercase();
        folder.filter(|_| PARTS.contains(&part.as_slice()))
    })
}

/// Whether the change leaves a folder with a part of this name.
fn holds(input: &ScanInput<'_>, folder: &[u8], part: &str) -> bool {
    let lies_in = |path: &[u8]| {
        let rest = match folder {
            b"" => Some(path),
            _ => path
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix(b"/")),
        };
        let name = rest.and_then(|rest| rest.split(|byte| *byte == b'/').next());
        name.is_some_and(|name| name.eq_ignore_ascii_case(part.as_bytes()))
    };
    let is_gone = |path: &[u8]| {
        let mut gone = input.files.iter().filter(|file| file.op == Op::Delete);
        gone.any(|file| file.section.path() == path)
    };
    let files = input.files.iter().filter(|file| file.op != Op::Delete);
    let mut base = input.surroundings.iter().flat_map(|all| &all.paths);
    files.map(|file| file.section.path()).any(lies_in)
        || base.any(|path| lies_in(path) && !is_gone(path))
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
