//! Which names were forgotten lately.

/// Two bytes of each name, where its hash says. Another that comes to the same place takes it, so a trace stays for
/// about as many as there are places; one name in 32,768 is taken for another.
#[derive(Default)]
pub(super) struct Traces(Vec<u16>);

const NOBODY: u16 = 0;

impl Traces {
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u16>()
    }

    /// As many places as names are remembered, about. All traces are lost when that changes.
    pub(super) fn fit(&mut self, names: usize) {
        let wanted = names.next_power_of_two();
        if wanted > self.0.len() || 4 * wanted < self.0.len() {
            self.0 = vec![NOBODY; wanted];
        }
    }

    pub(super) fn leave(&mut self, hash: u64) {
        let (place, trace) = self.of(hash);
        if let Some(place) = self.0.get_mut(place) {
            *place = trace;
        }
    }

    /// Whether there is one of this name, which is gone then.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        let (place, trace) = self.of(hash);
        match self.0.get_mut(place) {
            Some(place) if *place == trace => {
                *place = NOBODY;
                true
            }
            _ => false,
        }
    }

    fn of(&self, hash: u64) -> (usize, u16) {
        let place = hash as usize & self.0.len().wrapping_sub(1);
        (place, (hash >> 48) as u16 | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_once() {
        let mut traces = Traces::default();
        let hash = 0x1234_5678_9abc_def0;
        traces.leave(hash);
        assert!(!traces.take(hash), "there is no place yet");
        traces.fit(1_000);
        traces.leave(hash);
        assert!(!traces.take(hash ^ 1 << 60));
        assert!(traces.take(hash));
        assert!(!traces.take(hash));
    }
}
