//! What sort of file a name tells, as far as trust goes: one that hands nothing on, one that nobody runs, one
//! that lists what an agent is to read.

use crate::language::Languages;
use crate::trust::runners::is_work_file;
use crate::trust::word::Kind;

/// Protected files that list paths, for git or for the forge, and run none of them.
const LISTS: [&[u8]; 10] = [
    b"codeowners",
    b"owners",
    b"owners_aliases",
    b".gitattributes",
    b".mailmap",
    b"labeler.yml",
    b"labeler.yaml",
    b"dependabot.yml",
    b"dependabot.yaml",
    b"funding.yml",
];
/// How the forms begin that the forge shows to people, and how their names end.
const FORMS: [&[u8]; 2] = [b"pull_request_template", b"issue_template"];
const OF_FORMS: [&[u8]; 4] = [b"md", b"txt", b"yml", b"yaml"];
/// A folder of files that run whatever they are called.
const WORKFLOWS: &[u8] = b"workflows";
/// Endings of sources that a script can only hand to a compiler, as it does with all of them.
const COMPILED: [&[u8]; 8] = [b"c", b"h", b"cc", b"cpp", b"cxx", b"hh", b"hpp", b"hxx"];
/// Endings of documents.
const DOCUMENTS: [&[u8]; 6] = [b"md", b"mdx", b"rst", b"txt", b"adoc", b"org"];
/// What documents for people are called: a script packs them up, and runs none.
const FOR_PEOPLE: [&[u8]; 20] = [
    b"authors",
    b"changelog",
    b"changes",
    b"code_of_conduct",
    b"contributing",
    b"contributors",
    b"copying",
    b"credits",
    b"faq",
    b"guide",
    b"history",
    b"install",
    b"licence",
    b"license",
    b"news",
    b"notice",
    b"readme",
    b"release-notes",
    b"security",
    b"thanks",
];

/// Files, and folders of files, that hold an agent's settings.
const SETTINGS: [&[u8]; 6] = [
    b"opencode.json",
    b"opencode.jsonc",
    b"crush.json",
    b".crush.json",
    b".aider.conf.yml",
    b".aider.conf.yaml",
];
const OF_SETTINGS: [&[u8]; 10] = [
    b".claude",
    b".codex",
    b".continue",
    b".crush",
    b".gemini",
    b".kiro",
    b".opencode",
    b".qwen",
    b".roo",
    b".vscode",
];
/// Endings of settings.
const ENDINGS: [&[u8]; 5] = [b"json", b"jsonc", b"toml", b"yaml", b"yml"];
/// Endings of text that agents read.
const PROSE: [&[u8]; 5] = [b".md", b".mdc", b".rst", b".txt", b"rules"];

/// What a trusted file is, its path in lower case.
pub(crate) fn kind_of(path: &[u8]) -> Kind {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let is_listed = parts.last().is_some_and(|name| SETTINGS.contains(name));
    let is_ended = ENDINGS.contains(&name_and_ending(path).1);
    if PROSE.iter().any(|end| path.ends_with(end)) {
        Kind::Prose
    } else if is_listed || (is_ended && parts.iter().any(|part| OF_SETTINGS.contains(part))) {
        Kind::Settings
    } else {
        Kind::Script
    }
}

/// Whether a file of this name can be a script.
pub(crate) fn may_run(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    Languages::of(path, None).is_code() || !name.contains(&b'.') || is_work_file(path)
}

/// Whether a protected file, its path in lower case, trusts nothing that it names.
pub(crate) fn hands_nothing_on(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let is_list = parts.last().is_some_and(|name| LISTS.contains(name));
    let is_form = |part: &&[u8]| FORMS.iter().any(|form| part.starts_with(form));
    let is_form = OF_FORMS.contains(&name_and_ending(path).1) && parts.iter().any(is_form);
    (is_list || is_form) && !parts.contains(&WORKFLOWS)
}

/// The name of a file without its last ending, and that ending.
pub(crate) fn name_and_ending(path: &[u8]) -> (&[u8], &[u8]) {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let dot = name.iter().rposition(|byte| *byte == b'.');
    match dot.and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, ending)) => (stem, ending.get(1..).unwrap_or_default()),
        None => (name, b""),
    }
}

pub(crate) fn is_compiled(path: &[u8]) -> bool {
    let ending = name_and_ending(path).1.to_ascii_lowercase();
    COMPILED.contains(&ending.as_slice())
}

/// Whether a file is a document for people by its name. Without an ending it is one only where it is
/// written in capitals: `INSTALL` is, `install` is a script.
pub(crate) fn is_for_people(path: &[u8]) -> bool {
    let (stem, ending) = name_and_ending(path);
    let is_document = match ending {
        b"" => !stem.iter().any(u8::is_ascii_lowercase),
        _ => DOCUMENTS.contains(&ending.to_ascii_lowercase().as_slice()),
    };
    let stem = stem.to_ascii_lowercase();
    is_document && FOR_PEOPLE.contains(&stem.as_slice())
}
