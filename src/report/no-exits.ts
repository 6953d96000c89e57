import { isArm64, recordLines } from '../trace/recorders.ts';
import type { Trace } from '../trace/trace.ts';
import { untellable } from '../trace/undescribed.ts';
import type { Untimed } from '../views/exits.ts';
import type { Reading } from '../views/reading.ts';

const recordInner = "add -e 'kvm:*' -e sched:sched_switch -e sched:sched_waking to see what happened within them";

/** Why nothing can be said of exits in a recording without them, and what to record: a sentence, and lines that follow it. */
export function noExits({
  trace,
  reading,
}: {
  trace: Trace;
  reading: Reading;
}): [sentence: string, ...lines: string[]] {
  const names = trace.types.slice(0, 6).map((type) => type.name);
  if (trace.types.length > names.length) names.push('…');
  const holds = names.length === 0 ? '' : ` It holds ${names.join(', ')}.`;
  if (trace.traits?.live) return [`${trace.file}: none of its vCPUs left its guest in this time`];
  if (trace.traits?.hidesGuestSamples && isArm64(trace))
    return [
      `${trace.file}: there is no kvm_exit in it.${holds} perf script leaves out the samples that perf takes for a guest's, and on an arm64 host these are all kvm_exit and kvm_entry; perf script --guest-code prints them, and virtap reads perf.data itself.`,
    ];
  const unread = untellable(
    trace.types.map(({ name }) => name),
    'any kvm_exit',
  );
  if (unread !== undefined) return [`${trace.file}: ${unread}`, ...reading.notes.map((note) => `Note: ${note}`)];
  const partial = reading.partial.length === 0 ? '' : ` What was read is not all: ${reading.partial.join(' ')}`;
  return [
    `${trace.file}: there is no kvm_exit in it.${holds}${partial} To record exits:`,
    ...recordLines('exits').map((line) => `  ${line}`),
    `  (${recordInner})`,
    ...reading.notes.map((note) => `Note: ${note}`),
  ];
}

/** Why exits can be counted, but not timed, as the end of a sentence. */
export const untimedWhy: Record<Untimed, string> = {
  times: 'its events have no time stamps that tell how long anything took',
  threads: 'it does not say which threads the events are of',
  entries: 'there is no kvm_entry in it',
};
