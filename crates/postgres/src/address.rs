//! Where the database is, and how to get there safely: over TLS, unless it is on this machine.

use std::env;
use std::io::{self, BufReader};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_core::files;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres::{Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connection::{Connection, SILENCE};

pub(crate) const SCHEME: &str = "postgres://";
/// How long a server may take to answer the first word.
const PATIENCE: Duration = Duration::from_secs(10);
/// What holds on every connection. The server's default may have been changed, and an answered write must be on
/// its disk. A machine that is gone gives its locks up within a minute, and so does a program that was halted. Nobody waits for ever: not for a lock
/// that somebody else took on a table, nor for a statement, each of which is whole or was never made.
const SETTINGS: &str = "SET synchronous_commit = on; SET tcp_keepalives_idle = 30; \
     SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
     SET lock_timeout = '20s'; SET statement_timeout = '25s'; \
     SET idle_in_transaction_session_timeout = '30s'";
/// The largest file of passwords or certificates that is read, in bytes.
const MOST: usize = 1 << 20;

/// The server that let this process wait in vain, and when: who asks soon after does not wait again.
static SILENT: Mutex<Option<(Config, Instant)>> = Mutex::new(None);

pub(crate) struct Address(Config);

impl Address {
    /// Reads an address. The password comes from `PGPASSWORD`, or from the file that `PGPASSFILE` names, or
    /// from `~/.pgpass`, as psql takes it.
    pub(crate) fn parse(address: &str) -> io::Result<Self> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let mut config: Config = address.parse().map_err(|error: Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            wrong(format!(
                "{error}{}; expected postgres://USER@HOST/DATABASE",
                cause.map(|cause| format!(": {cause}")).unwrap_or_default()
            ))
        })?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(wrong("expected postgres://USER@HOST/DATABASE".to_owned()));
        }
        if config.get_user().is_none() {
            config.user(
                env::var("PGUSER")
                    .or_else(|_| env::var("USER"))
                    .unwrap_or_default(),
            );
        }
        if config.get_password().is_none()
            && let Some(password) = password(&config)?
        {
            config.password(password);
        }
        config
            .application_name("baton")
            .connect_timeout(PATIENCE)
            // The other machine's system answers sooner than its server, or is gone.
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        let elsewhere = |ip: &IpAddr| !ip.is_loopback();
        if !config.get_hosts().iter().all(is_here) || config.get_hostaddrs().iter().any(elsewhere) {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self(config))
    }

    pub(crate) fn open(&self) -> io::Result<Connection> {
        let mut silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent =
            |(server, since): &(Config, Instant)| *server == self.0 && since.elapsed() < PATIENCE;
        if silent.as_ref().is_some_and(is_silent) {
            let why = "the server does not answer";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        // One host after the other is tried.
        let hosts = self.0.get_hosts().len().max(self.0.get_hostaddrs().len());
        let patience = PATIENCE * u32::try_from(hosts).unwrap_or(1);
        let opened = match self.0.get_ssl_mode() {
            SslMode::Require => Connection::open(&self.0, tls()?, patience),
            _ => Connection::open(&self.0, NoTls, patience),
        };
        let in_vain = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        *silent = opened
            .as_ref()
            .is_err_and(in_vain)
            .then(|| (self.0.clone(), Instant::now()));
        drop(silent);
        let connection = opened.map_err(|error| self.refused(error))?;
        connection.batch_execute(SETTINGS)?;
        Ok(connection)
    }

    /// Says where a password is looked for, when the server wants one and none was found.
    fn refused(&self, error: io::Error) -> io::Error {
        if self.0.get_password().is_some() || !error.to_string().contains("password missing") {
            return error;
        }
        let why = "the server asks for a password, and none was found: set PGPASSWORD, or write the line \
                   HOST:PORT:DATABASE:USER:PASSWORD to ~/.pgpass or to the file that PGPASSFILE names, mode 600";
        io::Error::new(error.kind(), why)
    }
}

/// Whether nobody sees what goes there: a socket of this machine's, or its loopback.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

/// The roots that are built in, or those of the file that `PGSSLROOTCERT` names.
fn tls() -> io::Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    match env::var_os("PGSSLROOTCERT") {
        Some(path) => {
            let bytes = files::read_named(&PathBuf::from(path), MOST)?;
            for certificate in pem(&bytes)? {
                roots.add(certificate).map_err(io::Error::other)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn pem(bytes: &[u8]) -> io::Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::pem_reader_iter(BufReader::new(bytes))
        .collect::<Result<_, _>>()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn password(config: &Config) -> io::Result<Option<String>> {
    if let Ok(password) = env::var("PGPASSWORD") {
        return Ok(Some(password));
    }
    let named = env::var_os("PGPASSFILE").map(PathBuf::from);
    let own = env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let Some(path) = named.or(own) else {
        return Ok(None);
    };
    match files::read_private(&path, MOST) {
        Ok(bytes) => Ok(found(&String::from_utf8_lossy(&bytes), config)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
    }
}

/// The first line `host:port:database:user:password` that fits; `*` fits anything, and a backslash takes
/// the meaning off what follows it.
fn found(text: &str, config: &Config) -> Option<String> {
    let host = match config.get_hosts().first()? {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => "localhost".to_owned(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let wanted = [&host, &port, config.get_dbname()?, config.get_user()?].map(ToString::to_string);
    text.lines().find_map(|line| {
        let fields = fields(line);
        let (password, place) = fields.split_last()?;
        let fits = place.len() == wanted.len()
            && !line.starts_with('#')
            && place
                .iter()
                .zip(&wanted)
                .all(|(got, want)| got == "*" || got == want);
        fits.then(|| password.clone())
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let letter = match letter {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => letters.next().unwrap_or('\\'),
            letter => letter,
        };
        if let Some(field) = fields.last_mut() {
            field.push(letter);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> Config {
        address.parse().unwrap()
    }

    #[test]
    fn a_password_is_found_as_psql_finds_it() {
        let text =
            "# h:5432:d:u:comment\nother:*:*:*:no\nh:5432:d:v:no\n*:*:d:u:a\\:b:c\n*:*:*:*:late\n";
        assert_eq!(found(text, &config("postgres://u@h/d")).unwrap(), "a:b:c");
        assert_eq!(found(text, &config("postgres://w@h/e")).unwrap(), "late");
        assert_eq!(found("h:5433:d:u:x\n", &config("postgres://u@h/d")), None);
    }

    #[test]
    fn what_leaves_the_machine_goes_over_tls() {
        for (address, wanted) in [
            ("postgres://u@127.0.0.1/d", SslMode::Prefer),
            ("postgres://u@localhost/d", SslMode::Prefer),
            (
                "postgres://u@db.example/d?sslmode=disable",
                SslMode::Require,
            ),
            ("postgres://u@10.0.0.2/d", SslMode::Require),
            ("postgres://u@127.0.0.1/d?sslmode=require", SslMode::Require),
            // The name is not what is connected to.
            (
                "postgres://u@localhost/d?hostaddr=192.0.2.2",
                SslMode::Require,
            ),
            ("postgres://u@localhost/d?host=db.example", SslMode::Require),
            (
                "postgres://u@localhost,localhost/d?hostaddr=127.0.0.1,192.0.2.2",
                SslMode::Require,
            ),
            (
                "postgres://u@localhost/d?hostaddr=127.0.0.1",
                SslMode::Prefer,
            ),
        ] {
            let config = Address::parse(address).unwrap().0;
            assert_eq!(config.get_ssl_mode(), wanted, "{address}");
        }
        tls().unwrap();
    }

    #[test]
    fn an_address_without_a_database_is_refused() {
        for address in [
            "postgres://",
            "postgres://u@h",
            "postgres://u@h/d?nonsense=1",
        ] {
            assert!(Address::parse(address).is_err(), "{address}");
        }
    }
}
