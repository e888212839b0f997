//! Opening connections, to one of several hosts.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::PostgresAddress;
use crate::error::Error as Failed;
use crate::tls;

type Dialed = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// Finds the host that serves. The client tries hosts as well, but would wait for ever for one that
/// takes a connection and then says nothing.
pub(crate) struct Dialer {
    hosts: Vec<Config>,
    tls: MakeRustlsConnect,
    /// The time each host has.
    share: Duration,
    /// The host that served last.
    last: AtomicUsize,
}

impl Dialer {
    pub(crate) fn new(address: &PostgresAddress, deadline: Duration) -> Result<Self, Failed> {
        let hosts = each_host(&address.config);
        let share = deadline / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        Ok(Self {
            hosts,
            tls: tls::connector(address)?,
            share,
            last: AtomicUsize::new(0),
        })
    }

    /// A connection to the first host that serves, beginning with the one that did so last. Whoever
    /// waits has a deadline: when no host says anything, this does not end by itself.
    pub(crate) async fn dial(&self) -> Result<Dialed, Error> {
        let (first, mut failed) = (self.last.load(Relaxed), None);
        for step in 0..self.hosts.len() {
            let at = (first + step) % self.hosts.len();
            match timeout(self.share, self.hosts[at].connect(self.tls.clone())).await {
                Ok(Ok(dialed)) => {
                    self.last.store(at, Relaxed);
                    return Ok(dialed);
                }
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {}
            }
        }
        match failed {
            Some(error) => Err(error),
            None => pending().await,
        }
    }
}

/// The same for each host alone.
pub(crate) fn each_host(all: &Config) -> Vec<Config> {
    let (ports, addresses) = (all.get_ports(), all.get_hostaddrs());
    let count = all.get_hosts().len().max(addresses.len());
    (0..count)
        .map(|at| {
            let mut one = alone(all);
            match all.get_hosts().get(at) {
                Some(Host::Tcp(name)) => one.host(name),
                Some(Host::Unix(directory)) => one.host_path(directory),
                None => &mut one,
            };
            if let Some(address) = addresses.get(at) {
                one.hostaddr(*address);
            }
            // One port is that of all hosts.
            if let Some(port) = ports.get(at).or(ports.first()) {
                one.port(*port);
            }
            one
        })
        .collect()
}

/// All but the hosts, which nothing takes out of a configuration.
fn alone(all: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        one.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*time);
    }
    if let Some(time) = all.get_keepalives_interval() {
        one.keepalives_interval(time);
    }
    if let Some(count) = all.get_keepalives_retries() {
        one.keepalives_retries(count);
    }
    one.ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .target_session_attrs(all.get_target_session_attrs())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_alone_keeps_the_rest() {
        let read = |url: &str| url.parse::<Config>().unwrap();
        let rest = "db?target_session_attrs=read-write&connect_timeout=3&keepalives_idle=9\
                    &keepalives_interval=4&keepalives_retries=2&tcp_user_timeout=7\
                    &application_name=x&channel_binding=require&sslmode=require&options=-cjit%3Doff\
                    &sslnegotiation=direct&keepalives=0&load_balance_hosts=random";
        let all = read(&format!("postgres://me:sesame@one:5432,two:6432/{rest}"));
        let hosts = each_host(&all);
        assert_eq!(
            hosts,
            [
                read(&format!("postgres://me:sesame@one:5432/{rest}")),
                read(&format!("postgres://me:sesame@two:6432/{rest}")),
            ]
        );
    }
}
