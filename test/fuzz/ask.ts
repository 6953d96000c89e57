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
  'events INPUT --csv --fail-if count(event:kvm_exit)>3',
  'exits INPUT --heatmap --slow 5 --breakdown',
  'exits INPUT --json --by rip',
  'exits INPUT --by vcpu --csv',
  'exits INPUT --in-guest --from 10us',
  'exits INPUT --json --by port --heatmap --slow 3 --breakdown --to 1ms',
  'exits INPUT --fail-if p99(exit:io)>1us --tsc-mhz 2000 --exclude hlt --sort max',
  'vcpus INPUT --timeline',
  'vcpus INPUT --json',
  'vcpus INPUT --csv --from 5us --to 50us',
  'leaks INPUT --all',
  'leaks INPUT --json',
  'leaks INPUT --csv',
  'requests INPUT --heatmap --slow 5',
  'requests INPUT --json',
  'requests INPUT --csv --rank path --sort p99',
  'locks INPUT --heatmap --holds',
  'locks INPUT --json --slow 5',
  'locks INPUT --csv --bql 0x55d0',
  'dump INPUT --head 400',
  'dump INPUT --json --head 400',
  'dump INPUT --csv --head 400 --filter cpu==0&&tid>3',
  'pairs INPUT --from sched_switch --to sched_switch --by cpu',
  'pairs INPUT --from kvm_exit --to kvm_entry --by tid --json',
  'pairs INPUT --from kvm_exit --to kvm_entry --by tid --group from.exit_reason --heatmap --slow 3 --breakdown',
  'pairs INPUT --from virtqueue_pop --to virtqueue_fill --by vq,elem --group vq',
  'spans exits INPUT --json',
  'spans states INPUT --by vcpu,state',
  'spans waits INPUT --json',
  'spans requests INPUT --heatmap --slow 4',
  'spans holds INPUT --csv',
  'diff INPUT SOUND',
  'diff SOUND INPUT --json',
  'report INPUT',
  'report INPUT --json',
  'report INPUT --svg OUT --force',
  'export INPUT --format csv',
  'export INPUT --format jsonl',
  'export INPUT --format perfetto -o OUT --force',
  'export INPUT --format parquet -o OUT --force',
  'export INPUT --format hdr',
  'export INPUT --format ctf -e *:* -o OUTFOLDER --force',
  'export INPUT --format ftrace',
  'export INPUT --format perf-script',
  'run examples/kvmexits.ts INPUT',
  'events INPUT SOUND',
  'exits INPUT SOUND --json',
  'events INPUT SOUND --align auto',
  'exits SOUND INPUT --offset input=1ms',
  'types INPUT',
];

/** What went wrong: a kind, and what tells one fault from another. */
export type Fault = { kind: string; signature: string; detail: string };

/** What a command did: what was wrong with it, and what it said, without numbers, for telling new behaviour from old. */
export type Asked = { fault: Fault | undefined; said: string };

const out: string[] = [];
const err: string[] = [];

/** Takes what is written from here on. */
export function listen(): void {
  const into = (parts: string[]) =>
    ((text: string | Uint8Array, ...rest: unknown[]) => {
      parts.push(typeof text === 'string' ? text : Buffer.from(text).toString());
      const last = rest.at(-1);
      if (typeof last === 'function') queueMicrotask(() => last());
      return true;
    }) as typeof process.stdout.write;
  process.stdout.write = into(out);
  process.stderr.write = into(err);
}

/** All control characters but line ends, and what hides, reverses or separates text. */
const unsafe = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}\ufffe\uffff]/u;

/** Asks one command line, in this process that listens. Gives what of its behaviour no input may cause. */
export async function ask(args: readonly string[]): Promise<Asked> {
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
    if (!sentence) return { fault: thrown(error), said: '' };
    // As `complain` prints it, which escapes it: see the tests of hostile names.
    err.push(error.message.replace(/[^ -~]/g, '?'));
  } finally {
    process.exitCode = 0;
  }
  const text = out.join('');
  const errors = err.join('');
  return { fault: faultIn(args, text, errors, refused), said: errors };
}

function faultIn(args: readonly string[], text: string, errors: string, refused: boolean): Fault | undefined {
  for (const said of [text, errors]) {
    // A float of a CTF trace may be none.
    const word = /(?<![\w.])(?<!(small|large)(=|","?|":"))(NaN|undefined|\[object Object\])(?![\w.])/.exec(said);
    if (word !== null) return odd('word', word[0], said, word.index);
  }
  if (args.includes('--json') && !refused) {
    try {
      JSON.parse(text);
    } catch (error) {
      return { kind: 'json', signature: `json ${args[0]}`, detail: (error as Error).message };
    }
  }
  if (refused && errors.trim() === '') return { kind: 'silent', signature: `silent ${args[0]}`, detail: '' };
  for (const said of [text, errors]) {
    const control = unsafe.exec(said);
    if (control !== null) return odd('control', `U+${control[0].charCodeAt(0).toString(16)}`, said, control.index);
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
  return { kind, signature: `${kind} ${what} ${around.replace(/[\d.,]+/g, 'N').slice(0, 30)}`, detail: around };
}

/** What a file answers: its events, and whether it says that it may be a part. */
export type Events = { lines: string[]; partial: boolean; format: string };

/** The events of a recording as lines; undefined where it is refused. */
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

/** Formats whose events of different CPUs come together only where more of the recording is read. */
const merged = new Set(['perf.data', 'CTF', 'raw ring buffer', 'Perfetto']);

/** Reads a recording to its end as the library does, with every event's text and fields, and gives what was said of it. */
export async function readAll(path: string): Promise<Asked> {
  const said: string[] = [];
  let trace: Awaited<ReturnType<typeof openTrace>>;
  try {
    trace = await openTrace(path);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return { fault: undefined, said: error.message };
  }
  let fault: Fault | undefined;
  const found = (what: string) => {
    fault ??= { kind: 'read', signature: `read ${trace.format} ${what.replace(/[\d.]+/g, 'N')}`, detail: what };
  };
  try {
    let last = Number.NEGATIVE_INFINITY;
    for await (const batch of trace.batches()) {
      for (let i = 0; i < batch.count; i++) {
        const time = batch.time[i] as number;
        if (!(time >= last)) found(`time goes from ${last} to ${time}`);
        last = time;
        const type = trace.types[batch.type[i] as number];
        if (type === undefined) {
          found('an event without a type');
          continue;
        }
        const text = type.layout.print(batch, i);
        // A float of a CTF trace may be none.
        if (trace.format !== 'CTF' && /\b(NaN|undefined)\b/.test(text)) found(`${type.name}: ${text}`);
        for (const { name } of type.fields) type.reader(name)?.text(batch, i);
      }
    }
    said.push(trace.damage?.message ?? '', ...trace.notes);
  } finally {
    await trace.close();
  }
  return { fault, said: said.join('\n') };
}

/** What is wrong with the answer of a copy that was cut short. */
export function cutFault(whole: Events, cut: Events | undefined): Fault | undefined {
  if (cut === undefined || cut.partial) return undefined;
  const all = new Set(whole.lines);
  const apart = merged.has(cut.format);
  const odd = cut.lines.find((line, i) => (apart ? !all.has(line) : line !== whole.lines[i]));
  if (odd === undefined) return undefined;
  return { kind: 'cut', signature: `cut ${cut.format}`, detail: `an event that the whole does not have there: ${odd}` };
}
