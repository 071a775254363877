//! Plain files, opened without trust: a pipe or a device in the place of one is
//! refused at once, and nobody waits for whoever is at its other end.

use std::error::Error;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK};

/// More than any short file of ours has.
const SHORT_BYTES_MAX: u64 = 256 * 1024;

/// Something else stands in the place of a file.
#[derive(Debug, thiserror::Error)]
#[error("it is {0}, not a regular file")]
struct NoFile(&'static str);

/// Whether `error`, or one of its causes, is that something else stands in the
/// place of a file.
pub fn is_no_file(error: &(dyn Error + 'static)) -> bool {
    let said = error.downcast_ref().and_then(io::Error::get_ref);
    said.is_some_and(<dyn Error + Send + Sync>::is::<NoFile>)
        || error.source().is_some_and(is_no_file)
}

/// What stands somewhere, for people.
pub fn kind(of: FileType) -> &'static str {
    match of {
        of if of.is_file() => "a regular file",
        of if of.is_dir() => "a directory",
        of if of.is_symlink() => "a symbolic link",
        of if of.is_fifo() => "a named pipe",
        of if of.is_socket() => "a socket",
        _ => "a special file",
    }
}

/// Opens a file that people wrote or named, perhaps through a link.
///
/// # Errors
///
/// When it cannot be opened or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    with(path, OpenOptions::new().read(true), 0)
}

/// Opens a file of our own, which is no link.
///
/// # Errors
///
/// When it cannot be opened as `options` say, or is something else.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    with(path, options, O_NOFOLLOW | O_CLOEXEC)
}

/// Puts a short file of our own, which only its owner can read, in the place of
/// `path`: whoever reads finds what was there or all of `bytes`. What a crash of the
/// machine leaves there is not told.
///
/// # Errors
///
/// When it cannot be written; what was there stays.
pub fn replace_own(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = Path::new(&name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open_own(temporary, &mut options)?;
    let written = file.write_all(bytes);
    let written = written.and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        // A full disk leaves half of it, which is only in the way.
        _ = fs::remove_file(temporary);
    }
    written
}

/// What is in a short file, perhaps through a link.
///
/// # Errors
///
/// When it cannot be read, is something else, or longer than 256 KiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    bytes(&open(path)?, SHORT_BYTES_MAX)
}

/// What is in `file`, if it is no more than so much.
///
/// # Errors
///
/// When it cannot be read, or is longer.
pub fn bytes(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if most < bytes.len() as u64 {
        let text = match most >> 20 {
            0 => format!("it is larger than {} KiB", most >> 10),
            mega => format!("it is larger than {mega} MiB"),
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

/// Whether a write failed because its file may not become longer. Room elsewhere
/// does not help then; another file does, if what is to be written fits in one.
pub fn is_too_long(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

/// What a person can do where files may not become long enough.
pub const RAISE_LIMIT: &str = "raise the limit on the size of files (ulimit -f, or LimitFSIZE= of a service), then `falco stop` and `falco up`";

/// Takes room on disk, so that `file` can hold so many bytes on a disk that is
/// full by then; what it holds stays. What cannot be taken whole is not taken.
///
/// Kept by file systems that write in place.
///
/// # Errors
///
/// When there is no room.
pub fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let before = file.metadata()?.len();
    let taken = take_room(file, before, bytes);
    if taken.is_err() {
        // A file system may have taken what there was. Why there is not enough
        // says more than why that cannot be given back.
        _ = file.set_len(before);
    }
    taken
}

#[cfg(target_os = "linux")]
fn take_room(file: &File, before: u64, bytes: u64) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};
    let length = nix::libc::off_t::try_from(bytes).unwrap_or(nix::libc::off_t::MAX);
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::EINTR) => {}
            // Not every filesystem can.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return fill(file, before, bytes),
            taken => return Ok(taken?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn take_room(file: &File, before: u64, bytes: u64) -> io::Result<()> {
    fill(file, before, bytes)
}

/// Bytes that are written are taken; zeros might not be.
fn fill(file: &File, mut at: u64, bytes: u64) -> io::Result<()> {
    let block = vec![0xff; 64 * 1024];
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
        let part = &block[..block.len().min(left)];
        file.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

fn with(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    // The open of a pipe would wait for its other end.
    let opened = options.custom_flags(flags | O_NONBLOCK).open(path);
    let there = match &opened {
        Ok(file) => file.metadata(),
        // Why what is no file cannot be opened says less than what it is.
        Err(_) if flags & O_NOFOLLOW == 0 => fs::metadata(path),
        Err(_) => fs::symlink_metadata(path),
    };
    match there {
        Ok(there) if there.is_file() => opened,
        Ok(there) => {
            let other = NoFile(kind(there.file_type()));
            Err(io::Error::new(io::ErrorKind::InvalidInput, other))
        }
        Err(error) => Err(opened.err().unwrap_or(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_file_without_bound_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let none = "it is a named pipe, not a regular file";
        assert_eq!(open(&pipe).unwrap_err().to_string(), none);
        assert_eq!(read(&pipe).unwrap_err().to_string(), none);
        let mut options = OpenOptions::new();
        let write = open_own(&pipe, options.write(true)).unwrap_err();
        assert_eq!(write.to_string(), none);
        let both = open_own(&pipe, options.read(true)).unwrap_err();
        assert_eq!(both.to_string(), none);
        let device = open(Path::new("/dev/zero")).unwrap_err();
        let none = "it is a special file, not a regular file";
        assert_eq!(device.to_string(), none);
        assert!(is_no_file(&device) && is_no_file(&write));

        let file = dir.path().join("file");
        std::fs::write(&file, vec![b'x'; 1024 * 1024]).unwrap();
        let read = |most| bytes(&open(&file).unwrap(), most);
        assert_eq!(read(1 << 20).unwrap().len(), 1 << 20);
        let error = read((1 << 20) - 1).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 1023 KiB");
    }

    #[test]
    fn a_link_is_followed_only_where_people_may_have_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open(&link).is_ok() && read(&link).is_ok());
        let own = open_own(&link, OpenOptions::new().read(true));
        let none = "it is a symbolic link, not a regular file";
        assert_eq!(own.unwrap_err().to_string(), none);
        std::fs::remove_file(&file).unwrap();
        let missing = open(&link).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn who_reads_what_is_replaced_finds_all_of_the_one_or_of_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let both = [vec![b'a'; 5000], vec![b'b'; 7000]];
        replace_own(&file, &both[0]).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for bytes in both.iter().cycle().take(500) {
                    replace_own(&file, bytes).unwrap();
                }
            });
            while !writer.is_finished() {
                assert!(both.contains(&read(&file).unwrap()));
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_so_does_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (file, way) = (dir.path().join("file"), dir.path().join("file.new"));
        replace_own(&file, b"old").unwrap();
        std::os::unix::fs::symlink("elsewhere", &way).unwrap();
        replace_own(&file, b"new").unwrap_err();
        assert_eq!(read(&file).unwrap(), b"old");
        assert!(way.is_symlink());
    }

    #[test]
    fn room_without_the_systems_help_leaves_what_a_file_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "held").unwrap();
        let mut options = OpenOptions::new();
        let file = open_own(&path, options.write(true)).unwrap();
        fill(&file, 4, 100_000).unwrap();
        fill(&file, 100_000, 10).unwrap();
        let held = std::fs::read(&path).unwrap();
        assert_eq!((held.len(), &held[..4]), (100_000, &b"held"[..]));
        assert!(reserve(&open(&path).unwrap(), 200_000).is_err());
        reserve(&file, 10).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 100_000);
    }
}
