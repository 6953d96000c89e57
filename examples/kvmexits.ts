// How long vCPUs were out of the guest, as a histogram for each reason: kvmexits.bt of "BPF Performance Tools".
import { analyzer, stats } from 'virtap/script';

export default analyzer(({ print }) => {
  const times = stats({ by: 'reason' });
  return {
    exit({ reason, duration }) {
      times.at(reason).add(duration);
    },
    end() {
      for (const [[reason], ns] of [...times].sort(([, a], [, b]) => a.count - b.count)) {
        print(`exit_ns[${reason}], ${ns.count} exits:`, ns.log2());
        print();
      }
    },
  };
});
