//! Which language a file is written in, told by its name and its first line.

pub(crate) mod comment;
pub(crate) mod commented;
pub(crate) mod encoding;
pub(crate) mod flowed;
mod program;

use crate::language::program::{interpreters, is_likely_script, made_from};

/// One language: its name, file endings, whole file names, and interpreters of a first `#!` line.
struct Language {
    name: &'static str,
    endings: &'static [&'static str],
    names: &'static [&'static str],
    interpreters: &'static [&'static str],
}

const fn language(
    name: &'static str,
    endings: &'static [&'static str],
    names: &'static [&'static str],
    interpreters: &'static [&'static str],
) -> Language {
    Language {
        name,
        endings,
        names,
        interpreters,
    }
}

/// Everything in lower case. A file may be of several languages, as a `.h` is.
const LANGUAGES: [Language; 53] = [
    language(
        "python",
        &[
            "py", "pyw", "pyi", "pyx", "pxd", "pxi", "py3", "rpy", "wsgi", "sage", "ipynb",
        ],
        &["sconstruct", "sconscript", "wscript"],
        &[
            "python", "pypy", "ipython", "graalpy", "uv", "uvx", "pipx", "hatch", "pdm", "rye",
            "poetry", "pipenv",
        ],
    ),
    language(
        "javascript",
        &[
            "js", "jsx", "mjs", "cjs", "es", "es6", "jsm", "gs", "ejs", "coffee", "vue", "svelte",
            "astro",
        ],
        &["jakefile"],
        &["node", "nodejs", "deno", "bun", "bunx", "zx", "qjs"],
    ),
    language(
        "typescript",
        &["ts", "tsx", "mts", "cts", "vue", "svelte", "astro"],
        &[],
        &["ts-node", "tsx", "deno", "bun"],
    ),
    language("go", &["go"], &[], &["go", "gorun"]),
    // C that stands in a comment of Go: told by what the file holds.
    language("cgo", &[], &[], &[]),
    language("rust", &["rs"], &[], &["rust-script", "cargo"]),
    language("java", &["java"], &[], &["java", "jbang"]),
    language("kotlin", &["kt", "kts"], &[], &["kotlin", "kscript"]),
    language(
        "scala",
        &["scala", "sc"],
        &[],
        &["scala", "scala-cli", "amm"],
    ),
    language(
        "groovy",
        &["groovy", "gradle", "gvy", "jenkinsfile"],
        &["jenkinsfile"],
        &["groovy"],
    ),
    language("clojure", &["clj", "cljs", "cljc", "edn"], &[], &[]),
    language(
        "ruby",
        &[
            "rb", "rbw", "rake", "gemspec", "ru", "podspec", "erb", "jbuilder", "thor",
        ],
        &[
            "rakefile",
            "gemfile",
            "podfile",
            "fastfile",
            "vagrantfile",
            "brewfile",
            "guardfile",
            "capfile",
            "dangerfile",
            "thorfile",
            "berksfile",
            "puppetfile",
            "appraisals",
        ],
        &["ruby", "jruby", "truffleruby", "mruby"],
    ),
    language(
        "php",
        &[
            "php", "php3", "php4", "php5", "php7", "php8", "phtml", "phar", "module", "inc",
        ],
        &[],
        &["php", "php-cgi"],
    ),
    language("c", &["c", "h"], &[], &[]),
    language(
        "cpp",
        &[
            "cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "h", "inl", "tpp", "tcc", "ipp",
            "txx", "ixx", "cppm", "cxxm", "ccm", "mpp", "cu", "cuh", "hip",
        ],
        &[],
        &[],
    ),
    language("objc", &["m", "mm"], &[], &[]),
    language("csharp", &["cs", "csx"], &[], &["dotnet", "dotnet-script"]),
    language("fsharp", &["fs", "fsx"], &[], &["dotnet", "fsharpi"]),
    language("vb", &["vb"], &[], &[]),
    language("swift", &["swift"], &[], &["swift"]),
    language(
        "perl",
        &["pl", "plx", "pm", "t", "cgi", "psgi"],
        &[],
        &["perl"],
    ),
    language("lua", &["lua", "wlua", "rockspec"], &[], &["lua", "luajit"]),
    language("elixir", &["ex", "exs"], &[], &["elixir"]),
    language("erlang", &["erl", "hrl"], &[], &["escript"]),
    language("dart", &["dart"], &[], &["dart"]),
    language("r", &["r"], &[], &["rscript"]),
    language("julia", &["jl"], &[], &["julia"]),
    language("nim", &["nim"], &[], &[]),
    language("crystal", &["cr"], &[], &["crystal"]),
    language("haskell", &["hs"], &[], &["runhaskell", "stack"]),
    language("zig", &["zig"], &[], &[]),
    language(
        "shell",
        &[
            "sh", "bash", "zsh", "ksh", "fish", "dash", "ash", "csh", "tcsh", "nu", "bats",
            "command", "tool", "run", "install", "bashrc", "zshrc", "profile", "envrc", "ebuild",
            "postinst", "preinst", "postrm", "prerm", "cron", "crontab", "service", "desktop",
            // Languages without rules of their own, which start programs by a shell's words.
            "awk", "tcl", "exp", "el", "vim",
        ],
        &[
            ".bashrc",
            ".profile",
            ".bash_profile",
            ".zshrc",
            ".envrc",
            "configure",
            "bootstrap",
            "gradlew",
            "mvnw",
            "crontab",
        ],
        &[
            "sh", "bash", "zsh", "dash", "ksh", "fish", "ash", "csh", "tcsh", "nu", "bats",
            "busybox", "awk", "gawk", "mawk", "tclsh", "expect",
        ],
    ),
    language(
        "powershell",
        &["ps1", "psm1", "psd1"],
        &[],
        &["pwsh", "powershell"],
    ),
    language(
        "batch",
        &["bat", "cmd", "vbs", "wsf", "wsh", "hta"],
        &[],
        &[],
    ),
    language(
        "dockerfile",
        &["dockerfile", "containerfile"],
        &["dockerfile", "containerfile"],
        &[],
    ),
    language(
        "make",
        &["mk", "mak", "make"],
        &["makefile", "gnumakefile", "bsdmakefile", "kbuild"],
        &["make", "gmake", "bmake"],
    ),
    language("just", &["just"], &["justfile", ".justfile"], &["just"]),
    language("cmake", &["cmake"], &["cmakelists.txt"], &[]),
    language("bazel", &["bzl", "bazel"], &["build", "workspace"], &[]),
    language("yaml", &["yml", "yaml"], &[], &[]),
    language(
        "workflow",
        &[],
        &[
            ".gitlab-ci.yml",
            "bitbucket-pipelines.yml",
            ".travis.yml",
            ".drone.yml",
            "appveyor.yml",
            "appveyor.yaml",
            ".appveyor.yml",
            ".appveyor.yaml",
            ".travis.yaml",
            ".cirrus.yml",
            ".cirrus.yaml",
            ".taskcluster.yml",
            ".circleci.yml",
            ".buildkite.yml",
            ".packit.yml",
            ".packit.yaml",
            "bitrise.yml",
            "screwdriver.yaml",
            "buildspec.yml",
            "cloudbuild.yaml",
            "cloudbuild.yml",
        ],
        &[],
    ),
    language("json", &["json", "jsonc", "json5"], &[], &[]),
    language("toml", &["toml"], &[], &[]),
    language("ini", &["ini", "cfg", "conf", "properties"], &[], &[]),
    language("env", &["env"], &[], &[]),
    language("hcl", &["tf", "tfvars", "hcl"], &[], &[]),
    language("sql", &["sql"], &[], &[]),
    language("html", &["html", "htm"], &[], &[]),
    language("xml", &["xml"], &[], &[]),
    language(
        "markdown",
        &["md", "markdown", "mdx", "rst", "adoc", "txt"],
        &[],
        &[],
    ),
    language("css", &["css", "scss", "less"], &[], &[]),
    language("svg", &["svg"], &[], &[]),
    language("csv", &["csv", "tsv"], &[], &[]),
];

/// Languages that hold data or prose, in which a long line or a foreign letter is nothing unusual.
const NO_CODE: [&str; 12] = [
    "json", "yaml", "toml", "ini", "env", "sql", "html", "xml", "markdown", "css", "svg", "csv",
];

/// A set of languages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Languages(u64);

impl Languages {
    /// The set with the one language of this name; none when there is no such language.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let at = LANGUAGES.iter().position(|one| one.name == name)?;
        Some(Self(1 << at))
    }

    /// The languages of a file, by its path and, where it is known, its first line. A name that tells
    /// none and stands where programs do counts as a shell script.
    pub(crate) fn of(path: &[u8], first_line: Option<&[u8]>) -> Self {
        let lower = path.to_ascii_lowercase();
        let mut found = Self::by_name(&lower, &first_line.map_or_else(Vec::new, interpreters));
        if let Some(made) = made_from(&lower) {
            found = found.and(Self::by_name(made, &[]));
        }
        match found.is_none() && is_likely_script(path) {
            true => Self::shell(),
            false => found,
        }
    }

    fn by_name(path: &[u8], interpreters: &[Vec<u8>]) -> Self {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let mut ending = name.rsplitn(2, |byte| *byte == b'.');
        let ending = ending.next().filter(|_| ending.next().is_some());
        let mut found = Self::default();
        for (at, one) in LANGUAGES.iter().enumerate() {
            let is_it = ending.is_some_and(|ending| holds(one.endings, ending))
                || holds(one.names, name)
                || interpreters
                    .iter()
                    .any(|program| holds(one.interpreters, program));
            if is_it || has_special_name(one.name, path, name) {
                found.0 |= 1 << at;
            }
        }
        found
    }

    /// What a file that may be run and tells no language is read as.
    pub(crate) fn shell() -> Self {
        Self::named("shell").unwrap_or_default()
    }

    /// What a file of Go is read as besides where it holds C.
    pub(crate) fn cgo() -> Self {
        Self::named("cgo").unwrap_or_default()
    }

    /// Whether no language is known.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Both sets together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The numbers of the languages in it.
    pub(crate) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..LANGUAGES.len()).filter(move |at| self.0 & (1 << at) != 0)
    }

    /// Whether a file may be of one of these languages.
    pub(crate) fn is_any(self, names: &[&str]) -> bool {
        let mut own = self.numbers().filter_map(|at| LANGUAGES.get(at));
        own.any(|one| names.contains(&one.name))
    }

    /// Whether a file is of some of these languages and can be of no other.
    pub(crate) fn is_only(self, names: &[&str]) -> bool {
        let mut own = self.numbers().filter_map(|at| LANGUAGES.get(at));
        !self.is_none() && own.all(|one| names.contains(&one.name))
    }

    /// Whether a file of these languages holds code; one of none may hold anything.
    pub(crate) fn is_code(self) -> bool {
        let mut names = self.numbers().filter_map(|at| LANGUAGES.get(at));
        names.any(|one| !NO_CODE.contains(&one.name))
    }
}

/// How many languages there are.
pub(crate) const COUNT: usize = LANGUAGES.len();

fn holds(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes() == word)
}

/// Names that are told by their beginning or by the folder they lie in.
fn has_special_name(language: &str, path: &[u8], name: &[u8]) -> bool {
    let is_yaml = || name.ends_with(b".yml") || name.ends_with(b".yaml");
    let lies_in = |folder: &str| {
        let mut places = memchr::memmem::find_iter(path, folder);
        places.any(|at| at == 0 || path.get(at - 1) == Some(&b'/'))
    };
    match language {
        "dockerfile" => name.starts_with(b"dockerfile.") || name.starts_with(b"containerfile."),
        "env" => name.starts_with(b".env"),
        "make" => is_part_of_a_makefile(name) || lies_in("debian/rules") && name == b"rules",
        "workflow" => {
            name.starts_with(b"azure-pipelines")
                || (is_yaml()
                    && [
                        ".github/workflows/",
                        ".github/actions/",
                        ".gitlab/",
                        ".gitlab-ci/",
                        ".buildkite/",
                        ".woodpecker/",
                        ".circleci/",
                    ]
                    .into_iter()
                    .any(lies_in))
        }
        _ => false,
    }
}

/// `Makefile.inc`, `Makefile.common`, but no document about one.
fn is_part_of_a_makefile(name: &[u8]) -> bool {
    let rest = name.strip_prefix(b"gnu").unwrap_or(name);
    let rest = rest.strip_prefix(b"makefile");
    let rest = rest.filter(|rest| matches!(rest.first(), Some(b'.' | b'-' | b'_')));
    let texts: [&[u8]; 6] = [b".md", b".rst", b".txt", b".adoc", b".html", b".py"];
    rest.is_some_and(|rest| !texts.iter().any(|text| rest.ends_with(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, first_line: &str) -> Vec<&'static str> {
        let found = Languages::of(path.as_bytes(), Some(first_line.as_bytes()));
        found.numbers().map(|at| LANGUAGES[at].name).collect()
    }

    #[test]
    fn a_file_is_told_by_ending_name_folder_and_first_line() {
        for (path, first_line, expected) in [
            ("src/A.RS", "", &["rust"][..]),
            ("x/y.h", "", &["c", "cpp"]),
            ("Dockerfile.dev", "", &["dockerfile"]),
            ("a/.env.test", "", &["env"]),
            (".github/workflows/ci.yml", "", &["yaml", "workflow"]),
            ("sub/.circleci/config.yml", "", &["yaml", "workflow"]),
            ("bin/run", "#!/usr/bin/env -S FOO=1 python3 -u", &["python"]),
            ("bin/run", "#! /bin/bash -e", &["shell"]),
            ("GNUmakefile", "", &["make"]),
            ("README", "", &[]),
            ("scripts/README", "", &[]),
            ("INSTALL", "", &[]),
            ("install", "", &["shell"]),
            ("bin/run", "", &["shell"]),
            ("tool/scripts/fetch", "# no mark", &["shell"]),
            ("a/debian/rules", "", &["make"]),
            ("debian/changelog", "", &[]),
            ("debian/pkg.postinst", "", &["shell"]),
            ("x.sh.in", "", &["shell"]),
            ("a/deploy.PY.tmpl", "", &["python"]),
            ("requirements.in", "", &[]),
            ("x.dash", "", &["shell"]),
            ("x.wsgi", "", &["python"]),
            ("x.php7", "", &["php"]),
            ("x.hta", "", &["batch"]),
            ("x.foo", "#!/usr/bin/gawk -f", &["shell"]),
            ("rs", "", &[]),
            ("src/x.inl", "", &["cpp"]),
            ("src/k.CUH", "", &["cpp"]),
            ("sub/Makefile.inc", "", &["php", "make"]),
            ("Makefile.common", "", &["make"]),
            ("GNUmakefile.am", "", &["make"]),
            ("Makefile.md", "", &["markdown"]),
            ("makefiles.go", "", &["go"]),
            ("common.make", "", &["make"]),
        ] {
            assert_eq!(names(path, first_line), expected, "{path} {first_line}");
        }
    }

    #[test]
    fn prose_and_data_are_no_code() {
        let is_code = |path: &str| Languages::of(path.as_bytes(), None).is_code();
        assert!(is_code("a.py") && is_code("Makefile") && is_code(".github/workflows/a.yml"));
        assert!(!is_code("a.md") && !is_code("a.json") && !is_code("LICENSE") && !is_code("a.yml"));
    }
}
