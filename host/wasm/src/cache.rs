//! Compiled code on disk.
//!
//! One file per component and engine: `<key>.cwasm`, where the key is the SHA-256 of the engine's settings (wasmtime's
//! version, compiler flags, CPU features) and of the component's bytes. A file is the SHA-256 of the code (32 bytes)
//! and the code. Written beside and renamed, so that a crash leaves no half file; what does not agree with its digest
//! is compiled anew. Files that nobody used for a month go when the cache is opened.
//!
//! Invariant: the directory belongs to this user and nobody else can enter it. Compiled code is machine code: who can
//! write it can do what this process can.

use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};
use wasmtime::{Engine, component::Component};

const UNUSED: Duration = Duration::from_secs(30 * 24 * 3600);
const DIGEST: usize = 32;

/// A directory of compiled code.
pub(crate) struct Cache {
    directory: PathBuf,
    engine: [u8; DIGEST],
}

impl Cache {
    /// Opens the directory, made when missing.
    ///
    /// # Errors
    /// When it can not be made, belongs to somebody else, or is open to others.
    pub(crate) fn open(directory: &Path, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::metadata(directory)?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "belongs to another user"));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o777;
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("must be open to its owner only (mode 0700), has mode {mode:04o}"),
            ));
        }
        let mut hasher = EngineHasher(Sha256::new());
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
        let cache = Self { directory: directory.to_owned(), engine: hasher.0.finalize().into() };
        cache.prune();
        Ok(cache)
    }

    /// The compiled component: from disk when it is there and whole, otherwise compiled and kept.
    pub(crate) fn compiled(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let path = self.path(wasm);
        if let Some(component) = read(&path, engine) {
            return Ok(component);
        }
        let component = Component::from_binary(engine, wasm)?;
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| self.write(&path, &code)) {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be kept");
        }
        Ok(component)
    }

    fn path(&self, wasm: &[u8]) -> PathBuf {
        let key = Sha256::new().chain_update(self.engine).chain_update(Sha256::digest(wasm)).finalize();
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(name).with_extension("cwasm")
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        static UNFINISHED: AtomicU64 = AtomicU64::new(0);
        let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let mut file = Vec::with_capacity(code.len().saturating_add(DIGEST));
        file.extend_from_slice(&Sha256::digest(code));
        file.extend_from_slice(code);
        let written = fs::write(&unfinished, file).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // Nothing more can be done; the next start prunes it.
            drop(fs::remove_file(&unfinished));
        }
        written
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ours = path.extension().is_some_and(|extension| extension == "cwasm" || extension == "part");
            let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let unused = used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > UNUSED));
            if ours && unused {
                // Another process may have been faster.
                drop(fs::remove_file(&path));
            }
        }
    }
}

fn read(path: &Path, engine: &Engine) -> Option<Component> {
    let file = match fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be read; compiling anew");
            return None;
        }
    };
    let (digest, code) = file.split_at_checked(DIGEST)?;
    if Sha256::digest(code).as_slice() != digest {
        tracing::warn!(path = %path.display(), "compiled code is damaged; compiling anew");
        return None;
    }
    // SAFETY: wasmtime asks that the bytes come from `Component::serialize` and were not changed since. Only this file
    // writes into the directory, which belongs to this user and which nobody else can enter (checked in `open`), and
    // the digest proves that the file is whole. Settings and version of the engine are part of the file's name, and
    // wasmtime checks them again.
    #[allow(unsafe_code, reason = "the one place that loads compiled code; see above")]
    let component = unsafe { Component::deserialize(engine, code) };
    match component {
        Ok(component) => {
            // Keeps it from being pruned; not being able to say so costs a compilation in a month.
            drop(fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now())));
            Some(component)
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "compiled code does not fit; compiling anew");
            None
        }
    }
}

/// Feeds what wasmtime considers of an engine's settings into a digest that is the same in every process.
struct EngineHasher(Sha256);

impl std::hash::Hasher for EngineHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
