//! What git obeys in a checkout besides its files: settings, also those of the user and the machine, and hooks.
//! Whoever changes a file that one of them names changes what git does there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{Call, Repository};
use crate::problem::Problem;
use crate::{environment, files};

/// So many settings are taken that could name a file; more is no list that a person wrote.
const MOST_SETTINGS: usize = 5000;
/// So many hooks are read, each as far as a script goes, in bytes.
const MOST_HOOKS: usize = 64;
const MOST_OF_A_HOOK: usize = 256 << 10;

/// A setting or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obeyed {
    /// What people call it; of a setting without the part that anybody may write in.
    pub name: String,
    /// What it says.
    pub text: Vec<u8>,
    /// The files that it names for sure, from the root of a checkout.
    pub files: Vec<Vec<u8>>,
    /// Folders from which git takes what it likes.
    pub folders: Vec<Vec<u8>>,
}

/// One line of git's own list.
struct Setting<'l> {
    section: &'l str,
    /// Between section and name: anybody's words, such as the name of a filter.
    between: Option<&'l str>,
    name: &'l str,
    value: &'l [u8],
    /// The file that it stands in.
    file: PathBuf,
}

impl<'l> Setting<'l> {
    /// Reads `file:PATH` and `section.between.name\nvalue`. Other origins are options of our own.
    fn read(origin: &'l [u8], entry: &'l [u8]) -> Option<Self> {
        let file = origin.strip_prefix(b"file:")?;
        let end = entry.iter().position(|byte| *byte == b'\n');
        let (key, value) = entry.split_at_checked(end.unwrap_or(entry.len()))?;
        let (section, rest) = std::str::from_utf8(key).ok()?.split_once('.')?;
        let (between, name) = match rest.rsplit_once('.') {
            Some((between, name)) => (Some(between), name),
            None => (None, rest),
        };
        Some(Self {
            section,
            between,
            name,
            value: value.get(1..).unwrap_or_default(),
            file: OsStr::from_bytes(file).into(),
        })
    }

    /// Whether git, or what it runs, only reads a text from it: an address, a branch, a list to look things up
    /// in. Any other could name a program, also one of a tool that keeps its own settings here.
    fn is_text(&self) -> bool {
        let value = self.value.trim_ascii_start();
        let is_address = !value.starts_with(b"ext::");
        match (self.section, self.name) {
            // Without the mark it names commands of git's own.
            ("alias", _) => !value.starts_with(b"!"),
            ("remote", "uploadpack" | "receivepack" | "vcs") | ("submodule", "update") => false,
            ("remote" | "submodule", _) => is_address,
            ("url", _) => self.between.is_none_or(|base| !base.starts_with("ext::")),
            ("user" | "author" | "committer", "name" | "email")
            | ("core", "excludesfile" | "worktree")
            | ("commit", "template")
            | ("format", "signaturefile")
            | ("blame", "ignorerevsfile")
            | ("mailmap", "file")
            | ("gui", "recentrepo")
            | ("branch" | "safe", _)
            | (_, "skiplist") => true,
            _ => false,
        }
    }

    fn is(&self, section: &str, name: &str) -> bool {
        self.section == section && self.name == name
    }

    fn shown(&self) -> String {
        let between = if self.between.is_some() { ".*" } else { "" };
        format!("setting {}{between}.{}", self.section, self.name)
    }
}

/// Where the files of a repository are.
struct Places {
    root: PathBuf,
    folders: Vec<PathBuf>,
    home: Option<PathBuf>,
}

impl Places {
    /// The place that a word means by itself; `None` for one that depends on where git stands.
    fn whole(&self, word: &[u8]) -> Option<PathBuf> {
        if word.starts_with(b"/") {
            return Some(OsStr::from_bytes(word).into());
        }
        let homes: [&[u8]; 3] = [b"~/", b"$HOME/", b"${HOME}/"];
        let rest = homes.into_iter().find_map(|home| word.strip_prefix(home));
        Some(self.home.as_ref()?.join(OsStr::from_bytes(rest?)))
    }

    /// The place that a setting means as a whole, which stands in a file of this folder.
    fn place(&self, folder: &Path, value: &[u8]) -> PathBuf {
        let whole = self.whole(value);
        whole.unwrap_or_else(|| folder.join(OsStr::from_bytes(value)))
    }

    /// The names that a place has from the root of a checkout, as written and behind links.
    fn names_of(&self, place: &Path) -> Vec<Vec<u8>> {
        let behind = place.canonicalize().ok().or_else(|| {
            let folder = place.parent()?.canonicalize().ok()?;
            Some(folder.join(place.file_name()?))
        });
        let mut names = Vec::new();
        for place in [Some(tidy(place)), behind].into_iter().flatten() {
            let inner = self.folders.iter();
            let inner = inner.filter_map(|folder| place.strip_prefix(folder).ok());
            // git's own folder holds no file of the repository.
            let inner = inner.filter(|name| *name != "" && !name.starts_with(".git"));
            names.extend(inner.map(|name| name.as_os_str().as_bytes().to_vec()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The files of a checkout that a text names by whole paths.
    fn named_in(&self, text: &[u8]) -> Vec<Vec<u8>> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"'\"`=;&|()<>,:!".contains(byte);
        let words = text.split(ends).filter_map(|word| self.whole(word));
        let mut names: Vec<_> = words.flat_map(|place| self.names_of(&place)).collect();
        // A folder of this name would end the word.
        let broken = self.folders.iter().map(|folder| folder.as_os_str());
        for folder in broken.filter(|folder| folder.as_bytes().iter().any(ends)) {
            let folder = [folder.as_bytes(), b"/"].concat();
            let rests = memchr::memmem::find_iter(text, &folder);
            let rests = rests.filter_map(|at| text.get(at + folder.len()..)?.split(ends).next());
            names.extend(rests.map(<[u8]>::to_vec));
        }
        names
    }

    fn obeyed(&self, setting: &Setting<'_>) -> Obeyed {
        let mut obeyed = Obeyed {
            name: setting.shown(),
            text: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
        };
        let value = match (setting.section, setting.between) {
            ("url", Some(base)) => base.as_bytes(),
            _ => setting.value,
        };
        if setting.is("core", "hookspath") || setting.is("init", "templatedir") {
            obeyed.folders = self.names_of(&self.place(&self.root, value));
        } else if setting.is("include", "path") || setting.is("includeif", "path") {
            // It is meant from where it stands.
            let folder = setting.file.parent().unwrap_or(&self.root);
            obeyed.files = self.names_of(&self.place(folder, value));
        } else {
            obeyed.files = self.named_in(value);
            obeyed.text = value.to_vec();
        }
        obeyed
    }

    /// The hooks in a folder. One that is a link is the file that it leads to.
    fn hooks(&self, folder: &Path) -> Vec<Obeyed> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        let mut names: Vec<_> = names
            .filter(|name| !name.as_bytes().ends_with(b".sample"))
            .collect();
        names.sort();
        let hooks = names.into_iter().take(MOST_HOOKS).map(|name| {
            let file = folder.join(&name);
            let text = files::read_placed(&file, MOST_OF_A_HOOK).unwrap_or_default();
            let named = [self.named_in(&text), self.names_of(&file)];
            Obeyed {
                name: format!("hook {}", name.to_string_lossy()),
                files: named.concat(),
                text,
                folders: Vec::new(),
            }
        });
        hooks.collect()
    }
}

impl Repository {
    /// The settings and hooks that git obeys in this checkout, as far as they can name a file of it.
    ///
    /// # Errors
    /// `GIT_FAILED`.
    pub fn obeyed(&self) -> Result<Vec<Obeyed>, Problem> {
        let listing = self.settings()?;
        let fields: Vec<&[u8]> = listing.split(|byte| *byte == 0).collect();
        let settings = fields.as_chunks().0.iter();
        let settings = settings.filter_map(|[origin, entry]| Setting::read(origin, entry));
        let (texts, settings): (Vec<_>, Vec<_>) = settings.partition(Setting::is_text);
        let places = Places {
            root: self.root.clone(),
            folders: self.folders(),
            home: environment::read(environment::HOME).map(PathBuf::from),
        };
        let mut hooks = settings.iter().rev();
        let hooks = hooks.find(|setting| setting.is("core", "hookspath"));
        let hooks = match hooks {
            Some(named) => places.place(&self.root, named.value),
            None => self.common_dir().join("hooks"),
        };
        // A file of settings in the checkout is obeyed itself, however git came to it.
        let from = texts.iter().chain(&settings).map(|setting| &setting.file);
        let from: BTreeSet<&PathBuf> = from.collect();
        let from = from.into_iter().map(|file| Obeyed {
            name: "settings".to_owned(),
            text: Vec::new(),
            files: places.names_of(file),
            folders: Vec::new(),
        });
        let taken = settings.iter().take(MOST_SETTINGS);
        let all = taken.map(|setting| places.obeyed(setting)).chain(from);
        Ok(all.chain(places.hooks(&hooks)).collect())
    }

    /// git's own list of its settings with the files that they stand in, those that others include too.
    fn settings(&self) -> Result<Vec<u8>, Problem> {
        let list = ["config", "--list", "-z", "--show-origin", "--includes"];
        let done = Call::as_user(&self.git_dir, &self.root)
            .args(list)
            .finish()?;
        if done.ended.is_success() {
            return Ok(done.stdout.bytes);
        }
        // What this account may not read, or nobody can, of the user's and the machine's.
        self.call().args(list).output("reading git's settings")
    }
}

/// A path without `.` and `..`, as far as its letters tell.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_name_a_program_is_told_from_what_is_only_read() {
        let is_text = |key: &str, value: &str| {
            let entry = format!("{key}\n{value}");
            Setting::read(b"file:/r/.git/config", entry.as_bytes()).map(|one| one.is_text())
        };
        for (key, value) in [
            ("filter.a.b.clean", "./dev/x"),
            ("diff.x.textconv", "./dev/x"),
            ("merge.x.driver", "./dev/x"),
            ("core.pager", "./dev/x"),
            ("alias.x", "!dev/x"),
            ("pager.log", "./dev/x"),
            ("remote.o.uploadpack", "./dev/x"),
            ("remote.o.url", "ext::./dev/x"),
            ("url.ext::./dev/x.insteadof", "x:"),
            ("submodule.a.update", "!dev/x"),
            ("includeif.onbranch:a.path", "../dev/x"),
            ("tool.of.somebody", "./dev/x"),
        ] {
            assert_eq!(is_text(key, value), Some(false), "{key}");
        }
        for (key, value) in [
            ("alias.x", "log dev/x"),
            ("remote.o.url", "../dev/x"),
            ("branch.dev/x.merge", "refs/heads/dev/x"),
            ("blame.ignorerevsfile", "dev/x"),
            ("user.email", "a@b.example"),
        ] {
            assert_eq!(is_text(key, value), Some(true), "{key}");
        }
        // What stands on the command line is ours.
        assert!(Setting::read(b"command line:", b"core.hookspath\n/dev/null").is_none());
    }

    #[test]
    fn a_file_of_a_checkout_is_known_however_its_place_is_written() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().canonicalize().unwrap();
        let (root, other) = (real.join("my repo"), real.join("other"));
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::fs::create_dir_all(&other).unwrap();
        std::os::unix::fs::symlink(&root, real.join("short")).unwrap();
        let places = Places {
            root: root.clone(),
            folders: vec![root.clone(), other.clone()],
            home: Some(real.clone()),
        };
        let real = real.display();
        for text in [
            format!("\"{real}/my repo/dev/x\" %f"),
            format!("--with={real}/short/dev/x"),
            format!("!{real}/other/a/../dev/x"),
            "~/short/dev/x".to_owned(),
            "sh \"${HOME}/short/dev/x\"".to_owned(),
        ] {
            assert_eq!(places.named_in(text.as_bytes()), [b"dev/x"], "{text}");
        }
        for text in [
            format!("{real}/else/dev/x"),
            format!("{real}/short/.git/hooks/x"),
            "https://host.example/dev/x".to_owned(),
            format!("{real}/other"),
        ] {
            assert!(places.named_in(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
