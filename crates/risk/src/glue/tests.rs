//! What pieces say once they are put together.

use super::*;

fn joined(text: &str, is_shell: bool) -> String {
    let lists = match is_shell {
        true => Vec::new(),
        false => joined_names(text.as_bytes()),
    };
    let joined = join(text.as_bytes(), is_shell, &lists);
    joined.map_or_else(String::new, |one| String::from_utf8(one.text).unwrap())
}

#[test]
fn pieces_are_put_together() {
    for (text, whole) in [
        (r#"run("cu" + "rl x")"#, r#"run("curl x")"#),
        ("a = 'fsock' . 'open'", "a = 'fsockopen'"),
        (
            "x = (\n    \"ghp_\"\n    \"abc\"\n)",
            "x = (\n    \"ghp_abc\"\n)",
        ),
        ("f(\"a=\"\n  + \"b\")", "f(\"a=b\")"),
        ("x = \"ghp_\" \\\n    \"abc\"", "x = \"ghp_abc\""),
        (
            r#"load(["ht", "tps"].join(""))"#,
            r#"load(["https"].join(""))"#,
        ),
        (r#"["g", "i", "t"].concat()"#, r#"["git"].concat()"#),
        (r#"string.Concat("cur", "l")"#, r#"string.Concat("curl")"#),
        ("{'c', 'u', 'r', 'l'}", "{'curl'}"),
        ("'c', 'u', 'r',\n 'l', 'x'", "'curlx'"),
        (r#"print("a" f"b")"#, r#"print("ab")"#),
        (
            "P = (\"gh\", 'p_')\nt = \"\".join(P)",
            "P = (\"ghp_')\nt = \"\".join(P)",
        ),
        (
            "p := []string{\"cu\", \"rl\"}\nr(strings.Join(p, \"\"))",
            "p := []string{\"curl\"}\nr(strings.Join(p, \"\"))",
        ),
        (
            "$p = ['cu', 'rl'];\nr(implode('', $p));",
            "$p = ['curl'];\nr(implode('', $p));",
        ),
        (
            "val p = listOf(\"cu\", \"rl\")\nr(p.joinToString(\"\"))",
            "val p = listOf(\"curl\")\nr(p.joinToString(\"\"))",
        ),
        (
            r#"k = ["sk", "ant", "x"].join("-")"#,
            r#"k = ["sk-ant-x"].join("-")"#,
        ),
        (r#"h = "-".join(["a", "b"])"#, r#"h = "-".join(["a-b"])"#),
        ("h = implode('/', ['a', 'b'])", "h = implode('/', ['a/b'])"),
        (
            "const p = ['npm', 'x' + 'y'];\nr(p.join('_') + q)",
            "const p = ['npm_xy'];\nr(p.join('_') + q)",
        ),
        (
            "p := []string{\"a\", \"b\"}\nr(strings.Join(p, \"-\"))",
            "p := []string{\"a-b\"}\nr(strings.Join(p, \"-\"))",
        ),
        (
            "P = ('a', 'b')\nt = '-'.join(P)",
            "P = ('a-b')\nt = '-'.join(P)",
        ),
        (
            "const p = ['cu', 'rl'];\nr(p.join(''))",
            "const p = ['curl'];\nr(p.join(''))",
        ),
    ] {
        assert_eq!(joined(text, false), whole, "{text}");
    }
    for text in [
        "f(\"a\", \"b\")",
        "x = 'it''s'",
        "[\"a\", \"b\"]",
        "\"one\"",
        "a['b'] + c",
        "P = (\"gh\", 'p_')\nt = \",\".join(P)",
        "P = (\"gh\", 'p_')\nt = \"\".join(Q)",
        "p := []string{\"cu\", \"rl\"}\nr(strings.Join(p, \",\"))",
        "$p = ['cu', 'rl'];\nr(implode(', ', $p));",
    ] {
        assert_eq!(joined(text, false), "", "{text}");
    }
}

#[test]
fn quotes_within_a_word_of_a_shell_are_no_border() {
    assert_eq!(joined("w'g'et -q x", true), "wget -q x");
    assert_eq!(joined("so\"ca\"t - y", true), "socat - y");
    assert_eq!(joined("echo \"a b\" 'c'", true), "");
}

#[test]
fn pieces_on_both_sides_of_a_border_are_put_together() {
    let filler = "# says nothing\n";
    let count = MOST / filler.len() + 2;
    let zeros = "0".repeat(40);
    for pad in 0..40 {
        let pad = "#".repeat(pad + 1);
        let text = format!("{}{pad}\ncu\\\nrl -s x\n", filler.repeat(count - 3));
        let lines: String = text.lines().map(|line| format!("+{line}\n")).collect();
        let patch = format!(
            "diff --git a/a.sh b/a.sh\nnew file mode 100644\nindex {zeros}..{}\n--- /dev/null\n+++ b/a.sh\n@@ -0,0 +1,{count} @@\n{lines}",
            "1".repeat(40),
        );
        let patch = baton_patch::parse(patch.as_bytes(), &baton_patch::Limits::default()).unwrap();
        let hunks = patch.sections[0].hunks();
        let manner = Manner::of(hunks, Languages::of(b"a.sh", None), false);
        let joined = super::joined(&hunks[0], &manner);
        let found = joined.iter().find_map(|one| {
            let at = memchr::memmem::find(&one.pieces.text, b"curl -s")?;
            let above = one.pieces.text.get(..at)?;
            Some(one.line + memchr::memchr_iter(b'\n', above).count())
        });
        assert_eq!(found, Some(count - 1), "{}", pad.len());
    }
}
