//! `client`: who sent the message to the MTA.

use crate::{bindings::wasmilter::policy::client, call::Call};
use wasmilter_message::client::Client;

impl client::Host for Call {
    fn get(&mut self) -> wasmtime::Result<client::ClientInfo> {
        self.charge()?;
        Ok(info(&self.message.client))
    }

    fn connected(&mut self) -> wasmtime::Result<client::ClientInfo> {
        self.charge()?;
        Ok(info(&self.message.connected))
    }
}

fn info(client: &Client) -> client::ClientInfo {
    let auth = client.auth.clone().unwrap_or_default();
    let tls = client.tls.clone().unwrap_or_default();
    client::ClientInfo {
        address: client.address.map(|address| address.to_string()).unwrap_or_default(),
        port: client.port.map_or(0, u32::from),
        hostname: client.hostname.clone().unwrap_or_default(),
        helo: client.helo.clone().unwrap_or_default(),
        auth_user: auth.user,
        auth_mechanism: auth.mechanism,
        tls_version: tls.version,
        tls_cipher: tls.cipher,
        listener: client.listener.clone().unwrap_or_default(),
    }
}
