//! One connection, with a limit on every answer: a server that takes a question and stays silent is as good as gone.
//!
//! The asynchronous client underneath is driven by the thread that asks, and by no other.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, Row, Socket, Statement, ToStatement, Transaction,
};

use super::failed;

/// How long an answer may take. The server itself ends a statement before that.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(crate) struct Connection {
    client: Client,
    /// Told of each notification, and of the end.
    heard: Arc<Notify>,
    runtime: Runtime,
}

impl Connection {
    /// Connects; the whole of it may take as long as `patience`.
    ///
    /// # Errors
    /// The server's, and `TimedOut` when it was silent.
    pub(crate) fn open<T>(config: &Config, tls: T, patience: Duration) -> io::Result<Self>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let opened = runtime.block_on(async { timeout(patience, config.connect(tls)).await });
        let opened = opened.map_err(|_| silent(io::ErrorKind::TimedOut, patience))?;
        let (client, connection) = opened.map_err(failed)?;
        let heard = Arc::new(Notify::new());
        runtime.spawn(listen(connection, Arc::clone(&heard)));
        Ok(Self {
            client,
            heard,
            runtime,
        })
    }

    /// Whether nothing can be asked over it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) fn query<S>(&self, statement: &S, values: Values<'_>) -> io::Result<Vec<Row>>
    where
        S: ?Sized + ToStatement,
    {
        self.ask(self.client.query(statement, values))
    }

    pub(crate) fn execute(&self, statement: &Statement, values: Values<'_>) -> io::Result<u64> {
        self.ask(self.client.execute(statement, values))
    }

    pub(crate) fn prepare(&self, sql: &str) -> io::Result<Statement> {
        self.ask(self.client.prepare(sql))
    }

    pub(crate) fn batch_execute(&self, sql: &str) -> io::Result<()> {
        self.ask(self.client.batch_execute(sql))
    }

    /// Does it and takes it back, in one message: whoever is stopped in the middle keeps nothing.
    pub(crate) fn try_out(&self, sql: &str) -> io::Result<()> {
        let tried = self.batch_execute(&format!("BEGIN; {sql}; ROLLBACK"));
        if tried.is_err() {
            // What went wrong is what is told.
            let _ = self.batch_execute("ROLLBACK");
        }
        tried
    }

    /// Does all of it or nothing. Each answer has its own limit where `act` takes it from [`answered`].
    pub(crate) fn whole<T>(
        &mut self,
        act: impl AsyncFnOnce(&Transaction<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.runtime.block_on(async {
            let transaction = answered(self.client.transaction()).await?;
            let done = act(&transaction).await?;
            answered(transaction.commit()).await?;
            Ok(done)
        })
    }

    /// Waits for a notification; says whether one came. One look serves for all that came together.
    pub(crate) fn wait(&self, longest: Duration) -> io::Result<bool> {
        let heard = async { timeout(longest, self.heard.notified()).await };
        let came = self.runtime.block_on(heard).is_ok();
        if self.is_closed() {
            let why = "the connection was lost";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        Ok(came)
    }

    fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
        self.runtime.block_on(answered(asked))
    }
}

/// The answer, if it comes in time. Whoever asked and was not answered knows nothing: the connection is given up.
pub(crate) async fn answered<T>(asked: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
    match timeout(SILENCE, asked).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(silent(io::ErrorKind::ConnectionAborted, SILENCE)),
    }
}

fn silent(kind: io::ErrorKind, patience: Duration) -> io::Error {
    let why = format!("the server has not answered for {} s", patience.as_secs());
    io::Error::new(kind, why)
}

async fn listen<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(_) = message {
            heard.notify_one();
        }
    }
    heard.notify_one();
}
