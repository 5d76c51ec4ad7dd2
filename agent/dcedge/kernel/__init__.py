"""The kernel's part: links, addresses, shapers, sysctls."""
