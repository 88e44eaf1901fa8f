"""Corpora: thousands of sessions scored into one Parquet file, and what can be counted in it.

    sources ─► sessions, one by one ─► scoring (processes or a Dask cluster) ─► parts on the disk
            ─► one Parquet file in the order of the input ─► stats, page, ConvoKit

Nothing here holds more than a few sessions a worker at once.
"""
