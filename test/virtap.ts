import { spawn, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/*
 * virtap's command line, for tests of what it answers. One process, started with a test file's first line, runs all its lines one after the other,
 * which takes a tenth of the time that a process for each would. Tests of what a process does (its streams, signals, start and end)
 * start one of their own.
 */

export type Answer = { status: number; stdout: string; stderr: string };

/** What the process is told, and tells, in a line of JSON each. */
export type Request = { args: readonly string[]; env: Record<string, string | undefined>; cwd: string };
export type Done = { status: number };

/** Where a command line is run. */
type Surroundings = { env?: Record<string, string | undefined>; cwd?: string };

/** Runs one command line. */
export const virtap = (...args: readonly string[]): Answer => virtapIn({}, ...args);

/** Runs one command line where these are added to the environment, or in that folder. */
export function virtapIn({ env = {}, cwd = process.cwd() }: Surroundings, ...args: readonly string[]): Answer {
  running ??= new Standing();
  return running.run({ args, env: { NO_COLOR: '1', COLUMNS: '', LC_ALL: 'C.UTF-8', ...env }, cwd });
}

let running: Standing | undefined;

/** The process that runs one line after the other. Everything here waits: tests read as if it were a function. */
class Standing {
  readonly #requests: number;
  readonly #answers: number;
  readonly #stdout: number;
  readonly #stderr: number;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'virtap-standing-'));
    spawnSync('mkfifo', [join(folder, 'requests'), join(folder, 'answers')]);
    const pipe = (name: string) => {
      // Opened for both, no end waits for the other.
      const both = openSync(join(folder, name), 'r+');
      const ends = [openSync(join(folder, name), 'r'), openSync(join(folder, name), 'w')] as const;
      closeSync(both);
      return ends;
    };
    const [theirRequests, requests] = pipe('requests');
    const [answers, theirAnswers] = pipe('answers');
    this.#requests = requests;
    this.#answers = answers;
    // Each write goes to the end, which is the beginning once they were emptied.
    this.#stdout = openSync(join(folder, 'stdout'), 'a+');
    this.#stderr = openSync(join(folder, 'stderr'), 'a+');
    spawn(process.execPath, [join(import.meta.dirname, 'virtap-standing.ts')], {
      stdio: ['ignore', this.#stdout, this.#stderr, theirRequests, theirAnswers],
    }).unref();
    closeSync(theirRequests);
    closeSync(theirAnswers);
    rmSync(folder, { recursive: true });
  }

  run(request: Request): Answer {
    ftruncateSync(this.#stdout);
    ftruncateSync(this.#stderr);
    writeSync(this.#requests, `${JSON.stringify(request)}\n`);
    const done = line(this.#answers);
    const [stdout, stderr] = [text(this.#stdout), text(this.#stderr)];
    if (done === undefined) throw new Error(`virtap ${request.args.join(' ')}: its process ended: ${stderr}`);
    return { status: (JSON.parse(done) as Done).status, stdout, stderr };
  }
}

/** The next line from a pipe whose other end writes no second one before it is asked to; undefined at its end. */
export function line(pipe: number): string | undefined {
  const chunk = Buffer.alloc(1 << 16);
  let whole = '';
  for (;;) {
    const bytes = readSync(pipe, chunk);
    if (bytes === 0) return undefined;
    whole += chunk.toString('latin1', 0, bytes);
    if (whole.endsWith('\n')) return Buffer.from(whole, 'latin1').toString();
  }
}

function text(file: number): string {
  const bytes = Buffer.alloc(fstatSync(file).size);
  for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, bytes.length - at, at);
  return bytes.toString();
}
