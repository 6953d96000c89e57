import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mutate, random } from '../mutate.ts';
import { ask, commandLines, cutFault, type Events, eventsOf, type Fault, thrown } from './ask.ts';
import { seeds, unpacked } from './seeds.ts';

/*
 * The process that mutants are tried in: `child.ts SEED` tries one after the other, `child.ts --check FILE ARGS…` one again.
 * A mutant that reaches code that none before it reached joins those that mutants are made of: V8 tells of it.
 */

/** What a child tells its parent. */
export type Message =
  | { type: 'state'; mutants: number; reached: number; pool: number }
  | { type: 'fault'; fault: Fault; args: string[]; bytes: string };

/** Longest inputs that mutants are made of, and most of them. */
const longest = 96 << 10;
const mostInputs = 3000;
/** Mutants after which it is asked which code they reached: asking takes longer than a mutant does. */
const group = 6;
/** Time of this process that no command may take for a mutant, in s, and memory in KiB. */
const mostTime = 4;
const mostMemory = 700 << 10;

const root = join(import.meta.dirname, '..', '..');
const shm = '/dev/shm';
const folder = mkdtempSync(join(existsSync(shm) ? shm : tmpdir(), 'virtap-fuzz-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.chdir(root);
// Nobody hears a child whose parent is gone.
process.on('disconnect', () => process.exit());
const sound = join(root, 'test/data/trace-dat/lost-v7.dat');

/** Tries one input again: tells of its fault, and ends with status 9 where there is one. */
async function check(path: string, args: string[]): Promise<void> {
  const fault = await faultOf(readFileSync(path), args);
  if (fault !== undefined) {
    process.stdout.write(`${JSON.stringify(fault)}\n`);
    process.exit(9);
  }
  process.exit(0);
}

/** The fault of an input with a command line, whose INPUT it is; of `cut OFFSET`, with a copy that ends there. */
async function faultOf(bytes: Buffer, args: readonly string[]): Promise<Fault | undefined> {
  const input = join(folder, 'input');
  writeFileSync(input, bytes);
  const began = process.cpuUsage();
  let fault: Fault | undefined;
  try {
    if (args[0] === 'cut') {
      const whole = await eventsOf(input);
      writeFileSync(input, bytes.subarray(0, Number(args[1])));
      fault = whole === undefined ? undefined : cutFault(whole, await eventsOf(input));
    } else {
      const places: Record<string, string> = { INPUT: input, SOUND: sound, OUT: join(folder, 'out') };
      fault = await ask(args.map((arg) => places[arg] ?? arg));
    }
  } catch (error) {
    fault = thrown(error);
  }
  const seconds = process.cpuUsage(began).user / 1e6;
  if (fault === undefined && seconds > mostTime)
    fault = { kind: 'slow', signature: `slow ${args[0]}`, detail: `${seconds} s` };
  if (fault === undefined && process.resourceUsage().maxRSS > mostMemory)
    fault = { kind: 'memory', signature: `memory ${args[0]}`, detail: `${process.resourceUsage().maxRSS >> 10} MiB` };
  return fault;
}

async function tryOn(seed: number): Promise<void> {
  const below = random(Math.imul(seed, 0x9e3779b1) | 1);
  const all = seeds();
  const pool = all.map(({ bytes }) => bytes);
  const wholes = all
    .filter((one) => one.sound)
    .map(({ bytes }) => ({ bytes, events: undefined as Events | undefined }));
  const coverage = new Coverage();
  const current = process.env.VIRTAP_FUZZ_CURRENT;
  const tell = (message: Message) => process.send?.(message);
  let lately: Buffer[] = [];
  let mutants = 0;
  let told = performance.now();
  for (;;) {
    let bytes: Buffer;
    let args: string[];
    if (below(12) === 0) {
      const whole = wholes[below(wholes.length)] as (typeof wholes)[number];
      bytes = whole.bytes;
      args = ['cut', String(below(bytes.length))];
    } else {
      bytes = mutant(pool, below);
      args = (commandLines[below(commandLines.length)] as string).split(' ');
      // Most with the least memory: what is reserved costs more time than what small inputs take.
      if (below(4) !== 0) args.push('--max-memory', '100M');
    }
    // What is being tried, for the parent, should this process not live to tell.
    if (current !== undefined) {
      writeFileSync(`${current}.input`, bytes);
      writeFileSync(`${current}.args`, JSON.stringify(args));
    }
    const fault = await faultOf(bytes, args);
    mutants++;
    if (fault !== undefined) tell({ type: 'fault', fault, args, bytes: bytes.toString('base64') });
    if (fault?.kind === 'memory') return;
    if (args[0] !== 'cut' && bytes.length <= longest) lately.push(bytes);
    if (mutants % group === 0) {
      const grown = coverage.grew() ? lately : [];
      lately = [];
      for (const one of grown) {
        if (pool.length < mostInputs) pool.push(one);
        else pool[all.length + below(mostInputs - all.length)] = one;
      }
    }
    if (performance.now() - told > 1000) {
      told = performance.now();
      tell({ type: 'state', mutants, reached: coverage.size, pool: pool.length });
    }
  }
}

/** A new input, of one or two of those that there are. */
function mutant(pool: readonly Buffer[], below: (n: number) => number): Buffer {
  const from = pool[below(pool.length)] as Buffer;
  const { inside, pack } = unpacked(from);
  const deep = inside !== from && below(4) !== 0;
  let bytes = deep ? inside : from;
  if (below(8) === 0) {
    // The beginning of one and the end of another.
    const other = unpacked(pool[below(pool.length)] as Buffer).inside;
    bytes = Buffer.concat([bytes.subarray(0, below(bytes.length + 1)), other.subarray(below(other.length + 1))]);
  }
  bytes = Buffer.from(mutate(bytes, below));
  if (isText(bytes) && below(2) === 0) bytes = Buffer.from(mutateText(bytes.toString('latin1'), below), 'latin1');
  return deep ? pack(bytes) : bytes;
}

function isText(bytes: Buffer): boolean {
  return bytes.length > 0 && bytes.subarray(0, 512).every((byte) => byte >= 0x20 || byte === 0x0a || byte === 0x09);
}

const numbers = ['0', '-1', '18446744073709551615', '4294967296', '9007199254740993', '0xffffffffffffffff', '1e9', ''];

/** Lines moved, doubled and left out, and numbers that are odd. */
function mutateText(text: string, below: (n: number) => number): string {
  const lines = text.split('\n');
  const at = below(lines.length);
  const line = lines[at] as string;
  switch (below(4)) {
    case 0:
      lines.splice(at, 1, line, ...Array<string>(1 + below(50)).fill(line));
      break;
    case 1:
      lines.splice(at, 1);
      break;
    case 2:
      lines.splice(below(lines.length), 0, ...lines.splice(at, 1 + below(5)));
      break;
    default: {
      const found = [...line.matchAll(/(0x)?[\da-f]+/g)];
      const one = found[below(Math.max(found.length, 1))];
      if (one !== undefined)
        lines[at] = line.slice(0, one.index) + numbers[below(numbers.length)] + line.slice(one.index + one[0].length);
    }
  }
  return lines.join('\n');
}

/** Which code ran at least once, as V8 tells: mostly what is new, so that it costs little once most is known. */
class Coverage {
  readonly #seen = new Set<string>();
  readonly #session = new Session();

  get size(): number {
    return this.#seen.size;
  }

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  }

  /** Whether code ran that had not run before. */
  grew(): boolean {
    const before = this.size;
    this.#session.post('Profiler.takePreciseCoverage', (_, { result }) => {
      for (const { url, functions } of result) {
        if (!url.includes('/src/')) continue;
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            if (count > 0) this.#seen.add(`${url} ${startOffset} ${endOffset}`);
          }
        }
      }
    });
    return this.size > before;
  }
}

const [first = '1', ...rest] = process.argv.slice(2);
if (first === '--check') await check(rest[0] as string, rest.slice(1));
else await tryOn(Number(first));
