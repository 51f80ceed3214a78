//! The user agent as programs: what a phone does, without a person. So far the load generator.
//!
//! It never uses the server's parser or transaction code on its hot path: a tool that shares the code under test shares
//! its bugs, and it must be cheaper than what it measures. RFC 3261 §8, §10, §13, §15, §17 from the client's side.

pub mod digest;
pub mod load;
