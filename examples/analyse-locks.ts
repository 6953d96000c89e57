// Waits for QEMU's mutexes and holds of them, as scripts/analyse-locks-simpletrace.py in QEMU's source prints them.
import { type Aggregate, analyzer, stats } from 'virtap/script';

type Mutex = {
  lock: number;
  locked: number;
  unlock: number;
  lockTime: number;
  lockedTime: number;
  lockedAt: string;
  waitedAt: string;
  acquire: Aggregate;
  held: Aggregate;
};

export default analyzer(({ print }) => {
  const mutexes = new Map<string, Mutex>();
  const of = (address: string): Mutex => {
    let mutex = mutexes.get(address);
    if (mutex === undefined) {
      const [acquire, held] = [stats(), stats()];
      mutex = {
        lock: 0,
        locked: 0,
        unlock: 0,
        lockTime: -1,
        lockedTime: -1,
        lockedAt: '',
        waitedAt: '',
        acquire,
        held,
      };
      mutexes.set(address, mutex);
    }
    return mutex;
  };
  const total = (of: 'lock' | 'locked' | 'unlock') => [...mutexes.values()].reduce((sum, mutex) => sum + mutex[of], 0);
  return {
    qemu_mutex_lock({ mutex, file, line }, { time }) {
      const record = of(mutex);
      record.lock++;
      record.lockTime = time;
      record.waitedAt = `${file}:${line}`;
    },
    qemu_mutex_locked({ mutex, file, line }, { time }) {
      const record = of(mutex);
      record.locked++;
      record.lockedTime = time;
      record.lockedAt = `${file}:${line}`;
      // What began before the trace did is not known.
      if (record.lockTime >= 0) record.acquire.add(time - record.lockTime);
    },
    qemu_mutex_unlock({ mutex }, { time }) {
      const record = of(mutex);
      record.unlock++;
      if (record.lockedTime >= 0) record.held.add(time - record.lockedTime);
    },
    end() {
      print(`Total locks: ${total('lock')}, locked: ${total('locked')}, unlocked: ${total('unlock')}`);
      for (const [address, mutex] of [...mutexes].sort(([, a], [, b]) => a.lock - b.lock)) {
        print(`Lock: ${address} locks: ${mutex.lock}, locked: ${mutex.locked}, unlocked: ${mutex.unlock}`);
        for (const [name, times] of [
          ['Acquire', mutex.acquire],
          ['Held', mutex.held],
        ] as const) {
          if (times.count === 0) continue;
          // Of an even number, the middle of the two in the middle, as numpy has it.
          const upper = times.percentile((100 * (Math.floor(times.count / 2) + 1)) / times.count);
          const median = Math.floor((times.percentile(50) + upper) / 2);
          print(`  ${name} Time: min:${times.min} median:${median} avg:${times.avg.toFixed(2)} max:${times.max}`);
        }
        if (mutex.lock > mutex.locked) print(`  LOCK HELD (${mutex.lockedAt})\n  BLOCKED   (${mutex.waitedAt})`);
      }
    },
  };
});
