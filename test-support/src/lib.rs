#![doc = include_str!("../README.md")]

mod cable;
mod database;
mod eventually;
mod own_rabbitmq;
mod pubsub;
mod rabbitmq;
pub mod relay;
mod server;
mod template;

pub use cable::Cable;
pub use database::{DurableDatabase, TestDatabase, database, durable_database};
pub use eventually::{Look, eventually};
pub use own_rabbitmq::{OwnRabbitMq, ServerCertificate};
pub use pubsub::{PUBSUB_VARIABLE, PubSubProject, pubsub_project};
pub use rabbitmq::{RABBITMQ_MANAGEMENT_VARIABLE, RABBITMQ_VARIABLE, RabbitMq, rabbitmq};
pub use server::{URL_VARIABLE, server_settings};
