"""Many recordings through one network, into two Parquet tables (the extra ``batch``)."""
