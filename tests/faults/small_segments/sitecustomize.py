"""Python imports this in every process whose path leads here: segments are closed after a few kilobytes instead of megabytes.

So one sees in seconds what else takes days, whichever way the endpoint's processes are started.
"""

import os
import select
import time

from ml_assets.spool.writer import SegmentWriter

names = SegmentWriter.__init__.__code__.co_varnames[: SegmentWriter.__init__.__code__.co_argcount]
defaults = list(SegmentWriter.__init__.__defaults__)
defaults[names.index("max_bytes") - len(names)] = int(os.environ["FAULTS_SEGMENT_BYTES"])
SegmentWriter.__init__.__defaults__ = tuple(defaults)

if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    # libfaketime 0.9.10 breaks the call by which Python sleeps where it leaves the kernel's clock since the start alone
    time.sleep = lambda seconds: select.select([], [], [], seconds) and None
