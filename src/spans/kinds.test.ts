import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTrace } from '../formats/detect.ts';
import { cellOf, type Reader, rowOf, type SpanKind } from './kind.ts';
import { kindNamed, kinds } from './kinds.ts';

const samples = join(import.meta.dirname, '../../samples');
/** Files that have spans of the kind. */
const files: Record<string, string> = {
  exits: 'host-kvm.dat',
  states: 'host-kvm.dat',
  requests: 'qemu-leak.bin.zst',
  waits: 'kvm-and-qemu.log.zst',
  holds: 'kvm-and-qemu.log.zst',
  migrations: 'kvm-and-qemu.dat',
};

test('kinds and their columns have names of their own, and say what they mean', () => {
  const words = kinds.flatMap((kind: SpanKind) => [...new Set([kind.name, kind.word]), kind.plural]);
  assert.equal(new Set(words).size, words.length);
  for (const kind of kinds as readonly SpanKind[]) {
    for (const word of [kind.name, kind.word, kind.plural]) assert.equal(kindNamed(word), kind);
    for (const { meaning } of Object.values(kind.columns)) assert.match(meaning, /\S/);
    for (const name of [...kind.by, ...(kind.apart === undefined ? [] : [kind.apart])]) assert.ok(name in kind.columns);
  }
});

const typeOf = { time: 'number', length: 'number', number: 'number', text: 'string', hex: 'string', flag: 'boolean' };

for (const kind of kinds as readonly SpanKind[]) {
  test(`${kind.plural}: each column is read as its type says, and rows have just the columns`, async () => {
    const trace = await openTrace(join(samples, files[kind.plural] ?? 'kvm-and-qemu.dat'));
    const spans = kind.start();
    let ended = 0;
    const check = () => {
      let last = -1;
      for (let k = 0; k < spans.count; k++, ended++) {
        const row = rowOf(kind, spans, k) as Record<string, unknown>;
        const old = Object.values(kind.columns).flatMap(({ was }) => was ?? []);
        assert.deepEqual(Object.keys(row).sort(), [...Object.keys(kind.columns), ...old].sort());
        for (const [name, { type }] of Object.entries(kind.columns)) {
          const cell = cellOf(spans.read[name] as Reader, k);
          assert.deepEqual(row[name], cell);
          if (type === 'detail') continue;
          assert.equal(typeof cell, typeOf[type], name);
          if (type === 'hex') assert.match(cell as string, /^(0x[\da-f]+)?$/);
          if (typeof cell === 'number') assert.ok(Number.isInteger(cell), `${name} is ${cell}`);
        }
        assert.ok(row.duration !== undefined && (row.duration as number) >= 0);
        assert.ok(spans.endsAt(k) >= last);
        last = spans.endsAt(k);
      }
    };
    for await (const batch of trace.batches((type) => spans.wants(type))) {
      spans.batch(trace, batch);
      check();
    }
    if (spans.finish !== undefined) {
      spans.finish(trace.last);
      check();
    }
    await trace.close();
    assert.ok(spans.seen);
    if (kind.plural !== 'migrations') assert.ok(ended > 0);
    let before = Number.NEGATIVE_INFINITY;
    for (const { begin } of spans.open()) {
      assert.ok(begin >= before);
      before = begin;
    }
  });
}
