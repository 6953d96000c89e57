import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Moment } from '../analyse/read.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { schedEvents } from '../live/event-sets.ts';
import { sortKeys } from '../report/columns.ts';
import { groupFigures } from '../report/groups.ts';
import { pairsCsv, pairsJson } from '../report/pairs-json.ts';
import { pairsText } from '../report/pairs-text.ts';
import { groups } from '../trace/groups.ts';
import type { Trace } from '../trace/trace.ts';
import type { Condition } from '../views/conditions.ts';
import { Filter, FilterError } from '../views/filter.ts';
import { type EndSpec, PairsView, pairSubjects } from '../views/pairs.ts';
import type { Reading } from '../views/reading.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needEvents, needTimes } from './lacking.ts';
import { openSource } from './open.ts';
import {
  type LiveOptions,
  liveCommand,
  parseCount,
  parseDuration,
  parseWords,
  runOptions,
  type TraceOptions,
  traceCommand,
} from './options.ts';
import { Output } from './output.ts';
import { answerFrom } from './run.ts';
import { didYouMean } from './suggest.ts';

/** An option's value as the user wrote it, and what it means. */
type End = EndSpec & { text: string };
type Key = { from: string; to: string; text: string };

type PairsCommandOptions = Omit<TraceOptions, 'from' | 'to'> &
  LiveOptions & {
    from: End;
    to: End;
    by: Key[];
    group?: string[];
    sort: string;
    breakdown?: true;
    heatmap?: true;
    slow?: number;
    than?: number;
    failIf?: Condition[];
    since?: Moment;
    until?: Moment;
  };

export default function define(command: Command): void {
  liveCommand(
    failIfOption(
      traceCommand(
        command,
        [
          ['virtap pairs --from kvm_exit --to kvm_entry --by tid trace.dat', 'what virtap exits measures'],
          ["virtap pairs --from 'kvm_pio if port == 0x3f8' --to kvm_entry --by tid trace.dat", 'of one port'],
          [
            'virtap pairs --from sched_wakeup --to sched_switch --by pid=next_pid trace.dat',
            'how long threads wait for a CPU',
          ],
          [
            'virtap pairs --from virtqueue_pop --to virtqueue_fill --by vq,elem --group vq trace.bin',
            'requests, by queue',
          ],
          ['virtap pairs --from sched_switch --to sched_switch --by cpu trace.dat', 'how long threads run'],
        ],
        { range: { from: '--since', to: '--until' } },
      ),
      'pair, or pair:VALUES with the values of --group',
    )
      .requiredOption('--from <event>', "the event that it begins with: kvm_exit, 'kvm_pio if port == 0x3f8'", parseEnd)
      .requiredOption('--to <event>', 'the event that it ends with', parseEnd)
      .requiredOption('--by <fields>', 'what both must have in common: vq,elem, tid, pid=next_pid', parseKeys)
      .option('--group <fields>', 'group by fields of either event: comm, to.ret', parseWords)
      .addOption(
        new Option('-s, --sort <column>', 'sort the table by this column')
          .choices(sortKeys(groupFigures, 'total'))
          .default('total'),
      )
      .option('--breakdown', 'how much of the time the thread ran, was preempted, slept; of pairs by tid')
      .option('--heatmap', 'draw a heat map: time across, duration up, count as colour')
      .option('--slow <number>', 'show the slowest pairs', parseCount)
      .option('--than <time>', 'show the pairs longer than this: 1ms, 250us', parseDuration)
      .addHelpText('after', help),
  ).action(run);
}

const help = `
An event may have a condition: 'EVENT if FILTER', with the filters of virtap dump (virtap help dump).
Names of events may be patterns: 'virtio_blk_handle_*'. A key or group is a field of the event, or
tid, pid, cpu, comm, vcpu of the thread that caused it; .pid is the event's own field where both exist.
A field that the two events name differently is written FROM=TO, and is the events' own: pid=next_pid.
from. and to. before a group say which event's field is meant; else the first event's counts, or the last
one's where that has none.`;

async function run(files: string[], options: PairsCommandOptions): Promise<void> {
  const out = new Output(options);
  const { from, to, by, heatmap, slow, than, sort } = options;
  const group = options.group ?? [];
  const breakdown = options.breakdown === true;
  if (breakdown && !by.some((key) => key.from === 'tid' && key.to === 'tid')) {
    throw new UsageError('--breakdown tells what a thread did between two events of its own: --by must have tid');
  }
  const patterns = [from.event, to.event, ...(breakdown ? schedEvents : [])];
  const trace = await openSource(files, options, { patterns });
  await needTimes(trace);
  if (than !== undefined && trace.clock.unit === 'ticks') {
    throw new UsageError(`${trace.file}: its clock counts cycles of unknown length, so there is no --than`);
  }
  const view = new PairsView({ from, to, by, group, breakdown, heatmap: heatmap === true, slow, than });
  const answer = async (reading: Reading) => {
    needEvents(trace, reading);
    const result = view.result();
    explain(trace, view, options, result.counts);
    if (slow === undefined) result.slow?.sort((a, b) => a.begin - b.begin);
    const found = {
      trace,
      result,
      reading,
      sort,
      from: from.text,
      to: to.text,
      by: by.map(({ text }) => text),
      group,
      than,
    };
    await out.answer({
      json: () => pairsJson(found),
      csv: () => pairsCsv(found),
      text: (terminal) => pairsText(found, terminal),
    });
    return result;
  };
  const range = { from: options.since, to: options.until, interval: options.interval };
  const result = await answerFrom(trace, [view], runOptions(range), answer);
  failIf(options.failIf, () => pairSubjects(result));
}

/** Names that the trace does not have are the user's mistake, and said. */
function explain(
  trace: Trace,
  view: PairsView,
  { from, to }: PairsCommandOptions,
  counts: { begins: number; ends: number },
): void {
  const names = trace.types.map((type) => type.name);
  for (const patterns of [view.from, view.to]) {
    for (const pattern of patterns.unused()) {
      const more = didYouMean(pattern, names) || ` (virtap events ${trace.file} lists what there is)`;
      throw new UsageError(`no event in ${trace.file} is called ${pattern}${more}`);
    }
  }
  const [missing] = view.unknownFields();
  if (missing !== undefined) {
    const { name, end, fields } = missing;
    const event = end === 'from' ? from.event : to.event;
    const suggestion = didYouMean(name, fields).replace(/\?$/, '');
    throw new UsageError(`${event} has no field ${name}${suggestion}; there are ${fields.join(', ')}`);
  }
  for (const [end, seen] of [
    [from, counts.begins],
    [to, counts.ends],
  ] as const) {
    if (seen > 0 || end.filter === undefined) continue;
    const { unknown, fields } = end.filter.unknownNames();
    const [name] = unknown;
    if (name === undefined) continue;
    const suggestion = didYouMean(name, fields).replace(/\?$/, '');
    throw new UsageError(`no event here has a field ${name}${suggestion}`);
  }
}

function parseEnd(text: string): End {
  const match = /^\s*(\S+)(?:\s+if\s+(.+))?\s*$/s.exec(text);
  if (match === null) throw new InvalidArgumentError("Expected an event: kvm_exit, or 'kvm_pio if port == 0x3f8'.");
  const [, event, filter] = groups<[string, string, string | undefined]>(match);
  try {
    return { event, filter: filter === undefined ? undefined : new Filter(filter), text: text.trim() };
  } catch (error) {
    if (error instanceof FilterError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

function parseKeys(text: string, previous: readonly Key[] = []): Key[] {
  const keys = parseWords(text).map((word): Key => {
    const match = /^([^=\s]+)(?:=([^=\s]+))?$/.exec(word);
    if (match === null) throw new InvalidArgumentError('Expected fields: vq,elem or tid or pid=next_pid.');
    return { from: match[1] as string, to: match[2] ?? (match[1] as string), text: word };
  });
  if (keys.length === 0 || keys.length > 8) throw new InvalidArgumentError('Expected one to eight fields.');
  return [...previous, ...keys];
}
