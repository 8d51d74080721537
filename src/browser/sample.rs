//! A file's fingerprint, cheap for files of any length: what its two ends hold. It tells a file that was changed or
//! mistaken for another, not one that somebody forged. Must never read more of a file than its ends.

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::files::Picked;

/// Bytes at each end.
const END: f64 = 65_536.0;

/// The fingerprint; at a `glance` of a small file any number, for then it is only seen whether it can be read. `None` when
/// it cannot: it is gone, has changed on the disk, or is somebody else's.
pub(super) async fn of(Picked { file, size, .. }: &Picked, glance: bool) -> Option<f64> {
    let size = *size as f64;
    if glance && size <= END {
        // To cut a part off has Chromium look at the disk, and the page stands still meanwhile; there may be very many.
        return read(file, size).await.map(|_| 0.0);
    }
    // What has only grown has the same ends where it ended before.
    if file.size() != size {
        return None;
    }
    let slice = |from, to| file.slice_with_f64_and_f64(from, to).ok();
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    for (from, to) in [(0.0, END.min(size)), ((size - END).max(0.0), size)] {
        hash.take_in(&read(&slice(from, to)?, to - from).await?.to_vec());
    }
    hash.take_in(&(size as u64).to_be_bytes());
    // As much of it as a number of JavaScript holds exactly.
    Some((hash.0 >> 11) as f64)
}

/// So many bytes. Of a file that was cut off meanwhile there may be less.
async fn read(part: &Blob, length: f64) -> Option<Uint8Array> {
    let read = Uint8Array::new(&JsFuture::from(part.array_buffer()).await.ok()?);
    (f64::from(read.length()) == length).then_some(read)
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
