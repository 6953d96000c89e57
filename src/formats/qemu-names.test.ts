import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventBatch } from '../trace/batch.ts';
import type { FieldReader, Layout } from '../trace/event-type.ts';
import { TypeTable } from '../trace/trace.ts';
import { IntReader } from './int-reader.ts';
import { QemuMarkers, QemuNames, QemuProbeLayout, qemuProbe } from './qemu-names.ts';
import { Signatures } from './trace-events.ts';

const signatures = new Signatures(undefined, {});

test('probes of any carrier are the events that they are', () => {
  assert.equal(qemuProbe('sdt_qemu', 'virtqueue_pop', true, signatures), 'qemu:virtqueue_pop');
  assert.equal(qemuProbe('qemu_uprobes', 'virtqueue_pop_1', true, signatures), 'qemu:virtqueue_pop');
  assert.equal(qemuProbe('qemu', 'virtqueue_pop', false, signatures), 'qemu:virtqueue_pop');
  assert.equal(qemuProbe('uprobes', 'virtqueue_fill_12', true, signatures), 'qemu:virtqueue_fill');
  // Unknown: kept under QEMU's name where the group says so, and as it is where nothing does.
  assert.equal(qemuProbe('sdt_qemu', 'no_such_event_1', true, signatures), 'qemu:no_such_event_1');
  assert.equal(qemuProbe('uprobes', 'no_such_event', true, signatures), undefined);
  assert.equal(qemuProbe('kvm', 'virtqueue_pop', false, signatures), undefined);
});

/** A layout of 8-byte integers. */
function registers(names: string[]): Layout {
  return {
    fields: names.map((name) => ({ name, declared: 'u64' })),
    reader(name): FieldReader | undefined {
      const index = names.indexOf(name);
      return index < 0 ? undefined : new IntReader(index * 8, 8, false, true, 'hex');
    },
    print: () => '',
  };
}

function batch(values: bigint[]): EventBatch {
  const b = new EventBatch(1);
  const bytes = Buffer.alloc(values.length * 8);
  for (const [n, value] of values.entries()) bytes.writeBigUInt64LE(value, n * 8);
  b.count = 1;
  b.bytes = bytes;
  b.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  b.size[0] = bytes.length;
  return b;
}

test("a probe's arguments have QEMU's names, types and bases", () => {
  const layout = new QemuProbeLayout(
    registers(['__probe_ip', 'arg1', 'arg2', 'arg3']),
    'qemu:virtio_blk_rw_complete',
    signatures,
  );
  assert.deepEqual(
    layout.fields.map((f) => f.name),
    ['vdev', 'req', 'ret'],
  );
  // The upper half of a register that held an int may be anything.
  const b = batch([0n, 0x55aan, 0x7f00_0000_1000n, 0xdead_beef_ffff_fffbn]);
  assert.equal(layout.print(b, 0), 'vdev=0x55aa req=0x7f0000001000 ret=-5');
  assert.equal(layout.reader('ret')?.number(b, 0), -5);
  assert.equal(layout.reader('arg1'), undefined);
  assert.ok(Number.isNaN(layout.reader('ret')?.number(batch([0n, 1n]), 0)));
});

test('fields that the user named, and strings that are addresses', () => {
  const layout = new QemuProbeLayout(
    registers(['__probe_ip', 'line', 'file', 'extra']),
    'qemu:qemu_mutex_lock',
    signatures,
  );
  const b = batch([0n, 0x1_0000_0007n, 0x7fff0000n, 3n]);
  assert.equal(layout.print(b, 0), 'line=7 file=0x7fff0000 extra=0x3');
});

test('names are found by the first word', () => {
  const names = QemuNames.of(signatures);
  const find = (text: string) => names.events[names.find(Buffer.from(text), 0, Buffer.byteLength(text))]?.name;
  assert.equal(find('virtqueue_pop vq 0x1'), 'virtqueue_pop');
  assert.equal(find('virtqueue_pop'), 'virtqueue_pop');
  assert.equal(find('virtqueue_pop\n'), 'virtqueue_pop');
  assert.equal(find('virtqueue_pop\0'), 'virtqueue_pop');
  for (const other of [
    '',
    ' ',
    'virtqueue_po',
    'virtqueue_pop,',
    'virtqueue_pop: x',
    'virtqueue_popp',
    'x'.repeat(500),
  ]) {
    assert.equal(find(other), undefined, other);
  }
  for (const event of names.events) assert.equal(find(`${event.name} `), event.name);
});

test('marker texts make one type each', () => {
  const types = new TypeTable();
  const markers = new QemuMarkers(signatures, types, 'ftrace:print', 2);
  const typeOf = (text: string) => markers.typeOf(Buffer.from(`..${text}`), 2, 2 + text.length);
  const flush = typeOf('virtqueue_flush vq 0x1 count 2\n');
  assert.equal(typeOf('hello'), -1);
  assert.notEqual(typeOf('virtio_notify vdev 0x1 vq 0x2'), flush);
  assert.equal(typeOf('virtqueue_flush vq 0x9 count 3'), flush);
  assert.deepEqual(
    types.all.map((t) => [t.name, t.recordedAs]),
    [
      ['qemu:virtqueue_flush', 'ftrace:print'],
      ['qemu:virtio_notify', 'ftrace:print'],
    ],
  );
  const b = new EventBatch(1);
  b.bytes = Buffer.from('..virtqueue_flush vq 0x9 count 3\n\0');
  b.size[0] = b.bytes.length;
  assert.equal(types.all[flush]?.reader('count')?.number(b, 0), 3);
});
