import assert from 'node:assert/strict';
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { generate } from '../../bench/generate.ts';
import { perfFile, sampleRecord } from '../../test/perf-writer.ts';
import { virtap } from '../../test/virtap.ts';
import type { SpanKind } from '../spans/kind.ts';
import { kindNamed } from '../spans/kinds.ts';
import type { Analysis } from '../trace/analysis.ts';
import { Exits } from '../views/exits.ts';
import { LocksView } from '../views/locks.ts';
import { PairsView } from '../views/pairs.ts';
import { SpansView } from '../views/spans.ts';
import { Vcpus } from '../views/vcpus.ts';
import { openFiles } from './files.ts';
import { read } from './read.ts';

const folder = mkdtempSync(join(tmpdir(), 'virtap-stretches-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const files = { 'perf.data': join(folder, 'perf.data'), 'trace.dat': join(folder, 'trace.dat') };
before(async () => {
  await generate('perf.data', 200_000, files['perf.data']);
  await generate('trace.dat', 200_000, files['trace.dat']);
});

/** Threads of QEMU that take its mutexes, recorded through uprobes. */
function mutexes(): Buffer {
  const number = (declaration: string, size: number) => ({ declaration, size, signed: size === 4 });
  const fields = [number('u64 mutex', 8), number('int line', 4)];
  const events = ['lock', 'locked', 'unlock'].map((name, n) => ({
    system: 'sdt_qemu',
    name: `qemu_mutex_${name}`,
    id: 500 + n,
    perfId: BigInt(50 + n),
    fields,
  }));
  const finishedRound = Buffer.from([68, 0, 0, 0, 0, 0, 8, 0]);
  const records: Buffer[] = [];
  let time = 1000;
  const add = (what: number, who: number, mutex: bigint, line: number) => {
    time += 100 + ((records.length * 7919) % 900);
    if (records.length % 500 === 0) records.push(finishedRound);
    const payload = [500 + what, 0x7f00_0000_0000n + mutex, line];
    const thread = { pid: 999, tid: 1000 + who, cpu: who };
    records.push(sampleRecord({ little: true, id: BigInt(50 + what), ...thread, time: BigInt(time), payload }));
  };
  for (let round = 0; round < 10_000; round++) {
    const mutex = BigInt((round % 3) * 64);
    const [first, second] = [round % 4, (round * 7 + 1) % 4];
    const contended = first !== second && round % 3 < 2;
    const line = 10 + (round % 5);
    add(0, first, mutex, line);
    add(1, first, mutex, line);
    if (contended) add(0, second, mutex, line);
    add(2, first, mutex, line);
    if (contended) add(1, second, mutex, line);
    if (contended) add(2, second, mutex, line);
  }
  records.push(finishedRound);
  return perfFile({ little: true, events, records });
}

type Asking = Analysis & { result(): unknown };

const kind = (name: string) => kindNamed(name) as SpanKind;
const questions: Record<string, () => Asking> = {
  exits: () => new Exits({ by: ['reason'], heatmap: true }),
  'exits by vCPU and port': () => new Exits({ by: ['vcpu', 'port'], breakdown: true }),
  'slow exits': () => new Exits({ by: ['reason'], slow: 20, halts: true }),
  'stretches in the guest': () => new Exits({ by: ['reason'], inGuest: true }),
  vcpus: () => new Vcpus({ timeline: true }),
  'spans of exits': () => new SpansView({ kind: kind('exit'), heatmap: true, slow: 5 }),
  states: () => new SpansView({ kind: kind('states') }),
  migrations: () => new SpansView({ kind: kind('migration') }),
  pairs: () =>
    new PairsView({
      from: { event: 'kvm:kvm_exit' },
      to: { event: 'kvm:kvm_entry' },
      by: [{ from: 'tid', to: 'tid' }],
    }),
};

/** What is answered, and how the trace was read. Throws where stretches could not be joined. */
async function answer(file: string, ask: () => Asking, threads: number): Promise<unknown> {
  const trace = await openFiles([file], { threads });
  const asked = ask();
  const { window, ...reading } = await read(trace, [asked], { threads });
  await trace.close();
  const { threads: names, last, types } = trace;
  const { from, to } = window;
  return {
    // Functions are equal to themselves alone.
    result: Object.entries(asked.result() as object).filter(([key]) => key !== 'lockNames'),
    reading,
    window: { from, to },
    names: [...names],
    last,
    types: types.map(({ name }) => name),
  };
}

for (const [format, file] of Object.entries(files)) {
  for (const [question, ask] of Object.entries(questions)) {
    test(`${format}: ${question} are the same on any number of threads`, async () => {
      const expected = await answer(file, ask, 1);
      const numbers = fc.sample(fc.integer({ min: 4, max: 16 }), 1);
      for (const threads of [2, 3, ...numbers]) {
        assert.deepEqual(await answer(file, ask, threads), expected, `${threads} threads`);
      }
    });
  }

  test(`${format}: what the commands print is the same to the byte`, () => {
    for (const args of [
      ['exits'],
      ['exits', '--slow', '5'],
      ['exits', '--from', '1s'],
      ['vcpus'],
      ['spans', 'exits'],
    ]) {
      const [expected, ...others] = ['1', '2', '8'].map((threads) =>
        virtap(...args, file, '--json', '--threads', threads),
      );
      for (const other of others) assert.deepEqual(other, expected, args.join(' '));
      assert.equal(expected?.status, 0, expected?.stderr);
    }
  });

  test(`${format}: of a damaged file is said what one thread says`, () => {
    const damaged = join(folder, `damaged-${format}`);
    for (const [name, damage] of [
      ['overwritten', () => overwrite(damaged, 0.8, Buffer.alloc(5000, 0xa5))],
      ['early', () => overwrite(damaged, 0.3, Buffer.alloc(5000, 0xa5))],
    ] as const) {
      copyFileSync(file, damaged);
      damage();
      const [expected, ...others] = ['1', '2', '5'].map((threads) =>
        virtap('exits', damaged, '--json', '--threads', threads),
      );
      for (const other of others) assert.deepEqual(other, expected, name);
      assert.match(`${expected?.stdout}`, /"partial": true/, name);
    }
  });
}

/** Overwrites what stands at a part of the file's length. */
function overwrite(file: string, part: number, bytes: Uint8Array): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, Math.floor(part * statSync(file).size));
  closeSync(fd);
}

test('locks are the same on any number of threads', async () => {
  const file = join(folder, 'mutexes.data');
  writeFileSync(file, mutexes());
  let joins = 0;
  const counting = <View extends LocksView | SpansView>(view: View): View => {
    const join = view.join.bind(view);
    return Object.assign(view, {
      join: (...part: Parameters<typeof join>) => {
        joins++;
        (join as (...part: unknown[]) => void)(...part);
      },
    });
  };
  for (const ask of [
    () => counting(new LocksView({ heatmap: true })),
    () => counting(new SpansView({ kind: kind('lockWait'), slow: 5 })),
  ]) {
    const expected = await answer(file, ask, 1);
    assert.match(JSON.stringify(expected), /0x7f0000000040/);
    assert.deepEqual(await answer(file, ask, 3), expected);
  }
  assert.equal(joins, 4);
});

test('a recording whose stretches cannot be joined is read in one go', async () => {
  // More holes than are told apart.
  const file = join(folder, 'losses');
  await generate('perf.data', 300_000, file, join(import.meta.dirname, '../../bench/seeds/losses.perf.data.zst'));
  const [one, many] = ['1', '4'].map((threads) => virtap('exits', file, '--json', '--threads', threads));
  assert.deepEqual(many, one);
  assert.equal(one?.status, 0);
});
