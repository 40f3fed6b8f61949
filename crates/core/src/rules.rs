//! Compiled path rules. Compiling checks the examples, so a rule that does not do what its author
//! thought is refused before it judges anything.

mod braces;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Candidate, Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::masking;
use crate::policy::{PathRule, Texts};
use crate::problem::Problem;
use crate::spelling;
use crate::task::Scope;
use braces::expand;

/// Whether upper and lower case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// As written.
    Exact,
    /// The same: some file systems see one file in both, so a forbidding rule must too.
    Folded,
}

impl Case {
    /// A glob as it is compared.
    fn spelled(self, mut glob: String) -> String {
        match self {
            Self::Exact => glob,
            Self::Folded if glob.is_ascii() => {
                glob.make_ascii_lowercase();
                glob
            }
            Self::Folded => String::from_utf8_lossy(&spelling::lower(glob.as_bytes())).into_owned(),
        }
    }
}

/// Many globs as one matcher, each with a number of its owner's.
///
/// Braces are written out, and the plainest globs (a name, one in a folder, one with stars, a folder) are
/// looked up by name: compiling a pattern for each of hundreds would cost every run far more.
#[derive(Debug)]
pub struct Globs {
    set: GlobSet,
    /// The owners of each glob of the set.
    owners: Vec<Vec<usize>>,
    /// The owners of globs like `**/name/**`, by the name of the folder.
    folders: Named<Vec<usize>>,
    /// The owners of globs like `**/name`.
    files: Named<Vec<usize>>,
    /// Globs like `**/a*b` by the last byte of what follows the star, and by their folder those like
    /// `**/folder/a*b` and `**/folder/name`.
    stars: HashMap<Option<u8>, Vec<Star>>,
    stars_within: Named<Vec<Star>>,
    /// Globs like `**/folder/**/a*b`, by their folder.
    stars_below: Named<Vec<Star>>,
    case: Case,
}

/// By names that stand in a policy; who writes those has nothing to gain from names that share a hash.
type Named<T> = HashMap<String, T, BuildHasherDefault<Quick>>;

/// A hash for short names, several times as quick as the one of the standard library.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mix = |all: u64, byte: &u8| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.0 = bytes.iter().fold(self.0, mix);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A name with stars in it, or without.
#[derive(Debug)]
struct Star {
    head: String,
    /// What stands between two stars.
    middle: Vec<String>,
    /// What stands after the last star; None for a name without one.
    tail: Option<String>,
    owners: Vec<usize>,
}

/// The globs that are looked up by name.
enum Plain<'g> {
    Folder(&'g str),
    File(&'g str),
    Star(Where<'g>, &'g str),
}

/// Where a name with stars lies.
enum Where<'g> {
    Anywhere,
    In(&'g str),
    Below(&'g str),
}

impl Globs {
    /// Compiles globs, given with the number that [`Self::owners`] answers with.
    ///
    /// # Errors
    /// Says which glob cannot be read, and why.
    pub fn compile<'g>(
        globs: impl IntoIterator<Item = (usize, &'g str)>,
        case: Case,
    ) -> Result<Self, String> {
        let mut all = Self {
            set: GlobSet::empty(),
            owners: Vec::new(),
            folders: Named::default(),
            files: Named::default(),
            stars: HashMap::new(),
            stars_within: Named::default(),
            stars_below: Named::default(),
            case,
        };
        // Many rules name the same files, and many in the same words.
        let texts = by_text(globs);
        let mut plain = Vec::new();
        for (at, (text, _)) in texts.iter().enumerate() {
            let spelled = expand(text).into_iter().map(|one| case.spelled(one));
            plain.extend(spelled.map(|one| (one, at)));
        }
        plain.sort_unstable();
        let mut builder = GlobSetBuilder::new();
        for same in plain.chunk_by(|(one, _), (other, _)| one == other) {
            let named = same.iter().filter_map(|(_, at)| texts.get(*at));
            let owners = named.flat_map(|(_, owners)| owners).copied().collect();
            let Some((glob, at)) = same.first() else {
                continue;
            };
            if let Some(owners) = all.look_up(glob, owners) {
                let text = texts.get(*at).map_or("", |(text, _)| *text);
                builder.add(parse(glob, text)?);
                all.owners.push(owners);
            }
        }
        all.set = builder.build().map_err(|error| error.to_string())?;
        Ok(all)
    }

    /// Takes in a glob that can be looked up by name; gives its owners back for any other.
    fn look_up(&mut self, glob: &str, owners: Vec<usize>) -> Option<Vec<usize>> {
        match plain(glob) {
            Some(Plain::Folder(name)) => drop(self.folders.insert(name.to_owned(), owners)),
            Some(Plain::File(name)) => drop(self.files.insert(name.to_owned(), owners)),
            Some(Plain::Star(place, name)) => {
                let mut parts = name.split('*').map(str::to_owned);
                let head = parts.next().unwrap_or_default();
                let tail = parts.next_back();
                let star = Star {
                    head,
                    middle: parts.collect(),
                    tail,
                    owners,
                };
                let list = match place {
                    Where::Anywhere => {
                        let last = star.tail.as_ref().and_then(|tail| tail.bytes().last());
                        self.stars.entry(last).or_default()
                    }
                    Where::In(folder) => self.stars_within.entry(folder.to_owned()).or_default(),
                    Where::Below(folder) => self.stars_below.entry(folder.to_owned()).or_default(),
                };
                list.push(star);
            }
            None => return Some(owners),
        }
        None
    }

    /// The numbers of the owners whose globs match a path, in order. A path is its bytes: a name that
    /// is not UTF-8 or holds control characters is matched as it is, never as it is shown.
    #[must_use]
    pub fn owners(&self, path: &[u8]) -> Vec<usize> {
        let path = self.spelled(path);
        let mut owners = self.by_set(&path);
        self.by_name(&path, |_| true, |own| owners.extend(own));
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Whether a glob of this owner matches a path: [`Self::owners`] would name it.
    #[must_use]
    pub fn owns(&self, owner: usize, path: &[u8]) -> bool {
        let path = self.spelled(path);
        let mut is_owner = false;
        // Its own globs are few, and to hold a name against each of all others is not cheap.
        let is_own = |own: &[usize]| own.contains(&owner);
        self.by_name(&path, is_own, |own| is_owner |= is_own(own));
        let is_in_set = |own: &Vec<usize>| own.contains(&owner);
        is_owner || (self.owners.iter().any(is_in_set) && self.by_set(&path).contains(&owner))
    }

    /// A path as the globs are written.
    fn spelled<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        match self.case {
            Case::Exact => path.into(),
            Case::Folded => spelling::lower(path).into(),
        }
    }

    fn by_set(&self, path: &[u8]) -> Vec<usize> {
        let candidate = Candidate::new(Path::new(OsStr::from_bytes(path)));
        let matched = self.set.matches_candidate(&candidate);
        let owners = matched.into_iter().filter_map(|at| self.owners.get(at));
        owners.flatten().copied().collect()
    }

    /// Hands over the owners of each glob that is looked up by name and matches; of those with stars only
    /// where these owners are wanted.
    fn by_name(
        &self,
        path: &[u8],
        wants: impl Fn(&[usize]) -> bool,
        mut visit: impl FnMut(&[usize]),
    ) {
        let mut parts = path.split(|byte| *byte == b'/').rev();
        let name = parts.next().unwrap_or_default();
        let text = |part| std::str::from_utf8(part).ok();
        let mut folders = parts.peekable();
        let within = folders
            .peek()
            .and_then(|folder| self.stars_within.get(text(folder)?));
        let anywhere = [None, name.last().copied()].map(|last| self.stars.get(&last));
        let stars = anywhere.into_iter().chain([within]).flatten().flatten();
        let stars = stars.filter(|star| wants(&star.owners) && star.matches(name));
        stars.for_each(|star| visit(&star.owners));
        if let Some(owners) = text(name).and_then(|name| self.files.get(name)) {
            visit(owners);
        }
        for folder in folders.filter_map(text) {
            if let Some(owners) = self.folders.get(folder) {
                visit(owners);
            }
            let below = self.stars_below.get(folder).into_iter().flatten();
            let below = below.filter(|star| wants(&star.owners) && star.matches(name));
            below.for_each(|star| visit(&star.owners));
        }
    }
}

impl Star {
    fn matches(&self, name: &[u8]) -> bool {
        let Some(tail) = &self.tail else {
            return name == self.head.as_bytes();
        };
        let rest = name.strip_prefix(self.head.as_bytes());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(tail.as_bytes())) else {
            return false;
        };
        // The first place of each part leaves most for those that follow.
        self.middle.iter().all(|part| {
            let mut places = rest.windows(part.len().max(1));
            let at = if part.is_empty() {
                Some(0)
            } else {
                places.position(|place| place == part.as_bytes())
            };
            let after = at.and_then(|at| rest.get(at + part.len()..));
            rest = after.unwrap_or_default();
            after.is_some()
        })
    }
}

/// What a glob says, if it is one of the plainest.
fn plain(glob: &str) -> Option<Plain<'_>> {
    let has_meta = |text: &str| {
        text.contains(['/', '?', '[', ']', '{', '}', '\\', '!']) || text.contains("**")
    };
    let is_word = |text: &str| !text.is_empty() && !has_meta(text) && !text.contains('*');
    let rest = glob.strip_prefix("**/")?;
    if let Some(folder) = rest.strip_suffix("/**") {
        return is_word(folder).then_some(Plain::Folder(folder));
    }
    if is_word(rest) {
        return Some(Plain::File(rest));
    }
    let (folder, name) = match rest.rsplit_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, rest),
    };
    let place = match folder.map(|folder| (folder, folder.strip_suffix("/**"))) {
        None => Where::Anywhere,
        Some((_, Some(folder))) if is_word(folder) => Where::Below(folder),
        Some((folder, None)) if is_word(folder) => Where::In(folder),
        Some(_) => return None,
    };
    let is_name = name.contains('*') || (matches!(place, Where::In(_)) && !name.is_empty());
    (is_name && !has_meta(name)).then_some(Plain::Star(place, name))
}

fn parse(plain: &str, written: &str) -> Result<Glob, String> {
    GlobBuilder::new(plain)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| {
            format!(
                "glob \"{}\" cannot be read: {}",
                written.escape_debug(),
                error.kind()
            )
        })
}

/// A set of path rules.
#[derive(Debug)]
pub struct PathRules<'a> {
    rules: &'a [PathRule],
    globs: Globs,
}

impl<'a> PathRules<'a> {
    /// Compiles the rules and checks their examples.
    ///
    /// # Errors
    /// `POLICY_INVALID` for a glob that cannot be read, `POLICY_EXAMPLE` for an example that fails.
    pub fn compile(rules: &'a [PathRule], case: Case) -> Result<Self, Problem> {
        for rule in rules {
            parse(&rule.glob, &rule.glob).map_err(|why| {
                Problem::fail("POLICY_INVALID", format!("policy rule {}: {why}", rule.id))
            })?;
        }
        let globs = rules.iter().enumerate();
        let globs = Globs::compile(globs.map(|(at, rule)| (at, rule.glob.as_str())), case)
            .map_err(|why| Problem::fail("POLICY_INVALID", format!("policy: {why}")))?;
        for (at, rule) in rules.iter().enumerate() {
            check_examples(&rule.id, &rule.matches, &rule.no_match, |path| {
                globs.owns(at, path.as_bytes())
            })?;
        }
        Ok(Self { rules, globs })
    }

    /// The first rule that matches a path.
    #[must_use]
    pub fn first_match(&self, path: impl AsRef<[u8]>) -> Option<&'a PathRule> {
        let first = self.globs.owners(path.as_ref()).first().copied();
        first.and_then(|at| self.rules.get(at))
    }

    /// As [`Self::first_match`], and also under the name that other file systems make of the path:
    /// `A.PEM.` is a key on some. For rules that forbid.
    #[must_use]
    pub fn first_match_folded(&self, path: impl AsRef<[u8]>) -> Option<&'a PathRule> {
        let path = path.as_ref();
        let mut others = spelling::others(path).into_iter();
        self.first_match(path)
            .or_else(|| others.find_map(|name| self.first_match(name)))
    }
}

/// Each text once, in the order of their first places, with all owners that name it.
fn by_text<'g>(globs: impl IntoIterator<Item = (usize, &'g str)>) -> Vec<(&'g str, Vec<usize>)> {
    let mut texts: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (owner, text) in globs {
        let at = *places.entry(text).or_insert(texts.len());
        match texts.get_mut(at) {
            Some((_, owners)) => owners.push(owner),
            None => texts.push((text, vec![owner])),
        }
    }
    texts
}

/// Holds a rule against its own examples.
///
/// # Errors
/// `POLICY_EXAMPLE` naming the rule and the example.
pub fn check_examples(
    id: &str,
    yes: &Texts,
    no: &Texts,
    matches: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let failed = |example: &str, expected: &str| {
        let shown = masking::excerpt(example, 80);
        Problem::fail(
            "POLICY_EXAMPLE",
            format!("policy rule {id} {expected} its example \"{shown}\""),
        )
        .hint("correct the rule or the example in POLICY.json")
    };
    if let Some(example) = yes.iter().find(|example| !matches(example)) {
        return Err(failed(example, "does not match"));
    }
    match no.iter().find(|example| matches(example)) {
        Some(example) => Err(failed(example, "must not match and matches")),
        None => Ok(()),
    }
}

/// One entry of a scope. A name such as `app/[id]/page.tsx` is a glob and a plain path, so both
/// readings count.
#[derive(Debug)]
struct Entry {
    plain: Vec<u8>,
    matcher: Option<Globs>,
}

impl Entry {
    /// Reads an entry. One that ends with `/` means everything below.
    fn compile(text: &str, case: Case) -> Result<Self, String> {
        let below = text.strip_suffix('/').map(|folder| format!("{folder}/**"));
        let text = below.as_deref().unwrap_or(text);
        let matcher = match Globs::compile([(0, text)], case) {
            Ok(matcher) => Some(matcher),
            Err(_) if !text.contains(['*', '?']) => None,
            Err(why) => return Err(why),
        };
        let plain = match case {
            Case::Exact => text.as_bytes().to_vec(),
            Case::Folded => spelling::folded(text.as_bytes()),
        };
        Ok(Self { plain, matcher })
    }

    fn names(&self, path: &[u8]) -> bool {
        self.plain == path
            || self
                .matcher
                .as_ref()
                .is_some_and(|matcher| !matcher.owners(path).is_empty())
    }
}

/// What a task lets change.
#[derive(Debug)]
pub struct ScopeRules {
    allowed: Vec<Entry>,
    denied: Vec<Entry>,
}

impl ScopeRules {
    /// Compiles a task's scope.
    ///
    /// # Errors
    /// `TASK_INVALID` for a glob that cannot be read.
    pub fn compile(scope: &Scope) -> Result<Self, Problem> {
        let compile = |entries: &[String], case| {
            let entries = entries.iter().map(|entry| Entry::compile(entry, case));
            entries
                .collect::<Result<_, _>>()
                .map_err(|why| Problem::fail("TASK_INVALID", format!("task: scope: {why}")))
        };
        Ok(Self {
            allowed: compile(&scope.allow_patch_on_files, Case::Exact)?,
            denied: compile(&scope.deny_paths_glob, Case::Folded)?,
        })
    }

    /// Whether a path may change: some entry allows it, none denies it, and none is the plain name of
    /// a folder that it lies in.
    #[must_use]
    pub fn allows(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        self.allowed.iter().any(|entry| entry.names(path)) && !self.denies(path)
    }

    fn denies(&self, path: &[u8]) -> bool {
        let mut names = spelling::others(path);
        names.push(spelling::lower(path));
        let lies_in = |entry: &Entry, name: &[u8]| {
            let rest = name.strip_prefix(entry.plain.as_slice());
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.denied.iter().any(|entry| {
            let mut names = names.iter();
            names.any(|name| entry.names(name) || lies_in(entry, name))
        })
    }
}

#[cfg(test)]
mod tests;
