use super::*;

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    (dir, folder)
}

#[test]
fn nothing_is_overwritten() {
    let (_dir, folder) = folder();
    folder.write_new("a", b"1").unwrap();
    let error = folder.write_new("a", b"2").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(folder.read("a", 10).unwrap(), b"1");
    assert_eq!(folder.list().unwrap().len(), 1, "no temporary file is left");
}

#[test]
fn links_and_dots_lead_nowhere() {
    let (dir, folder) = folder();
    std::fs::write(dir.path().join("secret"), b"x").unwrap();
    std::os::unix::fs::symlink("secret", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
    assert!(folder.read("link", 10).is_err());
    assert!(folder.sub("root").is_err());
    for name in ["..", ".", "", "a/b", "../x", "/etc", "a\0b"] {
        assert_eq!(
            folder.read(name, 10).unwrap_err().kind(),
            io::ErrorKind::InvalidInput,
            "{name:?}"
        );
    }
    let names: Vec<_> = folder
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["secret"], "links are not listed");
}

#[test]
fn a_pipe_does_not_block_the_reader() {
    let (dir, folder) = folder();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, FILE_MODE, 0).unwrap();
    assert_eq!(
        folder.read("pipe", 10).unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
}

#[test]
fn a_large_file_is_refused() {
    let (_dir, folder) = folder();
    folder.write_new("a", &[0; 11]).unwrap();
    assert_eq!(
        folder.read("a", 10).unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    assert_eq!(folder.read("a", 11).unwrap().len(), 11);
}
