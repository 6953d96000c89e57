import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { cleanUp, cleanUpQemu } from '../live/leftovers.ts';
import { startOf } from '../live/machines.ts';
import { findTracefs } from '../live/tracefs.ts';
import { print, say } from './say.ts';

export default function define(command: Command): void {
  command
    .addOption(
      new Option('--after <pid>', 'wait for the end of this process, which is ending').argParser(Number).hideHelp(),
    )
    .addHelpText(
      'after',
      `
What was switched on in the kernel is switched off, and recordings in parts are made whole. What belongs
to a virtap that still runs stays. Each virtap that records does this first, so it is seldom needed.

Examples:
  sudo virtap cleanup`,
    )
    .action(async ({ after }: { after?: number }) => {
      for (let n = 0; after !== undefined && startOf(after) !== undefined && n < 100; n++) await sleep(20);
      const parts = [await cleanUpQemu(), cleanUp(findTracefs())];
      const done = parts.flatMap((part) => part.done);
      const failed = parts.flatMap((part) => part.failed);
      for (const what of done) print(`${what}\n`);
      for (const what of failed) say(`virtap: ${what}\n`);
      if (done.length === 0 && failed.length === 0) print('Nothing was left behind.\n');
      if (failed.length > 0) process.exitCode = 1;
    });
}
