//! Ways to make a reviewer see another change than the one they approve, each with what they are
//! shown, and with the control that the raw text of the change holds the trick.

use std::path::Path;
use std::process::Command;

use baton_core::git::{ObjectStore, Oid, Repository};
use baton_core::policy::Policy;
use baton_patch::Limits;

mod places;

use super::{Settings, View, of};

const POLICY: &str = include_str!("../../../../ssot/POLICY.json");

/// A repository whose files are edited, and both trees.
struct Scene {
    folder: tempfile::TempDir,
    before: String,
}

impl Scene {
    /// The files before.
    fn new(edit: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self {
            folder,
            before: String::new(),
        };
        scene.git(&["init", "-q", "-b", "main"]);
        for (key, value) in [
            ("user.name", "x"),
            ("user.email", "x@x.example"),
            ("core.protectNTFS", "false"),
            ("core.protectHFS", "false"),
        ] {
            scene.git(&["config", key, value]);
        }
        edit(scene.folder.path());
        scene.before = scene.tree();
        scene
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {words}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn tree(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["write-tree"])
    }

    /// Takes the next edit, and shows it.
    fn then(&self, edit: impl FnOnce(&Path)) -> Shown {
        edit(self.folder.path());
        let after = self.tree();
        self.between(&after, 100, false)
    }

    fn between(&self, after: &str, width: usize, unfold: bool) -> Shown {
        let repository = Repository::open(self.folder.path()).unwrap();
        let (_kept, objects) = ObjectStore::temporary(&repository).unwrap();
        let policy = Policy::parse(POLICY.as_bytes()).unwrap();
        let trees = (
            Oid::parse(&self.before).unwrap(),
            Oid::parse(after).unwrap(),
        );
        let settings = Settings {
            policy: &policy,
            limits: Limits {
                allow_delta: true,
                ..Limits::default()
            },
            width,
            most: usize::MAX,
            unfold,
            mask: &|text| Ok(text.to_vec()),
        };
        let view = of(&objects, (&trees.0, &trees.1), &settings).unwrap();
        let raw = objects.patch_between(&trees.0, &trees.1).unwrap();
        let shown = Shown { view, raw };
        shown.is_sound(width);
        shown
    }
}

struct Shown {
    view: View,
    raw: Vec<u8>,
}

impl Shown {
    fn text(&self) -> String {
        self.view.lines.join("\n")
    }

    /// The content alone, its rows put together.
    fn content(&self) -> String {
        let rows = self.view.lines.iter().filter_map(|line| line.get(17..));
        rows.collect()
    }

    /// Demands that the person is shown this.
    fn shows(&self, expected: &str) -> &Self {
        assert!(
            self.text().contains(expected),
            "expected {expected:?} in\n{}",
            self.text()
        );
        self
    }

    fn hides(&self, unexpected: &str) -> &Self {
        assert!(
            !self.text().contains(unexpected),
            "{unexpected:?} in\n{}",
            self.text()
        );
        self
    }

    fn leaves_out(&self, expected: &str) -> &Self {
        let all = self.view.not_shown.join("\n");
        assert!(all.contains(expected), "expected {expected:?} in\n{all}");
        self
    }

    /// The control: the raw patch holds this.
    fn raw(&self, expected: &[u8]) -> &Self {
        let there = self
            .raw
            .windows(expected.len())
            .any(|part| part == expected);
        assert!(
            there,
            "{:?} is not in the raw change",
            String::from_utf8_lossy(expected)
        );
        self
    }

    /// What holds of every view: nothing steers, nothing is wider than the terminal where content
    /// stands, and content never begins a line.
    fn is_sound(&self, width: usize) {
        for line in &self.view.lines {
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
            assert_eq!(*line, baton_core::terminal::visible_line(line));
            let own = ["== ", "! ", " "].iter().any(|word| line.starts_with(word));
            assert!(own || line.contains(" files, "), "{line:?}");
            let columns: usize = line.chars().map(super::glyphs::columns).sum();
            assert!(columns <= width, "{columns}: {line:?}");
        }
    }
}

fn write(path: &'static str, text: impl Into<Vec<u8>>) -> impl FnOnce(&Path) {
    let text = text.into();
    move |root: &Path| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// One file with one line, which becomes `text`.
fn line(text: &str) -> Shown {
    Scene::new(write("a.py", "x = 1\n")).then(write("a.py", format!("{text}\n")))
}

#[test]
fn trick_01_bidi_override_in_a_comment() {
    line("/* \u{202e} } if admin \u{2066} begin */")
        .shows("/* \\u{202e} } if admin \\u{2066} begin */")
        .raw("\u{202e}".as_bytes());
}

#[test]
fn trick_02_bidi_override_in_a_string() {
    line("if level != \"user\u{202e}nimda\":")
        .shows("\"user\\u{202e}nimda\"")
        .raw("\u{202e}nimda".as_bytes());
}

#[test]
fn trick_03_isolates() {
    line("a = '\u{2066}x\u{2069}'; b = '\u{2067}y\u{2068}'")
        .shows("'\\u{2066}x\\u{2069}'")
        .shows("\\u{2067}y\\u{2068}")
        .raw("\u{2069}".as_bytes());
}

#[test]
fn trick_04_zero_width_joiner_and_space_in_a_name() {
    line("is_\u{200b}admin = is\u{200d}_admin")
        .shows("is_\\u{200b}admin = is\\u{200d}_admin")
        .shows("! ")
        .raw("is_\u{200b}admin".as_bytes());
}

#[test]
fn trick_05_homoglyph_in_a_name() {
    let shown = line("if is_\u{430}dmin: p\u{251}ypal()");
    shown
        .shows("is_\\u{430}dmin")
        .shows("p\\u{251}ypal")
        .shows("1 LINES WITH CHARACTERS THAT HIDE")
        .raw("is_\u{430}dmin".as_bytes());
}

#[test]
fn trick_06_homoglyph_in_a_path() {
    let shown = Scene::new(write("src/app.py", "x\n")).then(write("src/\u{430}pp.py", "y\n"));
    shown
        .shows("\"src/\\u{430}pp.py\" new")
        .shows("UNUSUAL NAME")
        .hides("\u{430}");
}

#[test]
fn trick_07_bidi_override_in_a_path() {
    let shown = Scene::new(write("a", "x\n")).then(write("src/\u{202e}yp.exe", "y\n"));
    shown.shows("\"src/\\u{202e}yp.exe\"").shows("UNUSUAL NAME");
}

#[test]
fn trick_08_combining_marks() {
    line("pass\u{336}w\u{336}ord = o\u{301}k")
        .shows("pass\\u{336}w\\u{336}ord = o\\u{301}k")
        .raw("s\u{336}w".as_bytes());
}

#[test]
fn trick_09_clear_the_screen_and_go_up() {
    line("x\u{1b}[2J\u{1b}[H\u{1b}[5Aall is well")
        .shows("x\\u{1b}[2J\\u{1b}[H\\u{1b}[5Aall is well")
        .raw(b"\x1b[2J");
}

#[test]
fn trick_10_black_on_black() {
    line("\u{1b}[30;40mos.system('x')\u{9b}0m")
        .shows("\\u{1b}[30;40mos.system('x')\\u{9b}0m")
        .raw(b"\x1b[30;40m");
}

#[test]
fn trick_11_a_link_the_clipboard_and_the_title() {
    line("\u{1b}]8;;http://x\u{7}ok\u{1b}]8;;\u{7} \u{1b}]52;c;eA==\u{7} \u{1b}]0;t\u{7}")
        .shows("\\u{1b}]8;;http://x\\u{7}ok")
        .shows("\\u{1b}]52;c;eA==\\u{7}")
        .shows("\\u{1b}]0;t\\u{7}")
        .raw(b"\x1b]52;c;");
}

#[test]
fn trick_12_backspaces() {
    line("evil()\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}good()")
        .shows("evil()\\u{8}\\u{8}")
        .shows("good()")
        .raw(b"\x08good");
}

#[test]
fn trick_13_a_carriage_return_that_overwrites() {
    line("evil()\rgood()")
        .shows("evil()\\rgood()")
        .raw(b"evil()\rgood()");
}

#[test]
fn trick_14_a_line_so_long_that_the_code_is_off_the_screen() {
    let text = format!("x = 1 # {}evil()", "-".repeat(900));
    let shown = line(&text);
    assert!(shown.content().contains("evil()"), "{}", shown.text());
    shown.shows("the line above has 914 characters");
    let longest = shown
        .view
        .lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap();
    assert!(longest <= 110, "{longest}");
    let far = format!("x = 1{}evil()", " ".repeat(500));
    line(&far)
        .shows("x = 1[500 blanks]evil()")
        .raw(&[b' '; 400]);
    let beyond = format!("x = '{}'", "y".repeat(9_000));
    line(&beyond)
        .shows("MORE CHARACTERS OF THIS LINE ARE NOT SHOWN")
        .leaves_out("5006 characters of overlong lines");
}

#[test]
fn trick_15_hundreds_of_blank_lines() {
    let text = format!("x = 1\n{}evil()\n", "\n".repeat(400));
    let shown = Scene::new(write("a.py", "x = 1\n")).then(write("a.py", text));
    shown.shows("[400 blank lines]").shows("evil()");
    assert!(shown.view.lines.len() < 15, "{}", shown.text());
}
