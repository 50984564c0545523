//! Notices that files change, by looking at them now and then: that works on every file system, for files that are replaced and for
//! links that are turned (as Kubernetes does it).

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};

/// How often files are looked at. A change must be as old as that: who is still writing is not disturbed.
const PERIOD: Duration = Duration::from_secs(2);

/// What the files looked like when they were last taken over.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Option<Looks>,
}

/// By file; None where there is none.
type Looks = Vec<(PathBuf, Option<Look>)>;
/// Device, inode, size, time of the last change (seconds, nanoseconds).
type Look = (u64, u64, u64, i64, i64);

impl Watch {
    /// Returns when any of `files` (directories with what is in them) looks other than at the first call or at the last return, and does
    /// not change any more.
    pub(crate) async fn changed(&mut self, files: &[PathBuf]) {
        let mut last = look(files).await;
        let seen = self.seen.get_or_insert_with(|| last.clone());
        loop {
            sleep(PERIOD).await;
            let now = look(files).await;
            if now == last && now != *seen {
                *seen = now;
                return;
            }
            last = now;
        }
    }
}

async fn look(files: &[PathBuf]) -> Looks {
    let mut files = files.to_vec();
    files.sort();
    files.dedup();
    let looked = spawn_blocking(move || files.iter().flat_map(|file| look_at(file)).collect());
    looked.await.unwrap_or_default()
}

/// The file; of a directory its files as well.
fn look_at(path: &Path) -> Looks {
    let mut looks = vec![(path.to_owned(), of(path))];
    if path.is_dir() {
        let mut inside: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        inside.sort();
        looks.extend(inside.into_iter().map(|file| (file.clone(), of(&file))));
    }
    looks
}

fn of(path: &Path) -> Option<Look> {
    let look = |m: Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    std::fs::metadata(path).ok().map(look)
}
