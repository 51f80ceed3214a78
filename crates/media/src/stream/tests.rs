//! Streams end to end.
