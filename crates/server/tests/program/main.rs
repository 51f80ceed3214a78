//! The real binary on loopback, as an operator and a phone meet it: ports of the kernel's choosing, readiness learnt from
//! the server's own first line, nothing that waits for a clock.

mod account;
mod ban;
mod check;
mod drain;
mod example;
mod exit_code;
mod fake;
mod gateway;
mod limit;
mod load;
mod name;
mod nat;
mod panic;
mod phone_call;
mod phone_failure;
mod phone_first_minute;
mod phone_message;
mod phone_register;
mod phone_transfer;
mod register;
mod reload;
mod stateless;
mod stream;
mod world;
