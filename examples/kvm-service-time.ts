// How long vCPUs are out of the guest, by the number of the exit's reason, as SystemTap's kvm_service_time.stp prints it.
import { analyzer, stats } from 'virtap/script';

export default analyzer(({ print }) => {
  const began = new Map<number, { time: number; reason: number | string }>();
  const times = stats({ by: 'reason' });
  return {
    kvm_exit({ exit_reason }, { tid, time }) {
      began.set(tid, { time, reason: exit_reason });
    },
    kvm_entry(_, { tid, time }) {
      const exit = began.get(tid);
      if (exit === undefined) return;
      began.delete(tid);
      times.at(exit.reason).add(time - exit.time);
    },
    end() {
      const us = (ns: number) => Math.floor(ns / 1000);
      const hex = (reason: unknown) =>
        typeof reason === 'number' ? `0x${reason.toString(16).padStart(3, '0')}` : reason;
      print('# reason: count sum(us) min(us) avg(us) max(us)');
      for (const [[reason], { count, sum, min, avg, max }] of [...times].sort(
        ([[a]], [[b]]) => Number(a) - Number(b),
      )) {
        print(`${hex(reason)}: ${count} ${us(sum)} ${us(min)} ${us(avg)} ${us(max)}`);
      }
    },
  };
});
