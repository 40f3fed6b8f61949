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
