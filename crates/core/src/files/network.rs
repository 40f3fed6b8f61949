//! Whether a folder lies on another machine, where a rename, a lock and a sync do not mean what they mean here.

use std::io;

use super::Folder;

/// File systems that are reached over a network, by the numbers that statfs(2) gives them.
const NETWORKS: [(u64, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
];

/// File systems that one kernel alone is at, by the same numbers. Any other may be a host's folder in a virtual
/// machine, a cluster's, or what a program stands for.
const LOCAL: [u64; 13] = [
    // ext2, ext3, ext4
    0xef53,
    // XFS
    0x5846_5342,
    // btrfs
    0x9123_683e,
    // ZFS
    0x2fc1_2fc1,
    // F2FS
    0xf2f5_2010,
    // bcachefs
    0xca45_1a4e,
    // JFS
    0x3153_464a,
    // NILFS2
    0x3434,
    // tmpfs
    0x0102_1994,
    // ramfs
    0x8584_58f6,
    // FAT
    0x4d44,
    // exFAT
    0x2011_bab0,
    // Whatever its layers lie on, only one mount at a time may write to them.
    OVERLAY,
];

/// An overlay of layers, as containers have it.
const OVERLAY: u64 = 0x794c_7630;

impl Folder {
    /// Whether no other machine can be at the folder at the same time; false where that is not known.
    #[must_use]
    pub fn is_of_one_machine(&self) -> bool {
        self.file_system()
            .is_ok_and(|number| LOCAL.contains(&number))
    }

    /// The name of the network file system that the folder lies on, if it is on one that is known.
    ///
    /// # Errors
    /// The system's.
    pub fn network(&self) -> io::Result<Option<&'static str>> {
        Ok(name_of(self.file_system()?))
    }

    /// Whether the folder lies on an overlay file system, where what came with a lower layer cannot be moved.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        self.file_system().is_ok_and(|number| number == OVERLAY)
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
        assert!(folder.is_of_one_machine());
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0xef53), None);
    }
}
