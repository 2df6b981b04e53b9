//! Writing files so that nobody ever sees half of one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

/// Writes `bytes` to `path` atomically: a temporary file beside it is written, flushed to disk and renamed.
///
/// Whoever opens `path` sees the old content or the new one, never a mixture, even after a crash or on a full
/// disk. On failure the temporary file is removed and the old content, if any, is untouched. Mode and owner stay those of the old file, as far as the
/// system lets us set them. A link stays: what it leads to is replaced. What is no plain file (a device, a pipe) is written into, as it is.
///
/// # Errors
/// The operating system's error from creating, writing, flushing or renaming.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, kind) = &led_to(path)?;
    match kind {
        Kind::Stdout => {
            let mut stream = io::stdout().lock();
            return stream.write_all(bytes).and_then(|()| stream.flush());
        }
        Kind::Stderr => return io::stderr().lock().write_all(bytes),
        Kind::Stream => return OpenOptions::new().append(true).open(path)?.write_all(bytes),
        Kind::File => {}
    }
    let mut file = temporary_beside(path)?;
    // Before anything is in it: what was nobody else's to read is not for a moment.
    if let Ok(old) = std::fs::metadata(path) {
        keep_owner_and_mode(file.as_file(), &old);
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // Makes the rename itself durable where folders can be flushed; elsewhere the data are safe all the same.
    if let Ok(folder) = File::open(parent(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Finds out whether [`write_atomic`] could write `path`, and leaves nothing behind: of writers that died beside it neither.
///
/// # Errors
/// `path` is a folder, or the operating system's error from creating a file beside it.
pub fn check_writable(path: &Path) -> io::Result<()> {
    let (path, kind) = &led_to(path)?;
    // To open a pipe is to wait for its reader.
    if *kind != Kind::File {
        return Ok(());
    }
    remove_orphans(path);
    temporary_beside(path)?.close()
}

/// Whether [`write_atomic`] would replace a file with something in it. Devices, pipes and open files by their names are written into, and
/// nothing is lost of an empty file.
pub fn replaces(path: &Path) -> bool {
    led_to(path).is_ok_and(|(place, kind)| {
        let there = std::fs::metadata(place);
        kind == Kind::File && there.is_ok_and(|there| there.is_file() && there.len() > 0)
    })
}

/// How an output is written.
#[derive(PartialEq, Eq)]
enum Kind {
    /// Replaced, or yet to come.
    File,
    /// A device, a pipe, or the name of an open file, which only the system can follow.
    Stream,
    /// Of this process, whose place in it others must not lose.
    Stdout,
    Stderr,
}

fn kind_of(path: &Path) -> io::Result<Kind> {
    let plain = without_dots(path);
    let path = plain.as_path();
    let is = |names: [&str; 3]| names.iter().any(|name| path == Path::new(name));
    let folder = path.parent().unwrap_or(path);
    let is_open = folder == Path::new("/dev/fd")
        || folder.starts_with("/proc") && folder.file_name() == Some(OsStr::new("fd"));
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a folder; expected a file",
        )),
        Ok(_) if is(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]) => Ok(Kind::Stdout),
        Ok(_) if is(["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]) => Ok(Kind::Stderr),
        Ok(there) if !there.is_file() || is_open => Ok(Kind::Stream),
        Ok(_) => Ok(Kind::File),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kind::File),
        // A link that the system does not let us follow is not followed by hand.
        Err(error) => Err(error),
    }
}

/// The same path without `.`, and without `..` where that is a matter of words: of the system's own names.
fn without_dots(path: &Path) -> PathBuf {
    if !path.starts_with("/dev") && !path.starts_with("/proc") {
        return path.to_owned();
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Where a path leads, through links, to a file that may be yet to come: what [`write_atomic`] writes. A folder is where it is.
///
/// # Errors
/// Links in a circle; those that cannot be read.
pub fn destination(path: &Path) -> io::Result<PathBuf> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    led_to(path).map(|(place, _)| place)
}

/// The file that a path leads to, or the first name on the way of something that is no file to be replaced.
fn led_to(path: &Path) -> io::Result<(PathBuf, Kind)> {
    const MOST_LINKS: usize = 40;
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        let kind = kind_of(&place)?;
        if kind != Kind::File {
            return Ok((place, kind));
        }
        match std::fs::symlink_metadata(&place) {
            Ok(there) if there.is_symlink() => {
                let target = std::fs::read_link(&place)?;
                place = parent(&place).join(target);
            }
            _ => return Ok((place, kind)),
        }
    }
    Err(io::Error::other("is a link that leads in a circle"))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// The new file's mode and owner are the old one's; where its group cannot be, the new group gets nothing.
#[cfg(unix)]
fn keep_owner_and_mode(new: &File, old: &Metadata) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let Ok(made) = new.metadata() else {
        return;
    };
    let owner = made.uid() == old.uid() || fchown(new, Some(old.uid()), None).is_ok();
    let group = made.gid() == old.gid() || fchown(new, None, Some(old.gid())).is_ok();
    let mode = match (owner, group) {
        (true, true) => old.mode() & 0o7777,
        (false, true) => old.mode() & 0o777,
        (_, false) => old.mode() & 0o707,
    };
    let _ = new.set_permissions(std::fs::Permissions::from_mode(mode));
}

#[cfg(not(unix))]
fn keep_owner_and_mode(new: &File, old: &Metadata) {
    let _ = new.set_permissions(old.permissions());
}

/// An ending that nobody else gives: what has it is removed.
const ENDING: &str = ".ddpm-tmp";
/// Random letters and digits of a temporary name.
const RANDOM: usize = 10;

/// What temporary names of `path` begin with.
fn beginning(path: &Path) -> io::Result<OsString> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    let mut beginning = OsString::from(".");
    beginning.push(name);
    beginning.push(".");
    Ok(beginning)
}

/// A hidden file beside `path`, so that the rename stays on one file system, locked as long as it is open: so nobody takes it for a dead writer's.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let beginning = beginning(path)?;
    // Created by us and not by tempfile: it then has the mode of any new file, and an error is the system's own.
    let file = tempfile::Builder::new()
        .prefix(&beginning)
        .suffix(ENDING)
        .rand_bytes(RANDOM)
        .make_in(parent(path), |hidden| File::create_new(hidden))?;
    // Where the file system knows no locks nothing is taken for dead either.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Removes the temporary files of `path` that no process holds: a writer was killed.
fn remove_orphans(path: &Path) {
    if let Ok(beginning) = beginning(path) {
        sweep(parent(path), &beginning, YOUNG);
    }
}

/// Removes what killed writers of any file have left in a folder of this program's own, to which nobody else writes now.
pub fn remove_orphans_in(folder: &Path) {
    sweep(folder, OsStr::new("."), Duration::ZERO);
}

/// Whether a folder is not there, or holds nothing but files that their writers have not finished.
pub fn is_vacant(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.all(|name| name.as_encoded_bytes().ends_with(ENDING.as_bytes()))
}

fn sweep(folder: &Path, beginning: &OsStr, young: Duration) {
    let is_ours = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        let stem = name
            .strip_prefix(beginning.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(ENDING.as_bytes()));
        stem.and_then(|stem| stem.split_last_chunk::<RANDOM>())
            .is_some_and(|(before, random)| {
                let is_whole = before.is_empty() || (beginning == "." && before.ends_with(b"."));
                is_whole && random.iter().all(u8::is_ascii_alphanumeric)
            })
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !is_ours(&entry.file_name()) || is_younger(&entry, young) {
            continue;
        }
        // To write into it is the only way to lock it everywhere; nothing is written.
        let held = OpenOptions::new().write(true).open(entry.path());
        if held.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// How long its writer may have created a file and not locked it yet.
const YOUNG: Duration = Duration::from_secs(2);

fn is_younger(entry: &std::fs::DirEntry, young: Duration) -> bool {
    let age = entry
        .metadata()
        .and_then(|there| there.modified())
        .map(|at| at.elapsed());
    !matches!(age, Ok(Ok(age)) if age >= young)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn replaces_the_old_content_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_target_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        // The target is a folder, so that the rename at the very end fails.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        assert!(write_atomic(&path, b"new").is_err());
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["taken"]);
    }

    #[test]
    fn a_check_touches_no_file_and_refuses_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        fs::write(&path, b"mine").unwrap();
        check_writable(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(check_writable(folder.path()).is_err());
        // A folder of samples is an output too, with a lock beside it.
        assert_eq!(destination(folder.path()).unwrap(), folder.path());
        assert!(check_writable(&folder.path().join("absent/out.json")).is_err());
    }

    #[test]
    fn a_path_under_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(write_atomic(&file.join("below"), b"x").is_err());
        assert!(write_atomic(Path::new("/"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_devices_and_pipes_are_written_into() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("real"), "old").unwrap();
        symlink("real", at("link")).unwrap();
        symlink("link", at("link to a link")).unwrap();
        symlink("not there yet", at("dangling")).unwrap();
        for link in ["link", "link to a link", "dangling"] {
            check_writable(&at(link)).unwrap();
            write_atomic(&at(link), link.as_bytes()).unwrap();
            assert!(
                fs::symlink_metadata(at(link)).unwrap().is_symlink(),
                "{link}"
            );
            assert_eq!(fs::read_to_string(at(link)).unwrap(), link);
        }
        assert_eq!(fs::read_to_string(at("real")).unwrap(), "link to a link");
        symlink("circle", at("circle")).unwrap();
        assert!(write_atomic(&at("circle"), b"x").is_err());

        let pipe = at("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        check_writable(&pipe).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write_atomic(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        // Through a link too, and by a name of the system that goes up and down.
        symlink("/dev/null", at("link to a device")).unwrap();
        write_atomic(&at("link to a device"), b"gone").unwrap();
        assert!(
            fs::symlink_metadata(at("link to a device"))
                .unwrap()
                .is_symlink()
        );
        symlink("/dev/../dev/stdout", at("link to a stream")).unwrap();
        assert!(matches!(
            led_to(&at("link to a stream")).unwrap().1,
            Kind::Stdout | Kind::Stream
        ));
        write_atomic(Path::new("/dev/null"), b"gone").unwrap();
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
    }

    #[cfg(unix)]
    #[test]
    fn mode_and_owner_stay_those_of_the_old_file() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Another's file can only be made by the system's administrator.
        let owner = std::os::unix::fs::chown(&path, Some(1234), Some(4321)).is_ok();
        write_atomic(&path, b"new").unwrap();
        let there = fs::metadata(&path).unwrap();
        assert_eq!(there.mode() & 0o7777, 0o640);
        assert!(!owner || (there.uid(), there.gid()) == (1234, 4321));
        // A new file has the mode that any new file has.
        let (ours, any) = (folder.path().join("ours"), folder.path().join("any"));
        write_atomic(&ours, b"").unwrap();
        fs::write(&any, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(&ours), mode(&any));
    }

    #[test]
    fn what_a_dead_writer_left_goes_and_what_a_living_one_holds_stays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("p");
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
        let aged = |name: &str| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_modified(long_ago).unwrap();
            (path, file)
        };
        let (dead, file) = aged(".p.abcdef1234.ddpm-tmp");
        drop(file);
        let (_, living) = aged(".p.abcdef1235.ddpm-tmp");
        living.try_lock().unwrap();
        // Names that are no temporary ones of this output, and one that was made just now.
        for name in [
            ".q.abcdef1234.ddpm-tmp",
            ".p.ab.ddpm-tmp",
            ".p.abcde-1234.ddpm-tmp",
            ".p.backup1234.partial",
        ] {
            drop(aged(name));
        }
        fs::write(folder.path().join(".p.abcdef1236.ddpm-tmp"), "").unwrap();
        check_writable(&out).unwrap();
        assert!(!dead.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
        // In a folder of our own those of every file go, however young.
        remove_orphans_in(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert!(!folder.path().join(".q.abcdef1234.ddpm-tmp").exists());
    }
}
