import { UsageError } from '../analyse/usage-error.ts';
import { noExits, untimedWhy } from '../report/no-exits.ts';
import { sortedVcpus, type VcpusAnswer, vcpuColumns, vcpuRows } from '../report/vcpus-columns.ts';
import { vcpusCsv, vcpusJson } from '../report/vcpus-json.ts';
import { vcpusText } from '../report/vcpus-text.ts';
import { isEntry, isExit } from '../spans/exit-events.ts';
import { isStretch } from '../trace/analysis.ts';
import { recordTimes } from '../trace/recorders.ts';
import { untellable } from '../trace/undescribed.ts';
import { Vcpus, vcpuSubjects } from '../views/vcpus.ts';
import { needTimes } from './lacking.ts';
import { type VcpuOptions, vcpuOptions } from './options.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type VcpusOptions = ViewOptions & VcpuOptions & { timeline?: true };

export default viewCommand<VcpusOptions, VcpusAnswer>({
  examples: [
    ['virtap vcpus trace.dat', "how each vCPU's time divides: guest, KVM, QEMU, preempted, halted, …"],
    ['virtap vcpus --timeline trace.dat', 'the same over time, a row a vCPU'],
    ['virtap vcpus --vcpu 0,1 --from 2s --to 3s trace.dat', 'two of them, for one second'],
    ['virtap vcpus --live --vm web1 --for 10s', 'of a machine that runs here'],
    ["virtap vcpus --fail-if 'share(preempted)>5%' trace.dat", 'in a script: the exit status is 3 where that is so'],
  ],
  conditions: 'total, share or max (the longest stretch) of a state: share(lock) of all vCPUs, share(lock:0) of vCPU 0',
  table: { what: 'the vCPUs', columns: vcpuColumns },
  options: (command) =>
    vcpuOptions(command).option('--timeline', 'draw what each vCPU did most, time across, a row a vCPU'),
  wanted: () => ({ purposes: ['exits'] }),
  async ask(trace, { vcpu, pid, timeline, sort }) {
    await needTimes(trace, recordTimes);
    if (trace.clock.unit === 'ticks') {
      throw new UsageError(`${trace.file}: its clock counts cycles, so no time can be divided; ${recordTimes}`);
    }
    const vcpus = new Vcpus({ vcpus: vcpu, pids: pid, timeline: timeline === true });
    return {
      analyses: [vcpus],
      answer(reading) {
        const result = sortedVcpus(vcpus.result(), sort);
        const answer = { trace, reading, result };
        const { exits, exitsWithoutThread } = vcpus.pairing.counts;
        if (exits > 0 && exits === exitsWithoutThread)
          throw new UsageError(`${trace.file}: ${untimedWhy.threads}, so nobody knows what each vCPU did`);
        const holds = { exits: trace.types.some(isExit), entries: trace.types.some(isEntry) };
        // A running machine's events are known before any comes.
        const none = result.rows.length === 0 && result.threads === 0 && !isStretch(reading.window);
        if (none || (!holds.exits && !holds.entries)) throw new UsageError(...noExits(answer));
        if (!holds.exits || !holds.entries) {
          const lacking = holds.exits ? 'kvm_entry' : 'kvm_exit';
          const names = trace.types.map(({ name }) => name);
          const why = untellable(names, `any ${lacking}`) ?? `there is no ${lacking} in it`;
          throw new UsageError(`${trace.file}: ${why}, so nobody knows when its vCPUs were in the guest`);
        }
        if (result.rows.length === 0 && result.threads > 0)
          throw new UsageError(`${trace.file}: none of its ${result.threads} vCPUs is one that was asked for`);
        return answer;
      },
    };
  },
  json: vcpusJson,
  csv: vcpusCsv,
  text: vcpusText,
  subjects: ({ result }) => vcpuSubjects(result),
  rows: vcpuRows,
});
