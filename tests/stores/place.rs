//! Scratch repositories with a queue in each kind of store.

use std::path::{Path, PathBuf};
use std::sync::Once;

use baton_core::store::{Directory, Driver, Store, database};
use serde_json::json;

const DRIVERS: [Driver; 2] = [baton_sqlite::DRIVER, baton_postgres::DRIVER];

/// Runs each of the named functions once for each kind of store.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        mod folder {
            $(#[test] fn $name() { super::$name(&$crate::place::Place::folder()); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name(&$crate::place::Place::sqlite()); })*
        }
        mod postgres {
            $(#[test]
            #[ignore = "needs a server: make test-postgres"]
            fn $name() { super::$name(&$crate::place::Place::postgres()); })*
        }
    };
}
pub(crate) use everywhere;

/// As [`everywhere`], for what only databases have.
macro_rules! databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&$crate::place::Place::sqlite()); })*
        }
        mod postgres {
            $(#[test]
            #[ignore = "needs a server: make test-postgres"]
            fn $name() { super::$name(&$crate::place::Place::postgres()); })*
        }
    };
}
pub(crate) use databases;

/// A folder for repositories, and the address of one store.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) address: String,
    database: Option<String>,
}

impl Place {
    fn new(address: impl FnOnce(&Path) -> String) -> Self {
        static BEGUN: Once = Once::new();
        BEGUN.call_once(|| database::begin(&DRIVERS));
        let folder = tempfile::tempdir().unwrap();
        let address = address(folder.path());
        Self {
            folder,
            address,
            database: None,
        }
    }

    pub(crate) fn folder() -> Self {
        Self::new(|_| "folder".to_owned())
    }

    pub(crate) fn sqlite() -> Self {
        Self::new(|folder| format!("sqlite:{}", folder.join("queue.db").display()))
    }

    /// A database of its own on the server that `BATON_POSTGRES` names, gone afterwards.
    pub(crate) fn postgres() -> Self {
        let server = server();
        let name = format!("baton_{}", baton_core::ids::random_hex().unwrap());
        administer(&format!("CREATE DATABASE {name}"));
        let (base, _) = server.rsplit_once('/').unwrap();
        let mut place = Self::new(|_| format!("{base}/{name}"));
        place.database = Some(name);
        place
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.address == "folder"
    }

    /// A repository's top folder whose manifest names the store.
    pub(crate) fn root(&self, name: &str) -> PathBuf {
        let root = self.folder.path().join(name);
        let ssot = root.join(".autodev_ssot");
        std::fs::create_dir_all(&ssot).unwrap();
        std::fs::create_dir_all(root.join(".git")).unwrap();
        let manifest = json!({"store": self.address}).to_string();
        std::fs::write(ssot.join("MANIFEST.json"), manifest).unwrap();
        root
    }

    /// A machine's store: made on first use.
    pub(crate) fn store(&self, name: &str) -> Store {
        let root = self.root(name);
        let keys = root.join(".autodev_ssot/LOG_KEY.pub");
        // The public key is committed, and every checkout has it.
        let known = self.folder.path().join("LOG_KEY.pub");
        if known.exists() {
            std::fs::copy(&known, &keys).unwrap();
        }
        let (store, _) = Store::create(&root).unwrap();
        std::fs::copy(&keys, &known).unwrap();
        store
    }

    /// An empty folder of the queue.
    pub(crate) fn directory(&self) -> Directory {
        let store = self.store("directory");
        store.directory().sub_or_new("scratch").unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(name) = &self.database {
            administer(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

pub(crate) fn server() -> String {
    std::env::var("BATON_POSTGRES").expect("BATON_POSTGRES names a server: make test-postgres")
}

pub(crate) fn administer(sql: &str) {
    let mut client = postgres::Client::connect(&server(), postgres::NoTls).unwrap();
    client.batch_execute(sql).unwrap();
}

/// A connection to the place's own database, past baton.
pub(crate) fn sql(place: &Place, sql: &str) {
    if let Some(path) = place.address.strip_prefix("sqlite:") {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection
            .execute_batch(&sql.replace("baton_", ""))
            .unwrap();
        return;
    }
    let mut client = postgres::Client::connect(&place.address, postgres::NoTls).unwrap();
    client.batch_execute(sql).unwrap();
}

/// Keeps the place's database from answering whoever writes, and PostgreSQL from answering at all, until what
/// is given is dropped.
pub(crate) fn silence(place: &Place) -> Box<dyn std::any::Any> {
    if let Some(path) = place.address.strip_prefix("sqlite:") {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        return Box::new(connection);
    }
    let mut client = postgres::Client::connect(&place.address, postgres::NoTls).unwrap();
    let lock = "BEGIN; LOCK TABLE baton_entry IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).unwrap();
    Box::new(client)
}
