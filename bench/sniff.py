"""How much of a full-speed load does live passive capture see, and at what cost, beside scapy's own AsyncSniffer?

wrk asks nginx for 1 kB answers over loopback on this machine, and each sniffer watches in turn, in a process of its
own: `understudy capture sniff` with every connection, with a tenth of them, and scapy's AsyncSniffer with a kernel
filter for the port, which only counts packets with data. Checked: what was served was recorded, left out by the
sampler, or lost with a reason, counted in exchanges whether or not the kernel dropped packets; the sums add up. "seen"
is the share of the served exchanges that was not lost. CPU is that of the sniffer alone, from its first packet to its
end. wrk, nginx and the sniffer share the machine's cores, so the figures say little where others are at work on them.

    sudo .venv/bin/python bench/sniff.py [--seconds 3] [--rounds 2] [--connections 32]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import nginx  # noqa: E402 - the checkout is not installed for benchmarks
from tests.support.accounts import assert_conserved  # noqa: E402

ENVIRONMENT = os.environ | {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "0123456789abcdef" * 4}
SCAPY = """
import signal, sys
from scapy.sendrecv import AsyncSniffer
from scapy.layers.inet import TCP
count = [0]
def each(packet):
    if TCP in packet and len(packet[TCP].payload):
        count[0] += 1
sniffer = AsyncSniffer(iface="lo", filter="tcp port " + sys.argv[1], store=False, prn=each)
sniffer.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("sniffing", flush=True)
signal.sigwait([signal.SIGTERM])
sniffer.stop()
print(count[0])
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(command: list[str], load: Callable[[], int]) -> tuple[int, float, str, int]:
    """(served, CPU seconds of the sniffer under the load, its last line, packets that the kernel dropped)."""
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)  # fmt: skip
    try:
        assert process.stdout is not None
        assert "sniffing" in process.stdout.readline()
        before = cpu_seconds(process.pid)
        served = load()
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        process.send_signal(signal.SIGTERM)
        out, notes = process.communicate(timeout=60)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = usage.ru_utime + usage.ru_stime - others.ru_utime - others.ru_stime - before
        dropped = re.search(r"the kernel dropped (\d+) packets", notes)
        return served, spent, out.strip().splitlines()[-1], int(dropped[1]) if dropped else 0
    finally:
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ring-mb", type=int, default=128)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    print(f"# {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
          f" scapy {metadata.version('scapy')}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(
        f"# python bench/sniff.py: wrk, {options.connections} connections, {options.seconds} s, {options.rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as root, nginx.serve(Path(root)) as port:
        (Path(root) / "www" / "a.txt").write_bytes(b"x" * 1024)

        def load() -> int:
            words = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}", f"http://127.0.0.1:{port}/a.txt"]
            out = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
            found = re.search(r"(\d+) requests in", out)
            assert found is not None
            assert "Socket errors" not in out
            return int(found[1])

        sniff = [sys.executable, "-m", "understudy", "capture", "sniff", "--interface", "lo", "--port", str(port)]
        sniff += ["--ring-mb", str(options.ring_mb)]
        subjects = {
            "every connection": [*sniff, "--log", f"{root}/every"],
            "a tenth of them": [*sniff, "--log", f"{root}/tenth", "--sample-connections", "0.1"],
            "scapy AsyncSniffer": [sys.executable, "-c", SCAPY, str(port)],
        }
        shares: dict[str, list[float]] = {name: [] for name in subjects}
        for number in range(options.rounds):
            for name, command in subjects.items():
                served, spent, line, dropped = watch(command, load)
                rate = served / options.seconds
                if name.startswith("scapy"):
                    share, note = int(line) / (2 * served), f"{spent / max(1, int(line)) * 1e6:6.1f} us CPU a packet"
                else:
                    counts = assert_conserved(line)
                    lost = sum(counts.shed.values()) + sum(counts.incomplete.values())
                    share = min(1.0, (counts.kept + counts.sampled_out) / served)
                    each = max(1, counts.kept + counts.sampled_out)
                    note = (f"{spent / each * 1e6:6.1f} us CPU an exchange; {counts.kept} recorded,"
                            f" {counts.sampled_out} left out, {lost} lost, {dropped} dropped")  # fmt: skip
                    assert served <= counts.seen <= served + options.connections  # wrk ends in the middle of some
                shares[name].append(share)
                print(f"{number}  {name:20} {rate:8.0f}/s  seen {share:7.2%}  {note}")
    for name, values in shares.items():
        print(f"{name:20} seen {statistics.median(values):7.2%} ({min(values):.2%}, {max(values):.2%})")


if __name__ == "__main__":
    main()
