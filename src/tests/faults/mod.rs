//! Everything that goes wrong on the way: cut, stalled and lying requests, two at once, a program that dies, a disk
//! that is full. Each fault is written once and tried by every protocol it applies to. Must never know how the server
//! is made: it is judged by its answers, and by what lies in its folder when the answers cannot tell.

mod calls;
pub(crate) mod client;
mod crowd;
mod cuts;
mod hostile;
mod kills;
mod lies;
mod program;
mod races;
mod space;

use std::{future::Future, path::PathBuf};

use tokio::task::JoinSet;

use crate::util::TestServer;

/// Does this with each of these at the same time: faults of one must not disturb another.
async fn each<T, F>(what: impl IntoIterator<Item = T>, work: impl Fn(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for one in what {
        tasks.spawn(work(one));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(fault) = ended {
            std::panic::resume_unwind(fault.into_panic());
        }
    }
}

impl TestServer {
    /// The regular files in one area of the data folder: `staging`, `files` or `trash`.
    fn files_in(&self, area: &str) -> Vec<PathBuf> {
        let area = self.folder.path().join(area);
        self.stored_files().into_iter().filter(|file| file.starts_with(&area)).collect()
    }
}

/// The bytes of `whole` that a request brings from `offset` on.
fn rest(whole: &[u8], offset: u64) -> &[u8] {
    &whole[usize::try_from(offset).unwrap()..]
}
