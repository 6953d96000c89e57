import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventBatch } from '../trace/batch.ts';
import { kernelTextLayout, qualifiedName } from './kernel-text.ts';

/** The fields of one printed event: integers as bigint (signed where they are negative), text as string. */
function fields(name: string, text: string, sample = text): Record<string, bigint | string> {
  const layout = kernelTextLayout(name, Buffer.from(sample));
  const batch = new EventBatch(1);
  batch.count = 1;
  // Around it lies what must not be read.
  batch.bytes = Buffer.from(`9${text}9`);
  batch.at[0] = 1;
  batch.size[0] = Buffer.byteLength(text);
  assert.equal(layout.print(batch, 0), text);
  const found: Record<string, bigint | string> = {};
  for (const field of layout.fields) {
    const reader = layout.reader(field.name);
    assert.ok(reader !== undefined);
    if (reader.kind === 'text') {
      if (reader.bytes?.find(batch, 0) !== false) found[field.name] = reader.text(batch, 0);
    } else {
      const number = reader.number(batch, 0);
      if (Number.isNaN(number)) continue;
      const value = (BigInt(reader.high(batch, 0)) << 32n) | BigInt(reader.low(batch, 0));
      const signed = number < 0 ? BigInt.asIntN(64, value) : value;
      assert.equal(Number(signed), number);
      found[field.name] = signed;
    }
  }
  return found;
}

/** Each event in the forms that the kernel, trace-cmd's plugins and trace-cmd report -R print, by hand from their sources. */
const printed: [event: string, text: string, expected: Record<string, bigint | string>][] = [
  [
    'kvm_exit',
    'vcpu 1 reason EPT_VIOLATION rip 0xffffffffbae46275 info1 0x0000000000000182 info2 0xffffffffffffffff intr_info 0x800000fd error_code 0x00000003 requests 0x0000000000000010',
    {
      vcpu_id: 1n,
      exit_reason: 'EPT_VIOLATION',
      guest_rip: 0xffffffffbae46275n,
      info1: 0x182n,
      info2: 0xffffffffffffffffn,
      intr_info: 0x800000fdn,
      error_code: 3n,
      requests: 16n,
    },
  ],
  [
    'kvm_exit',
    'vcpu 12 reason EPT_VIOLATION FAILED_VMENTRY rip 0x0 info1 0x0000000000000001 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000',
    {
      vcpu_id: 12n,
      exit_reason: 'EPT_VIOLATION FAILED_VMENTRY',
      guest_rip: 0n,
      info1: 1n,
      info2: 0n,
      intr_info: 0n,
      error_code: 0n,
    },
  ],
  [
    'kvm_exit',
    'reason IO_INSTRUCTION rip 0x110c8c info 640008 0',
    { exit_reason: 'IO_INSTRUCTION', guest_rip: 0x110c8cn, info1: 0x640008n, info2: 0n },
  ],
  [
    'kvm_exit',
    'reason UNKNOWN (77) rip 0x10 info 1 ffffffffffffffff',
    { exit_reason: 'UNKNOWN (77)', guest_rip: 16n, info1: 1n, info2: 0xffffffffffffffffn },
  ],
  [
    'kvm_exit',
    'reason EXIT_NPF rip 0xffffffff81000010 native_safe_halt+0x10 info a 10',
    { exit_reason: 'EXIT_NPF', guest_rip: 0xffffffff81000010n, info1: 10n, info2: 16n },
  ],
  [
    'kvm_exit',
    'exit_reason=1024 guest_rip=0xfff0 isa=2 info1=640008 info2=0x00000000fffffff0 intr_info=0x00000000 error_code=0x00000000 vcpu_id=3',
    {
      exit_reason: 1024n,
      guest_rip: 0xfff0n,
      isa: 2n,
      info1: 0x640008n,
      info2: 0xfffffff0n,
      intr_info: 0n,
      error_code: 0n,
      vcpu_id: 3n,
    },
  ],
  [
    'kvm_exit',
    'TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0xffff800010a1b2c4',
    { ret: 2n, esr_ec: 0x24n, esr_ec_name: 'DABT_LOW', vcpu_pc: 0xffff800010a1b2c4n },
  ],
  [
    'kvm_exit',
    'SEPC:0xffffffff80001234, SCAUSE:0x15, STVAL:0x0, HTVAL:0x4000400, HTINST:0x2003',
    { sepc: 0xffffffff80001234n, scause: 0x15n, stval: 0n, htval: 0x4000400n, htinst: 0x2003n },
  ],
  ['kvm_entry', 'vcpu 3', { vcpu_id: 3n, immediate_exit: 0n }],
  ['kvm_entry', 'vcpu 0, rip 0xffffffffbae46275', { vcpu_id: 0n, rip: 0xffffffffbae46275n, immediate_exit: 0n }],
  ['kvm_entry', 'vcpu 0, rip 0xfff0[immediate exit]', { vcpu_id: 0n, rip: 0xfff0n, immediate_exit: 1n }],
  [
    'kvm_entry',
    'vcpu 1, rip 0xfff0 intr_info 0x800000ec error_code 0x00000000[immediate exit]',
    { vcpu_id: 1n, rip: 0xfff0n, intr_info: 0x800000ecn, error_code: 0n, immediate_exit: 1n },
  ],
  ['kvm_entry', 'vcpu 11 rip 0xfff0', { vcpu_id: 11n, rip: 0xfff0n }],
  ['kvm_entry', 'vcpu_id=1 rip=0xfff0 immediate_exit=1', { vcpu_id: 1n, rip: 0xfff0n, immediate_exit: 1n }],
  ['kvm_entry', 'PC: 0xffff800010a1b2c4', { vcpu_pc: 0xffff800010a1b2c4n }],
  [
    'kvm_pio',
    'pio_write at 0xcf8 size 4 count 1 val 0x8000e80a',
    { rw: 1n, port: 0xcf8n, size: 4n, count: 1n, val: 0x8000e80an },
  ],
  [
    'kvm_pio',
    'pio_read at 0x1f0 size 2 count 256 val 0x1 (...)',
    { rw: 0n, port: 0x1f0n, size: 2n, count: 256n, val: 1n },
  ],
  ['kvm_pio', 'rw=0 port=0xcfc size=4 count=1 val=0x0', { rw: 0n, port: 0xcfcn, size: 4n, count: 1n, val: 0n }],
  ['kvm_mmio', 'mmio unsatisfied-read len 4 gpa 0xfebfa00c val 0x0', { type: 0n, len: 4n, gpa: 0xfebfa00cn, val: 0n }],
  [
    'kvm_mmio',
    'mmio write len 8 gpa 0x380000000000 val 0xfedcba9876543210',
    { type: 2n, len: 8n, gpa: 0x380000000000n, val: 0xfedcba9876543210n },
  ],
  ['kvm_fast_mmio', 'fast mmio at gpa 0xfebfa00c', { gpa: 0xfebfa00cn }],
  ['kvm_msr', 'msr_write 4b564d00 = 0x8a00000', { write: 1n, ecx: 0x4b564d00n, data: 0x8a00000n, exception: 0n }],
  ['kvm_msr', 'msr_read 10a = 0x0 (#GP)', { write: 0n, ecx: 0x10an, data: 0n, exception: 1n }],
  ['kvm_msr', 'write=0 ecx=10 data=0x508 exception=0', { write: 0n, ecx: 0x10n, data: 0x508n, exception: 0n }],
  [
    'kvm_cpuid',
    'func 40000000 idx 6 rax 40000001 rbx 4b4d564b rcx 564b4d56 rdx 4d, cpuid entry not found, used max basic',
    {
      function: 0x40000000n,
      index: 6n,
      rax: 0x40000001n,
      rbx: 0x4b4d564bn,
      rcx: 0x564b4d56n,
      rdx: 0x4dn,
      found: 0n,
      used_max_basic: 1n,
    },
  ],
  [
    'kvm_cpuid',
    'func 1 rax 2 rbx 3 rcx 4 rdx 5, cpuid entry found',
    { function: 1n, rax: 2n, rbx: 3n, rcx: 4n, rdx: 5n, found: 1n },
  ],
  [
    'kvm_page_fault',
    'vcpu 0 rip 0xec39c address 0x00000000fed00010 error_code 0x10000000c',
    { vcpu_id: 0n, guest_rip: 0xec39cn, fault_address: 0xfed00010n, error_code: 0x10000000cn },
  ],
  ['kvm_page_fault', 'address fed00010 error_code 181', { fault_address: 0xfed00010n, error_code: 0x181n }],
  ['kvm_userspace_exit', 'reason KVM_EXIT_IO (2)', { reason_name: 'KVM_EXIT_IO', reason: 2n }],
  ['kvm_userspace_exit', 'reason restart (4)', { errno: -4n }],
  ['kvm_userspace_exit', 'reason error (22)', { errno: -22n }],
  ['kvm_userspace_exit', 'reason=2 errno=-4', { reason: 2n, errno: -4n }],
  ['kvm_inj_virq', 'Soft/INTn 0x19 [reinjected]', { soft: 1n, vector: 0x19n, reinjected: 1n }],
  ['kvm_inj_virq', 'IRQ 0xec', { soft: 0n, vector: 0xecn, reinjected: 0n }],
  ['kvm_inj_virq', 'irq 236', { irq: 236n }],
  ['kvm_inj_exception', '#PF (0x4)', { exception: '#PF', error_code: 4n, reinjected: 0n }],
  ['kvm_set_irq', 'gsi 4 level 0 source 0', { gsi: 4n, level: 0n, irq_source_id: 0n }],
  ['kvm_msi_set_irq', 'dst 1 vec 36 (Fixed|physical|edge)', { dst: 1n, vec: 36n }],
  [
    'kvm_hypercall',
    'nr 0x5 a0 0x0 a1 0x1 a2 0xffff8b824f900000 a3 0xff',
    { nr: 5n, a0: 0n, a1: 1n, a2: 0xffff8b824f900000n, a3: 0xffn },
  ],
  [
    'kvm_nested_vmexit',
    'rip 7fa9ee5224e4 reason IO_INSTRUCTION info1 5658000b info2 0 int_info 0 int_info_err 0',
    {
      rip: 0x7fa9ee5224e4n,
      exit_code: 'IO_INSTRUCTION',
      exit_info1: 0x5658000bn,
      exit_info2: 0n,
      exit_int_info: 0n,
      exit_int_info_err: 0n,
    },
  ],
  [
    'kvm_nested_vmexit',
    'rip: 0x00007fa9ee5224e4 reason: EXIT_IOIO ext_inf1: 0x000000005658000b ext_inf2: 0x0000000000000000 ext_int: 0x00000000 ext_int_err: 0x00000000',
    {
      rip: 0x7fa9ee5224e4n,
      exit_code: 'EXIT_IOIO',
      exit_info1: 0x5658000bn,
      exit_info2: 0n,
      exit_int_info: 0n,
      exit_int_info_err: 0n,
    },
  ],
  ['kvm_vcpu_wakeup', 'wait time 233080688 ns, polling valid', { waited: 1n, ns: 233080688n, valid: 1n }],
  ['kvm_vcpu_wakeup', 'poll time 5 ns, polling invalid', { waited: 0n, ns: 5n, valid: 0n }],
  ['kvm_halt_poll_ns', 'vcpu 1: halt_poll_ns 20000 (grow 10000)', { vcpu_id: 1n, new: 20000n, grow: 1n, old: 10000n }],
  [
    'kvm_emulate_insn',
    'f0000:ec2f:0f 20 c1 (real)',
    { csbase: 0xf0000n, rip: 0xec2fn, insn: '0f 20 c1', flags: 'real', failed: 0n },
  ],
  ['kvm_emulate_insn', '0:ffffffffbae73914: 0f 30', { csbase: 0n, rip: 0xffffffffbae73914n, insn: '0f 30' }],
  ['kvm_fpu', 'unload', { load: 0n }],
  ['kvm_fpu', 'load=0', { load: 0n }],
  [
    'vcpu_match_mmio',
    'gva 0xb0000010 gpa 0xb0000010 Write GPA',
    { gva: 0xb0000010n, gpa: 0xb0000010n, write: 1n, gpa_match: 1n },
  ],
  [
    'kvm_s390_sie_exit',
    '02[0705c00180000000-0000000000b9a4c2]: exit sie icptcode 4 (Instruction)',
    { id: 2n, pswmask: 0x0705c00180000000n, pswaddr: 0xb9a4c2n, icptcode: 4n },
  ],
  [
    'kvm_s390_sie_enter',
    '02[0705c00180000000-0000000000b9a4c2]: entering sie flags 1',
    { id: 2n, pswmask: 0x0705c00180000000n, pswaddr: 0xb9a4c2n, cpuflags: 1n },
  ],
  [
    'kvm_guest_exit',
    'VCPU 3: trap=HV_DECREMENTER pc=0xc0000000000e1234 msr=0x8000000000009033, ceded=0',
    { vcpu_id: 3n, trap: 'HV_DECREMENTER', pc: 0xc0000000000e1234n, msr: 0x8000000000009033n, ceded: 0n },
  ],
  [
    'sched_switch',
    'prev_comm=CPU 0/KVM prev_pid=966 prev_prio=120 prev_state=R+ ==> next_comm=a prev_pid=7 next_pid=0 next_prio=120',
    {
      prev_comm: 'CPU 0/KVM',
      prev_pid: 966n,
      prev_prio: 120n,
      prev_state: 'R+',
      next_comm: 'a prev_pid=7',
      next_pid: 0n,
      next_prio: 120n,
    },
  ],
  [
    'sched_switch',
    'prev_comm=x prev_pid=12 y prev_pid=966 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=-2',
    {
      prev_comm: 'x prev_pid=12 y',
      prev_pid: 966n,
      prev_prio: 120n,
      prev_state: 'S',
      next_comm: 'swapper/0',
      next_pid: 0n,
      next_prio: -2n,
    },
  ],
  [
    'sched_switch',
    'memfd:sealed-91:11540 [120] D|K ==> kworker/0:0:334 [98]',
    {
      prev_comm: 'memfd:sealed-91',
      prev_pid: 11540n,
      prev_prio: 120n,
      prev_state: 'D|K',
      next_comm: 'kworker/0:0',
      next_pid: 334n,
      next_prio: 98n,
    },
  ],
  [
    'sched_switch',
    'prev_comm=trace-cmd prev_pid=391 prev_prio=120 prev_state=256 next_comm=kworker/0:0 next_pid=334 next_prio=120',
    {
      prev_comm: 'trace-cmd',
      prev_pid: 391n,
      prev_prio: 120n,
      prev_state: 256n,
      next_comm: 'kworker/0:0',
      next_pid: 334n,
      next_prio: 120n,
    },
  ],
  ['sched_wakeup', 'kworker/0:0:334 [120] CPU:001', { comm: 'kworker/0:0', pid: 334n, prio: 120n, target_cpu: 1n }],
  [
    'sched_waking',
    'comm=CPU 0/KVM pid=334 prio=120 target_cpu=001',
    { comm: 'CPU 0/KVM', pid: 334n, prio: 120n, target_cpu: 1n },
  ],
  [
    'sched_wakeup',
    'comm=sh pid=334 prio=120 success=1 target_cpu=001',
    { comm: 'sh', pid: 334n, prio: 120n, target_cpu: 1n },
  ],
  [
    'sched_migrate_task',
    'comm=a b pid=15 prio=120 orig_cpu=1 dest_cpu=0',
    { comm: 'a b', pid: 15n, prio: 120n, orig_cpu: 1n, dest_cpu: 0n },
  ],
  ['irq_handler_entry', 'irq=25 name=virtio0-req.0', { irq: 25n, name: 'virtio0-req.0' }],
  ['irq_handler_exit', 'irq=25 ret=handled', { irq: 25n, ret: 1n }],
  ['sys_enter_ioctl', 'fd: 0x0000000d, cmd: 0x0000ae80, arg: 0x00000000', { fd: 13n, cmd: 0xae80n, arg: 0n }],
  ['sys_enter_ioctl', 'fd: d, cmd: ae80, arg: 10', { fd: 13n, cmd: 0xae80n, arg: 16n }],
  [
    'sys_enter_ioctl',
    '__syscall_nr=16 fd=0xd cmd=0xae80 arg=0x0',
    { __syscall_nr: 16n, fd: 13n, cmd: 0xae80n, arg: 0n },
  ],
  ['sys_exit_ioctl', '0xfffffffffffffffc', { ret: -4n }],
  ['sys_exit_ioctl', '__syscall_nr=16 ret=0xffffffffffffffe7', { __syscall_nr: 16n, ret: -25n }],
  ['sys_enter', 'NR 16 (d, ae80, 0, 0, 7f2c, 0)', { id: 16n, args: 'd, ae80, 0, 0, 7f2c, 0' }],
  ['sys_exit', 'NR 16 = -4', { id: 16n, ret: -4n }],
  // What has no error code, and no bytes.
  ['kvm_inj_exception', '#UD', { exception: '#UD' }],
  ['kvm_inj_exception', '#DB [reinjected]', { exception: '#DB', reinjected: 1n }],
  ['kvm_emulate_insn', '0:fd11d: (prot32)', { csbase: 0n, rip: 0xfd11dn, insn: '', flags: 'prot32', failed: 0n }],
  [
    'kvm_emulate_insn',
    '0:fd11d: (prot32) failed',
    { csbase: 0n, rip: 0xfd11dn, insn: '', flags: 'prot32', failed: 1n },
  ],
  [
    'kvm_mmu_get_page',
    'sp gen 0 gfn 1f0ff l1 8-byte q0 direct wux nxe ad root 0 sync existing',
    { mmu_valid_gen: 0n, gfn: 0x1f0ffn, level: 1n, role: '8-byte q0 direct wux nxe ad root 0 sync existing' },
  ],
  [
    'fast_page_fault',
    'vcpu 1 gva 7f12c0de error_code P|W sptep 00000000deadbeef old 0x600000bad new 600000bae spurious 0 fixed 1',
    {
      vcpu_id: 1n,
      gva: 0x7f12c0den,
      error_code: 'P|W',
      sptep: 0xdeadbeefn,
      old_spte: 0x600000badn,
      new_spte: 0x600000baen,
      spurious: 0n,
      fixed: 1n,
    },
  ],
  [
    'kvm_mmu_set_spte',
    'gfn fee00 spte 6000fee (rw) level 1 at 0',
    { gfn: 0xfee00n, spte: 0x6000feen, level: 1n, at: 0n },
  ],
  ['handle_mmio_page_fault', 'addr:fec00000 gfn fec00 access 7', { addr: 0xfec00000n, gfn: 0xfec00n, access: 7n }],
  // ppc and arm64.
  [
    'kvm_guest_enter',
    'VCPU 0: pc=0x100 pexcp=0x0 ceded=0',
    { vcpu_id: 0n, pc: 0x100n, pending_exceptions: 0n, ceded: 0n },
  ],
  [
    'kvm_hcall_enter',
    'VCPU 0: hcall=H_CEDE GPR4-7=0xfe9c,0x1,0xd50,0x0',
    { vcpu_id: 0n, hcall: 'H_CEDE', gpr4: 0xfe9cn, gpr5: 1n, gpr6: 0xd50n, gpr7: 0n },
  ],
  ['kvm_wfx_arm64', 'guest executed wfe at: 0xffff800008010010', { is_wfe: 1n, vcpu_pc: 0xffff800008010010n }],
  // Without a form of their own.
  [
    'kvm_pvclock_update',
    'vcpu_id 0, pvclock { version 2, tsc_timestamp 0x3160c5cc }',
    { vcpu_id: 0n, version: 2n, tsc_timestamp: 0x3160c5ccn },
  ],
  ['kvm_track_tsc', 'vcpu_id 0 masterclock 1 offsetmatched 0', { vcpu_id: 0n, masterclock: 1n, offsetmatched: 0n }],
  ['kvm_xen_hypercall', 'vcpu 2: something', { vcpu_id: 2n }],
  [
    'my_event',
    'name=CPU 0/KVM count=-3 where="a b" last=18446744073709551615',
    { name: 'CPU 0/KVM', count: -3n, where: 'a b', last: 0xffffffffffffffffn },
  ],
  [
    'my_probe',
    '(0x5595f8e28a41) arg1=0x7f42008921d8 arg2=0 arg3="prelaunch"',
    { __probe_ip: 0x5595f8e28a41n, arg1: 0x7f42008921d8n, arg2: 0n, arg3: 'prelaunch' },
  ],
];

test('printed events have the kernel’s fields', () => {
  for (const [event, text, expected] of printed) assert.deepEqual(fields(event, text), expected, `${event}: ${text}`);
});

test('an event that its type’s form does not fit lacks the fields', () => {
  assert.deepEqual(fields('kvm_pio', 'nonsense', 'pio_read at 0x1 size 1 count 1 val 0x1'), {});
  assert.deepEqual(fields('kvm_exit', 'vcpu 1 reason', 'vcpu 1 reason npf rip 0x1 info1 0x1 info2 0x2'), {
    vcpu_id: 1n,
  });
  // Alternatives occur side by side, whichever came first.
  assert.deepEqual(fields('kvm_userspace_exit', 'reason KVM_EXIT_MMIO (6)', 'reason restart (4)'), {
    reason_name: 'KVM_EXIT_MMIO',
    reason: 6n,
  });
});

test('integers of 64 bits are exact', () => {
  const any = fc.bigInt(0n, 0xffffffffffffffffn);
  fc.assert(
    fc.property(any, any, fc.integer({ min: 0, max: 9999 }), (gpa, val, len) => {
      const text = `mmio read len ${len} gpa 0x${gpa.toString(16)} val 0x${val.toString(16)}`;
      assert.deepEqual(fields('kvm_mmio', text), { type: 1n, len: BigInt(len), gpa, val });
      assert.deepEqual(fields('my_event', `a=${gpa} b=-${len + 1}`), { a: gpa, b: -BigInt(len + 1) });
    }),
  );
});

test('a command may be called anything', () => {
  const comm = fc
    .string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(...'a1 :=[]>-/') })
    .filter((s) => s.trim() === s);
  fc.assert(
    fc.property(comm, fc.nat(4194304), fc.nat(140), (name, pid, prio) => {
      const woken = { comm: name, pid: BigInt(pid), prio: BigInt(prio), target_cpu: 1n };
      assert.deepEqual(fields('sched_wakeup', `comm=${name} pid=${pid} prio=${prio} target_cpu=001`), woken);
      assert.deepEqual(fields('sched_wakeup', `${name}:${pid} [${prio}] CPU:001`), woken);
    }),
  );
});

test('any text is read without an error', () => {
  const events = printed.map(([event, text]) => [event, text] as const);
  fc.assert(
    fc.property(
      fc.constantFrom(...events),
      fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 0x20, max: 0x7e }))),
      (event, changes) => {
        const bytes = Buffer.from(event[1]);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        fields(event[0], bytes.toString('latin1'), event[1]);
        fields(event[0], bytes.toString('latin1'));
      },
    ),
  );
});

test('systems by name', () => {
  const named = (event: string, sample = '') => qualifiedName(event, Buffer.from(sample));
  assert.equal(named('kvm_exit'), 'kvm:kvm_exit');
  assert.equal(named('vcpu_match_mmio'), 'kvm:vcpu_match_mmio');
  assert.equal(named('kvm_mmu_get_page'), 'kvmmmu:kvm_mmu_get_page');
  assert.equal(named('sys_enter_ioctl'), 'syscalls:sys_enter_ioctl');
  assert.equal(named('sys_enter'), 'raw_syscalls:sys_enter');
  assert.equal(named('irq_handler_entry'), 'irq:irq_handler_entry');
  assert.equal(named('local_timer_entry'), 'irq_vectors:local_timer_entry');
  assert.equal(named('vhost_work_queue_entry_ok'), 'vhost:vhost_work_queue_entry_ok');
  assert.equal(named('virtio_set_status', '(0x5595f8e28a41) arg1=0'), 'uprobes:virtio_set_status');
  assert.equal(named('p_vfs_read_0', '(vfs_read+0x0/0x70) a=1'), 'kprobes:p_vfs_read_0');
  assert.equal(named('who_knows'), 'unknown:who_knows');
});
