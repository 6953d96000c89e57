import { type Command, InvalidArgumentError, Option } from 'commander';
import type { FileOffset } from '../analyse/files.ts';
import type { Moment } from '../analyse/moment.ts';
import type { OpenOptions } from '../formats/format.ts';
import type { ColorChoice } from '../report/terminal.ts';
import { groups } from '../trace/groups.ts';
import { parseLength, unitNs } from '../trace/time-units.ts';
import type { MachineOptions } from './machines.ts';

/** The options that every command on trace files has, as commander hands them over. */
export type TraceOptions = {
  json?: true;
  csv?: true;
  color: ColorChoice;
  from?: Moment | undefined;
  to?: Moment | undefined;
  traceEvents?: string;
  formats?: string;
  maxMemory?: number;
  threads?: number;
  offset?: FileOffset[];
  align?: 'auto';
};

/** The options of a command that can look at a running machine instead of files. */
export type LiveOptions = MachineOptions & { live?: true; for?: number; interval?: number | undefined };

/** Lets a command look at a running machine instead of files; its own options must have been added before. `answers`: it can tell how things stand meanwhile. */
export function liveCommand(command: Command, answers = true): Command {
  command.registeredArguments.at(-1)?.argOptional();
  command
    .option('--live', 'look at the virtual machines that run here, until Ctrl-C; needs root')
    .option('--vm <names>', 'with --live: only the machines with these names or uuids', parseWords)
    .option('--for <time>', 'with --live: how long, 10s', parseDuration);
  if (answers) {
    command.option('--interval <time>', 'with --live: also print what was found so far, every 5s', parseDuration);
  }
  const own = command.options.some((option) => option.long === '--pid');
  return own ? command : command.option('-p, --pid <numbers>', 'with --live: only these processes', parseNumbers);
}

/** Which vCPUs are meant. */
export type VcpuOptions = { vcpu?: number[]; pid?: number[] };

/** The options that say which vCPUs are meant. */
export function vcpuOptions(command: Command): Command {
  return command
    .option('--vcpu <numbers>', 'only these vCPUs: 0, or 0,2,4-6', parseNumbers)
    .option('-p, --pid <numbers>', 'only the VMs of these processes, or the vCPU threads with these ids', parseNumbers);
}

/**
 * Gives a command its FILE arguments, the shared options, and examples at the end of its help. `forms` says what it prints
 * besides text.
 */
export function traceCommand(
  command: Command,
  examples: readonly [line: string, what: string][],
  { forms = ['json', 'csv'] }: { forms?: readonly ('json' | 'csv')[] } = {},
): Command {
  command
    .argument('[file...]', 'trace files of any format, also .gz and .zst; - is standard input')
    .option('-i, --input <file>', 'the same, as perf has it', (file, before: string[] = []) => [...before, file]);
  formOptions(command, forms);
  readingOptions(command).addOption(
    new Option('--time <stretch>', 'both in one: 1.5s,2.5s or ,2s or 10%-20%')
      .argParser(parseStretch)
      .conflicts(['from', 'to']),
  );
  return offsetOption(command).addHelpText('after', exampleLines(examples));
}

/** The options for what form the answer has, besides text. */
export function formOptions(command: Command, forms: readonly ('json' | 'csv')[] = ['json', 'csv']): Command {
  if (forms.includes('json')) command.option('--json', 'print JSON (docs/json.md)');
  if (forms.includes('csv')) command.addOption(new Option('--csv', 'print CSV').conflicts('json'));
  return command;
}

/** The option for when to use colours. */
export function colorOption(command: Command): Command {
  return command
    .addOption(
      new Option('--color <when>', 'colour the output')
        .choices(['auto', 'always', 'never'])
        .default('auto' as ColorChoice),
    )
    .option('--no-color', 'the same as --color never')
    .on('option:no-color', () => command.setOptionValue('color', 'never'));
}

/** The options of a command that reads traces and prints in a form of its own. `moments` says how a time is written. */
export function readingOptions(
  command: Command,
  moments = '1.5s, 200ms from the first event, or a time stamp',
): Command {
  return colorOption(command)
    .option('--from <time>', `leave out events before: ${moments}`, parseMoment)
    .option('--to <time>', 'leave out events after', parseMoment)
    .option('--trace-events <file>', "QEMU's trace-events-all, which names the arguments in simpletrace files")
    .option(
      '--formats <path>',
      "a copy of tracefs' folder events, or a trace.dat of the same kernel, for trace_pipe_raw",
    )
    .option('--max-memory <size>', 'for large files that you trust: what reading may need, 300M if left out', parseSize)
    .option('--threads <number>', 'read large files with so many threads: one a processor if left out', parseCount);
}

/** Gives a command that puts several files on one timeline the options to say how. */
export function offsetOption(command: Command): Command {
  return command
    .option(
      '--offset <file=time>',
      'add this to the times of one file: qemu.log=-1.5s, or OWN@OTHER, two time stamps of one moment',
      parseOffset,
    )
    .addOption(
      new Option('--align <how>', 'auto: find out from the events how far clocks are apart that nothing ties').choices([
        'auto',
      ]),
    );
}

/** Examples for the end of a command's help. */
export function exampleLines(examples: readonly [line: string, what: string][]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return `\nExamples:\n${examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`).join('\n')}`;
}

/** What of the options says how to open the files. */
export function openOptions(
  options: Pick<TraceOptions, 'traceEvents' | 'formats' | 'offset' | 'align' | 'maxMemory' | 'threads'>,
): OpenOptions & { offsets: readonly FileOffset[]; align: boolean } {
  const { traceEvents, formats, offset: offsets = [], maxMemory, threads } = options;
  return {
    traceEvents,
    formats,
    offsets,
    align: options.align === 'auto',
    maxMemory,
    threads: threads === 1 ? 1 : undefined,
  };
}

/** The words of a command line that opens these files in the same way. */
export function openWords(
  files: readonly string[],
  { traceEvents, formats, offset = [], align }: Pick<TraceOptions, 'traceEvents' | 'formats' | 'offset' | 'align'>,
): string[] {
  return [
    ...files,
    ...offset.flatMap(({ file, ns }) => ['--offset', `${file}=${ns}`]),
    ...(align === undefined ? [] : ['--align', align]),
    ...(traceEvents === undefined ? [] : ['--trace-events', traceEvents]),
    ...(formats === undefined ? [] : ['--formats', formats]),
  ];
}

/** What of the options says how to read them. */
export function runOptions(options: Pick<TraceOptions, 'from' | 'to' | 'threads'> & Pick<LiveOptions, 'interval'>): {
  from: Moment | undefined;
  to: Moment | undefined;
  threads: number | undefined;
  every: number | undefined;
} {
  return { from: options.from, to: options.to, threads: options.threads, every: options.interval };
}

/**
 * For commander: `FILE=TIME`, collected over repetitions of the option. The time is a length (ns without a unit), or
 * `OWN@OTHER`: the time stamp OWN of the file is of the same moment as OTHER on the timeline.
 */
function parseOffset(text: string, previous: readonly FileOffset[] = []): FileOffset[] {
  const equals = text.lastIndexOf('=');
  const [file, value] = [text.slice(0, equals), text.slice(equals + 1).trim()];
  const pair = /^([\d.]+)@([\d.]+)$/.exec(value);
  const ns =
    pair === null ? exactDuration(value) : difference(exactStamp(pair[2] as string), exactStamp(pair[1] as string));
  if (equals < 1 || ns === undefined) {
    throw new InvalidArgumentError(
      'Expected FILE=TIME: qemu.log=-1795418437.072121s, or qemu.log=1795419652.901@1215.829, the same moment in the file and on the timeline.',
    );
  }
  return [...previous, { file, ns }];
}

function difference(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

/** A length of time in ns, exactly, however long; it may be negative, and is in ns where it has no unit. */
function exactDuration(text: string): bigint | undefined {
  const match = /^([+-]?)(\d{1,19})(?:\.(\d{1,9}))? ?([a-zµμ]*)$/.exec(text);
  const unit = unitNs.get(match?.[4] || 'ns');
  if (match === null || unit === undefined) return undefined;
  const [, sign, whole, decimals = ''] = groups<[string, string, string, string | undefined]>(match);
  const ns = (BigInt(whole + decimals) * BigInt(unit)) / 10n ** BigInt(decimals.length);
  return sign === '-' ? -ns : ns;
}

/** A time stamp as `virtap dump` prints it, in ns. */
function exactStamp(text: string): bigint | undefined {
  const stamp = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  return stamp === null ? undefined : BigInt((stamp[1] as string) + (stamp[2] ?? '').padEnd(9, '0'));
}

/** For commander: a length of time with its unit (`1ms`, `2.5 s`, `100us`), in ns. */
export function parseDuration(text: string): number {
  const length = parseLength(text);
  if (length === undefined) {
    throw new InvalidArgumentError('Expected a length of time with a unit: 250ns, 100us, 1.5ms, 2s.');
  }
  return Math.round(length);
}

/** For commander: a size with its unit (`300M`, `2G`), in bytes. */
function parseSize(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?) ?([KMGT])i?B?$/i.exec(text.trim());
  const bytes = Number(match?.[1]) * 1024 ** ('KMGT'.indexOf((match?.[2] ?? '').toUpperCase()) + 1);
  if (match === null || bytes < least)
    throw new InvalidArgumentError('Expected a size with a unit, 100M or more: 500M, 2G.');
  return Math.floor(bytes);
}

/** Less than this is less than virtap needs for anything. */
const least = 100 << 20;

/** For commander: a whole number, 1 or more. */
export function parseCount(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || !Number.isSafeInteger(Number(text))) {
    throw new InvalidArgumentError('Expected a whole number, 1 or more.');
  }
  return Number(text);
}

/** Numbers that one range can stand for. */
const mostNumbers = 1 << 16;

/** For commander: a whole number or several (`0,2,4-6`), collected over repetitions of the option. */
export function parseNumbers(text: string, previous: readonly number[] = []): number[] {
  const numbers = [...previous];
  for (const part of text.split(',')) {
    const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last < first || last - first >= mostNumbers) {
      throw new InvalidArgumentError('Expected numbers: 3, or 0,2,4-6.');
    }
    for (let n = first; n <= last; n++) numbers.push(n);
  }
  return numbers;
}

/** For commander: words, separated by commas or by repeating the option. */
export function parseWords(text: string, previous: readonly string[] = []): string[] {
  return [
    ...previous,
    ...text
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== ''),
  ];
}

/**
 * For commander: a moment of the trace. With a unit it counts from the first event; without, it is a time stamp
 * as `virtap dump` prints it: seconds with up to nine decimals.
 */
export function parseMoment(text: string): Moment {
  const trimmed = text.trim();
  const cycles = /^\d{1,20}$/.test(trimmed) ? BigInt(trimmed) : undefined;
  const stamp = exactStamp(trimmed) ?? (cycles === undefined ? undefined : cycles * 1_000_000_000n);
  return stamp === undefined
    ? { value: BigInt(parseDuration(text)), absolute: false }
    : { value: stamp, absolute: true, ...(cycles === undefined ? {} : { cycles }) };
}

/** An end of a stretch of time; `share` of the whole, from 0 to 1, until that is known. */
type End = Moment | { share: number } | undefined;
export type Stretch = { from: End; to: End };

/** For commander: `FROM,TO`, either of which may be left out, or `10%-20%`. */
function parseStretch(text: string): Stretch {
  const shares = /^(\d{1,3}(?:\.\d{1,6})?)%-(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text.trim());
  if (shares !== null) {
    const [from, to] = [Number(shares[1]) / 100, Number(shares[2]) / 100];
    if (from < to && to <= 1) return { from: { share: from }, to: { share: to } };
  }
  const ends = text.split(',').map((end) => end.trim());
  if (ends.length !== 2 || ends.every((end) => end === ''))
    throw new InvalidArgumentError(
      'Expected two moments, either of which may be left out: 1.5s,2.5s or ,200ms; or shares of the whole: 10%-20%.',
    );
  const [from, to] = ends.map((end) => (end === '' ? undefined : parseMoment(end)));
  return { from, to };
}
