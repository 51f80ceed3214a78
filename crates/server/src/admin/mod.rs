//! The admin socket: a Unix socket beside the data, for this machine's operators only (0660). One JSON object per line
//! each way: a request, then any number of `item` lines, then one line with `ok`. It never carries SIP.

pub mod alias;
mod ban;
pub mod client;
pub mod forward;
pub mod gateway;
mod reload;
pub mod request;
pub mod server;
