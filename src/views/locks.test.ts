import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTrace } from '../formats/detect.ts';
import type { Trace } from '../trace/trace.ts';
import { type LockGroup, type LocksOptions, type LocksResult, LocksView } from './locks.ts';
import type { Stats } from './stats.ts';

const root = join(import.meta.dirname, '..', '..');

async function look(trace: Trace, options: LocksOptions = {}): Promise<LocksResult> {
  const view = new LocksView(options);
  for await (const batch of trace.batches((type) => view.wants(type))) view.batch(trace, batch);
  await trace.close();
  return view.result();
}

type TrueStats = Record<'count' | 'total' | 'min' | 'max' | 'p50' | 'p99', number | null>;
type TrueGroup = { acquisitions: number; contended: number; wait: TrueStats; hold: TrueStats };
type Truth = {
  duration: number;
  vcpus: Record<string, number>;
  vcpu_time: number;
  mutexes: (TrueGroup & {
    mutex: string;
    sites: Record<string, TrueGroup>;
    threads: Record<string, TrueGroup>;
    behind: [tid: number, site: string | null, total: number, waits: number][];
    vcpu_wait: number;
  })[];
};

const figures = ({ count, total, min, max, p50, p99 }: Stats): TrueStats => {
  const known = (value: number) => (Number.isNaN(value) ? null : value);
  return { count, total, min: known(min), max: known(max), p50: known(p50), p99: known(p99) };
};
const group = ({ acquisitions, contended, wait, hold }: LockGroup): TrueGroup => ({
  acquisitions,
  contended,
  wait: figures(wait),
  hold: figures(hold),
});

test('a log gives what an independent reading of its text does: by mutex, call site, thread, and who held meanwhile', async () => {
  const truth = JSON.parse(readFileSync(join(root, 'test/data/locks/kvm-and-qemu.truth.json'), 'utf8')) as Truth;
  const result = await look(await openTrace(join(root, 'samples/kvm-and-qemu.log.zst')));
  assert.equal(result.duration, truth.duration);
  const vcpus = result.roles.filter(({ kind }) => kind === 'vcpu').map(({ tid, vcpu }) => [String(tid), vcpu]);
  assert.deepEqual(Object.fromEntries(vcpus), truth.vcpus);
  const found = result.mutexes.map((mutex) => {
    // The independent reading does not look at what else a holder locked.
    const behind = new Map<string, [number, string | null, number, number]>();
    for (const { role, site, total, waits } of mutex.behind) {
      const known = behind.get(`${role.tid} ${site}`);
      behind.set(`${role.tid} ${site}`, [role.tid, site ?? null, total + (known?.[2] ?? 0), waits + (known?.[3] ?? 0)]);
    }
    return {
      mutex: mutex.mutex,
      ...group(mutex),
      sites: Object.fromEntries(mutex.sites.map((one) => [one.site, group(one)])),
      threads: Object.fromEntries(mutex.threads.map((one) => [String(one.role.tid), group(one)])),
      behind: [...behind.values()],
      vcpu_wait: mutex.vcpus.wait,
    };
  });
  const order = (a: { mutex: string }, b: { mutex: string }) => (a.mutex < b.mutex ? -1 : 1);
  const sorted = (mutexes: Truth['mutexes']) =>
    mutexes.sort(order).map((one) => ({ ...one, behind: [...one.behind].sort() }));
  assert.deepEqual(sorted(found), sorted(truth.mutexes));
  const bql = result.mutexes.filter(({ name }) => name === 'BQL');
  assert.equal(bql.length, 1);
  assert.equal(bql[0]?.vcpus.time, truth.vcpu_time);
  assert.ok(
    Object.keys(
      (truth.mutexes.find(({ mutex }) => mutex === bql[0]?.mutex) as (typeof truth.mutexes)[0]).sites,
    ).includes('util/main-loop.c:318'),
  );
});
