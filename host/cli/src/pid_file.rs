//! A file that says which process is the daemon.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// Removed when dropped, unless another process has taken over and written its own.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, in place of the one of the process before. Without it mail is taken all the same: failing is in the log.
    pub(crate) fn write(path: PathBuf) -> Self {
        if let Err(error) = replace(&path) {
            tracing::error!(path = %path.display(), %error, "the process id can not be written");
        }
        Self(path)
    }
}

/// Whoever reads it finds one id or the other, never half of one.
fn replace(path: &Path) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, format!("{}\n", process::id()))?;
    fs::rename(new, path)
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let ours = fs::read_to_string(&self.0).is_ok_and(|pid| pid.trim() == process::id().to_string());
        if ours && let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the file of the process id can not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_process_but_not_when_another_has_written_it() {
        let path = std::env::temp_dir().join(format!("wasmilter-pid-{}", process::id()));
        let file = PidFile::write(path.clone());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(path.clone());
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::remove_file(&path).unwrap();
    }
}
