//! The thread that starts the server, watches it, starts it again, and ends it.

use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::place::{Hold, Place};
use super::{Binaries, PostgresError, PostgresSettings, PostgresState, child};

/// How long a server may take to accept connections: replaying a long log takes a while.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Attempts of the first start: processes of a killed predecessor may hold its memory a moment.
const FIRST_START_ATTEMPTS: u32 = 4;

/// Pause before the first new attempt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A server that ran this long counts as healthy, and its next death starts from the first pause.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// How often a starting or stopping server is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How often a running server is looked at.
const WATCH: Duration = Duration::from_millis(100);

/// How long a fast shutdown may take before it becomes an immediate one.
const FAST_SHUTDOWN: Duration = Duration::from_secs(20);

/// Asks the supervisor to stop the server and end.
#[derive(Debug)]
pub(super) struct Stop;

type Started = oneshot::Sender<Result<Place, PostgresError>>;

/// Everything the supervising thread works with.
pub(super) struct Supervisor {
    settings: PostgresSettings,
    binaries: Binaries,
    place: Place,
    requests: Receiver<Stop>,
    state: watch::Sender<PostgresState>,
    hold: Hold,
}

/// Why watching a server came to an end.
enum End {
    Asked,
    Died(String),
}

impl Supervisor {
    /// Starts the thread. It tells `started` how the first start went.
    pub(super) fn launch(
        settings: PostgresSettings,
        binaries: Binaries,
        requests: Receiver<Stop>,
        state: watch::Sender<PostgresState>,
        started: Started,
    ) -> Result<(), PostgresError> {
        thread::Builder::new()
            .name("postgres-supervisor".to_owned())
            .spawn(move || {
                let prepared = Place::prepare(&settings.data_directory);
                match prepared {
                    Ok((place, hold)) => Self {
                        settings,
                        binaries,
                        place,
                        requests,
                        state,
                        hold,
                    }
                    .run(started),
                    // A caller that gave up waiting needs no answer.
                    Err(error) => drop(started.send(Err(error))),
                }
            })
            .map(drop)
            .map_err(PostgresError::file(
                "started",
                "postgres-supervisor".as_ref(),
            ))
    }

    fn run(self, started: Started) {
        match self.first_start() {
            Ok(server) => {
                // A caller that gave up waiting has dropped the requests as well, which stops us.
                let _ = started.send(Ok(self.place.clone()));
                self.supervise(server);
            }
            Err(error) => drop(started.send(Err(error))),
        }
        // The hold is released before the state says so: whoever waits may open the place again.
        let Self { state, hold, .. } = self;
        drop(hold);
        state.send_replace(PostgresState::Stopped);
    }

    fn first_start(&self) -> Result<Child, PostgresError> {
        child::end_predecessor(&self.place, || pause_for(LOOK));
        child::initialise(&self.binaries, &self.place)?;
        let mut pause = FIRST_PAUSE;
        for _ in 1..FIRST_START_ATTEMPTS {
            match self.start(0) {
                Err(PostgresError::NotReady { reason, .. }) => {
                    tracing::debug!(reason, "starting PostgreSQL once more");
                    pause_for(pause);
                    pause *= 2;
                }
                other => return other,
            }
        }
        self.start(0)
    }

    /// Keeps the server running until asked to stop.
    fn supervise(&self, mut server: Child) {
        let mut restarts = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let reason = match self.watch(&mut server) {
                End::Asked => return stop(&mut server),
                End::Died(reason) => reason,
            };
            self.state.send_replace(PostgresState::Starting);
            if since.elapsed() > HEALTHY_AFTER {
                pause = FIRST_PAUSE;
            }
            tracing::error!(reason, log = %self.place.log.display(), "PostgreSQL ended by itself and is started again");
            server = loop {
                if self.asked_within(pause) {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                restarts += 1;
                match self.start(restarts) {
                    Ok(server) => break server,
                    Err(error) => {
                        tracing::error!(
                            error = crate::error_chain(&error),
                            "PostgreSQL does not start"
                        );
                    }
                }
            };
        }
    }

    /// Starts the server and waits until it accepts connections.
    fn start(&self, restarts: u32) -> Result<Child, PostgresError> {
        let mut server = child::spawn(&self.binaries, &self.place, &self.settings)?;
        let pid = server.id();
        let start = Instant::now();
        let reason = loop {
            match server.try_wait() {
                Ok(Some(status)) => break format!("ended while starting ({status})"),
                Err(error) => break format!("cannot be waited for: {error}"),
                Ok(None) if child::is_ready(&self.place, pid) => {
                    self.state
                        .send_replace(PostgresState::Ready { pid, restarts });
                    tracing::info!(pid, restarts, data = %self.place.data.display(), "PostgreSQL is ready");
                    return Ok(server);
                }
                Ok(None) if start.elapsed() > START_DEADLINE => {
                    stop(&mut server);
                    break format!("was not ready after {} s", START_DEADLINE.as_secs());
                }
                Ok(None) => pause_for(LOOK),
            }
        };
        Err(PostgresError::NotReady {
            reason,
            log: self.place.log.clone(),
            tail: child::log_tail(&self.place),
        })
    }

    fn watch(&self, server: &mut Child) -> End {
        loop {
            if self.asked_within(WATCH) {
                return End::Asked;
            }
            match server.try_wait() {
                Ok(Some(status)) => return End::Died(status.to_string()),
                Err(error) => return End::Died(error.to_string()),
                Ok(None) => {}
            }
        }
    }

    /// Waits `duration` for the request to stop. A caller that is gone asks for it too.
    fn asked_within(&self, duration: Duration) -> bool {
        !matches!(
            self.requests.recv_timeout(duration),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

/// Rests on this thread, whose only work is to look.
fn pause_for(duration: Duration) {
    let start = Instant::now();
    while let Some(left) = duration.checked_sub(start.elapsed()) {
        thread::park_timeout(left);
    }
}

/// Fast shutdown, then immediate, then none of its own choosing.
fn stop(server: &mut Child) {
    for (signal, patience) in [
        (libc::SIGINT, FAST_SHUTDOWN),
        (libc::SIGQUIT, FAST_SHUTDOWN / 4),
    ] {
        child::signal(server.id(), signal);
        let start = Instant::now();
        while start.elapsed() < patience {
            if !matches!(server.try_wait(), Ok(None)) {
                return;
            }
            pause_for(LOOK);
        }
    }
    tracing::error!(pid = server.id(), "PostgreSQL does not stop and is killed");
    // Already ended is as good.
    let _ = server.kill();
    let _ = server.wait();
}
