//! `hyperfleet version`.

use hyperfleet_api_types::client::Client;

use crate::arguments::VersionArguments;

pub(crate) async fn run(arguments: VersionArguments) -> anyhow::Result<()> {
    println!("hyperfleet {}", env!("CARGO_PKG_VERSION"));
    if let Some(server) = arguments.server {
        let client = Client::new(&server)?;
        let version = client.version().await?;
        println!("server     {} ({})", version.version, client.server());
    }
    Ok(())
}
