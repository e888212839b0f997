use prometheus_client::metrics::gauge::Gauge;

/// Something that is counted as long as it is there, such as an open connection.
#[derive(Debug)]
pub struct Open(Gauge);

impl Open {
    pub(super) fn counted(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
