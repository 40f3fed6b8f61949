//! A database that is made anew before each fault. Its address stays the same, so a copied checkout still points
//! to it.

use std::time::{Duration, Instant};

use crate::place::{Place, administer, server};

/// The database, and once it is kept a second one of which it is a copy.
pub(crate) struct Work {
    place: Place,
}

impl Work {
    pub(crate) fn new() -> Self {
        let place = Place::postgres();
        Self { place }
    }

    pub(crate) fn address(&self) -> &str {
        &self.place.address
    }

    fn name(&self) -> &str {
        self.place.address.rsplit_once('/').unwrap().1
    }

    /// From now on it can be had again as it is now.
    pub(crate) fn keep(&self) {
        self.settle();
        let name = self.name();
        administer(&format!("CREATE DATABASE {name}_start TEMPLATE {name}"));
    }

    /// As it was when it was kept.
    pub(crate) fn again(&self) {
        let name = self.name();
        administer(&format!("DROP DATABASE {name} WITH (FORCE)"));
        administer(&format!("CREATE DATABASE {name} TEMPLATE {name}_start"));
    }

    /// Waits until nobody is connected: the server hears of the end of a killed program a moment later, and only
    /// then gives up its locks.
    pub(crate) fn settle(&self) {
        let mut client = postgres::Client::connect(&server(), postgres::NoTls).unwrap();
        let begun = Instant::now();
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        while client
            .query_one(count, &[&self.name()])
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "somebody stays connected"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        administer(&format!(
            "DROP DATABASE IF EXISTS {}_start WITH (FORCE)",
            self.name()
        ));
    }
}
