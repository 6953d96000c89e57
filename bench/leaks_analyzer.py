#!/usr/bin/env python3
"""The leak analysis of `virtap leaks` as an Analyzer of QEMU's simpletrace.py, for comparison.

    PYTHONPATH=QEMU/scripts python3 bench/leaks_analyzer.py TRACE-EVENTS-ALL TRACE

Pairs virtqueue_pop with virtqueue_fill by (process, virtqueue, element), learns the device and number of each queue,
and judges what is open at a reset of its device and at the end, by the latencies of its own queue.
"""
import inspect

if not hasattr(inspect, "getargspec"):
    # Older simpletrace.py asks for what Python 3.11 took away.
    inspect.getargspec = inspect.getfullargspec

import simpletrace


class Queue:
    def __init__(self):
        self.popped = self.filled = self.total = self.longest = 0
        self.shortest = None
        self.open = {}
        self.leaked = self.lost = self.parked = self.in_flight = self.unpopped = 0
        self.device = self.number = None
        self.last_fill = 0


class Leaks(simpletrace.Analyzer):
    def begin(self):
        self.queues = {}
        self.events = 0

    def queue(self, pid, vq):
        found = self.queues.get((pid, vq))
        if found is None:
            found = self.queues[(pid, vq)] = Queue()
        return found

    def catchall(self, event, rec):
        self.events += 1

    def virtqueue_pop(self, timestamp, pid, vq, elem, in_num, out_num):
        self.events += 1
        queue = self.queue(pid, vq)
        queue.popped += 1
        if elem in queue.open:
            queue.lost += 1
        queue.open[elem] = (timestamp, out_num)

    def virtqueue_fill(self, timestamp, pid, vq, elem, length, idx):
        self.events += 1
        queue = self.queue(pid, vq)
        popped = queue.open.pop(elem, None)
        if popped is None:
            queue.unpopped += 1
            return
        duration = timestamp - popped[0]
        queue.filled += 1
        queue.total += duration
        queue.longest = max(queue.longest, duration)
        queue.shortest = duration if queue.shortest is None else min(queue.shortest, duration)
        queue.last_fill = timestamp

    def virtio_queue_notify(self, timestamp, pid, vdev, n, vq):
        self.events += 1
        queue = self.queue(pid, vq)
        queue.device, queue.number = vdev, n

    def virtio_set_status(self, timestamp, pid, vdev, val):
        self.events += 1
        if val == 0:
            for (owner, _), queue in self.queues.items():
                if owner == pid and queue.device == vdev:
                    self.judge(queue)

    def judge(self, queue):
        for popped, out_num in queue.open.values():
            if out_num == 0:
                queue.parked += 1
            elif queue.last_fill - popped > 2 * queue.longest:
                queue.leaked += 1
            else:
                queue.in_flight += 1
        queue.open = {}

    def end(self):
        queues = self.queues.values()
        for queue in queues:
            self.judge(queue)
        print("elements", sum(q.filled for q in queues), sum(q.total for q in queues),
              min((q.shortest for q in queues if q.filled), default=0), max((q.longest for q in queues), default=0))
        for name in ("popped", "leaked", "lost", "parked", "in_flight", "unpopped"):
            print(name, sum(getattr(q, name) for q in queues))
        print("events", self.events)


if __name__ == "__main__":
    simpletrace.run(Leaks())
