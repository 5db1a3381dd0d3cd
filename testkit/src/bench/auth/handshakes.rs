//! Connections that begin and end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bindu_http::server::Acceptor;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::super::compare::side_by_side;
use super::super::load::{CONNECTIONS, Count};
use super::pki::{Pki, localhost};

/// What a server says once it has let somebody in.
const WELCOME: &[u8] = b"welcome";

/// Shakes hands with whoever comes, says one word and goes.
pub(super) async fn serve(acceptor: impl Acceptor) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = Arc::new(acceptor);
    tokio::spawn(async move {
        while let Ok((stream, remote)) = listener.accept().await {
            let acceptor = Arc::clone(&acceptor);
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut io = acceptor.accept(stream, remote).await?.io;
                io.write_all(WELCOME).await?;
                io.shutdown().await
            });
        }
    });
    Ok(address)
}

/// A client for each connection to one server, with sessions of its own.
pub(super) type Clients = Vec<Arc<ClientConfig>>;

pub(super) fn clients(pki: &Pki, resumed: bool) -> anyhow::Result<Clients> {
    (0..CONNECTIONS).map(|_| pki.client(resumed)).collect()
}

/// How fast these servers shake hands, in turns.
pub(super) async fn rates(
    time: Duration,
    servers: [SocketAddr; 2],
    clients: [Clients; 2],
    resumed: bool,
) -> io::Result<[Count; 2]> {
    if resumed {
        for (server, clients) in servers.iter().zip(&clients) {
            for client in clients {
                shake(*server, client).await?;
            }
        }
    }
    side_by_side(time, |contender, turn| {
        let clients = clients[contender].clone();
        async move { run(servers[contender], clients, resumed, turn).await }
    })
    .await
}

async fn run(
    server: SocketAddr,
    clients: Clients,
    resumed: bool,
    time: Duration,
) -> io::Result<Count> {
    let wanted = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let mut shaking = JoinSet::new();
    let begun = Instant::now();
    for client in clients {
        shaking.spawn(async move {
            let mut done = 0;
            while begun.elapsed() < time {
                let kind = shake(server, &client).await?;
                if kind != Some(wanted) {
                    return Err(io::Error::other(format!("a handshake was {kind:?}")));
                }
                done += 1;
            }
            Ok(done)
        });
    }
    let mut count = Count::default();
    while let Some(done) = shaking.join_next().await {
        count.done += done.map_err(io::Error::other)??;
    }
    count.took = begun.elapsed();
    Ok(count)
}

/// From the first packet to the server's word, which comes after it has accepted the certificate
/// and sent its tickets.
async fn shake(
    server: SocketAddr,
    client: &Arc<ClientConfig>,
) -> io::Result<Option<HandshakeKind>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(client));
    let mut stream = connector.connect(localhost(), stream).await?;
    let mut word = [0; WELCOME.len()];
    stream.read_exact(&mut word).await?;
    let (_, connection) = stream.get_ref();
    if word != WELCOME || connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Err(io::Error::other("a server that is none of ours"));
    }
    Ok(connection.handshake_kind())
}
