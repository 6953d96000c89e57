import { spawn } from 'node:child_process';
import { type Command, InvalidArgumentError } from 'commander';
import { Signatures } from '../formats/trace-events.ts';
import { type Purpose, purposes, usualEvents } from '../live/event-sets.ts';
import { goneCheck } from '../live/machines.ts';
import { Recorder, type RecordingStatus } from '../live/recorder.ts';
import { after } from '../live/timer.ts';
import { findTracefs } from '../live/tracefs.ts';
import { version } from '../own/files.ts';
import { escapeText } from '../report/escape.ts';
import { bytes, count, plural, shortDuration } from '../report/units.ts';
import { chooseEvents, cleanupCommand } from './live.ts';
import { type Chosen, chooseMachines, type MachineOptions, subject } from './machines.ts';
import { parseDuration, parseNumbers, parseWords } from './options.ts';
import { checkOutput, forceOption } from './output-file.ts';
import { eraseStatus, say, showStatus } from './say.ts';

type RecordOptions = MachineOptions & {
  output: string;
  event?: string[];
  for?: number;
  buffer?: number;
  traceEvents?: string;
  force?: true;
} & { [option in `for${Capitalize<Purpose>}`]?: true };

export default function define(command: Command): void {
  forceOption(command)
    .argument('[command...]', 'record until this command, given after --, ends')
    .option('-o, --output <file>', 'where to write', 'trace.dat')
    .option('-p, --pid <numbers>', 'only these processes', parseNumbers)
    .option('--vm <names>', "only the virtual machines with these names (QEMU's -name) or uuids", parseWords)
    .option('--all', 'the whole host: also machines that start later')
    .option('--for <time>', 'how long: 10s, 500ms; else until Ctrl-C', parseDuration)
    .option('-e, --event <pattern>', "these events instead: kvm:kvm_exit, 'kvm_*', sched; may be repeated", parseWords)
    .option('--for-exits', 'what virtap exits and virtap vcpus need: kvm and sched events')
    .option('--for-leaks', "what virtap leaks needs: QEMU's virtio events, by its SystemTap probes")
    .option('--for-requests', 'both, and what tells where requests spend their time')
    .option('--for-locks', "what virtap locks needs: QEMU's mutexes")
    .option(
      '--for-interrupts',
      'what virtap interrupts needs: who sends them, and when they are accepted, injected, done',
    )
    .option('--for-wakes', 'what virtap wakes needs: exits, the scheduler, and what interrupts are sent for')
    .option('--trace-events <file>', "QEMU's trace-events-all, which names the probes' arguments")
    .option('-b, --buffer <size>', "room in the kernel for each CPU's events: 16M; else it follows the rate", parseSize)
    .addHelpText(
      'after',
      `
Without a choice of machines, it records those that run now; with a command, the whole host.
Without a choice of events, those for exits, leaks and requests, as far as QEMU has probes for them.

Examples:
  sudo virtap record --for 10s                     all running machines, for ten seconds
  sudo virtap record --vm web1 -o web1.dat         one machine, until Ctrl-C
  sudo virtap record -e 'kvm:*' -- sleep 5         all kvm events of the host, for as long as a command runs
  virtap exits trace.dat                           then ask; trace-cmd report and KernelShark read it, too`,
    )
    .action(run);
}

async function run(line: string[], options: RecordOptions): Promise<void> {
  const tracefs = findTracefs();
  await checkOutput(options.output, { inputs: [options.traceEvents], force: options.force });
  const chosen = chooseMachines(options, line.length > 0);
  const asked = purposes.filter((one) => options[`for${capital(one)}`] === true);
  const patterns = options.event ?? [];
  const usual = asked.length === 0 && patterns.length === 0;
  const { events, uprobes } = chooseEvents(
    tracefs,
    chosen,
    usual ? usualEvents : { purposes: asked, patterns },
    new Signatures(undefined, options),
  );
  const until = new Until();
  const recorder = new Recorder({
    file: options.output,
    events,
    uprobes,
    tids: chosen.tids,
    pids: chosen.pids,
    bufferKiB: options.buffer === undefined ? undefined : Math.ceil(options.buffer / 1024),
    version: `virtap ${version()}`,
    cleanup: cleanupCommand(),
  });
  const began = performance.now();
  // Whatever ends the process, what was switched on is switched off.
  const last = () => void recorder.stop();
  process.on('exit', last);
  until.stop = () => recorder.end();
  if (options.for !== undefined) until.after(options.for / 1e6);
  if (chosen.tids !== undefined) until.gone(chosen.pids);
  if (line.length > 0) until.command(line);
  const status = new StatusLine(`${subject(chosen)} into ${options.output}`, () => recorder.status());
  try {
    await recorder.run();
  } finally {
    status.end();
  }
  const elapsed = performance.now() - began;
  const summary = recorder.stop();
  until.end();
  process.removeListener('exit', last);
  if (recorder.failure === undefined) {
    say(closing(summary, elapsed, chosen, options));
    process.exitCode = until.status;
    return;
  }
  say(`virtap: recording ended early: ${recorder.failure.message}; the file holds what was recorded before\n`);
  process.exitCode = 1;
}

function capital<T extends string>(word: T): Capitalize<T> {
  return word.replace(/^./, (c) => c.toUpperCase()) as Capitalize<T>;
}

function closing(summary: RecordingStatus, ms: number, chosen: Chosen, options: RecordOptions): string {
  const lost =
    summary.lost === 0 ? 'none lost' : `${count(summary.lost)} lost: a larger --buffer or fewer events would keep them`;
  return `${plural(summary.events, 'event')} of ${escapeText(subject(chosen))} in ${shortDuration(ms * 1e6)} into ${escapeText(options.output)} (${bytes(summary.bytes)}), ${lost}\n`;
}

/** What ends a recording: Ctrl-C, a signal, a length of time, a command's end, the end of what is recorded. */
class Until {
  /** The exit status: of the command, where there is one. */
  status = 0;
  /** Ends the recording, once there is one. */
  stop: (() => void) | undefined;
  #callOff: (() => void) | undefined;
  #watch: NodeJS.Timeout | undefined;
  #interrupted = false;

  constructor() {
    for (const signal of signals) process.on(signal, this.#signal);
  }

  after(ms: number): void {
    this.#callOff = after(ms, () => this.stop?.());
  }

  /** None of the processes that are recorded is left. */
  gone(pids: readonly number[]): void {
    const isOver = goneCheck(pids);
    this.#watch = setInterval(() => {
      if (isOver()) this.stop?.();
    }, 200);
  }

  command([program = '', ...args]: string[]): void {
    const child = spawn(program, args, { stdio: 'inherit' });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'there is no such command' : error.message;
      say(`virtap: cannot run ${program}: ${why}\n`);
      this.status = 127;
      this.stop?.();
    });
    child.on('exit', (code, signal) => {
      this.status = code ?? (signal === null ? 1 : 128 + 15);
      this.stop?.();
    });
  }

  end(): void {
    this.#callOff?.();
    clearInterval(this.#watch);
    // Signals are still heard: one that comes as the recording has ended by itself does not make a failure of it.
  }

  readonly #signal = () => {
    // A second one does not wait for the buffers to be emptied; the file is completed all the same.
    if (this.#interrupted) process.exit(130);
    this.#interrupted = true;
    this.stop?.();
  };
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How the recording stands, on standard error where that is a terminal. */
class StatusLine {
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(what: string, status: () => RecordingStatus) {
    if (process.stderr.isTTY !== true) return;
    const began = performance.now();
    this.#timer = setInterval(() => {
      const { events, lost, bytes: size } = status();
      const time = shortDuration(Math.round((performance.now() - began) / 1000) * 1e9);
      const losses = lost === 0 ? '' : `, ${count(lost)} lost`;
      showStatus(`${time}: ${count(events)} events of ${what}, ${bytes(size)}${losses}; Ctrl-C ends it`);
    }, 1000);
  }

  end(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    eraseStatus();
  }
}

/** For commander: a size in bytes, with K, M or G (1024 each). */
function parseSize(text: string): number {
  const match = /^(\d{1,9})([KMG]?)(?:i?B)?$/i.exec(text);
  if (match === null) throw new InvalidArgumentError('Expected a size: 512K, 16M, 1G.');
  const unit = { K: 1 << 10, M: 1 << 20, G: 1 << 30 }[(match[2] ?? '').toUpperCase()] ?? 1;
  return Number(match[1]) * unit;
}
