//! What holds for every input of the codecs. Fuzz targets, the replay of the corpora and the
//! property tests all call these.

pub(crate) mod chunked_body;
pub(crate) mod client_hello;
pub(crate) mod dns_reply;
pub(crate) mod frame;
pub(crate) mod hpack;
pub(crate) mod http2;
pub(crate) mod http2_talk;
pub(crate) mod proxy_header;
pub(crate) mod reference;
pub(crate) mod request_head;
pub(crate) mod response_head;
