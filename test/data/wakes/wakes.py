#!/usr/bin/env python3
"""Why halted vCPUs wake: an independent reading of what `trace-cmd report -t -N` prints, for tests.

    trace-cmd report -t -N samples/host-kvm.dat | python3 wakes.py > host-kvm.json
"""
import collections, json, re, sys

line = re.compile(r'^\s*(.+)-(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d+): +(\w+): +(.*)$')
halts, out, number, told, names, woken = [], {}, {}, {}, {}, {}
sources = {}  # of a message: how often a thread for disks was behind it, and how often not


def is_disk(tid):
    return re.match(r'worker|IO ', names.get(tid, '')) is not None


for text in sys.stdin:
    lost = re.match(r'CPU:(\d+) .*EVENTS DROPPED', text)
    if lost:
        for halt in out.values():
            halt['lost'] = True
        continue
    match = line.match(text)
    if not match:
        continue
    comm, tid, cpu, name, rest = match[1].strip(), int(match[2]), int(match[3]), match[6], match[7]
    time = int(match[4]) * 10**9 + int(match[5])
    names[tid] = comm
    own = out.get(tid)
    if name == 'kvm_exit':
        told.pop(cpu, None)
        reason = re.search(r'reason (\S+)', rest)[1]
        out[tid] = dict(begin=time, is_halt='hlt' in reason.lower(), off=None, wake=None, own=None, vector=None,
                        sleeps=0, slept=0, latency=-1, cpu=cpu)
    elif name == 'kvm_entry':
        told.pop(cpu, None)
        number[tid] = int(re.search(r'vcpu (\d+)', rest)[1])
        halt = out.pop(tid, None)
        if halt and halt['is_halt'] and not halt.get('lost'):
            halts.append({**halt, 'end': time})
    elif name == 'sched_switch':
        told.pop(cpu, None)
        match = re.search(r'prev_pid=(\d+) .*prev_state=(\S+) ==> .*next_pid=(\d+)', rest)
        leaver, comer = out.get(int(match[1])), out.get(int(match[3]))
        if leaver and match[2][0] != 'R':
            leaver['off'] = time
            leaver['sleeps'] += 1
        if comer:
            if comer['off'] is not None and comer['wake']:
                comer['slept'] += max(0, comer['wake']['time'] - comer['off'])
                comer['latency'] = time - comer['wake']['time']
                comer['by'] = comer['wake']
                comer['own'] = comer['vector'] = None
            comer['off'] = comer['wake'] = None
    elif name == 'sched_waking':
        whom = int(re.search(r'pid=(\d+)', rest)[1])
        woken[whom] = tid
        halt = out.get(whom)
        # It may be on its way out: woken a moment before that is traced.
        if halt and (halt['off'] is None or halt['wake'] is None or halt['wake']['time'] < halt['off']):
            told_here = told.get(cpu)
            if told_here and told_here['whom'] is not None and told_here['whom'] != number.get(whom):
                told_here = None
            halt['wake'] = dict(time=time, tid=tid, told=told_here)
    elif name == 'kvm_apic_ipi':
        told[cpu] = dict(how='IPI', whom=None)
    elif name == 'kvm_msi_set_irq' or (name == 'kvm_set_irq' and ' level 1' in rest):
        key = re.search(r'dst \w+ vec \d+|gsi \d+', rest)[0]
        votes = sources.setdefault(key, [0, 0])
        votes[0 if is_disk(tid) or is_disk(woken.get(tid)) else 1] += 1
        told[cpu] = dict(how=key, whom=None)
    elif name == 'kvm_apic_accept_irq':
        match = re.search(r'apicid (\w+) vec (\d+)', rest)
        told.setdefault(cpu, dict(how='accepted'))['whom'] = int(match[1], 16)
        if own and own['own'] is None:
            own['own'] = int(match[2])
    elif name == 'kvm_inj_virq':
        match = re.search(r'IRQ (0x\w+|\d+)', rest)
        if own and own['vector'] is None and match:
            own['vector'] = int(match[1], 0)


def cause(halt):
    if halt['sleeps'] == 0:
        return 'polled'
    told = (halt.get('by') or {}).get('told')
    how = told['how'] if told else 'accepted'
    if how == 'IPI':
        return 'IPI'
    if how != 'accepted':
        if how in ('gsi 0', 'gsi 2', 'gsi 8'):
            return 'timer'
        disk, other = sources[how]
        return 'disk' if disk and 4 * disk >= disk + other else 'device'
    if halt['own'] is not None:
        return 'timer'
    return 'other'


def waker(halt):
    tid = halt['by']['tid'] if halt.get('by') and halt['sleeps'] else None
    return '' if tid is None else '<idle>' if tid == 0 else names.get(tid, '')


rows = collections.defaultdict(lambda: collections.Counter())
for halt in halts:
    row = rows[cause(halt), waker(halt)]
    row['count'] += 1
    row['total'] += halt['end'] - halt['begin']
    row['slept'] += halt['slept']
    row['latency'] += max(0, halt['latency'])
    row['most'] = max(row['most'], halt['latency'])
print(json.dumps([dict(cause=c, waker=w, **row) for (c, w), row in sorted(rows.items())], indent=1))
