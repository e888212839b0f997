//! What has to hold for any bytes that a stranger sends here: one function for each reader, which panics if it does
//! not. A fuzzer looks for such bytes, and a test reads again those that it kept.

pub use crate::edge::fuzz::{edge_path, edge_request};
pub use crate::grpc::fuzz::grpc_request;
pub use crate::proxy::fuzz::proxy_headers;
pub use crate::qr::fuzz::qr_query;
pub use crate::resp::fuzz::resp;
