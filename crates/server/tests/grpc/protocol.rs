//! The HTTP/2 below.

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_by_the_letter() {
    let server = Server::start().await;
    let asking = tokio::task::spawn_blocking(move || crate::frames::wrong(server.address));
    let wrong = asking.await.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
