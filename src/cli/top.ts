import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { usualEvents } from '../live/event-sets.ts';
import { type ColorChoice, Terminal } from '../report/terminal.ts';
import { reasonColumns, topSorts, topText } from '../report/top-text.ts';
import { Top, type TopView } from '../views/top.ts';
import { openLive } from './live.ts';
import { colorOption, type LiveOptions, parseDuration, parseNumbers, parseWords } from './options.ts';
import { runAnalyses } from './run.ts';
import { Screen } from './screen.ts';
import { sortOption } from './sort-option.ts';

/** How often it can be drawn at most, in ns. */
const leastInterval = 1e8;

type TopCommandOptions = LiveOptions & { interval: number; sort: string; color: ColorChoice };

export default function define(command: Command): void {
  command
    .option('-p, --pid <numbers>', 'only these processes', parseNumbers)
    .option('--vm <names>', "only the virtual machines with these names (QEMU's -name) or uuids", parseWords)
    .option('-d, --interval <time>', 'how often to draw', parseDuration, 1e9);
  colorOption(sortOption(command, 'the exits', reasonColumns, 'total'))
    .addHelpText(
      'after',
      `
Keys: q quits, space pauses, h shows and hides halts; t, c, a, m and 9 sort by total, count, average,
maximum and 99th percentile.

Examples:
  sudo virtap top                  all virtual machines that run here
  sudo virtap top --vm web1 -d 5s  one of them, drawn every five seconds`,
    )
    .action(run);
}

async function run(options: TopCommandOptions): Promise<void> {
  if (process.stdout.isTTY !== true || process.stdin.isTTY !== true) {
    throw new UsageError('top draws on a terminal; into a pipe or file: virtap exits --live --interval 1s');
  }
  if (options.interval < leastInterval) throw new UsageError('--interval must be 100ms or more');
  const trace = openLive(options, usualEvents);
  const top = new Top();
  let { sort } = options;
  let halts = false;
  let paused = false;
  let view: TopView | undefined;
  const draw = () => {
    if (view === undefined) return;
    const { stdout, env } = process;
    const terminal = new Terminal({ isTTY: true, columns: stdout.columns, env, color: options.color });
    const rows = stdout.rows || 24;
    screen.draw(
      topText(view, { name: trace.file, sort, halts, paused, rows }, terminal).map((line) => terminal.text(line)),
    );
  };
  const screen = new Screen((key) => {
    if (key === 'q' || key === '\x03' || key === '\x1b') trace.end();
    else if (key === ' ') paused = !paused;
    else if (key === 'h') halts = !halts;
    else if (key in topSorts) sort = topSorts[key as keyof typeof topSorts];
    draw();
  }, draw);
  try {
    await runAnalyses(trace, [top], { every: options.interval, quiet: true }, async () => {
      const now = top.look(Number(process.hrtime.bigint() - trace.origin));
      if (!paused) view = now;
      draw();
    });
  } finally {
    screen.close();
  }
}
