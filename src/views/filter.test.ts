import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { EventPatterns } from './event-pattern.ts';
import { Filter, FilterError } from './filter.ts';

const events: SyntheticEvent[] = [
  { name: 'kvm:kvm_entry', time: 0, tid: 10, fields: { vcpu_id: 0 } },
  { name: 'kvm:kvm_entry', time: 1, tid: 11, fields: { vcpu_id: 1 } },
  {
    name: 'kvm:kvm_exit',
    time: 2,
    cpu: 3,
    tid: 11,
    pid: 9,
    fields: { exit_reason: 0x78, isa: 2, guest_rip: 0xffffffff81000001n },
  },
  { name: 'kvm:kvm_exit', time: 3, tid: 10, fields: { exit_reason: 0x400, isa: 2, guest_rip: 0xffffffff81000002n } },
  { name: 'sched:sched_switch', time: 4, tid: 11, fields: { prev_comm: 'CPU 1/KVM', prev_prio: -1 } },
  { name: 'qemu:virtqueue_pop', time: 5, pid: 9, fields: { elem: 0x7f52c4001a80n } },
];

/** Times of the events that pass. */
async function passing(text: string): Promise<number[]> {
  const filter = new Filter(text);
  const trace = synthetic(events, { threads: [[11, 'CPU 1/KVM', 9]] });
  const times: number[] = [];
  for await (const b of trace.batches()) {
    for (let i = 0; i < b.count; i++) {
      filter.note(trace, b, i);
      if (filter.passes(trace, b, i)) times.push(b.time[i] as number);
    }
  }
  return times;
}

test('fields, threads, vCPUs and exit reasons', async () => {
  assert.deepEqual(await passing('vcpu==1 && reason==HLT'), [2]);
  assert.deepEqual(await passing('vcpu==1'), [1, 2, 4]);
  assert.deepEqual(await passing('reason=~"^n" || event==virtqueue_pop'), [3, 5]);
  assert.deepEqual(await passing('reason==0x78'), [2]);
  assert.deepEqual(await passing('reason!=hlt'), [3]);
  assert.deepEqual(await passing('comm=="CPU 1/KVM" && !(event=~kvm_)'), [4]);
  assert.deepEqual(await passing('pid==9'), [1, 2, 4, 5]);
  assert.deepEqual(await passing('cpu'), [2]);
  assert.deepEqual(await passing("prev_comm=~'KVM$' && prev_prio<0"), [4]);
  assert.deepEqual(await passing('event==kvm:kvm_exit && tid>10'), [2]);
});

test('numbers compare exactly in 64 bits', async () => {
  assert.deepEqual(await passing('guest_rip==0xffffffff81000001'), [2]);
  assert.deepEqual(await passing('guest_rip==18446744071578845186'), [3]);
  assert.deepEqual(await passing('guest_rip>0xffffffff81000001'), [3]);
  assert.deepEqual(await passing('elem==0x7f52c4001a80'), [5]);
  assert.deepEqual(await passing('prev_prio==-1'), [4]);
  await fc.assert(
    fc.asyncProperty(
      fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
      fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
      async (a, b) => {
        const trace = synthetic([{ name: 'a:b', time: 0, fields: { f: a } }]);
        for (const [operator, expected] of [
          ['==', a === b],
          ['<', a < b],
          ['>=', a >= b],
        ] as const) {
          const filter = new Filter(`f ${operator} ${b}`);
          for await (const batch of trace.batches())
            assert.equal(filter.passes(trace, batch, 0), expected, `${a} ${operator} ${b}`);
        }
      },
    ),
  );
});

test('&& binds more than ||, ! more than both', async () => {
  assert.deepEqual(await passing('tid==10 || tid==11 && event==kvm_exit'), [0, 2, 3]);
  assert.deepEqual(await passing('(tid==10 || tid==11) && event==kvm_exit'), [2, 3]);
  assert.deepEqual(await passing('!tid==10 && !event==kvm_entry'), [2, 4, 5]);
});

test('what is no filter is refused with the place', () => {
  const cases: [string, RegExp][] = [
    ['vcpu==', /ends at character 7; expected a value/],
    ['(vcpu==1', /ends at character 9; expected '\)'/],
    ['vcpu=1', /has '=' at character 5; expected a name/],
    ['a==1 b', /has 'b' at character 6; expected '&&', '\|\|' or the end/],
    ['', /ends at character 1; expected the name of a field/],
    ['a=~"("', /no regular expression/],
    ['a==0x10000000000000000', /does not fit in 64 bits/],
    ['('.repeat(100_000), /nested more than 200 deep/],
  ];
  for (const [text, message] of cases)
    assert.throws(
      () => new Filter(text),
      (error) => error instanceof FilterError && message.test(error.message),
      text,
    );
});

test('a name that no event has is known in the end', async () => {
  const filter = new Filter('vcup==1 && reason==HLT && elem==1');
  const trace = synthetic(events);
  for await (const _ of trace.batches()) for (const type of trace.types) filter.learn(type);
  assert.deepEqual(filter.unknownNames().unknown, ['vcup']);
});

test('patterns pick events with or without their system', () => {
  const trace = synthetic(events);
  const taken = async (...patterns: string[]) => {
    const picker = new EventPatterns(patterns);
    for await (const _ of trace.batches());
    return [
      trace.types.filter((type) => picker.takes(type)).map((type) => type.name.replace(/.*:/, '')),
      picker.unused(),
    ];
  };
  return Promise.all([
    taken().then((t) => assert.equal((t[0] as string[]).length, 4)),
    taken('kvm_e*').then((t) => assert.deepEqual(t, [['kvm_entry', 'kvm_exit'], []])),
    taken('sched:*', 'nosuch').then((t) => assert.deepEqual(t, [['sched_switch'], ['nosuch']])),
    taken('virtqueue_p?p').then((t) => assert.deepEqual(t, [['virtqueue_pop'], []])),
    taken(`${'*a'.repeat(5000)}`).then((t) => assert.deepEqual(t[0], [])),
  ]).then(() => {});
});
