import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Architecture } from './elf.ts';
import { operandsOf } from './probe-arguments.ts';

/** What the kernel is to fetch for each argument. */
const fetched = (args: string, machine: Architecture = 'x86-64') => operandsOf(args, machine).map(({ fetch }) => fetch);

test('operands of x86-64 become what uprobes fetch', () => {
  assert.deepEqual(fetched('8@%rdi -4@%r13d 2@%r12w 1@%bpl 1@%bl 4@%eax 8@%r8'), [
    ...['%di', '%r13', '%r12', '%bp', '%bx', '%ax', '%r8'],
  ]);
  assert.deepEqual(fetched('8@$0 -4@$-1 4@$4076 8@$0x10 -8@$-9223372036854775808'), [
    ...['\\0', '\\-1', '\\4076', '\\16', '\\-9223372036854775808'],
  ]);
  assert.deepEqual(fetched('8@640(%rsp) -4@-20(%rbp) 1@(%rax)'), ['+640(%sp)', '-20(%bp)', '+0(%ax)']);
});

test('operands of arm64 become what uprobes fetch', () => {
  assert.deepEqual(fetched('8@x0 -4@w19 8@x30 8@sp 4@12 -4@-1', 'arm64'), [
    '%x0',
    '%x19',
    '%x30',
    '%sp',
    '\\12',
    '\\-1',
  ]);
  assert.deepEqual(fetched('4@[sp, 12] 8@[x29, -16] 8@[x1] 8@[sp,8]', 'arm64'), [
    ...['+12(%sp)', '-16(%x29)', '+0(%x1)', '+8(%sp)'],
  ]);
});

test('what the kernel has no way to fetch is told apart, and keeps its place', () => {
  assert.deepEqual(fetched('8@%rdi 4@8(%rax,%rdx,4) 8@symbol(%rip) 8f@%xmm0 1@%ah 4@%esi'), [
    ...['%di', undefined, undefined, undefined, undefined, '%si'],
  ]);
  assert.deepEqual(fetched('8@[x0, x1] 8@[x0, x1, lsl 3] 4@w31 8@x0', 'arm64'), [
    undefined,
    undefined,
    undefined,
    '%x0',
  ]);
  assert.deepEqual(fetched('8@$99999999999999999999 8@%di;rm'), [undefined, undefined]);
});

test('sizes and signs are those that the compiler wrote', () => {
  assert.deepEqual(
    operandsOf('-1@%al 2@%ax -4@%eax 8@%rax', 'x86-64').map(({ size, signed }) => [size, signed]),
    [
      [1, true],
      [2, false],
      [4, true],
      [8, false],
    ],
  );
});
