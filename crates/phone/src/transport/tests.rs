//! Sockets on loopback: what is sent arrives, what is refused is told.

use std::time::Duration;

use super::*;

async fn arrival(from: &mut mpsc::Receiver<Arrival>) -> Arrival {
    tokio::time::timeout(Duration::from_secs(20), from.recv())
        .await
        .expect("in time")
        .expect("open")
}

fn transmit(flow: Flow, text: &'static str) -> Transmit {
    let token = Some(ClientToken { slot: 7, generation: 1 });
    Transmit { flow, bytes: Bytes::from_static(text.as_bytes()), token, second: None }
}

fn flow_to(network: &Network, transport: Transport, remote: SocketAddr) -> Flow {
    let listener = network.listeners().iter().position(|l| l.transport == transport).expect("one");
    Flow {
        transport,
        listener: ListenerId(listener as u16),
        connection: ConnectionId::NONE,
        remote,
    }
}

const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

fn locals() -> [SocketAddr; 2] {
    ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
}

#[test]
fn what_is_sent_arrives_on_both_transports_and_families() {
    crate::engine::run(async {
        for local in locals() {
            let (mut a, _keep) = Network::open(local, Transport::Tcp, local.ip()).unwrap();
            let (mut b, mut at_b) = Network::open(local, Transport::Udp, local.ip()).unwrap();
            assert_eq!(a.listeners()[0].address, a.listeners()[1].address);
            assert_eq!(a.listeners()[0].transport, Transport::Tcp);
            for transport in [Transport::Udp, Transport::Tcp] {
                let flow = flow_to(&a, transport, b.listeners()[0].address);
                a.send(transmit(flow, MESSAGE)).unwrap();
                let mut arrived = arrival(&mut at_b).await;
                if let Arrival::Accepted { stream, remote } = arrived {
                    b.accept(stream, remote);
                    arrived = arrival(&mut at_b).await;
                }
                let Arrival::Message { flow, bytes } = arrived else { panic!("{arrived:?}") };
                assert_eq!((flow.transport, &bytes[..]), (transport, MESSAGE.as_bytes()));
            }
        }
    })
    .unwrap();
}

#[test]
fn a_closed_port_is_told_with_the_request_it_was_for() {
    crate::engine::run(async {
        for local in locals() {
            let closed = std::net::UdpSocket::bind(local).unwrap().local_addr().unwrap();
            let (mut network, mut arrivals) =
                Network::open(local, Transport::Udp, local.ip()).unwrap();
            for transport in [Transport::Udp, Transport::Tcp] {
                let flow = flow_to(&network, transport, closed);
                network.send(transmit(flow, MESSAGE)).unwrap();
                let (remote, error) = match arrival(&mut arrivals).await {
                    Arrival::Refused { remote, error } => (remote, error),
                    Arrival::Closed { remote, error, .. } => (remote, error.expect("why")),
                    other => panic!("{other:?}"),
                };
                assert_eq!((remote, error.kind()), (closed, io::ErrorKind::ConnectionRefused));
                assert_eq!(network.sent_to(closed).len(), 1);
                assert!(network.sent_to(closed).is_empty());
            }
        }
    })
    .unwrap();
}

#[test]
fn keep_alives_and_their_answers_come_through() {
    crate::engine::run(async {
        let local = locals()[0];
        let (mut network, mut arrivals) = Network::open(local, Transport::Tcp, local.ip()).unwrap();
        let peer = tokio::net::TcpListener::bind(local).await.unwrap();
        let flow = flow_to(&network, Transport::Tcp, peer.local_addr().unwrap());
        network.send(transmit(flow, MESSAGE)).unwrap();
        let (mut stream, _) = peer.accept().await.unwrap();
        for sent in ["\r\n", "\r\n\r\n"] {
            tokio::io::AsyncWriteExt::write_all(&mut stream, sent.as_bytes()).await.unwrap();
            let arrived = arrival(&mut arrivals).await;
            let Arrival::Message { bytes, .. } = arrived else { panic!("{arrived:?}") };
            assert_eq!(&bytes[..], sent.as_bytes());
        }
        drop(stream);
        let ended = arrival(&mut arrivals).await;
        assert!(matches!(ended, Arrival::Closed { .. }), "{ended:?}");
    })
    .unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    crate::engine::run(async {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = Network::open(address, Transport::Udp, address.ip()).err().expect("taken");
        assert_eq!((error.address, error.error.kind()), (address, io::ErrorKind::AddrInUse));
    })
    .unwrap();
}
