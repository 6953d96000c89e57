// The table of `virtap exits` as a script of virtap run, for comparison.
import { analyzer, stats } from 'virtap/script';

export default analyzer(({ print }) => {
  const began = new Map<number, { time: number; reason: string }>();
  const times = stats({ by: 'reason' });
  return {
    kvm_exit({ reason }, { tid, time }) {
      began.set(tid, { time, reason });
    },
    kvm_entry(_, { tid, time }) {
      const exit = began.get(tid);
      if (exit === undefined) return;
      began.delete(tid);
      times.at(exit.reason).add(time - exit.time);
    },
    end() {
      for (const [[reason], { count, sum, min, max }] of times) print(reason, count, sum, min, max);
    },
  };
});
