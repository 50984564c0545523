//! new_part
