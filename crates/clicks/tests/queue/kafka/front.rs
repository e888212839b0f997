//! TLS in front of brokers that speak none.

use std::collections::HashMap;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const HOST: &str = "127.0.0.1";

/// Signs certificates, and is one.
pub(super) struct Authority {
    own: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // A certificate with the name of who signed it is taken for its own.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        Self {
            own,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn pem(&self) -> String {
        self.own.pem()
    }

    /// A certificate for a name, with its key.
    pub(super) fn sign(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// For a server of that name. `clients` signs the certificates of those that it lets in.
    pub(super) fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let (certificate, key) = self.sign(name);
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.own.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = (vec![certificate.der().clone()], key.serialize_der());
        Arc::new(
            config
                .with_single_cert(chain, key.try_into().unwrap())
                .unwrap(),
        )
    }
}

/// A port with TLS for each broker. What brokers say of where they are leads to these.
pub(super) struct Front {
    addresses: String,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Before brokers at these addresses, on this machine.
    pub(super) async fn start(brokers: &str, config: Arc<ServerConfig>) -> Self {
        let (mut ports, mut listeners) = (HashMap::new(), Vec::new());
        for broker in brokers.split(',') {
            let broker: u16 = broker.rsplit_once(':').unwrap().1.parse().unwrap();
            let listener = TcpListener::bind((HOST, 0)).await.unwrap();
            ports.insert(broker, listener.local_addr().unwrap().port());
            listeners.push((broker, listener));
        }
        let addresses: Vec<_> = ports
            .values()
            .map(|port| format!("{HOST}:{port}"))
            .collect();
        let (ports, mut tasks) = (Arc::new(ports), JoinSet::new());
        for (broker, listener) in listeners {
            let (acceptor, ports) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&ports));
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, ports) = (acceptor.clone(), Arc::clone(&ports));
                    connections.spawn(async move {
                        // Whoever is refused tries again.
                        if let Ok(client) = acceptor.accept(stream).await
                            && let Ok(broker) = TcpStream::connect((HOST, broker)).await
                        {
                            let (from_client, to_client) = tokio::io::split(client);
                            let (from_broker, to_broker) = broker.into_split();
                            tokio::select! {
                                _ = forth(from_client, to_broker) => {}
                                _ = back(from_broker, to_client, &ports) => {}
                            }
                        }
                    });
                }
            });
        }
        Self {
            addresses: addresses.join(","),
            _tasks: tasks,
        }
    }

    /// Hosts and ports.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }
}

async fn forth(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
        to.flush().await?;
    }
}

/// Answer by answer, each with its length before it.
async fn back(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    ports: &HashMap<u16, u16>,
) -> std::io::Result<()> {
    loop {
        let length = from.read_u32().await?;
        let mut answer = vec![0; length as usize];
        from.read_exact(&mut answer).await?;
        redirect(&mut answer, ports);
        to.write_u32(length).await?;
        to.write_all(&answer).await?;
        to.flush().await?;
    }
}

/// Where a broker is, is its host with its port in four bytes behind.
fn redirect(answer: &mut [u8], ports: &HashMap<u16, u16>) {
    for at in 0..answer.len().saturating_sub(HOST.len() + 3) {
        let Some((host, port)) = answer[at..].split_at_mut_checked(HOST.len()) else {
            return;
        };
        let Some(port) = port
            .first_chunk_mut::<4>()
            .filter(|_| host == HOST.as_bytes())
        else {
            continue;
        };
        let told = u16::try_from(u32::from_be_bytes(*port));
        if let Some(front) = told.ok().and_then(|told| ports.get(&told)) {
            *port = u32::from(*front).to_be_bytes();
        }
    }
}
