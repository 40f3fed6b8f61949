//! Line-level mutations of real patches, the same on every run.

use super::{Files, Random, Repo, base, cases};

/// Lines that a hostile patch would slip in.
const HOSTILE: [&[u8]; 42] = [
    b"diff --git a/x b/x",
    b"diff --git a/x b/y",
    b"diff --git a/run.sh b/run.sh",
    b"old mode 100644",
    b"new mode 100755",
    b"old mode 100755",
    b"new mode 100644",
    b"new file mode 100644",
    b"new file mode 100755",
    b"new file mode 120000",
    b"deleted file mode 100644",
    b"similarity index 100%",
    b"rename from x",
    b"rename to z",
    b"copy from x",
    b"copy to z",
    b"rename old y",
    b"rename new z",
    b"index 0000000000000000000000000000000000000000..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    b"index 1234567..89abcde 100644",
    b"index 1234567..89abcde",
    b"--- a/x",
    b"+++ b/x",
    b"--- a/y",
    b"+++ b/y",
    b"--- /dev/null",
    b"+++ /dev/null",
    b"--- x",
    b"+++ x",
    b"@@ -1 +1 @@",
    b"@@ -0,0 +1 @@",
    b"@@ -1,3 +1,4 @@",
    b"\\ No newline at end of file",
    b"+\n\\ No newline at end of file",
    b"-\n\\ No newline at end of file",
    b"GIT binary patch",
    b"Binary files a/x and b/x differ",
    b"-- ",
    b"",
    b" ",
    b"+added",
    b"-line 1 of some text",
];

/// The patches to start from: every case alone, and pairs of cases that do not collide.
pub(crate) fn seeds(repo: &Repo, old: &str) -> Vec<Vec<u8>> {
    let cases = cases();
    let mut seeds = Vec::new();
    let mut add = |files: &Files| {
        let new = repo.tree(files);
        seeds.push(repo.diff(
            old,
            &new,
            &[],
            &["--binary", "--full-index", "--no-renames"],
        ));
        seeds.push(repo.diff(old, &new, &[], &["--binary", "--full-index", "-M"]));
    };
    for (index, (_, edit)) in cases.iter().enumerate() {
        let mut files = base();
        edit(&mut files);
        add(&files);
        if let Some((_, other)) = cases.get(index + 9).filter(|_| index % 2 == 0) {
            other(&mut files);
            add(&files);
        }
    }
    seeds.retain(|seed| !seed.is_empty());
    seeds
}

/// Applies one to three random mutations to a patch.
pub(crate) fn mutate(random: &mut Random, seed: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = seed
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    for _ in 0..=random.below(3) {
        let at = random.below(lines.len());
        match random.below(11) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = random.below(lines.len());
                lines.swap(at, other);
            }
            3 => lines.insert(at, random.pick(&HOSTILE).to_vec()),
            4 => lines[at] = random.pick(&HOSTILE).to_vec(),
            5 => change_byte(random, &mut lines[at]),
            6 => change_digit(random, &mut lines[at]),
            7 => lines.truncate(at + 1),
            8 => swap_marker(random, &mut lines[at]),
            9 => {
                let other = random.pick(seeds);
                let section: Vec<Vec<u8>> = other
                    .split(|byte| *byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect();
                lines.splice(at..at, section);
            }
            _ => {
                // Moves a block, such as a whole section or half a hunk.
                let end = (at + 1 + random.below(12)).min(lines.len());
                let block: Vec<Vec<u8>> = lines.drain(at..end).collect();
                let to = random.below(lines.len() + 1);
                lines.splice(to..to, block);
            }
        }
        if lines.is_empty() {
            lines.push(Vec::new());
        }
    }
    lines.join(&b'\n')
}

fn change_byte(random: &mut Random, line: &mut Vec<u8>) {
    let at = random.below(line.len() + 1);
    let byte = *random.pick(b"+- \\ab/.\t\r\"0179xyz\0\x7f\xff@");
    match (random.below(3), line.get_mut(at)) {
        (0, Some(old)) => *old = byte,
        (1, Some(_)) => drop(line.remove(at)),
        _ => line.insert(at, byte),
    }
}

fn change_digit(random: &mut Random, line: &mut [u8]) {
    let digits: Vec<usize> = (0..line.len())
        .filter(|at| line[*at].is_ascii_digit())
        .collect();
    if !digits.is_empty() {
        line[*random.pick(&digits)] = b'0' + random.below(10) as u8;
    }
}

fn swap_marker(random: &mut Random, line: &mut Vec<u8>) {
    let marker = *random.pick(b"+- ");
    match line.first_mut() {
        Some(first) => *first = marker,
        None => line.push(marker),
    }
}
