import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { escapeText } from '../report/escape.ts';
import { pageFiles } from '../report/page.ts';
import { Explorer } from '../serve/explorer.ts';
import { serve } from '../serve/server.ts';
import { TraceError } from '../trace/error.ts';
import { openTraces } from './open.ts';
import { openOptions, openWords, type TraceOptions, traceCommand } from './options.ts';
import { runAnalyses, wasInterrupted } from './run.ts';
import { fail, print, say } from './say.ts';

type ServeOptions = TraceOptions & { port: number };

/** How long to wait before the files are looked at again for whether they grew, in ms, and as a multiple of what reading them took. */
const interval = 2000;
const waitFactor = 4;

export default function define(command: Command): void {
  traceCommand(
    command,
    [
      ['virtap serve trace.dat', 'explore a trace in the browser, whatever its size'],
      ['virtap serve --port 8080 trace.dat', 'at a port of your choice'],
    ],
    { forms: [] },
  )
    .option('--port <number>', 'listen there (a free port, where not given)', parsePort, 0)
    .action(run);
}

async function run(files: string[], options: ServeOptions): Promise<void> {
  if (files.includes('-')) throw new UsageError('serve reads its files again and again: it cannot take standard input');
  if (options.from !== undefined || options.to !== undefined) {
    throw new UsageError('serve takes whole files: select a part of the time in the page');
  }
  const page = pageFiles();
  const opening = openOptions(options);
  const explorer = new Explorer({
    files,
    words: openWords(files, options),
    how: JSON.stringify(opening, (_, value) => (typeof value === 'bigint' ? String(value) : value)),
    open: () => openTraces(files, opening),
    async read(trace, analyses, { from, to, once } = {}) {
      const reading = await runAnalyses(trace, analyses, { from, to, once });
      if (wasInterrupted(reading)) throw new UsageError('interrupted');
      return reading;
    },
  });
  await explorer.refresh();
  const { server, address } = await serve(
    { files: page, ask: (path, query) => explorer.ask(path, query), failed: fail },
    options.port,
  );
  print(`virtap: explore ${files.join(', ')} at ${address}\n`);
  say('virtap: Ctrl-C ends it\n');
  const following = new AbortController();
  void follow(explorer, following.signal);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  following.abort();
  server.closeAllConnections();
  server.close();
}

/** Reads the files again whenever they changed: a trace may still be growing. One that grows faster than it is read must not be read all the time. */
async function follow(explorer: Explorer, signal: AbortSignal): Promise<void> {
  let told = '';
  let wait = interval;
  while (!signal.aborted) {
    await sleep(wait, undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    const began = performance.now();
    try {
      await explorer.refresh();
    } catch (error) {
      // What was read before is still shown.
      const known = error instanceof TraceError || error instanceof UsageError;
      const why = known ? error.message : String(error);
      if (why !== told && known) say(`virtap: not read again: ${escapeText(why)}\n`);
      else if (why !== told) fail(error);
      told = why;
    }
    wait = Math.max(interval, waitFactor * (performance.now() - began));
  }
}

/** The last port of TCP. */
const lastPort = 65535;

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > lastPort) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}
