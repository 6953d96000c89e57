import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { withForesight } from '../analyse/foresight.ts';
import { UsageError } from '../analyse/usage-error.ts';
import { LiveError } from '../live/live-error.ts';
import { version } from '../own/files.ts';
import { TraceError } from '../trace/error.ts';
import { cannotWrite } from '../trace/write-error.ts';
import { commands } from './commands.ts';
import { foreignOption } from './foreign-options.ts';
import { prepare } from './prepare.ts';
import { complain, fail, print, say } from './say.ts';
import { didYouMean } from './suggest.ts';

/** The exit status for input or usage that nothing could be answered for. */
const badInput = 2;
/** The exit status where virtap itself failed. */
const bug = 1;

/**
 * How long the process may take to end of itself, in ms. It is not ended at once: process.exit waits for V8's compiler threads, and
 * these may be waiting for a garbage collection that no longer comes.
 */
const exitDelay = 100;

/** Runs one command line (without node and script); the process ends soon after. */
export async function main(args: readonly string[]): Promise<void> {
  // `| head` closes the pipe: that is no error, and nobody is left to be told.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') {
      setTimeout(() => process.exit(0), exitDelay);
      return;
    }
    say(`virtap: ${cannotWrite('standard output', error)}\n`);
    process.exit(badInput);
  });
  process.stderr.on('error', () => {});
  // What Node.js would print of itself is not safe for a terminal either.
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => say(`virtap: ${name}: ${message}\n`));
  process.on('uncaughtException', (error) => {
    fail(error);
    process.exit(bug);
  });
  await runLine(args);
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  // A read from a pipe may still be under way, and would keep the process alive.
  setTimeout(() => process.exit(), exitDelay).unref();
}

/** Runs one command line, says what went wrong, and sets the exit status. */
export async function runLine(args: readonly string[]): Promise<void> {
  try {
    await obey(args);
  } catch (error) {
    // A command that was writing meanwhile hears of it, too.
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return;
    const known = error instanceof TraceError || error instanceof UsageError || error instanceof LiveError;
    const said = error instanceof CommanderError;
    process.exitCode = known || said ? badInput : bug;
    if (known) complain(error);
    else if (!said) fail(error);
    else if (error.exitCode === 0) process.exitCode = 0;
  }
}

/** Does what a command line says; again where the first reading of a trace found holes that it must know beforehand. */
function obey(args: readonly string[]): Promise<unknown> {
  return withForesight(async () => (await buildProgram(args)).parseAsync(args, { from: 'user' }));
}

/** The whole command line; only the command that `args` call is loaded. */
export async function buildProgram(args: readonly string[]): Promise<Command> {
  const program = new Command('virtap')
    .description('Turns QEMU and KVM traces into answers.')
    .usage('COMMAND FILE… [options]')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({
      writeOut: print,
      writeErr: say,
      outputError: (text, write) => write(withHint(text.replace(/^error: /, 'virtap: ')).replace(/\n\(Did/, ' (Did')),
    })
    .addHelpText(
      'after',
      '\nBegin with `virtap events FILE`: it says what the file holds and which commands can answer from it.\n`virtap help COMMAND` shows the options and examples of a command.',
    );
  const called = args.filter((arg) => !arg.startsWith('-')).find((arg) => arg !== 'help');
  // Who calls one need not know of the others; the list of all does.
  const alone = args[0] === called && commands.some(({ name }) => name === called);
  for (const entry of commands) {
    if (alone && entry.name !== called) continue;
    const command = program.command(entry.name, { hidden: entry.hidden === true }).summary(entry.summary);
    command.description(`${entry.summary.replace(/^./, (c) => c.toUpperCase())}.`);
    if (entry.name !== called) continue;
    (await entry.load()).default(command, { commands, build: buildProgram, obey });
    command.hook('preAction', () => prepare(command));
  }
  if (called !== undefined && !commands.some((entry) => entry.name === called)) {
    if (existsSync(called)) throw new UsageError(`no command given; to see what is in it: virtap events ${called}`);
    const names = commands.filter((entry) => entry.hidden !== true).map((entry) => entry.name);
    throw new UsageError(`there is no command ${called}${didYouMean(called, names)} (virtap --help lists them)`);
  }
  return program;
}

/** Of an option that is not there, which one is: by what it means where other tools have it, or else by its spelling. */
function withHint(text: string): string {
  const option = /unknown option '([^'=]*)/.exec(text)?.[1];
  const hint = option === undefined ? undefined : foreignOption(option);
  return hint === undefined ? text : `${text.split('\n', 1)[0]}: ${hint}\n`;
}
