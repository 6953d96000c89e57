#!/usr/bin/env python3
"""The slowest exits of a recording and the events within them, from perf's own text: made idle.slowest.json.
usage: perf script --ns -F tid,cpu,time,event,trace -i perf.data | slowest.py 3"""
import json, re, sys

line = re.compile(r'^\s*(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d{9}):\s+(\S+):\s(.*)$')
inside, found = {}, []
for text in sys.stdin:
    match = line.match(text)
    if not match:
        continue
    tid, cpu, sec, frac, event, rest = match.groups()
    tid, time = int(tid), int(sec) * 10**9 + int(frac)
    if event == 'kvm:kvm_exit':
        inside[tid] = {'time': sec + '.' + frac, 'at': time, 'tid': tid, 'cpu': int(cpu), 'events': [],
                       'reason': re.search(r'reason (\S+)', rest)[1], 'rip': re.search(r'rip (\S+)', rest)[1]}
    elif event == 'kvm:kvm_entry':
        exit = inside.pop(tid, None)
        if exit:
            exit['duration_ns'] = time - exit.pop('at')
            found.append(exit)
    else:
        about = {tid}
        if event == 'sched:sched_switch':
            about.add(int(re.search(r'next_pid=(\d+)', rest)[1]))
        if event in ('sched:sched_waking', 'sched:sched_wakeup'):
            about.add(int(re.search(r' pid=(\d+)', ' ' + rest)[1]))
        for thread in about & inside.keys():
            inside[thread]['events'].append([time - inside[thread]['at'], event])
found = [exit for exit in found if exit['reason'] not in ('hlt', 'EXIT_HLT')]
found.sort(key=lambda exit: -exit['duration_ns'])
print(json.dumps(found[:int(sys.argv[1])], indent=1))
