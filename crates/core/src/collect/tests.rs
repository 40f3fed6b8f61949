use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode};

use super::*;

const CAPS: Caps = Caps {
    file_bytes: 1000,
    files: 8,
    total_bytes: 2000,
};

/// A tree as a gate may leave it, and a folder beside it that it must not lead to.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(tree.root()).unwrap();
        std::fs::create_dir(tree.0.path().join("outside")).unwrap();
        std::fs::write(tree.outside(), "secret").unwrap();
        tree
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("tree")
    }

    fn outside(&self) -> PathBuf {
        self.0.path().join("outside/a.xml")
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn collect(&self, patterns: &[&str]) -> Vec<(String, Result<Vec<u8>, Refusal>)> {
        self.watched(patterns, |_, _| {})
    }

    fn watched(
        &self,
        patterns: &[&str],
        watch: impl FnMut(Moment, &str),
    ) -> Vec<(String, Result<Vec<u8>, Refusal>)> {
        pairs(collect_watched(&self.root(), &parsed(patterns), &CAPS, watch).unwrap())
    }

    /// Demands that one pattern finds one path, and why it was refused.
    fn refuses(&self, pattern: &str, path: &str, why: Refusal) {
        assert_eq!(self.collect(&[pattern]), [(path.to_owned(), Err(why))]);
    }
}

fn parsed(patterns: &[&str]) -> Vec<Pattern> {
    let patterns = patterns.iter();
    patterns.map(|text| Pattern::parse(text).unwrap()).collect()
}

fn pairs(found: Vec<Collected>) -> Vec<(String, Result<Vec<u8>, Refusal>)> {
    found
        .into_iter()
        .map(|one| (one.path, one.content))
        .collect()
}

fn taken(path: &str, bytes: &[u8]) -> (String, Result<Vec<u8>, Refusal>) {
    (path.to_owned(), Ok(bytes.to_vec()))
}

#[test]
fn named_and_matched_files_come_sorted_and_once() {
    let tree = Tree::new();
    tree.write("out/b.xml", b"2");
    tree.write("out/a.xml", b"1");
    tree.write("out/deep/c.xml", b"3");
    tree.write("out/a.txt", b"no");
    let found = tree.collect(&["out/*/c.xml", "out/b.xml", "out/[ab].xml", "out/{a,z}.xml"]);
    let expected = [
        taken("out/a.xml", b"1"),
        taken("out/b.xml", b"2"),
        taken("out/deep/c.xml", b"3"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_not_there_is_said() {
    let tree = Tree::new();
    tree.write("a", b"");
    tree.refuses("b", "b", Refusal::Missing);
    tree.refuses("no/*.xml", "no/*.xml", Refusal::Missing);
    tree.refuses("*.xml", "*.xml", Refusal::Missing);
    tree.refuses("a/b", "a/b", Refusal::Missing);
    assert!(collect(&tree.root().join("no"), &[], &CAPS).is_err());
}

#[test]
fn patterns_that_could_lead_out_are_refused() {
    for text in [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "**/a",
        "a\nb",
        "[a",
        "a\u{202e}b",
    ] {
        let problem = Pattern::parse(text).unwrap_err();
        assert_eq!(problem.code, "COLLECT_PATTERN", "{text:?}");
    }
    assert!(Pattern::parse(&format!("{}a", "a/".repeat(40))).is_err());
}

#[test]
fn links_lead_nowhere() {
    let tree = Tree::new();
    tree.write("real/a.xml", b"1");
    symlink(tree.outside(), tree.root().join("a.xml")).unwrap();
    symlink("real/a.xml", tree.root().join("inner.xml")).unwrap();
    symlink(tree.0.path().join("outside"), tree.root().join("dir")).unwrap();
    symlink("nowhere", tree.root().join("dangling")).unwrap();
    symlink("/proc/self/root", tree.root().join("magic")).unwrap();
    for (pattern, path) in [
        ("a.xml", "a.xml"),
        ("inner.xml", "inner.xml"),
        ("dir/a.xml", "dir/a.xml"),
        ("d?r/*.xml", "dir/*.xml"),
        ("dangling", "dangling"),
        ("magic/etc/passwd", "magic/etc/passwd"),
    ] {
        tree.refuses(pattern, path, Refusal::Link);
    }
    // The root itself may be no link either.
    let link = tree.0.path().join("link");
    symlink(tree.root(), &link).unwrap();
    assert!(collect(&link, &parsed(&["real/a.xml"]), &CAPS).is_err());
}

#[test]
fn other_kinds_are_not_opened() {
    let tree = Tree::new();
    let mode = Mode::from_raw_mode(0o600);
    // Nobody writes to the pipe: opening it the plain way would wait for ever.
    rustix::fs::mknodat(CWD, tree.root().join("pipe"), FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.root().join("sock")).unwrap();
    std::fs::create_dir(tree.root().join("dir")).unwrap();
    tree.refuses("pipe", "pipe", Refusal::Kind("a pipe"));
    tree.refuses("soc?", "sock", Refusal::Kind("a socket"));
    tree.refuses("dir", "dir", Refusal::Kind("a folder"));
    tree.refuses("pipe/x", "pipe/x", Refusal::Missing);
    let found = pairs(collect(Path::new("/dev"), &parsed(&["null"]), &CAPS).unwrap());
    assert_eq!(found, [("null".to_owned(), Err(Refusal::Kind("a device")))]);
}

#[test]
fn a_pipe_put_in_the_place_of_a_file_does_not_block() {
    let tree = Tree::new();
    let path = tree.write("a.xml", b"1");
    let found = tree.watched(&["a.xml"], |moment, _| {
        if moment == Moment::Opening {
            std::fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }
    });
    assert_eq!(found, [("a.xml".to_owned(), Err(Refusal::Changed))]);
}

#[test]
fn a_second_name_of_a_file_outside_is_refused() {
    let tree = Tree::new();
    std::fs::hard_link(tree.outside(), tree.root().join("a.xml")).unwrap();
    tree.refuses("a.xml", "a.xml", Refusal::HardLinked);
    let path = tree.write("b.xml", b"1");
    let outside = tree.0.path().join("outside/b");
    let found = tree.watched(&["b.xml"], |moment, _| {
        if moment == Moment::Reading {
            std::fs::hard_link(&path, &outside).unwrap();
        }
    });
    assert_eq!(found, [("b.xml".to_owned(), Err(Refusal::Changed))]);
}

#[test]
fn large_and_sparse_files_are_not_read() {
    let tree = Tree::new();
    let sparse = File::create(tree.root().join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    tree.refuses("sparse", "sparse", Refusal::TooLarge(1 << 40));
    tree.write("just", &[b'x'; 1000]);
    tree.write("over", &[b'x'; 1001]);
    assert_eq!(tree.collect(&["just"]), [taken("just", &[b'x'; 1000])]);
    tree.refuses("over", "over", Refusal::TooLarge(1001));
}

#[test]
fn all_files_together_have_a_limit() {
    let tree = Tree::new();
    for name in ["1", "2", "3", "4"] {
        tree.write(name, &[b'x'; 900]);
    }
    let found = tree.collect(&["?"]);
    let refused: Vec<_> = found.iter().map(|(_, content)| content.is_err()).collect();
    assert_eq!(refused, [false, false, true, true]);
    assert_eq!(found[2].1, Err(Refusal::OverTotal));
}

#[test]
fn too_many_files_are_cut_and_the_cut_is_said() {
    let tree = Tree::new();
    for number in 10..60 {
        tree.write(&format!("{number}.xml"), b"x");
    }
    let found = tree.collect(&["*.xml", "nothing"]);
    assert_eq!(found.len(), CAPS.files + 1);
    assert_eq!(found[7], taken("17.xml", b"x"));
    assert_eq!(found[8], ("18.xml".to_owned(), Err(Refusal::TooManyFiles)));
}

#[test]
fn a_folder_of_a_hundred_thousand_entries_is_not_searched() {
    let tree = Tree::new();
    for number in 0..100_000 {
        File::create(tree.root().join(format!("{number}.xml"))).unwrap();
    }
    tree.refuses("*.xml", "*.xml", Refusal::TooManyEntries);
    tree.refuses("*/a.xml", "*", Refusal::TooManyEntries);
    // A file that is named is found without a search.
    assert_eq!(tree.collect(&["99999.xml"]), [taken("99999.xml", b"")]);
}

#[test]
fn names_that_do_not_show_are_escaped_and_not_taken() {
    let tree = Tree::new();
    for name in [
        &b"a\n::error::x.xml"[..],
        b"b\x1b[2J.xml",
        b"c\xff.xml",
        "d\u{202e}lmx.xml".as_bytes(),
        b"e\\u{a}.xml",
    ] {
        std::fs::write(tree.root().join(OsStr::from_bytes(name)), "x").unwrap();
    }
    let found = tree.collect(&["*.xml"]);
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "a\\n::error::x.xml",
        "b\\u{1b}[2J.xml",
        "c\\xff.xml",
        "d\\u{202e}lmx.xml",
        "e\\u{a}.xml",
    ];
    assert_eq!(paths, expected);
    assert!(
        found
            .iter()
            .all(|(_, content)| *content == Err(Refusal::Name))
    );
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_refused() {
    let tree = Tree::new();
    let path = tree.write("a.xml", b"12345");
    for bytes in [&b"123456"[..], b"1234", b"", &[b'x'; 100_000]] {
        std::fs::write(&path, "12345").unwrap();
        let found = tree.watched(&["a.xml"], |moment, _| {
            if moment == Moment::Reading {
                std::fs::write(&path, bytes).unwrap();
            }
        });
        assert_eq!(
            found,
            [("a.xml".to_owned(), Err(Refusal::Changed))],
            "{}",
            bytes.len()
        );
    }
}

#[test]
fn a_file_exchanged_after_the_look_is_refused() {
    let tree = Tree::new();
    let path = tree.write("a.xml", b"12345");
    let swap: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(&path).unwrap(),
        &|| {
            std::fs::remove_file(&path).unwrap();
            symlink(tree.outside(), &path).unwrap();
        },
        &|| {
            std::fs::remove_file(&path).unwrap();
            std::fs::hard_link(tree.outside(), &path).unwrap();
        },
    ];
    for swap in swap {
        let _ = std::fs::remove_file(&path);
        tree.write("a.xml", b"12345");
        let found = tree.watched(&["*.xml"], |moment, _| {
            if moment == Moment::Opening {
                swap();
            }
        });
        assert_eq!(found, [("a.xml".to_owned(), Err(Refusal::Changed))]);
    }
}

#[test]
fn a_folder_swapped_during_the_walk_leads_nowhere() {
    let tree = Tree::new();
    tree.write("dir/a.xml", b"inner");
    let dir = tree.root().join("dir");
    let aside = tree.root().join("aside");
    let swap = || {
        std::fs::rename(&dir, &aside).unwrap();
        symlink(tree.0.path().join("outside"), &dir).unwrap();
    };
    // Before it is entered: the link is seen.
    let found = tree.watched(&["*/a.xml"], |moment, path| {
        if moment == Moment::Entering && path == "dir" {
            swap();
        }
    });
    assert_eq!(found, [("dir/a.xml".to_owned(), Err(Refusal::Changed))]);
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&aside, &dir).unwrap();
    // After it was entered: the folder that was opened is the one that is read.
    let found = tree.watched(&["dir/*.xml"], |moment, _| {
        if moment == Moment::Opening {
            swap();
        }
    });
    assert_eq!(found, [taken("dir/a.xml", b"inner")]);
}

#[cfg(target_os = "linux")]
#[test]
fn other_file_systems_are_not_entered() {
    let found = collect(Path::new("/"), &parsed(&["proc/version"]), &CAPS).unwrap();
    let expected = ("proc/version".to_owned(), Err(Refusal::OtherFileSystem));
    assert_eq!(pairs(found), [expected]);
}
