// The three tables of `perf kvm stat report`: vmexit, mmio or ioport, whichever the argument names.
import { analyzer, stats } from 'virtap/script';

const titles = { vmexit: 'VM-EXIT', mmio: 'MMIO Access', ioport: 'IO Port Access' };
const mmioWrite = 2;

export default analyzer(({ print, args: [kind = 'vmexit'] }) => {
  if (!(kind in titles)) throw new RangeError(`${kind} is none of ${Object.keys(titles).join(', ')}`);
  const title = titles[kind as keyof typeof titles];
  const times = stats({ by: title });
  // Threads that entered the guest, with what they are at; perf looks at no others.
  const threads = new Map<number, { since: number; key: string }>();
  const begin = (tid: number, time: number, key: string) => {
    const thread = threads.get(tid);
    if (thread !== undefined) Object.assign(thread, { since: time, key });
  };
  const end = (tid: number, time: number, key = '') => {
    const thread = threads.get(tid);
    if (thread === undefined) threads.set(tid, { since: -1, key: '' });
    else if (thread.since >= 0 && (thread.key || key) !== '') times.at(thread.key || key).add(time - thread.since);
    if (thread !== undefined) thread.since = -1;
  };
  return {
    kvm_exit({ reason }, { tid, time }) {
      if (kind === 'vmexit') begin(tid, time, reason);
      // A read is known as one when it is done, and has taken since the exit.
      if (kind === 'mmio') begin(tid, time, '');
    },
    kvm_mmio({ type, gpa }, { tid, time }) {
      if (kind !== 'mmio' || !threads.has(tid)) return;
      if (type === mmioWrite) begin(tid, time, `${gpa}:W`);
      else if (type === 1) end(tid, time, `${gpa}:R`);
    },
    kvm_pio({ rw, port }, { tid, time }) {
      if (kind === 'ioport') begin(tid, time, `0x${port.toString(16)}:${rw === 1 ? 'POUT' : 'PIN'}`);
    },
    kvm_entry(_, { tid, time }) {
      end(tid, time);
    },
    end() {
      const all = times.all();
      const percent = (part: number, whole: number) => `${((part / whole) * 100).toFixed(2)}%`;
      const us = (ns: number) => `${(ns / 1000).toFixed(2)}us`;
      const widths = [20, 10, 9, 9, 12, 12, 14];
      const row = (cells: string[]) => print(cells.map((cell, n) => cell.padStart(widths[n] ?? 0)).join(' '));
      row([title, 'Samples', 'Samples%', 'Time%', 'Min Time', 'Max Time', 'Avg time']);
      for (const [[key], { count, sum, min, max, avg, stddev }] of [...times].sort(
        ([, a], [, b]) => b.count - a.count,
      )) {
        // Of the average, as perf has it: the standard error.
        const error = count > 1 ? (stddev / Math.sqrt(count) / avg) * 100 : 0;
        const shares = [percent(count, all.count), percent(sum, all.sum)];
        row([String(key), String(count), ...shares, us(min), us(max), `${us(avg)} ( +- ${error.toFixed(2)}% )`]);
      }
      print(`\nTotal Samples:${all.count}, Total events handled time:${us(all.sum)}.`);
    },
  };
});
