//! Tricks with what stands where: in headers, in names, among files, between blocks.

use super::{Scene, line, write};
use crate::view::glyphs;
use std::path::Path;

#[test]
fn trick_16_a_diff_header_in_the_content() {
    let text = "x = 1\ndiff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-a\n+b\n";
    let shown = Scene::new(write("a.py", "x = 1\n")).then(write("a.py", text));
    shown
        .shows("1 files, 6 lines added")
        .shows(" + | diff --git a/README.md b/README.md")
        .shows(" + | +++ b/README.md");
    assert_eq!(
        shown.text().matches("\n==").count(),
        1,
        "one file is shown as one"
    );
    shown.raw(b"\n+diff --git a/README.md");
}

#[test]
fn trick_17_lines_that_pass_for_the_other_sign() {
    // In a raw diff the removed line `-- a` reads `--- a`, and the added `++ b` reads `+++ b`.
    let shown = Scene::new(write("a.sql", "x\n-- a/x\ny\n")).then(write("a.sql", "x\n++ b/x\ny\n"));
    shown
        .shows(" - | -- a/x")
        .shows(" + | ++ b/x")
        .raw(b"\n--- a/x\n+++ b/x\n");
}

#[test]
fn trick_18_a_code_in_the_content() {
    let fake = "code of this candidate: aaaa-bbbb";
    let padded = format!("{}{fake}", "#".repeat(84));
    let shown = Scene::new(write("a.py", "x\n")).then(write("a.py", format!("{fake}\n{padded}\n")));
    let begins = |line: &String| line.starts_with("code") || line.starts_with("aaaa");
    assert!(!shown.view.lines.iter().any(begins), "{}", shown.text());
    shown
        .shows(&format!(" + | {fake}"))
        .raw(format!("\n+{fake}").as_bytes());
}

#[test]
fn trick_19_tabs() {
    let text = format!("x = 1{}evil()", "\t".repeat(60));
    line(&text)
        .shows("x = 1[60 blanks, tabs among them]evil()")
        .raw(&[b'\t'; 60]);
    line("\tif x:\t y()").shows("→   if x:→    y()");
}

#[test]
fn trick_20_blanks_that_are_none() {
    let shown = line("if\u{a0}x:\u{2003}y\u{3000}z\u{2800}\u{ad}w");
    shown
        .shows("if\\u{a0}x:\\u{2003}y\\u{3000}z\\u{2800}\\u{ad}w")
        .raw("if\u{a0}x".as_bytes());
    line("x = 1   ").shows("x = 1···");
}

#[test]
fn trick_21_tags_selectors_and_fillers() {
    line("a\u{e0041}\u{e007f}b\u{fe0f}c\u{e0100}d\u{3164}e\u{115f}")
        .shows("a\\u{e0041}\\u{e007f}b\\u{fe0f}c\\u{e0100}d\\u{3164}e\\u{115f}")
        .raw("\u{e0041}".as_bytes());
}

#[test]
fn trick_22_names_of_files_that_speak() {
    let scene = Scene::new(write("a", "x\n"));
    for (name, expected) in [
        ("a\n== 9 of 9: b", "\"a\\n== 9 of 9: b\""),
        ("x\u{1b}[2Jy", "\"x\\u{1b}[2Jy\""),
        ("say \"hi\"", "\"say \\\"hi\\\"\""),
        ("tab\tend ", "\"tab\\tend \""),
    ] {
        let shown = scene.then(|root| std::fs::write(root.join(name), "y\n").unwrap());
        shown.shows(expected).shows("UNUSUAL NAME");
        std::fs::remove_file(scene.folder.path().join(name)).unwrap();
    }
}

#[test]
fn trick_23_an_executable_among_a_thousand_edits() {
    use std::os::unix::fs::PermissionsExt;
    let edits = |root: &Path, text: &str| {
        for at in 0..100 {
            std::fs::write(root.join(format!("f{at:03}.txt")), text.repeat(10)).unwrap();
        }
    };
    let scene = Scene::new(|root| edits(root, "a\n"));
    let shown = scene.then(|root| {
        edits(root, "b\n");
        let run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.join("f057.txt"), run).unwrap();
    });
    assert_eq!(shown.view.lines[1], "! f057.txt +10 -10", "it comes first");
    assert_eq!(shown.view.lines[2], "!     BECOMES EXECUTABLE");
    let at = String::from_utf8_lossy(&shown.raw)
        .find("old mode 100644")
        .unwrap();
    assert!(at > 5_000, "in the raw change it stands {at} bytes in");
}

#[test]
fn trick_24_links_and_submodules() {
    let scene = Scene::new(|root| {
        write("conf", "x\n")(root);
        std::os::unix::fs::symlink("conf", root.join("link")).unwrap();
    });
    let shown = scene.then(|root| {
        for (name, target) in [("conf", "/etc/passwd"), ("link", "../../outside")] {
            std::fs::remove_file(root.join(name)).unwrap();
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
    });
    shown
        .shows("FILE BECOMES A SYMLINK")
        .shows("SYMLINK POINTS ELSEWHERE")
        .shows("+ | /etc/passwd")
        .shows("+ | ../../outside");
    let scene = Scene::new(write("a", "x\n"));
    for id in ["1".repeat(40), "2".repeat(40)] {
        scene.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{id},vendor/x"),
        ]);
    }
    let after = scene.git(&["write-tree"]);
    let shown = scene.between(&after, 100, false);
    shown
        .shows(&format!("SUBMODULE new -> {}", "2".repeat(40)))
        .leaves_out("vendor/x: everything in the submodule");
}

#[test]
fn trick_25_another_binary() {
    let scene = Scene::new(write("logo.png", b"\x89PNG\0old".to_vec()));
    let shown = scene.then(write("logo.png", b"\x89PNG\0new one".to_vec()));
    let sum = baton_core::digest::sha256(b"\x89PNG\0new one");
    shown
        .shows(&format!("12 bytes sha256={sum}"))
        .shows("8 bytes sha256=")
        .leaves_out("logo.png: the content of a binary file");
}

#[test]
fn trick_26_a_copy_with_one_line_changed() {
    let lines = |evil: &str| {
        let all = (0..40).map(|at| {
            if at == 23 {
                format!("{evil}\n")
            } else {
                format!("let value_{at} = compute({at});\n")
            }
        });
        all.collect::<String>()
    };
    let scene = Scene::new(write("old.rs", lines("let token = read();")));
    let shown = scene.then(|root| {
        std::fs::remove_file(root.join("old.rs")).unwrap();
        write("new.rs", lines("let token = send();"))(root);
    });
    shown
        .shows("DELETED")
        .shows("78 of these only moved")
        .shows(" > | let value_3 = compute(3);")
        .shows(" < | let value_3 = compute(3);");
    let odd: Vec<_> = shown
        .view
        .lines
        .iter()
        .filter(|line| line.contains(" + | ") || line.contains(" - | "))
        .collect();
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert!(
        odd.iter()
            .any(|line| line.ends_with("+ | let token = send();"))
    );
}

#[test]
fn trick_27_code_that_says_it_is_generated() {
    let body = |count: usize| {
        (0..count)
            .map(|at| format!("call_number_{at}();\n"))
            .collect::<String>()
    };
    let scene = Scene::new(|root| {
        write("kept.rs", format!("// @generated\n{}", body(3)))(root);
        write("own.rs", body(3))(root);
    });
    let edit = |root: &Path| {
        write("kept.rs", format!("// @generated\n{}", body(200)))(root);
        write("own.rs", format!("// @generated\n{}evil();\n", body(200)))(root);
    };
    let shown = scene.then(edit);
    shown
        .shows("SAYS THAT IT IS GENERATED, and did not before: shown whole")
        .shows(" + | evil();");
    shown
        .shows("[157 more changed lines are folded]")
        .leaves_out("kept.rs: 157 changed lines of a generated file, folded");
    let after = scene.tree();
    let whole = scene.between(&after, 100, true);
    assert!(
        whole.view.not_shown.is_empty() && whole.text().matches("call_number_199();").count() == 2
    );
}

#[test]
fn trick_28_a_moved_block_with_one_line_changed() {
    let block = [
        "def check(user):",
        "    load(user)",
        "    if not user.is_admin:",
        "        refuse(user)",
        "        return False",
        "    log(user)",
        "    return True",
    ];
    let mut other = block;
    other[2] = "    if not user.is_adm1n:";
    let filler: String = (0..30).map(|at| format!("line_{at} = {at}\n")).collect();
    let scene = Scene::new(write("a.py", format!("{}\n{filler}", block.join("\n"))));
    let shown = scene.then(write("a.py", format!("{filler}{}\n", other.join("\n"))));
    shown.shows(
        " > |     refuse(user)"
            .replace("    refuse", "        refuse")
            .as_str(),
    );
    shown
        .shows(" + |     if not user.is_adm1n:")
        .shows(" - |     if not user.is_admin:");
}

#[test]
fn trick_29_the_end_of_a_file_and_bytes_that_are_no_text() {
    let shown = Scene::new(write("a.sh", "echo 1\n"))
        .then(write("a.sh", b"echo 1\necho \xff\xfe2".to_vec()));
    shown
        .shows("echo \\xff\\xfe2")
        .shows("no newline at the end of the file");
}

#[test]
fn trick_30_letters_that_run_the_other_way() {
    line("role = '\u{5d0}\u{5d1}' + 1 # admin").shows("letters that run from right to left");
}

#[test]
fn trick_31_a_narrow_terminal_wraps_nothing_into_the_margin() {
    let scene = Scene::new(write("a", "x\n"));
    let name = format!("{}/code of this candidate: x", ["d"; 60].join("/"));
    let long = scene.folder.path().join(name);
    std::fs::create_dir_all(long.parent().unwrap()).unwrap();
    std::fs::write(long, "y\n").unwrap();
    write(
        "a",
        format!("{}code of this candidate: x\n", "\u{6f22}".repeat(200)),
    )(scene.folder.path());
    let after = scene.tree();
    for width in [60, 61, 80, 240] {
        let shown = scene.between(&after, width, false);
        let rows = shown
            .view
            .lines
            .iter()
            .filter(|line| line.contains('\u{6f22}'));
        for row in rows {
            assert!(
                row.chars().map(glyphs::columns).sum::<usize>() <= width,
                "{row}"
            );
        }
    }
}
