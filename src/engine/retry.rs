//! What is tried again, and when. Must never know which file or how it is sent.

use crate::wire::{ErrorBody, ErrorCode};

/// Longest random wait before the first retry, in milliseconds; it doubles from try to try.
const BASE_MS: u64 = 1_000;

/// Longest random wait of all.
const CAP_MS: u64 = 30_000;

/// No retry comes sooner than this: a dying server is not helped by being asked at once.
const LEAST_MS: u64 = 100;

/// `Retry-After` is obeyed up to a day; timers of browsers cannot be set much further.
const RETRY_AFTER_CAP_MS: u64 = 24 * 60 * 60 * 1000;

/// Whether the same request may succeed later. The server is believed when it said so in its own words; an error
/// that a client made up for an answer without such words is judged by the status alone. An id that is still in use
/// is an exception: the next try bears a higher number, and takes the place of the one that holds it.
pub(super) fn can_help(error: &ErrorBody, status: u16) -> bool {
    match error.code {
        ErrorCode::ProgressIdInUse => true,
        ErrorCode::Network | ErrorCode::BadAnswer => match status {
            0 => error.code == ErrorCode::Network,
            status => matches!(status, 408 | 423 | 425 | 429 | 500..=599),
        },
        _ => error.retryable,
    }
}

/// Whether another try makes sense when a person asks for it: also after signing in again, when nothing is known, or
/// when it was the page that would not have it so.
pub(super) fn may_be_asked(error: &ErrorBody) -> bool {
    use ErrorCode::{BadAnswer, Declined, Unauthorized};
    error.retryable || matches!(error.code, Unauthorized | BadAnswer | Declined)
}

/// Milliseconds until try number `tries` + 1: capped exponential back-off with full jitter, so that clients who
/// failed together do not come back together; never sooner than `Retry-After` asked for.
pub(super) fn delay_ms(tries: u8, retry_after_ms: Option<u64>, random: &mut Random) -> u64 {
    let longest = (BASE_MS << tries.saturating_sub(1).min(16)).min(CAP_MS);
    let jitter = random.below(longest);
    match retry_after_ms {
        // Not earlier than asked, and again not all together.
        Some(asked) => asked.min(RETRY_AFTER_CAP_MS) + jitter.min(BASE_MS),
        None => jitter.max(LEAST_MS),
    }
}

/// A small seeded generator (SplitMix64): the same seed, the same life. Not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Random(u64);

impl Random {
    /// The generator that this seed begins.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`; 0 when there is none. Limits are below 2^32.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32).wrapping_mul(limit) >> 32
    }

    /// This span, a quarter shorter or longer.
    pub(super) fn around(&mut self, span: u64) -> u64 {
        span - span / 4 + self.below(span / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_status_where_the_server_said_nothing() {
        let silent = |code| ErrorBody::new(code, "");
        for status in [408, 423, 425, 429, 500, 502, 503, 504, 507] {
            assert!(can_help(&silent(ErrorCode::BadAnswer), status), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 409, 410, 413, 415, 422] {
            assert!(!can_help(&silent(ErrorCode::BadAnswer), status), "{status}");
        }
        assert!(can_help(&silent(ErrorCode::Network), 0));
    }

    #[test]
    fn the_server_is_believed_over_its_status() {
        let said = |code, retryable| ErrorBody { retryable, ..ErrorBody::new(code, "x") };
        assert!(!can_help(&said(ErrorCode::Internal, false), 500));
        assert!(can_help(&said(ErrorCode::QuotaExceeded, true), 413));
        assert!(!can_help(&said(ErrorCode::TooLarge, false), 413));
        assert!(can_help(&said(ErrorCode::ProgressIdInUse, false), 409));
    }

    #[test]
    fn waits_grow_are_capped_and_differ() {
        let mut random = Random::new(7);
        for tries in 1..=200 {
            let cap = (1000_u64 << (tries - 1).min(16)).min(30_000);
            let waits: Vec<_> = (0..200).map(|_| delay_ms(tries, None, &mut random)).collect();
            assert!(waits.iter().all(|wait| (100..cap.max(101)).contains(wait)), "{tries}: {waits:?}");
            let (low, high) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(high - low > cap / 2, "full jitter: {low} to {high} of {cap}");
        }
    }

    #[test]
    fn retry_after_is_obeyed() {
        let mut random = Random::new(7);
        for asked in [0, 1, 5_000, 600_000] {
            let wait = delay_ms(1, Some(asked), &mut random);
            assert!((asked..=asked + 1000).contains(&wait), "{wait} for {asked}");
        }
        assert!(delay_ms(1, Some(u64::MAX), &mut random) < u64::from(u32::MAX));
    }

    #[test]
    fn around_stays_within_a_quarter() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (750..=1250).contains(&random.around(1000))));
    }
}
