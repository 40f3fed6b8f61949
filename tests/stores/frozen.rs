//! A server whose system still takes connections, and that answers nothing any more.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_core::state::State;

use crate::place::{Place, server};
use crate::support::Bench;

/// Stands between baton and the server, and keeps the server's answers to itself once it is told to.
struct Between {
    place: Place,
    frozen: Arc<AtomicBool>,
}

impl Between {
    fn new() -> Self {
        let mut place = Place::postgres();
        let (front, path) = place.address.rsplit_once('/').unwrap();
        let to = front.rsplit_once('@').unwrap().1.to_owned();
        let path = path.to_owned();
        assert!(server().contains(&to));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        place.address = format!("postgres://baton@127.0.0.1:{port}/{path}");
        let frozen = Arc::new(AtomicBool::new(false));
        let is_frozen = Arc::clone(&frozen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&to).unwrap();
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let never = Arc::new(AtomicBool::new(false));
                std::thread::spawn(move || carry(client, server, &never));
                let is_frozen = Arc::clone(&is_frozen);
                std::thread::spawn(move || carry(ends.1, ends.0, &is_frozen));
            }
        });
        Self { place, frozen }
    }

    fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_frozen: &AtomicBool) {
    let mut bytes = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_frozen.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
#[ignore = "needs a server: make test-postgres"]
fn who_waits_for_an_answer_gives_up() {
    let between = Between::new();
    let store = between.place.store("one");
    between.freeze();
    let began = Instant::now();
    let waited = store.scan(&State::ALL).unwrap_err();
    assert_eq!(waited.code, "STORE_UNREACHABLE", "{waited}");
    assert!(waited.message.contains("has not answered"), "{waited}");
    assert!(began.elapsed() < Duration::from_secs(50));
}

#[test]
#[ignore = "needs a server: make test-postgres"]
fn a_stop_that_lies_here_is_seen_where_nobody_is_let_in() {
    let between = Between::new();
    let bench = Bench::bare();
    bench
        .baton(["init", "--store", &between.place.address])
        .expect(0);
    bench.commit("ssot");
    bench.baton(["stop-check"]).expect(0);
    between.freeze();
    let began = Instant::now();
    let asked = bench.baton(["stop-check"]);
    assert_eq!(asked.findings(), ["STORE_UNREACHABLE"]);
    assert!(bench.baton(["status"]).code != 0);
    std::fs::write(bench.queue().join("STOP"), "").unwrap();
    let asked = bench.baton(["stop-check"]);
    assert_eq!(asked.findings()[0], "STOP_PRESENT", "{asked:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}
