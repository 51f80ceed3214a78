//! Choosing one of several next hops. It knows no health and sends nothing: who is asked says who may be chosen.

pub mod hash;
