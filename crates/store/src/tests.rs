//! The store against a real file and in memory: what was committed is there, what is private is private.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sip_core::dispatcher::health::State;
use sip_core::dispatcher::live::Order;
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::forwarding::Forwards;
use sip_core::output::{BindingRow, BindingWrite};
use sip_core::shared::Note;
use sip_core::time::Instant;
use sqlx::Connection as _;

use super::*;

#[test]
fn gateways_keep_their_state() {
    runtime().block_on(async {
        let scratch = Scratch::new();
        let state = GatewayState {
            health: State::Down,
            health_note: Note {
                since: Instant::from_secs(1_800_000_000),
                by: "".into(),
                why: "no answer in 4 s".into(),
            },
            order: Order::Draining,
            order_note: Note {
                since: Instant::from_secs(1_800_000_100),
                by: "root".into(),
                why: "maintenance".into(),
            },
        };
        let row = |name: &str| GatewayRow {
            name: name.to_owned(),
            set: 1,
            uri: "sip:203.0.113.99".to_owned(),
            priority: 5,
            weight: 70,
            is_probed: true,
            state: GatewayState::default(),
        };
        let mut store = open(&scratch).await;
        store.set_gateways(&[row("a"), row("b")]).await.unwrap();
        store.write_gateway(&GatewayRow { state: state.clone(), ..row("a") }).await.unwrap();
        store.close().await.unwrap();
        let mut store = open(&scratch).await;
        let states = store.gateway_states().await.unwrap();
        assert_eq!(states[0], ("a".to_owned(), state));
        assert_eq!(states[1].1.health, State::Up);
        let seen: (i64, String, i64, i64, String) = sqlx::query_as(
            "SELECT setid, destination, flags, priority, attrs FROM dispatcher WHERE description = 'a'",
        )
        .fetch_one(&mut store.connection)
        .await
        .unwrap();
        let wanted = (1, "sip:203.0.113.99".into(), 1 | 4 | 8, 5, "weight=70;duid=a".into());
        assert_eq!(seen, wanted, "what Kamailio reads");
        // Rows of somebody else's are left alone; those of gateways that are gone are not.
        sqlx::query("INSERT INTO dispatcher (setid, destination) VALUES (9, 'sip:x')")
            .execute(&mut store.connection)
            .await
            .unwrap();
        store.set_gateways(&[row("b")]).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM dispatcher")
            .fetch_one(&mut store.connection)
            .await
            .unwrap();
        assert_eq!((left, store.gateway_states().await.unwrap().len()), (2, 1));
        store.close().await.unwrap();
    });
}

#[test]
fn aliases_live_with_their_account() {
    runtime().block_on(async {
        let mut store = Store::open(None).await.unwrap();
        let alice = Subscriber::with_password("alice", "example.com", "x");
        assert!(store.add_subscriber(&alice).await.unwrap());
        let (number, user) = (("+4930", "example.com"), ("alice", "example.com"));
        assert!(store.add_alias(number, user).await.unwrap());
        assert!(!store.add_alias(("1", "example.com"), ("bob", "example.com")).await.unwrap());
        let all = store.aliases().await.unwrap();
        assert_eq!(all, [("+4930@example.com".to_owned(), "alice@example.com".to_owned())]);
        assert!(store.remove_alias("+4930", "example.com").await.unwrap());
        assert!(!store.remove_alias("+4930", "example.com").await.unwrap());
        assert!(store.add_alias(number, user).await.unwrap());
        assert!(store.remove_subscriber("alice", "example.com").await.unwrap());
        assert_eq!(store.aliases().await.unwrap(), []);
    });
}

/// A directory of its own for each test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ringway-store-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn sockets() -> Vec<Socket> {
    let socket = |transport, address: &str| Socket { transport, address: address.parse().unwrap() };
    vec![
        socket(Transport::Udp, "192.0.2.10:5060"),
        socket(Transport::Tcp, "192.0.2.10:5060"),
        socket(Transport::Udp, "[2001:db8::10]:5060"),
    ]
}

fn row(user: u32, listener: u16, remote: &str) -> BindingRow {
    let transport = sockets()[usize::from(listener)].transport;
    BindingRow {
        aor: format!("u{user}@example.com").into(),
        contact: format!("sip:u{user}@198.51.100.7:5062").into(),
        call_id: format!("call-{user}").into(),
        cseq: user,
        q: 700,
        expires_at: Instant::from_secs(1_900_000_000 + u64::from(user)),
        modified_at: Instant::from_secs(1_800_000_000),
        flow: Flow {
            transport,
            listener: ListenerId(listener),
            connection: ConnectionId::NONE,
            remote: remote.parse().unwrap(),
        },
        user_agent: "phone/1.0 \"ünï\"".into(),
        path: "<sip:edge.example.com;lr>".into(),
    }
}

fn put(row: &BindingRow) -> BindingWrite {
    BindingWrite::Put(Box::new(row.clone()))
}

async fn all(store: &mut Store) -> Vec<BindingRow> {
    let mut rows = Vec::new();
    let left_out = store.bindings(|page| rows.extend_from_slice(page)).await.expect("readable");
    assert_eq!(left_out, 0);
    rows
}

async fn open(scratch: &Scratch) -> Store {
    let directory = Directory::lock(&scratch.0).expect("ours");
    let mut store = Store::open(Some(directory)).await.expect("opens");
    store.set_sockets(sockets());
    store
}

#[test]
fn bindings_come_back_as_they_were() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        let rows = [
            row(1, 0, "198.51.100.7:5062"),
            row(2, 1, "198.51.100.7:40000"),
            row(3, 2, "[2001:db8::7]:5060"),
        ];
        let mut writes: Vec<_> = rows.iter().map(put).collect();
        // More than one chunk of each size, a later change of an earlier row, and a removal in between.
        writes.extend((4..300).map(|user| put(&row(user, 0, "198.51.100.7:5062"))));
        let gone = row(4, 0, "198.51.100.7:5062");
        writes.push(BindingWrite::Remove { aor: gone.aor.clone(), contact: gone.contact });
        let changed = BindingRow { cseq: 77, q: 1000, ..rows[0].clone() };
        writes.push(put(&changed));
        store.write(&writes.iter().collect::<Vec<_>>()).await.expect("written");
        store.close().await.expect("closed");

        let mut store = open(&scratch).await;
        let found = all(&mut store).await;
        assert_eq!(found.len(), 298);
        assert!(found.contains(&changed));
        assert!(found.contains(&rows[1]) && found.contains(&rows[2]));
        assert!(found.iter().all(|row| row.aor != gone.aor));
    });
}

#[test]
fn an_address_that_is_ours_no_more_falls_back_to_one_of_its_kind() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        store.write(&[&put(&row(3, 2, "[2001:db8::7]:5060"))]).await.expect("written");
        let elsewhere =
            Socket { transport: Transport::Udp, address: "[2001:db8::99]:5070".parse().unwrap() };
        store.set_sockets(vec![sockets()[0], elsewhere]);
        assert_eq!(all(&mut store).await[0].flow.listener, ListenerId(1));
        store.set_sockets(vec![sockets()[0]]);
        assert_eq!(store.bindings(|page| assert!(page.is_empty())).await.expect("readable"), 1);
    });
}

#[test]
fn rows_of_a_foreign_hand_are_left_out_and_no_others() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        let writes: Vec<_> = (0..100).map(|user| put(&row(user, 0, "198.51.100.7:5062"))).collect();
        store.write(&writes.iter().collect::<Vec<_>>()).await.expect("written");
        for nonsense in [
            "received = NULL WHERE username = 'u3'",
            "user_agent = CAST(x'ff' AS TEXT) WHERE username = 'u5'",
            "cseq = -1 WHERE username = 'u50'",
            "expires = 'tomorrow' WHERE username = 'u99'",
        ] {
            let sql = format!("UPDATE location SET {nonsense}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut store.connection)
                .await
                .expect("set");
        }
        let (mut count, mut agents) = (0, 0);
        let left_out = store.bindings(|page| {
            count += page.len();
            agents += page.iter().filter(|row| row.user_agent.contains("ünï")).count();
        });
        assert_eq!((left_out.await.expect("readable"), count, agents), (4, 96, 96));
    });
}

#[test]
fn accounts() {
    runtime().block_on(async {
        let mut store = Store::open(None).await.expect("opens");
        let alice = Subscriber::with_password("alice", "example.com", "wonderland");
        assert!(store.add_subscriber(&alice).await.expect("added"));
        assert!(!store.add_subscriber(&alice).await.expect("refused"));
        let other = Subscriber::with_password("alice", "example.com", "looking-glass");
        assert_ne!(alice.ha1, other.ha1);
        assert!(store.change_subscriber(&other).await.expect("changed"));
        assert_eq!(store.subscribers().await.expect("listed"), [other]);
        assert!(store.remove_subscriber("alice", "example.com").await.expect("removed"));
        assert!(!store.remove_subscriber("alice", "example.com").await.expect("nobody"));
        assert!(!store.change_subscriber(&alice).await.expect("nobody"));
    });
}

#[test]
fn forwards_live_with_their_account() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        let alice = Subscriber::with_password("alice", "example.com", "wonderland");
        assert!(store.add_subscriber(&alice).await.expect("added"));
        let forwards = Forwards {
            busy: Some("sip:bob@example.com".into()),
            no_answer: Some(("sip:carol@192.0.2.9".into(), Duration::from_secs(15))),
            ..Forwards::default()
        };
        let set = store.set_forwards("alice", "example.com", &forwards);
        assert!(set.await.expect("set"));
        assert!(!store.set_forwards("bob", "example.com", &forwards).await.expect("nobody"));
        store.close().await.expect("closed");

        let mut store = open(&scratch).await;
        let found = store.forwards().await.expect("read");
        assert_eq!(found, [("alice@example.com".to_owned(), forwards)]);
        let always = Forwards { always: Some("sip:x@192.0.2.9".into()), ..Forwards::default() };
        assert!(store.set_forwards("alice", "example.com", &always).await.expect("set"));
        let found = store.forwards().await.expect("read");
        assert_eq!(found, [("alice@example.com".to_owned(), always)], "in place of the old");
        assert!(store.remove_subscriber("alice", "example.com").await.expect("removed"));
        assert_eq!(store.forwards().await.expect("read"), []);
    });
}

/// A file of the first release is brought up to date, and what it held is there.
#[test]
fn an_older_schema_is_migrated() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        store.write(&[&put(&row(1, 0, "198.51.100.7:5062"))]).await.expect("written");
        let old = "DROP TABLE forwarding; DROP TABLE ban; DROP TABLE dispatcher; DROP TABLE dbaliases; \
                   PRAGMA user_version = 1";
        sqlx::raw_sql(old).execute(&mut store.connection).await.expect("made old");
        store.close().await.expect("closed");
        let mut store = open(&scratch).await;
        assert_eq!(store.forwards().await.expect("the table is there"), []);
        assert_eq!(store.bans().await.expect("and the next one"), []);
        assert_eq!(all(&mut store).await.len(), 1);
    });
}

#[test]
fn private_and_ours_alone() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        store.write(&[&put(&row(1, 0, "198.51.100.7:5062"))]).await.expect("written");
        assert!(matches!(Directory::lock(&scratch.0), Err(StoreError::InUse { .. })));
        let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(scratch.0.clone()), 0o700);
        for name in ["ringway.db", "ringway.db-wal", "lock"] {
            assert_eq!(mode(scratch.0.join(name)), 0o600, "{name}");
        }
        drop(store);
        let directory = Directory::lock(&scratch.0).expect("free again");
        assert!(!directory.created());
        let key = directory.seal_key().expect("made");
        assert_eq!(mode(scratch.0.join("seal.key")), 0o600);
        assert_eq!(directory.seal_key().expect("kept"), key);
        fs::write(scratch.0.join("seal.key"), b"short").expect("written");
        assert!(matches!(directory.seal_key(), Err(StoreError::Key { .. })));
    });
}

#[test]
fn a_newer_schema_is_left_alone() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let mut store = open(&scratch).await;
        sqlx::raw_sql("PRAGMA user_version = 99")
            .execute(&mut store.connection)
            .await
            .expect("set");
        store.connection.close().await.expect("closed");
        let directory = scratch.0.clone();
        drop(store._directory);
        let again = Store::open(Some(Directory::lock(&directory).expect("free"))).await;
        assert!(matches!(again.err(), Some(StoreError::TooNew { found: 99, .. })));
    });
}

#[test]
fn the_writer_answers_after_the_commit_and_writes_what_is_left() {
    let scratch = Scratch::new();
    runtime().block_on(async {
        let (writer, task) = writer::<u32>(open(&scratch).await);
        for user in 0..3_000 {
            let queued = writer.push(vec![put(&row(user, 0, "198.51.100.7:5062"))], Some(user));
            assert!(queued.is_ok());
        }
        let list = tokio::spawn(async move { writer.subscribers().await.expect("listed").len() });
        let (mut answered, mut groups) = (Vec::new(), 0);
        let done = |group: &mut Vec<(u32, Stored)>| {
            groups += 1;
            answered.extend(group.drain(..).map(|(user, stored)| {
                assert!(stored.is_ok());
                user
            }));
        };
        task.run(done).await.expect("ends when the last writer is gone");
        assert_eq!(answered, (0..3_000).collect::<Vec<_>>());
        assert!(groups <= 5, "{groups} commits for 3,000 changes");
        assert_eq!(list.await.expect("ran"), 0);
        assert_eq!(all(&mut open(&scratch).await).await.len(), 3_000);
    });
}

#[test]
fn a_full_queue_refuses_and_a_failed_commit_says_so() {
    runtime().block_on(async {
        let mut store = Store::open(None).await.expect("opens");
        sqlx::raw_sql("DROP TABLE location").execute(&mut store.connection).await.expect("dropped");
        let (writer, task) = writer::<usize>(store);
        let write = || vec![put(&row(1, 0, "198.51.100.7:5062"))];
        for n in 0..QUEUE_MAX {
            assert!(writer.push(write(), Some(n)).is_ok());
        }
        assert_eq!(writer.push(write(), Some(99)), Err(Some(99)));
        drop(writer);
        let mut failed = 0;
        let done = |group: &mut Vec<(usize, Stored)>| {
            assert!(group.iter().all(|(_, stored)| {
                stored.as_ref().is_err_and(|why| why.contains("no such table"))
            }));
            failed += group.len();
        };
        task.run(done).await.expect("goes on");
        assert_eq!(failed, QUEUE_MAX);
    });
}

#[test]
fn bans_outlive_their_server() {
    use sip_core::ban::{Reason, Row};
    let scratch = Scratch::new();
    let row = |network: &str, seconds, reason| Row {
        network: network.parse().expect("a network"),
        until: Instant::from_secs(seconds),
        reason,
    };
    let guess = row("2001:db8:1:2::/64", 1_900_000_000, Reason::Guessing);
    let longer = row("2001:db8:1:2::/64", 1_900_000_900, Reason::Operator);
    let gone = row("192.0.2.7", 1_900_000_000, Reason::Operator);
    runtime().block_on(async {
        let (writer, task) = writer::<u32>(open(&scratch).await);
        assert!(
            writer.push_ban(BanWrite::Put(guess)) && writer.push_ban(BanWrite::Put(gone.clone()))
        );
        let changes = tokio::spawn(async move {
            writer.write_ban(BanWrite::Put(longer.clone())).await.expect("stored");
            writer.write_ban(BanWrite::Remove(gone.network)).await.expect("stored");
            longer
        });
        task.run(|_| {}).await.expect("ends");
        let longer = changes.await.expect("ran");
        assert_eq!(open(&scratch).await.bans().await.expect("read"), [longer]);
    });
}
