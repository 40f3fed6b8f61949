//! The few operations that everything else is made of.

use std::io::ErrorKind;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use baton_core::files::Kind;
use baton_core::store::Directory;

use crate::place::{Place, everywhere};

everywhere!(
    nothing_is_overwritten,
    what_is_read_is_what_was_written,
    a_move_replaces_nothing_and_takes_all_along,
    an_open_folder_stays_itself_when_it_is_moved,
    names_lead_nowhere_else,
    what_is_not_there_is_said_so,
    temporary_names_are_not_listed,
    of_many_who_make_one_name_one_wins,
    of_many_who_move_one_entry_one_wins,
    a_held_folder_is_held_against_all_others,
    a_lock_by_name_is_waited_for,
    a_started_file_is_filled_or_given_back,
    only_an_empty_folder_goes,
);

fn kind<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

fn names(folder: &Directory) -> Vec<String> {
    let mut names: Vec<_> = folder.list().unwrap().into_iter().map(|e| e.name).collect();
    names.sort();
    names
}

fn nothing_is_overwritten(place: &Place) {
    let folder = place.directory();
    folder.write_new("a", b"1").unwrap();
    assert_eq!(kind(folder.write_new("a", b"2")), ErrorKind::AlreadyExists);
    assert_eq!(kind(folder.new_sub("a")), ErrorKind::AlreadyExists);
    assert_eq!(folder.read("a", 9).unwrap(), b"1");
    folder.replace("a", b"3").unwrap();
    assert_eq!(folder.read("a", 9).unwrap(), b"3");
    folder.new_sub("sub").unwrap();
    assert_eq!(kind(folder.new_sub("sub")), ErrorKind::AlreadyExists);
    assert!(folder.replace("sub", b"x").is_err());
    assert_eq!(names(&folder), ["a", "sub"]);
}

fn what_is_read_is_what_was_written(place: &Place) {
    let folder = place.directory();
    let mut bytes: Vec<u8> = (0..=255).cycle().take(20 << 20).collect();
    bytes.push(0);
    folder
        .write_new("large \u{e4}\u{20ac}'\".json", &bytes)
        .unwrap();
    let name = "large \u{e4}\u{20ac}'\".json";
    assert_eq!(folder.read(name, bytes.len()).unwrap(), bytes);
    assert_eq!(
        kind(folder.read(name, bytes.len() - 1)),
        ErrorKind::InvalidData
    );
    folder.write_new("empty", b"").unwrap();
    assert_eq!(folder.read("empty", 0).unwrap(), b"");
    folder.new_sub("sub").unwrap();
    assert_eq!(kind(folder.read("sub", 9)), ErrorKind::InvalidData);
}

fn a_move_replaces_nothing_and_takes_all_along(place: &Place) {
    let folder = place.directory();
    let (one, two) = (
        folder.new_sub("one").unwrap(),
        folder.new_sub("two").unwrap(),
    );
    let task = one.new_sub("T-1").unwrap();
    task.write_new("task.json", b"{}").unwrap();
    task.new_sub("evidence")
        .unwrap()
        .write_new("log", b"x")
        .unwrap();
    two.new_sub("T-2").unwrap();
    two.write_new("T-3", b"").unwrap();
    for taken in ["T-2", "T-3"] {
        assert_eq!(
            kind(one.move_to("T-1", &two, taken)),
            ErrorKind::AlreadyExists
        );
    }
    assert_eq!(kind(one.move_to("none", &two, "T-4")), ErrorKind::NotFound);
    one.move_to("T-1", &two, "T-1").unwrap();
    assert_eq!(
        (names(&one), names(&two)),
        (vec![], vec!["T-1".into(), "T-2".into(), "T-3".into()])
    );
    let moved = two.sub("T-1").unwrap().sub("evidence").unwrap();
    assert_eq!(moved.read("log", 9).unwrap(), b"x");
}

fn an_open_folder_stays_itself_when_it_is_moved(place: &Place) {
    let folder = place.directory();
    let (one, two) = (
        folder.new_sub("one").unwrap(),
        folder.new_sub("two").unwrap(),
    );
    let task = one.new_sub("T-1").unwrap();
    one.move_to("T-1", &two, "T-1").unwrap();
    let own = task.identity().unwrap();
    assert_eq!(one.identity_of("T-1").unwrap(), None);
    assert_eq!(two.identity_of("T-1").unwrap(), Some(own));
    task.write_new("late", b"").unwrap();
    assert!(two.sub("T-1").unwrap().exists("late").unwrap());
    let second = one.new_sub("T-1").unwrap();
    assert_ne!(second.identity().unwrap(), own);
}

fn names_lead_nowhere_else(place: &Place) {
    let folder = place.directory();
    for name in ["..", ".", "", "a/b", "../x", "/etc", "a\0b"] {
        assert_eq!(
            kind(folder.read(name, 9)),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
        assert_eq!(kind(folder.write_new(name, b"")), ErrorKind::InvalidInput);
        assert_eq!(kind(folder.replace(name, b"")), ErrorKind::InvalidInput);
        assert_eq!(kind(folder.sub(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(folder.new_sub(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(folder.remove(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(folder.lock(name)), ErrorKind::InvalidInput);
        assert_eq!(
            kind(folder.move_to(name, &folder, "b")),
            ErrorKind::InvalidInput
        );
    }
    assert!(names(&folder).is_empty());
}

fn what_is_not_there_is_said_so(place: &Place) {
    let folder = place.directory();
    assert_eq!(kind(folder.read("a", 9)), ErrorKind::NotFound);
    assert_eq!(kind(folder.sub("a")), ErrorKind::NotFound);
    assert_eq!(kind(folder.remove("a")), ErrorKind::NotFound);
    assert_eq!(kind(folder.modified("a")), ErrorKind::NotFound);
    assert_eq!(folder.kind("a").unwrap(), None);
    assert!(!folder.exists("a").unwrap());
    folder.write_new("a", b"").unwrap();
    assert_eq!(folder.kind("a").unwrap(), Some(Kind::File));
    assert_eq!(kind(folder.sub("a")), ErrorKind::NotADirectory);
    folder.new_sub("b").unwrap();
    assert_eq!(folder.kind("b").unwrap(), Some(Kind::Folder));
    assert!(folder.modified("a").unwrap() <= folder.modified("b").unwrap());
    folder
        .sub_or_new("b")
        .unwrap()
        .write_new("in", b"")
        .unwrap();
    assert!(folder.sub_or_new("b").unwrap().exists("in").unwrap());
}

fn temporary_names_are_not_listed(place: &Place) {
    let folder = place.directory();
    folder.new_sub(".tmp-1").unwrap();
    folder.write_new(".lock", b"").unwrap();
    assert_eq!(names(&folder), [".lock"]);
}

/// Lets many do the same at once, and counts those who could.
fn winners(act: impl Fn(usize) -> bool + Sync) -> usize {
    let gate = Barrier::new(8);
    thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|which| {
                let (gate, act) = (&gate, &act);
                scope.spawn(move || {
                    gate.wait();
                    act(which)
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| usize::from(racer.join().unwrap()))
            .sum()
    })
}

fn of_many_who_make_one_name_one_wins(place: &Place) {
    let folder = place.directory();
    for round in 0..20 {
        let name = format!("n-{round}");
        let won = winners(|which| match which % 2 {
            0 => folder.write_new(&name, b"").is_ok(),
            _ => folder.new_sub(&name).is_ok(),
        });
        assert_eq!(won, 1);
    }
    assert_eq!(names(&folder).len(), 20);
}

fn of_many_who_move_one_entry_one_wins(place: &Place) {
    let folder = place.directory();
    let (one, two) = (
        folder.new_sub("one").unwrap(),
        folder.new_sub("two").unwrap(),
    );
    for round in 0..20 {
        let name = format!("T-{round}");
        one.new_sub(&name).unwrap();
        let won = winners(|which| one.move_to(&name, &two, &format!("{name}-{which}")).is_ok());
        assert_eq!(won, 1);
    }
    assert!(names(&one).is_empty());
    assert_eq!(names(&two).len(), 20);
}

fn a_held_folder_is_held_against_all_others(place: &Place) {
    let folder = place.directory();
    folder.new_sub("T-1").unwrap();
    let (mine, theirs) = (folder.sub("T-1").unwrap(), folder.sub("T-1").unwrap());
    let held = mine.hold().unwrap();
    assert_eq!(kind(theirs.hold()), ErrorKind::WouldBlock);
    thread::scope(|scope| {
        let other = scope.spawn(|| theirs.hold().map(drop));
        assert_eq!(kind(other.join().unwrap()), ErrorKind::WouldBlock);
    });
    folder.move_to("T-1", &folder, "T-2").unwrap();
    assert_eq!(
        kind(folder.sub("T-2").unwrap().hold()),
        ErrorKind::WouldBlock
    );
    drop(held);
    drop(theirs.hold().unwrap());
    let one = winners(|_| match theirs.again().unwrap().hold() {
        Ok(held) => {
            thread::sleep(Duration::from_millis(300));
            drop(held);
            true
        }
        Err(_) => false,
    });
    assert_eq!(one, 1);
}

fn a_lock_by_name_is_waited_for(place: &Place) {
    let folder = place.directory();
    let held = folder.lock(".mutex").unwrap();
    assert_eq!(kind(folder.lock_if_free(".mutex")), ErrorKind::WouldBlock);
    drop(folder.lock(".other").unwrap());
    thread::scope(|scope| {
        let waits = scope.spawn(|| folder.lock(".mutex").map(drop));
        thread::sleep(Duration::from_millis(50));
        assert!(!waits.is_finished());
        drop(held);
        waits.join().unwrap().unwrap();
    });
    drop(folder.lock_if_free(".mutex").unwrap());
}

fn a_started_file_is_filled_or_given_back(place: &Place) {
    let folder = place.directory();
    let started = folder.start("G4.log").unwrap();
    assert_eq!(kind(folder.start("G4.log")), ErrorKind::AlreadyExists);
    assert_eq!(
        kind(folder.write_new("G4.log", b"")),
        ErrorKind::AlreadyExists
    );
    assert_eq!(folder.read("G4.log", 9).unwrap(), b"");
    started.fill(b"passed").unwrap();
    assert_eq!(folder.read("G4.log", 9).unwrap(), b"passed");
    let back = folder.start("G5.log").unwrap();
    assert_eq!(back.name(), "G5.log");
    back.give_back().unwrap();
    assert_eq!(names(&folder), ["G4.log"]);
}

fn only_an_empty_folder_goes(place: &Place) {
    let folder = place.directory();
    let inner = folder.new_sub("sub").unwrap();
    inner.write_new("file", b"x").unwrap();
    assert!(!folder.remove_if_empty("sub").unwrap());
    assert!(folder.remove("sub").is_err());
    inner.remove("file").unwrap();
    assert!(folder.remove("sub").is_err(), "remove is for files");
    assert!(folder.remove_if_empty("sub").unwrap());
    assert!(folder.remove_if_empty("sub").unwrap());
    assert!(
        inner.write_new("late", b"").is_err(),
        "nothing is written into what is gone"
    );
}
