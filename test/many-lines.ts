/*
 * Runs many command lines in one process, which takes a fraction of the time: each is printed before its output, on both streams. They
 * come as JSON on standard input.
 */
import { readFileSync } from 'node:fs';
import { runLine } from '../src/cli/program.ts';

for (const line of JSON.parse(readFileSync(0, 'utf8')) as string[][]) {
  const title = `\n$ ${JSON.stringify(line).replace(/[^\x20-\x7e]/g, '?')}\n`;
  process.stdout.write(title);
  process.stderr.write(title);
  await runLine(line);
}
process.exit(0);
