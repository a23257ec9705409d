//! The account that a private server runs as.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::PostgresError;

/// Accounts that a root process may hand the server to, best first.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The account of this process.
    #[expect(unsafe_code, reason = "the standard library has no geteuid")]
    pub(super) fn own() -> Self {
        // SAFETY: both calls take nothing, cannot fail and touch no memory.
        unsafe {
            Self {
                uid: libc::geteuid(),
                gid: libc::getegid(),
            }
        }
    }

    /// The account to run the server as: our own, or, because PostgreSQL refuses root, another.
    pub(super) fn of_server() -> Result<Self, PostgresError> {
        let own = Self::own();
        if own.uid != 0 {
            return Ok(own);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(PostgresError::file("read", path))?;
        CANDIDATES
            .iter()
            .find_map(|name| Self::in_passwd(&passwd, name))
            .ok_or(PostgresError::NoAccount)
    }

    /// Whether this account may pass through `directory`.
    pub(super) fn may_traverse(self, directory: &fs::Metadata) -> bool {
        let execute = if directory.uid() == self.uid {
            0o100
        } else if directory.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        directory.mode() & execute != 0
    }

    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some(Self {
            uid: ids.next()?.parse().ok()?,
            gid: ids.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "nobodyelse:x:7:8::/:/bin/false\nnobody:x:65534:65533:nobody:/:/bin/false\n";
        let expected = Account {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(Account::in_passwd(passwd, "nobody"), Some(expected));
        assert_eq!(Account::in_passwd(passwd, "postgres"), None);
    }
}
