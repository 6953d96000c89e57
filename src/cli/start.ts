import { existsSync, readdirSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { openTrace } from '../formats/detect.ts';
import { Terminal } from '../report/terminal.ts';
import { Inventory } from '../views/inventory.ts';
import { questions } from '../views/questions.ts';
import { buildProgram } from './program.ts';
import { runAnalyses } from './run.ts';
import { UsageError } from './usage-error.ts';

const samples = fileURLToPath(new URL('../../samples/', import.meta.url));

/** What to ask a sample besides `events`, where it can answer. */
const asked: Record<string, string[]> = {
  exits: ['--heatmap', '--slow', '5'],
  leaks: [],
};

/** `npm start`: the main job on the samples that come with virtap, each command line shown before its output. */
export default function define(command: Command): void {
  command.action(async () => {
    const files = existsSync(samples) ? readdirSync(samples).filter((name) => !/^trace-events|\.md$/.test(name)) : [];
    if (files.length === 0) throw new UsageError(`there are no samples in ${samples}`);
    for (const name of files.sort()) {
      const file = relative('', samples + name);
      await show(['events', file]);
      for (const command of await answerable(file)) {
        const options = asked[command];
        if (options !== undefined) await show([command, file, ...options]);
      }
    }
    // What a sample shows (a leak, say) is not a failure of this run.
    process.exitCode = 0;
  });
}

async function show(args: string[]): Promise<void> {
  const { stdout, env } = process;
  const terminal = new Terminal({ isTTY: stdout.isTTY, columns: stdout.columns, env });
  stdout.write(`\n${terminal.style('heading', `$ virtap ${args.join(' ')}`)}\n\n`);
  await (await buildProgram(args)).parseAsync(args, { from: 'user' });
}

async function answerable(file: string): Promise<string[]> {
  const trace = await openTrace(file);
  const inventory = new Inventory();
  await runAnalyses(trace, [inventory]);
  await trace.close();
  return questions(inventory.view(trace))
    .filter(({ answer }) => answer !== 'no')
    .map(({ command }) => command);
}
