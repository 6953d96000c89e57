import type { EventBatch } from '../trace/batch.ts';
import { absent, type EventType, type FieldReader, hex64 } from '../trace/event-type.ts';

/**
 * The kernel's names of exit reasons. Sources: arch/x86/include/uapi/asm/vmx.h and svm.h, arch/arm64/include/asm/kvm_arm.h
 * (also tools/perf's copy), arch/s390/include/uapi/asm/sie.h, arch/powerpc/kvm/trace_book3s.h,
 * arch/riscv/include/asm/csr.h, arch/loongarch/kvm/trace.h.
 */
const vmx = table(
  '0 EXCEPTION_NMI EXTERNAL_INTERRUPT TRIPLE_FAULT INIT_SIGNAL SIPI_SIGNAL',
  '7 INTERRUPT_WINDOW NMI_WINDOW TASK_SWITCH CPUID',
  '12 HLT INVD INVLPG RDPMC RDTSC',
  '18 VMCALL VMCLEAR VMLAUNCH VMPTRLD VMPTRST VMREAD VMRESUME VMWRITE VMOFF VMON CR_ACCESS DR_ACCESS IO_INSTRUCTION',
  '31 MSR_READ MSR_WRITE INVALID_STATE MSR_LOAD_FAIL',
  '36 MWAIT_INSTRUCTION MONITOR_TRAP_FLAG',
  '39 MONITOR_INSTRUCTION PAUSE_INSTRUCTION MCE_DURING_VMENTRY',
  '43 TPR_BELOW_THRESHOLD APIC_ACCESS EOI_INDUCED GDTR_IDTR LDTR_TR EPT_VIOLATION EPT_MISCONFIG INVEPT RDTSCP',
  '52 PREEMPTION_TIMER INVVPID WBINVD XSETBV APIC_WRITE RDRAND INVPCID VMFUNC ENCLS RDSEED PML_FULL XSAVES XRSTORS',
  '67 UMWAIT TPAUSE',
  '74 BUS_LOCK NOTIFY',
  '77 TDCALL',
  '84 MSR_READ_IMM MSR_WRITE_IMM',
);

const svm = table(
  '0x00 read_cr0',
  '0x02 read_cr2 read_cr3 read_cr4',
  '0x08 read_cr8',
  '0x10 write_cr0',
  '0x12 write_cr2 write_cr3 write_cr4',
  '0x18 write_cr8',
  '0x20 read_dr0 read_dr1 read_dr2 read_dr3 read_dr4 read_dr5 read_dr6 read_dr7',
  '0x30 write_dr0 write_dr1 write_dr2 write_dr3 write_dr4 write_dr5 write_dr6 write_dr7',
  '0x40 DE_excp DB_excp',
  '0x43 BP_excp OF_excp BR_excp UD_excp NM_excp DF_excp',
  '0x4a TS_excp NP_excp SS_excp GP_excp PF_excp',
  '0x50 MF_excp AC_excp MC_excp XF_excp',
  '0x60 interrupt nmi smi init vintr cr0_sel_write read_idtr read_gdtr read_ldtr read_rt',
  '0x6a write_idtr write_gdtr write_ldtr write_rt rdtsc rdpmc pushf popf cpuid rsm iret swint invd pause hlt',
  '0x79 invlpg invlpga io msr task_switch ferr_freeze shutdown vmrun hypercall vmload vmsave stgi clgi skinit rdtscp',
  '0x88 icebp wbinvd monitor mwait',
  '0x8d xsetbv',
  '0x8f write_efer_trap write_cr0_trap',
  '0x94 write_cr4_trap',
  '0x98 write_cr8_trap',
  '0xa2 invpcid',
  '0xa5 buslock idle-halt',
  '0x400 npf avic_incomplete_ipi avic_unaccelerated_access vmgexit',
  '0x80000001 vmgexit_mmio_read vmgexit_mmio_write vmgexit_nmi_complete vmgexit_ap_hlt_loop vmgexit_ap_jump_table',
  '0x80000010 vmgexit_page_state_change vmgexit_guest_request vmgexit_ext_guest_request vmgexit_ap_creation',
  '0x8000fffd vmgexit_hypervisor_feature',
  '0xffffffff invalid_guest_state',
);
for (const [code, name] of svm) svm.set(code, name.replace('_excp', ' excp'));

/** Why an arm64 guest was left (`ret` of kvm_exit); 2, a trap, is told apart by the exception class below. */
const armTypes = table('0 IRQ SERROR TRAP ILLEGAL', '0xbadca11 HYP_GONE');
const armTrap = 2;
const armClasses = table(
  '0x00 UNKNOWN WFx',
  '0x03 CP15_32 CP15_64 CP14_MR CP14_LS FP_ASIMD CP10_ID PAC',
  '0x0c CP14_64',
  '0x0e ILL',
  '0x11 SVC32 HVC32 SMC32',
  '0x15 SVC64 HVC64 SMC64 SYS64 SVE ERET',
  '0x1f IMP_DEF IABT_LOW IABT_CUR PC_ALIGN',
  '0x24 DABT_LOW DABT_CUR SP_ALIGN',
  '0x28 FP_EXC32',
  '0x2c FP_EXC64',
  '0x2f SERROR BREAKPT_LOW BREAKPT_CUR SOFTSTP_LOW SOFTSTP_CUR WATCHPT_LOW WATCHPT_CUR',
  '0x38 BKPT32',
  '0x3a VECTOR32',
  '0x3c BRK64',
);

const s390 = new Map<number, string>([
  [0x00, 'Host interruption'],
  [0x04, 'Instruction'],
  [0x08, 'Program interruption'],
  [0x0c, 'Instruction and program interruption'],
  [0x10, 'External request'],
  [0x14, 'External interruption'],
  [0x18, 'I/O request'],
  [0x1c, 'Wait state'],
  [0x20, 'Validity'],
  [0x28, 'Stop request'],
  [0x2c, 'Operation exception'],
  [0x38, 'Partial-execution'],
  [0x3c, 'I/O interruption'],
  [0x40, 'I/O instruction'],
  [0x48, 'Timing subset'],
]);

const ppc = new Map<number, string>([
  [0x000, 'RETURN_TO_HOST'],
  [0x100, 'SYSTEM_RESET'],
  [0x200, 'MACHINE_CHECK'],
  [0x300, 'DATA_STORAGE'],
  [0x380, 'DATA_SEGMENT'],
  [0x400, 'INST_STORAGE'],
  [0x480, 'INST_SEGMENT'],
  [0x500, 'EXTERNAL'],
  [0x502, 'EXTERNAL_HV'],
  [0x600, 'ALIGNMENT'],
  [0x700, 'PROGRAM'],
  [0x800, 'FP_UNAVAIL'],
  [0x900, 'DECREMENTER'],
  [0x980, 'HV_DECREMENTER'],
  [0xc00, 'SYSCALL'],
  [0xd00, 'TRACE'],
  [0xe00, 'H_DATA_STORAGE'],
  [0xe20, 'H_INST_STORAGE'],
  [0xe40, 'H_EMUL_ASSIST'],
  [0xea0, 'H_VIRT'],
  [0xf00, 'PERFMON'],
  [0xf20, 'ALTIVEC'],
  [0xf40, 'VSX'],
]);

/** scause: bit 63 tells interrupts from exceptions. */
const riscvInterrupts = table('1 IRQ_S_SOFT IRQ_VS_SOFT IRQ_M_SOFT', '5 IRQ_S_TIMER IRQ_VS_TIMER IRQ_M_TIMER');
for (const [code, name] of table('9 IRQ_S_EXT IRQ_VS_EXT IRQ_M_EXT IRQ_S_GEXT IRQ_PMU_OVF'))
  riscvInterrupts.set(code, name);
const riscvExceptions = table(
  '0 INST_MISALIGNED INST_ACCESS INST_ILLEGAL BREAKPOINT LOAD_MISALIGNED LOAD_ACCESS STORE_MISALIGNED STORE_ACCESS',
  '8 SYSCALL HYPERVISOR_SYSCALL SUPERVISOR_SYSCALL',
  '12 INST_PAGE_FAULT LOAD_PAGE_FAULT',
  '15 STORE_PAGE_FAULT',
  '20 INST_GUEST_PAGE_FAULT LOAD_GUEST_PAGE_FAULT VIRTUAL_INST_FAULT STORE_GUEST_PAGE_FAULT',
);

/** LoongArch, as in perf's arch/loongarch/util/kvm-stat.c and arch/loongarch/kvm/trace.h. */
const loongarch = table(
  '0 Interrupt Mem_Read Mem_Store Inst_Fetch Mem_Modify',
  '15 FPU LSX LASX',
  '22 Privilege_Error Hypercall',
  '64 IDLE CACHE',
);
for (const [code, name] of loongarch) loongarch.set(code, name.replace('_', ' '));

/**
 * Exits with which a guest goes to sleep of its own will, by the kernel's names: HLT on x86 (also where SEV-ES
 * parks a processor), WFI on arm64 (unless a later event tells that it was WFE), the wait state of s390, idle on LoongArch.
 * MWAIT and PAUSE are not among them: KVM goes on with the guest at once. On ppc and riscv other fields tell.
 */
const halts = new Set(['hlt', 'idle-halt', 'vmgexit_ap_hlt_loop', 'HLT', 'WFx', 'Wait state', 'IDLE']);

/** Names that libtraceevent's KVM plugin (plugin_kvm.c) or older kernels give to reasons, where a rule does not do. */
const renamed = new Map<string, string>(
  Object.entries<string>({
    EXIT_INTR: 'interrupt',
    EXIT_IOIO: 'io',
    EXIT_VMMCALL: 'hypercall',
    EXIT_IDTR_READ: 'read_idtr',
    EXIT_GDTR_READ: 'read_gdtr',
    EXIT_LDTR_READ: 'read_ldtr',
    EXIT_TR_READ: 'read_rt',
    EXIT_IDTR_WRITE: 'write_idtr',
    EXIT_GDTR_WRITE: 'write_gdtr',
    EXIT_LDTR_WRITE: 'write_ldtr',
    EXIT_TR_WRITE: 'write_rt',
    EXIT_EXCP_BASE: 'DE excp',
    EXIT_MWAIT_COND: '0x8c',
    EXIT_ERR: 'invalid_guest_state',
    PENDING_INTERRUPT: 'INTERRUPT_WINDOW',
    EXTERNAL_INT: 'EXTERNAL_INTERRUPT',
  }),
);

/**
 * The kernel's current name of a reason that a text trace gives in words, so that one recording gives the same
 * rows whichever tool wrote it down: `EXIT_NPF` → `npf`, `UNKNOWN (1027)` → `vmgexit`. Unknown names stay as they are.
 */
export function reasonFromText(text: string): string {
  const name = text.trim();
  const known = renamed.get(name);
  if (known !== undefined) return known;
  const exception = /^EXIT_EXCP_([A-Z]{2})$/.exec(name);
  if (exception !== null) return `${exception[1]} excp`;
  if (name.startsWith('EXIT_')) return name.slice(5).toLowerCase();
  const unknown = /^UNKNOWN \((\d+)\)$/.exec(name);
  if (unknown === null) return name;
  // The plugin does not know all codes, nor does it say which ISA: what it lacks of SVM is 2, 0x12 and all from 0x8e on.
  const code = Number(unknown[1]) % 2 ** 32;
  if (code === 2 || code === 0x12 || (code >= 0x80 && svm.has(code))) return svm.get(code) as string;
  return vmxName(code);
}

/** The exit reasons of one or more traces, with a small consecutive id each, so that they can index arrays. */
export class Reasons {
  readonly names: string[] = [];
  /** Whether the guest sleeps of its own will, by id. */
  readonly halt: boolean[] = [];
  readonly #ids = new Map<string, number>();

  /** Whether there is room for so many more, none of which is among `others` then. */
  hasRoom(more: number): boolean {
    return this.names.length + more < maxReasons;
  }

  /**
   * The id of a name, a new one on first sight. `halt` tells exits of one name apart where the name does not say. Past a bound that
   * no real trace reaches, all share one: `others`.
   */
  id(name: string, halt = halts.has(name)): number {
    const key = halt === halts.has(name) ? name : `${name}\0${halt}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (name === '') return this.id('unknown', halt);
    if (this.names.length >= maxReasons - 1 && name !== 'others') return this.id('others');
    const id = this.names.push(name) - 1;
    this.halt.push(halt);
    this.#ids.set(key, id);
    return id;
  }
}

/** A hostile trace could give every exit a reason of its own. */
const maxReasons = 1024;

/** Gives the id of the reason of an event of one type. */
export interface ReasonDecoder {
  id(b: EventBatch, i: number): number;
  /** How to find it without a call, where the payload allows that. */
  readonly table?: ReasonTable | undefined;
}

/** Reasons by code, for payloads with 32-bit codes at fixed places. What is not in the table, `id` knows, and puts into it. */
export type ReasonTable = {
  /** Where the code stands, where the ISA, and how long the payload has to be for both. */
  readonly codeAt: number;
  readonly isaAt: number;
  readonly end: number;
  readonly little: boolean;
  /** id + 1 by code below `directCodes`, 0 where not known yet; for this ISA. */
  readonly ids: Uint16Array;
  isa: number;
};

/** The decoder for a type of exit event: by its `isa` on x86, else by the fields that only one architecture has. */
export function reasonDecoder(type: EventType, reasons: Reasons): ReasonDecoder {
  const reader = (name: string): FieldReader => type.reader(name) ?? absent;
  const exitReason = type.reader('exit_reason');
  if (exitReason !== undefined) {
    if (exitReason.kind === 'text') return new TextReason(exitReason, reasons, reasonFromText);
    return new CodeReason(exitReason, reader('isa'), reasons, x86Name);
  }
  const armClass = type.reader('esr_ec');
  if (armClass !== undefined) {
    const ret = reader('ret');
    if (ret.kind === 'text' || armClass.kind === 'text') return new ArmTextReason(ret, armClass, reasons);
    // Left for another reason than a trap, the exception class says nothing.
    return new CodeReason(armClass, ret, reasons, (code, ret) =>
      Number.isNaN(ret) || ret === armTrap ? nameOf(armClasses, code) : nameOf(armTypes, ret),
    );
  }
  const scause = type.reader('scause');
  if (scause !== undefined) return new RiscvReason(scause, reader('stval'), reasons);
  const trap = type.reader('trap');
  if (trap !== undefined) return new PpcReason(trap, reader('ceded'), reasons);
  for (const [field, names] of [
    ['icptcode', s390],
    ['reason', loongarch],
  ] as const) {
    const code = type.reader(field);
    if (code === undefined) continue;
    // A code that the kernel has no name for stands there as a number.
    const named = (text: string) => (/^0x[0-9a-f]+$/.test(text) ? nameOf(names, Number(text)) : reasonFromText(text));
    if (code.kind === 'text') return new TextReason(code, reasons, named);
    return new CodeReason(code, absent, reasons, (value) => nameOf(names, value));
  }
  const id = reasons.id('unknown');
  return { id: () => id };
}

/** What LoongArch tells of the privileged instruction that the guest was left for, by the names of perf; idle is a halt. */
export function instructionReason(type: EventType, reasons: Reasons): ReasonDecoder {
  const word = type.reader('inst_word');
  if (word === undefined) return { id: () => reasons.id('IDLE') };
  return { id: (b, i) => reasons.id(instruction(word.low(b, i))) };
}

function instruction(word: number): string {
  if (word >>> 10 === 0x1b) return 'CPUCFG';
  if (word >>> 24 === 4) return 'CSR';
  if (word >>> 15 === 0xc90) return 'IOCSR';
  return word >>> 15 === 0xc91 ? 'IDLE' : word >>> 22 === 0x18 ? 'CACHE' : 'Others';
}

/** Codes below this are looked up in an array. */
export const directCodes = 2048;

/** A reason from an integer field, which a second one (`isa`) gives meaning to. */
class CodeReason implements ReasonDecoder {
  readonly table: ReasonTable | undefined;
  readonly #code: FieldReader;
  readonly #isa: FieldReader;
  readonly #reasons: Reasons;
  readonly #name: (code: number, isa: number) => string;

  constructor(code: FieldReader, isa: FieldReader, reasons: Reasons, name: (code: number, isa: number) => string) {
    this.#code = code;
    this.#isa = isa;
    this.#reasons = reasons;
    this.#name = name;
    const places = [code.place, isa.place];
    if (!places.every((place) => place?.size === 4)) return;
    const [codeAt, isaAt] = places.map((place) => place?.offset as number) as [number, number];
    const ids = new Uint16Array(directCodes);
    // A trace is of one ISA: the table is for the one seen last.
    this.table = {
      codeAt,
      isaAt,
      end: Math.max(codeAt, isaAt) + 4,
      little: code.place?.little === true,
      ids,
      isa: -1,
    };
  }

  id(b: EventBatch, i: number): number {
    const known = this.#known(b, i);
    if (known >= 0) return known;
    const code = this.#code.low(b, i);
    const isa = this.#isa.number(b, i);
    // One of several forms of the event in one text may lack it.
    if (code === 0 && Number.isNaN(this.#code.number(b, i))) return this.#reasons.id('');
    const id = this.#reasons.id(this.#name(code, isa));
    const { table } = this;
    if (table !== undefined && code < directCodes) {
      if (isa !== table.isa) {
        table.ids.fill(0);
        table.isa = isa;
      }
      table.ids[code] = id + 1;
    }
    return id;
  }

  /** The id that the table has, -1 where it has none. */
  #known(b: EventBatch, i: number): number {
    const { table } = this;
    if (table === undefined || (b.size[i] as number) < table.end) return -1;
    const payload = b.at[i] as number;
    const code = b.view.getUint32(payload + table.codeAt, table.little);
    if (code >= directCodes || b.view.getUint32(payload + table.isaAt, table.little) !== table.isa) return -1;
    return (table.ids[code] as number) - 1;
  }
}

/** A reason that the trace gives in words. */
class TextReason implements ReasonDecoder {
  readonly #reader: FieldReader;
  readonly #reasons: Reasons;
  readonly #name: (text: string) => string;
  readonly #ids = new Map<string, number>();

  constructor(reader: FieldReader, reasons: Reasons, name: (text: string) => string) {
    this.#reader = reader;
    this.#reasons = reasons;
    this.#name = name;
  }

  id(b: EventBatch, i: number): number {
    const text = this.#reader.text(b, i);
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#reasons.id(this.#name(text));
      if (this.#ids.size < maxReasons) this.#ids.set(text, id);
    }
    return id;
  }
}

/** arm64 in text: `TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: …`, `IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: …`. */
class ArmTextReason implements ReasonDecoder {
  readonly #ret: FieldReader;
  readonly #class: FieldReader;
  readonly #reasons: Reasons;

  constructor(ret: FieldReader, armClass: FieldReader, reasons: Reasons) {
    this.#ret = ret;
    this.#class = armClass;
    this.#reasons = reasons;
  }

  id(b: EventBatch, i: number): number {
    const ret = this.#ret.kind === 'text' ? this.#ret.text(b, i) : nameOf(armTypes, this.#ret.number(b, i));
    if (ret !== 'TRAP' && ret !== '') return this.#reasons.id(ret);
    if (this.#class.kind === 'int') return this.#reasons.id(nameOf(armClasses, this.#class.number(b, i)));
    return this.#reasons.id(this.#class.text(b, i));
  }
}

/** What `wfi` is encoded as: a guest's goes to KVM as a virtual instruction fault, with the instruction in stval. */
const wfi = 0x10500073;
const virtualInstruction = 22;

class RiscvReason implements ReasonDecoder {
  readonly #scause: FieldReader;
  readonly #stval: FieldReader;
  readonly #reasons: Reasons;

  constructor(scause: FieldReader, stval: FieldReader, reasons: Reasons) {
    this.#scause = scause;
    this.#stval = stval;
    this.#reasons = reasons;
  }

  id(b: EventBatch, i: number): number {
    const code = this.#scause.low(b, i);
    const high = this.#scause.high(b, i);
    const names = high === 0x80000000 ? riscvInterrupts : riscvExceptions;
    const halt = code === virtualInstruction && high === 0 && this.#stval.low(b, i) === wfi;
    return this.#reasons.id(names.get(code) ?? hex64(high, code), halt);
  }
}

/** ppc: a guest goes to sleep by the hypercall H_CEDE, of which `ceded` tells. */
class PpcReason implements ReasonDecoder {
  readonly #trap: FieldReader;
  readonly #ceded: FieldReader;
  readonly #reasons: Reasons;

  constructor(trap: FieldReader, ceded: FieldReader, reasons: Reasons) {
    this.#trap = trap;
    this.#ceded = ceded;
    this.#reasons = reasons;
  }

  id(b: EventBatch, i: number): number {
    const halt = this.#ceded.number(b, i) === 1;
    if (this.#trap.kind === 'int') return this.#reasons.id(nameOf(ppc, this.#trap.number(b, i)), halt);
    const text = this.#trap.text(b, i);
    // The kernel's text has the number of a trap that it has no name for.
    return this.#reasons.id(text.startsWith('0x') ? nameOf(ppc, Number(text)) : text, halt);
  }
}

/** `isa` is NaN where the trace lacks it; the number alone then has no name. */
function x86Name(code: number, isa: number): string {
  if (isa === 1) return vmxName(code);
  if (isa === 2) return nameOf(svm, code);
  return `0x${code.toString(16)}`;
}

/** VMX keeps flags in the upper half; the kernel prints bit 31 as FAILED_VMENTRY and the others as a number. */
function vmxName(code: number): string {
  const name = nameOf(vmx, code & 0xffff);
  const failed = code >= 0x80000000 ? ' FAILED_VMENTRY' : '';
  const others = (code & 0x7fff0000) >>> 0;
  return `${name}${failed}${others === 0 ? '' : ` 0x${others.toString(16)}`}`;
}

function nameOf(names: ReadonlyMap<number, string>, code: number): string {
  return names.get(code) ?? `0x${(code >>> 0).toString(16)}`;
}

/** Each line: the code of the first name, then names of consecutive codes. */
function table(...lines: string[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of lines) {
    const [first, ...rest] = line.split(' ') as [string, ...string[]];
    rest.forEach((name, i) => {
      names.set(Number(first) + i, name);
    });
  }
  return names;
}
