//! Test tiers of pinhole and the helpers they share.
