import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { TraceError } from '../trace/error.ts';
import { parsePrintf, parseTraceEvents, Signatures } from './trace-events.ts';

const parse = (text: string) => parseTraceEvents(Buffer.from(text), 'trace-events-all');

test('events, their arguments and formats', () => {
  const [pop, mutex, disabled, empty] = parse(`# a comment
virtqueue_pop(void *vq, void *elem, unsigned int in_num, int8_t x) "vq %p elem %p in_num %u x %d"

qemu_mutex_lock(void *mutex, const char *file, const int line) "waiting on mutex %p (%s:%d)"
disable guest_thing(uint64_t addr, bool b, size_t n) "addr 0x%016"PRIx64" b %d 100%% n %"PRIu32""
nothing(void) ""
`);
  assert.deepEqual(
    pop?.args.map((a) => [a.name, a.declared, a.kind, a.bits, a.signed, a.base]),
    [
      ['vq', 'void *', 'int', 64, false, 'hex'],
      ['elem', 'void *', 'int', 64, false, 'hex'],
      ['in_num', 'unsigned int', 'int', 32, false, 'decimal'],
      ['x', 'int8_t', 'int', 8, true, 'decimal'],
    ],
  );
  assert.deepEqual(
    mutex?.args.map((a) => [a.name, a.kind, a.bits, a.signed]),
    [
      ['mutex', 'int', 64, false],
      ['file', 'text', 64, false],
      ['line', 'int', 32, true],
    ],
  );
  assert.equal(disabled?.name, 'guest_thing');
  assert.equal(disabled?.format, 'addr 0x%016lx b %d 100%% n %lu');
  assert.deepEqual(
    disabled?.args.map((a) => [a.bits, a.base]),
    [
      [64, 'hex'],
      [8, 'decimal'],
      [64, 'decimal'],
    ],
  );
  assert.deepEqual([empty?.args, empty?.format], [[], '']);
});

test('a char ** is an address, a char * a string', () => {
  const [event] = parse('e(char **list, char* text, const char *more, unsigned char c) "%p %s %s %c"');
  assert.deepEqual(
    event?.args.map((a) => [a.name, a.kind, a.bits]),
    [
      ['list', 'int', 64],
      ['text', 'text', 64],
      ['more', 'text', 64],
      ['c', 'int', 8],
    ],
  );
});

test('vcpu events get the vCPU in front, tcg events become two', () => {
  const events = parse(
    'vcpu guest_cpu_enter(void)\nvcpu tcg guest_mem(TCGv vaddr, uint16_t info) "info=%d", "vaddr=0x%016"PRIx64" info=%d"\n',
  );
  assert.deepEqual(
    events.map((e) => [e.name, e.args.map((a) => a.name), e.format]),
    [
      ['guest_cpu_enter', ['__cpu'], 'cpu=%p '],
      ['guest_mem_trans', ['__cpu', 'info'], 'cpu=%p info=%d'],
      ['guest_mem_exec', ['__cpu', 'vaddr', 'info'], 'cpu=%p vaddr=0x%016lx info=%d'],
    ],
  );
});

test('an event over several lines', () => {
  const [event] = parse('a(int x, \\\n  int y) \\\n "x %d y %d"\n');
  assert.deepEqual(
    event?.args.map((a) => a.name),
    ['x', 'y'],
  );
});

test('what is no trace-events file is named, with the byte', () => {
  const bad = (text: string, offset: number) =>
    assert.throws(
      () => parse(text),
      (error) => error instanceof TraceError && error.file === 'trace-events-all' && error.offset === offset,
    );
  bad('', 0);
  bad('# only comments\n', 0);
  bad('{"json": true}', 0);
  bad('# fine\nok(void) ""\nnot an event\n', 19);
  bad('a(int) "x"\n', 0);
  bad(`a(${' '.repeat(100_000)}`, 0);
});

test('any bytes parse or are refused', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom('(', ')', '"', '%', 'PRIx64', '\\\n', '\n', 'a(int b) "%d"', ',', 'tcg ', 'vcpu '),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      try {
        for (const event of parse(pieces.join(''))) parsePrintf(event.format + event.args.length);
      } catch (error) {
        assert.ok(error instanceof TraceError);
      }
    }),
  );
});

test('the trace-events-all beside the trace wins over what is built in', () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtap-test-'));
  try {
    const file = join(folder, 'trace-events-all');
    writeFileSync(file, 'virtqueue_flush(void *vq, unsigned int count, int more) "vq %p count %u more %d"\n');
    const signatures = new Signatures(join(folder, 'trace.bin'), {});
    assert.equal(signatures.of('virtqueue_flush')?.args.length, 3);
    assert.deepEqual(
      signatures.candidates('virtqueue_flush').map((s) => s.args.length),
      [3, 2],
    );
    assert.equal(signatures.of('virtqueue_pop')?.args.length, 4);
    assert.equal(signatures.of('no_such_event'), undefined);
    assert.equal(signatures.file, file);
    assert.equal(signatures.named, false);

    writeFileSync(file, 'rubbish\n');
    const broken = new Signatures(join(folder, 'trace.bin'), {});
    assert.equal(broken.of('virtqueue_pop')?.args.length, 4);
    assert.match(broken.notes.join(), /not used: .*trace-events-all: byte 0: "rubbish" is no trace event/);

    assert.throws(() => new Signatures(undefined, { traceEvents: file }), TraceError);
    assert.throws(() => new Signatures(undefined, { traceEvents: join(folder, 'missing') }), /missing: no such file/);
    assert.throws(() => new Signatures(undefined, { traceEvents: folder }), /is a directory/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('memory regions had no names once', () => {
  const ways = new Signatures(undefined, {}).candidates('memory_region_ops_read').map((s) => s.args.length);
  assert.ok(ways.includes(5) && ways.includes(6));
});
