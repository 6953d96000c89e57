import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTracefs } from '../src/live/tracefs.ts';
import { until } from './guest.ts';
import { lacking } from './tools.ts';

/*
 * virtap as a process that traces.
 */

export const main = join(import.meta.dirname, '../src/cli/main.ts');
/** tracefs, where a test can have it. */
export const tracing = lacking('permission to trace') === undefined ? findTracefs() : '/sys/kernel/tracing';

export type Run = { status: number | null; stdout: string; stderr: string };

/** Starts virtap; `instance` is the tracing instance that it will make. */
export function start(...args: string[]): { child: ChildProcess; instance: string; ended: Promise<Run> } {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const run = { status: null as number | null, stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    run.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    run.stderr += chunk;
  });
  const instance = `${tracing}/instances/virtap-${child.pid}`;
  const ended = once(child, 'close').then(([status]) => {
    run.status = status as number | null;
    over.set(instance, run);
    return run;
  });
  return { child, instance, ended };
}

export const virtap = (...args: string[]): Promise<Run> => start(...args).ended;

/** What ended, by the instance that it would have made. */
const over = new Map<string, Run>();

/** Waits until events go into the instance's buffers. */
export async function isRecording(instance: string): Promise<void> {
  const has = (name: string, pattern: RegExp) => {
    const path = `${instance}/${name}`;
    return existsSync(path) && pattern.test(readFileSync(path, 'utf8'));
  };
  await until('the recording', () => {
    const run = over.get(instance);
    if (run !== undefined) throw new Error(`it ended with status ${run.status} before it recorded: ${run.stderr}`);
    return has('set_event', /./) && has('tracing_on', /1/);
  });
}
