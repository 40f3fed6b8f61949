//! Other names of files: the links of the base, from link to link, and those of the folders on the way.

use std::collections::HashMap;

/// So many other names of one file are asked for; links that lead round have no end of them.
const MOST_NAMES: usize = 64;

/// The links of the base by where they lead.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_target: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Links {
    /// Of links, each with what it holds.
    pub(crate) fn of(links: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut by_target: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        for (link, held) in links {
            let target = target_of(&link, &held);
            // Through a link to the root every file would have a second name.
            if !target.is_empty() {
                by_target.entry(target).or_default().push(link);
            }
        }
        Self { by_target }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// Every other name of a path, the nearest first.
    pub(crate) fn names_of(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut names = vec![path.to_vec()];
        let mut at = 0;
        while let Some(name) = names.get(at).filter(|_| !self.is_empty()).cloned() {
            at += 1;
            let folders = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let ends = folders.map(|(end, _)| end).chain([name.len()]);
            for (head, tail) in ends.filter_map(|end| name.split_at_checked(end)) {
                for link in self.by_target.get(head).into_iter().flatten() {
                    let other = [link, tail].concat();
                    if names.len() <= MOST_NAMES && !names.contains(&other) {
                        names.push(other);
                    }
                }
            }
        }
        names.split_off(1)
    }
}

/// Where a link leads, from the root; links that leave it are found elsewhere.
fn target_of(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = link.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_names_of_all_links_that_lead_to_it() {
        let names = |links: &[(&str, &str)], path: &str| {
            let links = links.iter();
            let links = links.map(|(link, to)| (link.as_bytes().to_vec(), to.as_bytes().to_vec()));
            let names = Links::of(links).names_of(path.as_bytes());
            let names = names
                .into_iter()
                .map(|name| String::from_utf8(name).unwrap());
            names.collect::<Vec<_>>().join(" ")
        };
        let guide = [("CLAUDE.md", "guide.md"), ("guide.md", "docs/real.md")];
        assert_eq!(names(&guide, "docs/real.md"), "guide.md CLAUDE.md");
        assert_eq!(names(&guide, "docs/other.md"), "");
        let folder = [("more", "tools"), ("a/run.sh", "../more/x.sh")];
        assert_eq!(names(&folder, "tools/x.sh"), "more/x.sh a/run.sh");
        assert_eq!(names(&[("self", "."), ("a/up", "..")], "x.sh"), "");
        let round = names(&[("a/b", "../a")], "a/x");
        assert_eq!(round.split(' ').count(), MOST_NAMES);
    }
}
