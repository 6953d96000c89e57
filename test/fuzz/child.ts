import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { random } from '../mutate.ts';
import { ask, commandLines, cutFault, type Events, eventsOf, type Fault, listen, readAll, thrown } from './ask.ts';
import { cut, cutAt, mutant } from './mutants.ts';
import { lay, type Recording, seeds, sizeOf } from './seeds.ts';

/*
 * The process that mutants are tried in: `child.ts FOLDER SEED` tries one after the other in a folder, `child.ts FOLDER --check PARTS ARGS…`
 * one again. A mutant about which something was said that was said of none before it joins those that mutants are made of.
 */

/** What a child tells its parent. */
export type Message =
  | { type: 'state'; mutants: number; said: number; pool: number; commands: Record<string, number> }
  | { type: 'fault'; fault: Fault; args: string[]; parts: Parts };

/** A recording as text: base64 by name, '' for the one file that it is. */
export type Parts = Record<string, string>;

/** Longest recordings that mutants are made of, and most of them. */
const longest = 12 << 10;
const mostInputs = 3000;
/** Time of this process that no command may take for a mutant, in s. */
const mostTime = 2;
/** Memory in KiB that one mutant may make a process need that tried others, and one that did not. */
const mostMemory = 900 << 10;
const mostOfOne = 450 << 10;

const [folder = '', first = '1', ...rest] = process.argv.slice(2);
const root = join(import.meta.dirname, '..', '..');
process.chdir(root);
// Nobody hears a child whose parent is gone.
process.on('disconnect', () => process.exit());
const sound = join(root, 'test/data/ftrace-text/trace-overrun.txt.gz');
const input = join(folder, 'input');
const stdout = process.stdout.write.bind(process.stdout);

export function toParts(recording: Recording): Parts {
  const files = recording instanceof Uint8Array ? [['', recording] as const] : [...recording];
  return Object.fromEntries(files.map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]));
}

function fromParts(parts: Parts): Recording {
  const files = Object.entries(parts).map(([name, text]) => [name, Buffer.from(text, 'base64')] as const);
  return files[0]?.[0] === '' ? files[0][1] : new Map(files);
}

/** Tries one again: tells of its fault, and ends with status 9 where there is one. */
async function check(path: string, args: string[]): Promise<void> {
  const recording = fromParts(JSON.parse(readFileSync(path, 'utf8')) as Parts);
  // What is slow is not so because it is the first.
  for (const more of [[], ['--json']])
    await ask([/^(cut|read)$/.test(args[0] as string) ? 'events' : (args[0] as string), sound, ...more]);
  const { fault } = await faultOf(recording, args);
  if (fault !== undefined) {
    stdout(`${JSON.stringify(fault)}\n`);
    process.exit(9);
  }
  process.exit(0);
}

/** The fault of a recording with a command line, whose INPUT it is; of `cut NAME OFFSET`, with a copy of which a part ends there. */
async function faultOf(
  recording: Recording,
  args: readonly string[],
  known?: Events,
): Promise<{ fault: Fault | undefined; said: string }> {
  const began = process.cpuUsage();
  const memory = process.resourceUsage().maxRSS;
  let asked: { fault: Fault | undefined; said: string };
  try {
    if (args[0] === 'cut') {
      let whole: Events | undefined = known;
      if (whole === undefined) {
        lay(input, recording);
        whole = await eventsOf(input);
      }
      lay(input, cutAt(recording, args[1] as string, Number(args[2])));
      asked = { fault: whole === undefined ? undefined : cutFault(whole, await eventsOf(input)), said: '' };
    } else if (args[0] === 'read') {
      lay(input, recording);
      asked = await readAll(input);
    } else {
      lay(input, recording);
      const places: Record<string, string> = {
        INPUT: input,
        SOUND: sound,
        OUT: join(folder, 'out'),
        OUTFOLDER: join(folder, 'outfolder'),
      };
      asked = await ask(args.map((arg) => places[arg] ?? arg));
    }
  } catch (error) {
    asked = { fault: thrown(error), said: '' };
  }
  const { user, system } = process.cpuUsage(began);
  const seconds = (user + system) / 1e6;
  const most = process.resourceUsage().maxRSS;
  if (asked.fault === undefined && seconds > mostTime)
    asked.fault = { kind: 'slow', signature: `slow ${args[0]}`, detail: `${seconds} s` };
  if (asked.fault === undefined && most > (first === '--check' ? mostOfOne : mostMemory) && most > memory + (32 << 10))
    asked.fault = { kind: 'memory', signature: `memory ${args[0]}`, detail: `${memory >> 10} to ${most >> 10} MiB` };
  return asked;
}

async function tryOn(seed: number): Promise<void> {
  const below = random(Math.imul(seed, 0x9e3779b1) | 1);
  const { small, large } = seeds();
  const pool = small.map(({ recording }) => recording);
  const wholes = small
    .filter((one) => one.sound)
    .map(({ recording }) => ({ recording, events: undefined as Events | undefined }));
  const known = new Set<string>();
  const commands: Record<string, number> = {};
  const tell = (message: Message) => process.send?.(message);
  let mutants = 0;
  let told = performance.now();
  for (;;) {
    let recording: Recording;
    let args: string[];
    let whole: Events | undefined;
    if (below(12) === 0) {
      const one = wholes[below(wholes.length)] as (typeof wholes)[number];
      recording = one.recording;
      if (one.events === undefined) {
        lay(input, recording);
        one.events = await eventsOf(input);
      }
      whole = one.events;
      const { name, at } = cut(recording, below);
      args = ['cut', name, String(at)];
    } else {
      const from =
        below(250) === 0
          ? (large[below(large.length)]?.recording as Recording)
          : (pool[below(pool.length)] as Recording);
      recording = mutant(from, pool[below(pool.length)] as Recording, below);
      // Most are only read, as the library reads them: that is where the bytes meet the code.
      if (below(3) !== 0) args = ['read'];
      else args = (commandLines[below(commandLines.length)] as string).split(' ');
    }
    const command = args[0] as string;
    commands[command] = (commands[command] ?? 0) + 1;
    // What is being tried, for the parent, should this process not live to tell.
    writeFileSync(join(folder, 'args'), JSON.stringify(args));
    const { fault, said } = await faultOf(recording, args, whole);
    mutants++;
    if (fault !== undefined) {
      tell({ type: 'fault', fault, args, parts: toParts(recording) });
      if (fault.kind === 'memory') return;
    } else if (command !== 'cut' && sizeOf(recording) <= longest) {
      const words = `${command} ${said.replace(/[^a-zA-Z ]+/g, '').slice(0, 400)}`;
      if (!known.has(words)) {
        if (known.size < 50_000) known.add(words);
        if (pool.length < mostInputs) pool.push(recording);
        else pool[small.length + below(mostInputs - small.length)] = recording;
      }
    }
    if (performance.now() - told > 1000) {
      told = performance.now();
      tell({ type: 'state', mutants, said: known.size, pool: pool.length, commands });
    }
  }
}

if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
listen();
if (first === '--check') await check(rest[0] as string, rest.slice(1));
else await tryOn(Number(first));
