"""The path of each request in samples/kvm-and-qemu.*, on its own: not with virtap's code.

    trace-cmd report -t -N -i kvm-and-qemu.dat | python3 path.py kvm-and-qemu.log > truth.json

Which address notifies which queue was read off by eye: a virtio-pci device's queues have neighbouring addresses, 4 bytes apart, and what is
written is the queue's number. For each element it lists what the log says of it, and looks in the kernel's trace for the write to
its queue's address before its notification, and for the interrupt after. Times are of the kernel's clock, in ns.
"""
import json, re, sys

OFFSET = -1795418437072120300
ADDRESS = {('0x559739ea4600', 0): 0xfebfb000, ('0x559739f91360', 0): 0xfebff000, ('0x559739f91360', 1): 0xfebff004, ('0x559739f91360', 2): 0xfebff008}

kernel = []
line = re.compile(r'^\s*.+-(\d+)\s+\[\d+\].*?\s(\d+)\.(\d{9}):\s+(\S+):\s+(.*)$')
for text in sys.stdin:
    m = line.match(text)
    if m:
        kernel.append((int(m[2]) * 10**9 + int(m[3]), int(m[1]), m[4], m[5]))

log = []
for text in open(sys.argv[1]):
    m = re.match(r'(\d+)@(\d+)\.(\d{6}):(\w+) (.*)', text)
    if m:
        fields = dict(zip(*[iter(m[5].split())] * 2))
        mutex = re.search(r'mutex (0x\w+)', m[5])
        if mutex:
            fields['mutex'] = mutex[1]
        log.append((int(m[2]) * 10**9 + int(m[3]) * 1000 + OFFSET, int(m[1]), m[4], fields))
log.sort(key=lambda one: one[0])

# Every kick: the exit that the write was in.
kicks, out = {}, {}
for time, tid, event, rest in kernel:
    if event == 'kvm_exit':
        out[tid] = time
    m = event == 'kvm_mmio' and re.match(r'mmio write len 2 gpa (0x\w+) val', rest)
    if m:
        kicks.setdefault(int(m[1], 16), []).append((time, out[tid]))

# The scheduler on the thread that pops, and its waits for mutexes that others hold: what it is at from each moment on.
runs, waits = [], []
for time, tid, event, rest in kernel:
    if event == 'sched_switch' and 'prev_pid=1102 ' in rest:
        runs.append((time, 'runnable' if re.search(r'prev_state=R', rest) else 'asleep'))
    elif event == 'sched_switch' and 'next_pid=1102 ' in rest:
        runs.append((time, 'running'))
    elif event in ('sched_waking', 'sched_wakeup') and ' pid=1102 ' in ' ' + rest and runs and runs[-1][1] == 'asleep':
        runs.append((time, 'runnable'))
# A mutex that is free is not waited for: what counts of a wait is when another thread has it.
held, since, waiting = [], {}, None
for time, tid, event, f in log:
    if event == 'qemu_mutex_locked':
        since[f['mutex']] = (tid, time)
    elif event == 'qemu_mutex_unlock' and f['mutex'] in since:
        held.append((f['mutex'], *since.pop(f['mutex']), time))
for time, tid, event, f in log:
    if tid != 1102:
        continue
    if event == 'qemu_mutex_lock':
        waiting = (f['mutex'], time)
    elif event == 'qemu_mutex_locked' and waiting is not None:
        for mutex, holder, taken, given in held:
            if mutex == waiting[0] and holder != 1102 and taken < time and given > waiting[1]:
                waits.append((max(taken, waiting[1]), min(given, time)))
        waiting = None

def at(begin, end):
    sums = {'running': 0, 'runnable': 0, 'asleep': 0, 'lock': 0}
    cuts = sorted({begin, end, *(t for t, _ in runs if begin < t < end), *(t for w in waits for t in w if begin < t < end)})
    for a, b in zip(cuts, cuts[1:]):
        state = 'running'
        for t, s in runs:
            if t > a:
                break
            state = s
        sums['lock' if any(w <= a and b <= l for w, l in waits) else state] += b - a
    return sums

answer, device, notified, last_notified, open_, done, filled = [], {}, {}, {}, {}, {}, []
for time, tid, event, f in log:
    if event == 'virtio_queue_notify':
        device[f['vq']] = (f['vdev'], int(f['n']))
        last_notified[f['vq']] = notified.get(f['vq'], 0)
        notified[f['vq']] = time
    elif event == 'virtqueue_pop':
        one = {'vq': f['vq'], 'pop': time, 'notify': notified[f['vq']]}
        writes = [(w, o) for w, o in kicks.get(ADDRESS[device[f['vq']]], []) if last_notified[f['vq']] < w < one['notify']]
        if writes:
            one['kick'] = writes[0][1]
        open_[f['elem']] = one
    elif event in ('virtio_blk_handle_read', 'virtio_blk_handle_write'):
        open_[f['req']].update(device=time, operation=event[18:], sector=int(f['sector']))
    elif event in ('virtio_blk_rw_complete', 'virtio_blk_req_complete'):
        open_[f['req']].setdefault('done', time)
    elif event == 'virtqueue_fill':
        one = open_.pop(f['elem'])
        one['fill'] = time
        filled.append(one)
        answer.append(one)
    elif event in ('virtio_notify', 'virtio_notify_irqfd'):
        mine = [one for one in filled if one['vq'] == f['vq']]
        filled = [one for one in filled if one['vq'] != f['vq']]
        assert len(mine) == 1, mine
        mine[0]['guest notify'] = time
        raised = next((t, r) for t, who, e, r in kernel if t > time and e == 'kvm_msi_set_irq' and who == tid)
        vector = int(re.search(r'vec (\d+)', raised[1])[1])
        injected = next((t, who) for t, who, e, r in kernel if t > raised[0] and e == 'kvm_inj_virq' and r == f'IRQ {vector:#x}')
        entered = next(t for t, who, e, r in kernel if t > injected[0] and e == 'kvm_entry' and who == injected[1])
        mine[0].update({'interrupt': raised[0], 'entry': entered})
for one in answer:
    if 'kick' in one:
        one['meanwhile'] = at(one['kick'], one['pop'])
print('[\n' + ',\n'.join(json.dumps(one) for one in answer) + '\n]')
