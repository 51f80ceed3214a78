//! The buffer under a bad network.
