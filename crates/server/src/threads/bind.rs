use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the system may hold for a thread that has not accepted them yet. The system's own
/// limit (`net.core.somaxconn`) applies as well.
const BACKLOG: i32 = 4096;

/// Binds one listener for each thread, all on the same address, which has the port the system chose
/// if port 0 is wanted.
pub(crate) fn listeners(
    wanted: SocketAddr,
    threads: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    if wanted.port() != 0 {
        // Two servers of one user can share a port by SO_REUSEPORT without noticing, each getting
        // some of the requests. Binding without it first turns that mistake into "address in use".
        socket(wanted, false)?;
    }
    let first: TcpListener = listening(wanted)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(listening(address)?);
    }
    Ok((address, listeners))
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process that linger in TIME_WAIT must not delay a restart.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_share_one_port_and_a_second_server_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, held) = listeners(any, 3).unwrap();
        assert_eq!(held.len(), 3);
        for listener in &held {
            assert_eq!(listener.local_addr().unwrap(), address);
        }
        let error = listeners(address, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        listeners(address, 1).unwrap();
    }
}
