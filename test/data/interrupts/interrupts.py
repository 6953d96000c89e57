#!/usr/bin/env python3
"""Where interrupts wait: an independent reading of what `trace-cmd report -t -N` prints, for tests.

    trace-cmd report -t -N samples/host-kvm.dat | python3 interrupts.py > host-kvm.json
"""
import collections, json, re, sys

line = re.compile(r'^\s*(.+)-(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d+): +(\w+): +(.*)$')
number, inside, waiting, told, injected, done, ipis = {}, {}, {}, {}, {}, [], collections.Counter()
late, again = [0, 0], 0


def ends(vcpu, vector, time):
    one = inside.pop((vcpu, vector), None)
    if one and 'entered' in one:
        done.append({**one, 'vcpu': vcpu, 'vector': vector, 'end': time})
    if (vcpu, vector) in waiting:
        inside[vcpu, vector] = waiting.pop((vcpu, vector))


for text in sys.stdin:
    match = line.match(text)
    if not match:
        continue
    tid, cpu, name, rest = int(match[2]), int(match[3]), match[6], match[7]
    time = int(match[4]) * 10**9 + int(match[5])
    own = number.get(tid)
    if name in ('kvm_exit', 'sched_switch'):
        told.pop(cpu, None)
    elif name == 'kvm_apic_ipi':
        told[cpu] = ('IPI', int(re.search(r'vec (\d+)', rest)[1]), time)
    elif name == 'kvm_msi_set_irq':
        told[cpu] = ('MSI', int(re.search(r'vec (\d+)', rest)[1]), time)
    elif name == 'kvm_set_irq' and ' level 1' in rest:
        told[cpu] = ('line', None, time)
    elif name == 'kvm_ioapic_set_irq' and told.get(cpu, ('',))[0] == 'line':
        told[cpu] = ('line', int(re.search(r'vec (\d+)', rest)[1]), told[cpu][2])
    elif name == 'kvm_apic_accept_irq' and ('Fixed' in rest or 'LowPrio' in rest):
        match = re.search(r'apicid (\w+) vec (\d+)', rest)
        vcpu, vector = int(match[1], 16), int(match[2])
        if vcpu not in number.values() or vector < 16:
            continue
        if (vcpu, vector) in waiting or (inside.get((vcpu, vector)) and 'injected' not in inside[vcpu, vector]):
            again += 1
            continue
        how, which, since = told.get(cpu, (None, None, None))
        one = dict(accepted=time, begin=time, kind='timer' if own == vcpu and how is None else 'other')
        if how and (which == vector or which is None):
            one.update(kind=how, begin=since)
            told[cpu] = (how, vector, since)
            if how == 'IPI':
                one['from'] = own
        elif own == vcpu:
            one['kind'] = 'timer'
        (waiting if (vcpu, vector) in inside else inside)[vcpu, vector] = one
    elif name == 'kvm_inj_virq' and own is not None:
        match = re.search(r'IRQ (0x\w+|\d+)', rest)
        if not match or rest.startswith('Soft'):
            continue
        vector = int(match[1], 0)
        one = inside.setdefault((own, vector), dict(begin=time, accepted=None, kind='other'))
        one.setdefault('injected', time)
        injected[own] = vector
    elif name == 'kvm_entry':
        told.pop(cpu, None)
        number.setdefault(tid, int(re.search(r'vcpu (\d+)', rest)[1]))
        own = number[tid]
        vector = injected.pop(own, None)
        one = inside.get((own, vector))
        if one and 'injected' in one:
            one.setdefault('entered', time)
            # The PIC's, which has another EOI.
            if one['accepted'] is None:
                ends(own, vector, time)
    elif name == 'kvm_eoi' and own is not None:
        vector = int(re.search(r'vector (\d+)', rest)[1])
        if 'injected' in inside.get((own, vector), {}):
            ends(own, vector, time)
    elif name == 'kvm_wait_lapic_expire':
        late[0 if 'late' in rest else 1] += 1

rows = collections.defaultdict(collections.Counter)
for one in done:
    row = rows[one['vector'], one['kind']]
    row['count'] += 1
    row['total'] += one['end'] - one['begin']
    if one['accepted'] is not None:
        row['waited'] += one['injected'] - one['accepted']
    row['entering'] += one['entered'] - one['injected']
    row['handled'] += one['end'] - one['entered']
    if one.get('from') is not None:
        ipis[one['from'], one['vcpu']] += 1
print(json.dumps(dict(
    rows=[dict(vector=hex(v), kind=k, **row) for (v, k), row in sorted(rows.items())],
    ipis=[[*pair, n] for pair, n in sorted(ipis.items())], late=late[0], early=late[1], merged=again), indent=1))
