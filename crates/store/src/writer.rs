//! The one that writes: takes what has gathered, commits it together, and only then tells the askers. The busier it is
//! the larger the groups, so the price of a commit (one wait for the disk) is shared by hundreds of REGISTERs.

use sip_core::forwarding::Forwards;
use sip_core::output::BindingWrite;
use tokio::sync::{mpsc, oneshot};

use crate::{BanWrite, GatewayRow, Store, StoreError, Subscriber};

/// Changes that may wait. More means that the disk has not kept up for seconds: refuse new ones instead of promising.
pub const QUEUE_MAX: usize = 65_536;

/// Changes per commit: bounds how long the first of them waits for the last.
const GROUP_MAX: usize = 1_024;

/// What became of one change: durable, or not, and why. The words are shared by the whole group.
pub type Stored = Result<(), std::sync::Arc<str>>;

enum Job<T> {
    Bindings {
        writes: Vec<BindingWrite>,
        tag: Option<T>,
    },
    Account(AccountJob),
    Ban(BanWrite, Option<oneshot::Sender<Result<(), StoreError>>>),
    Gateway(Box<GatewayRow>, Option<oneshot::Sender<Result<(), StoreError>>>),
    /// Nothing follows.
    Finish,
}

/// What every account forwards that forwards anything, by address of record.
type AllForwards = Vec<(String, Forwards)>;

enum AccountJob {
    List(oneshot::Sender<Result<Vec<Subscriber>, StoreError>>),
    Add(Subscriber, oneshot::Sender<Result<bool, StoreError>>),
    Change(Subscriber, oneshot::Sender<Result<bool, StoreError>>),
    Remove(String, String, oneshot::Sender<Result<bool, StoreError>>),
    Forwards(oneshot::Sender<Result<AllForwards, StoreError>>),
    SetForwards(String, String, Forwards, oneshot::Sender<Result<bool, StoreError>>),
    AddAlias((String, String), (String, String), oneshot::Sender<Result<bool, StoreError>>),
    RemoveAlias((String, String), oneshot::Sender<Result<bool, StoreError>>),
    Domain(String, oneshot::Sender<Result<String, StoreError>>),
    SetGateways(Vec<GatewayRow>, oneshot::Sender<Result<(), StoreError>>),
}

/// The way in, from any thread.
pub struct Writer<T> {
    jobs: mpsc::Sender<Job<T>>,
}

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

/// The other end; run it somewhere that may wait.
pub struct WriterTask<T> {
    store: Store,
    jobs: mpsc::Receiver<Job<T>>,
}

pub fn writer<T>(store: Store) -> (Writer<T>, WriterTask<T>) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    (Writer { jobs: sender }, WriterTask { store, jobs: receiver })
}

impl<T> Writer<T> {
    /// Never waits. With a tag, the outcome is reported under it; gives the tag back if the queue is full.
    pub fn push(&self, writes: Vec<BindingWrite>, tag: Option<T>) -> Result<(), Option<T>> {
        self.jobs.try_send(Job::Bindings { writes, tag }).map_err(|refused| {
            match refused.into_inner() {
                Job::Bindings { tag, .. } => tag,
                Job::Account(_) | Job::Ban(..) | Job::Gateway(..) | Job::Finish => None,
            }
        })
    }

    /// Ends the task once everything pushed before is written; what is pushed afterwards is not.
    pub async fn finish(&self) {
        // Closed already: it has ended.
        let _ = self.jobs.send(Job::Finish).await;
    }

    /// Changes that wait now.
    pub fn waiting(&self) -> usize {
        QUEUE_MAX - self.jobs.capacity()
    }

    pub async fn subscribers(&self) -> Result<Vec<Subscriber>, StoreError> {
        self.ask(AccountJob::List).await
    }

    pub async fn add_subscriber(&self, subscriber: Subscriber) -> Result<bool, StoreError> {
        self.ask(|reply| AccountJob::Add(subscriber, reply)).await
    }

    pub async fn change_subscriber(&self, subscriber: Subscriber) -> Result<bool, StoreError> {
        self.ask(|reply| AccountJob::Change(subscriber, reply)).await
    }

    pub async fn remove_subscriber(&self, user: &str, domain: &str) -> Result<bool, StoreError> {
        let (user, domain) = (user.to_owned(), domain.to_owned());
        self.ask(|reply| AccountJob::Remove(user, domain, reply)).await
    }

    /// Never waits; false if the queue is full.
    pub fn push_ban(&self, write: BanWrite) -> bool {
        self.jobs.try_send(Job::Ban(write, None)).is_ok()
    }

    pub async fn write_ban(&self, write: BanWrite) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Ban(write, Some(reply));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Never waits; false if the queue is full.
    pub fn push_gateway(&self, row: GatewayRow) -> bool {
        self.jobs.try_send(Job::Gateway(Box::new(row), None)).is_ok()
    }

    pub async fn write_gateway(&self, row: GatewayRow) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Gateway(Box::new(row), Some(reply));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Another name for a user; both as user and domain.
    pub async fn add_alias(
        &self,
        alias: (String, String),
        user: (String, String),
    ) -> Result<bool, StoreError> {
        self.ask(|reply| AccountJob::AddAlias(alias, user, reply)).await
    }

    pub async fn remove_alias(&self, alias: (String, String)) -> Result<bool, StoreError> {
        self.ask(|reply| AccountJob::RemoveAlias(alias, reply)).await
    }

    pub async fn forwards(&self) -> Result<AllForwards, StoreError> {
        self.ask(AccountJob::Forwards).await
    }

    pub async fn set_forwards(
        &self,
        user: &str,
        domain: &str,
        forwards: Forwards,
    ) -> Result<bool, StoreError> {
        let (user, domain) = (user.to_owned(), domain.to_owned());
        self.ask(|reply| AccountJob::SetForwards(user, domain, forwards, reply)).await
    }

    /// See [`Store::set_gateways`].
    pub async fn set_gateways(&self, rows: Vec<GatewayRow>) -> Result<(), StoreError> {
        self.ask(|reply| AccountJob::SetGateways(rows, reply)).await
    }

    /// See [`Store::domain_or`].
    pub async fn domain_or(&self, first: &str) -> Result<String, StoreError> {
        let first = first.to_owned();
        self.ask(|reply| AccountJob::Domain(first, reply)).await
    }

    async fn ask<R>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<R, StoreError>>) -> AccountJob,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Account(job(reply));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl<T> WriterTask<T> {
    /// Until every [`Writer`] is gone, or one says [`finish`](Writer::finish); what they left is written first.
    /// `committed` hears of each group.
    pub async fn run(
        mut self,
        mut committed: impl FnMut(&mut Vec<(T, Stored)>),
    ) -> Result<(), StoreError> {
        let (mut jobs, mut done) = (Vec::with_capacity(GROUP_MAX), Vec::new());
        let mut finished = false;
        while !finished && self.jobs.recv_many(&mut jobs, GROUP_MAX).await > 0 {
            let writes: Vec<&BindingWrite> = jobs
                .iter()
                .flat_map(|job| match job {
                    Job::Bindings { writes, .. } => writes.as_slice(),
                    Job::Account(_) | Job::Ban(..) | Job::Gateway(..) | Job::Finish => &[],
                })
                .collect();
            let rows = writes.len();
            let stored: Stored = if writes.is_empty() {
                Ok(())
            } else {
                self.store.write(&writes).await.map_err(|error| error.to_string().into())
            };
            for job in jobs.drain(..) {
                match job {
                    Job::Bindings { tag: Some(tag), .. } => done.push((tag, stored.clone())),
                    Job::Bindings { tag: None, .. } => {}
                    Job::Account(job) => self.store.account(job).await,
                    Job::Ban(write, reply) => {
                        let written = self.store.write_ban(&write).await;
                        // Nobody waits for a ban that the server made; it holds in memory anyway.
                        let _ = reply.map(|reply| reply.send(written));
                    }
                    Job::Gateway(row, reply) => {
                        let written = self.store.write_gateway(&row).await;
                        // Nobody waits for what a probe has found; it holds in memory anyway.
                        let _ = reply.map(|reply| reply.send(written));
                    }
                    Job::Finish => finished = true,
                }
            }
            committed(&mut done);
            done.clear();
            self.store.settle(rows).await;
        }
        self.store.close().await
    }
}

impl Store {
    /// A reply nobody waits for any more is no error.
    async fn account(&mut self, job: AccountJob) {
        match job {
            AccountJob::List(reply) => drop(reply.send(self.subscribers().await)),
            AccountJob::Add(subscriber, reply) => {
                drop(reply.send(self.add_subscriber(&subscriber).await));
            }
            AccountJob::Change(subscriber, reply) => {
                drop(reply.send(self.change_subscriber(&subscriber).await));
            }
            AccountJob::Remove(user, domain, reply) => {
                drop(reply.send(self.remove_subscriber(&user, &domain).await));
            }
            AccountJob::AddAlias(alias, user, reply) => {
                let (alias, user) = ((&*alias.0, &*alias.1), (&*user.0, &*user.1));
                drop(reply.send(self.add_alias(alias, user).await));
            }
            AccountJob::RemoveAlias((alias, domain), reply) => {
                drop(reply.send(self.remove_alias(&alias, &domain).await));
            }
            AccountJob::Forwards(reply) => drop(reply.send(self.forwards().await)),
            AccountJob::SetForwards(user, domain, forwards, reply) => {
                drop(reply.send(self.set_forwards(&user, &domain, &forwards).await));
            }
            AccountJob::Domain(first, reply) => drop(reply.send(self.domain_or(&first).await)),
            AccountJob::SetGateways(rows, reply) => {
                drop(reply.send(self.set_gateways(&rows).await));
            }
        }
    }
}
