"""Isolation of the virtual gateways, anti-spoofing, the control-plane guard and the MSS clamp, in one nft table."""
