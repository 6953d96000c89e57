#!/usr/bin/env python3
"""The same work as requests.ts, as an Analyzer of QEMU's simpletrace.py, for comparison.

    PYTHONPATH=QEMU/scripts python3 bench/requests_analyzer.py TRACE-EVENTS-ALL TRACE
"""
import inspect

if not hasattr(inspect, "getargspec"):
    # Older simpletrace.py asks for what Python 3.11 took away.
    inspect.getargspec = inspect.getfullargspec

import simpletrace


class Requests(simpletrace.Analyzer):
    def begin(self):
        self.open = {}
        self.count = self.total = self.longest = 0
        self.shortest = 1 << 63

    def virtqueue_pop(self, timestamp, vq, elem, in_num, out_num):
        self.open[(vq, elem)] = timestamp

    def virtqueue_fill(self, timestamp, vq, elem, length, idx):
        since = self.open.pop((vq, elem), None)
        if since is None:
            return
        time = timestamp - since
        self.count += 1
        self.total += time
        self.shortest = min(self.shortest, time)
        self.longest = max(self.longest, time)

    def end(self):
        print("elements", self.count, self.total, self.shortest, self.longest)


simpletrace.run(Requests())
