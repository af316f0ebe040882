//! What `storage.luks[].clevis` asks for.

use super::types::{Clevis, Tang};

impl Clevis<'_> {
    /// Returns whether the volume is to be bound at all. Empty fields ask for nothing, as with the reference.
    pub fn is_asked(&self) -> bool {
        self.custom_pin().is_some()
            || !self.tang.is_empty()
            || self.tpm2 == Some(true)
            || self.threshold.unwrap_or_default() != 0
    }

    /// Returns the pin that the config names itself.
    pub fn custom_pin(&self) -> Option<&str> {
        self.custom.pin.as_deref().filter(|pin| !pin.is_empty())
    }

    /// Returns how many of the servers and the TPM must help to open the volume.
    pub fn threshold_or_one(&self) -> i64 {
        self.threshold.filter(|threshold| *threshold != 0).unwrap_or(1)
    }

    /// Returns whether a TPM is needed to bind the volume, also by a pin of its own.
    pub fn uses_tpm(&self) -> bool {
        match self.custom_pin() {
            Some("tpm2") => true,
            // The pin "sss" names others in its config.
            Some(_) => self.custom.config.as_deref().is_some_and(|config| config.contains("\"tpm2\"")),
            None => self.tpm2 == Some(true),
        }
    }

    /// Returns whether the system needs the network to open the volume.
    pub fn opens_by_network(&self) -> bool {
        !self.tang.is_empty() || self.custom.needs_network == Some(true)
    }
}

impl Tang<'_> {
    /// Returns the advertisement, if the config has it.
    pub fn known_advertisement(&self) -> Option<&str> {
        self.advertisement.as_deref().filter(|text| !text.is_empty())
    }
}
