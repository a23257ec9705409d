//! What is RabbitMQ's own, on a real server.

// Marked so that clippy knows these for tests: they may unwrap.
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod interoperation;
#[cfg(test)]
mod load;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod support;
