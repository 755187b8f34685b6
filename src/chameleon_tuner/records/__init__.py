"""The durable store of measurements.

A records file holds every measurement with its workload, environment and run, the proposed
configuration, the configuration that ran, the status and all samples. The file is append-only, and
a batch is one transaction. An interrupted search is resumed by running it again from its start: as
far as the records reach, a `Memory` of the file takes the place of the hardware.
"""

from chameleon_tuner.records.store import RecordStore

__all__ = ["RecordStore"]
