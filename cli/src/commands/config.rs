//! `hyperfleet config dump`.

use serde_json::json;

use crate::arguments::{ConfigCommand, OutputFormat};
use crate::control_plane::DatabaseChoice;
use crate::{commands::serve, output};

pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Dump(arguments) = command;
    let listen = &arguments.listen;
    let database = match serve::control_plane_database(&arguments) {
        DatabaseChoice::Url(_) => json!({"url": "***"}),
        DatabaseChoice::Embedded(folder) => json!({"embedded": folder}),
    };
    let document = json!({
        "server": {"host": listen.host, "port": listen.port, "insecure": listen.insecure},
        "health": {"host": listen.host, "port": listen.health_port},
        "metrics": {"host": listen.host, "port": listen.metrics_port},
        "database": database,
        "broker": {"url": arguments.broker},
        "kubernetes": {"kubeconfig": arguments.kubeconfig},
        "adapters": {"folder": arguments.adapters},
        "cluster_sim": {"job_delay_milliseconds": arguments.job_delay},
    });
    print!("{}", output::structured(&document, OutputFormat::Yaml)?);
    Ok(())
}
