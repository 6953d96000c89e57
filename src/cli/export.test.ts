import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { decodeFromCompressedBase64, initWebAssemblySync } from 'hdr-histogram-js';
import { parquetReadObjects } from 'hyparquet';
import { virtap as run } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const folder = mkdtempSync(join(tmpdir(), 'virtap-export-'));
after(() => rmSync(folder, { recursive: true }));

function virtap(...args: string[]): string {
  const { status, stdout, stderr } = run(...args);
  assert.ok(status === 0 || status === 3, stderr);
  return stdout;
}

type Row = {
  kind: string;
  begin_ns: number;
  duration_ns: number;
  tid: number | null;
  reason: string | null;
  elem: string;
};

function rows(file: string): Row[] {
  return virtap('export', '--format', 'jsonl', file)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

test('every exit and every request is a row, with the figures that the commands give', () => {
  const exits = rows(kvm);
  const answer = JSON.parse(virtap('exits', '--json', kvm)) as {
    rows: { reason: string; count: number; total_ns: number; max_ns: number }[];
  };
  for (const { reason, count, total_ns, max_ns } of answer.rows) {
    const lengths = exits.filter((row) => row.reason === reason).map((row) => row.duration_ns);
    assert.equal(lengths.length, count, reason);
    assert.equal(
      lengths.reduce((a, b) => a + b, 0),
      total_ns,
    );
    assert.equal(Math.max(...lengths), max_ns);
  }
  const { queues } = JSON.parse(virtap('leaks', '--json', leak)) as { queues: { filled: number }[] };
  assert.equal(
    rows(leak).filter(({ kind }) => kind === 'request').length,
    queues.reduce((sum, { filled }) => sum + filled, 0),
  );
});

test('CSV has the rows of JSON lines', () => {
  const [header, ...lines] = virtap('export', '--format', 'csv', '--spans', 'exits', kvm).trimEnd().split('\n');
  assert.equal(header, 'kind,time,begin_ns,duration_ns,cpu,tid,pid,vcpu,reason,halt,rip');
  const all = rows(kvm);
  assert.equal(lines.length, all.length);
  assert.deepEqual(
    lines.map((line) => line.split(',').slice(2, 4).map(Number)),
    all.map((row) => [row.begin_ns, row.duration_ns]),
  );
});

test('Parquet has them too, typed, as another library reads it', async () => {
  const path = join(folder, 'exits.parquet');
  virtap('export', '--format', 'parquet', '-o', path, kvm);
  const bytes = readFileSync(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  const found = (await parquetReadObjects({ file })) as Record<string, unknown>[];
  const all = rows(kvm);
  assert.equal(found.length, all.length);
  found.forEach((row, n) => {
    const expected = all[n] as Row;
    assert.deepEqual(
      [row.kind, row.begin_ns, row.duration_ns, row.tid, row.reason, row.elem],
      [
        expected.kind,
        BigInt(expected.begin_ns),
        BigInt(expected.duration_ns),
        BigInt(expected.tid ?? -1),
        expected.reason,
        null,
      ],
    );
  });
});

test('an HdrHistogram log has each exit once, by its reason', () => {
  initWebAssemblySync();
  const log = virtap('export', '--format', 'hdr', kvm);
  const counts = new Map<string, number>();
  for (const [, tag, encoded] of log.matchAll(/^Tag=([^,]+),[^,]+,[^,]+,[^,]+,(\S+)$/gm)) {
    const histogram = decodeFromCompressedBase64(encoded as string);
    counts.set(tag as string, (counts.get(tag as string) ?? 0) + histogram.totalCount);
  }
  const expected = new Map<string, number>();
  for (const { reason } of rows(kvm)) expected.set(`exit:${reason}`, (expected.get(`exit:${reason}`) ?? 0) + 1);
  assert.deepEqual([...counts].sort(), [...expected].sort());
});

/** A message of protobuf's wire format, as field numbers and values: read here by the book, apart from virtap's writer. */
function fields(bytes: Uint8Array): [field: number, value: bigint | Uint8Array][] {
  const found: [number, bigint | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const wire = key & 7;
    if (wire === 0) found.push([key >> 3, varint()]);
    else if (wire === 1) {
      found.push([key >> 3, new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigUint64(0, true)]);
      at += 8;
    } else {
      assert.equal(wire, 2);
      const length = Number(varint());
      found.push([key >> 3, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
  assert.equal(at, bytes.length);
  return found;
}

test('Perfetto gets a slice for each span on a track that was described before, begun and ended at its times', () => {
  for (const file of [kvm, leak]) {
    const path = join(folder, 'spans.pftrace');
    // The second time it is a recording that virtap reads.
    virtap('export', '--format', 'perfetto', '--spans', 'exits,requests,waits', '--force', '-o', path, file);
    const { origin } = JSON.parse(virtap('events', '--json', file)) as { origin: string };
    const tracks = new Set<bigint>();
    const slices = new Map<string, number>();
    const open = new Map<bigint, bigint>();
    for (const [field, packet] of fields(readFileSync(path))) {
      assert.equal(field, 1);
      const inner = new Map(fields(packet as Uint8Array));
      const descriptor = inner.get(60);
      if (descriptor !== undefined) tracks.add(new Map(fields(descriptor as Uint8Array)).get(1) as bigint);
      const event = inner.get(11);
      if (event === undefined) continue;
      const of = new Map(fields(event as Uint8Array));
      const track = of.get(11) as bigint;
      const time = inner.get(8) as bigint;
      assert.ok(tracks.has(track), 'a track is described before it is used');
      if (of.get(9) === 1n) {
        assert.ok(!open.has(track), 'slices of one track do not overlap');
        open.set(track, time);
      } else {
        assert.equal(of.get(9), 2n);
        const begin = open.get(track) as bigint;
        open.delete(track);
        const key = `${begin - BigInt(origin)} ${time - begin}`;
        slices.set(key, (slices.get(key) ?? 0) + 1);
      }
    }
    assert.equal(open.size, 0);
    const expected = new Map<string, number>();
    for (const { begin_ns, duration_ns } of rows(file)) {
      const key = `${begin_ns} ${duration_ns}`;
      expected.set(key, (expected.get(key) ?? 0) + 1);
    }
    assert.deepEqual([...slices].sort(), [...expected].sort());
  }
});

const both = [
  join(root, 'samples/kvm-and-qemu.dat'),
  join(root, 'samples/kvm-and-qemu.log.zst'),
  '--offset',
  'kvm-and-qemu.log.zst=-1795418437072120300',
];

test("vCPUs' states follow each other without a gap, and sum up to what virtap vcpus gives", () => {
  const states = virtap('export', '--format', 'jsonl', '--spans', 'states', ...both)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row & { state: string });
  const { vcpus } = JSON.parse(virtap('vcpus', '--json', ...both)) as {
    vcpus: { tid: number; wall_ns: number; states: Record<string, number> }[];
  };
  for (const { tid, wall_ns: wall, states: expected } of vcpus) {
    const own = states.filter((row) => row.tid === tid).sort((a, b) => a.begin_ns - b.begin_ns);
    const sums = new Map<string, number>();
    for (const [n, { state, begin_ns: begin, duration_ns: duration }] of own.entries()) {
      sums.set(state, (sums.get(state) ?? 0) + duration);
      const before = own[n - 1];
      if (before !== undefined) {
        assert.equal(begin, before.begin_ns + before.duration_ns);
        assert.notEqual(state, before.state);
      }
    }
    const told = Object.entries(expected).filter(([, time]) => time > 0);
    assert.deepEqual([...sums].sort(), told.sort());
    assert.equal(
      own.reduce((sum, row) => sum + row.duration_ns, 0),
      wall,
    );
  }
});

test('waits for locks are those of virtap locks', () => {
  const waits = virtap('export', '--format', 'jsonl', '--spans', 'waits', ...both)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row & { mutex: string });
  const { mutexes } = JSON.parse(virtap('locks', '--json', ...both)) as {
    mutexes: { mutex: string; wait: { count: number; total_ns: number } }[];
  };
  for (const { mutex, wait } of mutexes) {
    const own = waits.filter((row) => row.mutex === mutex);
    assert.equal(own.length, wait.count, mutex);
    assert.equal(
      own.reduce((sum, row) => sum + row.duration_ns, 0),
      wait.total_ns,
    );
  }
  assert.equal(
    waits.length,
    mutexes.reduce((sum, { wait }) => sum + wait.count, 0),
  );
});

test('in Perfetto each request whose kick is known has a flow from the exit that it came with', () => {
  const path = join(folder, 'both.pftrace');
  virtap('export', '--format', 'perfetto', '-o', path, ...both);
  const flows = new Map<string, { exit: number; request: number }>();
  for (const [, bytes] of fields(readFileSync(path))) {
    const packet = new Map(fields(bytes as Uint8Array));
    const event = packet.get(11);
    if (event === undefined) continue;
    const of = fields(event as Uint8Array);
    const category = of.find(([field]) => field === 22)?.[1];
    if (category === undefined) continue;
    const kind = Buffer.from(category as Uint8Array).toString() as 'exit' | 'request';
    for (const [field, flow] of of) {
      if (field !== 47) continue;
      const ends = flows.get(String(flow)) ?? { exit: 0, request: 0 };
      flows.set(String(flow), ends);
      ends[kind]++;
    }
  }
  const { delay } = JSON.parse(virtap('requests', '--json', ...both)) as { delay: { count: number } };
  const tied = [...flows.values()].filter(({ exit }) => exit === 1);
  assert.equal(
    tied.reduce((sum, { request }) => sum + request, 0),
    delay.count,
  );
  assert.ok(delay.count > 50);
});

test('a trace without spans, and a file that cannot be written, are refused', () => {
  const unwritable = run('export', '--format', 'csv', '-o', join(folder, 'no/such/folder'), kvm);
  assert.equal(unwritable.status, 2);
  assert.match(unwritable.stderr, /^virtap: cannot write .*no\/such\/folder: there is no such directory/);
  const bare = join(folder, 'bare.txt');
  writeFileSync(
    bare,
    '# tracer: nop\n#\n   a-7 [000] d..1. 1.000001: sched_waking: comm=a pid=7 prio=120 target_cpu=000\n',
  );
  const none = run('export', '--format', 'csv', bare);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /has nothing to export: no exits \(kvm:kvm_exit and kvm:kvm_entry\), no requests/);
  assert.match(
    run('export', '--format', 'csv', '--spans', 'exits,hold-ups', kvm).stderr,
    /Expected some of exits, states, requests, waits, holds/,
  );
});

test('a recording that is cut short is exported, and scripts run on it, as far as it was read', () => {
  const cut = join(folder, 'cut.bin');
  const whole = zstdDecompressSync(readFileSync(leak));
  // Amid a record, the size of which is no multiple of this one's.
  writeFileSync(cut, whole.subarray(0, 2_000_001));
  const { totals } = JSON.parse(virtap('requests', '--json', cut)) as { totals: { count: number } };
  assert.ok(totals.count > 1000);
  const exported = run('export', '--format', 'csv', '--spans', 'requests', cut);
  assert.match(exported.stderr, /^virtap: partial: .*cut\.bin: byte \d+: the file ends/);
  assert.equal(exported.stdout.trim().split('\n').length - 1, totals.count);
  const script = join(folder, 'count.ts');
  writeFileSync(
    script,
    `import { analyzer } from 'virtap/script';
    export default analyzer(({ print }) => { let n = 0; return { request() { n++ }, end() { print(n) } } });`,
  );
  assert.equal(run('run', script, cut).stdout.trim(), String(totals.count));
});

test('what can be read once only is read once: a pipe, and standard input', () => {
  const shell = (command: string) =>
    spawnSync('sh', ['-c', command], { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 60_000 });
  const main = `${process.execPath} ${join(import.meta.dirname, 'main.ts')}`;
  const whole = shell(`${main} export --format csv ${kvm}`).stdout;
  assert.ok(whole.length > 100_000);
  assert.equal(shell(`${main} export --format csv - <${kvm}`).stdout, whole);
  const pipe = join(folder, 'pipe');
  assert.equal(shell(`mkfifo ${pipe}; cat ${kvm} >${pipe} & ${main} export --format csv ${pipe}`).stdout, whole);
});
