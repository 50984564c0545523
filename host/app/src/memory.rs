//! Memory that loading took and running does not need.

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
