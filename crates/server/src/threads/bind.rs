use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the system may hold for a thread that has not accepted them yet. The system's own
/// limit (`net.core.somaxconn`) applies as well. Whoever comes when there are so many is not answered, and knocks
/// again after one, three and seven seconds.
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

/// Binds a listener whose connections the threads of one runtime share.
///
/// # Errors
/// When the address is taken, is not one of this machine, or may not be used.
pub fn listen(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = socket(address, false)?;
    socket.listen(BACKLOG)?;
    tokio::net::TcpListener::from_std(socket.into())
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

    #[tokio::test]
    async fn a_crowd_that_comes_at_once_is_let_in_when_there_is_time() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let crowd = most.trim().parse::<usize>().unwrap().min(2_000);
        // Nobody accepts yet. For one that finds no place nobody ever would.
        let patience = std::time::Duration::from_secs(60);
        for _ in 0..crowd {
            std::net::TcpStream::connect_timeout(&address, patience).unwrap();
        }
        for _ in 0..crowd {
            listener.accept().await.unwrap();
        }
    }

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
