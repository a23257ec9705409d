//! The files of a private server and who owns them.
//!
//! Invariant: after [`Place::prepare`] the server's account can reach its data and socket folders,
//! and nobody else but root can.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, lchown, symlink,
};
use std::path::{Path, PathBuf};

use super::PostgresError;
use super::account::Account;

/// Names the socket file; no network port is opened.
pub(super) const PORT: u16 = 5432;

/// Longest path of a socket folder: the kernel takes 107 bytes, the file's name is 14 with its `/`.
const LONGEST_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.5432".len();

/// Where a root process keeps data whose own place the server's account cannot reach.
const ROOT_FALLBACK: &str = "/var/lib/hyperfleet";

/// The files of one private server.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The server's own data directory.
    pub(super) data: PathBuf,
    /// Folder of the unix socket.
    pub(super) socket_directory: PathBuf,
    /// The server's log.
    pub(super) log: PathBuf,
    /// Who runs the server.
    pub(super) account: Account,
}

/// Holds a data directory for this process until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")] File,
);

impl Place {
    /// Makes the folders, gives them to the server's account, and holds the data directory.
    pub(super) fn prepare(data_directory: &Path) -> Result<(Self, Hold), PostgresError> {
        let account = Account::of_server()?;
        fs::create_dir_all(data_directory)
            .map_err(PostgresError::file("created", data_directory))?;
        let data_directory = fs::canonicalize(data_directory)
            .map_err(PostgresError::file("resolved", data_directory))?;
        let hold = Hold::take(&data_directory)?;
        let root = root_of(&data_directory, account)?;
        let place = Self {
            data: root.join("data"),
            socket_directory: socket_directory(&root),
            log: root.join("postgres.log"),
            account,
        };
        own_directory(&place.socket_directory, account)?;
        if let Ok(metadata) = fs::metadata(&place.data)
            && metadata.uid() != account.uid
        {
            take_over(&place.data, &metadata, account)?;
        }
        Ok((place, hold))
    }

    /// Where initdb works before the result is moved to its place in one step.
    pub(super) fn unfinished_data(&self) -> Result<PathBuf, PostgresError> {
        let unfinished = self.data.with_extension("unfinished");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(PostgresError::file("removed", &unfinished)(error));
            }
            _ => own_directory(&unfinished, self.account)?,
        }
        Ok(unfinished)
    }

    /// The server's lock file: its process id first, its status on the eighth line.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }
}

impl Hold {
    fn take(data_directory: &Path) -> Result<Self, PostgresError> {
        let path = data_directory.join("postgres.lock");
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(PostgresError::file("opened", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without a number the message still names the directory.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(PostgresError::InUse {
                    path: data_directory.to_owned(),
                    holder: if holder.is_empty() {
                        "(unknown)"
                    } else {
                        holder
                    }
                    .to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(PostgresError::file("locked", &path)(source));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(PostgresError::file("written", &path))?;
        Ok(Self(file))
    }
}

/// The folder of the server's files: `postgres` in the data directory, or what that links to.
///
/// A root process hands the server to another account, which must be able to pass through every
/// folder above its own. Where it cannot (a home of root, for example), the files are kept under
/// `/var/lib/hyperfleet` and the data directory gets a link to them.
fn root_of(data_directory: &Path, account: Account) -> Result<PathBuf, PostgresError> {
    let root = data_directory.join("postgres");
    if let Ok(linked) = fs::read_link(&root) {
        let metadata = fs::metadata(&linked)
            .map_err(PostgresError::file("reached through its link", &root))?;
        debug_assert!(metadata.is_dir());
        return Ok(linked);
    }
    if account == Account::own() {
        make_directory(&root, 0o700)?;
        return Ok(root);
    }
    open_to_passage(data_directory, account)?;
    if let Some(barrier) = barrier_above(data_directory, account)? {
        let elsewhere = Path::new(ROOT_FALLBACK).join(format!("{:016x}", hash_of(data_directory)));
        tracing::warn!(
            barrier = %barrier.display(),
            kept_in = %elsewhere.display(),
            "the server's account cannot pass through a folder above the data directory; the \
             database is kept elsewhere and linked"
        );
        make_directory(Path::new(ROOT_FALLBACK), 0o711)?;
        make_directory(&elsewhere, 0o711)?;
        symlink(&elsewhere, &root).map_err(PostgresError::file("linked", &root))?;
        return Ok(elsewhere);
    }
    make_directory(&root, 0o711)?;
    Ok(root)
}

/// Lets the server's account pass through the data directory itself, which is ours to open.
fn open_to_passage(data_directory: &Path, account: Account) -> Result<(), PostgresError> {
    let metadata =
        fs::metadata(data_directory).map_err(PostgresError::file("read", data_directory))?;
    if account.may_traverse(&metadata) {
        return Ok(());
    }
    fs::set_permissions(
        data_directory,
        fs::Permissions::from_mode(metadata.mode() | 0o011),
    )
    .map_err(PostgresError::file("opened to passage", data_directory))
}

fn barrier_above(
    data_directory: &Path,
    account: Account,
) -> Result<Option<PathBuf>, PostgresError> {
    for folder in data_directory.ancestors().skip(1) {
        let metadata = fs::metadata(folder).map_err(PostgresError::file("read", folder))?;
        if !account.may_traverse(&metadata) {
            return Ok(Some(folder.to_owned()));
        }
    }
    Ok(None)
}

/// `socket` beside the data, unless that path is too long for a socket.
fn socket_directory(root: &Path) -> PathBuf {
    let beside = root.join("socket");
    if beside.as_os_str().as_bytes().len() <= LONGEST_SOCKET_FOLDER {
        return beside;
    }
    Path::new("/tmp").join(format!("hyperfleet-{:016x}", hash_of(root)))
}

/// Makes a folder that only `account` (and root) can enter, or checks that it is one.
fn own_directory(path: &Path, account: Account) -> Result<(), PostgresError> {
    make_directory(path, 0o700)?;
    // Not following links: in /tmp anyone could have put one here.
    let metadata = fs::symlink_metadata(path).map_err(PostgresError::file("read", path))?;
    let own = Account::own();
    if !metadata.is_dir() || (metadata.uid() != account.uid && metadata.uid() != own.uid) {
        return Err(PostgresError::ForeignOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            own: own.uid,
        });
    }
    if metadata.uid() != account.uid {
        chown(path, Some(account.uid), Some(account.gid))
            .map_err(PostgresError::file("given to the server's account", path))?;
    }
    Ok(())
}

fn make_directory(path: &Path, mode: u32) -> Result<(), PostgresError> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(PostgresError::file("created", path)),
    }
}

/// Gives data that another account made to the server's account; only root can.
fn take_over(data: &Path, metadata: &fs::Metadata, account: Account) -> Result<(), PostgresError> {
    let own = Account::own();
    if own.uid != 0 {
        return Err(PostgresError::ForeignOwner {
            path: data.to_owned(),
            owner: metadata.uid(),
            own: own.uid,
        });
    }
    tracing::info!(data = %data.display(), uid = account.uid, "giving the data to the server's account");
    give(data, account)
}

fn give(path: &Path, account: Account) -> Result<(), PostgresError> {
    lchown(path, Some(account.uid), Some(account.gid))
        .map_err(PostgresError::file("given to the server's account", path))?;
    let metadata = fs::symlink_metadata(path).map_err(PostgresError::file("read", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(PostgresError::file("listed", path))? {
            give(
                &entry.map_err(PostgresError::file("listed", path))?.path(),
                account,
            )?;
        }
    }
    Ok(())
}

fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
