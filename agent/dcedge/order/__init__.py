"""The order: what was bought from the cloud, as one file; nothing in here knows of a kernel or of FRR."""
