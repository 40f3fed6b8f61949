//! Names that tell no language by themselves: what is made from a template, programs without an
//! ending, and what a `#!` line names.

/// So many words of a `#!` line are read.
const MOST_WORDS: usize = 32;
/// Endings of what other files are made from.
const TEMPLATES: [&str; 12] = [
    ".in",
    ".am",
    ".tmpl",
    ".tpl",
    ".template",
    ".j2",
    ".jinja",
    ".jinja2",
    ".mustache",
    ".erb",
    ".sample",
    ".dist",
];
/// Names of programs without an ending.
const PROGRAM_NAMES: [&str; 12] = [
    "install",
    "uninstall",
    "run",
    "start",
    "stop",
    "setup",
    "deploy",
    "release",
    "entrypoint",
    "autogen",
    "postinst",
    "preinst",
];
/// Folders whose files are run.
const PROGRAM_FOLDERS: [&str; 9] = [
    "bin",
    "sbin",
    "script",
    "scripts",
    "debian",
    "init.d",
    "cron.d",
    "cron.daily",
    "cron.hourly",
];
/// Names of what lies there to be read.
const TEXTS: [&str; 21] = [
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "authors",
    "contributors",
    "changelog",
    "changes",
    "news",
    "history",
    "todo",
    "install",
    "copyright",
    "control",
    "watch",
    "compat",
    "docs",
    "owners",
    "codeowners",
    "version",
];

/// The name of what is made from a template: `a.sh` of `a.sh.in`.
pub(crate) fn made_from(path: &[u8]) -> Option<&[u8]> {
    let at = path.iter().rposition(|byte| *byte == b'.')?;
    let (made, ending) = path.split_at(at);
    let is_template = TEMPLATES.iter().any(|one| one.as_bytes() == ending);
    is_template.then_some(made)
}

/// Whether a file without an ending lies where programs lie, or is called as one is. Upper case is
/// for readers: INSTALL is a text, install a script.
pub(crate) fn is_likely_script(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    let name = parts.next().unwrap_or(path);
    if name.contains(&b'.') {
        return false;
    }
    let is_text = || holds(&TEXTS, &name.to_ascii_lowercase());
    let is_program_folder = |part: &[u8]| holds(&PROGRAM_FOLDERS, &part.to_ascii_lowercase());
    holds(&PROGRAM_NAMES, name) || (parts.any(is_program_folder) && !is_text())
}

/// The programs that a `#!` line may start, in lower case: each as it is called, and without its version
/// (`python3.12`). What starts another one (`env`, `uv run`, `sudo`) is named with it.
pub(crate) fn interpreters(line: &[u8]) -> Vec<Vec<u8>> {
    let Some(words) = line.strip_prefix(b"#!") else {
        return Vec::new();
    };
    let words = words.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\''));
    words.take(MOST_WORDS).flat_map(program).collect()
}

/// The program that a word names, without its folder, with and without its version.
fn program(word: &[u8]) -> Vec<Vec<u8>> {
    // `env -S` and `--split-string=` may have the program right behind them.
    let word = word.strip_prefix(b"--split-string=").unwrap_or(word);
    let is_switch = word.starts_with(b"-");
    let split = memchr::memchr(b'S', word).filter(|_| is_switch);
    let word = split.map_or(word, |at| word.get(at + 1..).unwrap_or_default());
    if word.starts_with(b"-") || word.is_empty() {
        return Vec::new();
    }
    let name = word.rsplit(|byte| matches!(byte, b'/' | b'\\')).next();
    let name = name.unwrap_or(word).to_ascii_lowercase();
    let name = name.strip_suffix(b".exe").unwrap_or(&name);
    let digit = name.iter().position(u8::is_ascii_digit);
    let bare = name.get(..digit.unwrap_or(0)).unwrap_or_default();
    let bare = bare.strip_suffix(b"-").unwrap_or(bare);
    let both = [name, bare];
    both.into_iter()
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn holds(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use crate::language::Languages;

    #[test]
    fn a_program_is_known_with_its_version_and_behind_what_starts_it() {
        for (line, language) in [
            ("#!/usr/bin/python3.12", "python"),
            ("#!/usr/bin/env python3.13t -u", "python"),
            ("#!/opt/python3.11-dbg", "python"),
            ("#!/usr/bin/env pypy3.10", "python"),
            ("#!/usr/bin/env -S uv run --script", "python"),
            ("#!/usr/bin/env -Spython3 -u", "python"),
            ("#!/usr/bin/env -u HOME python3", "python"),
            ("#!/usr/bin/env --split-string=pipx run", "python"),
            ("#!/usr/bin/ruby3.1", "ruby"),
            ("#!/usr/bin/env -S bundle exec ruby", "ruby"),
            ("#!/usr/bin/perl5.36.0 -w", "perl"),
            ("#!/usr/bin/php8.2", "php"),
            ("#!/usr/bin/lua5.4", "lua"),
            ("#!/usr/bin/env node20", "javascript"),
            ("#!/usr/bin/env -S npx tsx", "typescript"),
            ("#!/usr/bin/env Rscript", "r"),
            ("#!/usr/bin/tclsh8.6", "shell"),
            ("#!/bin/ksh93", "shell"),
        ] {
            let known = Languages::of(b"bin/x", Some(line.as_bytes()));
            assert!(known.is_only(&[language]), "{line}");
        }
        let unknown = Languages::of(b"x", Some(b"#!/usr/bin/perlish --S"));
        assert!(unknown.is_none());
        assert!(Languages::of(b"x", Some(b"# python3.12")).is_none());
    }
}
