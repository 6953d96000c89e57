import fc from 'fast-check';
import type { Loss } from '../src/trace/loss.ts';
import { mutexEvent } from './mutexes.ts';
import { Recording } from './parts.ts';
import { type SyntheticEvent, synthetic } from './synthetic.ts';

/** Random events of some threads, by what each step says. */
const step = fc.record({
  what: fc.nat(99),
  // Mostly in turn, as in life; sometimes a half is missing.
  tid: fc.constantFrom(10, 10, 11, 1034, 1 << 23),
  cpu: fc.constantFrom(0, 0, 0, 1, 1, 2),
  value: fc.nat(7),
  wait: fc.integer({ min: 1, max: 50 }),
  loss: fc.nat(59),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Makes an event of a step; undefined for none. */
export type Maker = (step: Step, time: number) => SyntheticEvent | undefined;

export type Cut = { whole: Recording; cuts: number[]; pieces: Recording[]; window: { from: number; to: number } };

/** Random recordings with holes, cut at random places; the pieces know of no more types than they have events of. `begin` gives what makes the events of one recording. */
export function cutRecordings(begin: () => Maker, maxLength = 80): fc.Arbitrary<(batchSize?: number) => Promise<Cut>> {
  return fc
    .record({
      steps: fc.array(step, { minLength: 3, maxLength, size: 'max' }),
      batchSize: fc.integer({ min: 1, max: 9 }),
      cuts: fc.array(fc.nat(1000), { minLength: 1, maxLength: 4 }),
      from: fc.oneof(fc.constant(0), fc.constant(0), fc.nat(900)),
      to: fc.oneof(fc.constant(Infinity), fc.constant(Infinity), fc.nat(1500)),
      holes: fc.boolean(),
      named: fc.boolean(),
    })
    .map(({ steps, batchSize, cuts, from, to, holes, named }) => async (size = batchSize) => {
      let time = 0;
      const make = begin();
      const lastOn = new Map<number, number>();
      const events = steps.flatMap((one): SyntheticEvent[] => {
        time += one.wait;
        const event = make(one, time);
        if (event === undefined) return [];
        const cpu = event.cpu ?? -1;
        if (holes && one.loss < 10) {
          const [from, on] =
            one.loss < 3 ? [Math.max(-Infinity, ...lastOn.values()), -1] : [lastOn.get(cpu) ?? -Infinity, cpu];
          const loss: Loss = { from, to: time, cpu: on, count: undefined };
          event.loss = loss;
        }
        lastOn.set(cpu, time);
        return [event];
      });
      const threads: [number, string, number][] = named
        ? [
            [10, 'CPU 3/KVM', 9],
            [11, 'CPU 4/KVM', -1],
          ]
        : [];
      const recording = (some: SyntheticEvent[], batchSize: number) =>
        Recording.of(synthetic(some, { batchSize, threads }));
      const whole = await recording(events, size);
      const places = cuts.map((cut) => Math.floor((cut / 1000) * events.length)).sort((a, b) => a - b);
      const edges = [0, ...places, events.length];
      const pieces: Recording[] = [];
      for (let n = 0; n + 1 < edges.length; n++)
        pieces.push(await recording(events.slice(edges[n], edges[n + 1]), size));
      return { whole, cuts: places, pieces, window: { from, to: Math.max(from, to) } };
    });
}

/** Exits and entries of vCPUs, and events that tell more of them: of a recording with scheduler's events, or without; or of arm64, where guests halt. */
export const vcpuEvents =
  (what: 'sched' | 'kvm' | 'arm' | 'loong'): Maker =>
  ({ what: kind, tid, cpu, value }, time) => {
    const at = { time, tid, cpu, pid: value === 7 ? 9 : -1 };
    if (kind < 30) {
      if (what === 'arm') return { name: 'kvm:kvm_exit', ...at, fields: { ret: 2, esr_ec: 1, vcpu_pc: value } };
      const exit_reason = [0x72, 0x78, 0x78, 0x400, 4000][value % 5] as number;
      const fields = { exit_reason, isa: 2, guest_rip: 0xffffffff81000000n + BigInt(value) };
      return { name: 'kvm:kvm_exit', ...at, fields };
    }
    if (kind < 34) return { name: 'kvm:kvm_exit_other', ...at, fields: { exit_reason: 3, isa: 2, vcpu_id: tid % 7 } };
    if (kind < 36) return { name: 'kvm:kvm_reenter', ...at };
    if (kind < 60) return { name: 'kvm:kvm_entry', ...at, fields: { vcpu_id: tid % 5 } };
    if (kind < 64) return { name: 'kvm:kvm_halt_poll_ns', ...at, fields: { vcpu_id: tid % 5 } };
    if (kind < 70) return { name: 'kvm:kvm_pio', ...at, fields: { rw: value % 2, port: 0x3f8 + (value >> 1) } };
    if (kind < 76) return { name: 'kvm:kvm_userspace_exit', ...at, fields: { reason: value, errno: 0 } };
    if (what === 'kvm') return undefined;
    if (what === 'arm') return { name: 'kvm:kvm_wfx_arm64', ...at, fields: { vcpu_pc: 1, is_wfe: value % 2 } };
    if (what === 'loong')
      return { name: 'kvm:kvm_exit_gspr', ...at, fields: { inst_word: 0x06480000 + (value << 15) } };
    const fields = { prev_pid: tid, prev_state: value % 3, next_pid: [10, 11, 1034, 7][value % 4] as number };
    return { name: 'sched:sched_switch', ...at, fields };
  };

/** The same, whichever. */
export const vcpuRecordings = fc.oneof(
  cutRecordings(() => vcpuEvents('sched')),
  cutRecordings(() => vcpuEvents('kvm')),
  cutRecordings(() => vcpuEvents('arm')),
  cutRecordings(() => vcpuEvents('loong')),
);

/** Of threads that are switched most of the time, some of which run vCPUs. */
export const switchRecordings = cutRecordings(() => ({ what, tid, cpu, value }, time) => {
  const at = { time, tid, cpu };
  if (what < 12) return { name: 'kvm:kvm_exit', ...at, fields: { exit_reason: 0x78, isa: 2 } };
  if (what < 24) return { name: 'kvm:kvm_entry', ...at, fields: { vcpu_id: tid % 5 } };
  const other = [0, 0, 7, 11][value % 4] as number;
  const [prev_pid, next_pid] = value < 4 ? [tid, other] : [other, tid];
  const fields = { prev_pid, prev_state: value % 3, next_pid };
  return { name: 'sched:sched_switch', ...at, tid: prev_pid, fields };
});

/** All that tells where a vCPU is, and whether it runs; where not \`sched\`, without the scheduler's events. */
const stateEvents =
  (sched: boolean): Maker =>
  ({ what, tid, cpu, value }, time) => {
    const at = { time, tid, cpu };
    const exit_reason = value < 4 ? 0x78 : 0x72;
    if (what < 20) return { name: 'kvm:kvm_exit', ...at, fields: { exit_reason, isa: 2, guest_rip: value } };
    if (what < 23) return { name: 'kvm:kvm_exit_arm', ...at, fields: { ret: 2, esr_ec: 1, vcpu_pc: value } };
    if (what < 43) return { name: 'kvm:kvm_entry', ...at, fields: { vcpu_id: tid % 5 } };
    if (what < 48) return { name: 'kvm:kvm_userspace_exit', ...at, fields: { reason: value, errno: 0 } };
    if (what < 52) return { name: 'kvm:kvm_fpu', ...at, fields: { load: value % 2 } };
    if (what < 56) return { name: 'kvm:kvm_vcpu_wakeup', ...at, fields: { ns: 7 * value, waited: 1, valid: 1 } };
    if (what < 57) return { name: 'kvm:kvm_wfx_arm64', ...at, fields: { vcpu_pc: 1, is_wfe: value % 2 } };
    if (what < 58) return { name: 'kvm:kvm_exit_idle', ...at, fields: { pc: 1, reason: 64 } };
    if (what < 60) return { name: 'syscalls:sys_enter_ioctl', ...at, fields: { fd: 3, cmd: 0xae80 } };
    if (!sched) return undefined;
    if (what < 68) return { name: 'sched:sched_waking', ...at, tid: 99, fields: { pid: tid } };
    const other = [0, 0, 7, 11][value % 4] as number;
    const [prev_pid, next_pid] = value < 4 ? [tid, other] : [other, tid];
    const prev_state = what === 99 ? 16 : what % 3;
    return { name: 'sched:sched_switch', ...at, tid: prev_pid, fields: { prev_pid, prev_state, next_pid } };
  };
export const stateRecordings = fc.oneof(
  { weight: 3, arbitrary: cutRecordings(() => stateEvents(true)) },
  cutRecordings(() => stateEvents(false)),
);

/** Exits and entries of threads that CPUs are given to, as in life but for what is missing now and then; or without the scheduler's events. */
export const scheduled = (sched: boolean) => (): Maker => {
  const running = new Map<number, number>();
  const inGuest = new Set<number>();
  return ({ what, tid, cpu, value, wait }, time) => {
    // Now and then, and not in all recordings, an event is not recorded.
    const missing = wait === 50 && value < 4;
    const runs = running.get(cpu) ?? 0;
    if (what < 25 || runs === 0 || !sched) {
      const free = [...running.values()].includes(tid) ? 0 : tid;
      const next = runs === 0 ? free : value < 4 ? 0 : free;
      const at = { name: 'sched:sched_switch', time, tid: runs, cpu };
      if (next !== runs) running.set(cpu, next);
      if (next !== runs && sched) inGuest.delete(runs);
      if (sched)
        return next === runs || missing
          ? undefined
          : { ...at, fields: { prev_pid: runs, prev_state: 0, next_pid: next } };
    }
    const thread = running.get(cpu) ?? 0;
    if (thread === 0) return undefined;
    const enters = !inGuest.has(thread);
    if (enters) inGuest.add(thread);
    else inGuest.delete(thread);
    if (missing) return undefined;
    const at = { time: what === 99 ? time : time, tid: thread, cpu };
    return enters
      ? { name: 'kvm:kvm_entry', ...at, fields: { vcpu_id: 0 } }
      : { name: 'kvm:kvm_exit', ...at, fields: { exit_reason: 0x78, isa: 1 + (value % 2) } };
  };
};

/** Events of some keys, of two kinds each way. */
const keyed: Maker = ({ what, tid, cpu, value }, time) => {
  const at = { time, tid, cpu };
  const fields = { n: BigInt(value % 4) + 0xffff_8880_0000_0000n, text: ['x', 'y', ''][tid % 3] as string };
  if (what < 25) return { name: 'a:begin', ...at, fields };
  if (what < 50) return { name: 'a:end', ...at, fields };
  if (what < 58) return { name: 'qemu:begin', ...at, fields };
  if (what < 66) return { name: 'qemu:end', ...at, fields };
  if (what < 94) return { name: 'sched:sched_switch', ...at, fields: { prev_pid: tid, prev_state: 0, next_pid: 0 } };
  return undefined;
};
export const pairRecordings = cutRecordings(() => keyed);

/** QEMU's mutexes as threads of two processes take, try, wait on conditions, and let go of them; `missing`: not all is recorded. */
const mutexMachine = (missing: boolean) => (): Maker => {
  type User = { waits?: number | undefined; sleeps?: { mutex: number; line: number } | undefined; has: number[] };
  const users = new Map<number, User>();
  const owners = new Map<string, { tid: number; depth: number }>();
  return ({ what, tid, cpu, value, wait }, time) => {
    const other = tid === 1034;
    const user: User = users.get(tid) ?? { has: [] };
    users.set(tid, user);
    if (what < 12) {
      const [prev_pid, next_pid] = value < 4 ? [tid, 0] : [0, tid];
      return {
        name: 'sched:sched_switch',
        time,
        tid: prev_pid,
        cpu,
        fields: { prev_pid, prev_state: what % 2, next_pid },
      };
    }
    if (what < 15) return { name: 'sched:sched_waking', time, tid: 7, cpu, fields: { pid: tid } };
    if (what < 18) return { name: 'kvm:kvm_entry', time, tid, cpu, fields: { vcpu_id: tid % 5 } };
    const event = (action: 'lock' | 'locked' | 'unlock', mutex: number, line: number) => {
      const made = { ...mutexEvent(action, time, tid, mutex, line, cpu), pid: other ? 8 : -1 };
      return missing && wait % 9 === 0 ? undefined : made;
    };
    const at = (mutex: number) => `${other} ${mutex}`;
    const take = (mutex: number): boolean => {
      const owner = owners.get(at(mutex));
      // The first is recursive.
      if (owner !== undefined && (owner.tid !== tid || mutex > 0)) return false;
      owners.set(at(mutex), { tid, depth: (owner?.depth ?? 0) + 1 });
      user.has.push(mutex);
      return true;
    };
    const line = value % 5;
    const mutex = user.waits ?? user.sleeps?.mutex ?? value % 3;
    if (user.waits !== undefined || user.sleeps !== undefined) {
      if (!take(mutex)) return undefined;
      const place = user.sleeps?.line ?? line;
      user.waits = undefined;
      user.sleeps = undefined;
      return event('locked', mutex, place);
    }
    const last = user.has.at(-1);
    if (last !== undefined && what < 60) {
      user.has.pop();
      const owner = owners.get(at(last)) as { tid: number; depth: number };
      if (--owner.depth === 0) owners.delete(at(last));
      if (what < 30 && owner.depth === 0) user.sleeps = { mutex: last, line };
      return event('unlock', last, line);
    }
    if (what > 90) return take(mutex) ? event('locked', mutex, line) : undefined;
    if (user.has.includes(mutex) && mutex > 0) return undefined;
    user.waits = mutex;
    return event('lock', mutex, line);
  };
};

export const mutexRecordings = fc.oneof(
  { weight: 3, arbitrary: cutRecordings(mutexMachine(false), 250) },
  cutRecordings(mutexMachine(true), 250),
);
