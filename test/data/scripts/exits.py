#!/usr/bin/env python3
"""What is true of the KVM events of a perf.data, from the text that perf script prints, and nothing of virtap:

    perf script -i FILE -F tid,pid,time,event,trace --ns | python3 exits.py > boot.truth.json

threads: exits by process, thread and reason; ports: reads and writes by port; times: by reason, count, sum, minimum and maximum of the time from
kvm_exit to the thread's next kvm_entry (ns), and how many of these there are from each power of two on.
"""
import json
import re
import sys
from collections import Counter, defaultdict

threads, ports, times, began = Counter(), {"read": Counter(), "write": Counter()}, defaultdict(list), {}
for line in sys.stdin:
    found = re.match(r"\s*(\d+)/(\d+)\s+(\d+)\.(\d{9}):\s+kvm:(\w+): (.*)", line)
    if not found:
        continue
    pid, tid, seconds, ns, event, text = found.groups()
    time = int(seconds) * 10**9 + int(ns)
    if event == "kvm_exit":
        reason = re.match(r"vcpu \d+ reason (\S+) rip", text).group(1)
        threads[f"{pid} {tid} {reason}"] += 1
        began[tid] = time, reason
    elif event == "kvm_entry" and tid in began:
        since, reason = began.pop(tid)
        times[reason].append(time - since)
    elif event == "kvm_pio":
        way, port = re.match(r"pio_(read|write) at (0x[0-9a-f]+)", text).groups()
        ports[way][port] += 1

json.dump(
    {
        "threads": threads,
        "ports": ports,
        "times": {
            reason: {
                "count": len(of),
                "sum": sum(of),
                "min": min(of),
                "max": max(of),
                "octaves": Counter(1 << (time.bit_length() - 1) for time in of),
            }
            for reason, of in times.items()
        },
    },
    sys.stdout,
    indent=1,
)
