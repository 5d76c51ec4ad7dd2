"""FRR's part: what it should say, what it says, and the smallest step between."""
