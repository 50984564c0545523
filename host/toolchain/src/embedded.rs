//! The files that this crate carries: `build.rs` lists them.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below `folder` of a list, with their paths relative to it.
pub(crate) fn below<'a>(
    list: &'static [(&'static str, &'static [u8])],
    folder: &'a str,
) -> impl Iterator<Item = (&'static str, &'static [u8])> + use<'a> {
    list.iter().filter_map(move |(path, bytes)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, *bytes)))
}
