import { UsageError } from '../analyse/usage-error.ts';
import { sourceStack } from '../own/stack.ts';
import { escapeText } from '../report/escape.ts';
import { Terminal, truncate } from '../report/terminal.ts';

/*
 * Everything that virtap prints leaves here or through `Output`, so that nothing of a trace, of a file's name or of another process reaches a
 * terminal as it is.
 */

/** Prints on standard error. */
export function say(text: string): void {
  process.stderr.write(terminalOf(process.stderr).text(text));
}

/** Prints on standard output: for what is no answer from a trace, which `Output` prints. */
export function print(text: string): void {
  process.stdout.write(terminalOf(process.stdout).text(text));
}

/** Says why something cannot be: a sentence on one line, whatever is in it, and the lines that go with it. */
export function complain(error: Error): void {
  say(`virtap: ${escapeText(error.message)}\n`);
  if (error instanceof UsageError) for (const line of error.lines) say(`${escapeText(line)}\n`);
}

/** Tells of an error that nobody foresaw, with what is needed to find it. */
export function fail(error: unknown): void {
  say(
    `virtap: failed unexpectedly: ${error instanceof Error ? sourceStack(error.stack ?? error.message) : String(error)}\n`,
  );
}

/** Shows how things stand, in place of what was shown so before. For a standard error that is a terminal. */
export function showStatus(text: string): void {
  const line = truncate(escapeText(text), (process.stderr.columns ?? 80) - 1);
  process.stderr.write(`\r${terminalOf(process.stderr).text(line)}\x1b[K`);
}

export function eraseStatus(): void {
  process.stderr.write('\r\x1b[K');
}

function terminalOf({ isTTY, columns }: NodeJS.WriteStream): Terminal {
  return new Terminal({ isTTY, columns, env: process.env });
}
