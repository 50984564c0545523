//! The members of zip files.

use crate::kind::{ENOUGH, Kind};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Members that are looked at. More do not come by mail for good reasons.
const MOST_MEMBERS: usize = 2000;

/// A file in an archive.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The members of a zip file; of each no more is unpacked than tells its kind.
///
/// # Errors
/// What is wrong with the file, after "it".
pub(crate) fn members(zip: &[u8]) -> Result<Vec<Member>, &'static str> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| "is a damaged archive")?;
    if archive.len() > MOST_MEMBERS {
        return Err("has too many files in it");
    }
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let mut start = Vec::new();
        match archive.by_index(index) {
            Ok(member) if member.is_dir() => continue,
            Ok(member) => {
                let name = member
                    .name()
                    .map_err(|_| "is a damaged archive")?
                    .into_owned();
                let read = member.take(u64::from(ENOUGH)).read_to_end(&mut start);
                read.map_err(|_| "is a damaged archive")?;
                members.push(Member {
                    name,
                    kind: Kind::of(&start),
                });
            }
            Err(_) => return Err("has files in it that are encrypted or packed in an unknown way"),
        }
    }
    Ok(members)
}
