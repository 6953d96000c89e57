import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json } from './json.ts';
import { machinesCsv, machinesJson, machinesText, probesCsv, probesJson } from './machines-text.ts';
import { Terminal } from './terminal.ts';

const terminal = new Terminal({ isTTY: false, columns: undefined, env: { LC_ALL: 'C.UTF-8' }, color: 'never' });
const named = {
  pid: 15556,
  name: 'web1',
  uuid: undefined,
  program: 'qemu-system-x86_64',
  vcpus: [
    { vcpu: 0, tid: 15565 },
    { vcpu: 1, tid: 15566 },
  ],
  tids: [15556, 15565, 15566],
  probes: 0,
};
const other = { ...named, pid: 7, name: 'a\x1b[31m', uuid: '1-2', vcpus: [], tids: [7, 8], probes: 9 };

test('running machines as text, JSON and CSV; their names are whatever their owners chose', () => {
  assert.equal(
    machinesText([named, other], terminal),
    `  pid  name       program             vCPUs: threads        probes
15556  web1       qemu-system-x86_64  0: 15565, 1: 15566    none
    7  a\\x1b[31m  qemu-system-x86_64  not named; 2 threads  9 events
`,
  );
  assert.deepEqual(JSON.parse(json(machinesJson([named]))), {
    machines: [{ pid: 15556, name: 'web1', uuid: null, program: 'qemu-system-x86_64', vcpus: named.vcpus, probes: 0 }],
  });
  assert.equal(
    machinesCsv([named, { ...other, name: 'b' }]),
    'pid,name,uuid,program,vcpus,probes\n15556,web1,,qemu-system-x86_64,2,0\n7,b,1-2,qemu-system-x86_64,0,9\n',
  );
});

test("the probes of a machine's program as JSON and CSV", () => {
  const events = [
    {
      name: 'virtqueue_fill',
      arguments: [
        { text: 'void *vq', fetched: true },
        { text: 'int arg2', fetched: false },
      ],
      sites: 2,
    },
  ];
  assert.deepEqual(JSON.parse(json(probesJson('/usr/bin/qemu', events))), { file: '/usr/bin/qemu', events });
  assert.equal(probesCsv(events), 'event,arguments,sites\nvirtqueue_fill,"void *vq, int arg2",2\n');
});
