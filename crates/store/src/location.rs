//! The `location` table: bindings (RFC 3261 §10.2.1) as rows. Written many to a statement, because the cost of a row is
//! mostly the round trip to the database's thread. The pair (`aor`, `contact`) names a row.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::output::{BindingRow, BindingWrite};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection,
};

use crate::{Store, StoreError, moment};

/// One of our listeners, as the `socket` column names it: `udp:192.0.2.10:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// Rows per statement, largest first. A prepared statement exists for each.
const CHUNKS: [usize; 3] = [128, 16, 1];

const COLUMNS: usize = 13;

/// The statements that put bindings, and the numbers behind `ruid`.
pub struct Puts {
    statements: [SqlStr; CHUNKS.len()],
    ruid_prefix: String,
    ruid_next: u64,
}

impl Puts {
    pub fn new() -> Self {
        let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            statements: CHUNKS.map(statement),
            ruid_prefix: format!("rw-{:x}-", started.as_micros()),
            ruid_next: 0,
        }
    }

    fn ruid(&mut self) -> String {
        self.ruid_next += 1;
        let mut ruid = String::with_capacity(32);
        // Writing into a String cannot fail.
        let _ = write!(ruid, "{}{:x}", self.ruid_prefix, self.ruid_next);
        ruid
    }
}

fn statement(rows: usize) -> SqlStr {
    let mut sql = String::from(
        "INSERT INTO location (ruid, username, domain, contact, received, expires, q, callid, cseq, \
         last_modified, user_agent, socket, path) VALUES ",
    );
    for row in 0..rows {
        sql.push_str(if row == 0 { "(?" } else { ",(?" });
        sql.push_str(&",?".repeat(COLUMNS - 1));
        sql.push(')');
    }
    sql.push_str(" ON CONFLICT (username, domain, contact) DO UPDATE SET ");
    for column in [
        "received",
        "expires",
        "q",
        "callid",
        "cseq",
        "last_modified",
        "user_agent",
        "socket",
        "path",
    ] {
        let _ = write!(sql, "{column} = excluded.{column},");
    }
    sql.pop();
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

fn split(aor: &str) -> (&str, &str) {
    aor.rsplit_once('@').unwrap_or((aor, ""))
}

/// `sip:192.0.2.1:5060`, with `;transport=tcp` where it is.
fn received(flow: &Flow) -> String {
    match flow.transport {
        Transport::Udp => format!("sip:{}", flow.remote),
        transport => format!("sip:{};transport={}", flow.remote, transport.uri_token()),
    }
}

fn parse_received(text: &str) -> Option<(Transport, SocketAddr)> {
    let rest = text.strip_prefix("sip:")?;
    let (address, transport) = match rest.split_once(';') {
        None => (rest, Transport::Udp),
        Some((address, "transport=tcp")) => (address, Transport::Tcp),
        Some((address, "transport=udp")) => (address, Transport::Udp),
        Some(_) => return None,
    };
    Some((transport, address.parse().ok()?))
}

impl Store {
    /// All bindings, a page at a time. Rows that make no sense (a foreign tool wrote them) are left out; returns how
    /// many.
    ///
    /// A page is one row of one value: SQLite writes it as JSON faster than its rows travel one by one.
    pub async fn bindings(
        &mut self,
        mut page: impl FnMut(&[BindingRow]),
    ) -> Result<usize, StoreError> {
        let (mut left_out, mut taken, mut size) = (0, Vec::new(), PAGE);
        let mut text = fetch(&mut self.connection, 0, size).await?;
        while let Some(Page { first, last, count, json }) = text {
            let read = || {
                let rows = serde_json::from_str::<Vec<Columns<'_>>>(json.as_deref()?).ok()?;
                taken.clear();
                taken.extend(rows.iter().filter_map(|row| binding(&self.sockets, row)));
                left_out += count - taken.len().min(count);
                page(&taken);
                Some(())
            };
            // SQLite's thread writes the next page while this one is read here.
            let (good, next) = beside(read, fetch(&mut self.connection, last, PAGE)).await;
            let (good, next) = (good.is_some(), next?);
            text = if good {
                size = PAGE;
                next
            } else if count > 1 {
                // Something in it is no text, or a number where none belongs: find the row, one by one.
                size = (size / 8).max(1);
                fetch(&mut self.connection, first, size).await?
            } else {
                left_out += count;
                next
            };
        }
        Ok(left_out)
    }

    /// Removes all bindings of one user; returns how many there were.
    pub async fn remove_bindings(&mut self, aor: &str) -> Result<u64, StoreError> {
        let (user, domain) = split(aor);
        let query = sqlx::query("DELETE FROM location WHERE username = ?1 AND domain = ?2");
        let done = query.bind(user).bind(domain).execute(&mut self.connection).await?;
        Ok(done.rows_affected())
    }

    /// All of `writes` in one transaction, in their order.
    pub async fn write(&mut self, writes: &[&BindingWrite]) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        let mut rest = writes;
        while let Some(first) = rest.first() {
            if let BindingWrite::Remove { aor, contact } = first {
                let (user, domain) = split(aor);
                sqlx::query(
                    "DELETE FROM location WHERE username = ?1 AND domain = ?2 AND contact = ?3",
                )
                .bind(user)
                .bind(domain)
                .bind(&**contact)
                .execute(&mut *transaction)
                .await?;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let puts = rest
                .iter()
                .take_while(|w| matches!(w, BindingWrite::Put(_)))
                .take(CHUNKS[0])
                .count();
            let chunk = CHUNKS.iter().position(|size| *size <= puts).unwrap_or(CHUNKS.len() - 1);
            let (now, later) = rest.split_at(CHUNKS[chunk].min(rest.len()));
            let mut query = sqlx::query(self.puts.statements[chunk].clone());
            for write in now {
                if let BindingWrite::Put(row) = write {
                    query = bind(query, self.puts.ruid(), row, &self.sockets);
                }
            }
            query.execute(&mut *transaction).await?;
            rest = later;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// To be called when those who wait for the commit have been answered.
    pub async fn settle(&mut self, rows: usize) {
        self.checkpointer.committed(rows, &mut self.connection).await;
    }
}

/// Does `work` here while `task` is under way elsewhere.
async fn beside<A, B>(work: impl FnOnce() -> A, task: impl Future<Output = B>) -> (A, B) {
    let mut task = pin!(task);
    let begun = poll_fn(|context| Poll::Ready(task.as_mut().poll(context))).await;
    let done = work();
    match begun {
        Poll::Ready(result) => (done, result),
        Poll::Pending => (done, task.await),
    }
}

/// Rows read at once.
const PAGE: i64 = 4_096;

/// Some rows as JSON.
struct Page {
    /// The number before its first row, and that of its last one.
    first: i64,
    last: i64,
    count: usize,
    /// None: it cannot be read.
    json: Option<String>,
}

/// The rows after the one with the number `first`; none when there are no more.
async fn fetch(
    connection: &mut SqliteConnection,
    first: i64,
    size: i64,
) -> Result<Option<Page>, StoreError> {
    let row = sqlx::query(
        "SELECT max(id), count(*), json_group_array(json_array(username, domain, contact, received, expires, q, \
         callid, cseq, last_modified, user_agent, socket, path)) \
         FROM (SELECT * FROM location WHERE id > ?1 ORDER BY id LIMIT ?2)",
    )
    .bind(first)
    .bind(size)
    .fetch_one(connection)
    .await?;
    let Some(last) = row.try_get::<Option<i64>, _>(0)? else { return Ok(None) };
    let count = usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0);
    Ok(Some(Page { first, last, count, json: row.try_get(2).ok() }))
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(
    query: Statement<'q>,
    ruid: String,
    row: &'q BindingRow,
    sockets: &[Socket],
) -> Statement<'q> {
    let (user, domain) = split(&row.aor);
    let socket = sockets.get(usize::from(row.flow.listener.0));
    query
        .bind(ruid)
        .bind(user)
        .bind(domain)
        .bind(&*row.contact)
        .bind(received(&row.flow))
        .bind(moment::text(row.expires_at))
        .bind(f64::from(row.q) / 1000.0)
        .bind(&*row.call_id)
        .bind(i64::from(row.cseq))
        .bind(moment::text(row.modified_at))
        .bind(&*row.user_agent)
        .bind(socket.map(|s| format!("{}:{}", s.transport, s.address)))
        .bind(Some(&*row.path).filter(|path| !path.is_empty()))
}

/// The columns of a row, in the order of the query.
type Columns<'j> = (
    Cow<'j, str>,
    Cow<'j, str>,
    Cow<'j, str>,
    Cow<'j, str>,
    Cow<'j, str>,
    f64,
    Cow<'j, str>,
    u32,
    Cow<'j, str>,
    Cow<'j, str>,
    Option<Cow<'j, str>>,
    Option<Cow<'j, str>>,
);

fn binding(sockets: &[Socket], row: &Columns<'_>) -> Option<BindingRow> {
    let (user, domain, contact, received, expires, q, call_id, cseq, modified, agent, socket, path) =
        row;
    let (transport, remote) = parse_received(received)?;
    let fits = |s: &Socket| s.transport == transport && s.address.is_ipv4() == remote.is_ipv4();
    let named = socket.as_deref().and_then(|name| {
        let (_, address) = name.split_once(':')?;
        let address: SocketAddr = address.parse().ok()?;
        sockets.iter().position(|s| s.transport == transport && s.address == address)
    });
    // The address is ours no more: any of the same kind may still reach the phone.
    let listener = named.or_else(|| sockets.iter().position(fits))?;
    let flow = Flow {
        transport,
        listener: ListenerId(u16::try_from(listener).ok()?),
        connection: ConnectionId::NONE,
        remote,
    };
    Some(BindingRow {
        aor: [user, "@", domain].concat().into(),
        contact: contact.as_ref().into(),
        call_id: call_id.as_ref().into(),
        cseq: *cseq,
        q: (q * 1000.0).round().clamp(0.0, 1000.0) as u16,
        expires_at: moment::parse(expires)?,
        modified_at: moment::parse(modified)?,
        flow,
        user_agent: agent.as_ref().into(),
        path: path.as_deref().unwrap_or_default().into(),
    })
}
