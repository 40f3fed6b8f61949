//! Names that tell no language by themselves: what is made from a template, and programs without an
//! ending.

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

fn holds(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes() == word)
}
