//! A door to a server through which replies may come late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::Result;

/// Pieces of replies that are on their way at once.
const MOST: usize = 4096;

pub(crate) struct Delay {
    port: u16,
    millis: Arc<AtomicU64>,
}

impl Delay {
    pub(crate) async fn before(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own_port = listener.local_addr()?.port();
        let millis = Arc::new(AtomicU64::new(0));
        let late = Arc::clone(&millis);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let late = Arc::clone(&late);
                // That the server is gone is told by the end of the connection.
                tokio::spawn(async move { drop(pass(client, port, &late).await) });
            }
        });
        Ok(Self { port: own_port, millis })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn by(&self, time: Duration) {
        self.millis.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Until either side ends.
async fn pass(client: TcpStream, port: u16, late: &AtomicU64) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(MOST);
    let read = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return Result::Ok(());
            }
            let due = Instant::now() + Duration::from_millis(late.load(Ordering::Relaxed));
            send.send((due, buffer[..read].to_vec())).await?;
        }
    };
    let write = async {
        while let Some((due, bytes)) = receive.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            to_client.write_all(&bytes).await?;
        }
        Result::Ok(())
    };
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server) => drop(ended?),
        ended = read => ended?,
        ended = write => ended?,
    }
    Ok(())
}
