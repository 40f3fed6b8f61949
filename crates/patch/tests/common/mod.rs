//! Real git in a temporary folder, cut off from every configuration of the machine.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub(crate) mod findings;
pub(crate) mod forms;
pub(crate) mod mutate;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A tree as a map from path to (mode, content); a submodule's content is its commit id.
pub(crate) type Files = BTreeMap<Vec<u8>, (&'static str, Vec<u8>)>;

/// A repository in a folder of its own, so that there is an outside to escape to.
pub(crate) struct Repo {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        std::fs::create_dir(&root).unwrap();
        let repo = Repo { folder, root };
        repo.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The folder around the repository.
    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// Runs git with `stdin` on the index file `index`, whatever comes of it.
    pub(crate) fn run(&self, args: &[&str], stdin: &[u8], index: &Path) -> Output {
        let mut child = Command::new("git")
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_INDEX_FILE", index)
            .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                [
                    (format!("GIT_{who}_NAME"), "N"),
                    (format!("GIT_{who}_EMAIL"), "n@example.org"),
                    // The same commits on every run, and so the same mails.
                    (format!("GIT_{who}_DATE"), "@1700000000 +0000"),
                ]
            }))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git must be installed");
        // git may stop reading early; what counts is its exit status.
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        let writer = std::thread::spawn(move || drop(input.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs git, which must succeed, and returns its output.
    pub(crate) fn git(&self, args: &[&str]) -> Vec<u8> {
        self.git_with(args, b"")
    }

    pub(crate) fn git_with(&self, args: &[&str], stdin: &[u8]) -> Vec<u8> {
        let output = self.run(args, stdin, &self.index("scratch"));
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub(crate) fn index(&self, name: &str) -> PathBuf {
        self.path().join(format!(".git/{name}.index"))
    }

    /// Writes a tree without a worktree and returns its id.
    pub(crate) fn tree(&self, files: &Files) -> String {
        let mut entries = Vec::new();
        for (path, (mode, content)) in files {
            let id = match *mode {
                "160000" => content.clone(),
                _ => self.git_with(&["hash-object", "-w", "--stdin"], content),
            };
            let id = String::from_utf8(id).unwrap();
            entries.extend_from_slice(format!("{mode} {}\t", id.trim()).as_bytes());
            entries.extend_from_slice(path);
            entries.push(0);
        }
        drop(std::fs::remove_file(self.index("scratch")));
        self.git_with(&["update-index", "-z", "--index-info"], &entries);
        String::from_utf8(self.git(&["write-tree"]))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Returns the patch from one tree to another, written with these configuration settings
    /// and options.
    pub(crate) fn diff(
        &self,
        old: &str,
        new: &str,
        settings: &[&str],
        options: &[&str],
    ) -> Vec<u8> {
        let mut args: Vec<&str> = settings
            .iter()
            .flat_map(|setting| ["-c", setting])
            .collect();
        args.extend(["diff", "--no-color", "--no-ext-diff"]);
        args.extend(options);
        args.extend([old, new]);
        self.git(&args)
    }

    pub(crate) fn raw(&self, old: &str, new: &str) -> Vec<u8> {
        self.git(&[
            "diff-tree",
            "-r",
            "--raw",
            "-z",
            "--no-renames",
            "--no-abbrev",
            old,
            new,
        ])
    }

    /// Prepares an index that holds `tree`, to start each application from.
    pub(crate) fn prepare(&self, tree: &str) {
        drop(std::fs::remove_file(self.index("base")));
        let output = self.run(&["read-tree", tree], b"", &self.index("base"));
        assert!(output.status.success());
    }

    /// Applies `patch` to a copy of the prepared index; returns the raw difference to `tree`
    /// if git takes the patch.
    pub(crate) fn apply(&self, tree: &str, patch: &[u8]) -> Result<Vec<u8>, String> {
        let index = self.index("apply");
        std::fs::copy(self.index("base"), &index).unwrap();
        let output = self.run(
            &["apply", "--cached", "--whitespace=nowarn", "-"],
            patch,
            &index,
        );
        drop(std::fs::remove_file(
            self.path().join(".git/apply.index.lock"),
        ));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let args = [
            "diff-index",
            "--cached",
            "--raw",
            "-z",
            "--no-renames",
            "--no-abbrev",
            tree,
        ];
        let raw = self.run(&args, b"", &index);
        assert!(raw.status.success());
        Ok(raw.stdout)
    }
}

/// A small generator of numbers with a fixed seed (xorshift64*), so that runs repeat.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Numbered lines of text.
pub(crate) fn text(lines: std::ops::Range<usize>) -> Vec<u8> {
    lines
        .map(|line| format!("line {line} of some text\n"))
        .collect::<String>()
        .into_bytes()
}

/// Bytes that git takes for binary and cannot compress much.
pub(crate) fn binary(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
    bytes.insert(0, 0);
    bytes
}

/// The tree that all cases of [`cases`] start from.
pub(crate) fn base() -> Files {
    let mut files = Files::new();
    let mut put =
        |path: &[u8], mode, content: Vec<u8>| files.insert(path.to_vec(), (mode, content));
    put(b"x", "100644", text(1..40));
    put(b"y", "100644", text(100..140));
    put(b"run.sh", "100755", b"#!/bin/sh\necho hello\n".to_vec());
    put(b"empty", "100644", Vec::new());
    put(b"no-newline", "100644", b"one\ntwo\nthree".to_vec());
    put(b"crlf", "100644", b"one\r\ntwo\r\nthree\r\n".to_vec());
    put(b"link", "120000", b"x".to_vec());
    put(
        b"sub",
        "160000",
        b"1111111111111111111111111111111111111111".to_vec(),
    );
    put(b"dir/deep/file", "100644", text(200..230));
    put(b"dir/other", "100644", text(1..10));
    put(b"image.bin", "100644", binary(7, 600));
    put(b"with blank", "100644", text(1..5));
    put(b"with\ttab \"and\" quote", "100644", text(1..6));
    put(b"non-utf8-\xff\xfe", "100644", text(1..7));
    put("caf\u{e9} \u{65e5}".as_bytes(), "100644", text(1..8));
    put(
        b"dashes",
        "100644",
        b"-- a\n++ b\n-- \n@@ -1 +1 @@\ndiff --git a/x b/x\n".to_vec(),
    );
    files
}

type Edit = fn(&mut Files);

/// Every kind of change that git can write, each as an edit of [`base`].
pub(crate) fn cases() -> Vec<(&'static str, Edit)> {
    fn set(files: &mut Files, path: &[u8], mode: &'static str, content: impl Into<Vec<u8>>) {
        files.insert(path.to_vec(), (mode, content.into()));
    }
    fn edit(files: &mut Files, path: &[u8], change: impl Fn(&mut Vec<u8>)) {
        // Of two edits together, the second may find its file gone or emptied.
        if let Some((_, content)) = files.get_mut(path).filter(|(_, content)| content.len() > 9) {
            change(content);
        }
    }
    fn chmod(files: &mut Files, path: &[u8], mode: &'static str) {
        if let Some(file) = files.get_mut(path) {
            file.0 = mode;
        }
    }
    fn rename(files: &mut Files, from: &[u8], to: &[u8]) {
        if let Some(file) = files.remove(from) {
            files.insert(to.to_vec(), file);
        }
    }
    vec![
        ("add", |f| set(f, b"new/file", "100644", text(1..20))),
        ("add executable", |f| {
            set(f, b"tool", "100755", "#!/bin/sh\n")
        }),
        ("add one line", |f| set(f, b"one", "100644", "only\n")),
        ("add without newline", |f| set(f, b"bare", "100644", "a\nb")),
        ("add empty", |f| set(f, b"hollow", "100644", "")),
        ("add quoted empty", |f| {
            set(f, b"\x01hollow \"q\"", "100644", "")
        }),
        ("delete", |f| drop(f.remove(&b"x"[..]))),
        ("delete empty", |f| drop(f.remove(&b"empty"[..]))),
        ("delete without newline", |f| {
            drop(f.remove(&b"no-newline"[..]))
        }),
        ("modify first line", |f| edit(f, b"x", |c| c[0] = b'L')),
        ("modify two places", |f| {
            edit(f, b"y", |c| {
                c[0] = b'L';
                c.extend_from_slice(b"end\n");
            });
        }),
        ("insert at top", |f| {
            edit(f, b"x", |c| drop(c.splice(0..0, *b"top\n")))
        }),
        ("fill empty", |f| set(f, b"empty", "100644", "full\n")),
        ("empty a file", |f| edit(f, b"dir/other", Vec::clear)),
        ("gain newline", |f| {
            edit(f, b"no-newline", |c| c.push(b'\n'))
        }),
        ("lose newline", |f| {
            edit(f, b"x", |c| c.truncate(c.len() - 1))
        }),
        ("keep no newline", |f| {
            edit(f, b"no-newline", |c| c[0] = b'O')
        }),
        ("change bare end", |f| {
            edit(f, b"no-newline", |c| c.extend_from_slice(b"!"))
        }),
        ("carriage returns", |f| {
            edit(f, b"crlf", |c| c.extend_from_slice(b"four\r\nfive\r"))
        }),
        ("mode only", |f| chmod(f, b"x", "100755")),
        ("mode and content", |f| {
            chmod(f, b"run.sh", "100644");
            edit(f, b"run.sh", |c| c.extend_from_slice(b"echo more\n"));
        }),
        ("mode only, blank in name", |f| {
            chmod(f, b"with blank", "100755")
        }),
        ("add link", |f| set(f, b"link2", "120000", "dir/other")),
        ("turn link", |f| set(f, b"link", "120000", "y")),
        ("file becomes link", |f| set(f, b"x", "120000", "y")),
        ("link becomes file", |f| set(f, b"link", "100644", "text\n")),
        ("file becomes submodule", |f| {
            set(
                f,
                b"y",
                "160000",
                "3333333333333333333333333333333333333333",
            )
        }),
        ("add submodule", |f| {
            set(
                f,
                b"sub2",
                "160000",
                "2222222222222222222222222222222222222222",
            )
        }),
        ("move submodule on", |f| {
            set(
                f,
                b"sub",
                "160000",
                "2222222222222222222222222222222222222222",
            )
        }),
        ("delete submodule", |f| drop(f.remove(&b"sub"[..]))),
        ("add binary", |f| {
            set(f, b"new.bin", "100644", binary(3, 300))
        }),
        ("add long binary", |f| {
            set(f, b"long.bin", "100755", binary(5, 5000))
        }),
        ("delete binary", |f| drop(f.remove(&b"image.bin"[..]))),
        ("replace binary", |f| {
            set(f, b"image.bin", "100644", binary(9, 40))
        }),
        ("text becomes binary", |f| {
            set(f, b"dir/other", "100644", binary(11, 50))
        }),
        ("awkward names", |f| {
            for name in [
                &b"with blank"[..],
                b"with\ttab \"and\" quote",
                b"non-utf8-\xff\xfe",
            ] {
                edit(f, name, |c| c.extend_from_slice(b"more\n"));
            }
            edit(f, "caf\u{e9} \u{65e5}".as_bytes(), |c| c.clear());
            set(f, b" b/x b/x", "100644", "odd\n");
            set(f, b"a b/c a", "100644", "");
        }),
        ("content like a diff", |f| {
            edit(f, b"dashes", |c| {
                drop(c.splice(5..5, *b"-- a/x\n++ b/x\n\\ x\n"))
            })
        }),
        ("remove content like a diff", |f| {
            edit(f, b"dashes", |c| drop(c.drain(..10)))
        }),
        ("rename", |f| rename(f, b"y", b"dir/y2")),
        ("rename and edit", |f| {
            rename(f, b"y", b"with blank 2");
            edit(f, b"with blank 2", |c| c.extend_from_slice(b"end\n"));
        }),
        ("rename awkward", |f| {
            rename(f, b"non-utf8-\xff\xfe", b"with \"q\"")
        }),
        ("rename executable and mode", |f| {
            rename(f, b"dir/deep/file", b"dir/deep/tool");
            chmod(f, b"dir/deep/tool", "100755");
        }),
        ("copy", |f| {
            set(f, b"y copy", "100644", text(100..140));
            edit(f, b"y", |c| c.extend_from_slice(b"end\n"));
        }),
        ("file becomes folder", |f| {
            f.remove(&b"x"[..]);
            set(f, b"x/inner", "100644", text(50..60));
        }),
    ]
}
