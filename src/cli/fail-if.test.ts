import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { virtap } from '../../test/virtap.ts';

const root = join(import.meta.dirname, '../..');
const kvm = join(root, 'samples/host-kvm.dat');
const leak = join(root, 'samples/qemu-leak.bin.zst');
const log = join(root, 'samples/kvm-and-qemu.log.zst');

test('the status is 3 where a condition holds, which is said, and the answer is printed all the same', () => {
  const cases: [string[], status: number, stderr: RegExp][] = [
    [['exits', kvm, '--fail-if', 'p99(exit:NPF)>10ms'], 3, /^virtap: p99\(exit:NPF\)>10ms: it is 14\.5\d* ms$/m],
    [['exits', kvm, '--fail-if', 'p99(exit:npf)>15ms'], 0, /^$/],
    [['exits', kvm, '--by', 'vcpu,reason', '--fail-if', 'count(exit:0,npf)>=529'], 3, /it is 529$/m],
    [['exits', kvm, '--fail-if', 'count(halt)<689', '--fail-if', 'count(exit)<11223'], 0, /^$/],
    [['vcpus', kvm, '--fail-if', 'share(preempted)>39%'], 3, /it is 39\.4 %$/m],
    [['vcpus', kvm, '--fail-if', 'max(preempted:1)>89ms'], 0, /^$/],
    [['locks', log, '--fail-if', 'max(wait:BQL)>=4.211ms'], 3, /it is 4\.211 ms$/m],
    [['locks', log, '--fail-if', 'max(uncontended:BQL)>=23.621ms'], 3, /it is 23\.62 ms$/m],
    [['locks', log, '--fail-if', 'share(vcpu-wait:BQL)>0.39%'], 3, /it is 0\.40 %$/m],
    [['locks', log, '--fail-if', 'share(vcpu-wait:BQL)>2.5%'], 0, /^$/],
    [['exits', kvm, '--fail-if', 'p99(exit:npf)>1m'], 0, /^$/],
    [['events', kvm, '--fail-if', 'count(lost)>0'], 0, /^$/],
    [['events', kvm, '--fail-if', 'count(event:kvm:kvm_exit)>11913'], 3, /it is 11,914$/m],
    [
      ['pairs', kvm, '--begin', 'kvm_exit', '--end', 'kvm_entry', '--by', 'tid', '--fail-if', 'count(pair)>1'],
      3,
      /it is 11,912$/m,
    ],
    // What JSON has of a row, and of the whole.
    [['vcpus', kvm, '--fail-if', 'wall(vcpu:1)>5.9s'], 3, /it is 5\.988 s$/m],
    [['vcpus', kvm, '--fail-if', 'held_outside_guest.share>=54%'], 3, /it is 54\.\d %$/m],
    [['locks', log, '--fail-if', 'hold.max_ns(mutex:BQL)>12ms'], 3, /it is 12\.22 ms$/m],
    [['exits', kvm, '--fail-if', 'unpaired.pairs<11912'], 0, /^$/],
    [['exits', kvm, '--fail-if', 'lost>0', '--fail-if', 'totals.halts.count>688'], 3, /it is 689$/m],
    // A leak has this status of itself.
    [['leaks', leak, '--fail-if', 'count(in-flight)>1000'], 3, /^$/],
    [['leaks', leak, '--fail-if', 'count(leaked)>41'], 3, /it is 42$/m],
  ];
  for (const [args, status, stderr] of cases) {
    const result = virtap(...args);
    assert.equal(result.status, status, args.join(' '));
    assert.match(result.stderr, stderr);
    assert.notEqual(result.stdout, '');
  }
});

test('a condition that cannot be judged has not passed', () => {
  const tsc = join(root, 'test/data/ftrace-text/trace-tsc.txt.gz');
  const cases: [string[], RegExp][] = [
    [
      ['exits', tsc, '--fail-if', 'p99(exit)>1us'],
      /its clock counts cycles of unknown length, so --fail-if p99\(exit\)/,
    ],
    [['spans', 'exits', tsc, '--fail-if', 'max(exit)>1us'], /counts cycles of unknown length/],
    [['exits', kvm, '--fail-if', 'los>0'], /the answer has no los; did you mean losses or lost\?/],
    [['exits', kvm, '--fail-if', 'totals>0'], /totals is no number of the JSON/],
    [['vcpus', kvm, '--fail-if', 'wal(vcpu)>1s'], /there is no figure wal; .*did you mean wall or wall_ns\?$/m],
    [['exits', kvm, '--fail-if', 'p99(exit:EPT_VIOLATION)>1us'], /cannot be judged, there is nothing of the kind/],
    [['exits', kvm, '--fail-if', 'p99(wait)>1us'], /nothing here is called wait; there is exit, halt/],
    [['vcpus', kvm, '--fail-if', 'share(lock)>1%'], /nothing here is called lock; there is guest, kvm/],
    [['vcpus', kvm, '--fail-if', 'p99(guest)>1s'], /guest has no p99; it has total, share, max/],
    [['exits', kvm, '--fail-if', 'p99(exit'], /expected FIGURE\(WHAT\) > VALUE/],
  ];
  for (const [args, stderr] of cases) {
    const result = virtap(...args);
    assert.equal(result.status, 2, args.join(' '));
    assert.match(result.stderr, stderr);
  }
});
