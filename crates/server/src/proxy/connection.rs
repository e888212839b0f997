//! One connection: which protocol it speaks, and when it ends.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::handler;
use super::tunnel::Tunnel;
use super::wire::{Wire, WireStream};
use super::{ProxyOptions, Shared};
use crate::activity::{Due, Patience};

/// Requests one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// How often a silent HTTP/2 client is asked whether it is still there.
const H2_PING: std::time::Duration = std::time::Duration::from_secs(30);
/// hyper does not read with less.
const MIN_BUFFER_BYTES: usize = 8192;

/// What the requests of one connection share.
pub(super) struct Client {
    /// Who is at the other end.
    pub(super) peer: IpAddr,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    pub(super) wire: Arc<Wire>,
    /// What becomes of the connection once HTTP is over.
    pub(super) tunnel: Mutex<Option<Tunnel>>,
    pub(super) shared: Arc<Shared>,
}

/// Serves a connection to its end. Errors of the client, such as leaving early, are its own affair.
pub(super) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    drain: CancellationToken,
) {
    let client = Client {
        peer,
        scheme: if tls.is_some() { "https" } else { "http" },
        wire: Wire::new(stream),
        tunnel: Mutex::new(None),
        shared,
    };
    let stream = WireStream(Arc::clone(&client.wire));
    let Some(acceptor) = tls else {
        return speak(stream, client, drain).await;
    };
    let patience = client.shared.options.header_timeout;
    let accepted = tokio::select! {
        accepted = timeout(patience, acceptor.accept(stream)) => accepted,
        () = drain.cancelled() => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            // The handshake was no head of a request.
            client.wire.activity.answered(Instant::now());
            speak(stream, client, drain).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the proxy failed"),
        Err(_) => tracing::debug!("a TLS handshake with the proxy took too long"),
    }
}

async fn speak<S>(stream: S, client: Client, drain: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = Arc::new(client);
    let builder = builder(&client.shared.options);
    let answering = Arc::clone(&client);
    let service = service_fn(move |request: http::Request<Incoming>| {
        handler::answer(Arc::clone(&answering), request)
    });
    let http = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut http = pin!(http);
    let patience = Patience {
        header: client.shared.options.header_timeout,
        idle: client.shared.options.idle_timeout,
    };
    let look_again = patience.header.min(patience.idle);
    let mut look = Instant::now() + look_again;
    let mut ending = false;
    loop {
        tokio::select! {
            result = http.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection to the proxy ended early");
                }
                break;
            }
            () = drain.cancelled(), if !ending => {
                ending = true;
                http.as_mut().graceful_shutdown();
            }
            () = sleep_until(look.into()) => {
                let now = Instant::now();
                look = now + look_again;
                let due = match client.wire.activity.due(patience) {
                    Due::Head(at) | Due::Idle(at) => Some(at),
                    // Requests have bounds of their own, but for a client that takes no answer.
                    Due::Busy => client.wire.stalled_since().map(|since| since + patience.idle),
                };
                match due {
                    Some(at) if at <= now => return,
                    Some(at) => look = look.min(at),
                    None => {}
                }
            }
        }
    }
    let tunnel = client.tunnel.lock().take();
    if let Some(tunnel) = tunnel {
        tunnel.run(&client.wire, patience.idle).await;
    }
}

fn builder(options: &ProxyOptions) -> auto::Builder<TokioExecutor> {
    let max_header_bytes = options.max_header_bytes;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // See the `activity` module.
        .header_read_timeout(None)
        .max_buf_size(max_header_bytes.max(MIN_BUFFER_BYTES))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(H2_PING)
        .max_header_list_size(u32::try_from(max_header_bytes).unwrap_or(u32::MAX));
    builder
}
