//! A way to the broker or to the database, which can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections while it is whole. Cut, it breaks them all and takes no new ones.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    is_whole: Arc<watch::Sender<bool>>,
    forwarding: JoinHandle<()>,
}

impl Link {
    pub(crate) async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let is_whole = Arc::new(watch::Sender::new(true));
        let forwarding = tokio::spawn(forward(listener, target, is_whole.subscribe()));
        Ok(Self { address, is_whole, forwarding })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts it for a while.
    pub(crate) fn cut(&self, duration: Duration) {
        let is_whole = Arc::clone(&self.is_whole);
        is_whole.send_replace(false);
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            is_whole.send_replace(true);
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward(listener: TcpListener, target: SocketAddr, is_whole: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut is_whole = is_whole.clone();
        if !*is_whole.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(target).await else { return };
            tokio::select! {
                // Either end's way of ending is the other's affair.
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = is_whole.wait_for(|is_whole| !is_whole) => {}
            }
        });
    }
}
