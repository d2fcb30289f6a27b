"""What requests leave goes back to the system."""

import platform
import subprocess
import sys

import pytest

SCATTER = """
import sys, time
import psutil
from crnnkit.serving import memory

if sys.argv[1] == "small":
    memory.keep_small(seconds=0.05)
before = psutil.Process().memory_info().rss
blocks = [b"x" * 100_000 for _ in range(2000)]
kept = blocks[::100]  # what is still in use lies scattered
del blocks
time.sleep(1)
print((psutil.Process().memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not run: no glibc")
def test_freed_memory_goes_back_though_some_between_is_in_use():
    mib = {
        way: int(subprocess.check_output([sys.executable, "-c", SCATTER, way], timeout=120))
        for way in ("small", "as it is")
    }
    assert mib["small"] < 20
    assert mib["as it is"] > 150  # else nothing would be shown


OTHER_THREAD = """
import sys, threading, time
import psutil
from crnnkit.serving import memory

if sys.argv[1] == "small":
    memory.keep_small(seconds=0.05)
before = psutil.Process().memory_info().rss
held = threading.Event()

def work():
    for _ in range(2):
        block = b"x" * 30_000_000  # once freed, glibc takes blocks up to this size from its heaps
        del block
    blocks = [b"x" * 1_000_000 for _ in range(40)]
    del blocks
    held.wait(10)

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(2.5)
print((psutil.Process().memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not run: no glibc")
def test_what_other_threads_freed_goes_back_too():
    command = [sys.executable, "-c", OTHER_THREAD]
    mib = {way: int(subprocess.check_output([*command, way])) for way in ("small", "as it is")}
    assert mib["small"] < 10
    assert mib["as it is"] > 20  # else nothing would be shown
