import { type Command, Option } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { type DiffAnswer, type DiffKind, type DiffSource, diffSortColumns } from '../report/diff-columns.ts';
import { diffCsv, diffJson, diffText, sortedDiff } from '../report/diff-text.ts';
import { noneThere } from '../report/empty-stretch.ts';
import { noExits } from '../report/no-exits.ts';
import { isExit } from '../spans/exit-events.ts';
import { kindNamed, kinds } from '../spans/kinds.ts';
import { isStretch } from '../trace/analysis.ts';
import { tellsTime } from '../trace/clock.ts';
import { clockOptions } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Condition, Subject } from '../views/conditions.ts';
import {
  compare,
  countFigures,
  type DiffFigure,
  type DiffRow,
  diffSubjects,
  type Side,
  spanFigures,
} from '../views/diff.ts';
import { ExitSide, KindSide, LockSide, RequestSide, type SideView, VcpuSide } from '../views/diff-sides.ts';
import { sameReason } from '../views/exit-choice.ts';
import type { Reading } from '../views/reading.ts';
import { failIf, failIfOption } from './fail-if.ts';
import { needPopsAndFills } from './lacking.ts';
import { refuse } from './locks.ts';
import { openTraces } from './open.ts';
import { exampleLines, formOptions, openOptions, readingOptions, runOptions, type TraceOptions } from './options.ts';
import { Output } from './output.ts';
import { runAnalyses } from './run.ts';
import { sortOption } from './sort-option.ts';

/** What has a comparison of its own; all other kinds of spans are compared by the columns that group them. */
const own = ['exits', 'requests', 'locks', 'vcpus'] as const;
const others = kinds.filter(({ plural }) => !(own as readonly string[]).includes(plural));

type DiffOptions = TraceOptions & { what?: string; sort?: string; failIf?: Condition[] };

export default function define(command: Command): void {
  command
    .usage('BEFORE AFTER [options]')
    .argument('<before>', 'a trace file of any format, also .gz and .zst; - is standard input')
    .argument('<after>', 'another one');
  const declared = failIfOption(
    readingOptions(formOptions(command), '1.5s, 200ms from the first event of each')
      .addOption(
        new Option('--what <what>', 'what to compare; chosen by what is in the files').choices([
          ...own,
          ...others.map(({ plural }) => plural),
        ]),
      )
      .addHelpText(
        'after',
        exampleLines([
          ['virtap diff before.dat after.dat', 'exits by reason: what changed, and what is only noise'],
          ['virtap diff before.trace after.trace', 'requests by device and queue'],
          ['virtap diff --what vcpus before.dat after.dat', "how the division of the vCPUs' time changed"],
          ['virtap diff --from 5s before.dat after.dat', 'without the first five seconds of each'],
          [
            "virtap diff --fail-if 'change(p99(exit:npf))>10%' before.dat after.dat",
            'in a script: the exit status is 3 where that is so',
          ],
        ]),
      ),
    'change(FIGURE(WHAT)) > 10%, of total, rate, avg, p50 or p99 of exit (all but halts), exit:NAME, request:DEVICE or request:DEVICE,QUEUE,OPERATION, wait:SITE or hold:SITE (also of BQL), or of the share of a state (preempted); a change that is noise is 0 %',
  );
  sortOption(declared, 'the rows', diffSortColumns).action(run);
}

/** The views that a recording is given to, by what they are of. */
type Views = { exits?: ExitSide; requests?: RequestSide; locks?: LockSide; vcpus?: VcpuSide; spans?: KindSide };

type Source = { trace: Trace; views: Views; reading: Reading };

async function run(before: string, after: string, options: DiffOptions): Promise<void> {
  const out = new Output(options);
  for (const [name, moment] of [
    ['--from', options.from],
    ['--to', options.to],
  ] as const) {
    if (moment?.absolute === true)
      throw new UsageError(
        `${name} is a time stamp, which both recordings can hardly hold; expected a length from the first event: ${name} 1.5s`,
      );
  }
  if (before === '-' && after === '-') throw new UsageError('- (standard input) can be given only once');
  // Both are opened before either is read: a wrong name is not to cost the time that the other takes.
  const traces = [await openTraces([before], openOptions(options)), await openTraces([after], openOptions(options))];
  try {
    await compareTraces(traces, options, out);
  } finally {
    // Not awaited: after Ctrl-C the read under way may never end.
    for (const trace of traces) void trace.close().catch(() => {});
  }
}

async function compareTraces(traces: readonly Trace[], options: DiffOptions, out: Output): Promise<void> {
  for (const { clock, file } of traces) {
    if (clock.unit === 'ns') continue;
    const why =
      clock.unit === 'none'
        ? 'its events have no time stamps'
        : tellsTime(clock)
          ? 'its clock counts cycles of unknown length'
          : 'its clock, counter, numbers events and measures no time';
    const remedy = `record with ${clockOptions['trace-cmd']} (trace-cmd), ${clockOptions.perf} (perf), ${clockOptions.qemu} (QEMU)`;
    throw new UsageError(`${file}: ${why}, so that nothing can be compared; ${remedy}`);
  }
  const what =
    own.find((one) => one === options.what) ?? (options.what === undefined ? undefined : kindNamed(options.what));
  const sources: Source[] = [];
  for (const trace of traces) {
    const views = viewsFor(what);
    const reading = await runAnalyses(trace, Object.values(views), runOptions(options));
    if (reading.partial.length === 0) await trace.close();
    sources.push({ trace, views, reading });
  }
  const [a, b] = sources as [Source, Source];
  const kind = what ?? choose(a, b);
  for (const source of [a, b]) check(kind, source);
  const [sideA, sideB] = [a, b].map(({ views, trace }) =>
    (views[typeof kind === 'string' ? kind : 'spans'] as SideView).side(trace),
  ) as [Side, Side];
  const answer: DiffAnswer = {
    kind,
    before: sourceOf(a),
    after: sourceOf(b),
    diff: sortedDiff(compare(sideA, sideB, figuresOf(kind, [a, b])), options.sort),
    countsOnly:
      kind === 'exits'
        ? [a, b].flatMap(({ trace, views }) => {
            const why = views.exits?.countsOnly;
            return why === undefined ? [] : [{ file: trace.file, why }];
          })
        : [],
  };
  await out.answer({
    json: () => diffJson(answer),
    csv: () => diffCsv(answer),
    text: (terminal) => diffText(answer, terminal),
  });
  failIf(options.failIf, () => ({
    subjects: diffSubjects(answer.diff, (row) => subject(kind, row)),
    json: diffJson(answer),
    same: sameReason,
  }));
}

/** Whether the exits of a recording can only be counted. */
function countsOnly({ views }: Source): boolean {
  return views.exits?.countsOnly !== undefined;
}

/** What the rows of both recordings have. */
function figuresOf(kind: DiffKind, sources: readonly Source[]): readonly DiffFigure[] {
  if (kind === 'vcpus') return ['share'];
  return kind === 'exits' && sources.some(countsOnly) ? countFigures : spanFigures;
}

function viewsFor(what: DiffKind | undefined): Views {
  if (typeof what === 'object') return { spans: new KindSide(what) };
  switch (what) {
    case 'vcpus':
      return { vcpus: new VcpuSide() };
    case 'exits':
      return { exits: new ExitSide() };
    case 'requests':
      return { requests: new RequestSide() };
    case 'locks':
      return { locks: new LockSide() };
    default:
      return { exits: new ExitSide(), requests: new RequestSide(), locks: new LockSide() };
  }
}

/** What both recordings hold. Throws a UsageError where that is nothing, or more than one thing. */
function choose(a: Source, b: Source): (typeof own)[number] {
  const has = ({ views: { exits, requests, locks } }: Source): (typeof own)[number][] => [
    ...(exits !== undefined && exits.pairing.counts.exits > 0 ? (['exits'] as const) : []),
    ...(requests !== undefined && requests.spans > 0 ? (['requests'] as const) : []),
    ...(locks !== undefined && locks.spans > 0 ? (['locks'] as const) : []),
  ];
  const [of, also] = [has(a), has(b)];
  const both = of.filter((kind) => also.includes(kind));
  if (both.length === 1) return both[0] as (typeof own)[number];
  if (both.length > 1)
    throw new UsageError(`both recordings hold ${both.join(' and ')}: say which to compare, --what ${both.join('|')}`);
  const nothing = 'no exits, requests or locks';
  const holds = (source: Source, kinds: readonly string[]) => {
    const { trace, reading } = source;
    if (kinds.length > 0) return `${trace.file} holds ${kinds.join(' and ')}`;
    const untold = untellable(
      trace.types.map(({ name }) => name),
      'anything to compare',
    );
    return untold ?? `${trace.file} holds ${isStretch(reading.window) ? noneThere(nothing, source) : nothing}`;
  };
  throw new UsageError(`there is nothing to compare: ${holds(a, of)}, ${holds(b, also)}`);
}

/** Throws a UsageError where a recording cannot tell of what was asked for. */
function check(kind: DiffKind, { trace, views, reading }: Source): void {
  if (typeof kind !== 'string') {
    if (views.spans?.count === 0)
      throw new UsageError(
        `${trace.file}: ${noneThere(`there is no ${kind.word}`, { trace, reading })}; it takes ${kind.needs}`,
      );
    return;
  }
  if (kind === 'locks') {
    const { view, spans } = views.locks as LockSide;
    refuse(trace, view);
    if (spans === 0)
      throw new UsageError(
        `${trace.file}: ${noneThere('no wait for a mutex and no hold is over', { trace, reading })}`,
      );
    return;
  }
  if (kind === 'requests') {
    const { spans } = views.requests as RequestSide;
    if (spans > 0) return;
    needPopsAndFills(trace, 'how long requests took');
    throw new UsageError(`${trace.file}: ${noneThere('no request was both popped and filled', { trace, reading })}`);
  }
  const { counts } = (views[kind] as ExitSide | VcpuSide).pairing;
  if (!trace.types.some(isExit)) throw new UsageError(...noExits({ trace, reading }));
  if (counts.exits === 0) throw new UsageError(`${trace.file}: ${noneThere('no exit', { trace, reading })}`);
  if (counts.pairs === 0 && kind === 'vcpus')
    throw new UsageError(`${trace.file}: none of its ${counts.exits} exits can be timed: no kvm_entry follows them`);
}

function sourceOf({ trace, views, reading }: Source): DiffSource {
  return { trace, reading, untold: views.vcpus?.untold() ?? [] };
}

/** What conditions call a row. */
function subject(kind: DiffKind, { names, kind: of }: DiffRow): Pick<Subject, 'kind' | 'name'> {
  const [first = '', second = ''] = names;
  if (typeof kind !== 'string') return { kind: kind.word, name: of === 'sum' ? undefined : names.join(',') };
  switch (kind) {
    case 'exits':
      return { kind: 'exit', name: of === 'sum' ? undefined : first };
    case 'requests':
      return {
        kind: 'request',
        name: names.filter((name) => name !== '' && (of !== 'sum' || name !== 'all')).join(','),
      };
    case 'locks':
      return { kind: second, name: first === 'all' && of === 'sum' ? undefined : first };
    case 'vcpus':
      return { kind: first, name: undefined };
  }
}
