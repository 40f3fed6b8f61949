//! What the text of a patch cannot tell and a repository can: the whole files, the names beside them,
//! the scripts that trusted files and git's own settings run, and links in the checkout.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use baton_core::git::{ObjectStore, Oid, TreeEntry, at_one_time};
use baton_core::manifest::SSOT;
use baton_core::problem::Problem;
use baton_patch::{Mode, Op};

use crate::book::RuleBook;
use crate::input::{ScanFile, ScanInput};
use crate::places;
use crate::trust::aliases::Links;
use crate::trust::{self, ByName, Trusted, obeyed};

/// A file larger than this is judged by its hunks alone, in bytes.
const MOST_OF_A_FILE: u64 = 4 << 20;
/// At most so much is read in all, in bytes.
const MOST_IN_ALL: u64 = 64 << 20;
/// A trusted file larger than this is a document, not a configuration, in bytes.
const MOST_OF_A_TRUSTED_FILE: u64 = 256 << 10;

/// So many denied files are looked for in new ones.
const MOST_DENIED: usize = 300;
/// A shorter line stands in many files, in bytes.
const SHORTEST_LINE: usize = 8;
/// What has less in common is not near, in bytes.
const LEAST_COPIED: usize = 40;

/// So many scripts are followed; a repository with more has them all over.
const MOST_SCRIPTS: usize = 300;
/// So many links are followed; a repository with more holds a forest of somebody's packages.
const MOST_LINKS: usize = 5000;

/// A path, and what lies or leads there.
pub(crate) type Named = (Vec<u8>, Vec<u8>);

/// What a repository holds beside the change.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Every path of the base.
    pub(crate) paths: Vec<Vec<u8>>,
    /// The files of protected zones at the base, the settings and hooks of git in the checkout, and the scripts
    /// that they run, each with what it names.
    pub(crate) trusted: Vec<Trusted>,
    /// Changed files that a link of the base gives a protected name, and that name.
    pub(crate) aliases: Vec<Named>,
    /// The links of the base.
    pub(crate) by_target: Links,
    /// Folders on the way to a changed file that are links in the checkout.
    pub(crate) links: Vec<Named>,
}

/// Asks the repository for everything that a scan wants to know.
///
/// # Errors
/// `GIT_FAILED`, `POLICY_INVALID`.
pub(crate) fn ask(
    input: &mut ScanInput<'_>,
    store: &ObjectStore,
    base_tree: &Oid,
    checkout: Option<&Path>,
    book: &RuleBook<'_>,
) -> Result<(), Problem> {
    let (base, obeyed) = at_one_time(
        || Base::read(input, store, base_tree, book),
        || obeyed::in_checkout(checkout),
    )?;
    fill(input, &base.sizes, &base.blobs);
    let entries = &base.entries;
    find_origins(input, entries);
    find_near(input, entries, store, book)?;
    let trusted = base.contents(&base.trusted);
    let trusted = trusted.map(|(path, text)| Trusted::of(&path, &text));
    let mut trusted: Vec<Trusted> = trusted.collect();
    let by_target = Links::of(base.contents(&base.links));
    trusted.extend(behind_links(entries, &by_target, store, book)?);
    trusted.extend(obeyed);
    let trusted = with_scripts(entries, &by_target, trusted, store)?;
    let surroundings = Surroundings {
        trusted,
        aliases: aliases(input, &by_target, book),
        by_target,
        links: checkout
            .map(|root| on_the_way(input, root))
            .unwrap_or_default(),
        paths: base.entries.into_iter().map(|entry| entry.path).collect(),
    };
    input.surroundings = Some(surroundings);
    Ok(())
}

/// What a scan wants of the base, read in one go.
struct Base {
    entries: Vec<TreeEntry>,
    links: Vec<TreeEntry>,
    /// The files of protected zones that are not too large to be read.
    trusted: Vec<TreeEntry>,
    sizes: HashMap<Oid, u64>,
    /// The content of links, trusted and changed files.
    blobs: HashMap<Oid, Vec<u8>>,
}

impl Base {
    fn read(
        input: &ScanInput<'_>,
        store: &ObjectStore,
        tree: &Oid,
        book: &RuleBook<'_>,
    ) -> Result<Self, Problem> {
        let entries = store.entries(tree)?;
        let mut trusted = trusted_entries(&entries, book);
        let links = entries.iter().filter(|entry| entry.is_link());
        let links: Vec<TreeEntry> = links.take(MOST_LINKS).cloned().collect();
        let with = |trusted: &[TreeEntry]| -> Vec<Oid> {
            let others = trusted.iter().chain(&links).map(|entry| entry.id.clone());
            let mut all: Vec<_> = wanted_ids(input).chain(others).collect();
            all.sort();
            all.dedup();
            all
        };
        let asked = with(&trusted);
        let sizes = asked.iter().cloned().zip(store.blob_sizes(&asked)?);
        let sizes: HashMap<Oid, u64> = sizes.filter_map(|(id, size)| Some((id, size?))).collect();
        let size = |entry: &TreeEntry| sizes.get(&entry.id);
        trusted.retain(|entry| size(entry).is_some_and(|size| *size <= MOST_OF_A_TRUSTED_FILE));
        let blobs = read(store, &with(&trusted), &sizes)?;
        Ok(Self {
            entries,
            links,
            trusted,
            sizes,
            blobs,
        })
    }

    /// The names and contents of some of its entries.
    fn contents(&self, entries: &[TreeEntry]) -> impl Iterator<Item = Named> {
        let content = |entry: &TreeEntry| self.blobs.get(&entry.id).cloned();
        let named = entries.iter();
        named.filter_map(move |entry| Some((entry.path.clone(), content(entry)?)))
    }
}

/// Puts in what the repository holds of each file.
fn fill(input: &mut ScanInput<'_>, sizes: &HashMap<Oid, u64>, blobs: &HashMap<Oid, Vec<u8>>) {
    for file in &mut input.files {
        if let Some((old, new)) = ids(file.section) {
            let is_file = |mode: Option<Mode>| mode != Some(Mode::Submodule);
            if is_file(file.section.old_mode) {
                let old = old.as_ref();
                file.old = old.and_then(|id| blobs.get(id).cloned());
                file.old_size = old.and_then(|id| sizes.get(id).copied());
            }
            if is_file(file.section.new_mode) && file.new.is_none() {
                file.new = new.and_then(|id| blobs.get(&id).cloned());
            }
        }
    }
}

/// Looks up where the base holds what the change's new files hold.
fn find_origins(input: &mut ScanInput<'_>, entries: &[TreeEntry]) {
    let new_id = |file: &ScanFile<'_>| {
        let is_new = file.op == Op::Add && file.section.new_mode != Some(Mode::Submodule);
        ids(file.section)
            .filter(|_| is_new)
            .and_then(|(_, new)| new)
    };
    let wanted: HashSet<Oid> = input.files.iter().filter_map(new_id).collect();
    if wanted.is_empty() {
        return;
    }
    let mut found: HashMap<&Oid, Vec<Vec<u8>>> = HashMap::new();
    for entry in entries.iter().filter(|entry| wanted.contains(&entry.id)) {
        found.entry(&entry.id).or_default().push(entry.path.clone());
    }
    for file in &mut input.files {
        let origins = new_id(file).and_then(|id| found.get(&id).cloned());
        file.origins = origins.unwrap_or_default();
    }
}

/// Looks up which denied files of the base come back in the change's new files with a line more or less. What
/// lies in an open place too is no secret of theirs.
fn find_near(
    input: &mut ScanInput<'_>,
    entries: &[TreeEntry],
    store: &ObjectStore,
    book: &RuleBook<'_>,
) -> Result<(), Problem> {
    let is_new = |file: &&mut ScanFile<'_>| file.op == Op::Add && file.origins.is_empty();
    let mut new: Vec<_> = input.files.iter_mut().filter(is_new).collect();
    new.retain(|file| {
        file.new
            .as_ref()
            .is_some_and(|text| text.len() >= LEAST_COPIED)
    });
    if new.is_empty() {
        return Ok(());
    }
    let files = entries.iter().filter(|entry| entry.is_file());
    let is_denied = places::denying(book.policy)?;
    let (denied, open): (Vec<_>, Vec<_>) = files.partition(|entry| is_denied(&entry.path));
    let denied_ids: HashSet<&Oid> = denied.iter().map(|entry| &entry.id).collect();
    let open: HashSet<&Oid> = open.into_iter().map(|entry| &entry.id).collect();
    let open: HashSet<&Oid> = open.intersection(&denied_ids).copied().collect();
    let closed = denied.into_iter().filter(|entry| !open.contains(&entry.id));
    let closed: Vec<_> = closed.take(MOST_DENIED).collect();
    let ids: Vec<_> = closed.iter().map(|entry| Some(&entry.id)).collect();
    let texts = small_texts(store, &ids)?;
    let said = Said::by(&texts);
    for file in &mut new {
        let near = said.copied_by(file.new.as_deref().unwrap_or_default());
        let near = near.filter_map(|number| closed.get(number));
        file.near = near.map(|entry| entry.path.clone()).collect();
    }
    Ok(())
}

/// The lines that say enough to know them again.
fn telling(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| line.len() >= SHORTEST_LINE)
}

/// What texts say, by line, so that a new file is held against all of them at once.
struct Said<'t> {
    /// The bytes of each text's lines.
    all: Vec<usize>,
    /// Which texts have a line, and how many of their bytes it makes.
    by_line: HashMap<&'t [u8], Vec<(usize, usize)>>,
}

impl<'t> Said<'t> {
    fn by(texts: &'t [Option<Vec<u8>>]) -> Self {
        let mut said = Self {
            all: vec![0; texts.len()],
            by_line: HashMap::new(),
        };
        for ((number, text), all) in texts.iter().enumerate().zip(&mut said.all) {
            for line in telling(text.as_deref().unwrap_or_default()) {
                *all += line.len();
                let those = said.by_line.entry(line).or_default();
                match those.last_mut().filter(|(last, _)| *last == number) {
                    Some((_, bytes)) => *bytes += line.len(),
                    None => those.push((number, line.len())),
                }
            }
        }
        said
    }

    /// The texts of which a file has half of what they say.
    fn copied_by(&self, file: &[u8]) -> impl Iterator<Item = usize> {
        let lines: HashSet<&[u8]> = telling(file).collect();
        let mut back = vec![0; self.all.len()];
        for (number, bytes) in lines
            .iter()
            .filter_map(|line| self.by_line.get(line))
            .flatten()
        {
            if let Some(back) = back.get_mut(*number) {
                *back += bytes;
            }
        }
        let all = self.all.iter().copied();
        let is_copied = |(back, all): &(usize, usize)| *back >= LEAST_COPIED && back * 2 >= *all;
        let counted: Vec<(usize, usize)> = back.into_iter().zip(all).collect();
        let numbered = counted.into_iter().enumerate();
        numbered.filter_map(move |(number, counts)| is_copied(&counts).then_some(number))
    }
}

/// Trusted files with the scripts that they name, and those that these name.
fn with_scripts(
    entries: &[TreeEntry],
    links: &Links,
    trusted: Vec<Trusted>,
    store: &ObjectStore,
) -> Result<Vec<Trusted>, Problem> {
    if trusted.is_empty() {
        return Ok(trusted);
    }
    let files = entries.iter().filter(|entry| entry.is_file());
    let by_path: HashMap<&[u8], &Oid> = files.map(|file| (&*file.path, &file.id)).collect();
    let paths: Vec<&[u8]> = by_path.keys().copied().collect();
    let index = ByName::of(&paths, links);
    trust::handed_on(trusted, &index, MOST_SCRIPTS, |paths| {
        let ids = paths.iter().map(|path| by_path.get(path).copied());
        small_texts(store, &ids.collect::<Vec<_>>())
    })
}

/// The texts of those blobs that are named and are not too large for a trusted file.
fn small_texts(store: &ObjectStore, ids: &[Option<&Oid>]) -> Result<Vec<Option<Vec<u8>>>, Problem> {
    let named: Vec<Oid> = ids.iter().copied().flatten().cloned().collect();
    let sizes = store.blob_sizes(&named)?;
    let sized = named.into_iter().zip(sizes);
    let small = sized.filter(|(_, size)| size.is_some_and(|size| size <= MOST_OF_A_TRUSTED_FILE));
    let small: Vec<Oid> = small.map(|(id, _)| id).collect();
    let texts = store.blobs(&small)?;
    let texts: HashMap<Oid, Vec<u8>> = small.into_iter().zip(texts).collect();
    let text = |id: &Option<&Oid>| id.and_then(|id| texts.get(id).cloned());
    Ok(ids.iter().map(text).collect())
}

/// The protected name that a link gives a path: who writes the file writes what is protected.
fn protected_name(path: &[u8], links: &Links, book: &RuleBook<'_>) -> Option<Vec<u8>> {
    let mut names = links.names_of(path).into_iter();
    names.find(|name| book.places.protects(name))
}

fn aliases(input: &ScanInput<'_>, links: &Links, book: &RuleBook<'_>) -> Vec<Named> {
    let sections = input.files.iter().map(|file| file.section);
    let paths = sections.flat_map(|section| {
        let old = section.old_path.as_deref();
        std::iter::once(section.path()).chain(old)
    });
    let named = paths.filter_map(|path| Some((path.to_vec(), protected_name(path, links, book)?)));
    named.collect()
}

/// The files of the base that are trusted under the name of a link. Text that agents read names files from
/// where it lies as well as from where the link does.
fn behind_links(
    entries: &[TreeEntry],
    links: &Links,
    store: &ObjectStore,
    book: &RuleBook<'_>,
) -> Result<Vec<Trusted>, Problem> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let files = entries.iter().filter(|entry| entry.is_file());
    let named = files.filter_map(|file| Some((file, protected_name(&file.path, links, book)?)));
    let named: Vec<_> = named.take(MOST_SCRIPTS).collect();
    let ids: Vec<_> = named.iter().map(|(file, _)| Some(&file.id)).collect();
    let texts = small_texts(store, &ids)?;
    let mut found = Vec::new();
    for ((file, name), text) in named.iter().zip(texts) {
        let Some(text) = text else { continue };
        found.push(Trusted::of(name, &text));
        found.extend(Some(Trusted::of(&file.path, &text)).filter(Trusted::is_prose));
    }
    Ok(found)
}

/// The files of the base to which the policy gives trust, as far as they can name scripts.
fn trusted_entries(entries: &[TreeEntry], book: &RuleBook<'_>) -> Vec<TreeEntry> {
    let is_trusted = |entry: &&TreeEntry| {
        // The policy's own folder holds words about scripts, and runs none.
        let is_ours = entry.path.starts_with(SSOT.as_bytes());
        entry.is_file() && !is_ours && book.places.protects(&entry.path)
    };
    entries.iter().filter(is_trusted).cloned().collect()
}

/// The two blobs of a section, where its ids are whole. A missing side has an id of zeros.
fn ids(section: &baton_patch::Section<'_>) -> Option<(Option<Oid>, Option<Oid>)> {
    let (old, new) = section.ids?;
    let id = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        let is_there = text.bytes().any(|digit| digit != b'0');
        is_there.then(|| Oid::parse(text).ok()).flatten()
    };
    Some((id(old), id(new)))
}

fn wanted_ids(input: &ScanInput<'_>) -> impl Iterator<Item = Oid> {
    let sections = input.files.iter().map(|file| file.section);
    let sections = sections.filter(|section| section.op != Op::Delete);
    let both = sections.filter_map(ids).collect::<Vec<_>>();
    both.into_iter().flat_map(|(old, new)| [old, new]).flatten()
}

/// Reads what is small enough; what is not is judged by its hunks.
fn read(
    store: &ObjectStore,
    wanted: &[Oid],
    sizes: &HashMap<Oid, u64>,
) -> Result<HashMap<Oid, Vec<u8>>, Problem> {
    let mut left = MOST_IN_ALL;
    let mut small = Vec::new();
    for id in wanted {
        let size = sizes.get(id).copied();
        if let Some(size) = size.filter(|size| *size <= MOST_OF_A_FILE && *size <= left) {
            left -= size;
            small.push(id.clone());
        }
    }
    let contents = store.blobs(&small)?;
    Ok(small.into_iter().zip(contents).collect())
}

/// Folders on the way to a written file that are links in the checkout, tracked or not.
fn on_the_way(input: &ScanInput<'_>, root: &Path) -> Vec<Named> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut found = Vec::new();
    for file in input.files.iter().filter(|file| file.op != Op::Delete) {
        let path = file.section.path();
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let link = folders
            .filter_map(|(at, _)| path.get(..at))
            .find(|folder| root.join(OsStr::from_bytes(folder)).is_symlink());
        if let Some(link) = link {
            found.push((path.to_vec(), link.to_vec()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(start: usize, end: usize) -> String {
        (start..end)
            .map(|number| format!("line {number} of a file\n"))
            .collect()
    }

    #[test]
    fn half_of_what_a_text_says_is_a_copy_of_it() {
        let texts = [lines(0, 10), lines(5, 40), "x\n".repeat(100), String::new()];
        let texts: Vec<_> = texts
            .into_iter()
            .map(|text| Some(text.into_bytes()))
            .collect();
        let texts: Vec<_> = texts.into_iter().chain([None]).collect();
        let said = Said::by(&texts);
        let copied = |file: &str| said.copied_by(file.as_bytes()).collect::<Vec<_>>();
        assert_eq!(copied(&lines(0, 6)), [0]);
        assert_eq!(copied(&format!("more\n  {}", lines(3, 30))), [0, 1]);
        assert_eq!(copied(&lines(0, 2)), [0_usize; 0]);
        assert_eq!(copied(&"x\n".repeat(100)), [0_usize; 0]);
        // However much the texts say, a file costs what it says itself: read anew for each, this would take hours.
        let much = [Some(lines(0, 200_000).into_bytes())];
        let said = Said::by(&much);
        assert!((0..50_000).all(|_| said.copied_by(b"line 7 of a file").next().is_none()));
        // A line that a text has often counts as often.
        let often = [Some(b"the same line again\n".repeat(9).to_vec())];
        let said = Said::by(&often);
        assert_eq!(
            said.copied_by(b"the same line again").collect::<Vec<_>>(),
            [0]
        );
    }
}
