import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OpenOptions } from '../formats/detect.ts';
import type { ColorChoice } from '../report/terminal.ts';
import type { Moment, RunOptions } from './run.ts';

/** The options that every command on trace files has, as commander hands them over. */
export type TraceOptions = {
  json?: true;
  csv?: true;
  color: ColorChoice;
  from?: Moment | undefined;
  to?: Moment | undefined;
  traceEvents?: string;
};

/** Gives a command its FILE arguments, the shared options, and examples at the end of its help. `range` names the options for a part of the time. */
export function traceCommand(
  command: Command,
  examples: readonly [line: string, what: string][],
  range = { from: '--from', to: '--to' },
): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  return command
    .argument('<file...>', 'trace files of any format, also .gz and .zst; - is standard input')
    .option('--json', 'print JSON (docs/json.md)')
    .addOption(new Option('--csv', 'print CSV').conflicts('json'))
    .addOption(
      new Option('--color <when>', 'colour the output')
        .choices(['auto', 'always', 'never'])
        .default('auto' as ColorChoice),
    )
    .option(
      `${range.from} <time>`,
      'leave out events before: 1.5s, 200ms from the first event, or a time stamp',
      parseMoment,
    )
    .option(`${range.to} <time>`, 'leave out events after', parseMoment)
    .option('--trace-events <file>', "QEMU's trace-events-all, which names the arguments in simpletrace files")
    .addHelpText(
      'after',
      `\nExamples:\n${examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`).join('\n')}`,
    );
}

/** What of the options says how to open the files. */
export function openOptions(options: Pick<TraceOptions, 'traceEvents'>): OpenOptions {
  return { traceEvents: options.traceEvents };
}

/** What of the options says how to read them. */
export function runOptions(options: Pick<TraceOptions, 'from' | 'to'>): RunOptions {
  return { from: options.from, to: options.to };
}

const unitNs: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
};

/** For commander: a length of time with its unit (`1ms`, `2.5 s`, `100us`), in ns. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+) ?([a-zµμ]+)$/.exec(text.trim());
  const unit = unitNs[match?.[2] ?? ''];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('Expected a length of time with a unit: 250ns, 100us, 1.5ms, 2s.');
  }
  return Math.round(Number(match[1]) * unit);
}

/** For commander: a whole number, 1 or more. */
export function parseCount(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1 || !Number.isSafeInteger(Number(text))) {
    throw new InvalidArgumentError('Expected a whole number, 1 or more.');
  }
  return Number(text);
}

/** For commander: a whole number or several (`0,2,4-6`), collected over repetitions of the option. */
export function parseNumbers(text: string, previous: readonly number[] = []): number[] {
  const numbers = [...previous];
  for (const part of text.split(',')) {
    const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last < first || last - first > 65535) {
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
  const stamp = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (stamp === null) return { value: BigInt(parseDuration(text)), absolute: false };
  const [, seconds, decimals] = stamp as unknown as [string, string, string | undefined];
  return { value: BigInt(seconds + (decimals ?? '').padEnd(9, '0')), absolute: true };
}
