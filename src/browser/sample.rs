//! A file's fingerprint, cheap for files of any length: what its two ends hold. It tells a file that was changed or
//! mistaken for another, not one that somebody forged. Must never read more of a file than its ends.

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

/// Bytes at each end.
const END: f64 = 65_536.0;

/// The fingerprint; at a `glance` of the last byte only, which tells whether the file can be read at all. `None` when it
/// cannot: it is gone, has changed on the disk, or is somebody else's.
pub(super) async fn of(file: &File, glance: bool) -> Option<f64> {
    let (size, end) = (file.size(), if glance { 1.0 } else { END });
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    for (from, to) in [(0.0, end.min(size)), ((size - end).max(0.0), size)] {
        if glance && to < size {
            continue;
        }
        let part: Blob = file.slice_with_f64_and_f64(from, to).ok()?;
        let read = Uint8Array::new(&JsFuture::from(part.array_buffer()).await.ok()?).to_vec();
        // Of a file that was cut off meanwhile there may be less.
        if read.len() as f64 != to - from {
            return None;
        }
        hash.take_in(&read);
    }
    hash.take_in(&(size as u64).to_be_bytes());
    // As much of it as a number of JavaScript holds exactly.
    Some((hash.0 >> 11) as f64)
}

/// FNV-1a with 64 bits.
struct Hash(u64);

impl Hash {
    fn take_in(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
