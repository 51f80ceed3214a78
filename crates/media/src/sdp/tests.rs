//! Session descriptions, read and written.
