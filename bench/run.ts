/**
 * Compares virtap with its peers, and prints the tables of README.md as Markdown: how long a short run takes; then recordings, those that are named and the largest below
 * a folder; where there are none, generated traces.
 *
 *     node bench/run.ts [--recordings FOLDER] [--generated] [--before CHECKOUT] [--events MILLIONS] [--runs N] [--memory MILLIONS,…] [--folder FOLDER] [--no-slow] [RECORDING…]
 *
 * With --before, each question about the recordings is asked of an earlier virtap, too.
 * All tools must find the same counts before any ratio is printed. Peers that are not installed are left out and named.
 * SIMPLETRACE is the path of QEMU's simpletrace.py, TRACE_EVENTS that of a trace-events-all.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createZstdDecompress } from 'node:zlib';
import { cutPerfData, generate, type Kind } from './generate.ts';

const here = import.meta.dirname;
const virtap = join(here, '..', 'virtap');

const { values: options, positionals: named } = parseArgs({
  options: {
    recordings: { type: 'string' },
    generated: { type: 'boolean' },
    before: { type: 'string' },
    events: { type: 'string', default: '10' },
    runs: { type: 'string', default: '5' },
    memory: { type: 'string', default: '1,10,50' },
    folder: { type: 'string', default: tmpdir() },
    slow: { type: 'boolean', default: true },
  },
  allowNegative: true,
  allowPositionals: true,
});
const million = 1_000_000;
const events = Number(options.events) * million;
const runs = Number(options.runs);

const folder = mkdtempSync(join(options.folder, 'virtap-bench-'));
const measure = join(folder, 'measure');
const floor = join(folder, 'floor');
const tracecmd = join(folder, 'tracecmd');
const binary = join(here, '..', 'binary', `virtap-linux-${process.arch}`);
const results = join(folder, 'result');

/** What one run of a tool took. */
type Cost = { wall: number; cpu: number; memory: number };

/** Runs a command, with its output to nowhere or to a handler. */
async function run(command: string[], output?: (chunk: Buffer) => void): Promise<Cost> {
  const [program, ...args] = [measure, results, ...command] as [string, ...string[]];
  const sink = output === undefined ? openSync('/dev/null', 'w') : 'pipe';
  const child = spawn(program, args, { stdio: ['ignore', sink, output === undefined ? sink : 'pipe'] });
  if (output !== undefined) for (const stream of [child.stdout, child.stderr]) stream?.on('data', output);
  const status = await new Promise((resolve) => child.on('close', resolve));
  const [wall, cpu, memory, exit] = readFileSync(results, 'utf8').split(' ').map(Number) as [
    number,
    number,
    number,
    number,
  ];
  // virtap ends with 3 where something leaked.
  if (status !== 0 || (exit !== 0 && exit !== 3)) throw new Error(`${command.join(' ')} ended with ${exit}`);
  return { wall: wall / 1e9, cpu: cpu / 1e6, memory: memory * 1024 };
}

/** Runs a command and gives what it printed. */
async function outputOf(command: string[]): Promise<string> {
  const chunks: Buffer[] = [];
  await run(command, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

/** Runs a command and counts its lines. */
async function linesOf(command: string[]): Promise<{ lines: number; cost: Cost }> {
  let lines = 0;
  const cost = await run(command, (chunk) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
  });
  return { lines, cost };
}

function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** By reason, `count min max` with times in µs as perf prints them. */
type Exits = Map<string, string>;

type ExitRow = { reason: string; count: number; total_ns: number; min_ns: number; max_ns: number };

async function virtapExits(file: string): Promise<ExitRow[]> {
  return JSON.parse(await outputOf([virtap, 'exits', '--json', file])).rows;
}

/** Compares what two tools found; the benchmark ends where they differ. */
function same(what: string, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what} differ:\n${a}\n${b}`);
}

/**
 * Compares the rows of two tools, which begin with a count of exits. The counts may differ by one in a thousand, which is told: perf counts a sample that stands
 * twice in the file twice, and only virtap sets aside what lost or missing events make unsure, as where a generated file repeats its seed.
 */
function agree({ lossy }: Input, what: string, found: string[], expected: string[]): void {
  if (lossy || String(found) === String(expected)) return;
  const count = (rows: string[]) => rows.reduce((sum, row) => sum + Number.parseInt(row, 10), 0);
  const [a, b] = [count(found), count(expected)];
  if (Math.abs(a - b) > a / 1000) same(what, found, expected);
  console.log(`\n${what}: ${a} and ${b}.`);
}

/** Rows of `perf kvm stat report`: reason, samples, shares, then min and max in µs. */
async function perfExits(file: string): Promise<Exits> {
  const text = await outputOf(['perf', 'kvm', '--host', '-i', file, 'stat', 'report']);
  const rows = text.matchAll(/^\s*(\S+)\s+(\d+)\s+[\d.]+%\s+[\d.]+%\s+([\d.]+)us\s+([\d.]+)us/gm);
  return new Map([...rows].map(([, reason, count, min, max]) => [reason as string, `${count} ${min} ${max}`]));
}

function inMicroseconds(rows: ExitRow[]): Exits {
  const us = (ns: number) => (ns / 1000).toFixed(2);
  return new Map(rows.map((row) => [row.reason, `${row.count} ${us(row.min_ns)} ${us(row.max_ns)}`]));
}

function sorted(map: Exits): [string, string][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** One line of a comparison: a tool, its command, and how often it runs. */
type Tool = {
  name: string;
  command: string[];
  costs: Cost[] /** Costs already measured while its lines were counted. */;
  counted?: true;
};

/** Runs the tools in turn, so that whatever else the machine does falls on all of them. */
async function measured(tools: Tool[]): Promise<void> {
  for (let round = 0; round < runs; round++)
    for (const tool of tools) if (tool.counted === undefined) tool.costs.push(await run(tool.command));
}

/** What a tool took, as cells of a table: wall time, CPU time, memory. */
function cells({ costs }: Tool): string[] {
  const wall = costs.map((cost) => cost.wall);
  return [
    `${median(wall).toFixed(3)} (${Math.min(...wall).toFixed(3)}–${Math.max(...wall).toFixed(3)})`,
    median(costs.map((cost) => cost.cpu)).toFixed(3),
    (Math.max(...costs.map((cost) => cost.memory)) / million).toFixed(0),
  ];
}

/** Compares tools on one input. */
async function compare({ title, file, count }: Input, tools: Tool[], goals: Record<string, number>): Promise<void> {
  await measured(tools);
  const size = (folderSize(file) / million).toFixed(0);
  console.log(`\n### ${title}: ${count.toLocaleString('en')} events, ${size} MB\n`);
  console.log('| | wall s, median (min–max) | CPU s | memory MB | M events/s | virtap is faster by |');
  console.log('|---|--:|--:|--:|--:|--:|');
  const own = median((tools[0] as Tool).costs.map((cost) => cost.wall));
  for (const tool of tools) {
    const wall = tool.costs.map((cost) => cost.wall);
    const ratio = median(wall) / own;
    const goal = goals[tool.name];
    console.log(
      `| ${tool.name} | ${cells(tool).join(' | ')} | ` +
        `${(count / million / median(wall)).toFixed(2)} | ` +
        `${tool === tools[0] ? '' : `${ratio.toFixed(2)} ×${goal === undefined ? '' : ` (goal ${goal} ×)`}`} |`,
    );
  }
}

function median(values: number[]): number {
  const order = [...values].sort((a, b) => a - b);
  return ((order[(order.length - 1) >> 1] as number) + (order[order.length >> 1] as number)) / 2;
}

/** A trace to compare on. */
type Input = {
  title: string;
  file: string;
  /** Number of events. */
  count: number;
  /** The number of events is known from making it, and elements of it are whole. */
  generated: boolean;
  /** Events are missing, which only virtap heeds: nothing can be compared but the time. */
  lossy?: true | undefined;
};

/** What generated traces repeat, besides the small seeds: machines that differ in threads, reasons, migrations and losses. */
const otherSeeds: readonly [title: string, kind: Kind, seed: string, lossy?: true][] = [
  ['perf.data, two vCPUs that migrate', 'perf.data', 'migrating.perf.data.zst'],
  ['perf.data with losses', 'perf.data', 'losses.perf.data.zst', true],
  ['trace.dat, a boot with disk I/O', 'trace.dat', 'boot.trace.dat.zst'],
];

/** Generates a trace, compares on it, and removes it. */
async function onGenerated(
  title: string,
  kind: Kind,
  comparison: (input: Input) => Promise<void>,
  seed?: string,
  lossy?: true,
): Promise<void> {
  const file = join(folder, kind);
  const count = await generate(kind, events, file, seed && join(here, 'seeds', seed));
  await comparison({ title, file, count, generated: seed === undefined, lossy });
  rmSync(file);
}

/** The largest recordings below a folder: those that are worth a comparison. A CTF trace is a folder. */
function recordingsBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && /\.(dat|data|bin)(\.zst)?$/.test(entry.name));
  const sized = files.map((entry) => join(entry.parentPath, entry.name)).filter((file) => statSync(file).size > 4e6);
  const ctf = entries.filter((entry) => entry.name === 'metadata' && entry.isFile()).map((entry) => entry.parentPath);
  return [...sized.sort(), ...ctf.filter((path) => folderSize(path) > 1e6)];
}

function folderSize(path: string): number {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + folderSize(join(path, name)), 0);
}

/** A recording as the peers can read it: they know no files that are compressed as a whole. */
async function unpacked(file: string): Promise<string> {
  if (!file.endsWith('.zst')) return file;
  const plain = join(folder, basename(file, '.zst'));
  await pipeline(createReadStream(file), createZstdDecompress(), createWriteStream(plain));
  return plain;
}

/** Compares on a recording, whatever kind it is. */
async function onRecording(recording: string): Promise<void> {
  const file = await unpacked(recording);
  const { format, types } = JSON.parse(await outputOf([virtap, 'events', '--json', file])) as {
    format: string;
    types: { count: number }[];
  };
  const title = join(basename(dirname(recording)), basename(recording));
  const input = { title, file, count: types.reduce((n, type) => n + type.count, 0), generated: false };
  if (format === 'perf.data') await perfData(input);
  if (format === 'perf.data' && isPlain(file) && input.count > 2 * few) {
    const cut = join(folder, 'few.data');
    const count = await cutPerfData(file, few, cut);
    await perfData({ ...input, title: `${title}, its first events`, file: cut, count }, 1);
  }
  if (format === 'perf.data') return questions(input);
  if (format === 'trace.dat') await traceDat(input);
  else if (format === 'simpletrace') await simpletrace(input);
  else if (format === 'CTF') await ctf(input);
  else throw new Error(`${file}: there is no peer for ${format}`);
  await questions(input);
}

/** A recording of as many events is what people have: no tool is to take longer than to look at it. */
const few = 100_000;

/** Whether the floor can read a perf.data, and it can be cut: it is not compressed. */
function isPlain(file: string): boolean {
  return spawnSync(floor, [file]).status === 0;
}

/** What virtap can be asked of recordings of KVM, and of QEMU's. */
const asked = {
  kvm: [
    ['exits'],
    ['vcpus'],
    ['pairs', '--from', 'kvm:kvm_exit', '--to', 'kvm:kvm_entry', '--by', 'tid'],
    ['locks'],
    ['report'],
  ],
  qemu: [['leaks'], ['requests'], ['locks'], ['report']],
};

/** Every question, now and as an earlier virtap answered it; and how long all at once take beside the slowest of them. */
async function questions({ title, file }: Input): Promise<void> {
  const { before } = options;
  if (before === undefined) return;
  const earlier = join(before, 'virtap');
  const { answers } = JSON.parse(await outputOf([virtap, 'events', '--json', file])) as {
    answers: { command: string; answer: string }[];
  };
  const can = (command: string) => answers.some((one) => one.command === command && one.answer !== 'no');
  const page = join(folder, 'page.html');
  const own = can('exits') ? asked.kvm : asked.qemu;
  const commands = own.filter(([name]) => name === 'pairs' || name === 'report' || can(name as string));
  const tools = commands.map(([name, ...rest]) => {
    const words = [name as string, file, ...rest, ...(name === 'report' ? ['-o', page] : [])];
    const tool = (program: string): Tool => ({ name: name as string, command: [program, ...words], costs: [] });
    return [tool(virtap), tool(earlier)] as const;
  });
  await measured(tools.flat());
  const wall = ({ costs }: Tool) => median(costs.map((cost) => cost.wall));
  console.log(`\n### ${title}: the questions\n\n| virtap | wall s | before | faster by |\n|---|--:|--:|--:|`);
  for (const [now, then] of tools)
    console.log(
      `| ${now.name} | ${wall(now).toFixed(3)} | ${wall(then).toFixed(3)} | ${(wall(then) / wall(now)).toFixed(2)} × |`,
    );
  const slowest = Math.max(...tools.flatMap(([now]) => (now.name === 'report' ? [] : wall(now))));
  const all = tools.find(([now]) => now.name === 'report');
  if (all !== undefined)
    console.log(
      `\nThe report takes ${(wall(all[0]) / slowest).toFixed(2)} times as long as the slowest question (goal 2).`,
    );
}

const missing = new Set<string>();

/** Count, total, minimum and maximum of each reason, in some order: virtap names what the programs in C have numbers for. */
function statisticsOf(rows: ExitRow[]): string[] {
  return rows.map((row) => `${row.count} ${row.total_ns} ${row.min_ns} ${row.max_ns}`).sort();
}

/** The same of what floor.c and tracecmd.c print. */
function exitLines(output: string): string[] {
  return [...output.matchAll(/^exit \d+ (.*)$/gm)].map(([, row]) => row as string).sort();
}

/** Adds the floor, where it can read the file, and checks that virtap found the same exits. */
async function withFloor(input: Input, rows: ExitRow[], tools: Tool[]): Promise<void> {
  const { file, count, generated } = input;
  if (spawnSync(floor, [file]).status !== 0) return;
  const output = await outputOf([floor, file]);
  agree(input, 'exits of virtap and the floor', statisticsOf(rows), exitLines(output));
  // perf records a sample twice now and then: virtap counts it once.
  if (generated) same('events of the generator and the floor', count, Number(/^events (\d+)$/m.exec(output)?.[1]));
  tools.push({ name: 'floor.c', command: [floor, file], costs: [] });
}

/** Compares a script with the built-in command that does the same, and with what else does. The goal is half the command's speed. */
async function asScript(input: Input, name: string, command: string, others: Tool[] = []): Promise<void> {
  const tools: Tool[] = [
    { name: `virtap run ${name}`, command: [virtap, 'run', join(here, name), input.file], costs: [] },
    { name: `virtap ${command}`, command: [virtap, command, input.file], costs: [] },
    ...others,
  ];
  const goals = { [`virtap ${command}`]: 0.5, 'simpletrace.py, the same (once)': 50 };
  await compare({ ...input, title: `${input.title}, as a script` }, tools, goals);
}

async function perfData(input: Input, ofPerf?: number): Promise<void> {
  const { file, generated } = input;
  const rows = await virtapExits(file);
  const tools: Tool[] = [{ name: 'virtap exits', command: [virtap, 'exits', file], costs: [] }];
  await withFloor(input, rows, tools);
  if (installed('perf')) {
    const rowsOf = (exits: Exits) => sorted(exits).map(([reason, row]) => `${row} ${reason}`);
    agree(input, 'exits of virtap and perf', rowsOf(inMicroseconds(rows)), rowsOf(await perfExits(file)));
    tools.push({
      name: 'perf kvm stat report',
      command: ['perf', 'kvm', '--host', '-i', file, 'stat', 'report'],
      costs: [],
    });
  } else missing.add('perf');
  // The floor cannot read compressed records.
  const plain = tools.some((tool) => tool.name === 'floor.c');
  const goal = ofPerf ?? (generated ? (plain ? 5 : 2.5) : plain ? 1.5 : 1.7);
  await compare(input, tools, { 'perf kvm stat report': goal, 'floor.c': 0.25 });
  const scripted = await outputOf([virtap, 'run', join(here, 'exits.ts'), file]);
  const ofScript = [...scripted.matchAll(/^(\S+) (\d+ \d+ \d+ \d+)$/gm)].map(([, reason, row]) => `${row} ${reason}`);
  const found = rows.map((row) => [row.count, row.total_ns, row.min_ns, row.max_ns, row.reason].join(' '));
  agree(input, 'exits of virtap and of the script', found.sort(), ofScript.sort());
  await asScript(input, 'exits.ts', 'exits');
}

async function traceDat(input: Input): Promise<void> {
  const { file, count } = input;
  const tools: Tool[] = [{ name: 'virtap exits', command: [virtap, 'exits', file], costs: [] }];
  const rows = await virtapExits(file);
  await withFloor(input, rows, tools);
  if (existsSync(tracecmd)) {
    const command = [tracecmd, file];
    agree(input, 'exits of virtap and libtracecmd', statisticsOf(rows), exitLines(await outputOf(command)));
    tools.push({ name: "tracecmd.c (libtracecmd's API)", command, costs: [] });
  }
  if (!installed('trace-cmd')) missing.add('trace-cmd');
  else if (options.slow) {
    const command = ['trace-cmd', 'report', file];
    const { lines, cost } = await linesOf(command);
    // It begins with a line on the CPUs.
    same('events of virtap and trace-cmd', count, lines - 1);
    tools.push({ name: 'trace-cmd report (once)', command, costs: [cost], counted: true });
  }
  await compare(input, tools, { 'trace-cmd report (once)': 25, "tracecmd.c (libtracecmd's API)": 2, 'floor.c': 0.25 });
}

/** CTF: virtap has the events; babeltrace2 decodes them for nobody, and prints them, as it does for whoever wants to know. */
async function ctf(input: Input): Promise<void> {
  const { file, count } = input;
  const tools: Tool[] = [{ name: 'virtap events', command: [virtap, 'events', file], costs: [] }];
  if (!installed('babeltrace2')) missing.add('babeltrace2');
  else {
    const command = ['babeltrace2', file];
    // Of damaged traces virtap gives what is whole; babeltrace2 ends.
    const printed = await linesOf(command).catch(() => undefined);
    if (printed === undefined) {
      console.log(`\n### ${input.title}: babeltrace2 does not read it to its end, so nothing is compared`);
      return;
    }
    // perf converts names and ends of threads, too, which are events to babeltrace2 alone.
    if (Math.abs(count - printed.lines) > count / 1000) same('events of virtap and babeltrace2', count, printed.lines);
    tools.push({ name: 'babeltrace2 -o dummy', command: ['babeltrace2', '-o', 'dummy', file], costs: [] });
    tools.push({ name: 'babeltrace2 (once)', command, costs: [printed.cost], counted: true });
  }
  await compare(input, tools, { 'babeltrace2 -o dummy': 2 });
}

/** What is seen of virtap before anything is read. */
async function startUp(): Promise<void> {
  const sample = join(here, '..', 'samples', 'host-kvm.dat');
  const tools: Tool[] = [
    { name: 'virtap exits samples/host-kvm.dat', command: [virtap, 'exits', sample], costs: [] },
    { name: 'virtap --version', command: [virtap, '--version'], costs: [] },
    { name: 'node -e 0', command: [process.execPath, '-e', '0'], costs: [] },
  ];
  if (existsSync(binary)) tools.push({ name: 'the executable, exits', command: [binary, 'exits', sample], costs: [] });
  await measured(tools);
  console.log('\n### Start-up: whole processes\n');
  console.log('| | wall s, median (min–max) | CPU s | memory MB |');
  console.log('|---|--:|--:|--:|');
  for (const tool of tools) console.log(`| ${tool.name} | ${cells(tool).join(' | ')} |`);
}

async function simpletrace(input: Input): Promise<void> {
  const { file, count, generated } = input;
  const [elements, open] = (await outputOf([floor, file])).split('\n') as [string, string];
  // Where events were dropped, tools may differ on what they pair.
  if (generated) {
    const filled = Number(elements.split(' ')[1]);
    const { queues } = JSON.parse(await outputOf([virtap, 'leaks', '--json', file])) as { queues: QueueRow[] };
    const sum = (of: (queue: QueueRow) => number) => queues.reduce((n, queue) => n + of(queue), 0);
    same(
      'filled elements of virtap and the floor',
      sum((queue) => queue.filled),
      filled,
    );
    same(
      'popped elements of virtap and the floor',
      sum((queue) => queue.popped),
      filled + Number(open.split(' ')[1]),
    );
  }
  const tools: Tool[] = [
    { name: 'virtap leaks', command: [virtap, 'leaks', file], costs: [] },
    { name: 'floor.c', command: [floor, file], costs: [] },
  ];
  const places = [
    process.env.SIMPLETRACE ?? '',
    '/usr/share/qemu/simpletrace.py',
    '/usr/share/qemu-kvm/simpletrace.py',
  ];
  const script = places.find((path) => path !== '' && existsSync(path));
  const declared = process.env.TRACE_EVENTS ?? '/usr/share/qemu/trace-events-all';
  if (script === undefined || !existsSync(declared)) missing.add('simpletrace.py or trace-events-all');
  else if (options.slow) {
    const analyzer = [
      'env',
      `PYTHONPATH=${dirname(script)}`,
      'python3',
      join(here, 'leaks_analyzer.py'),
      declared,
      file,
    ];
    let text = '';
    const analysed = await run(analyzer, (chunk) => {
      text += chunk;
    });
    same('elements of the floor and the Analyzer', text.split('\n')[0], elements);
    tools.push({ name: 'simpletrace.py, Analyzer (once)', command: analyzer, costs: [analysed], counted: true });
    const command = ['python3', script, declared, file];
    const { lines, cost } = await linesOf(command);
    if (generated) same('events of the generator and simpletrace.py', count, lines);
    tools.push({ name: 'simpletrace.py (once)', command, costs: [cost], counted: true });
  }
  await compare(input, tools, { 'simpletrace.py (once)': 80, 'floor.c': 0.25 });
  const scripted = (await outputOf([virtap, 'run', join(here, 'requests.ts'), file])).trim();
  if (generated) same('elements of the floor and the script', scripted, elements);
  const others: Tool[] = [];
  if (script !== undefined && existsSync(declared) && options.slow) {
    const python = ['env', `PYTHONPATH=${dirname(script)}`, 'python3', join(here, 'requests_analyzer.py')];
    const command = [...python, declared, file];
    let text = '';
    const cost = await run(command, (chunk) => {
      text += chunk;
    });
    if (generated) same('elements of the script and the same in Python', text.trim(), scripted);
    others.push({ name: 'simpletrace.py, the same (once)', command, costs: [cost], counted: true });
  }
  await asScript(input, 'requests.ts', 'leaks', others);
}

type QueueRow = { popped: number; filled: number };

async function memory(): Promise<void> {
  const sizes = options.memory
    .split(',')
    .filter((size) => size !== '')
    .map(Number);
  if (sizes.length === 0) return;
  console.log('\n### Largest resident memory of virtap, MB (wall s)\n');
  console.log(`| | ${sizes.map((size) => `${size} M events`).join(' | ')} |`);
  console.log(`|---|${sizes.map(() => '--:').join('|')}|`);
  for (const [kind, command] of [
    ['perf.data', 'exits'],
    ['perf.data-z', 'exits'],
    ['trace.dat', 'exits'],
    ['simpletrace', 'leaks'],
  ] as const) {
    const cells: string[] = [];
    for (const size of sizes) {
      const file = join(folder, kind);
      await generate(kind, size * million, file);
      const cost = await run([virtap, command, file]);
      cells.push(`${(cost.memory / million).toFixed(0)} (${cost.wall.toFixed(2)})`);
      rmSync(file);
    }
    console.log(`| virtap ${command}, ${kind} | ${cells.join(' | ')} |`);
  }
}

function versionOf(command: string, ...args: string[]): string {
  return (
    spawnSync(command, args, { encoding: 'utf8' })
      .stdout?.split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? ''
  );
}

try {
  for (const [source, binary] of [
    ['measure.c', measure],
    ['floor.c', floor],
  ] as const) {
    const built = spawnSync('cc', ['-O3', '-march=native', '-o', binary, join(here, source)], { stdio: 'inherit' });
    if (built.status !== 0) throw new Error(`cc cannot build ${source}`);
  }
  const flags =
    spawnSync('pkg-config', ['--cflags', '--libs', 'libtracecmd'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const libtracecmd = ['-O3', '-o', tracecmd, join(here, 'tracecmd.c'), ...flags.split(/\s+/)];
  if (flags === '' || spawnSync('cc', libtracecmd, { stdio: 'inherit' }).status !== 0) missing.add('libtracecmd-dev');
  await run([virtap, '--version']);
  const cpu = cpus();
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpu[0]?.model.trim()}, ${cpu.length} CPUs, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()},`,
  );
  console.log(
    `Node ${process.versions.node}, ${versionOf('perf', '--version')}, ${versionOf('trace-cmd', '--version')}, ${versionOf('cc', '--version')}, ${versionOf('python3', '--version')}`,
  );
  await startUp();
  const recordings = [...named, ...(options.recordings === undefined ? [] : recordingsBelow(options.recordings))];
  for (const file of recordings) await onRecording(file);
  if (events > 0 && (options.generated === true || recordings.length === 0)) {
    await onGenerated('perf.data', 'perf.data', perfData);
    await onGenerated('perf.data, compressed (`-z`)', 'perf.data-z', perfData);
    await onGenerated('trace.dat', 'trace.dat', traceDat);
    await onGenerated('simpletrace', 'simpletrace', simpletrace);
    for (const [title, kind, seed, lossy] of otherSeeds)
      await onGenerated(title, kind, kind === 'trace.dat' ? traceDat : perfData, seed, lossy);
  }
  await memory();
  if (missing.size > 0) console.log(`\nNot installed, so not compared: ${[...missing].join(', ')}.`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
