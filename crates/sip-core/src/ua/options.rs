//! OPTIONS to the server itself (RFC 3261 §11.2): what it can do. Keep-alives of phones and trunks are mostly this, so
//! the answer is a constant. It never says which program or version answers.

/// The header lines of the 200.
pub const LINES: &[u8] = b"Allow: OPTIONS, REGISTER, ACK, CANCEL\r\n\
    Accept: application/sdp\r\n\
    Accept-Language: en\r\n\
    Supported: \r\n";

#[cfg(test)]
mod tests {
    #[test]
    fn allow_is_the_list() {
        let line = format!("Allow: {}\r\n", crate::ua::ALLOW);
        assert!(super::LINES.starts_with(line.as_bytes()));
    }
}
