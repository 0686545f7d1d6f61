"""Results on disk, whole or not at all: staging, locks, hashes, records, and what runs did."""
