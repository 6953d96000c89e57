import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { type CountAnswer, countFigures } from '../report/count-columns.ts';
import { countCsv, countJson } from '../report/count-json.ts';
import { countText } from '../report/count-text.ts';
import type { Trace } from '../trace/trace.ts';
import { CountView, countSubjects } from '../views/count.ts';
import { namesIn } from '../views/derived-field.ts';
import { parseCount, parseWords } from './options.ts';
import {
  explainNone,
  filterOf,
  filterOption,
  parseField,
  parseFields,
  type SelectionOptions,
} from './selection-options.ts';
import { didYouMean } from './suggest.ts';
import { answerView, type View, type ViewOptions, viewOptions } from './view-command.ts';

type CountCommandOptions = ViewOptions &
  Omit<SelectionOptions, 'event'> & {
    events: string[];
    sort: string;
    by?: string[];
    top?: number;
    timeline?: true;
    hist?: string;
  };

const counts: View<CountCommandOptions, CountAnswer> = {
  examples: [
    ['virtap count kvm_exit --by reason trace.dat', 'exits by reason'],
    ['virtap count kvm_exit --by guest_rip --top 10 trace.dat', 'where the guest was, the ten most frequent places'],
    ["virtap count kvm_apic_ipi --by 'icr_low & 0xff' trace.dat", 'interrupts between processors by vector'],
    ["virtap count kvm_page_fault --by 'fault_address >> 12' --timeline trace.dat", 'pages that fault, over time'],
    ['virtap count kvm_msr --by ecx,write,vcpu trace.dat', 'MSRs by number, direction and vCPU'],
    ["virtap count 'kvm_*,sched_switch' trace.dat", 'how many of each'],
    ['virtap count virtqueue_fill --hist len qemu.bin', 'a histogram of a number'],
    ['virtap count kvm_pio --by port --live --for 10s', 'of the machines that run here'],
  ],
  conditions: 'event, or event:VALUES with the values of --by (count, rate, share)',
  table: { what: 'the table', columns: countFigures, usual: 'count' },
  options: (command) =>
    filterOption(
      command
        .option('--by <fields>', "fields to count by: reason, 'gpa >> 12', comm; the event, if left out", parseFields)
        .option('-n, --top <number>', 'only the first of the table', parseCount)
        .option('--timeline', 'draw when they came: time across, a strip a row, count as colour')
        .option('--hist <field>', 'a histogram of a number of theirs', parseField),
    ).addHelpText('after', help),
  wanted: ({ events, by = [], hist = '', ...options }) => {
    const vcpus = [...by, hist].flatMap(namesIn).includes('vcpu') || filterOf(options)?.needsVcpu === true;
    return { patterns: [...events, ...(vcpus ? ['kvm:kvm_entry'] : [])] };
  },
  ask(trace, { events, hist, timeline, top, sort, ...options }) {
    const filter = filterOf(options);
    if (timeline === true && trace.clock.unit === 'none')
      throw new UsageError(`${trace.file}: its events have no time stamps, so there is no --timeline`);
    const by = options.by ?? (hist === undefined ? ['event'] : []);
    const view = new CountView({ events, filter, by, hist, timeline: timeline === true });
    return {
      analyses: [view],
      answer(reading) {
        const result = view.result();
        explain(trace, view, result.count);
        return { trace, reading, result, events, by, hist, sort, top };
      },
    };
  },
  json: countJson,
  csv: countCsv,
  text: countText,
  subjects: ({ result }) => countSubjects(result),
};

export default function define(command: Command): void {
  command.argument('<events>', "which events: kvm_exit, 'kvm_*', kvm_pio,kvm_mmio", (text) => parseWords(text));
  viewOptions(command, counts).action((events: string[], files: string[], options: CountCommandOptions) =>
    answerView(counts, files, { ...options, events }, command),
  );
}

const help = `
Fields are those of the events, or cpu, tid, pid, comm, vcpu, event of each; reason is an exit's by name.
They may be computed: 'icr_low & 0xff', 'gpa >> 12', '(addr - 0xfee00000) / 16'; operators bind as in C,
in 64 bits. Quote them for the shell.`;

/** Names that the trace does not have are the user's mistake, and said. */
function explain(trace: Trace, view: CountView, count: number): void {
  if (count === 0) explainNone(trace, view.selection, [trace.file]);
  for (const pattern of view.selection.patterns.unused()) {
    const more =
      didYouMean(
        pattern,
        trace.types.map(({ name }) => name),
      ) || ` (virtap events ${trace.file} lists what there is)`;
    throw new UsageError(`no event in ${trace.file} is called ${pattern}${more}`);
  }
  const { unknown, fields } = view.unknownFields();
  const [name] = unknown;
  if (name === undefined) return;
  const suggestion = didYouMean(name, fields).replace(/\?$/, '');
  throw new UsageError(`none of these events has a field ${name}${suggestion}; there are ${fields.join(', ')}`);
}
