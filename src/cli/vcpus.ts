import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { noExits, untimedWhy } from '../report/no-exits.ts';
import { vcpusCsv, vcpusJson } from '../report/vcpus-json.ts';
import { vcpusText } from '../report/vcpus-text.ts';
import { isEntry, isExit } from '../spans/exit-events.ts';
import { isStretch } from '../trace/analysis.ts';
import { recordTimes } from '../trace/recorders.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Condition } from '../views/conditions.ts';
import type { Reading } from '../views/reading.ts';
import { Vcpus, vcpuSubjects } from '../views/vcpus.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needEvents, needTimes } from './lacking.ts';
import { openSource } from './open.ts';
import { type LiveOptions, liveCommand, parseNumbers, runOptions, type TraceOptions, traceCommand } from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';

type VcpusOptions = TraceOptions &
  LiveOptions & { vcpu?: number[]; pid?: number[]; timeline?: true; failIf?: Condition[] };

export default function define(command: Command): void {
  liveCommand(
    failIfOption(
      traceCommand(command, [
        ['virtap vcpus trace.dat', "how each vCPU's time divides: guest, KVM, QEMU, preempted, halted, …"],
        ['virtap vcpus --timeline trace.dat', 'the same over time, a row a vCPU'],
        ['virtap vcpus --vcpu 0,1 --from 2s --to 3s trace.dat', 'two of them, for one second'],
        ['virtap vcpus --live --vm web1 --for 10s', 'of a machine that runs here'],
        [
          "virtap vcpus --fail-if 'share(preempted)>5%' trace.dat",
          'in a script: the exit status is 3 where that is so',
        ],
      ]),
      'total, share or max (the longest stretch) of a state: share(lock) of all vCPUs, share(lock:0) of vCPU 0',
    )
      .option('--vcpu <numbers>', 'only these vCPUs: 0, or 0,2,4-6', parseNumbers)
      .option(
        '-p, --pid <numbers>',
        'only the VMs of these processes, or the vCPU threads with these ids',
        parseNumbers,
      )
      .option('--timeline', 'draw what each vCPU did most, time across, a row a vCPU'),
  ).action(run);
}

async function run(files: string[], options: VcpusOptions): Promise<void> {
  const out = new Output(options);
  const trace = await openSource(files, options, { purposes: ['exits'] });
  await needTimes(trace, recordTimes);
  if (trace.clock.unit === 'ticks') {
    throw new UsageError(`${trace.file}: its clock counts cycles, so no time can be divided; ${recordTimes}`);
  }
  const vcpus = new Vcpus({ vcpus: options.vcpu, pids: options.pid, timeline: options.timeline === true });
  const answer = async (reading: Reading) => {
    needEvents(trace, reading);
    const result = vcpus.result();
    const { exits, exitsWithoutThread } = vcpus.pairing.counts;
    if (exits > 0 && exits === exitsWithoutThread)
      throw new UsageError(`${trace.file}: ${untimedWhy.threads}, so nobody knows what each vCPU did`);
    const holds = { exits: trace.types.some(isExit), entries: trace.types.some(isEntry) };
    // A running machine's events are known before any comes.
    const none = result.rows.length === 0 && result.threads === 0 && !isStretch(reading.window);
    if (none || (!holds.exits && !holds.entries)) throw new UsageError(...noExits({ trace, reading }));
    if (!holds.exits || !holds.entries) {
      const lacking = holds.exits ? 'kvm_entry' : 'kvm_exit';
      const names = trace.types.map(({ name }) => name);
      const why = untellable(names, `any ${lacking}`) ?? `there is no ${lacking} in it`;
      throw new UsageError(`${trace.file}: ${why}, so nobody knows when its vCPUs were in the guest`);
    }
    if (result.rows.length === 0 && result.threads > 0)
      throw new UsageError(`${trace.file}: none of its ${result.threads} vCPUs is one that was asked for`);
    const found = { trace, result, reading };
    await out.answer({
      json: () => vcpusJson(found),
      csv: () => vcpusCsv(found),
      text: (terminal) => vcpusText(found, terminal),
    });
    return result;
  };
  const result = await answerFrom(trace, [vcpus], runOptions(options), answer);
  failIf(options.failIf, () => vcpuSubjects(result));
}
