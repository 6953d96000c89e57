import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { translateOldWords } from './old-words.ts';
import type { Stretch, TraceOptions } from './options.ts';

/** Before a command on trace files runs: files that -i names are files, too, and the stretch that --time names is --from and --to. */
export async function prepare(command: Command): Promise<void> {
  const has = (name: string) => command.options.some(({ long }) => long === name);
  if (!has('--input')) return;
  const { input = [], time } = command.opts<{ input?: string[]; time?: Stretch }>();
  const last = command.processedArgs.length - 1;
  const files: string[] = [...command.processedArgs[last], ...input];
  if (files.length === 0 && !has('--live')) throw new UsageError("missing required argument 'file'");
  command.processedArgs[last] = files;
  translateOldWords(command);
  if (time !== undefined) await takeStretch(command, files, time);
}

async function takeStretch(command: Command, files: readonly string[], stretch: Stretch): Promise<void> {
  const shares = Object.values(stretch).some((end) => end !== undefined && 'share' in end);
  if (shares && (files.length === 0 || files.includes('-')))
    throw new UsageError('--time in shares of the whole needs files that can be read twice');
  const whole = shares ? await (await import('./whole-length.ts')).wholeLength(files, command.opts<TraceOptions>()) : 0;
  for (const end of ['from', 'to'] as const) {
    const moment = stretch[end];
    if (moment === undefined) continue;
    const value = 'share' in moment ? { value: BigInt(Math.round(moment.share * whole)), absolute: false } : moment;
    command.setOptionValue(end, value);
  }
}
