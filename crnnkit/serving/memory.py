"""What requests leave goes back to the system, so that a service does not grow.

glibc keeps freed memory for whoever asks next, in a heap for each of many threads. What is in use
then lies scattered, and a service grows for thousands of mixed requests (benchmarks/LOG.md). To
have every large block from the system instead costs a fifth to a half more CPU time a line, as
each of its pages is new and cleared; now and then, what lies free is given back instead.
"""

import ctypes
import sys
import threading
from collections.abc import Callable

SECONDS = 5
"""Between two times of giving back."""
M_ARENA_MAX = -8
"""Of glibc's malloc.h: the most heaps."""
MAX_HEAPS = 1
"""`malloc_trim` does not give back what lies free at the end of a further heap: up to 64 MiB."""


def keep_small(seconds: float = SECONDS) -> Callable[[], None]:
    """Give back what lies free from now on, in a thread of its own; returns what ends that.

    Nothing happens where the C library is none of glibc's. Call it before other threads start.
    """
    stopped = threading.Event()
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.mallopt(M_ARENA_MAX, MAX_HEAPS)

        def work() -> None:
            while not stopped.wait(seconds):
                library.malloc_trim(0)

        threading.Thread(target=work, name="memory", daemon=True).start()
    return stopped.set
