import type { Stats } from '../spans/summary.ts';
import { percentileDigits } from '../spans/summary.ts';
import type { LockRole, MutexResult } from '../views/lock-answers.ts';
import { escapeText } from './escape.ts';
import { duration, percent, plural, shortDuration } from './units.ts';
/**
 * How much of the vCPUs' time was waiting for the BQL while another thread held it, and who did; and, told apart from that, what
 * taking it while it was free took: a few sentences.
 */
export function summary({ pid, vcpus }: MutexResult, several = false): string {
  if (Number.isNaN(vcpus.time)) {
    return 'No thread is known to be a vCPU, so it cannot be told what waiting for the BQL cost the guest.';
  }
  if (Number.isNaN(vcpus.held)) {
    return 'No qemu_mutex_unlock is in the recording, so it cannot be told how long vCPUs waited for the BQL while another thread held it.';
  }
  const of = several && pid !== undefined ? ` of process ${pid}` : '';
  const besides = besidesText(vcpus.wait, vcpus.held, vcpus.uncontended, vcpus.time);
  if (vcpus.held === 0) {
    return [`At no time did vCPUs${of} wait for the BQL while another thread held it.`, besides].join('\n').trimEnd();
  }
  // Other vCPUs are one, as are workers: what matters is what kind of work was in the way.
  const kinds = new Map<string, { total: number; sites: Map<string, number> }>();
  for (const one of vcpus.behind) {
    const kind = kindName(one.role);
    const known = kinds.get(kind) ?? { total: 0, sites: new Map<string, number>() };
    known.total += one.total;
    const where = one.inner ?? one.site ?? 'before the trace began';
    known.sites.set(where, (known.sites.get(where) ?? 0) + one.total);
    kinds.set(kind, known);
  }
  const blamed = [...kinds]
    .sort((a, b) => b[1].total - a[1].total)
    .slice(0, 3)
    .map(([kind, { total, sites }]) => {
      const [site, most] = [...sites].sort((a, b) => b[1] - a[1])[0] as [string, number];
      const mostly = most === total ? 'at' : 'mostly at';
      return `${percent(total / vcpus.held)} behind ${kind} (${mostly} ${escapeText(site)})`;
    });
  const share = percent(vcpus.held / vcpus.time);
  return [
    `vCPUs${of} spent ${share} of their time waiting for the BQL while another thread held it.`,
    `Of that ${blamed.join(', ')}.`,
    besides,
  ]
    .join('\n')
    .trimEnd();
}

/**
 * What of waits is no waiting for others, in words: taking the mutex while it was free, which costs that in this recording, and getting
 * it after it had been let go. '' where there is nothing of that. `time` is what the shares are of; where none is given, lengths are told.
 */
export function besidesText(wait: number, held: number, free: Stats, time?: number): string {
  const told = (length: number) => (time === undefined ? duration(length) : percent(length / time));
  const rest = wait - held - free.total;
  const handed = rest > 0 ? `${told(rest)} passed between its being let go and its being there` : '';
  if (free.count === 0) return handed === '' ? '' : `Besides, ${handed}.`;
  const median = shortDuration(free.p50, percentileDigits(free.count));
  const each = free.min === free.p50 ? median : `${shortDuration(free.min)} at least, ${median} in the median`;
  const taken = `${told(free.total)} went into taking it ${plural(free.count, 'time')} while it was free, ${each}: what that costs in this recording, its tracing included`;
  return `Besides, ${taken}${handed === '' ? '' : `; ${handed}`}.`;
}

function kindName(role: LockRole): string {
  switch (role.kind) {
    case 'vcpu':
      return 'other vCPUs';
    case 'main loop':
      return 'the main loop';
    case 'iothread':
      return 'IOThreads';
    case 'worker':
      return 'workers';
    case 'rcu':
      return 'the RCU thread';
    default:
      return 'other threads';
  }
}
