//! Neighbours of a script that it takes in by a name without an ending: what Python imports, what Ruby requires.
//!
//! Only what lies beside the script counts, or is named from there. A package at the root is the product
//! that the script works on.

use crate::trust::word::name_of;

/// So many names of one import are taken.
const MOST_NAMES: usize = 64;
/// The longest import that is read, in bytes.
const LONGEST_IMPORT: usize = 8 << 10;
/// So many folders above a script its own package is looked for.
const MOST_FOLDERS: usize = 8;

/// The paths that a script may take in.
pub(crate) fn of(path: &[u8], text: &[u8]) -> Vec<Vec<u8>> {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let runs_in =
        |name: &[u8]| first.starts_with(b"#!") && memchr::memmem::find(first, name).is_some();
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let folder = path.get(..slash.unwrap_or(0)).unwrap_or_default();
    let mut found = Vec::new();
    if path.ends_with(b".py") || path.ends_with(b".pyw") || runs_in(b"python") {
        imported(folder, text, &mut found);
    } else if path.ends_with(b".rb")
        || path.ends_with(b".rake")
        || path.ends_with(b"Rakefile")
        || runs_in(b"ruby")
    {
        required(folder, text, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What `import a, b.c as d` and `from .a import b, c` take in.
fn imported(folder: &[u8], text: &[u8], found: &mut Vec<Vec<u8>>) {
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let rest = text.get(at..(at + LONGEST_IMPORT).min(text.len()));
        let rest = rest.unwrap_or_default();
        at += line.len();
        let line = line.trim_ascii();
        if let Some(modules) = line.strip_prefix(b"import ") {
            let modules = modules.split(|byte| matches!(byte, b',' | b';' | b'#'));
            modules
                .take(MOST_NAMES)
                .for_each(|module| module_at(folder, first_word(module), b"", found));
        }
        let from = rest.trim_ascii_start().strip_prefix(b"from ");
        let Some(from) = from.filter(|_| line.starts_with(b"from ")) else {
            continue;
        };
        let module = first_word(from);
        module_at(folder, module, b"", found);
        for name in names_behind(from).into_iter().take(MOST_NAMES) {
            module_at(folder, module, name, found);
        }
    }
}

/// The names behind `import`, over several lines where they stand in brackets.
fn names_behind(from: &[u8]) -> Vec<&[u8]> {
    let Some(at) = memchr::memmem::find(from, b"import") else {
        return Vec::new();
    };
    let names = from.get(at + b"import".len()..).unwrap_or_default();
    let names = names.trim_ascii_start();
    let (names, end) = match names.strip_prefix(b"(") {
        Some(names) => (names, b')'),
        None => (names, b'\n'),
    };
    let names = names.split(|byte| *byte == end).next().unwrap_or_default();
    names.split(|byte| *byte == b',').map(first_word).collect()
}

/// The files that a module can be, with a name that is taken from it: beside the script, so many folders above
/// as it has dots, or in the package that the script itself lies in.
fn module_at(folder: &[u8], module: &[u8], name: &[u8], found: &mut Vec<Vec<u8>>) {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if module.is_empty() || ![module, name].concat().iter().all(is_name) {
        return;
    }
    let dots = module.iter().take_while(|byte| **byte == b'.').count();
    let parts = module.split(|byte| *byte == b'.').chain([name]);
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty()).collect();
    let own = |at: &usize| {
        let start = above(folder, at + 1)?;
        let inner = above(folder, *at)?;
        let is_own = dots == 0 && !inner.is_empty() && parts.first() == Some(&name_of(inner));
        is_own.then_some(start)
    };
    let own = (0..MOST_FOLDERS).find_map(|at| own(&at));
    if let Some(start) = above(folder, dots.saturating_sub(1)) {
        // Of what lies at the root single modules count, and no package.
        if !start.is_empty() || parts.len() == 1 {
            files_of(start, &parts, !start.is_empty(), found);
        }
    }
    if let Some(start) = own {
        files_of(start, &parts, true, found);
    }
}

fn files_of(start: &[u8], parts: &[&[u8]], has_packages: bool, found: &mut Vec<Vec<u8>>) {
    let mut path = start.to_vec();
    for part in parts {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
        if has_packages {
            found.push([&path[..], b"/__init__.py"].concat());
        }
    }
    if !parts.is_empty() {
        found.push([&path[..], b".py"].concat());
    }
}

/// What `require_relative 'a'` takes in.
fn required(folder: &[u8], text: &[u8], found: &mut Vec<Vec<u8>>) {
    const WORD: &[u8] = b"require_relative";
    for at in memchr::memmem::find_iter(text, WORD) {
        let rest = text.get(at + WORD.len()..).unwrap_or_default();
        let rest = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut parts = rest.split(|byte| matches!(byte, b'"' | b'\''));
        let Some(name) = parts.nth(1) else { continue };
        let ups = name.split(|byte| *byte == b'/');
        let ups = ups.filter(|part| *part == b"..").count();
        let Some(start) = above(folder, ups) else {
            continue;
        };
        let inner = name.split(|byte| *byte == b'/');
        let inner = inner.filter(|part| !matches!(*part, b"" | b"." | b".."));
        let path: Vec<&[u8]> = [start]
            .into_iter()
            .filter(|start| !start.is_empty())
            .collect();
        let path = path
            .into_iter()
            .chain(inner)
            .collect::<Vec<_>>()
            .join(&b'/');
        found.push(match path.ends_with(b".rb") {
            true => path,
            false => [&path[..], b".rb"].concat(),
        });
    }
}

/// The folder so many steps above.
fn above(folder: &[u8], steps: usize) -> Option<&[u8]> {
    let mut folder = folder;
    for _ in 0..steps {
        if folder.is_empty() {
            return None;
        }
        let slash = folder.iter().rposition(|byte| *byte == b'/');
        folder = folder.get(..slash.unwrap_or(0))?;
    }
    Some(folder)
}

fn first_word(text: &[u8]) -> &[u8] {
    let mut words = text.split(u8::is_ascii_whitespace);
    words.find(|word| !word.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_takes_in_its_neighbours() {
        let takes = |by: &str, text: &str, path: &str| {
            of(by.as_bytes(), text.as_bytes()).contains(&path.as_bytes().to_vec())
        };
        for (by, text, path) in [
            ("ci/run.py", "import os, helper\n", "ci/helper.py"),
            ("ci/run.py", "    import a.b as c", "ci/a/b.py"),
            ("ci/run.py", "import lib", "ci/lib/__init__.py"),
            (
                "ci/run.py",
                "from . import (\n  one,\n  two)\n",
                "ci/two.py",
            ),
            ("ci/a/run.py", "from ..b import c", "ci/b.py"),
            ("ci/run.py", "from lib import tool", "ci/lib/tool.py"),
            (
                "ci/run",
                "#!/usr/bin/env python3\nimport helper",
                "ci/helper.py",
            ),
            ("run.py", "import helper", "helper.py"),
            ("ci/run.py", "from ci import helper", "ci/helper.py"),
            ("a/ci/x/run.py", "import ci.helper", "a/ci/helper.py"),
            ("Rakefile", "require_relative 'ci/aid'", "ci/aid.rb"),
            ("ci/run.rb", "require_relative 'aid'", "ci/aid.rb"),
            (
                "ci/run.rb",
                "require_relative(\"../lib/aid\")",
                "lib/aid.rb",
            ),
        ] {
            assert!(takes(by, text, path), "{by}: {text}: {path}");
        }
        for (by, text, path) in [
            ("ci/run.py", "import helper", "lib/helper.py"),
            ("ci/run.py", "x = 'import helper'", "ci/helper.py"),
            ("setup.py", "import flask", "flask/__init__.py"),
            ("ci/run.sh", "import helper", "ci/helper.py"),
            ("ci/run.rb", "require 'aid'", "ci/aid.rb"),
        ] {
            assert!(!takes(by, text, path), "{by}: {text}: {path}");
        }
    }
}
