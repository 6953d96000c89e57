import type { Stall } from '../spans/kinds/fault.ts';
import { numbersRepeat, vcpuName } from '../spans/vcpu.ts';
import { hex64 } from '../trace/event-type.ts';
import { beginKeys } from './begin-keys.ts';
import { columnsOf, forPeople, rowJson, rowsTable } from './columns.ts';
import { escapeText } from './escape.ts';
import type { Json } from './json.ts';
import { spansJson } from './spans-json.ts';
import { type SpanScope, type SpansAnswer, spansScope, spansText } from './spans-text.ts';
import type { Terminal } from './terminal.ts';
import { count, plural, shortDuration } from './units.ts';
import { vcpuKeys } from './vcpu-keys.ts';

/** What `virtap faults` needs to say of one trace: the faults as spans, and the exits that repeated without getting further. */
export type FaultsAnswer = SpansAnswer & { stalls: readonly Stall[] };

/** Those shown of all. */
const shownStalls = 10;

type StallScope = SpanScope & { repeat: boolean };

function scopeOf(answer: FaultsAnswer): StallScope {
  const repeat = numbersRepeat(answer.stalls.map(({ vcpu }) => vcpu));
  return { ...spansScope(answer), trace: answer.trace, held: new Set<string>(), repeat };
}

export const stallColumns = columnsOf<Stall, StallScope>()([
  ...beginKeys<Stall, StallScope>('time stamp of the first of its exits', 'since'),
  {
    key: 'duration',
    type: 'length',
    title: 'for',
    meaning: "until the last one's kvm_entry",
    of: ({ duration }) => duration,
  },
  forPeople({ title: 'vCPU', type: 'text', of: ({ vcpu }, { repeat }) => vcpuName(vcpu, repeat) }),
  ...vcpuKeys<Stall, StallScope>(({ vcpu }) => vcpu),
  {
    key: 'count',
    type: 'number',
    title: 'exits',
    meaning: 'how many, without another between',
    of: ({ count }) => count,
  },
  {
    key: 'reason',
    type: 'text',
    title: 'reason',
    meaning: 'why the guest was left',
    of: ({ reason }) => reason,
    text: ({ reason }) => escapeText(reason),
  },
  {
    key: 'rip',
    type: 'text',
    title: 'rip',
    meaning: 'where the guest was',
    of: ({ ripHigh, ripLow }) => hex64(ripHigh, ripLow),
  },
  {
    key: 'address',
    type: 'text',
    title: 'address',
    meaning: "the guest's physical address, of memory faults",
    of: ({ address }): string | null => (address === undefined ? null : hex64(address.high, address.low)),
    text: ({ address }) => (address === undefined ? '' : hex64(address.high, address.low)),
  },
]);

/** The whole answer as text. */
export function faultsText(answer: FaultsAnswer, terminal: Terminal): string {
  const { stalls } = answer;
  const faults = spansText(answer, terminal);
  if (stalls.length === 0) return faults;
  const scope = scopeOf(answer);
  const [first] = stalls as [Stall];
  const where = first.address === undefined ? 'at one rip' : 'at one rip and one address';
  const sentence = `vCPU ${vcpuName(first.vcpu, scope.repeat)} left the guest ${plural(first.count, 'time')} in a row ${where}, for ${shortDuration(first.duration)}.`;
  const cut = stalls.length > shownStalls ? `, the first ${shownStalls} of ${count(stalls.length)}` : '';
  const title = `${terminal.style('strong', 'No progress')}${cut}\n${terminal.style('bad', sentence)}\n`;
  return `${faults}\n${title}${rowsTable(stallColumns, stalls.slice(0, shownStalls), scope, terminal)}`;
}

/** The whole answer for programs: that of `virtap spans`, and `no_progress`. */
export function faultsJson(answer: FaultsAnswer): Json {
  const scope = scopeOf(answer);
  const { partial, why, ...spans } = spansJson(answer) as { [name: string]: Json };
  return {
    ...spans,
    no_progress: answer.stalls.map((stall) => rowJson(stallColumns, stall, scope)),
    ...(why === undefined ? {} : { why }),
    partial,
  };
}
