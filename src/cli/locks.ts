import { InvalidArgumentError } from 'commander';
import { UsageError } from '../analyse/usage-error.ts';
import {
  type LocksAnswer,
  lockRows,
  lockThreadColumns,
  mutexColumns,
  siteColumns,
  sortedLocks,
} from '../report/locks-columns.ts';
import { locksCsv, locksJson } from '../report/locks-json.ts';
import { locksText } from '../report/locks-text.ts';
import { tellsTime } from '../trace/clock.ts';
import { qemuOf, recordLines } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import { lockSubjects } from '../views/lock-answers.ts';
import { LocksView } from '../views/locks.ts';
import { untimeable } from './lacking.ts';
import { parseWords } from './options.ts';
import { type ViewOptions, viewCommand } from './view-command.ts';

type LocksCommandOptions = ViewOptions & { bql?: string[]; mutex?: string[]; holds?: true };

export default viewCommand<LocksCommandOptions, LocksAnswer>({
  examples: [
    ['virtap locks qemu.log', 'how long threads wait for which mutex, and behind whom'],
    ['virtap locks --slow 5 qemu.log', 'the five slowest waits: who held the mutex, and what it did'],
    ['virtap locks --slow 5 --holds qemu.log', 'the five slowest holds'],
    ['virtap locks --mutex 0x55f0d2a4e880 qemu.log', 'call sites and threads of another mutex than the BQL'],
    ['virtap locks --mutex bql --heatmap qemu.log', 'only the waits for the BQL in the heat map'],
    ['virtap locks --json qemu.log', 'for programs'],
    ["virtap locks --fail-if 'share(vcpu-wait:BQL)>5%' qemu.log", 'in a script: the exit status is 3 where that is so'],
  ],
  conditions:
    'wait (while another thread held it), uncontended (taking a free one) and hold of all mutexes, wait:BQL or wait:ADDRESS of one, vcpu-wait:BQL for the time of the vCPUs that waits took (total, share)',
  table: { what: 'the tables', columns: [...mutexColumns, ...siteColumns, ...lockThreadColumns] },
  heatmap: 'draw a heat map of the waits: time across, duration up, count as colour',
  slow: 'show the slowest waits, with who held the mutex meanwhile',
  than: 'show the waits longer than this',
  options: (command) =>
    command
      .option('--bql <addresses>', 'which mutexes are the big QEMU lock, where that is not recognised', parseAddresses)
      .option(
        '-m, --mutex <names>',
        'tell of these mutexes in detail, and show only them in the heat map and the slow log: BQL, or addresses',
        parseMutexes,
      )
      .option('--holds', 'show holds in the heat map and the slow log, not waits'),
  wanted: () => ({ purposes: ['locks'] }),
  ask(trace, { bql = [], mutex: chosen = [], heatmap, slow, than, sort, ...options }) {
    if (trace.clock.unit === 'ticks') {
      throw new UsageError(`${trace.file}: its clock counts cycles of unknown length, so locks cannot be timed`);
    }
    const holds = options.holds === true;
    const view = new LocksView({ bql, mutexes: chosen, heatmap: heatmap === true, slow, than, holds });
    return {
      analyses: [view],
      answer(reading) {
        refuse(trace, view);
        const result = sortedLocks(trace, view.result(), sort);
        const known = view.known();
        for (const address of bql) {
          if (known.some(({ mutex }) => mutex === address)) continue;
          throw new UsageError(`${trace.file}: no mutex has the address ${address}`);
        }
        for (const name of chosen) {
          if (known.some((mutex) => mutex.mutex === name || mutex.name === name)) continue;
          const more = name === 'BQL' ? ' is recognised as the BQL; --bql names it' : ` is called ${name}`;
          throw new UsageError(`${trace.file}: no mutex${more}`);
        }
        return { trace, reading, result, holds, than, chosen };
      },
    };
  },
  json: locksJson,
  csv: locksCsv,
  text: locksText,
  subjects: ({ result }) => lockSubjects(result),
  rows: lockRows,
});

/** Throws a UsageError where the recording cannot tell of locks, with what to record instead. */
export function refuse(trace: Trace, { locks: { counts } }: LocksView): void {
  const error = (sentence: string) =>
    new UsageError(
      `${trace.file}: ${sentence}. To record locks with threads and times:`,
      ...recordLines('locks', qemuOf(trace)).map((line) => `  ${line}`),
    );
  const holds = (word: string) => trace.types.some(({ name }) => name === `qemu:qemu_mutex_${word}`);
  const lacking = ['lock', 'locked', 'unlock'].filter((word) => !holds(word));
  const untold =
    lacking.length === 0
      ? undefined
      : untellable(
          trace.types.map(({ name }) => name),
          `any qemu_mutex_${lacking[0]}`,
        );
  if (untold !== undefined) throw new UsageError(`${trace.file}: ${untold}`);
  if (lacking.length === 3) {
    const names = [...new Set(trace.types.map(({ name }) => name.split(':', 1)[0]))].slice(0, 8).join(', ');
    throw error(
      `there is no qemu_mutex_lock, qemu_mutex_locked or qemu_mutex_unlock in it${names === '' ? '' : ` (it holds events of ${names})`}`,
    );
  }
  const seen = counts.lock + counts.locked + counts.unlock;
  if (seen > 0 && counts.withoutThread === seen) {
    throw error(`its events do not say which thread they are of, so nobody can tell who waits for whom${why(trace)}`);
  }
  if (!tellsTime(trace.clock)) {
    throw error(untimeable(trace.clock));
  }
  if (!holds('locked')) {
    throw error(
      `there is no ${lacking.map((word) => `qemu_mutex_${word}`).join(' and no ')} in it, so no wait or hold can be timed`,
    );
  }
}

function why({ format }: Trace): string {
  if (format.includes('simpletrace')) return ' (simpletrace records the process only)';
  if (format.includes('qemu log')) return " (QEMU's log names threads up to version 10.0, with -msg timestamp=on)";
  return '';
}

function parseAddresses(text: string, previous: readonly string[] = []): string[] {
  return parseWords(text, previous).map((word) => {
    const address = parseAddress(word);
    if (address === undefined) throw new InvalidArgumentError('Expected addresses: 0x55f0d2a4e880.');
    return address;
  });
}

function parseMutexes(text: string, previous: readonly string[] = []): string[] {
  return parseWords(text, previous).map((word) => {
    const name = word.toUpperCase() === 'BQL' ? 'BQL' : parseAddress(word);
    if (name === undefined) throw new InvalidArgumentError('Expected BQL, or addresses: 0x55f0d2a4e880.');
    return name;
  });
}

/** As `hex64` writes it. */
function parseAddress(word: string): string | undefined {
  if (!/^(0x)?[0-9a-f]{1,16}$/i.test(word)) return undefined;
  return `0x${BigInt(/^0x/i.test(word) ? word : `0x${word}`).toString(16)}`;
}
