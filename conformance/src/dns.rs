//! A name server of our own (RFC 1035): it serves a zone file, says nothing, or says what no name server should, as a case
//! wants. It keeps the time of every question, so that a case can count how many were open at once.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{LowerName, RData, Record, RecordType, RrKey};
use hickory_proto::serialize::txt::Parser;

/// What becomes of a question.
#[derive(Clone, Copy)]
pub enum Rule {
    /// Answered from the zone.
    Zone,
    Silence,
    /// By UDP: the client is to ask again by TCP, where the next rule holds.
    Truncated(fn(&Message) -> Vec<u8>),
    /// These bytes.
    Raw(fn(&Message) -> Vec<u8>),
}

type Rules = dyn Fn(&str) -> Rule + Send + Sync;

/// Every question (name and type) with the times it was heard first and last.
type Heard = HashMap<String, (Instant, Instant)>;

struct Shared {
    zone: HashMap<RrKey, Vec<Record>>,
    rule: Box<Rules>,
    heard: Mutex<Heard>,
}

pub struct NameServer {
    shared: Arc<Shared>,
}

impl NameServer {
    /// Serves `zone`, the text of a zone file, at `address`; `rule` is asked with the name of each question, lower case and
    /// with its final dot. Ends with the process.
    pub fn start(
        address: SocketAddr,
        zone: &str,
        rule: impl Fn(&str) -> Rule + Send + Sync + 'static,
    ) -> Result<Self> {
        let (_, sets) = Parser::new(zone, None, None)
            .parse()
            .map_err(|error| anyhow!("no zone file: {error}"))?;
        let records = |(key, set): (RrKey, hickory_proto::rr::RecordSet)| {
            (key, set.records_without_rrsigs().cloned().collect())
        };
        let shared = Arc::new(Shared {
            zone: sets.into_iter().map(records).collect(),
            rule: Box::new(rule),
            heard: Mutex::new(HashMap::new()),
        });
        let udp = UdpSocket::bind(address).with_context(|| format!("udp {address}"))?;
        let tcp = TcpListener::bind(address).with_context(|| format!("tcp {address}"))?;
        let datagrams = Arc::clone(&shared);
        std::thread::spawn(move || serve_datagrams(&udp, &datagrams));
        let streams = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let shared = Arc::clone(&streams);
                std::thread::spawn(move || serve_stream(stream, &shared));
            }
        });
        Ok(Self { shared })
    }

    pub fn forever(self) {
        loop {
            std::thread::park();
        }
    }

    /// Different questions so far.
    pub fn questions(&self) -> usize {
        self.shared.heard.lock().map_or(0, |heard| heard.len())
    }

    /// The most questions that were open at the same moment: from the first time each was heard to the last.
    pub fn open_max(&self) -> usize {
        let Ok(heard) = self.shared.heard.lock() else { return usize::MAX };
        let mut edges: Vec<(Instant, i32)> = Vec::new();
        for (first, last) in heard.values() {
            edges.extend([(*first, 1), (*last + Duration::from_micros(1), -1)]);
        }
        // An end before a beginning at the same moment.
        edges.sort_unstable();
        let mut open = 0;
        let counts = edges.into_iter().map(|(_, step)| {
            open += step;
            open
        });
        usize::try_from(counts.max().unwrap_or(0)).unwrap_or(0)
    }
}

fn serve_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut room = [0u8; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
        let bytes = room.get(..length).unwrap_or_default();
        if let Some(answer) = shared.answer(bytes, false) {
            // Whoever is gone needs no answer.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_stream(mut stream: TcpStream, shared: &Shared) {
    loop {
        let mut length = [0u8; 2];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut bytes = vec![0u8; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut bytes).is_err() {
            return;
        }
        let Some(answer) = shared.answer(&bytes, true) else { continue };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes();
        if stream.write_all(&length).and_then(|()| stream.write_all(&answer)).is_err() {
            return;
        }
    }
}

impl Shared {
    fn answer(&self, bytes: &[u8], by_stream: bool) -> Option<Vec<u8>> {
        let asked = Message::from_vec(bytes).ok()?;
        let question = asked.queries.first()?;
        let (name, kind) = (question.name().to_lowercase().to_ascii(), question.query_type());
        let now = Instant::now();
        if let Ok(mut heard) = self.heard.lock() {
            heard.entry(format!("{name} {kind}")).or_insert((now, now)).1 = now;
        }
        match (self.rule)(&name) {
            Rule::Silence => None,
            Rule::Raw(write) => Some(write(&asked)),
            Rule::Truncated(write) if by_stream => Some(write(&asked)),
            Rule::Truncated(_) => {
                let mut answer = reply(&asked);
                answer.metadata.truncation = true;
                answer.to_vec().ok()
            }
            Rule::Zone => self.zone_answer(&asked, &question.name().into(), kind).to_vec().ok(),
        }
    }

    fn zone_answer(&self, asked: &Message, name: &LowerName, kind: RecordType) -> Message {
        let mut answer = reply(asked);
        // RFC 1034 §3.6.2: an alias, and what it stands for if that is here.
        let alias = self.zone.get(&RrKey::new(name.clone(), RecordType::CNAME));
        if let Some(records) = alias.filter(|_| kind != RecordType::CNAME) {
            answer.add_answers(records.iter().cloned());
            let target = records.first().and_then(|record| match &record.data {
                RData::CNAME(target) => self.zone.get(&RrKey::new((&target.0).into(), kind)),
                _ => None,
            });
            answer.add_answers(target.into_iter().flatten().cloned());
            return answer;
        }
        match self.zone.get(&RrKey::new(name.clone(), kind)) {
            Some(records) => _ = answer.add_answers(records.iter().cloned()),
            None if self.zone.keys().any(|key| key.name() == name) => {}
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer
    }
}

/// An answer without records.
pub fn reply(asked: &Message) -> Message {
    let mut answer = Message::new(asked.metadata.id, MessageType::Response, asked.metadata.op_code);
    answer.metadata.recursion_desired = asked.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.add_queries(asked.queries.iter().cloned());
    answer
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;

    use super::*;

    #[test]
    fn a_zone_is_served_and_questions_are_counted() {
        let zone = "$ORIGIN example.org.\n$TTL 60\n@ IN NAPTR 10 20 \"S\" \"SIP+D2U\" \"\" _sip._udp\n\
                    _sip._udp IN SRV 1 0 5060 a\na IN A 192.0.2.1\n";
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = |name: &str| if name == "quiet." { Rule::Silence } else { Rule::Zone };
        let server = NameServer::start(address, zone, silent).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ask = |name: &str, kind| {
            let mut message = Message::query();
            message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
            client.send_to(&message.to_vec().unwrap(), address).unwrap();
        };
        let hear = || {
            let mut room = [0; 4096];
            let (length, _) = client.recv_from(&mut room).unwrap();
            Message::from_vec(&room[..length]).unwrap()
        };
        for (name, kind, count) in [
            ("Example.org.", RecordType::NAPTR, 1),
            ("_sip._udp.example.org.", RecordType::SRV, 1),
            ("a.example.org.", RecordType::A, 1),
            ("a.example.org.", RecordType::AAAA, 0),
        ] {
            ask(name, kind);
            let answer = hear();
            assert_eq!(answer.answers.len(), count, "{name} {kind}");
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        }
        ask("b.example.org.", RecordType::A);
        assert_eq!(hear().metadata.response_code, ResponseCode::NXDomain);
        ask("quiet.", RecordType::A);
        ask("a.example.org.", RecordType::A);
        assert_eq!(
            hear().queries[0].name().to_ascii(),
            "a.example.org.",
            "nothing about the other"
        );
        assert_eq!(server.questions(), 6);
        assert!(server.open_max() >= 1);
    }
}
