"""Every recipe on every target in one harness: runs, record, statistics, tables and figures."""
