//! Mail on disk. For now: the bodies of messages in flight.
//!
//! A [`Spool`] keeps bodies in memory as long as there is room, and moves a body that outgrows `in_memory`, or its share of what all
//! bodies together may take (`all_in_memory`), into a temporary file without a name. When the body is complete, the file is mapped,
//! and whoever reads the body sees a [`Bytes`] like any other. Nothing has to be cleaned up: the kernel frees the file when the
//! last reader drops its bytes, and also when the process dies.
//!
//! Invariant: knows nothing of messages, only of bytes. Whatever must survive a crash does not belong here.

use bytes::{Bytes, BytesMut};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};
use wasmilter_message::body::{BodyStore, BodyWriter};

/// Bodies up to this size, in bytes, stay in memory even when there is no room left: a file would take longer than the message.
/// How many there are at once is bounded by the connections.
const ALWAYS_IN_MEMORY: u64 = 64 << 10;

/// Where bodies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Directory of the temporary files; None for the system's (`$TMPDIR`, otherwise `/tmp`). It should be on a real
    /// disk: a tmpfs keeps in memory what was to leave it.
    pub directory: Option<PathBuf>,
    /// Bodies of up to that many bytes stay in memory.
    pub in_memory: u64,
    /// Bodies in memory may have so many bytes together; what comes when they do goes to files.
    pub all_in_memory: u64,
    /// A body of more bytes is refused.
    pub max: u64,
}

/// Keeps the bodies of messages in flight.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
    in_memory: u64,
    max: u64,
    room: Arc<Room>,
}

/// What bodies in memory may take together.
#[derive(Debug)]
struct Room {
    left: AtomicU64,
}

/// Room that is taken, until this is dropped.
#[derive(Debug)]
struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

/// Why the spool can not be used.
#[derive(Debug, thiserror::Error)]
#[error("spool directory {directory}: {source}")]
pub struct SpoolError {
    /// The directory as configured or found.
    pub directory: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Spool {
    /// Opens a spool, and proves at once that files can be made in its directory.
    ///
    /// # Errors
    /// When they can not.
    pub fn open(settings: SpoolSettings) -> Result<Self, SpoolError> {
        let directory = settings.directory.unwrap_or_else(std::env::temp_dir);
        match tempfile::tempfile_in(&directory) {
            Ok(_) => Ok(Self {
                directory,
                in_memory: settings.in_memory,
                max: settings.max,
                room: Arc::new(Room { left: AtomicU64::new(settings.all_in_memory) }),
            }),
            Err(source) => Err(SpoolError { directory, source }),
        }
    }
}

impl BodyStore for Spool {
    fn start(&self) -> Box<dyn BodyWriter> {
        let taken = Taken { room: Arc::clone(&self.room), bytes: 0 };
        Box::new(Body { spool: self.clone(), length: 0, place: Place::Memory(BytesMut::new(), taken) })
    }
}

/// A body that is being written.
struct Body {
    spool: Spool,
    length: u64,
    place: Place,
}

enum Place {
    Memory(BytesMut, Taken),
    /// A file that has no name: nobody else can open it.
    File(File),
}

impl BodyWriter for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length.saturating_add(bytes.len() as u64);
        if length > self.spool.max {
            let text = format!("body of more than {} bytes, the limit of the spool", self.spool.max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        if let Place::Memory(_, taken) = &mut self.place
            && (length > self.spool.in_memory || !taken.grow_to(length))
        {
            self.move_to_file()?;
        }
        match &mut self.place {
            Place::Memory(memory, _) => memory.extend_from_slice(bytes),
            Place::File(file) => file.write_all(bytes).map_err(|error| self.spool.context("writing a body", &error))?,
        }
        self.length = length;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn finish(self: Box<Self>) -> io::Result<Bytes> {
        match self.place {
            Place::Memory(memory, taken) if taken.bytes == 0 => Ok(memory.freeze()),
            Place::Memory(memory, taken) => Ok(Bytes::from_owner(InRoom { memory, _taken: taken })),
            Place::File(file) => map(file).map_err(|error| self.spool.context("mapping a body", &error)),
        }
    }
}

impl Body {
    /// Continues in a file, unless it does already.
    fn move_to_file(&mut self) -> io::Result<()> {
        if let Place::Memory(memory, _) = &self.place {
            let mut file =
                tempfile::tempfile_in(&self.spool.directory).map_err(|e| self.spool.context("making a file", &e))?;
            file.write_all(memory).map_err(|error| self.spool.context("writing a body", &error))?;
            self.place = Place::File(file);
        }
        Ok(())
    }
}

impl Taken {
    /// Takes what a body of `length` bytes needs; false when there is no room for it.
    fn grow_to(&mut self, length: u64) -> bool {
        if length <= ALWAYS_IN_MEMORY {
            return true;
        }
        // Memory grows by doubling: what is set aside for it does too, and so this is rare.
        let wanted = length.checked_next_power_of_two().unwrap_or(length).saturating_sub(self.bytes);
        let taken = self.room.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted));
        if taken.is_ok() {
            self.bytes = self.bytes.saturating_add(wanted);
        }
        taken.is_ok()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body in memory with the room that it takes.
struct InRoom {
    memory: BytesMut,
    _taken: Taken,
}

impl AsRef<[u8]> for InRoom {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Spool {
    /// The same kind of error, and what was being done where.
    fn context(&self, doing: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{doing} in {}: {error}", self.directory.display()))
    }
}

/// The content of a private file that nobody will write to any more. The descriptor is closed: the mapping keeps the
/// file alive until the last [`Bytes`] that looks into it is dropped.
#[allow(unsafe_code, reason = "the one mapping of the workspace; see SAFETY")]
fn map(file: File) -> io::Result<Bytes> {
    // SAFETY: a mapping is undefined behaviour when somebody changes or truncates the file below it (changed bytes
    // behind a shared reference, SIGBUS past the end). Nobody can: `tempfile` made this file without a name (O_TMPFILE,
    // or unlinked before it was handed out) and with mode 0600, so no other process can open it by path; `file` is
    // the only descriptor in this process, was never cloned, is owned by this function, and is closed when it returns,
    // after which no way to write to the file or to truncate it is left. All writes came before, through the same
    // descriptor and without a buffer of our own, so the length that is mapped is the length that was written.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn spool(in_memory: u64, max: u64) -> Spool {
        Spool::open(SpoolSettings { directory: None, in_memory, all_in_memory: 1 << 20, max })
            .expect("the system's directory")
    }

    fn written(spool: &Spool, pieces: &[&[u8]]) -> Bytes {
        let mut body = spool.start();
        for piece in pieces {
            body.write(piece).expect("room");
        }
        assert_eq!(body.len(), pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        body.finish().expect("room")
    }

    /// Whether `bytes` lie in a mapped file without a name, as the kernel tells it.
    fn mapped(bytes: &Bytes) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a Linux system");
        let address = bytes.as_ptr() as usize;
        maps.lines().any(|line| {
            let (range, rest) = line.split_once(' ').expect("range first");
            let (from, to) = range.split_once('-').expect("a range");
            let number = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
            (number(from)..number(to)).contains(&address) && rest.ends_with("(deleted)")
        })
    }

    #[test]
    fn up_to_the_threshold_in_memory_beyond_in_a_file() {
        let spool = spool(10, 1000);
        let small = written(&spool, &[b"0123456789"]);
        assert_eq!(&small[..], b"0123456789");
        assert!(!mapped(&small));
        let large = written(&spool, &[b"0123456789", b"a"]);
        assert_eq!(&large[..], b"0123456789a");
        assert!(mapped(&large));
        let empty = written(&spool, &[]);
        assert!(empty.is_empty());
    }

    #[test]
    fn all_bodies_together_take_no_more_memory_than_they_may() {
        let spool = spool(1 << 20, 4 << 20);
        let content = vec![b'x'; 300_000];
        // Each takes 2^19: two fit into 2^20.
        let mut held = [written(&spool, &[&content]), written(&spool, &[&content])].map(Some);
        assert!(held.iter().flatten().all(|body| !mapped(body)));
        assert!(mapped(&written(&spool, &[&content])), "no room");
        assert!(!mapped(&written(&spool, &[&content[..65_536]])), "small ones need none");
        let slice = held[0].take().map(|body| body.slice(5..10));
        assert!(mapped(&written(&spool, &[&content])), "a slice keeps its body");
        drop(slice);
        assert!(!mapped(&written(&spool, &[&content])), "room again");
        let mut unfinished = spool.start();
        unfinished.write(&content).expect("room");
        assert!(mapped(&written(&spool, &[&content])), "taken while it is written");
        drop(unfinished);
        let mut growing = spool.start();
        growing.write(&content).expect("room");
        growing.write(&vec![b'y'; 1 << 20]).expect("moves to a file");
        assert!(!mapped(&written(&spool, &[&content])), "what moved to a file takes no room");
        assert_eq!(growing.finish().expect("whole").len(), 300_000 + (1 << 20));
        drop(held);
        assert_eq!(spool.room.left.load(Ordering::Relaxed), 1 << 20);
    }

    #[test]
    fn contents_are_equal_however_they_are_cut() {
        let spool = spool(4096, 10_000_000);
        let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_017).collect();
        for cut in [1000, 4096, 65_537, content.len()] {
            let body = written(&spool, &content.chunks(cut).collect::<Vec<_>>());
            assert!(body == content, "pieces of {cut}");
        }
    }

    #[test]
    fn a_body_above_the_limit_is_refused_and_the_limit_is_named() {
        let spool = spool(10, 20);
        let mut body = spool.start();
        body.write(&[b'a'; 20]).expect("exactly the limit");
        let error = body.write(b"a").expect_err("one more");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("20 bytes"), "{error}");
        assert_eq!(body.finish().expect("what fitted").len(), 20);
    }

    #[test]
    fn nothing_is_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings =
            SpoolSettings { directory: Some(directory.path().into()), in_memory: 0, all_in_memory: 0, max: 1000 };
        let spool = Spool::open(settings).expect("usable");
        // Descriptors and mappings into this very directory: other tests run beside this one.
        let held = || {
            let inside = |target: &Path| target.starts_with(directory.path());
            let descriptors = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
            let open = descriptors.filter(|e| std::fs::read_link(e.path()).is_ok_and(|t| inside(&t))).count();
            let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
            (open, maps.matches(directory.path().to_str().expect("UTF-8")).count())
        };
        let bodies: Vec<_> = (0..50).map(|_| written(&spool, &[b"content"])).collect();
        let mut unfinished = spool.start();
        unfinished.write(b"content").expect("room");
        let (open, mapped) = held();
        assert_eq!(open, 1, "a finished body holds no descriptor");
        assert!(mapped > 0);
        assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 0, "files have no name");
        drop((bodies, unfinished));
        assert_eq!(held(), (0, 0));
    }

    #[test]
    fn a_slice_keeps_the_file_alive() {
        let spool = spool(0, 1000);
        let slice = written(&spool, &[b"some content"]).slice(5..);
        assert_eq!(&slice[..], b"content");
    }

    #[test]
    fn a_missing_directory_is_named_at_start() {
        let directory = Some(PathBuf::from("/nonexistent/wasmilter"));
        let error =
            Spool::open(SpoolSettings { directory, in_memory: 0, all_in_memory: 0, max: 1 }).expect_err("no directory");
        assert!(error.to_string().contains("/nonexistent/wasmilter"), "{error}");
    }

    /// What a full disk looks like to the writer: the system refuses to let the file grow. `/dev/full` can not be a
    /// directory and a quota needs root, so the body is given a descriptor that only fails.
    #[test]
    fn a_full_disk_is_an_error_with_context() {
        let full = File::options().write(true).open("/dev/full").expect("Linux");
        let mut body = Body { spool: spool(0, 1000), length: 0, place: Place::File(full) };
        let error = body.write(b"content").expect_err("disk full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("writing a body in "), "{error}");
        assert_eq!(body.len(), 0);
    }
}
