//! Paths that a text names: the words of a script, a workflow, a hook or a guide that could be one.
//!
//! A script names a file from wherever it stands by then: from the root, from its own folder, after a
//! `cd`, behind a variable. So a word counts for every file whose path ends with it; a name too many
//! only makes a person look.

use std::collections::HashMap;

use crate::trust::runners::{ACTIONS, ADDED, INTERPRETERS, RUNNERS};
use crate::trust::word::{Kind, Seen, Words, name_of, of_windows, pieces, plain};

/// One word that could be a path.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    /// Without what stands for a folder nobody knows: `./`, `../`, `/`, a variable.
    path: Vec<u8>,
    /// Whether it is surely meant as a path: it has a folder or an interpreter before it.
    is_path: bool,
    /// Whether an interpreter stands before it.
    is_run: bool,
    /// Whether it brings the file into the text: a part of the pipeline, or more for an agent to read.
    is_part: bool,
}

/// A word with a star: what stands before and after it, and whether its files are parts of the text.
#[derive(Debug)]
struct Star {
    head: Vec<u8>,
    tail: Vec<u8>,
    is_part: bool,
}

impl Star {
    fn means(&self, path: &[u8]) -> bool {
        let at = memchr::memmem::find(path, &self.head);
        let starts = at.is_some_and(|at| at == 0 || path.get(at - 1) == Some(&b'/'));
        starts && path.ends_with(&self.tail)
    }
}

/// The words of one text by their last part.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    by_name: HashMap<Vec<u8>, Vec<Word>>,
    /// Folders whose files are all meant: local actions, and where git takes hooks from.
    folders: Vec<Vec<u8>>,
    stars: Vec<Star>,
    /// Files that the programs of the text take their work from.
    taken: Vec<&'static str>,
    kind: Kind,
}

impl Mentions {
    /// Reads a text. Prose mentions many names; there only whole paths count.
    pub(crate) fn of(text: &[u8], kind: Kind) -> Self {
        let mut mentions = Self {
            kind,
            ..Self::default()
        };
        let words = Words::of(text, kind).chain(of_windows(text));
        words.for_each(|seen| mentions.take(&seen));
        mentions
    }

    /// The same with folders whose files are all meant.
    pub(crate) fn and_folders(mut self, folders: Vec<Vec<u8>>) -> Self {
        self.folders.extend(folders);
        self
    }

    /// Whether the text names anything.
    pub(crate) fn speak(&self) -> bool {
        let is_silent = self.by_name.is_empty() && self.folders.is_empty() && self.stars.is_empty();
        !(is_silent && self.taken.is_empty())
    }

    fn take(&mut self, seen: &Seen<'_>) {
        let last = name_of(&seen.text);
        if let Some((_, files)) = RUNNERS.iter().find(|(name, _)| name.as_bytes() == last) {
            self.taken.extend(*files);
        }
        if seen.before == b"-m" {
            let slash = |byte: &u8| if *byte == b'.' { b'/' } else { *byte };
            let path = seen.text.iter().map(slash).collect();
            self.keep(path, (true, true), seen);
            return;
        }
        if seen.is_action && seen.text.starts_with(b".") {
            self.take_action(seen);
        }
        let is_run = INTERPRETERS
            .iter()
            .any(|name| name.as_bytes() == seen.before);
        // Most words are no paths.
        let can_be = |byte: &u8| matches!(byte, b'/' | b'.' | b'@');
        if !is_run && !seen.text.iter().any(can_be) {
            return;
        }
        for (at, piece) in pieces(&seen.text).enumerate() {
            // `$PWD/a:/b`, `$env:PWD/a`.
            let is_first = at == 0 || (at == 1 && seen.text.starts_with(b"env:"));
            // An import of a guide is surely a path: `@docs/rules.md`, `@README`.
            let import = piece
                .strip_prefix(b"@")
                .filter(|_| self.kind == Kind::Prose);
            let piece = import.unwrap_or(piece);
            // A template of the same repository: `steps.yml@self`.
            let piece = piece.strip_suffix(b"@self").unwrap_or(piece);
            let is_path = is_run || import.is_some() || piece.contains(&b'/');
            if is_path || piece.contains(&b'.') {
                let path = plain(piece, seen.is_variable && is_first);
                self.keep(path, (is_path, is_run), seen);
            }
        }
    }

    /// Takes an action of the repository itself: the files of its folder. At the root these are all, so there
    /// only the file counts that says what is run.
    fn take_action(&mut self, seen: &Seen<'_>) {
        let folder = plain(&seen.text, false);
        if !folder.is_empty() {
            self.folders.push(folder);
            return;
        }
        for name in ACTIONS {
            self.keep(name.into(), (false, false), seen);
        }
    }

    fn keep(&mut self, path: Vec<u8>, (is_path, is_run): (bool, bool), seen: &Seen<'_>) {
        if path.is_empty() {
            return;
        }
        if path.contains(&b'*') {
            let around = around_star(&path).filter(|_| is_run || seen.is_part);
            self.stars.extend(around.map(|(head, tail)| Star {
                head,
                tail,
                is_part: seen.is_part,
            }));
            return;
        }
        let word = Word {
            path,
            is_path,
            is_run,
            is_part: seen.is_part,
        };
        match self.by_name.get_mut(name_of(&word.path)) {
            Some(words) if words.contains(&word) => {}
            Some(words) => words.push(word),
            None => {
                let name = name_of(&word.path).to_vec();
                self.by_name.insert(name, vec![word]);
            }
        }
    }

    /// Whether the text hands this path to an interpreter.
    pub(crate) fn run(&self, path: &[u8]) -> bool {
        self.any_word(path, |word, meant| word.is_run && ends_with(path, meant))
    }

    /// Whether the text, which lies in this folder, makes this path a part of itself: what the path says counts
    /// as if it stood in the text.
    pub(crate) fn take_in(&self, folder: &[u8], path: &[u8]) -> bool {
        let is_action = ACTIONS.iter().any(|name| name.as_bytes() == name_of(path));
        let is_starred = |star: &Star| star.is_part && star.means(path);
        (is_action && self.is_of_action(path))
            || self.stars.iter().any(is_starred)
            || self.any_word(path, |word, meant| {
                word.is_part && self.means(folder, word, meant, path)
            })
    }

    fn is_of_action(&self, path: &[u8]) -> bool {
        self.folders.iter().any(|folder| is_below(path, folder))
    }

    fn means(&self, folder: &[u8], word: &Word, meant: &[u8], path: &[u8]) -> bool {
        match self.kind {
            Kind::Prose => has_ending(word) && is_from(folder, (word, meant), path),
            Kind::Script | Kind::Settings => {
                // A part of a pipeline may be named from where the pipeline lies.
                let is_beside = || word.is_part && is_from(folder, (word, meant), path);
                let is_meant = word.is_path || meant == path || is_beside();
                is_meant && has_ending(word) && ends_with(path, meant)
            }
        }
    }

    /// Whether a word that could mean this path does. Also what an interpreter adds to it is asked for.
    fn any_word(&self, path: &[u8], means: impl Fn(&Word, &[u8]) -> bool) -> bool {
        let words = |path: &[u8]| self.by_name.get(name_of(path)).into_iter().flatten();
        words(path).any(|word| means(word, &word.path))
            || ADDED.iter().any(|ending| {
                let stem = path.strip_suffix(ending.as_bytes()).unwrap_or_default();
                // An import of a guide is the whole name.
                let is_import = |word: &Word| word.is_part && self.kind == Kind::Prose;
                let mut words = words(stem).filter(|word| word.is_path && !is_import(word));
                words.any(|word| means(word, &[&word.path, ending.as_bytes()].concat()))
            })
    }

    /// Whether the text, which lies in this folder, names this path.
    pub(crate) fn name(&self, folder: &[u8], path: &[u8]) -> bool {
        self.any_word(path, |word, meant| self.means(folder, word, meant, path))
            || self.is_of_action(path)
            || self.starred(path)
    }

    /// Whether it names files by a star, and so under no name.
    pub(crate) fn has_stars(&self) -> bool {
        !self.stars.is_empty()
    }

    /// Whether the text names a path by a star, and so under no name.
    pub(crate) fn starred(&self, path: &[u8]) -> bool {
        self.stars.iter().any(|star| star.means(path))
    }

    /// The last parts of all words; [`names_for`] says under which of them a path is to be asked for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let actions = ACTIONS.iter().map(|name| name.as_bytes());
        let actions = actions.filter(|_| !self.folders.is_empty());
        self.by_name.keys().map(Vec::as_slice).chain(actions)
    }

    /// Whether a program of the text takes its work from this file, though nobody names it.
    pub(crate) fn take_from(&self, path: &[u8]) -> bool {
        let mut files = self.taken.iter().map(|file| file.as_bytes());
        self.kind != Kind::Prose && files.any(|file| ends_with(path, file))
    }
}

/// The last parts of the words that can mean a path: its own, and those without what an interpreter adds.
pub(crate) fn names_for(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let stems = ADDED
        .iter()
        .filter_map(|ending| path.strip_suffix(ending.as_bytes()));
    std::iter::once(path).chain(stems).map(name_of)
}

/// Whether a path ends with whole parts of another.
fn ends_with(path: &[u8], end: &[u8]) -> bool {
    let before = path.strip_suffix(end);
    before.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
}

/// What stands before the first star of a path and after the last one, where that tells enough.
fn around_star(path: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = path.split(|byte| *byte == b'*');
    let (head, tail) = (parts.next()?, parts.next_back()?);
    let tells = head.contains(&b'/') && tail.contains(&b'.');
    tells.then(|| (head.to_vec(), tail.to_vec()))
}

/// A word without an ending and without a folder is an ordinary word.
fn has_ending(word: &Word) -> bool {
    word.is_path || name_of(&word.path).contains(&b'.')
}

/// Whether a word means a path as seen from a folder, or from one above it.
fn is_from(folder: &[u8], (word, meant): (&Word, &[u8]), path: &[u8]) -> bool {
    let mut folder = folder;
    loop {
        let below = if folder.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix(b"/"))
        };
        // A bare name within a folder says little, unless it is an import.
        let is_sure = word.is_part || meant.contains(&b'/');
        let is_whole = |rest: &[u8]| rest == meant && (folder.is_empty() || is_sure);
        if below.is_some_and(is_whole) {
            return true;
        }
        let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') else {
            return !folder.is_empty() && path == meant;
        };
        folder = folder.get(..slash).unwrap_or_default();
    }
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, path: &str) -> bool {
        let mentions = Mentions::of(text.as_bytes(), Kind::Script);
        mentions.name(b"", path.as_bytes()) || mentions.take_from(path.as_bytes())
    }

    #[test]
    fn scripts_are_found_however_they_are_written() {
        for (text, path) in [
            ("run: ./scripts/check.sh --all", "scripts/check.sh"),
            ("entry: scripts/check.sh", "scripts/check.sh"),
            ("bash \"tools/x.sh\"", "tools/x.sh"),
            ("- run: ./build", "build"),
            ("${GITHUB_WORKSPACE}/ci/x.sh", "ci/x.sh"),
            ("$GITHUB_WORKSPACE/scripts/ws.sh", "scripts/ws.sh"),
            ("\"$CI_PROJECT_DIR/ci/run.sh\"", "ci/run.sh"),
            (
                "include:\n  - local: '/ci/gitlab-build.yml'",
                "ci/gitlab-build.yml",
            ),
            (
                "\"$(dirname \"$0\")/../scripts/hook1.sh\"",
                "scripts/hook1.sh",
            ),
            (
                "\"$(git rev-parse --show-toplevel)/scripts/hook2.sh\"",
                "scripts/hook2.sh",
            ),
            ("- uses: ./actions/build", "actions/build/action.yml"),
            ("- uses: ./actions/build", "actions/build/dist/index.js"),
            (
                "working-directory: scripts\nrun: ./check.sh",
                "scripts/check.sh",
            ),
            ("cd ci && ./in_ci.sh", "ci/in_ci.sh"),
            ("cd ci; bash in_ci.sh", "ci/in_ci.sh"),
            ("run: make test", "Makefile"),
            ("npm run check", "package.json"),
            ("python -m tools.check", "tools/check.py"),
            ("python3 ci", "ci/__main__.py"),
            ("node scripts/noext", "scripts/noext.js"),
            ("bash .//ci/dd.sh", "ci/dd.sh"),
            ("bash ci/*.bash", "ci/a.bash"),
            ("docker build .", "Dockerfile"),
            ("npx eslint .", "eslint.config.js"),
            ("cargo xtask ci", "xtask/src/main.rs"),
            (". scripts/lib.sh", "scripts/lib.sh"),
            ("- uses: ./act", "act/dist/index.js"),
            ("\"uses\": \"./act\"", "act/action.yml"),
            ("- uses: >-\n    ./act", "act/action.yml"),
            ("- uses: ./", "action.yml"),
            ("run: .\\tools\\x.ps1", "tools/x.ps1"),
            ("pwsh -File tools\\x.ps1", "tools/x.ps1"),
            ("%CD%\\ci\\build.bat", "ci/build.bat"),
            ("call \"ci\\build.bat\"", "ci/build.bat"),
            ("\"$PWD/ci/run.sh:/entry.sh\"", "ci/run.sh"),
            ("pytest checks/smoke.py::test_x", "checks/smoke.py"),
            ("see ci/run.sh:12", "ci/run.sh"),
            ("$env:GITHUB_WORKSPACE/ci/x.ps1", "ci/x.ps1"),
            ("$env:GITHUB_WORKSPACE\\ci\\x.ps1", "ci/x.ps1"),
            ("call %~dp0tools\\x.bat", "tools/x.bat"),
            ("include:\n  - local: /ci/*.yml", "ci/x.yml"),
            ("-v /x/data:/y/ci/run.sh", "y/ci/run.sh"),
        ] {
            assert!(names(text, path), "{text}: {path}");
        }
        for (text, path) in [
            ("run: other/scripts/check.sh", "scripts/check.sh"),
            ("scripts/check.sh.bak", "scripts/check.sh"),
            ("the build is green", "build"),
            ("the build is green", "src/build"),
            ("src/lib.rs2", "src/lib.rs"),
            ("name: check.sh", "scripts/check.sh"),
            ("uses: actions/checkout@v4", "src/actions/checkout.rs"),
            ("cargo test", "src/lib.rs"),
            ("- uses: ./", "src/action.yml"),
            ("- uses: ./", "src/main.js"),
            ("- uses: docker://x/act", "act/main.js"),
            ("- uses: act@v1", "act/main.js"),
            ("grep 'a\\|b'", "b"),
        ] {
            assert!(!names(text, path), "{text}: {path}");
        }
    }

    #[test]
    fn prose_names_whole_paths_only() {
        let names = |text: &str, folder: &str, path: &str| {
            Mentions::of(text.as_bytes(), Kind::Prose).name(folder.as_bytes(), path.as_bytes())
        };
        assert!(names("see `docs/rules.md`.", "", "docs/rules.md"));
        assert!(names("Run setup.py first", "", "setup.py"));
        assert!(names("python tools/a.py", "pkg", "pkg/tools/a.py"));
        assert!(!names("python tools/a.py", "pkg", "lib/tools/a.py"));
        assert!(!names("make the tests pass", "", "Makefile"));
        assert!(!names("edit lib.rs", "", "src/lib.rs"));
        assert!(names("see docs/rules.md:12.", "", "docs/rules.md"));
    }

    #[test]
    fn what_a_text_takes_in_is_told_from_what_it_names() {
        let takes = |kind: Kind, text: &str, folder: &str, path: &str| {
            Mentions::of(text.as_bytes(), kind).take_in(folder.as_bytes(), path.as_bytes())
        };
        for (kind, text, folder, path) in [
            (Kind::Prose, "@docs/rules.md", "", "docs/rules.md"),
            (Kind::Prose, "- See @./rules.md.", "pkg", "pkg/rules.md"),
            (Kind::Prose, "See @README for more", "", "README"),
            (
                Kind::Script,
                "include:\n  - local: /ci/x.yml",
                "",
                "ci/x.yml",
            ),
            (
                Kind::Script,
                "include:\n  - a.yml\n  - 'ci/x.yml'",
                "",
                "ci/x.yml",
            ),
            (Kind::Script, "include: ci/x.yml", "", "ci/x.yml"),
            (
                Kind::Script,
                "include: ['ci/a.yml', 'ci/x.yml']",
                "",
                "ci/x.yml",
            ),
            (Kind::Script, "- template: x.yml", "ci", "ci/x.yml"),
            (
                Kind::Script,
                "include:\n  - local: /ci/*.yml",
                "",
                "ci/x.yml",
            ),
            (Kind::Script, "- template: ci/x.yml@self", "", "ci/x.yml"),
            (Kind::Script, "- uses: ./act/a", "", "act/a/action.yml"),
            (
                Kind::Settings,
                "{\"instructions\":[\"a.md\", \"b/*.md\"]}",
                "",
                "a.md",
            ),
            (
                Kind::Settings,
                "read: [a.md, CONTRIBUTING.md]",
                "",
                "CONTRIBUTING.md",
            ),
            (
                Kind::Settings,
                "read:\n  - a.md\n  - b/c.md\n",
                "",
                "b/c.md",
            ),
            (Kind::Settings, "x_y = 1\nread = [\"a.md\"]", "", "a.md"),
        ] {
            assert!(takes(kind, text, folder, path), "{text}: {path}");
        }
        for (kind, text, path) in [
            (Kind::Prose, "See docs/rules.md", "docs/rules.md"),
            (Kind::Prose, "Ask @someone", "src/someone.js"),
            (Kind::Prose, "Use @click and @main", "click/__init__.py"),
            (Kind::Prose, "Use @click and @main", "main.py"),
            (Kind::Script, "- file: mkdocs.yml", "mkdocs.yml"),
            (Kind::Script, "- template: x.yml", "ci/x.yml"),
            (
                Kind::Script,
                "include:\n - a.yml\nx:\n - b/c.yml",
                "b/c.yml",
            ),
            (Kind::Script, "- uses: ./act/a", "act/a/other.yml"),
            (
                Kind::Settings,
                "allow: [\"Edit(CHANGELOG.md)\"]",
                "CHANGELOG.md",
            ),
        ] {
            assert!(!takes(kind, text, "", path), "{text}: {path}");
        }
    }
}
