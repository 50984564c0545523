//! A disk so small that a test can fill it: a file system in memory, mounted where the test says. Wants root.

use crate::server;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// The disk; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    top: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes over an empty directory. None, and a word about it, where mounting is not allowed.
    #[must_use]
    pub fn mount(over: &Path, bytes: u64) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0777"), "tmpfs"]).arg(over);
        let output = mount.output().ok()?;
        if !output.status.success() {
            eprintln!("no small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        server::unmount_at_end(over);
        Some(Self { top: over.to_owned() })
    }

    /// Leaves not one byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let mut piece = vec![0; 64 * 1024];
        // Smaller and smaller, down to the last byte.
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.top.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a host that is still ending may have a file open.
        let unmounted = Command::new("umount").arg("-l").arg(&self.top).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.top.display());
        }
    }
}
