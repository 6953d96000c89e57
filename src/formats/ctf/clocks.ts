import type { Clock, ClockTie } from '../../trace/clock.ts';
import type { ClockClass } from './classes.ts';

const billion = 1_000_000_000n;

/** A clock of a stream, and what is to be added to its values to have those of the trace. */
export class StreamClock {
  readonly #class: ClockClass;
  /** Cycles to add before they become ns. */
  readonly #shift: bigint;
  /** The time that results count from, in cycles with the shift; and how much of a ns is left of it, in units of 1/frequency. */
  #start = 0n;
  #rest = 0;

  /** `absolute` counts from the clock's origin, so that several clocks agree; else its own values are taken as they are. */
  constructor(type: ClockClass, absolute: boolean) {
    this.#class = type;
    this.#shift = absolute ? type.seconds * type.frequency + type.cycles : 0n;
  }

  /** The absolute time of a value. */
  toNs(value: bigint): bigint {
    return floorDivide((value + this.#shift) * billion, this.#class.frequency);
  }

  /** Makes times count from `origin`, an absolute time. Gives the value that the cycles for `relative` are counted from. */
  startAt(origin: bigint): bigint {
    const { frequency } = this.#class;
    // The last cycle that is not later.
    this.#start = floorDivide(origin * frequency, billion);
    this.#rest = Number(this.#start * billion - origin * frequency);
    return this.#start - this.#shift;
  }

  /** Whether cycles are ns. */
  get plain(): boolean {
    return this.#class.frequency === billion;
  }

  /** Cycles since the start, as ns since the origin: exact in doubles, as the parts of 10^9 are. */
  relative(cycles: number): number {
    const frequency = Number(this.#class.frequency);
    const seconds = Math.floor(cycles / frequency);
    const first = (cycles - seconds * frequency) * 31250;
    const whole = Math.floor(first / frequency);
    const rest = (first - whole * frequency) * 32000 + this.#rest;
    return seconds * 1e9 + whole * 32000 + Math.floor(rest / frequency);
  }
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}

/** What to call a trace's clock, by what its metadata call it. */
const names = new Map<string, string>(
  Object.entries<string>({ monotonic: 'mono', boottime: 'boot', realtime: 'realtime' }),
);

/** The clock of a trace whose streams are on these clocks: one, or several that agree by their distance from 1970. */
export function clockOf(clocks: readonly ClockClass[]): { clock: Clock; absolute: boolean; notes: string[] } {
  const [first] = clocks;
  if (first === undefined) return { clock: { name: 'none', unit: 'none', resolution: 1 }, absolute: false, notes: [] };
  const offset = (clock: ClockClass) => clock.seconds * billion + floorDivide(clock.cycles * billion, clock.frequency);
  const resolution = first.frequency >= billion ? 1 : Math.round(1e9 / Number(first.frequency));
  if (clocks.every((clock) => sameClock(first, clock))) {
    const tied = first.epoch && offset(first) !== 0n;
    const tie: ClockTie = { to: 'realtime', offset: offset(first), source: `the offset of its clock ${first.name}` };
    const name = names.get(first.name) ?? 'unknown';
    return { clock: { name, unit: 'ns', resolution, ties: tied ? [tie] : undefined }, absolute: false, notes: [] };
  }
  const called = [...new Set(clocks.map(({ name }) => name))].join(', ');
  const notes = [
    `Its streams are on several clocks (${called}): they are put together by the offsets from 1970 that the metadata give.`,
  ];
  const epoch = clocks.every((clock) => clock.epoch && offset(clock) !== 0n);
  if (!epoch)
    notes.push('Not all of these clocks have such an offset: the order of events of different streams is not certain.');
  return { clock: { name: epoch ? 'realtime' : 'unknown', unit: 'ns', resolution }, absolute: true, notes };
}

/** Whether two clocks have one value at one moment. LTTng gives all clocks of a session the machine's boot as UUID. */
function sameClock(a: ClockClass, b: ClockClass): boolean {
  if (a.frequency !== b.frequency || a.name !== b.name) return false;
  if (a.uuid !== '' || b.uuid !== '') return a.uuid === b.uuid;
  return a.seconds === b.seconds && a.cycles === b.cycles;
}
