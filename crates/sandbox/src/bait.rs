//! What the canary tries to reach: listeners and a decoy of ours, on the host, for one run.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;

use crate::account::give;
use crate::level::Aspect;
use crate::scratch::Scratch;
use crate::wire::{Bait, Trial};

const SECRET: &[u8] = b"decoy: a gate that reads this reads the host\n";

/// Everything that is laid out; gone when dropped.
pub(crate) struct Laid {
    folder: Scratch,
    tcp: TcpListener,
    udp: UdpSocket,
    by_path: UnixListener,
    /// Linux only.
    by_name: Option<UnixListener>,
    pub(crate) bait: Bait,
}

impl Laid {
    /// Lays it out. It belongs to the gate's account, so that only a wall can refuse; and to nobody
    /// else, who could spring it or take it away.
    pub(crate) fn out(account: Option<u32>) -> io::Result<Self> {
        let folder = Scratch::new()?;
        let secret = folder.path().join("secret");
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&secret)?
            .write_all(SECRET)?;
        let socket = folder.path().join("socket");
        let by_path = UnixListener::bind(&socket)?;
        if let Some(account) = account {
            give(folder.path(), account)?;
        }
        // The folder's name is random, so the abstract name is too.
        let abstract_name = folder.path().to_string_lossy().into_owned();
        let by_name = listen_by_name(&abstract_name)?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        by_path.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let bait = Bait {
            secret,
            socket,
            abstract_name,
            tcp_port: tcp.local_addr()?.port(),
            udp_port: udp.local_addr()?.port(),
            outer: 0,
            caller: std::process::id(),
            folder: folder.path().to_path_buf(),
        };
        Ok(Self {
            folder,
            tcp,
            udp,
            by_path,
            by_name,
            bait,
        })
    }

    /// Corrects what the canary says by what arrived here: its word alone is not taken.
    pub(crate) fn check(&self, trials: &mut [Trial]) {
        let came =
            |result: io::Result<()>| !result.is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        let mut arrived = Vec::new();
        if came(self.tcp.accept().map(drop)) || came(self.udp.recv(&mut [0; 8]).map(drop)) {
            arrived.push(Aspect::Network);
        }
        let by_name = self.by_name.as_ref().map(UnixListener::accept);
        if came(self.by_path.accept().map(drop)) || by_name.is_some_and(|it| came(it.map(drop))) {
            arrived.push(Aspect::UnixSockets);
        }
        let untouched = fs::read(&self.bait.secret).is_ok_and(|content| content == SECRET);
        if self.folder.path().join("written").exists() || !untouched {
            arrived.push(Aspect::FilesWrite);
        }
        for trial in trials
            .iter_mut()
            .filter(|trial| arrived.contains(&trial.aspect))
        {
            if trial.held {
                trial.held = false;
                trial.answer = format!("{}; but it arrived outside", trial.answer);
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn listen_by_name(name: &str) -> io::Result<Option<UnixListener>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

#[cfg(not(target_os = "linux"))]
fn listen_by_name(_: &str) -> io::Result<Option<UnixListener>> {
    Ok(None)
}
