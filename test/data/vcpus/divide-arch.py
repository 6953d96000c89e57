"""Divides vCPU threads' time from the text of trace-cmd report -t -N of an arm64, ppc64le or riscv64 host, with a state machine of its own.

    zstdcat ppc64el.txt.zst | python3 divide-arch.py

Guest: from kvm_entry to kvm_exit, on a CPU. KVM: from there to kvm_userspace_exit or kvm_entry, QEMU: after kvm_userspace_exit. Off the
CPU a thread is asleep until sched_waking or sched_wakeup, then it waits. sched_waking may stand before the sched_switch in which the
thread goes to sleep, as the waker saw it on its way: then sched_wakeup alone ends the sleep.
"""
import collections, json, re, sys

line = re.compile(r'^\s*(.*)-(\d+)\s+\[(\d+)\]\s+(?:[^\s:]{4,6}\s+)?(\d+)\.(\d{9}):\s+(\w+):\s*(.*)$')
exits, entries = ('kvm_exit', 'kvm_guest_exit'), ('kvm_entry', 'kvm_guest_enter')
events = []
for text in sys.stdin:
    m = line.match(text)
    if m:
        events.append((int(m[4]) * 10**9 + int(m[5]), int(m[2]), m[6], m[7]))

state = {tid: [None, 'on', None] for _, tid, event, _ in events if event in exits}
total = collections.defaultdict(collections.Counter)


def until(tid, now):
    where, cpu, since = state[tid]
    if where:
        total[tid][f'{where} {cpu}'] += now - since
    state[tid][2] = now


for now, tid, event, rest in events:
    if event == 'sched_switch':
        m = re.search(r'prev_pid=(\d+) .*prev_state=(\S+) .*next_pid=(\d+)', rest)
        out, into = int(m[1]), int(m[3])
        if out in state:
            until(out, now)
            state[out][1] = 'waiting' if m[2].startswith('R') else 'asleep'
        if into in state:
            until(into, now)
            state[into][1] = 'on'
    elif event in ('sched_waking', 'sched_wakeup'):
        woken = int(re.search(r'\bpid=(\d+)', rest)[1])
        if woken in state and state[woken][1] == 'asleep':
            until(woken, now)
            state[woken][1] = 'waiting'
    elif tid in state:
        where = 'kvm' if event in exits else 'guest' if event in entries else None
        if event == 'kvm_userspace_exit' and state[tid][0] == 'kvm':
            where = 'qemu'
        if where:
            until(tid, now)
            state[tid][0] = where
for tid in state:
    until(tid, events[-1][0])
json.dump({tid: dict(sorted(total[tid].items())) for tid in sorted(state)}, sys.stdout, indent=1)
print()
