//! The whole node, by hand-written messages: one behaviour per test, each citing its section.

mod call;
mod register;
mod world;
