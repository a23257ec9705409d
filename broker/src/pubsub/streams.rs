//! The streams that a consumer receives over.

use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler as Lease;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// Messages between the streams and their consumer. They count as held at Pub/Sub.
const READ_AHEAD: usize = 64;

/// What a stream gives; an error is its last.
pub(super) type Received = google_cloud_pubsub::Result<(Message, Lease)>;

/// Open streams, all read into one channel.
///
/// Each is read by a task of its own, because a stream that is being opened must not be dropped: what it was
/// just given would stay with nobody until its lease ends.
pub(super) struct Streams {
    open: Vec<(AbortHandle, ShutdownToken)>,
    readers: JoinSet<()>,
    sender: mpsc::Sender<Received>,
    received: mpsc::Receiver<Received>,
    /// Streams that were closed, which live on until all that came over them is answered.
    closing: JoinSet<()>,
}

impl Streams {
    pub(super) fn new() -> Self {
        let (sender, received) = mpsc::channel(READ_AHEAD);
        Self {
            open: Vec::new(),
            readers: JoinSet::new(),
            sender,
            received,
            closing: JoinSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open(&mut self, stream: MessageStream) {
        let token = stream.shutdown_token();
        let reader = self.readers.spawn(read(stream, self.sender.clone()));
        self.open.push((reader, token));
    }

    /// Adds what comes next over any of them, at most `limit`, and tells how many there were; none when nothing
    /// will come any more. Safe to cancel.
    pub(super) async fn next_many(&mut self, into: &mut Vec<Received>, limit: usize) -> usize {
        self.received.recv_many(into, limit).await
    }

    /// Closes all but `kept` of them; what came over them can still be answered.
    pub(super) fn close_but(&mut self, kept: usize) {
        for (reader, token) in self.open.split_off(kept.min(self.open.len())) {
            reader.abort();
            self.closing.spawn(async move { token.shutdown().await });
        }
        while self.readers.try_join_next().is_some() {}
        while self.closing.try_join_next().is_some() {}
    }

    /// Closes all, and returns when they are closed: what is given back then does not come over them again.
    pub(super) async fn close(&mut self) {
        self.close_but(0);
        self.readers.shutdown().await;
        self.received.close();
        while self.received.try_recv().is_ok() {}
        let (sender, received) = mpsc::channel(READ_AHEAD);
        self.sender = sender;
        self.received = received;
    }

    /// Waits until Pub/Sub has the answers to all that came over closed streams.
    pub(super) async fn flush(&mut self) {
        while self.closing.join_next().await.is_some() {}
    }
}

/// Passes on what a stream gives, until it ends or nobody takes it.
async fn read(mut stream: MessageStream, sender: mpsc::Sender<Received>) {
    while let Some(next) = stream.next().await {
        if sender.send(next).await.is_err() {
            return;
        }
    }
}
