//! Servers and phones that behave badly on purpose, on ports of the kernel's choosing: each answers every request as its
//! script says, until it is dropped.

use std::net::{SocketAddr, UdpSocket};
use std::thread::JoinHandle;

/// What ends the thread.
const STOP: &[u8] = b"stop";

pub struct Fake {
    pub address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// `answer` makes whole answers to a request; none is silence.
    pub fn start(mut answer: impl FnMut(&str) -> Vec<String> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            loop {
                let (n, from) = socket.recv_from(&mut buffer).expect("a datagram");
                if &buffer[..n] == STOP {
                    return;
                }
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                for reply in answer(&text) {
                    socket.send_to(reply.as_bytes(), from).expect("sent");
                }
            }
        });
        Self { address, thread: Some(thread) }
    }

    /// Answers everything but ACK with this.
    pub fn with(status: &'static str, extra: &'static str) -> Self {
        Self::start(move |request| {
            let is_ack = request.starts_with("ACK ");
            if is_ack { Vec::new() } else { vec![reply(request, status, extra, "")] }
        })
    }

    /// A callee that answers with 200 and this session description, and says 200 to BYE.
    pub fn callee(mut sdp: impl FnMut(&str) -> String + Send + 'static) -> Self {
        Self::start(move |request| match request.split(' ').next() {
            Some("INVITE") => {
                let body = sdp(request);
                let extra = "Contact: <sip:fake@127.0.0.1>\r\nContent-Type: application/sdp\r\n";
                vec![reply(request, "200 OK", extra, &body)]
            }
            Some("ACK") => Vec::new(),
            _ => vec![reply(request, "200 OK", "", "")],
        })
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.send_to(STOP, self.address).expect("sent");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn reply(request: &str, status: &str, extra: &str, body: &str) -> String {
    let copied: Vec<String> = request
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            ["via", "from", "to", "call-id", "cseq", "record-route"].contains(&name.as_str())
        })
        .map(|line| {
            let tagless = line.to_ascii_lowercase().starts_with("to:") && !line.contains("tag=");
            if tagless { format!("{line};tag=fake") } else { line.to_owned() }
        })
        .collect();
    format!(
        "SIP/2.0 {status}\r\n{}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        copied.join("\r\n"),
        body.len()
    )
}

/// A session description with G.711 to this port.
pub fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    )
}

/// Where a request's session description wants its audio.
pub fn audio_of(request: &str) -> SocketAddr {
    let line = request.lines().find_map(|line| line.strip_prefix("m=audio ")).expect("audio");
    let port = line.split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Two hundred milliseconds of a loud square wave, all at once.
pub fn burst(to: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for n in 0..10_u16 {
        let mut packet = vec![0x80, 0];
        packet.extend(n.to_be_bytes());
        packet.extend((u32::from(n) * 160).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend((0..160).map(|i| if i / 8 % 2 == 0 { 0x90 } else { 0x10 }));
        socket.send_to(&packet, to).expect("sent");
    }
}

/// Waits for one RTP packet, and reports to the sender's RTCP port that it came (RFC 3550 §6.4.2).
pub fn report_reception(ear: &UdpSocket, audio: SocketAddr) {
    let mut packet = [0; 2_048];
    let n = ear.recv(&mut packet).expect("a packet");
    assert!(n > 12);
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(9_u32.to_be_bytes());
    report.extend(&packet[8..12]);
    report.extend([0; 20]);
    let rtcp = SocketAddr::new(audio.ip(), audio.port() + 1);
    ear.send_to(&report, rtcp).expect("sent");
}
