//! The whole node, by hand-written messages: one behaviour per test, each citing its section.

mod call;
mod cancel;
mod dialog;
mod fork;
mod hop;
mod identity;
mod limit;
mod nat;
mod reach;
mod register;
mod relay;
mod screen;
mod serial;
mod world;
