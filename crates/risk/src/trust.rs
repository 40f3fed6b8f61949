//! Trust that is handed on: scripts that a hook, a workflow, an agent's guide or a gate of the policy
//! runs. Who changes them changes what the trusted file does.

use baton_core::policy::Policy;
use baton_patch::Op;

use crate::hit::Hit;
use crate::input::{ScanInput, shown};

/// Programs that a gate names, and the files that they take their work from.
const RUNNERS: [(&str, &[&str]); 13] = [
    ("make", &["Makefile", "makefile", "GNUmakefile"]),
    ("gmake", &["Makefile", "makefile", "GNUmakefile"]),
    ("just", &["justfile", "Justfile", ".justfile"]),
    ("task", &["Taskfile.yml", "Taskfile.yaml"]),
    ("npm", &["package.json"]),
    ("pnpm", &["package.json"]),
    ("yarn", &["package.json"]),
    ("bun", &["package.json"]),
    ("tox", &["tox.ini"]),
    ("nox", &["noxfile.py"]),
    ("pytest", &["pytest.ini", "conftest.py", "tox.ini"]),
    ("rake", &["Rakefile"]),
    ("composer", &["composer.json"]),
];

/// Finds changed files that a gate of the policy, or a trusted file of the base, runs or reads.
pub(crate) fn scan(input: &ScanInput<'_>, policy: &Policy, hits: &mut Vec<Hit>) {
    for file in &input.files {
        let path = file.section.path();
        for gate in policy.gates.iter().filter(|gate| gate.is_command()) {
            if runs(&gate.argv, &gate.cwd, path) {
                let message = format!("gate {} runs it", gate.id);
                hits.push(Hit::in_file("GATE_SCRIPT", file, message));
            }
        }
        // What is new was named by nobody before, unless the name waited for it.
        let trusted = input.surroundings.iter().flat_map(|all| &all.trusted);
        let by = trusted.filter(|(named_by, _)| named_by != path);
        let mut by = by.filter(|(named_by, text)| names(text, named_by, path));
        if let Some((named_by, _)) = by.next() {
            let what = match file.op {
                Op::Delete => "needs it",
                _ => "runs or reads it",
            };
            let message = format!("{} {what}, so trust is handed on", shown(named_by));
            hits.push(Hit::in_file("TRUSTED_SCRIPT", file, message));
        }
    }
}

/// Whether a gate's command takes its work from this file.
fn runs(argv: &[String], folder: &str, path: &[u8]) -> bool {
    let inside = match folder {
        "." => Some(path),
        folder => path
            .strip_prefix(folder.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"/")),
    };
    let Some(path) = inside else {
        return false;
    };
    let base = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    argv.iter().any(|word| {
        let plain = word.strip_prefix("./").unwrap_or(word);
        // A shell's script is one word that holds the names among others.
        plain.as_bytes() == path || (word.contains(' ') && mentions(word.as_bytes(), path))
    }) || argv.iter().any(|word| {
        let runner = RUNNERS.iter().find(|(name, _)| *name == base(word));
        runner.is_some_and(|(_, files)| files.iter().any(|file| file.as_bytes() == path))
    })
}

/// Whether a trusted file names this path: as it is, or as seen from the trusted file's own folder
/// or the folder above.
fn names(text: &[u8], named_by: &[u8], path: &[u8]) -> bool {
    if mentions(text, path) {
        return true;
    }
    let mut folder = named_by;
    while let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') {
        folder = folder.get(..slash).unwrap_or_default();
        let below = path
            .strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix(b"/"));
        // A bare name within a folder says little, unless it is written as a path.
        let relative = below.map(|rest| [b"./", rest].concat());
        let is_path = |rest: &[u8]| rest.contains(&b'/');
        let named = below.is_some_and(|rest| is_path(rest) && mentions(text, rest))
            || relative.is_some_and(|rest| mentions(text, &rest));
        if named {
            return true;
        }
    }
    false
}

/// Whether a text holds a path as a word of its own. A name without a folder and without an ending
/// is an ordinary word and counts only when it is written as a path.
fn mentions(text: &[u8], path: &[u8]) -> bool {
    let is_plain_word = !path.contains(&b'/') && !path.contains(&b'.');
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let mut from = 0;
    while let Some(at) = find(text.get(from..).unwrap_or_default(), path) {
        let (start, end) = (from + at, from + at + path.len());
        let before = text.get(..start).unwrap_or_default();
        let as_path = before.ends_with(b"./") && !before.ends_with(b"../");
        let starts = match before.last() {
            None => true,
            Some(b'/') => as_path || before.ends_with(b"}/") || before.ends_with(b"$PWD/"),
            Some(b'.') => false,
            Some(byte) => !inner(byte),
        };
        let after = text.get(end..).unwrap_or_default();
        let ends = match after {
            [b'.', next, ..] => !inner(next),
            [byte, ..] => !inner(byte) && *byte != b'/',
            [] => true,
        };
        if starts && ends && (as_path || !is_plain_word) {
            return true;
        }
        from = start + 1;
    }
    false
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_a_word_of_its_own() {
        for (text, path) in [
            ("run: ./scripts/check.sh --all", "scripts/check.sh"),
            ("entry: scripts/check.sh", "scripts/check.sh"),
            ("see `docs/rules.md`.", "docs/rules.md"),
            ("bash \"tools/x.sh\"", "tools/x.sh"),
            ("- run: ./build", "build"),
            ("${GITHUB_WORKSPACE}/ci/x.sh", "ci/x.sh"),
        ] {
            assert!(mentions(text.as_bytes(), path.as_bytes()), "{text}");
        }
        for (text, path) in [
            ("run: other/scripts/check.sh", "scripts/check.sh"),
            ("scripts/check.sh.bak", "scripts/check.sh"),
            ("the build is green", "build"),
            ("../build", "build"),
            ("src/lib.rs2", "src/lib.rs"),
        ] {
            assert!(!mentions(text.as_bytes(), path.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_trusted_file_names_what_lies_beside_it() {
        let hook = b"exec ./pre/check.sh".as_slice();
        assert!(names(hook, b".husky/pre-commit", b".husky/pre/check.sh"));
        assert!(names(
            b"python tools/a.py",
            b"pkg/AGENTS.md",
            b"pkg/tools/a.py"
        ));
        assert!(!names(
            b"python tools/a.py",
            b"pkg/AGENTS.md",
            b"lib/tools/a.py"
        ));
    }

    #[test]
    fn a_gate_runs_its_words_and_its_runners_files() {
        let argv = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        assert!(runs(&argv(&["make", "test"]), ".", b"Makefile"));
        assert!(!runs(&argv(&["make", "test"]), ".", b"sub/Makefile"));
        assert!(runs(&argv(&["make"]), "sub", b"sub/Makefile"));
        assert!(runs(&argv(&["bash", "./ci/all.sh"]), ".", b"ci/all.sh"));
        assert!(runs(
            &argv(&["sh", "-c", "cd x && ./run.sh"]),
            ".",
            b"run.sh"
        ));
        assert!(!runs(&argv(&["cargo", "test"]), ".", b"src/lib.rs"));
    }
}
