//! Keys under loss, duplication and reordering.
