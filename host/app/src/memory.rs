//! What the C library does with memory that nobody needs any more.

/// Blocks above this, in bytes, go back to the system as soon as they are freed. Smaller ones, and so everything that belongs to an
/// ordinary message, are kept for the next.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const APART: i32 = 4 << 20;

/// Has large blocks go back to the system when they are freed. The C library begins like that, but from the first large block on it
/// takes all blocks up to that size out of its heaps, where they leave holes: after some messages of 20 MB, ten times as much as
/// any of them needed.
pub(crate) fn large_blocks_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "two calls with numbers; see SAFETY")]
    // SAFETY: mallopt(3) takes two numbers and touches no block. Its one hazard is a thread that allocates at the same moment and sees
    // the value from before; both values are right. The second is what the C library itself sets with such a threshold: so much free
    // memory stays at the top of a heap.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, APART);
        libc::mallopt(libc::M_TRIM_THRESHOLD, APART.saturating_mul(2));
    }
}

/// Gives it back to the system. Reading, checking and compiling plugins takes several times what they take once they are loaded;
/// the C library would keep it for the next time. Takes some milliseconds.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "a call without arguments that could be wrong; see SAFETY")]
    // SAFETY: malloc_trim(3) may be called by any thread at any time (MT-Safe). It takes no pointer, and releases only whole pages in
    // which no allocation lies; nothing that anybody holds a reference to is touched. The argument is the number of bytes to leave
    // free at the top of the heap.
    unsafe {
        libc::malloc_trim(0);
    }
}
