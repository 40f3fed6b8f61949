//! Programs that run files: interpreters, what they add to a name, and those that take their work from files
//! which nobody names.

/// Programs after which a bare word is a file.
pub(crate) const INTERPRETERS: [&str; 22] = [
    "sh",
    "bash",
    "zsh",
    "dash",
    "ksh",
    "fish",
    "source",
    ".",
    "python",
    "python3",
    "node",
    "deno",
    "bun",
    "ruby",
    "perl",
    "php",
    "pwsh",
    "powershell",
    "lua",
    "Rscript",
    "tsx",
    "ts-node",
];
/// Endings that an interpreter adds by itself, and what it runs of a folder.
pub(crate) const ADDED: [&str; 10] = [
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".py",
    "/index.js",
    "/__main__.py",
    "/__init__.py",
    "/main.go",
    "/main.rs",
];
/// Programs that take their work from files which nobody names.
pub(crate) const RUNNERS: [(&str, &[&str]); 18] = [
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
    ("docker", &["Dockerfile"]),
    (
        "eslint",
        &[
            "eslint.config.js",
            "eslint.config.mjs",
            "eslint.config.cjs",
            ".eslintrc.js",
            ".eslintrc.cjs",
        ],
    ),
    (
        "jest",
        &[
            "jest.config.js",
            "jest.config.ts",
            "jest.config.cjs",
            "jest.config.mjs",
        ],
    ),
    ("vitest", &["vitest.config.ts", "vitest.config.js"]),
    ("xtask", &["xtask/src/main.rs"]),
];
/// What a folder with an action of its own says of it.
pub(crate) const ACTIONS: [&str; 2] = ["action.yml", "action.yaml"];

/// Whether this is a file at the root that a program takes its work from though nobody names it. One deeper down
/// is another one's, and of these there may be hundreds.
pub(crate) fn is_work_file(path: &[u8]) -> bool {
    let mut files = RUNNERS.iter().flat_map(|(_, files)| *files);
    files.any(|file| file.as_bytes() == path)
}
