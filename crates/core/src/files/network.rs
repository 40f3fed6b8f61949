//! Whether a folder lies on another machine, where a rename, a lock and a sync do not mean what they mean here.

use std::io;

use super::Folder;

/// File systems that are reached over a network, by the numbers that statfs(2) gives them.
const NETWORKS: [(u64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
];

impl Folder {
    /// The name of the network file system that the folder lies on, if it is on one that is known.
    ///
    /// # Errors
    /// The system's.
    pub fn network(&self) -> io::Result<Option<&'static str>> {
        Ok(name_of(self.file_system()?))
    }

    #[cfg(target_os = "linux")]
    fn file_system(&self) -> io::Result<u64> {
        // The field is signed on some machines, and the number has 32 bits on all.
        let number = rustix::fs::fstatfs(&self.fd)?.f_type;
        Ok(u64::try_from(number).unwrap_or_default() & 0xffff_ffff)
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    fn file_system(&self) -> io::Result<u64> {
        Ok(0)
    }
}

fn name_of(number: u64) -> Option<&'static str> {
    let found = NETWORKS.iter().find(|(known, _)| *known == number);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_this_machine_is_on_no_network() {
        let folder = Folder::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(folder.network().unwrap(), None);
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0xef53), None);
    }
}
