"""Waits and holds of QEMU's mutexes from the text of QEMU's log, on its own: not with virtap's code.

    zstdcat qemu.log.zst | python3 locks.py > truth.json

Each thread's lines are walked alone to find its waits and holds; then each wait is compared with every hold of the same
mutex by another thread. What is first of two events is decided by their order, lengths of time by their stamps.
"""
import json, math, re, sys

line = re.compile(r'^(\d+)@(\d+)\.(\d{6}):(\w+) (.*)$')
mutex = re.compile(r'mutex (0x[0-9a-f]+) \((?:\.\.?/)*(.*):(\d+)\)')
events, vcpus = [], {}
for text in sys.stdin:
    m = line.match(text)
    if m is None:
        continue
    tid, time = int(m[1]), int(m[2]) * 10**9 + int(m[3]) * 1000
    if m[4] == 'kvm_run_exit':
        vcpus[tid] = int(re.search(r'cpu_index (\d+)', m[5])[1])
    if m[4] in ('qemu_mutex_lock', 'qemu_mutex_locked', 'qemu_mutex_unlock'):
        what = mutex.search(m[5])
        events.append((time, tid, m[4][11:], what[1], f'{what[2]}:{what[3]}'))
events.sort(key=lambda event: event[0])
first, last = events[0][0], events[-1][0]

waits, holds, acquired, began = [], [], [], {}
for key in {(tid, address) for _, tid, _, address, _ in events}:
    wait = hold = None
    depth = 0
    started = False
    for n, (time, tid, what, address, site) in enumerate(events):
        began.setdefault(tid, time)
        if (tid, address) != key:
            continue
        if what == 'lock':
            wait = (n, time, site)
        elif what == 'locked':
            if wait is not None:
                waits.append((address, tid, wait[2], wait[0], n, wait[1], time))
            acquired.append((address, tid, site))
            wait = None
            depth += 1
            if depth == 1:
                hold = (n, time, site)
        elif depth == 0:
            # Held since before the log began, where it is the thread's first event of the mutex.
            if not started:
                holds.append((address, tid, None, -1, n, -math.inf, time))
        else:
            depth -= 1
            if depth == 0:
                holds.append((address, tid, hold[2], hold[0], n, hold[1], time))
        started = True
    if depth > 0:
        holds.append((key[1], key[0], hold[2], hold[0], math.inf, hold[1], math.inf))


def figures(lengths):
    lengths = sorted(lengths)
    rank = lambda part: lengths[max(1, math.ceil(part * len(lengths) - 1e-9)) - 1] if lengths else None
    return {'count': len(lengths), 'total': sum(lengths), 'min': rank(0), 'max': rank(1), 'p50': rank(.5), 'p99': rank(.99)}


def ended(spans):
    return [end - begin for _, _, _, _, _, begin, end in spans if begin >= 0 and end < math.inf]


answer = []
for address in sorted({event[3] for event in events}):
    own = [wait for wait in waits if wait[0] == address]
    taken = [hold for hold in holds if hold[0] == address]
    behind, contended = {}, {}
    for wait in own:
        _, tid, site, n, m, begin, end = wait
        for _, other, where, k, l, since, until in taken:
            if other == tid or k > m or l < n:
                continue
            contended[wait] = True
            # A hold that is not over has nobody's wait behind it that ended.
            share = max(0, min(end, until) - max(begin, since))
            entry = behind.setdefault((other, where), [0, 0])
            entry[0] += share
            entry[1] += 1

    def group(select):
        return {
            'acquisitions': sum(1 for a in acquired if a[0] == address and select(a[1], a[2])),
            'contended': sum(1 for w in contended if select(w[1], w[2])),
            'wait': figures(ended([w for w in own if select(w[1], w[2])])),
            'hold': figures(ended([h for h in taken if select(h[1], h[2])])),
        }

    sites = sorted({w[2] for w in own} | {h[2] for h in taken if h[2]} | {a[2] for a in acquired if a[0] == address})
    threads = sorted({event[1] for event in events if event[3] == address})
    answer.append({
        'mutex': address,
        **group(lambda tid, site: True),
        'sites': {site: group(lambda _, own: own == site) for site in sites},
        'threads': {str(tid): group(lambda own, _: own == tid) for tid in threads},
        'behind': sorted([tid, site, total, count] for (tid, site), (total, count) in behind.items()),
        'vcpu_wait': sum(w[6] - w[5] for w in own if w[1] in vcpus),
    })
# One mutex a line.
head = {
    'duration': last - first,
    'vcpus': {str(tid): number for tid, number in sorted(vcpus.items())},
    'vcpu_time': sum(last - began[tid] for tid in vcpus),
}
print(json.dumps(head)[:-1] + ', "mutexes": [')
print(',\n'.join(json.dumps(one) for one in answer))
print(']}')
