import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import type { Fault } from './ask.ts';
import type { Message, Parts } from './child.ts';

/*
 * npm run fuzz -- --minutes 30: mutants of recordings of every format, given to every command, in a process that may take so much time
 * and memory and no more. What it finds stands in a folder each: the recording, made as small as it gets, the command line, and what went
 * wrong. How many were tried of which state of the sources is added up in totals.json.
 */

/** How long a mutant may take before the process is ended (ms), and how much memory V8 may take (MiB). */
const patience = 60_000;
const heap = 512;
/** Mutants that one process tries: what it holds on to goes with it. */
const mostPerChild = 30_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    mutants: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    out: { type: 'string', default: 'fuzz-findings' },
  },
});
const until = performance.now() + Number(values.minutes) * 60_000;
const most = Number(values.mutants);
const out = values.out;
mkdirSync(out, { recursive: true });
const shm = '/dev/shm';
const place = mkdtempSync(join(existsSync(shm) ? shm : tmpdir(), 'virtap-fuzz-'));
process.on('exit', () => rmSync(place, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
const child = join(import.meta.dirname, 'child.ts');
const began = performance.now();
/** How often each fault was met. */
const faults = new Map<string, number>();
let before = 0;

/** What was tried in all, and of which state of the sources. */
type Totals = { mutants: number; seconds: number; commands: Record<string, number>; of: Record<string, number> };
const totalsFile = join(out, 'totals.json');
const totals: Totals = existsSync(totalsFile)
  ? (JSON.parse(readFileSync(totalsFile, 'utf8')) as Totals)
  : { mutants: 0, seconds: 0, commands: {}, of: {} };
const sources =
  git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '../../src') === '' ? '' : ' and changes');

for (let run = 0; performance.now() < until && before < most; run++) await runChild(Number(values.seed) + run);
report('done');
process.exitCode = faults.size > 0 ? 1 : 0;

/** What git says; '' where the sources are no clone. */
function git(...args: string[]): string {
  return spawnSync('git', args, { encoding: 'utf8', cwd: import.meta.dirname }).stdout?.trim() ?? '';
}

/** One child, to the end of the time, of its mutants or of its life. */
async function runChild(seed: number): Promise<void> {
  // Less work for the garbage collector: most of what a command allocates is gone when it ends.
  const execArgv = [
    `--max-old-space-size=${heap}`,
    '--max-semi-space-size=64',
    '--min-semi-space-size=64',
    '--no-incremental-marking',
    '--no-warnings',
  ];
  const folder = mkdtempSync(join(place, 'child-'));
  const running: ChildProcess = fork(child, [folder, String(seed)], {
    execArgv,
    // Else glibc keeps what it is given back, for each thread.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let state: { mutants: number; commands: Record<string, number> } = { mutants: 0, commands: {} };
  const started = performance.now();
  let heard = started;
  let told = 0;
  let planned = false;
  const end = () => {
    planned = true;
    running.kill('SIGKILL');
  };
  let stderr = '';
  running.stderr?.on('data', (text: Buffer) => {
    stderr = (stderr + text).slice(-4000);
  });
  running.on('message', (message: Message) => {
    heard = performance.now();
    if (planned) return;
    if (message.type === 'state') {
      state = message;
      if (heard - told > 30_000) {
        told = heard;
        report(`${before + state.mutants} mutants, ${message.pool} inputs, ${message.said} things said`);
        add(totalsWith(state, started));
      }
      if (state.mutants >= mostPerChild || heard > until || before + state.mutants >= most) end();
    } else {
      found(message.fault, message.parts, message.args);
      heard = performance.now();
      if (message.fault.kind === 'memory') end();
    }
  });
  const watch = setInterval(() => {
    if (performance.now() - heard > patience && !planned) running.kill('SIGKILL');
  }, 1000);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    running.on('exit', (...how) => resolve(how)),
  );
  clearInterval(watch);
  before += state.mutants;
  Object.assign(totals, totalsWith(state, started));
  add(totals);
  if (!planned) {
    if (!existsSync(join(folder, 'args'))) throw new Error(`no mutant could be tried: ${stderr}`);
    const how = signal === 'SIGKILL' ? 'hang' : 'crash';
    const last = /\S.*Error.*|FATAL.*/.exec(stderr)?.[0] ?? `${code ?? signal}`;
    const args = JSON.parse(readFileSync(join(folder, 'args'), 'utf8')) as string[];
    const fault = { kind: how, signature: `${how} ${args[0]} ${how === 'hang' ? '' : last}`, detail: stderr };
    found(fault, laid(join(folder, 'input')), args);
  }
  rmSync(folder, { recursive: true, force: true });
}

/** The totals with what a child did. */
function totalsWith(
  { mutants, commands }: { mutants: number; commands: Record<string, number> },
  since: number,
): Totals {
  const sum = { ...totals.commands };
  for (const [command, count] of Object.entries(commands)) sum[command] = (sum[command] ?? 0) + count;
  return {
    mutants: totals.mutants + mutants,
    seconds: totals.seconds + Math.round((performance.now() - since) / 1000),
    commands: sum,
    of: { ...totals.of, [sources]: (totals.of[sources] ?? 0) + mutants },
  };
}

function add(all: Totals): void {
  writeFileSync(totalsFile, `${JSON.stringify(all, undefined, 2)}\n`);
}

/** The recording that stands at a path. */
function laid(path: string): Parts {
  if (!existsSync(path)) return {};
  if (!statSync(path).isDirectory()) return { '': readFileSync(path).toString('base64') };
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [relative(path, file), readFileSync(file).toString('base64')];
    }),
  );
}

/** Writes down a fault that is new, with a recording as small as it gets. */
function found(fault: Fault, parts: Parts, args: string[]): void {
  const times = (faults.get(fault.signature) ?? 0) + 1;
  faults.set(fault.signature, times);
  if (times > 1) return;
  const name = `${fault.kind}-${createHash('sha256').update(fault.signature).digest('hex').slice(0, 8)}`;
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const write = (some: Parts) => {
    writeFileSync(join(folder, 'parts.json'), JSON.stringify(some));
    for (const [part, text] of Object.entries(some))
      writeFileSync(
        join(folder, part === '' ? 'input' : `input-${part.replaceAll('/', '_')}`),
        Buffer.from(text, 'base64'),
      );
  };
  write(parts);
  writeFileSync(join(folder, 'fault.txt'), `${args.join(' ')}\n\n${fault.signature}\n\n${fault.detail}\n`);
  if (!again(parts, fault, args, folder)) {
    faults.set(fault.signature, 0);
    if (fault.kind !== 'exception') {
      // A busy machine, or what others left in the process.
      report(`not again in a process of its own: ${fault.signature} ${fault.detail.slice(-300)}`);
      rmSync(folder, { recursive: true });
      faults.delete(fault.signature);
      return;
    }
  }
  report(`found ${name}: ${fault.signature}`);
  write(minimise(parts, fault, args, folder));
}

/** Whether the fault is there in a process of its own, too. */
function again(parts: Parts, fault: Fault, args: string[], folder: string): boolean {
  const path = join(folder, 'smaller');
  writeFileSync(path, JSON.stringify(parts));
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--no-warnings', child, mkdtempSync(join(place, 'check-')), '--check', path, ...args],
    { timeout: 30_000, encoding: 'utf8' },
  );
  rmSync(path, { force: true });
  if (fault.kind === 'hang') return status === null || status === 9;
  if (fault.kind === 'crash') return status !== 0 && status !== 9;
  return status === 9 && (JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Fault).kind === fault.kind;
}

/** Leaves out what the fault does not need, for half a minute. */
function minimise(parts: Parts, fault: Fault, args: string[], folder: string): Parts {
  // Of a cut, the place says as much as the bytes; what hangs takes too long to be tried often.
  if (args[0] === 'cut' || fault.kind === 'hang') return parts;
  const deadline = performance.now() + 20_000;
  let small = parts;
  for (const name of Object.keys(parts)) {
    let bytes = Buffer.from(parts[name] ?? '', 'base64');
    for (let size = bytes.length >> 1; size >= 1 && performance.now() < deadline; size >>= 1) {
      for (let at = 0; at < bytes.length && performance.now() < deadline; ) {
        const less = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
        const other = { ...small, [name]: less.toString('base64') };
        if (less.length < bytes.length && again(other, fault, args, folder)) [bytes, small] = [less, other];
        else at += size;
      }
    }
  }
  return small;
}

function report(what: string): void {
  const minutes = (performance.now() - began) / 60_000;
  const rate = (before / minutes / 60).toFixed(0);
  process.stdout.write(`${minutes.toFixed(1)} min: ${what}; ${before} before (${rate}/s), ${faults.size} faults\n`);
}
