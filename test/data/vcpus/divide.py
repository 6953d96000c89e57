"""Divides vCPU threads' time from the text of trace-cmd report -t -N, on its own: not with virtap's code.

    trace-cmd report -t -N -i trace.dat | python3 divide.py > truth.json

For each thread it lists every change of place (guest, KVM, QEMU) and of running (running, runnable, asleep),
cuts time at all of them, and gives each piece to a state. Polling is found by the wait times that kvm_vcpu_wakeup prints.
The same for the time between each kvm_exit and the kvm_entry that comes next, by exit reason.
"""
import bisect, json, re, sys

line = re.compile(r'^\s*(?P<comm>.+)-(?P<tid>\d+)\s+\[(?P<cpu>\d+)\].*?\s(?P<s>\d+)\.(?P<ns>\d{9}):\s+(?P<event>\S+):\s+(?P<rest>.*)$')
events, last = [], 0
for text in sys.stdin:
    m = line.match(text)
    if m is None:
        continue
    time = int(m['s']) * 10**9 + int(m['ns'])
    last = max(last, time)
    events.append((time, int(m['tid']), m['event'], m['rest']))

threads = {}
for time, tid, event, rest in events:
    if event in ('kvm_exit', 'kvm_entry'):
        threads.setdefault(tid, time)

answer = []
for tid, begin in threads.items():
    place, run, halts, waits, end, pairs, open_exit = [], [(begin, 'running')], [], [], last, [], None
    for time, own, event, rest in events:
        if time < begin:
            continue
        if event == 'sched_switch':
            out = re.search(r'prev_pid=(\d+) .*?prev_state=(\S+) ==>', rest)
            into = re.search(r'next_pid=(\d+)', rest)
            if int(out[1]) == tid:
                run.append((time, 'runnable' if out[2].startswith('R') else 'asleep'))
                if out[2][0] in 'XZ':
                    end = time
                    break
            if int(into[1]) == tid:
                run.append((time, 'running'))
        elif event in ('sched_waking', 'sched_wakeup'):
            if int(re.search(r'pid=(\d+)', rest)[1]) == tid and run[-1][1] == 'asleep':
                run.append((time, 'runnable'))
        elif own == tid:
            if event == 'kvm_exit':
                place.append((time, 'kvm'))
                halts.append((time, 'reason hlt' in rest.lower()))
                open_exit = (time, re.search(r'reason (?:EXIT_)?(\S+)', rest)[1].lower())
            elif event == 'kvm_entry':
                place.append((time, 'guest'))
                halts.append((time, False))
                if open_exit is not None:
                    pairs.append((*open_exit, time))
                open_exit = None
            elif event == 'kvm_userspace_exit':
                place.append((time, 'qemu'))
            elif event == 'kvm_fpu' and rest.strip() == 'load' and place[-1][1] == 'qemu':
                place.append((time, 'kvm'))
            elif event == 'sys_enter_ioctl' and 'cmd: 0x0000ae80' in rest and place[-1][1] == 'qemu':
                place.append((time, 'kvm'))
            elif event == 'kvm_vcpu_wakeup':
                waits.append((time - int(re.search(r'(\d+) ns', rest)[1]), time))

    def at(changes, time):
        return changes[bisect.bisect_right(changes, time, key=lambda change: change[0]) - 1][1]

    cuts = sorted({t for t, _ in place + run + halts} | {t for wait in waits for t in wait if t > begin} | {begin, end})
    starts = [start for start, _ in waits]
    slept = False
    states = dict.fromkeys(('guest', 'kvm', 'qemu', 'blocked', 'preempted', 'halted'), 0)
    polled = 0
    reasons, n_pair = {}, 0
    left = {time for time, _ in halts}
    for a, b in zip(cuts, cuts[1:]):
        if a in left:
            slept = False
        where, how, halt = at(place, a), at(run, a), at(halts, a)
        slept = slept or how == 'asleep'
        n = bisect.bisect_right(starts, a) - 1
        in_wait = n >= 0 and a < waits[n][1]
        if how == 'runnable':
            state = 'preempted'
        elif where == 'guest':
            state = 'guest' if how == 'running' else 'kvm'
        elif where == 'qemu':
            state = 'qemu' if how == 'running' else 'blocked'
        elif halt and how == 'asleep':
            state = 'halted'
        elif halt and in_wait and not slept:
            state = 'halted'
            polled += b - a
        else:
            state = 'kvm'
        states[state] += b - a
        while n_pair < len(pairs) and pairs[n_pair][2] <= a:
            n_pair += 1
        if n_pair < len(pairs) and pairs[n_pair][0] <= a:
            of = reasons.setdefault(pairs[n_pair][1], dict.fromkeys(states, 0))
            of[state] += b - a
    answer.append({'tid': tid, 'wall_ns': end - begin, 'polled_ns': polled, 'states': states, 'reasons': reasons})
json.dump(answer, sys.stdout, indent=1)
