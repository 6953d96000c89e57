import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { groupNames } from '../report/exit-names.ts';
import { exitsCsv, exitsJson } from '../report/exits-json.ts';
import { exitRows, isTimedSort, lineColumns } from '../report/exits-lines.ts';
import { type ExitAnswer, exitsText } from '../report/exits-text.ts';
import { noExits, untimedWhy } from '../report/no-exits.ts';
import { isExit } from '../spans/exit-events.ts';
import { withoutVm } from '../spans/vcpu.ts';
import { isStretch } from '../trace/analysis.ts';
import { tellsTime } from '../trace/clock.ts';
import { recordTimes } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import { sameReason } from '../views/exit-choice.ts';
import { type Dimension, dimensions, Exits, exitSubjects, isDetail, type Untimed } from '../views/exits.ts';
import { needLength } from './lacking.ts';
import { parseNumbers, parseWords, type VcpuOptions, vcpuOptions } from './options.ts';
import { didYouMean } from './suggest.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type ExitCommandOptions = ViewOptions &
  VcpuOptions & {
    by: Dimension[];
    sort: string;
    reason?: string[];
    exclude?: string[];
    cpu?: number[];
    halts?: true;
    breakdown?: true;
    inGuest?: true;
    tscMhz?: number;
  };

export default viewCommand<ExitCommandOptions, ExitAnswer>({
  examples: [
    ['virtap exits perf.data', 'how often and how long vCPUs were out of the guest, by reason'],
    ['virtap exits --by vcpu,reason trace.dat', 'the same for each vCPU'],
    ['virtap exits --by port trace.dat', 'which I/O ports cost the time'],
    ['virtap exits --breakdown trace.dat', 'where the time of each went: KVM, QEMU, locks, preempted, halted'],
    ['virtap exits --heatmap --exclude cpuid trace.dat', 'how durations change over time'],
    ['virtap exits --slow 5 trace.dat', 'the five slowest exits, and what happened in each'],
    ['virtap exits --slow 5 --reason io trace.dat', 'the five slowest of one reason'],
    ['virtap exits --than 1ms trace.dat', 'all that took longer than a millisecond, in order of time'],
    ['virtap exits --live --interval 5s', 'of the machines that run here, until Ctrl-C'],
    ['perf record -a -e kvm:* -o - sleep 10 | virtap exits -', 'from a pipe'],
    ["virtap exits --fail-if 'p99(exit:npf)>100us' trace.dat", 'in a script: the exit status is 3 where that is so'],
  ],
  conditions:
    'exit (all but halts), halt, or exit:NAME with the name of a row, exit:npf or with --by vcpu,reason exit:0,npf',
  table: { what: 'the table', columns: lineColumns, usual: 'total' },
  heatmap: 'draw a heat map: time across, duration up, count as colour',
  slow: 'show the slowest exits, with what happened in them',
  than: 'show the exits longer than this',
  options: (command) =>
    vcpuOptions(
      command
        .option('-b, --by <what>', `group by ${dimensions.join(', ')}; two as in vcpu,reason`, parseBy, ['reason'])
        .option('-r, --reason <reasons>', 'only these reasons: io,npf; may be repeated', parseWords)
        .option('-x, --exclude <reasons>', 'leave out these reasons: hlt,npf; may be repeated', parseWords),
    )
      .option('-C, --cpu <numbers>', 'only those that began on these CPUs of the host: 0, or 0,2,4-6', parseNumbers)
      .option('--breakdown', "show where each row's time went: KVM, QEMU, a lock, preempted, halted")
      .option('--halts', 'take halts into the heat map and the slow exits')
      .addOption(
        new Option(
          '--in-guest',
          'time the guest instead: from kvm_entry to the kvm_exit (perf kvm stat does on arm64, riscv64)',
        ).conflicts(['breakdown', 'slow', 'than', 'halts']),
      )
      .option('--tsc-mhz <MHz>', 'length of a cycle, for traces with the x86-tsc clock', parseMhz),
  wanted: () => ({ purposes: ['exits'] }),
  ask(trace, options, command) {
    const asked = timesAsked(options, command.getOptionValueSource('sort') === 'cli');
    if (!tellsTime(trace.clock)) refuseTimes(trace, 'times', asked);
    refuseCycles(trace, options);
    const { by, exclude, vcpu, pid, heatmap, slow, than, halts, breakdown, inGuest, sort, tscMhz } = options;
    const within = by.find((dimension) => isDetail(dimension));
    if (inGuest === true && within !== undefined)
      throw new UsageError(`--by ${within} is of what happens after the guest is left, --in-guest of the time before`);
    const exits = new Exits({
      by,
      reasons: options.reason ?? [],
      exclude: exclude ?? [],
      cpus: options.cpu,
      vcpus: vcpu,
      pids: pid,
      heatmap: heatmap === true,
      slow,
      than,
      halts: halts === true,
      breakdown: breakdown === true,
      inGuest: inGuest === true,
      scale: tscMhz === undefined ? undefined : 1000 / tscMhz,
    });
    return {
      analyses: [exits],
      answer(reading) {
        const result = exits.result();
        // A running machine's events are known before any comes.
        const none = result.counts.exits === 0 && !isStretch(reading.window);
        if (none || !trace.types.some(isExit)) throw new UsageError(...noExits({ trace, reading }));
        if (result.untimed !== undefined) refuseTimes(trace, result.untimed, asked);
        const { exits: left, exitsWithoutThread } = result.counts;
        if (within !== undefined && left > 0 && left === exitsWithoutThread)
          throw new UsageError(
            `${trace.file}: ${untimedWhy.threads}, so that nobody knows what happened within which exit, which --by ${within} needs`,
          );
        return { trace, reading, result, sort, halts: halts === true, than };
      },
    };
  },
  json: exitsJson,
  csv: exitsCsv,
  text: exitsText,
  subjects: ({ result }) => exitSubjects(result, (group) => groupNames(result, group)),
  rows: exitRows,
  // Of several VMs, a number alone means each vCPU with it.
  same: (asked, name) => sameReason(asked, name) || sameReason(asked, withoutVm(name)),
});

/** Throws a UsageError for what does not go with the clock: lengths in ns of one that counts cycles, and a cycle's length of another. */
function refuseCycles(trace: Trace, { tscMhz, than, breakdown, failIf }: ExitCommandOptions): void {
  const ticks = trace.clock.unit === 'ticks';
  if (tscMhz !== undefined && !ticks) {
    throw new UsageError(`--tsc-mhz is for traces with the clock x86-tsc; the clock of ${trace.file} counts ns`);
  }
  if (than !== undefined && ticks && tscMhz === undefined) {
    throw new UsageError(`${trace.file}: its clock counts cycles; say how long one is with --tsc-mhz to use --than`);
  }
  if (tscMhz === undefined) needLength(trace, { failIf });
  if (breakdown === true && ticks) {
    throw new UsageError(`${trace.file}: its clock counts cycles, so no time can be divided; ${recordTimes}`);
  }
}

/** The options given that ask how long exits took. */
function timesAsked(options: ExitCommandOptions, sorted: boolean): string[] {
  const { heatmap, slow, than, breakdown, tscMhz, sort } = options;
  const ordered = sorted && isTimedSort(sort);
  return [
    ...(heatmap === true ? ['--heatmap'] : []),
    ...(slow !== undefined ? ['--slow'] : []),
    ...(than !== undefined ? ['--than'] : []),
    ...(breakdown === true ? ['--breakdown'] : []),
    ...(tscMhz !== undefined ? ['--tsc-mhz'] : []),
    ...(ordered ? [`--sort ${sort}`] : []),
  ];
}

/** Throws a UsageError that names what was asked of a trace whose exits can only be counted. */
function refuseTimes(trace: Trace, why: Untimed, asked: readonly string[]): void {
  if (asked.length === 0) return;
  const clock =
    trace.clock.name === 'counter' ? 'its clock, counter, numbers events and measures no time' : untimedWhy[why];
  const need = asked.length === 1 ? 'needs' : 'need';
  throw new UsageError(
    `${trace.file}: ${clock}, so its exits can be counted, but not timed, which ${asked.join(', ')} ${need}`,
  );
}

function parseBy(text: string): Dimension[] {
  const words = parseWords(text);
  for (const word of words) {
    if (!(dimensions as readonly string[]).includes(word)) {
      throw new InvalidArgumentError(
        `There is no ${word}${didYouMean(word, dimensions)}. It is one of ${dimensions.join(', ')}.`,
      );
    }
  }
  if (words.length < 1 || words.length > 2 || new Set(words).size !== words.length) {
    throw new InvalidArgumentError('Expected one thing to group by, or two: vcpu,reason.');
  }
  return words as Dimension[];
}

function parseMhz(text: string): number {
  const mhz = Number(text);
  if (!(mhz >= 1 && mhz < 1e6)) throw new InvalidArgumentError('Expected the frequency in MHz: 2400, 2893.202.');
  return mhz;
}
