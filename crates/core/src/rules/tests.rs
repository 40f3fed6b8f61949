use super::*;

fn rule(glob: &str, yes: &str, no: &str) -> PathRule {
    PathRule {
        id: "r".to_owned(),
        glob: glob.to_owned(),
        reason: "test".to_owned(),
        matches: [yes].iter().collect(),
        no_match: [no].iter().collect(),
    }
}

#[test]
fn a_star_stays_in_its_folder_and_two_cross() {
    let rules = [
        rule("src/*.rs", "src/a.rs", "src/b/a.rs"),
        rule("**/Cargo.lock", "Cargo.lock", "Cargo.lock.txt"),
    ];
    let rules = PathRules::compile(&rules, Case::Exact).unwrap();
    for depth in ["Cargo.lock", "a/Cargo.lock", "a/b/c/d/e/Cargo.lock"] {
        assert!(rules.first_match(depth).is_some(), "{depth}");
    }
}

#[test]
fn what_is_looked_up_by_name_matches_as_a_glob_does() {
    let globs = [
        "**/a",
        "**/a.b",
        "**/a*",
        "**/*b",
        "**/a*b",
        "**/*",
        "**/x/**",
        "**/x/a*",
        "**/x/*",
        "**/x/a",
        "**/y/a.b",
        "x/a*b",
        "a*",
        "**/x/y/*",
        "**/*.b",
        "**/x*y/z",
        "x/**",
        "**/a**b",
        "**/é*",
        "**/*a*",
        "**/*a*b",
        "**/a*a*b",
        "**/x/**/*b",
        "**/x/**/a*",
        "**/x/**/b",
        "x/**/a*",
    ];
    let names = ["a", "b", "ab", "a.b", "aab", "x", "y", "z", "éa"];
    let folders = ["", "x/", "x/y/", "y/x/", "a/b/", "xay/"];
    let paths = folders
        .iter()
        .flat_map(|folder| names.map(|name| format!("{folder}{name}")));
    let paths: Vec<_> = paths.collect();
    for case in [Case::Exact, Case::Folded] {
        let all = Globs::compile(globs.iter().copied().enumerate(), case).unwrap();
        for path in &paths {
            let alone = |glob: &str| parse(glob, glob).unwrap().compile_matcher().is_match(path);
            let expected: Vec<_> = (0..globs.len()).filter(|at| alone(globs[*at])).collect();
            assert_eq!(all.owners(path.as_bytes()), expected, "{path}");
        }
    }
}

#[test]
fn braces_are_written_out() {
    assert_eq!(
        expand("**/{a,b{c,d}}.{x,y}"),
        ["a.x", "a.y", "bc.x", "bc.y", "bd.x", "bd.y"].map(|name| format!("**/{name}"))
    );
    for plain in ["a/[{]b", "a\\{b,c}", "a{b", "plain"] {
        assert_eq!(expand(plain), [plain], "{plain}");
    }
    let globs = Globs::compile([(7, "**/{A,b}.rs"), (2, "**/b.*")], Case::Folded).unwrap();
    assert_eq!(globs.owners(b"x/B.rs"), [2, 7]);
    assert_eq!(globs.owners(b"a.RS"), [7]);
    let globs = Globs::compile([(1, "**/.Git/**"), (3, "**/a/b/**")], Case::Folded).unwrap();
    assert_eq!(globs.owners(b"x/.git/y/z"), [1]);
    assert_eq!(globs.owners(b".GIT/a/b/c"), [1, 3]);
    for other in [&b".git"[..], b"x/.git", b".gitx/y", b"a/b"] {
        assert!(globs.owners(other).is_empty(), "{}", other.escape_ascii());
    }
}

#[test]
fn a_name_is_matched_by_its_bytes() {
    let rules = [rule("**/.github/**", ".github/x", "x")];
    let rules = PathRules::compile(&rules, Case::Folded).unwrap();
    for path in [
        &b".github/a\tb"[..],
        b".github/a\nb",
        b"x/.GitHub/\xff",
        b".github/\x7f/y",
    ] {
        assert!(rules.first_match(path).is_some(), "{}", path.escape_ascii());
    }
    assert!(rules.first_match(".github./x").is_none());
    assert!(rules.first_match_folded(".github./x").is_some());
}

#[test]
fn an_entry_with_a_last_slash_means_everything_below() {
    let scope = Scope {
        target_files: Vec::new(),
        allow_patch_on_files: vec!["src/".to_owned()],
        deny_paths_glob: vec!["src/gen/".to_owned()],
    };
    let rules = ScopeRules::compile(&scope).unwrap();
    assert!(rules.allows("src/a/b.rs"));
    assert!(!rules.allows("srcs/a") && !rules.allows("src/gen/a/b"));
}

#[test]
fn a_wrong_example_is_named() {
    let problem = PathRules::compile(&[rule("a", "b", "c")], Case::Exact).unwrap_err();
    assert_eq!(problem.code, "POLICY_EXAMPLE");
    assert!(
        problem
            .message
            .contains("rule r does not match its example \"b\""),
        "{problem}"
    );
    let problem = PathRules::compile(&[rule("*", "b", "c")], Case::Exact).unwrap_err();
    assert!(problem.message.contains("must not match"), "{problem}");
}

#[test]
fn a_scope_allows_what_it_names_and_denial_wins() {
    let scope = Scope {
        target_files: Vec::new(),
        allow_patch_on_files: ["src/**", "app/[id]/page.tsx"].map(str::to_owned).to_vec(),
        deny_paths_glob: ["src/secret/**", "src/old", "src/[id]/page.tsx", "src/x/*"]
            .map(str::to_owned)
            .to_vec(),
    };
    let rules = ScopeRules::compile(&scope).unwrap();
    for path in [
        "src/a.rs",
        "src/b/c.rs",
        "src/x/y/z.rs",
        "app/[id]/page.tsx",
    ] {
        assert!(rules.allows(path), "{path}");
    }
    for path in [
        "SRC/a.rs",
        "src",
        "README.md",
        "src/secret/x",
        "src/Secret/x",
        "src/Secret./x",
        "src/old/a/b.rs",
        "src/[id]/page.tsx",
        "src/[ID]/page.tsx",
    ] {
        assert!(!rules.allows(path), "{path}");
    }
}

#[test]
fn a_denial_holds_for_every_spelling_of_a_name() {
    let scope = Scope {
        target_files: Vec::new(),
        allow_patch_on_files: vec!["**".to_owned()],
        deny_paths_glob: ["src/caf\u{e9}/**", "src/\u{c9}t\u{e9}", "keys/*.pem"]
            .map(str::to_owned)
            .to_vec(),
    };
    let rules = ScopeRules::compile(&scope).unwrap();
    for path in [
        "src/caf\u{e9}/x",
        "src/cafe\u{301}/x",
        "src/CAFE\u{301}/x",
        "src/e\u{301}te\u{301}/a",
        "keys/a.pem::$DATA",
        "keys/A.PEM.",
    ] {
        assert!(!rules.allows(path), "{path}");
    }
    assert!(rules.allows("src/cafe/x") && rules.allows("keys/a:b.txt"));
    let zone = [rule("**/caf\u{e9}/**", "a/cafe\u{301}/b", "a/cafe/b")];
    let zone = PathRules::compile(&zone, Case::Folded).unwrap();
    assert!(zone.first_match("CAF\u{c9}/x").is_some());
}
