//! The identifiers that a run gives to what it makes on disks.

use sha2::{Digest as _, Sha512};

use super::gpt::Guid;

/// Derives the identifiers of one provisioning from a random seed. The seed is saved in the root before the first write to
/// a disk. So a run after a power cut derives the same identifiers, and recognises what was made before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    seed: [u8; 32],
}

impl Ids {
    /// Returns the identifiers of the provisioning with this `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// Returns the seed, for saving it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// Returns the GUID of what stands at `place` in the config, such as `$.storage.disks.0`.
    pub fn guid(&self, place: &str) -> Guid {
        let digest = Sha512::new().chain_update(self.seed).chain_update(place).finalize();
        let mut random = [0; 16];
        random.iter_mut().zip(digest).for_each(|(to, byte)| *to = byte);
        Guid::from_random(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_depend_on_seed_and_place_alone() {
        let guid = |seed: u8, place: &str| Ids::new([seed; 32]).guid(place);
        assert_eq!(guid(1, "$.storage.disks.0"), guid(1, "$.storage.disks.0"));
        assert_ne!(guid(1, "$.storage.disks.0"), guid(1, "$.storage.disks.1"));
        assert_ne!(guid(1, "$.storage.disks.0"), guid(2, "$.storage.disks.0"));
    }
}
