//! Who an upload belongs to: a random name that a browser carries in a cookie, and who may look at a progress id.
//! Must never know cookies, headers or how a name is stored.

use std::{fmt, str::FromStr};

use crate::wire::{IdError, UploadId};

/// The name of one owner: 128 random bits, spelled like an upload id (26 lowercase base32 letters). Whoever shows
/// it owns the uploads made under it, so it is a secret: `Debug`, and with it the log, shows only its beginning.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(UploadId);

impl OwnerId {
    /// A new owner.
    ///
    /// # Panics
    ///
    /// As [`random_bits`].
    pub fn random() -> Self {
        Self::from_bits(random_bits())
    }

    /// The owner that these bits stand for, for an application that has names for its users already.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(UploadId::from_bits(bits))
    }

    /// The name as it is written in a cookie and in the catalog.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for OwnerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four letters, 20 bits: enough to tell owners apart in a log, of no use to anyone else.
        write!(f, "OwnerId({}…)", self.as_str().get(..4).unwrap_or_default())
    }
}

/// Who may look at a progress id. The same id in two scopes is two ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The upload came with this owner's cookie: nobody else sees it.
    Owner(OwnerId),
    /// The upload came without a cookie, as from an existing client: whoever knows the id may look.
    Anyone,
}

/// 128 bits from the system's random source, for names that must not be guessed.
///
/// # Panics
///
/// When the system has no random source: nothing that must stay unguessed could be named then.
pub fn random_bits() -> [u8; 16] {
    let mut bits = [0; 16];
    if let Err(error) = getrandom::fill(&mut bits) {
        panic!("the system's random source failed: {error}");
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_written_and_read_back() {
        let owner = OwnerId::random();
        assert_eq!(owner.to_string().len(), UploadId::LEN);
        assert_eq!(owner.to_string().parse(), Ok(owner.clone()));
        assert_ne!(owner, OwnerId::random());
        assert_eq!(OwnerId::from_bits([0; 16]).as_str(), "aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert!("../../../../etc/passwd/////".parse::<OwnerId>().is_err());
        assert!("".parse::<OwnerId>().is_err());
    }

    #[test]
    fn the_log_never_shows_a_whole_owner() {
        let owner = OwnerId::random();
        let shown = format!("{:?} {:?}", owner, Scope::Owner(owner.clone()));
        assert!(!shown.contains(owner.as_str()));
        assert!(shown.contains(&owner.as_str()[..4]));
    }
}
