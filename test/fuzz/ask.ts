import { CommanderError } from 'commander';
import { withForesight } from '../../src/analyse/foresight.ts';
import { UsageError } from '../../src/analyse/usage-error.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { openTrace } from '../../src/formats/detect.ts';
import { LiveError } from '../../src/live/live-error.ts';
import { TraceError } from '../../src/trace/error.ts';

/** Command lines: INPUT stands for the mutant, SOUND for a recording that is whole, OUT for a file to write. */
export const commandLines: readonly string[] = [
  'events INPUT',
  'events INPUT --json',
  'exits INPUT --heatmap --slow 5 --breakdown',
  'exits INPUT --json --by rip',
  'exits INPUT --by vcpu --csv',
  'vcpus INPUT --timeline',
  'vcpus INPUT --json',
  'leaks INPUT',
  'leaks INPUT --json',
  'requests INPUT --heatmap --slow 5',
  'requests INPUT --json',
  'locks INPUT',
  'locks INPUT --json --slow 5',
  'dump INPUT --head 400',
  'dump INPUT --json --head 400',
  'dump INPUT --csv --head 400 --filter cpu==0&&tid>3',
  'pairs INPUT --from sched_switch --to sched_switch --by cpu',
  'pairs INPUT --from kvm_exit --to kvm_entry --by tid --json',
  'pairs INPUT --from virtqueue_pop --to virtqueue_fill --by vq,elem --group vq',
  'spans exits INPUT --json',
  'spans states INPUT --by vcpu,state',
  'spans waits INPUT --json',
  'diff INPUT SOUND',
  'report INPUT',
  'report INPUT --json',
  'export INPUT --to csv',
  'export INPUT --to perfetto -o OUT --force',
  'export INPUT --to parquet -o OUT --force',
  'export INPUT --to hdr',
  'run examples/kvmexits.ts INPUT',
  'events INPUT SOUND',
  'exits INPUT SOUND --json',
];

/** What went wrong: a kind, and what tells one fault from another. */
export type Fault = { kind: string; signature: string; detail: string };

/** Asks one command line, in this process. Gives what of its behaviour no input may cause. */
export async function ask(args: readonly string[]): Promise<Fault | undefined> {
  const out: string[] = [];
  const err: string[] = [];
  const { stdout, stderr } = process;
  const [writeOut, writeErr] = [stdout.write, stderr.write];
  const into = (parts: string[]) =>
    ((text: string | Uint8Array, ...rest: unknown[]) => {
      parts.push(typeof text === 'string' ? text : Buffer.from(text).toString());
      const last = rest.at(-1);
      if (typeof last === 'function') queueMicrotask(() => last());
      return true;
    }) as typeof stdout.write;
  stdout.write = into(out);
  stderr.write = into(err);
  let refused = false;
  try {
    await withForesight(async () => {
      out.length = 0;
      err.length = 0;
      await (await buildProgram(args)).parseAsync([...args], { from: 'user' });
    });
  } catch (error) {
    refused = true;
    const sentence =
      error instanceof TraceError ||
      error instanceof UsageError ||
      error instanceof LiveError ||
      error instanceof CommanderError;
    if (!sentence) return thrown(error);
    err.push((error as Error).message);
  } finally {
    stdout.write = writeOut;
    stderr.write = writeErr;
    process.exitCode = 0;
  }
  const text = out.join('');
  const said = text + err.join('');
  const word = /(?<![\w.])(NaN|undefined|\[object Object\])(?![\w.])/.exec(args.includes('dump') ? '' : said);
  if (word !== null) return odd('word', word[0], said, word.index);
  if (args.includes('--json') && !refused) {
    try {
      JSON.parse(text);
    } catch (error) {
      return { kind: 'json', signature: `json ${args[0]}`, detail: (error as Error).message };
    }
  }
  if (refused && err.join('').trim() === '') return { kind: 'silent', signature: `silent ${args[0]}`, detail: '' };
  const control = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]/.exec(text);
  if (control !== null && !args.includes('export')) {
    return odd('control', `U+${control[0].charCodeAt(0).toString(16)}`, text, control.index);
  }
  return undefined;
}

/** The fault that an exception is. */
export function thrown(error: unknown): Fault {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const frame = /\/(src\/[^:)]+:\d+)/.exec(stack)?.[1] ?? '';
  const message = String((error as Error).message ?? error).split('\n', 1)[0] as string;
  return { kind: 'exception', signature: `${frame} ${message.replace(/\d+/g, 'N').slice(0, 100)}`, detail: stack };
}

function odd(kind: string, what: string, text: string, at: number): Fault {
  const line = text.slice(0, at).lastIndexOf('\n') + 1;
  const around = text.slice(Math.max(line, at - 60), at + 40);
  return { kind, signature: `${kind} ${what} ${around.replace(/[\d.,]+/g, 'N').slice(0, 60)}`, detail: around };
}

/** What a file answers: its events, and whether it says that it may be a part. */
export type Events = { lines: string[]; partial: boolean; format: string };

/** The events of a file as lines; undefined where it is refused. */
export async function eventsOf(path: string): Promise<Events | undefined> {
  let trace: Awaited<ReturnType<typeof openTrace>>;
  try {
    trace = await openTrace(path);
  } catch (error) {
    if (error instanceof TraceError) return undefined;
    throw error;
  }
  const lines: string[] = [];
  let holes = 0;
  try {
    for await (const b of trace.batches()) {
      holes += b.losses.length;
      for (let i = 0; i < b.count; i++) {
        const type = trace.types[b.type[i] as number];
        const time = trace.origin + BigInt(b.time[i] as number);
        lines.push(`${time} ${type?.name} ${b.tid[i]} ${b.cpu[i]} ${type?.layout.print(b, i)}`);
      }
    }
  } finally {
    await trace.close();
  }
  const partial = trace.damage !== undefined || trace.notes.some((note) => /left out|no end|cut/.test(note));
  return { lines, partial: partial || holes > 0, format: trace.format };
}

/** What is wrong with the answer of a copy that was cut short. */
export function cutFault(whole: Events, cut: Events | undefined): Fault | undefined {
  if (cut === undefined || cut.partial) return undefined;
  // perf's events of different CPUs come together only where more of the file is read.
  const beginning = cut.lines.every((line, i) => line === whole.lines[i]);
  const all = new Set(whole.lines);
  const odd = cut.lines.find((line, i) => (cut.format === 'perf.data' ? !all.has(line) : line !== whole.lines[i]));
  if (beginning || odd === undefined) return undefined;
  return { kind: 'cut', signature: `cut ${cut.format}`, detail: `an event that the whole does not have there: ${odd}` };
}
