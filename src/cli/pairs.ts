import { InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { schedEvents } from '../live/event-sets.ts';
import { groupFigures, groupRows, statesColumn } from '../report/groups.ts';
import { type PairsAnswer, pairLines, pairsScope } from '../report/pairs-columns.ts';
import { pairsCsv, pairsJson } from '../report/pairs-json.ts';
import { pairsText } from '../report/pairs-text.ts';
import { groups } from '../trace/groups.ts';
import type { Trace } from '../trace/trace.ts';
import { Filter, FilterError } from '../views/filter.ts';
import { type EndSpec, PairsView, pairSubjects } from '../views/pairs.ts';
import { needLength, needTimes } from './lacking.ts';
import { takeOldWords } from './old-words.ts';
import { parseWords } from './options.ts';
import { parseField, parseFields } from './selection-options.ts';
import { didYouMean } from './suggest.ts';
import { type View, type ViewOptions, viewCommand } from './view-command.ts';

/** An option's value as the user wrote it, and what it means. */
type End = EndSpec & { text: string };
type Key = { from: string; to: string; text: string };

type PairsCommandOptions = ViewOptions & {
  begin: End;
  end: End;
  by?: Key[];
  group?: string[];
  sort: string;
  breakdown?: true;
};

const pairs: View<PairsCommandOptions, PairsAnswer> = {
  examples: [
    ['virtap pairs --begin kvm_exit --end kvm_entry --by tid trace.dat', 'what virtap exits measures'],
    ["virtap pairs --begin 'kvm_pio if port == 0x3f8' --end kvm_entry --by tid trace.dat", 'of one port'],
    [
      'virtap pairs --begin sched_wakeup --end sched_switch --by pid=next_pid trace.dat',
      'how long threads wait for a CPU',
    ],
    ['virtap pairs --begin virtqueue_pop --end virtqueue_fill --by vq,elem --group vq trace.bin', 'requests, by queue'],
    [
      "virtap pairs --begin kvm_apic_ipi --end kvm_apic_accept_irq --by 'icr_low & 0xff = vec' trace.dat",
      'interrupts between processors',
    ],
    ['virtap pairs --begin sched_switch --end sched_switch --by cpu trace.dat', 'how long threads run'],
  ],
  conditions: 'pair, or pair:VALUES with the values of --group',
  table: { what: 'the table', columns: [...groupFigures, statesColumn], usual: 'total' },
  heatmap: 'draw a heat map: time across, duration up, count as colour',
  slow: 'show the slowest pairs',
  than: 'show the pairs longer than this',
  options: (command) => {
    takeOldWords(command, { from: 'begin', to: 'end' }, (text) => /^[a-z_*]/i.test(text));
    return command
      .option('--begin <event>', "the event that it begins with: kvm_exit, 'kvm_pio if port == 0x3f8'", parseEnd)
      .option('--end <event>', 'the event that it ends with', parseEnd)
      .option(
        '--by <fields>',
        'what both must have in common: vq,elem or pid=next_pid; the thread, tid, where not given',
        parseKeys,
      )
      .option('--group <fields>', 'group by fields of either event: comm, to.ret', parseFields)
      .option('--breakdown', 'how much of the time the thread ran, was preempted, slept; of pairs by tid')
      .addHelpText('after', help);
  },
  wanted({ begin, end, by = byThread, breakdown }) {
    for (const [name, event] of Object.entries({ begin, end }))
      if (event === undefined) throw new UsageError(`required option '--${name} <event>' not specified`);
    if (breakdown === true && !by.some((key) => key.from === 'tid' && key.to === 'tid')) {
      throw new UsageError('--breakdown tells what a thread did between two events of its own: --by must have tid');
    }
    return { patterns: [begin.event, end.event, ...(breakdown === true ? schedEvents : [])] };
  },
  async ask(trace, options) {
    const { begin: from, end: to, by = byThread, group = [], breakdown, heatmap, slow, than, sort } = options;
    await needTimes(trace);
    needLength(trace, options);
    const asked = { from, to, by, group, breakdown: breakdown === true, heatmap: heatmap === true, slow, than };
    const view = new PairsView(asked);
    return {
      analyses: [view],
      answer(reading) {
        const result = view.result();
        explain(trace, view, options, result.counts);
        const words = { from: from.text, to: to.text, by: by.map(({ text }) => text), group };
        return { trace, reading, result, sort, than, ...words };
      },
    };
  },
  json: pairsJson,
  csv: pairsCsv,
  text: pairsText,
  subjects: ({ result }) => pairSubjects(result),
  rows: (answer) => groupRows('pair', pairLines(answer), pairsScope(answer)),
};

/** What both events have in common where nobody says. */
const byThread: Key[] = [{ from: 'tid', to: 'tid', text: 'tid' }];

export default viewCommand(pairs);

const help = `
An event may have a condition: 'EVENT if FILTER', with the filters of virtap dump (virtap help dump).
Names of events may be patterns: 'virtio_blk_handle_*'. A key or group is a field of the event, or
tid, pid, cpu, comm, vcpu of the thread that caused it; .pid is the event's own field where both exist.
A field that the two events name differently is written FROM=TO, and is the events' own: pid=next_pid.
A field may be computed: 'icr_low & 0xff = vec', 'gpa >> 12'; operators bind as in C.
from. and to. before a group say which event's field is meant; else the first event's counts, or the last
one's where that has none.`;

/** Names that the trace does not have are the user's mistake, and said. */
function explain(
  trace: Trace,
  view: PairsView,
  { begin, end }: PairsCommandOptions,
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
    const { name, fields } = missing;
    const { event } = missing.end === 'from' ? begin : end;
    const suggestion = didYouMean(name, fields).replace(/\?$/, '');
    throw new UsageError(`${event} has no field ${name}${suggestion}; there are ${fields.join(', ')}`);
  }
  for (const [{ filter }, seen] of [
    [begin, counts.begins],
    [end, counts.ends],
  ] as const) {
    if (seen > 0 || filter === undefined) continue;
    const { unknown, fields } = filter.unknownNames();
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
    const match = /^([^=]+)(?:=([^=]+))?$/.exec(word);
    if (match === null) throw new InvalidArgumentError('Expected fields: vq,elem or tid or pid=next_pid.');
    const [from, to] = [match[1] as string, match[2] ?? (match[1] as string)].map((field) => parseField(field.trim()));
    return { from: from as string, to: to as string, text: word };
  });
  if (keys.length === 0 || keys.length > 8) throw new InvalidArgumentError('Expected one to eight fields.');
  return [...previous, ...keys];
}
