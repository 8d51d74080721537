//! How fast bytes move and how long the rest will take: an exponential moving average over byte counts, in whole
//! numbers. Must never know whose bytes it counts.

/// Time constant of the average, in milliseconds: what is older than this counts for little.
const TAU_MS: u64 = 5_000;

/// Counts that follow each other faster than this are taken together: some browsers tell one each 8 KiB.
const STEP_MS: u64 = 250;

/// Before this much has been measured nobody is told a time that is left.
const WARM_UP_MS: u64 = 3_000;

/// So long without a byte is normal between two polls; after it the speed is told to sink.
const GRACE_MS: u64 = 3_000;

/// So long without a byte, and neither speed nor time left is told: nobody knows.
pub const STALL_MS: u64 = 10_000;

/// The speed of one growing count of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meter {
    start_ms: u64,
    /// When the last count was taken in; never before `start_ms`.
    last_ms: u64,
    last_bytes: u64,
    /// When the count last grew.
    gain_ms: u64,
    /// Bytes per second.
    rate: u64,
    samples: u32,
}

impl Meter {
    /// A meter that begins at this moment with this count.
    pub(super) fn start(now_ms: u64, bytes: u64) -> Self {
        Self { start_ms: now_ms, last_ms: now_ms, last_bytes: bytes, gain_ms: now_ms, rate: 0, samples: 0 }
    }

    /// Takes in a count, an absolute total. A smaller one than before begins anew.
    pub(super) fn sample(&mut self, now_ms: u64, bytes: u64) {
        if bytes < self.last_bytes {
            *self = Self::start(now_ms, bytes);
            return;
        }
        let step = now_ms.saturating_sub(self.last_ms);
        if step < STEP_MS {
            return;
        }
        let gained = bytes - self.last_bytes;
        // Until the time constant has passed this is the plain mean since the start; afterwards old news fades.
        let window = now_ms.saturating_sub(self.start_ms).min(TAU_MS + step).max(step);
        self.rate =
            self.rate.saturating_mul(window - step).saturating_add(gained.saturating_mul(1000)) / window;
        if gained > 0 {
            self.gain_ms = now_ms;
        }
        self.last_ms = now_ms;
        self.last_bytes = bytes;
        self.samples = self.samples.saturating_add(1);
    }

    /// Bytes per second, once there are two counts to tell from; sinks when no more come, and is nothing in a stall.
    pub(super) fn speed(&self, now_ms: u64) -> Option<u64> {
        let idle = now_ms.saturating_sub(self.gain_ms);
        if self.samples < 2 || idle >= STALL_MS {
            return None;
        }
        Some(self.rate.saturating_mul(TAU_MS) / (TAU_MS + idle.saturating_sub(GRACE_MS)))
    }

    /// Seconds that so many more bytes will take, at least 1. Nothing before the warm-up, and nothing in a stall.
    pub(super) fn seconds_left(&self, now_ms: u64, rest: u64) -> Option<u64> {
        let speed = self.speed(now_ms).filter(|speed| *speed > 0)?;
        let warm = self.last_ms - self.start_ms >= WARM_UP_MS;
        (rest > 0 && warm).then(|| rest.div_ceil(speed).max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The law of an average: a constant speed is told as it is, however the counts are spaced.
        #[test]
        fn a_constant_speed_is_told_as_it_is(
            rate in 1_000_u64..1_000_000_000,
            steps in prop::collection::vec(1_u64..4_000, 4..60),
        ) {
            let mut meter = Meter::start(0, 0);
            let mut now = 0;
            for step in steps {
                now += step;
                meter.sample(now, rate * now / 1000);
            }
            if let Some(speed) = meter.speed(meter.gain_ms) {
                prop_assert!(speed.abs_diff(rate) <= rate / 100 + 50, "{speed} for {rate}");
            }
        }

        /// The average lies between the slowest and the fastest step.
        #[test]
        fn it_stays_between_the_extremes(steps in prop::collection::vec((250_u64..3_000, 0_u64..5_000_000), 2..40)) {
            let mut meter = Meter::start(0, 0);
            let (mut now, mut bytes, mut low, mut high) = (0, 0, u64::MAX, 0);
            for (step, gained) in steps {
                now += step;
                bytes += gained;
                meter.sample(now, bytes);
                let rate = gained * 1000 / step;
                low = low.min(rate);
                high = high.max(rate);
                prop_assert!(meter.rate <= high + 1, "{} over {high}", meter.rate);
                // Whole numbers lose less than one at each step.
                prop_assert!(meter.rate + 60 >= low, "{} under {low}", meter.rate);
            }
        }

        /// After a change of speed it moves towards the new one at each count and never past it.
        #[test]
        fn after_a_change_it_moves_one_way(old in 1_000_u64..1_000_000, new in 1_000_u64..1_000_000) {
            let mut meter = Meter::start(0, 0);
            let (mut now, mut bytes) = (0, 0);
            for _ in 0..20 { now += 500; bytes += old / 2; meter.sample(now, bytes); }
            let mut last = meter.rate;
            for _ in 0..60 {
                now += 500;
                bytes += new / 2;
                meter.sample(now, bytes);
                if new >= old {
                    prop_assert!(meter.rate + 2 >= last && meter.rate <= new + 2);
                } else {
                    prop_assert!(meter.rate <= last + 2 && meter.rate + 60 >= new);
                }
                last = meter.rate;
            }
            prop_assert!(last.abs_diff(new) <= old.abs_diff(new) / 100 + 60, "{last} for {new}");
        }
    }

    #[test]
    fn counts_in_quick_succession_are_taken_together() {
        let mut meter = Meter::start(0, 0);
        for now in 1..=1000 {
            meter.sample(now, now * 8192);
        }
        assert_eq!(meter.samples, 4);
        assert_eq!(meter.speed(1000), Some(8_192_000));
    }

    #[test]
    fn no_time_left_before_the_warm_up_nor_in_a_stall_and_never_zero() {
        let mut meter = Meter::start(0, 0);
        let mut told = Vec::new();
        for now in [1000, 2000, 3000, 4000] {
            meter.sample(now, now * 1000);
            told.push(meter.seconds_left(now, 5_000_000));
        }
        assert_eq!(told, [None, None, Some(5), Some(5)]);
        assert_eq!(meter.seconds_left(4000, 1), Some(1));
        assert_eq!(meter.seconds_left(4000, 0), None);
        assert!(meter.seconds_left(9000, 5_000_000) > Some(5));
        assert_eq!(meter.seconds_left(14_000, 5_000_000), None);
        assert!(meter.speed(13_999) < Some(1_000_000), "it sinks");
        assert_eq!(meter.speed(14_000), None);
    }

    #[test]
    fn a_count_that_goes_back_begins_anew() {
        let mut meter = Meter::start(0, 0);
        meter.sample(1000, 9_000_000);
        meter.sample(2000, 18_000_000);
        meter.sample(3000, 1_000);
        assert_eq!(meter, Meter::start(3000, 1_000));
        assert_eq!(meter.speed(3000), None);
    }
}
