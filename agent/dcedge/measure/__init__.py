"""What the wire shows: the provider's real policer, found with the cloud side's consent."""
