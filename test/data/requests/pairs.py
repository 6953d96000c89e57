"""Requests in a QEMU log, queue by queue, on its own: not with virtap's code.

    zstd -dc e-leak.log.zst | python3 pairs.py > e-leak.requests.json

An element's pop goes with the next fill of it. `area` is the time that requests were open, each from its pop to its fill, to its address's next
pop, to the next reset of its device, or to the last event of a virtqueue; `most` the most that were open at once.
"""
import json, re, sys

events = []
for text in sys.stdin:
    m = re.match(r'\d+@(\d+)\.(\d{6}):(\w+) (.*)', text)
    if m and re.match(r'virtqueue_(pop|fill)$|virtio_(queue_notify|notify|notify_irqfd|set_status)$|virtio_(blk|rng|scsi|serial)_|virtio_console_flush|virtio_balloon_handle', m[3]):
        fields = dict(zip(*[iter(m[4].split())] * 2))
        events.append((int(m[1]) * 10**9 + int(m[2]) * 1000, m[3], fields))
events.sort(key=lambda event: event[0])

queues, open_, device, changes = {}, {}, {}, {}
def queue(vq):
    return queues.setdefault(vq, {'count': 0, 'total': 0, 'min': None, 'max': 0, 'area': 0, 'most': 0})
def leave(elem, time):
    vq, since = open_.pop(elem)
    queue(vq)['area'] += time - since
    return vq, since
for time, name, f in events:
    if name == 'virtqueue_pop':
        if f['elem'] in open_:
            leave(f['elem'], time)
        open_[f['elem']] = (f['vq'], time)
        q = queue(f['vq'])
        q['most'] = max(q['most'], sum(vq == f['vq'] for vq, _ in open_.values()))
    elif name == 'virtqueue_fill' and f['elem'] in open_ and open_[f['elem']][0] == f['vq']:
        vq, since = leave(f['elem'], time)
        q = queue(vq)
        q['count'] += 1
        q['total'] += time - since
        q['min'] = time - since if q['min'] is None else min(q['min'], time - since)
        q['max'] = max(q['max'], time - since)
    elif 'vq' in f and 'vdev' in f:
        device[f['vq']] = f['vdev']
    elif name == 'virtio_set_status' and f['val'] == '0':
        for elem in [e for e, (vq, _) in open_.items() if device.get(vq) == f['vdev']]:
            leave(elem, time)
last = max(time for time, name, f in events)
for elem in list(open_):
    leave(elem, last)
print(json.dumps({'duration': last - min(time for time, name, f in events), 'queues': queues}, indent=1))
