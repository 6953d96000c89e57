/**
 * Compares what tracing a running process costs, with virtap and with its peers, and prints a table of README.md as Markdown. As root:
 *
 *     node bench/live.ts [--calls MILLIONS] [--runs N] [--buffer KIB]
 *
 * The load makes system calls as fast as it can, and each is two events: a rate that no virtual machine reaches. The tools take turns on the
 * same load; CPU time is the tool's own (wait4), the load's says what the traced process pays.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const main = join(here, '../src/cli/main.ts');
const { values: options } = parseArgs({
  options: {
    calls: { type: 'string', default: '2' },
    runs: { type: 'string', default: '3' },
    buffer: { type: 'string', default: '16384' },
  },
});
const runs = Number(options.runs);
const folder = mkdtempSync(join(tmpdir(), 'virtap-bench-'));
const measure = join(folder, 'measure');
const events = ['raw_syscalls:sys_enter', 'raw_syscalls:sys_exit'];
/** Room for each CPU's events, for every tool (KiB). */
const buffer = Number(options.buffer);

/** Seconds of CPU time of the load and the tool; events that the tool has, and that it lost; NaN where it does not say. */
type Result = { load: number; wall: number; tool: number; events: number; lost: number };
type Tool = {
  name: string;
  /** The command line for a process, writing to `file`; undefined for none. */
  command(pid: number, file: string): string[] | undefined;
  /** Whether it traces already. */
  ready(pid: number): boolean | number;
  /** What it found, from its output and file. */
  found(output: string, file: string): { events: number; lost: number };
};

const instanceReady = () => {
  const { stdout } = spawnSync('sh', [
    '-c',
    'cd /sys/kernel/tracing/instances && cat virtap-*/set_event virtap-*/tracing_on',
  ]);
  return /sys_exit\n(.*\n)*1\n$/.test(stdout.toString());
};
const number = (text: string | undefined) => Number((text ?? 'NaN').replaceAll(',', ''));
const bpf = (pid: number) =>
  `tracepoint:raw_syscalls:sys_enter /pid == ${pid}/ { @s[tid] = nsecs; } tracepoint:raw_syscalls:sys_exit /@s[tid]/ ` +
  '{ @n = count(); @d = hist(nsecs - @s[tid]); delete(@s[tid]); } END { clear(@s); }';

const tools: Tool[] = [
  { name: 'nothing', command: () => undefined, ready: () => true, found: () => ({ events: 0, lost: 0 }) },
  {
    name: 'virtap record',
    command: (pid, file) => [
      ...[process.execPath, main, 'record', '--force', '-p', String(pid), '-b', `${buffer}K`, '-o', file],
      ...events.flatMap((event) => ['-e', event]),
    ],
    ready: instanceReady,
    found: (output) => ({
      events: number(/([\d,]+) events of/.exec(output)?.[1]),
      lost: number(/([\d,]+) lost/.exec(output)?.[1] ?? '0'),
    }),
  },
  {
    name: 'perf record',
    command: (pid, file) => [
      ...['perf', 'record', '-p', String(pid), '-m', `${buffer}K`, '-o', file, '-B', '-N'],
      ...events.flatMap((event) => ['-e', event]),
    ],
    ready: () => 1000,
    found: (_output, file) => {
      const stats = spawnSync('perf', ['report', '-i', file, '--stats'], { encoding: 'utf8' }).stdout;
      const script = spawnSync(process.execPath, [main, 'events', '--json', file], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      });
      return {
        events: number(/SAMPLE events: +(\d+)/.exec(stats)?.[1]),
        lost: JSON.parse(script.stdout).lost as number,
      };
    },
  },
  {
    name: 'trace-cmd record',
    command: (pid, file) => [
      ...['trace-cmd', 'record', '-q', '-P', String(pid), '-b', String(buffer), '-C', 'mono', '-o', file],
      ...events.flatMap((event) => ['-e', event]),
    ],
    ready: () => 1000,
    found: (_output, file) => {
      const { stdout } = spawnSync(process.execPath, [main, 'events', '--json', file], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      });
      const { types, lost } = JSON.parse(stdout) as { types: { count: number }[]; lost: number };
      return { events: types.reduce((sum, { count }) => sum + count, 0), lost };
    },
  },
  {
    name: 'virtap pairs --live',
    command: (pid) => [
      ...[process.execPath, main, 'pairs', '--live', '--pid', String(pid), '--json'],
      ...['--from', events[0] as string, '--to', events[1] as string, '--by', 'tid'],
    ],
    ready: instanceReady,
    found: (output) => {
      const { totals, lost } = JSON.parse(output) as { totals: { count: number }; lost: number };
      return { events: 2 * totals.count, lost };
    },
  },
  {
    name: 'bpftrace: the same statistics',
    command: (pid) => ['bpftrace', '-e', bpf(pid)],
    ready: () => 2500,
    found: (output) => ({ events: 2 * number(/@n: (\d+)/.exec(output)?.[1]), lost: 0 }),
  },
];

/** A process that waits for a line, then makes its calls. */
function startLoad(): { child: ChildProcess; result: string } {
  const result = join(folder, 'load');
  const count = Math.round(Number(options.calls) * 500_000);
  const line = `read x; exec dd if=/dev/zero of=/dev/null bs=1 count=${count} status=none`;
  return { child: spawn('sh', ['-c', line], { stdio: ['pipe', 'ignore', 'ignore'] }), result };
}

/** User and system time of a process that runs (s). */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(stat[11]) + Number(stat[12])) / 100;
}

async function run(tool: Tool): Promise<Result | undefined> {
  const { child: load } = startLoad();
  const pid = load.pid as number;
  const file = join(folder, 'trace');
  const result = join(folder, 'result');
  rmSync(file, { force: true });
  await sleep(50);
  const command = tool.command(pid, file);
  let output = '';
  let tracer: ChildProcess | undefined;
  if (command !== undefined) {
    tracer = spawn(measure, [result, ...command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const stream of [tracer.stdout, tracer.stderr]) stream?.on('data', (chunk) => (output += chunk));
    for (let n = 0; n < 500; n++) {
      const ready = tool.ready(pid);
      if (typeof ready === 'number') await sleep(ready);
      if (ready !== false || tracer.exitCode !== null) break;
      await sleep(20);
    }
    await sleep(200);
  }
  if (tracer !== undefined && tracer.exitCode !== null) {
    load.kill();
    return undefined;
  }
  const began = performance.now();
  load.stdin?.write('\n');
  let used = 0;
  const watch = setInterval(() => {
    try {
      used = cpuOf(pid);
    } catch {}
  }, 10);
  await once(load, 'exit');
  clearInterval(watch);
  const wall = (performance.now() - began) / 1000;
  if (tracer === undefined) return { load: used, wall, tool: 0, events: 0, lost: 0 };
  if (tracer.exitCode === null) {
    process.kill(-(tracer.pid as number), 'SIGINT');
    await once(tracer, 'close');
  }
  const [, cpu] = readFileSync(result, 'utf8').split(' ').map(Number) as [number, number];
  return { load: used, wall, tool: cpu / 1e6, ...tool.found(output, file) };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number;
}

try {
  if (process.getuid?.() !== 0 || !existsSync('/sys/kernel/tracing/events')) throw new Error('tracing needs root');
  const built = spawnSync('cc', ['-O2', '-o', measure, join(here, 'measure.c')], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr);
  const results = new Map<Tool, Result[]>();
  for (let n = 0; n < runs; n++) {
    for (const tool of tools) {
      const result = await run(tool);
      if (result === undefined) process.stderr.write(`${tool.name}: does not run here\n`);
      else results.set(tool, [...(results.get(tool) ?? []), result]);
    }
  }
  const base = median((results.get(tools[0] as Tool) ?? []).map(({ load }) => load));
  process.stdout.write(`${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, ${runs} runs, medians\n\n`);
  process.stdout.write(
    '| | events | lost | its CPU time per million events | CPU time added to the load, per million |\n|---|--:|--:|--:|--:|\n',
  );
  for (const [tool, all] of results) {
    if (tool === tools[0]) continue;
    const made = median(all.map(({ events: has, lost }) => has + lost));
    const [has, lost] = [median(all.map((one) => one.events)), median(all.map((one) => one.lost))];
    const own = median(all.map((one) => (one.tool / one.events) * 1e6));
    const added = median(all.map((one) => ((one.load - base) / made) * 1e6));
    const cells = [has.toLocaleString('en'), lost.toLocaleString('en'), `${own.toFixed(2)} s`, `${added.toFixed(2)} s`];
    process.stdout.write(`| ${tool.name} | ${cells.join(' | ')} |\n`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
