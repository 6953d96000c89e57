"""Pairs of events from the text of other tools, on its own: not with virtap's code.

    trace-cmd report -t -N -i host-kvm.dat | python3 pairs.py wakeups > host-kvm.wakeups.json
    zstdcat kvm-and-qemu.log.zst | python3 pairs.py requests > kvm-and-qemu.requests.json

wakeups: from sched_wakeup to the sched_switch to that thread, by the name of who was woken.
requests: from virtqueue_pop to the virtqueue_fill of the same queue and element, by queue.
"""
import json, re, sys

kernel = re.compile(r'^\s*.+-\d+\s+\[\d+\].*?\s(\d+)\.(\d{9}):\s+(\w+):\s+(.*)$')
qemu = re.compile(r'^\d+@(\d+)\.(\d{6}):(\w+) (.*)$')
events = []
for text in sys.stdin:
    if m := kernel.match(text):
        time = int(m[1]) * 10**9 + int(m[2])
    elif m := qemu.match(text):
        time = int(m[1]) * 10**9 + int(m[2]) * 1000
    else:
        continue
    if sys.argv[1] == 'wakeups' and m[3] == 'sched_wakeup':
        woken = re.match(r'comm=(.*) pid=(\d+) prio', m[4])
        events.append((time, 'from', woken[2], woken[1]))
    if sys.argv[1] == 'wakeups' and m[3] == 'sched_switch':
        events.append((time, 'to', re.search(r'next_pid=(\d+)', m[4])[1], None))
    if sys.argv[1] == 'requests' and m[3] in ('virtqueue_pop', 'virtqueue_fill'):
        vq, elem = re.match(r'vq (\S+) elem (\S+)', m[4]).groups()
        events.append((time, 'from' if m[3] == 'virtqueue_pop' else 'to', (vq, elem), vq))
events.sort(key=lambda event: event[0])

open_, groups = {}, {}
again = first = 0
for time, what, key, group in events:
    if what == 'from':
        again += key in open_
        open_[key] = (time, group)
    elif key not in open_:
        first += 1
    else:
        since, group = open_.pop(key)
        groups.setdefault(group, []).append(time - since)
json.dump({
    'groups': {name: {'count': len(all_), 'total': sum(all_), 'min': min(all_), 'max': max(all_)} for name, all_ in sorted(groups.items())},
    'began_again': again,
    'ends_first': first,
    'open': len(open_),
}, sys.stdout, indent=1)
print()
