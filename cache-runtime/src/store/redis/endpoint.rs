//! Where connections lead to: a server, or whichever is the master of a service.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, RedisError};

use super::epoch::Epoch;
use super::sentinel::Sentinels;
use super::sentinel_url::Service;
use super::{Refusal, tls};
use crate::config::Tls;

/// What a url says.
pub(crate) enum Location {
    Server(Box<ConnectionInfo>),
    Service(Box<Service>),
}

pub(super) struct Endpoint {
    pub(super) epoch: Arc<Epoch>,
    kind: Kind,
}

enum Kind {
    Server(Box<Client>),
    Service(Arc<Sentinels>),
}

impl Endpoint {
    pub(super) fn new(at: Location, tls: &Tls) -> Result<Self, RedisError> {
        let kind = match at {
            Location::Server(info) => Kind::Server(Box::new(client(*info, tls)?)),
            Location::Service(service) => {
                let sentinels = service.sentinels.into_iter().map(|info| client(info, tls));
                let sentinels = sentinels.collect::<Result<_, _>>()?;
                // With what it takes to speak TLS.
                let master = client(service.master, tls)?.get_connection_info().clone();
                Kind::Service(Arc::new(Sentinels::new(service.name, sentinels, master)))
            }
        };
        Ok(Self { epoch: Arc::default(), kind })
    }

    /// Whether it leads to one server after the other.
    pub(super) fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Service(_))
    }

    /// What stands in log lines.
    pub(super) fn address(&self) -> String {
        match &self.kind {
            Kind::Server(client) => client.get_connection_info().addr().to_string(),
            Kind::Service(sentinels) => sentinels.address(),
        }
    }

    /// A connection, and the epoch that it belongs to.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        limit: Duration,
    ) -> Result<(MultiplexedConnection, u64), Refusal> {
        match &self.kind {
            Kind::Server(client) => {
                // Before: should it end meanwhile, this may still lead to the server of before.
                let epoch = self.epoch.current();
                let connected = client.get_multiplexed_async_connection_with_config(config).await;
                let refused = |error| Refusal::from_connecting(&error);
                connected.map(|connection| (connection, epoch)).map_err(refused)
            }
            Kind::Service(sentinels) => sentinels.connect(config, &self.epoch, limit).await,
        }
    }

    /// Sees to it that a new master is noticed while connections to the old one work.
    pub(super) fn watch(&self, limit: Duration) {
        if let Kind::Service(sentinels) = &self.kind {
            Sentinels::watch(sentinels, &self.epoch, limit);
        }
    }
}

fn client(info: ConnectionInfo, tls: &Tls) -> Result<Client, RedisError> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    tls::client(info.set_tcp_settings(tcp).set_redis_settings(redis), tls)
}
