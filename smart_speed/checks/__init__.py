"""Is an answer right? For tasks whose answers can be checked without a judge."""
