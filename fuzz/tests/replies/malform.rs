//! The ways in which models get a diff wrong, each as a function on a diff that git wrote.

use crate::common::Random;

/// One way to get a diff wrong.
pub(crate) type Malform = fn(&mut Random, &str) -> String;

/// Every way, with a name for the failing test.
pub(crate) const ALL: [(&str, Malform); 30] = [
    ("none", |_, diff| diff.to_owned()),
    ("framed", |_, diff| framed(diff)),
    ("start", |random, diff| {
        headers(diff, |head| shifted(random, head))
    }),
    ("count too large", |random, diff| {
        framed(&headers(diff, |head| counted(random, head, 3, 1)))
    }),
    ("count too small", |random, diff| {
        framed(&headers(diff, |head| counted(random, head, 3, -1)))
    }),
    ("count wrong in the open", |random, diff| {
        headers(diff, |head| counted(random, head, 3, 1))
    }),
    ("no git headers", |_, diff| without(diff, is_extended)),
    ("bare hunk heads", |_, diff| {
        headers(diff, |_| "@@".to_owned())
    }),
    ("dotted hunk heads", |_, diff| {
        headers(diff, |_| "@@ ... @@".to_owned())
    }),
    ("named hunk heads", |_, diff| {
        headers(diff, |_| "@@ fn main".to_owned())
    }),
    ("fence", |_, diff| {
        let diff = ended(diff);
        format!("```diff\n{diff}```\n")
    }),
    ("fence and prose", |_, diff| {
        let diff = ended(diff);
        format!("Here you are:\n\n```diff\n{diff}```\n\nIt:\n- works\n")
    }),
    ("prose", |_, diff| {
        let diff = ended(diff);
        format!("Here you are:\n\n{diff}\nThat is it, and it works.\n")
    }),
    ("bullet", |_, diff| {
        let diff = ended(diff);
        format!("{diff}- handles the new case as well\n- and the old one\n")
    }),
    ("blank-led line", |_, diff| {
        let diff = ended(diff);
        format!("{diff} This handles the new case as well.\n")
    }),
    ("no prefixes", |_, diff| bare_names(diff)),
    ("no prefixes, no headers", |_, diff| {
        without(&bare_names(diff), is_extended)
    }),
    ("times", |_, diff| {
        names(diff, |line| format!("{line}\t2026-02-08 09:00:00 +0000"))
    }),
    ("no last line feed", |_, diff| {
        diff.trim_end_matches('\n').to_owned()
    }),
    ("CR LF", |_, diff| diff.replace('\n', "\r\n")),
    ("blank context lost", |_, diff| {
        diff.replace("\n \n", "\n\n")
    }),
    ("context cut off", |random, diff| {
        some(random, diff, ' ', |_| None)
    }),
    ("blank context dropped", |_, diff| {
        without(diff, |line| line == " ")
    }),
    ("comment dropped", |_, diff| {
        without(diff, |line| {
            line.trim_start().starts_with("//") && line.starts_with(' ')
        })
    }),
    ("outdented", |_, diff| outdented(diff)),
    ("blanks behind context", |random, diff| {
        some(random, diff, ' ', |line| Some(format!("{line}  ")))
    }),
    ("no context", |_, diff| {
        without(diff, |line| line.starts_with(' '))
    }),
    ("no end markers", |_, diff| {
        without(diff, |line| line.starts_with('\\'))
    }),
    ("thinking", |_, diff| {
        format!("<think>\nIt says:\n{diff}</think>\n{diff}")
    }),
    ("cut", |random, diff| cut(random, diff)),
];

/// With its last line ended, so that what follows is no part of it.
fn ended(diff: &str) -> String {
    let end = if diff.ends_with('\n') { "" } else { "\n" };
    format!("{diff}{end}")
}

fn framed(diff: &str) -> String {
    let diff = ended(diff);
    format!("---BEGIN_PATCH---\n{diff}---END_PATCH---\n---BEGIN_NOTES---\n- x\n---END_NOTES---\n")
}

/// Changes or drops lines; a line of content is known by its first byte.
fn lines(diff: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    let changed = diff.split_inclusive('\n').filter_map(|line| {
        let text = line.strip_suffix('\n').unwrap_or(line);
        change(text).map(|changed| format!("{changed}\n"))
    });
    changed.collect()
}

fn without(diff: &str, is_dropped: impl Fn(&str) -> bool) -> String {
    lines(diff, |line| (!is_dropped(line)).then(|| line.to_owned()))
}

fn headers(diff: &str, mut change: impl FnMut(&str) -> String) -> String {
    lines(diff, |line| match line.starts_with("@@ -") {
        true => Some(change(line)),
        false => Some(line.to_owned()),
    })
}

/// Changes some of the lines that start with a marker.
fn some(
    random: &mut Random,
    diff: &str,
    marker: char,
    change: impl Fn(&str) -> Option<String>,
) -> String {
    lines(diff, |line| {
        match line.starts_with(marker) && random.below(4) == 0 {
            true => change(line),
            false => Some(line.to_owned()),
        }
    })
}

fn is_extended(line: &str) -> bool {
    ["diff --git ", "index ", "new file mode "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Takes four blanks off every line of the hunks that have as many everywhere.
fn outdented(diff: &str) -> String {
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    for line in diff.split_inclusive('\n') {
        if line.starts_with("@@ -") || line.starts_with("diff --git ") {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(line);
    }
    let shift = |part: Vec<&str>| -> String {
        let is_deep = |line: &&str| line[1..].starts_with("    ") || line[1..].trim().is_empty();
        let is_hunk = part.first().is_some_and(|head| head.starts_with("@@ -"));
        if !is_hunk || !part.iter().skip(1).all(is_deep) {
            return part.concat();
        }
        let body = part
            .iter()
            .skip(1)
            .map(|line| match line[1..].strip_prefix("    ") {
                Some(rest) => format!("{}{rest}", &line[..1]),
                None => (*line).to_owned(),
            });
        part.iter()
            .take(1)
            .map(|head| (*head).to_owned())
            .chain(body)
            .collect()
    };
    parts.into_iter().map(shift).collect()
}

/// Changes the two name lines of each section. Only there do they follow an `index` line.
fn names(diff: &str, change: impl Fn(&str) -> String) -> String {
    let mut left = 0;
    lines(diff, |line| {
        if line.starts_with("index ") {
            left = 2;
            return Some(line.to_owned());
        }
        let is_name = left > 0;
        left -= i32::from(is_name);
        Some(if is_name && !line.ends_with("/dev/null") {
            change(line)
        } else {
            line.to_owned()
        })
    })
}

fn bare_names(diff: &str) -> String {
    let named = names(diff, |line| {
        line.replacen(" a/", " ", 1).replacen(" b/", " ", 1)
    });
    lines(&named, |line| match line.strip_prefix("diff --git a/") {
        Some(rest) => Some(format!("diff --git {}", rest.replacen(" b/", " ", 1))),
        None => Some(line.to_owned()),
    })
}

/// The four numbers of a hunk's header, and what stands behind them.
fn numbers(head: &str) -> ([i64; 4], &str) {
    let (ranges, rest) = head[4..].split_once(" @@").unwrap();
    let (old, new) = ranges.split_once(" +").unwrap();
    let range = |text: &str| -> [i64; 2] {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        [start.parse().unwrap(), count.parse().unwrap()]
    };
    let ([a, b], [c, d]) = (range(old), range(new));
    ([a, b, c, d], rest)
}

fn shifted(random: &mut Random, head: &str) -> String {
    let ([a, b, c, d], rest) = numbers(head);
    let by = random.below(50) as i64;
    format!(
        "@@ -{},{b} +{},{d} @@{rest}",
        (a + by - 10).max(0),
        (c + by - 20).max(0)
    )
}

fn counted(random: &mut Random, head: &str, most: usize, sign: i64) -> String {
    let ([a, b, c, d], rest) = numbers(head);
    let mut by = || sign * (random.below(most) as i64 + 1);
    format!(
        "@@ -{a},{} +{c},{} @@{rest}",
        (b + by()).max(0),
        (d + by()).max(0)
    )
}

/// Cuts between two lines of a hunk. Behind its last line nobody can see that more were to come.
fn cut(random: &mut Random, diff: &str) -> String {
    let mut ends = Vec::new();
    let mut offset = 0;
    let mut left = [0, 0];
    for line in diff.split_inclusive('\n') {
        match line.as_bytes().first() {
            Some(b'@') => {
                let ([_, old, _, new], _) = numbers(line.trim_end());
                left = [old, new];
            }
            Some(b' ') if left != [0, 0] => left = [left[0] - 1, left[1] - 1],
            Some(b'-') if left != [0, 0] => left[0] -= 1,
            Some(b'+') if left != [0, 0] => left[1] -= 1,
            _ => {}
        }
        offset += line.len();
        if left != [0, 0] {
            ends.push(offset);
        }
    }
    match ends.is_empty() {
        true => framed(diff)[..30.min(diff.len())].to_owned(),
        false => diff[..*random.pick(&ends)].to_owned(),
    }
}

/// Replies to start from, with the byte that chooses their form.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let diff = "diff --git a/src/g.py b/src/g.py\nindex 1111111..2222222 100644\n--- a/src/g.py\n+++ b/src/g.py\n@@ -5,7 +5,7 @@ def one():\n \n # two\n def two():\n-    return 2\n+    return 22\n \n def three():\n     return 3\n";
    let blocks = "src/g.py\n<<<<<<< SEARCH\ndef two():\n    return 2\n=======\ndef two():\n    return 22\n>>>>>>> REPLACE\n";
    let whole = "src/open.txt\n````\na\nx\nc\n````\n\nsrc/dos.txt\n```\na\nc\n```\n";
    let dos = "--- a/src/dos.txt\n+++ b/src/dos.txt\n@@ -1,3 +1,3 @@\n a\r\n-b\r\n+x\r\n c\r\n";
    let mut random = Random(1);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (choice, text) in [(2, diff), (2, dos), (1, blocks), (0, whole)] {
        for flags in [0, 0x40, 0x20] {
            seeds.push([&[choice | flags][..], text.as_bytes()].concat());
        }
    }
    // The first byte, by its remainder of three, says the form.
    for (_, malform) in ALL {
        seeds.push([b"\x02", malform(&mut random, diff).as_bytes()].concat());
        seeds.push([b"\x44", malform(&mut random, diff).as_bytes()].concat());
    }
    seeds
}
