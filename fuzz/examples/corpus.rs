//! Writes what a fuzzer starts from: `cargo run -p baton-fuzz --example corpus -- FOLDER` fills a
//! folder for each target with patches, names and listings that git itself writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../crates/patch/tests/common/mod.rs"]
mod common;
#[path = "../tests/replies/malform.rs"]
mod malform;

use common::mutate::seeds;
use common::{Repo, base, cases, findings};
use std::path::Path;

fn main() {
    let folder = std::env::args_os().nth(1).expect("name a folder");
    let folder = Path::new(&folder);
    let repo = Repo::new();
    let old = repo.tree(&base());
    let mut patches = seeds(&repo, &old);
    let small = ["x", "link", "sub"].map(findings::edit);
    patches.extend(small.map(String::into_bytes));
    write(folder, "reader", &patches);
    write(folder, "replies", &malform::seeds());
    let names: Vec<Vec<u8>> = base().into_keys().collect();
    write(folder, "quoting", &names);
    write(folder, "paths", &names);
    let mut listings: Vec<Vec<u8>> = cases()
        .into_iter()
        .map(|(_, edit)| {
            let mut files = base();
            edit(&mut files);
            repo.raw(&old, &repo.tree(&files))
        })
        .collect();
    // Each path many times over, which git never writes.
    listings.push(listings.concat());
    write(folder, "raw_listing", &listings);
}

fn write(folder: &Path, target: &str, inputs: &[Vec<u8>]) {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("from-git-{number:03}")), input).unwrap();
    }
}
