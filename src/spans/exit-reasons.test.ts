import assert from 'node:assert/strict';
import test from 'node:test';
import { type SyntheticEvent, synthetic } from '../../test/synthetic.ts';
import { Reasons, reasonDecoder, reasonFromText } from './exit-reasons.ts';

async function reasonOf(fields: NonNullable<SyntheticEvent['fields']>, name = 'kvm:kvm_exit'): Promise<string> {
  const reasons = new Reasons();
  const trace = synthetic([{ name, time: 1, fields }]);
  for await (const b of trace.batches()) {
    const type = trace.types[0];
    assert.ok(type);
    const decoder = reasonDecoder(type, reasons);
    const id = decoder.id(b, 0);
    assert.equal(decoder.id(b, 0), id);
    return reasons.names[id] as string;
  }
  throw new Error('no event');
}

test('x86: the ISA says which table the code is from', async () => {
  assert.equal(await reasonOf({ exit_reason: 12, isa: 1 }), 'HLT');
  assert.equal(await reasonOf({ exit_reason: 48, isa: 1 }), 'EPT_VIOLATION');
  assert.equal(await reasonOf({ exit_reason: 0x80000021, isa: 1 }), 'INVALID_STATE FAILED_VMENTRY');
  assert.equal(await reasonOf({ exit_reason: 0x78, isa: 2 }), 'hlt');
  assert.equal(await reasonOf({ exit_reason: 0x400, isa: 2 }), 'npf');
  assert.equal(await reasonOf({ exit_reason: 0x4e, isa: 2 }), 'PF excp');
  assert.equal(await reasonOf({ exit_reason: 0xffffffff, isa: 2 }), 'invalid_guest_state');
  assert.equal(await reasonOf({ exit_reason: -1, isa: 2 }), 'invalid_guest_state');
});

test('an unknown code is its number', async () => {
  assert.equal(await reasonOf({ exit_reason: 0x345, isa: 2 }), '0x345');
  assert.equal(await reasonOf({ exit_reason: 200, isa: 1 }), '0xc8');
  assert.equal(await reasonOf({ exit_reason: 12 }), '0xc');
});

test('arm64: the exception class of a trap, else what ended the guest', async () => {
  assert.equal(await reasonOf({ ret: 2, esr_ec: 0x24, vcpu_pc: 1 }), 'DABT_LOW');
  assert.equal(await reasonOf({ ret: 2, esr_ec: 1, vcpu_pc: 1 }), 'WFx');
  assert.equal(await reasonOf({ ret: 0, esr_ec: 0, vcpu_pc: 1 }), 'IRQ');
  assert.equal(await reasonOf({ ret: 'TRAP', esr_ec: 0x24, vcpu_pc: 1 }), 'DABT_LOW');
  assert.equal(await reasonOf({ ret: 'IRQ', esr_ec: 0, vcpu_pc: 1 }), 'IRQ');
});

test('s390, ppc, riscv', async () => {
  assert.equal(await reasonOf({ id: 0, icptcode: 0x1c }, 'kvm:kvm_s390_sie_exit'), 'Wait state');
  assert.equal(await reasonOf({ vcpu_id: 0, trap: 0x500 }, 'kvm_hv:kvm_guest_exit'), 'EXTERNAL');
  assert.equal(await reasonOf({ sepc: 1, scause: 21 }), 'LOAD_GUEST_PAGE_FAULT');
  assert.equal(await reasonOf({ sepc: 1, scause: 0x8000000000000005n }), 'IRQ_S_TIMER');
});

test('names in text become the kernel’s: as printed by the kernel, by libtraceevent’s plugin, by older kernels', async () => {
  const cases = {
    npf: 'npf',
    EPT_VIOLATION: 'EPT_VIOLATION',
    'PF excp': 'PF excp',
    EXIT_NPF: 'npf',
    EXIT_HLT: 'hlt',
    EXIT_IOIO: 'io',
    EXIT_INTR: 'interrupt',
    EXIT_VMMCALL: 'hypercall',
    EXIT_CR0_SEL_WRITE: 'cr0_sel_write',
    EXIT_EXCP_PF: 'PF excp',
    EXIT_TR_WRITE: 'write_rt',
    EXIT_ERR: 'invalid_guest_state',
    PENDING_INTERRUPT: 'INTERRUPT_WINDOW',
    'UNKNOWN (1027)': 'vmgexit',
    'UNKNOWN (33)': 'INVALID_STATE',
    'something new': 'something new',
  };
  for (const [text, name] of Object.entries(cases)) assert.equal(reasonFromText(text), name);
  assert.equal(await reasonOf({ exit_reason: 'EXIT_NPF' }), 'npf');
});

test('a reason of any name is text, whatever else has that name', () => {
  for (const name of ['constructor', 'toString', '__proto__']) assert.equal(reasonFromText(name), name);
});

test('halts are told apart', () => {
  const reasons = new Reasons();
  for (const name of ['hlt', 'HLT', 'WFx', 'Wait state']) assert.equal(reasons.halt[reasons.id(name)], true, name);
  for (const name of ['npf', 'MWAIT_INSTRUCTION', 'pause']) assert.equal(reasons.halt[reasons.id(name)], false, name);
});

test('a trace in which every exit has a reason of its own does not fill the memory', () => {
  const reasons = new Reasons();
  for (let i = 0; i < 5000; i++) reasons.id(`reason ${i}`);
  assert.ok(reasons.names.length <= 1024);
  assert.equal(reasons.names.at(-1), 'others');
});
