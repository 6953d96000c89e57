import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import { groups } from '../trace/groups.ts';
import { FunctionGraphLayout } from './function-graph-layout.ts';
import { type Locator, PrintedInteger, PrintedText, startsWith } from './text-field.ts';
import { decodeText } from './text-reader.ts';
import { Template, TemplateLayout } from './text-template.ts';

/*
 * Kernel events as text: which words carry which of the kernel's fields. Several tools print them:
 *
 * - the kernel, by the event's `print fmt` (arch/x86/kvm/trace.h, include/trace/events/kvm.h, sched.h and others), which
 *   tracefs' `trace`, `perf script` and `trace-cmd report -N` show;
 * - trace-cmd's plugins, which rewrite some events (libtraceevent: plugin_kvm.c, plugin_sched_switch.c);
 * - `trace-cmd report -R`, which prints every field as name=value.
 */

/**
 * The forms of the events that virtap uses. An event's first sample picks a form; a form that is a list has
 * alternatives that occur side by side. What is not here is read as `name=value`, `name: value` or `name value`.
 */
const forms: Record<string, readonly (string | readonly string[])[]> = {
  kvm_exit: [
    [
      'vcpu {vcpu_id:d} reason {exit_reason:s} rip {guest_rip:x}~ info1 {info1:x} info2 {info2:x} intr_info {intr_info:x} error_code {error_code:x} requests {requests:x}',
      // Before Linux 5.10, and trace-cmd's plugin.
      'reason {exit_reason:s} rip {guest_rip:x}~ info {info1:x} {info2:x}',
      // Shortened by hand, as in mails and tickets.
      ...['vcpu {vcpu_id:d} reason', 'reason'].flatMap((head) => [
        `${head} {exit_reason:s} info1 {info1:x}~ info2 {info2:x} intr_info {intr_info:x} error_code {error_code:x}`,
        `${head} {exit_reason:s} info {info1:x}~ {info2:x}`,
        `${head} {exit_reason:s} intr_info {intr_info:x}~ error_code {error_code:x}`,
        `${head} {exit_reason:s} error_code {error_code:x}`,
        `${head} {exit_reason:s}`,
      ]),
    ],
    // arm64 (arch/arm64/kvm/trace_arm.h) and 32-bit arm.
    '{ret:IRQ|SERROR|TRAP|HYP_GONE}: HSR_EC: {esr_ec:x} ({esr_ec_name:s}), PC: {vcpu_pc:x}',
    // riscv (arch/riscv/kvm/trace.h).
    'SEPC:{sepc:x}, SCAUSE:{scause:x}, STVAL:{stval:x}, HTVAL:{htval:x}, HTINST:{htinst:x}',
    // LoongArch and MIPS.
    '[{reason:s}]PC: {pc:x}',
  ],
  kvm_entry: [
    [
      'vcpu {vcpu_id:d} rip {rip:x}',
      'vcpu {vcpu_id:d}~, rip {rip:x} intr_info {intr_info:x} error_code {error_code:x}{immediate_exit?[immediate exit]}',
    ],
    'PC: {vcpu_pc:x}',
  ],
  kvm_pio: ['pio_{rw:read|write} at {port:x} size {size:d} count {count:d}~ val {val:x}'],
  kvm_mmio: ['mmio {type:unsatisfied-read|read|write} len {len:d} gpa {gpa:x} val {val:x}'],
  kvm_fast_mmio: ['fast mmio at gpa {gpa:x}'],
  kvm_msr: ['msr_{write:read|write} {ecx:x} = {data:x}{exception?(#GP)}'],
  kvm_cr: ['cr_{rw:read|write} {cr:x} = {val:x}'],
  kvm_apic: ['apic_{rw:read|write} {reg:s} = {val:x}'],
  kvm_cpuid: [
    'func {function:x} idx {index:x} rax {rax:x} rbx {rbx:x} rcx {rcx:x} rdx {rdx:x}, cpuid entry {found:not found|found}{used_max_basic?used max basic}',
    'function={function:x} index={index:x} rax={rax:x} rbx={rbx:x} rcx={rcx:x} rdx={rdx:x} found={found:d} used_max_basic={used_max_basic:d}',
    'func {function:x} rax {rax:x} rbx {rbx:x} rcx {rcx:x} rdx {rdx:x}~, cpuid entry {found:not found|found}',
  ],
  kvm_page_fault: [
    'vcpu {vcpu_id:d} rip {guest_rip:x} address {fault_address:x} error_code {error_code:x}',
    'address {fault_address:x} error_code {error_code:x}',
  ],
  kvm_userspace_exit: [
    ['reason restart ({errno:n})', 'reason error ({errno:n})', 'reason {reason_name:s} ({reason:d})'],
  ],
  kvm_inj_virq: ['{soft:IRQ|Soft/INTn} {vector:x}{reinjected?[reinjected]}', 'irq {irq:d}'],
  // Without an error code where the exception has none.
  kvm_inj_exception: [
    [
      '{exception:s} ({error_code:x}){reinjected?[reinjected]}',
      '{exception:s} [reinjected]{reinjected?[reinjected]}',
      '{exception:s}',
    ],
  ],
  kvm_set_irq: ['gsi {gsi:d} level {level:d} source {irq_source_id:d}'],
  kvm_msi_set_irq: ['dst {dst:x} vec {vec:d}'],
  kvm_ioapic_set_irq: ['pin {pin:d} dst {dst:x} vec {vec:d}', 'pin {pin:d} dst {dst:x} vec={vec:d}'],
  kvm_pic_set_irq: ['chip {chip:d} pin {pin:d}'],
  kvm_ack_irq: ['irqchip {irqchip:s} pin {pin:d}'],
  kvm_apic_ipi: ['dst {dest_id:x} vec {vec:d}'],
  kvm_apic_accept_irq: ['apicid {apicid:x} vec {vec:d}'],
  kvm_eoi: ['apicid {apicid:x} vector {vector:d}'],
  kvm_pv_eoi: ['apicid {apicid:x} vector {vector:d}'],
  kvm_hypercall: ['nr {nr:x} a0 {a0:x} a1 {a1:x} a2 {a2:x} a3 {a3:x}'],
  kvm_nested_vmexit: [
    'vcpu {vcpu_id:d} reason {exit_reason:s} rip {guest_rip:x}~ info1 {info1:x} info2 {info2:x} intr_info {intr_info:x} error_code {error_code:x} requests {requests:x}',
    'rip: {rip:x} reason: {exit_code:s} ext_inf1: {exit_info1:x} ext_inf2: {exit_info2:x} ext_int: {exit_int_info:x} ext_int_err: {exit_int_info_err:x}',
    'rip {rip:x} reason {exit_code:s} info1 {exit_info1:x} info2 {exit_info2:x} int_info {exit_int_info:x} int_info_err {exit_int_info_err:x}',
  ],
  kvm_nested_vmexit_inject: [
    'reason: {exit_code:s} ext_inf1: {exit_info1:x} ext_inf2: {exit_info2:x} ext_int: {exit_int_info:x} ext_int_err: {exit_int_info_err:x}',
    'reason {exit_code:s} info1 {exit_info1:x} info2 {exit_info2:x} int_info {exit_int_info:x} int_info_err {exit_int_info_err:x}',
  ],
  kvm_vcpu_wakeup: ['{waited:poll|wait} time {ns:d} ns~, polling {valid:invalid|valid}'],
  kvm_halt_poll_ns: ['vcpu {vcpu_id:d}: halt_poll_ns {new:d} ({grow:shrink|grow} {old:d})'],
  kvm_emulate_insn: [
    'rip={rip:x} csbase={csbase:x} len={len:d} insn={insn:s} flags={flags:d} failed={failed:d}',
    [
      '{csbase:x}:{rip:x}: {insn:s} ({flags:s}){failed?) failed}',
      '{csbase:x}:{rip:x}:{insn:s} ({flags:s}){failed?) failed}',
      '{csbase:x}:{rip:x} ({flags:s}){failed?) failed}',
      '{csbase:x}:{rip:x}: {insn:s}',
      '{csbase:x}:{rip:x}:{insn:s}',
    ],
  ],
  fast_page_fault: [
    'vcpu {vcpu_id:d} gva {gva:x} error_code {error_code:s} sptep {sptep:x} old {old_spte:x} new {new_spte:x}~ spurious {spurious:d} fixed {fixed:d}',
  ],
  kvm_wait_lapic_expire: ['vcpu {vcpu_id:d}: delta {delta:d}'],
  kvm_write_tsc_offset: ['vcpu={vcpu_id:d} prev={previous_tsc_offset:d} next={next_tsc_offset:d}'],
  kvm_pv_tlb_flush: ['vcpu {vcpu_id:d} need_flush_tlb {need_flush_tlb:false|true}'],
  kvm_hv_timer_state: ['vcpu_id {vcpu_id:d} hv_timer {hv_timer_in_use:d}'],
  kvm_smm_transition: ['vcpu {vcpu_id:d}: {entering:leaving|entering} SMM, smbase {smbase:x}'],
  kvm_enter_smm: ['vcpu {vcpu_id:d}: {entering:leaving|entering} SMM, smbase {smbase:x}'],
  kvm_fpu: ['{load:unload|load}'],
  kvm_unmap_hva_range: ['mmu notifier unmap range: {start:x} -- {end:x}'],
  vcpu_match_mmio: ['gva {gva:x} gpa {gpa:x} {write:Read|Write} {gpa_match:GVA|GPA}'],
  // LoongArch, MIPS (arch/loongarch/kvm/trace.h, arch/mips/kvm/trace.h).
  kvm_enter: ['PC: {pc:x}'],
  kvm_reenter: ['PC: {pc:x}'],
  kvm_out: ['PC: {pc:x}'],
  kvm_exit_idle: ['[{reason:s}]PC: {pc:x}'],
  kvm_exit_cache: ['[{reason:s}]PC: {pc:x}'],
  kvm_exit_gspr: ['Inst word: {inst_word:x}'],
  // s390 (arch/s390/kvm/trace.h) and ppc (arch/powerpc/kvm/trace_hv.h).
  kvm_s390_sie_enter: ['{id:d}[{pswmask:x}-{pswaddr:x}]: entering sie flags {cpuflags:x}'],
  kvm_s390_sie_exit: ['{id:d}[{pswmask:x}-{pswaddr:x}]: exit sie icptcode {icptcode:d}'],
  kvm_guest_enter: [
    'VCPU {vcpu_id:d}: pc={pc:x} pexcp={pending_exceptions:x} ceded={ceded:d}',
    'VCPU {vcpu_id:d}: pc={pc:x} pexcep={pending_exceptions:x} ceded={ceded:d}',
  ],
  kvm_guest_exit: ['VCPU {vcpu_id:d}: trap={trap:s} pc={pc:x} msr={msr:x}, ceded={ceded:d}'],
  kvm_hcall_enter: ['VCPU {vcpu_id:d}: hcall={hcall:s} GPR4-7={gpr4:x},{gpr5:x},{gpr6:x},{gpr7:x}'],
  kvm_hcall_exit: ['VCPU {vcpu_id:d}: ret={ret:s} hcall_rc={hcall_rc:s}'],
  // arm64 (arch/arm64/kvm/trace_arm.h).
  kvm_wfx_arm64: ['guest executed {is_wfe:wfi|wfe} at: {vcpu_pc:x}'],
  kvm_guest_fault: ['ipa {ipa:x}, hsr {hsr:x}, hxfar {hxfar:x}, pc {vcpu_pc:x}'],
  kvm_get_timer_map: ['VCPU: {vcpu_id:d}, dv: {direct_vtimer:d}, dp: {direct_ptimer:d}, ep: {emul_ptimer:d}'],
  sched_switch: [
    '<prev_comm={prev_comm:s} prev_pid={prev_pid:d} prev_prio={prev_prio:d} prev_state={prev_state:s} ==> next_comm={next_comm:s} next_pid={next_pid:d} next_prio={next_prio:d}',
    '<prev_comm={prev_comm:s} prev_pid={prev_pid:d} prev_prio={prev_prio:d} prev_state={prev_state:d} next_comm={next_comm:s} next_pid={next_pid:d} next_prio={next_prio:d}',
    '<{prev_comm:s}:{prev_pid:d} [{prev_prio:d}] {prev_state:s} ==> {next_comm:s}:{next_pid:d} [{next_prio:d}]',
  ],
  sched_wakeup: [
    '<comm={comm:s} pid={pid:d} prio={prio:d} target_cpu={target_cpu:d}',
    '<{comm:s}:{pid:d} [{prio:d}] CPU:{target_cpu:d}',
    // Without room for the CPU: `success=1` of old kernels.
    '<{comm:s}:{pid:d} [{prio:d}]',
  ],
  sched_migrate_task: ['<comm={comm:s} pid={pid:d} prio={prio:d} orig_cpu={orig_cpu:d} dest_cpu={dest_cpu:d}'],
  sched_process_fork: ['<comm={comm:s} pid={pid:d} child_comm={child_comm:s} child_pid={child_pid:d}'],
  sched_process_exit: ['<comm={comm:s} pid={pid:d} prio={prio:d}'],
  irq_handler_entry: ['irq={irq:d} name={name:s}'],
  irq_handler_exit: ['irq={irq:d} ret={ret:unhandled|handled}'],
  sys_enter: ['NR {id:d} ({args:s})'],
  sys_exit: ['NR {id:d} = {ret:i}'],
};
/** What KVM_MMU_PAGE_PRINTK prints (arch/x86/kvm/mmu/mmutrace.h). */
const shadowPage = [
  'sp gen {mmu_valid_gen:x} gfn {gfn:x} l{level:d} {role:s}',
  'sp gfn {gfn:x} l{level:d} {role:s}',
  'sp gfn {gfn:x} {role:s}',
];
for (const name of ['get_page', 'sync_page', 'unsync_page', 'prepare_zap_page', 'zap_page', 'zap_all'])
  forms[`kvm_mmu_${name}`] = [shadowPage];
for (const name of ['sched_waking', 'sched_wakeup_new', 'sched_wakeup_template'])
  forms[name] = forms.sched_wakeup ?? [];

/** A system call's end: perf and trace-cmd print the value, tracefs `sys_NAME -> value`. */
const syscallEnd = ['{ret:i}', '__syscall_nr={__syscall_nr:d} ret={ret:i}', 'nr={nr:d} ret={ret:i}'];

/** Fields of KVM's events that the kernel prints in hexadecimal without 0x; `trace-cmd report -R` takes that over. */
const hexadecimal = new Set(
  'addr address apicid cr csbase dest_id ecx error_code exit_info1 exit_info2 exit_int_info exit_int_info_err fault_address gfn gpa gva info1 info2 new_spte old_spte pferr pte rip spte sptep'.split(
    ' ',
  ),
);

const compiled = new Map<readonly (string | readonly string[])[], readonly (readonly Template[])[]>();

/** A layout that knows which payloads it is not for. */
export interface TextLayout extends Layout {
  /** Whether a payload may be of its form. */
  begins(bytes: Uint8Array, from: number, to: number): boolean;
}

/** The forms of an event, each as the alternatives that it is made of; undefined where none is known. */
function formsOf(name: string): readonly (readonly Template[])[] | undefined {
  const known = Object.hasOwn(forms, name) ? forms[name] : name.startsWith('sys_exit_') ? syscallEnd : undefined;
  if (known === undefined) return undefined;
  let templates = compiled.get(known);
  if (templates === undefined) {
    templates = known.map((form) => (typeof form === 'string' ? [form] : form).map((source) => new Template(source)));
    compiled.set(known, templates);
  }
  return templates;
}

function formOf(name: string, bytes: Uint8Array, from: number, to: number): readonly Template[] | undefined {
  return formsOf(name)?.find((alternatives) => alternatives.some((t) => t.matches(bytes, from, to)));
}

/** The layout of an event type, for payloads that are what the tracer printed after `NAME: `. `sample` is one of them. */
export function kernelTextLayout(name: string, sample: Uint8Array): TextLayout {
  if (/^funcgraph_(entry|exit)$/.test(name)) return new FunctionGraphLayout();
  const form = formOf(name, sample, 0, sample.length);
  return form === undefined ? new NamedValues(sample, name) : new TemplateLayout(form, sample);
}

/** How many fields the payload of an event has in the form that suits it best; undefined where no form of the event is known. */
export function kernelTextFit(name: string, bytes: Uint8Array, from: number, to: number): number | undefined {
  return formsOf(name)?.reduce((best, form) => Math.max(best, ...form.map((t) => t.fit(bytes, from, to))), 0);
}

/** How many of its values are whole, as those are not that a line's end cuts; undefined where no form of the event is known. */
export function kernelTextExact(name: string, bytes: Uint8Array, from: number, to: number): number | undefined {
  return formsOf(name)?.reduce((best, form) => Math.max(best, ...form.map((t) => t.exact(bytes, from, to))), 0);
}

const mostFields = 64;
const longestSample = 2048;

/** How a field is printed: the bytes before its value, and what the value is. */
type NamedForm = { key: Uint8Array; form: 'integer' | 'hex' | 'text' };

/** Fields after their names: `name=value`, `name: value`, `name value`. The first sample says which fields there are. */
class NamedValues implements TextLayout {
  /** Until somebody asks for fields only the sample is kept: a hostile file can have thousands of types. */
  readonly #sample: Uint8Array;
  readonly #event: string;
  #found: Map<string, NamedForm> | undefined;
  #places: NamedValue[] | undefined;

  constructor(sample: Uint8Array, event: string) {
    this.#sample = sample.slice(0, longestSample);
    this.#event = event;
  }

  get fields(): readonly Field[] {
    return [...this.#named().keys()].map((name) => ({ name, declared: '' }));
  }

  /** Whether it is none of the forms that are known of the event, and has any of the sample's fields. */
  begins(bytes: Uint8Array, from: number, to: number): boolean {
    if (formOf(this.#event, bytes, from, to) !== undefined) return false;
    this.#places ??= [...this.#named().values()].map(({ key }) => new NamedValue(key));
    for (const place of this.#places) if (place.find(bytes, from, to)) return true;
    return this.#places.length === 0;
  }

  reader(name: string): FieldReader | undefined {
    const found = this.#named().get(name);
    if (found === undefined) return undefined;
    const locator = new NamedValue(found.key);
    if (found.form === 'text') return new PrintedText(locator);
    return new PrintedInteger(locator, found.form === 'hex' ? 'hex' : 'decimal');
  }

  #named(): Map<string, NamedForm> {
    this.#found ??= namedFields(decodeText(this.#sample, 0, this.#sample.length), this.#event);
    return this.#found;
  }

  print(b: EventBatch, i: number): string {
    const at = b.at[i] as number;
    return decodeText(b.bytes, at, at + (b.size[i] as number));
  }
}

const kvmEvents = /^(kvm|fast_page_fault$|(mark|check)_mmio_spte$|handle_mmio_page_fault$)/;

/** The fields of an event of which `text` is a sample. */
function namedFields(text: string, event: string): Map<string, NamedForm> {
  const found = new Map<string, NamedForm>();
  // A probe's fields follow the address that it stands at.
  if (text.startsWith('(')) found.set('__probe_ip', { key: Buffer.from('('), form: 'hex' });
  const names = /(?<![\w.%/-])([A-Za-z_]\w*)(=|: *| = | (?=-?(?:0x[0-9a-f]+|[0-9a-f]+)(?![\w.])))("?[^\s,;:)}\]]*)/gi;
  const kvm = kvmEvents.test(event);
  // What libtraceevent prints where it cannot follow the kernel's own form: numbers as C has them.
  const plain = text.startsWith('[FAILED TO PARSE]');
  for (let match = names.exec(text); match !== null && found.size < mostFields; match = names.exec(text)) {
    const [, printed, spaced, value] = groups<[string, string, string, string]>(match);
    const separator = spaced.replace(/(?<!=) +$/, ' ');
    const name = printed === 'vcpu' ? 'vcpu_id' : printed;
    // Hexadecimal digits alone can be a word: they are a number after a name that is known to have one.
    const loose = separator === ':' || (separator === ' ' && !/^-?(0x[0-9a-f]+|\d+)$/i.test(value));
    if (loose && !(kvm && hexadecimal.has(name))) {
      names.lastIndex = match.index + printed.length;
      continue;
    }
    if (found.has(name) || (separator !== '=' && value === '')) continue;
    // Bare digits are hexadecimal in tracefs' `sys_ioctl(fd: d, …)`.
    const hex = event.startsWith('sys_enter_') ? separator === ': ' : kvm && !plain && hexadecimal.has(name);
    let form: NamedForm['form'] = 'text';
    if (/^-?0x[0-9a-f]+$/i.test(value) || (/^[0-9a-f]+$/i.test(value) && (hex || value.length >= 8))) form = 'hex';
    if (!hex && /^-?\d+$/.test(value)) form = 'integer';
    found.set(name, { key: Buffer.from(printed + separator, 'latin1'), form });
  }
  return found;
}

class NamedValue implements Locator {
  start = 0;
  end = 0;
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  find(bytes: Uint8Array, from: number, to: number): boolean {
    const key = this.#key;
    for (let p = from; p + key.length <= to; p++) {
      if (bytes[p] !== key[0] || (p > from && isWord(bytes[p - 1] as number)) || !startsWith(bytes, p, to, key))
        continue;
      let start = p + key.length;
      // Numbers may be set out in columns.
      if (key[key.length - 1] === 0x20) while (start < to && bytes[start] === 0x20) start++;
      let end = start;
      if (bytes[start] === 0x22) {
        end = ++start;
        while (end < to && bytes[end] !== 0x22) end++;
      } else if (key[key.length - 1] === 0x3d) {
        while (end < to && !(bytes[end] === 0x20 && endsValue(bytes, end + 1, to))) end++;
        if (end > start && bytes[end - 1] === 0x2c) end--;
      } else {
        while (end < to && bytes[end] !== 0x20 && bytes[end] !== 0x2c && bytes[end] !== 0x29) end++;
      }
      this.start = start;
      this.end = end;
      return true;
    }
    return false;
  }
}

/** Whether what stands at `p` ends a value after `name=`: another `name=`, or anything that is not part of a name. */
function endsValue(bytes: Uint8Array, p: number, to: number): boolean {
  let q = p;
  while (q < to && isWord(bytes[q] as number)) q++;
  return q === p || (q < to && bytes[q] === 0x3d);
}

function isWord(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c === 0x5f;
}

/** Event systems by name, for tracers that print only the event's own name. */
const systems: readonly [names: RegExp, system: string][] = [
  [/^(kvm_mmu_|kvm_tdp_mmu_|mark_mmio_spte$|check_mmio_spte$|handle_mmio_page_fault$|fast_page_fault$)/, 'kvmmmu'],
  [/^(kvm_(guest|hcall|page_fault)_(enter|exit)|kvmppc_.*)$/, 'kvm_hv'],
  [/^(kvm_|vcpu_match_mmio$|vgic_update_irq_pending$)/, 'kvm'],
  [/^sched_/, 'sched'],
  [/^sys_(enter|exit)_/, 'syscalls'],
  [/^sys_(enter|exit)$/, 'raw_syscalls'],
  [/^(irq_handler_|softirq_|tasklet_)/, 'irq'],
  [/^(timer_|hrtimer_|itimer_|tick_stop$)/, 'timer'],
  [/^ipi_/, 'ipi'],
  [
    /^(vector_.*|(local_timer|reschedule|call_function|call_function_single|x86_platform_ipi|irq_work|error_apic|spurious_apic|thermal_apic|threshold_apic|deferred_error_apic)_(entry|exit))$/,
    'irq_vectors',
  ],
  [
    /^(cpu_idle|cpu_idle_miss|cpu_frequency|cpu_frequency_limits|suspend_resume|powernv_throttle|pstate_sample|clock_.*|power_.*|pm_qos_.*|device_pm_.*|dev_pm_qos_.*|guest_halt_poll_ns|wakeup_source_.*)$/,
    'power',
  ],
  [/^workqueue_/, 'workqueue'],
  [/^block_/, 'block'],
  [/^signal_/, 'signal'],
  [/^task_(newtask|rename)$/, 'task'],
  [/^(kmalloc|kfree|kmem_cache_.*|mm_page_.*|rss_stat)$/, 'kmem'],
  [/^mm_compaction_/, 'compaction'],
  [/^mm_vmscan_/, 'vmscan'],
  [/^mm_filemap_/, 'filemap'],
  [/^(net_dev_.*|netif_.*)$/, 'net'],
  [/^napi_poll$/, 'napi'],
  [/^(consume_skb|kfree_skb|skb_copy_datagram_iovec)$/, 'skb'],
  [/^tcp_/, 'tcp'],
  [/^rcu_/, 'rcu'],
  [/^page_fault_(user|kernel)$/, 'exceptions'],
  [/^(read_msr|write_msr|rdpmc)$/, 'msr'],
  [/^(lock_acquire|lock_release|contention_begin|contention_end)$/, 'lock'],
  [
    /^(writeback|ext4|jbd2|xfs|btrfs|nfs|scsi|nvme|vhost|virtio|xen|cgroup|cpuhp|csd|mce|nmi|dma_fence|thermal|vfio)_/,
    '',
  ],
  [
    /^(function|funcgraph_entry|funcgraph_exit|kernel_stack|user_stack|bprint|bputs|print|raw_data|hwlat|osnoise|timerlat)$/,
    'ftrace',
  ],
];

/**
 * `system:event` of an event of which only the name is known. `sample` tells probes by the address that they print first. The
 * names of tracepoints do not say their system: where virtap does not know it, it is `unknown`.
 */
export function qualifiedName(event: string, sample: Uint8Array): string {
  const start = decodeText(sample, 0, Math.min(sample.length, 64));
  // `(0x5595f8e28a41)` is an address in a program, `(vfs_read+0x0/0x70)` a place in the kernel.
  if (/^\(0x[0-9a-f]+\)/.test(start)) return `uprobes:${event}`;
  if (/^\([\w.]+(\+0x[0-9a-f]+|\s*<-)/.test(start)) return `kprobes:${event}`;
  for (const [names, system] of systems) {
    const match = names.exec(event);
    if (match !== null) return `${system === '' ? match[1] : system}:${event}`;
  }
  return `unknown:${event}`;
}
