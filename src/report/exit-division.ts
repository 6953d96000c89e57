import type { LockWait } from '../spans/lock-waits.ts';
import type { VcpuState } from '../spans/vcpu-time.ts';
import type { ExitResult } from '../views/exits.ts';
import type { LockNames } from '../views/lock-answers.ts';
import type { Parts } from '../views/slowest.ts';
import type { Untold } from '../views/vcpus.ts';
import { escapeText } from './escape.ts';
import { whole } from './json.ts';
import { roleName } from './names.ts';
import { duration } from './units.ts';
import { type StatesJson, toldStates } from './vcpu-states.ts';

/** The states that an exit's time can be in, of those that the trace tells. */
export function exitStates(divisions: readonly Parts[], untold: readonly Untold[]): VcpuState[] {
  return toldStates(divisions, untold).filter((state) => state !== 'guest');
}

/** One exit's time in a sentence; '' where the trace tells nothing about where it went. */
export function heldLine(
  {
    duration: whole,
    parts,
    asleep,
    wait,
  }: { duration: number; parts: Parts | undefined; asleep: number; wait: LockWait | undefined },
  { untold = [], lockNames }: Pick<ExitResult, 'untold' | 'lockNames'>,
  several: boolean,
): string {
  if (parts === undefined) return '';
  const lacks = (state: string) => untold.some((one) => one.state === state);
  if (lacks('qemu') && lacks('preempted')) return '';
  const looks: Record<VcpuState, string> = {
    guest: 'in the guest',
    kvm: lacks('qemu') ? 'in KVM or QEMU' : 'in KVM',
    qemu: 'in QEMU',
    lock: wait === undefined ? 'waiting for a QEMU lock' : waitText(wait, lockNames as LockNames, parts.lock, several),
    blocked: lacks('lock') ? 'blocked in QEMU' : 'blocked otherwise in QEMU',
    preempted: 'preempted',
    halted: 'halted',
    unsure: 'unsure, for events were lost',
  };
  const told = (Object.entries(parts) as [VcpuState, number][]).flatMap(([state, time]) => {
    // What it was in KVM for does not matter where it slept there.
    const slept = state === 'kvm' ? asleep : 0;
    return [
      ...(time > slept ? [`${duration(time - slept)} ${looks[state]}`] : []),
      ...(slept > 0 ? [`${duration(slept)} asleep in KVM`] : []),
    ];
  });
  return `held ${duration(whole)}: ${told.join(', ')}`;
}

function waitText(wait: LockWait, names: LockNames, all: number, several: boolean): string {
  const { duration: length } = wait;
  const { name, holder, site } = named(wait, names);
  const where = site === undefined ? '' : ` (${escapeText(site)})`;
  const by =
    holder === undefined
      ? ''
      : ` held by ${/^(vCPU|thread|IO|\d)/.test(roleName(holder, several)) ? '' : 'the '}${roleName(holder, several)}${where}`;
  // Of several waits, the longest is told.
  const most = length < all * 0.995 ? `, ${duration(length)} of it` : '';
  return `waiting for ${name === 'BQL' ? 'the BQL' : `the mutex ${name}`}${most}${by}`;
}

/** The longest wait for a mutex of QEMU's within a slow span. */
export type LockWaitJson = {
  name: string;
  wait_ns: number;
  holder: { tid: number; role: string; vcpu: number | null } | null;
  site: string | null;
};

/** Time by state, for programs. */
export function partsJson(parts: Parts, states: readonly VcpuState[]): StatesJson {
  return Object.fromEntries(states.map((state) => [state, whole(parts[state])]));
}

function named({ mutex, holder, site }: LockWait, names: LockNames) {
  return {
    name: names.mutex(mutex),
    holder: holder < 0 ? undefined : names.role(holder),
    site: holder < 0 ? undefined : names.site(site),
  };
}

export function waitJson(wait: LockWait, names: LockNames): LockWaitJson {
  const { name, holder, site } = named(wait, names);
  return {
    name,
    wait_ns: whole(wait.duration),
    holder: holder === undefined ? null : { tid: holder.tid, role: holder.kind, vcpu: holder.vcpu ?? null },
    site: site ?? null,
  };
}

/** The sum of several divisions. */
export function sumOf(all: readonly Parts[]): Parts {
  const sum = { ...(all[0] as Parts) };
  for (const parts of all.slice(1)) for (const state of Object.keys(sum) as VcpuState[]) sum[state] += parts[state];
  return sum;
}

/** The divisions of all rows, of both kinds. */
export function divisionsOf({ rows }: Pick<ExitResult, 'rows'>): Parts[] {
  return rows.flatMap(({ parts }) => (parts === undefined ? [] : [parts.busy, parts.halts]));
}
