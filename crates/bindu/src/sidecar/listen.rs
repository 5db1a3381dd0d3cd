//! Listening where nobody else does.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps waiting.
const BACKLOG: i32 = 1024;

/// Listens on the first address of a host that can be listened on. A port that somebody has is an
/// error: it is never shared.
pub(super) fn on(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut last = None;
    for address in (host, port).to_socket_addrs()? {
        match listener(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
}

/// As [`on`], but every address of the machine is one of both families: a client that takes
/// `localhost` for `::1` gets through too.
pub(super) fn on_both_families(host: &str, port: u16) -> io::Result<TcpListener> {
    if host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        match listener((Ipv6Addr::UNSPECIFIED, port).into()) {
            // A machine without IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {}
            listening => return listening,
        }
    }
    on(host, port)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Elsewhere the option means that two programs may share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn both_families_get_through_and_nobody_shares() {
        let listener = on_both_families("0.0.0.0", 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(TcpStream::connect(("::1", port)).is_ok());
        }
        let second = on_both_families("0.0.0.0", port).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let beside = on("127.0.0.1", port).unwrap_err();
        assert_eq!(beside.kind(), io::ErrorKind::AddrInUse);
    }
}
