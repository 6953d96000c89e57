import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import { root } from '../own/files.ts';
import type { CommandLine } from './command.ts';
import { Output } from './output.ts';

const samples = fileURLToPath(new URL('samples/', root));

/** The main job: a command and its options, on one of the samples. */
const shown: readonly [command: string, sample: string, options?: readonly string[]][] = [
  ['events', 'host-kvm.dat'],
  ['exits', 'host-kvm.dat', ['--heatmap', '--slow', '5']],
  ['events', 'qemu-leak.bin.zst'],
  ['leaks', 'qemu-leak.bin.zst'],
  ['vcpus', 'host-kvm.dat', ['--timeline']],
  ['requests', 'qemu-leak.bin.zst'],
  ['locks', 'kvm-and-qemu.log.zst'],
];

/** `npm start`: the main job on the samples that come with virtap, each command line shown before its output. */
export default function define(command: Command, { obey }: CommandLine): void {
  command.action(async () => {
    if (!existsSync(samples)) throw new UsageError(`there are no samples in ${samples}`);
    for (const [name, sample, options = []] of shown) {
      const args = [name, relative('', samples + sample), ...options];
      await show(args);
      await obey(args);
    }
    // What a sample shows (a leak, say) is not a failure of this run.
    process.exitCode = 0;
  });
}

/** Prints a command line as a person would type it. */
async function show(args: readonly string[]): Promise<void> {
  const out = new Output({ color: 'auto' });
  await out.write(`\n${out.terminal.style('heading', `$ virtap ${args.join(' ')}`)}\n\n`);
}
