import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Fault } from './ask.ts';
import type { Message } from './child.ts';

/*
 * npm run fuzz -- --minutes 30: mutants of recordings of every format, given to every command, in a process that may take so much time
 * and memory and no more. What it finds stands in a folder each: the input, made as small as it gets, the command line, and what went wrong.
 */

/** How long a mutant may take before the process is ended (ms), and how much memory V8 may take (MiB). */
const patience = 40_000;
const heap = 512;
/** Mutants that one process tries: what it holds on to goes with it. */
const mostPerChild = 20_000;

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
const current = join(out, 'current');
const child = join(import.meta.dirname, 'child.ts');
const began = performance.now();
/** How often each fault was met. */
const faults = new Map<string, number>();
let before = 0;
let reached = 0;

for (let run = 0; performance.now() < until && before < most; run++) await runChild(Number(values.seed) + run);
for (const ending of ['input', 'args']) rmSync(`${current}.${ending}`, { force: true });
report('done');
process.exitCode = faults.size > 0 ? 1 : 0;

/** One child, to the end of the time, of its mutants or of its life. */
async function runChild(seed: number): Promise<void> {
  const execArgv = [`--max-old-space-size=${heap}`, '--no-warnings'];
  const env = { ...process.env, VIRTAP_FUZZ_CURRENT: current };
  const running: ChildProcess = fork(child, [String(seed)], {
    execArgv,
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let mutants = 0;
  let heard = performance.now();
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
    if (message.type === 'state') {
      mutants = message.mutants;
      reached = Math.max(reached, message.reached);
      if (heard - told > 30_000) {
        told = heard;
        report(`${before + mutants} mutants, ${message.pool} inputs`);
      }
      if (mutants >= mostPerChild || heard > until || before + mutants >= most) end();
    } else {
      found(message.fault, Buffer.from(message.bytes, 'base64'), message.args);
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
  before += mutants;
  if (planned) return;
  if (!existsSync(`${current}.args`)) throw new Error(`no mutant could be tried: ${stderr}`);
  const how = signal === 'SIGKILL' ? 'hang' : 'crash';
  const last = /\S.*Error.*|FATAL.*/.exec(stderr)?.[0] ?? `${code ?? signal}`;
  const args = JSON.parse(readFileSync(`${current}.args`, 'utf8')) as string[];
  const fault = { kind: how, signature: `${how} ${args[0]} ${how === 'hang' ? '' : last}`, detail: stderr };
  found(fault, readFileSync(`${current}.input`), args);
}

/** Writes down a fault that is new, with an input as small as it gets. */
function found(fault: Fault, bytes: Buffer, args: string[]): void {
  const times = (faults.get(fault.signature) ?? 0) + 1;
  faults.set(fault.signature, times);
  if (times > 1) return;
  const name = `${fault.kind}-${createHash('sha256').update(fault.signature).digest('hex').slice(0, 8)}`;
  const folder = join(out, name);
  mkdirSync(folder, { recursive: true });
  const write = (small: Buffer) => writeFileSync(join(folder, 'input'), small);
  write(bytes);
  writeFileSync(join(folder, 'fault.txt'), `${args.join(' ')}\n\n${fault.signature}\n\n${fault.detail}\n`);
  report(`found ${name}: ${fault.signature}`);
  const small = minimise(bytes, fault, args, folder);
  write(small);
}

/** Leaves out what the fault does not need, for half a minute. */
function minimise(bytes: Buffer, fault: Fault, args: string[], folder: string): Buffer {
  // Of a cut, the place says as much as the bytes; what hangs takes too long to be tried often.
  if (args[0] === 'cut' || fault.kind === 'hang') return bytes;
  const deadline = performance.now() + 30_000;
  const path = join(folder, 'smaller');
  const same = (some: Buffer): boolean => {
    writeFileSync(path, some);
    const { stdout, status } = spawnSync(process.execPath, ['--no-warnings', child, '--check', path, ...args], {
      timeout: 20_000,
      encoding: 'utf8',
    });
    if (fault.kind === 'crash') return status !== 0 && status !== 9;
    return status === 9 && (JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Fault).kind === fault.kind;
  };
  let small = bytes;
  for (let size = bytes.length >> 1; size >= 1 && performance.now() < deadline; size >>= 1) {
    for (let at = 0; at < small.length && performance.now() < deadline; ) {
      const less = Buffer.concat([small.subarray(0, at), small.subarray(at + size)]);
      if (less.length < small.length && same(less)) small = less;
      else at += size;
    }
  }
  rmSync(path, { force: true });
  return small;
}

function report(what: string): void {
  const minutes = (performance.now() - began) / 60_000;
  const rate = (before / minutes / 60).toFixed(0);
  const kinds = `${faults.size} faults`;
  process.stdout.write(
    `${minutes.toFixed(1)} min: ${what}; ${before} before (${rate}/s), ${reached} places reached, ${kinds}\n`,
  );
}
