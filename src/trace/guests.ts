import type { EventBatch } from './batch.ts';
import type { Field, FieldReader, Layout } from './event-type.ts';
import type { Trace } from './trace.ts';

/** A guest's trace beside others. */
export type GuestOf = {
  /** Its host's trace, undefined where that is not among them. */
  host: Trace | undefined;
  name: string;
  /** The host's thread that each of the guest's CPUs is; undefined where the recording does not say. */
  tids: readonly (number | undefined)[];
  /** Whether its times were put on its host's clock. */
  synchronised: boolean;
};

/** More vCPUs than any machine has. */
const mostVcpus = 1 << 16;

/**
 * Which of the traces are guests': trace-cmd notes a guest's recording and its vCPUs in its host's (GUEST), and in the
 * guest's how its times are put on its host's clock (TIME_SHIFT). None is where all are: guests alone are machines like any other.
 */
export function guestsAmong(traces: readonly Trace[]): Map<Trace, GuestOf> {
  const guests = new Map<Trace, GuestOf>();
  for (const trace of traces) {
    const guest = guestOf(trace, traces);
    if (guest !== undefined) guests.set(trace, guest);
  }
  return guests.size < traces.length ? guests : new Map();
}

function guestOf(trace: Trace, traces: readonly Trace[]): GuestOf | undefined {
  const own = trace.companions;
  if (own === undefined) return undefined;
  const synchronised = own.host !== undefined;
  for (const host of traces) {
    if (host === trace || host.companions === undefined) continue;
    const listed = host.companions.guests.find((guest) => guest.id === own.id);
    if (listed === undefined && (!synchronised || host.companions.id !== own.host)) continue;
    const tids: (number | undefined)[] = [];
    for (const { vcpu, tid } of listed?.vcpus ?? []) if (vcpu < mostVcpus) tids[vcpu] = tid;
    return { host, name: listed?.name || 'guest', tids, synchronised };
  }
  return synchronised ? { host: undefined, name: 'guest', tids: [], synchronised } : undefined;
}

/** What a guest's event is called beside the host's: `guest/sched:sched_switch`. No analysis of the host takes it for its own. */
export function guestName(name: string): string {
  return `guest/${name}`;
}

/** The name within the guest (`sched:sched_switch`), or undefined for an event of the host. */
export function nameInGuest(name: string): string | undefined {
  return name.startsWith('guest/') ? name.slice(6) : undefined;
}

/** A guest's event: as the guest recorded it, with the guest's thread as the field `guest_tid`. */
export class GuestLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #inner: Layout;
  readonly #tid: FieldReader | undefined;
  readonly #guest: string;
  readonly #threads: Trace['threads'];

  constructor(inner: Layout, guest: string, threads: Trace['threads']) {
    this.#inner = inner;
    this.#guest = guest;
    this.#threads = threads;
    this.#tid = inner.reader('common_pid');
    this.fields = this.#tid === undefined ? inner.fields : [{ name: 'guest_tid', declared: 'int' }, ...inner.fields];
  }

  reader(name: string): FieldReader | undefined {
    return name === 'guest_tid' ? this.#tid : this.#inner.reader(name);
  }

  /** `vm1: bash-1234: prev_comm=…`: which guest, and which thread in it. */
  print(b: EventBatch, i: number): string {
    const tid = this.#tid?.number(b, i);
    if (tid === undefined || Number.isNaN(tid)) return `${this.#guest}: ${this.#inner.print(b, i)}`;
    const comm = this.#threads.get(tid)?.comm ?? '';
    return `${this.#guest}: ${comm !== '' ? comm : tid === 0 ? '<idle>' : '<...>'}-${tid}: ${this.#inner.print(b, i)}`;
  }
}
