/*
 * Which events a Perfetto trace has messages of their own for, and the numbers of their fields: protos/perfetto/trace/ftrace/ftrace_event.proto,
 * kvm.proto, hyp.proto, sched.proto and ftrace.proto of Perfetto. Those that nothing in virtap asks for are known by number alone.
 */

/** How a field's integer is meant; `text` is a string. */
export type ProtoKind = 'u32' | 'i32' | 'u64' | 'i64' | 'hex' | 'text';
export type ProtoField = { name: string; field: number; kind: ProtoKind };

/** An event's number in FtraceEvent, its name, and its fields in the order of their numbers from 1 on: `kind name`. */
const table: readonly [number, string, string][] = [
  [3, 'ftrace:print', 'hex ip, text buf'],
  [
    4,
    'sched:sched_switch',
    'text prev_comm, i32 prev_pid, i32 prev_prio, i64 prev_state, text next_comm, i32 next_pid, i32 next_prio',
  ],
  [17, 'sched:sched_wakeup', 'text comm, i32 pid, i32 prio, i32 success, i32 target_cpu'],
  [18, 'sched:sched_blocked_reason', 'i32 pid, hex caller, u32 io_wait'],
  [20, 'sched:sched_waking', 'text comm, i32 pid, i32 prio, i32 success, i32 target_cpu'],
  [114, 'sched:sched_wakeup_new', 'text comm, i32 pid, i32 prio, i32 success, i32 target_cpu'],
  [368, 'kvm:kvm_access_fault', 'hex ipa'],
  [369, 'kvm:kvm_ack_irq', 'u32 irqchip, u32 pin'],
  [370, 'kvm:kvm_age_hva', 'hex end, hex start'],
  [371, 'kvm:kvm_age_page', 'hex gfn, hex hva, u32 level, u32 referenced'],
  [372, 'kvm:kvm_arm_clear_debug', 'u32 guest_debug'],
  [373, 'kvm:kvm_arm_set_dreg32', 'text name, u32 value'],
  [374, 'kvm:kvm_arm_set_regset', 'i32 len, text name'],
  [375, 'kvm:kvm_arm_setup_debug', 'u32 guest_debug, hex vcpu'],
  [376, 'kvm:kvm_entry', 'hex vcpu_pc'],
  [377, 'kvm:kvm_exit', 'u32 esr_ec, i32 ret, hex vcpu_pc'],
  [378, 'kvm:kvm_fpu', 'u32 load'],
  [379, 'kvm:kvm_get_timer_map', 'i32 direct_ptimer, i32 direct_vtimer, i32 emul_ptimer, u64 vcpu_id'],
  [380, 'kvm:kvm_guest_fault', 'hex hsr, hex hxfar, hex ipa, hex vcpu_pc'],
  [381, 'kvm:kvm_handle_sys_reg', 'hex hsr'],
  [382, 'kvm:kvm_hvc_arm64', 'hex imm, hex r0, hex vcpu_pc'],
  [383, 'kvm:kvm_irq_line', 'i32 irq_num, i32 level, u32 type, i32 vcpu_idx'],
  [384, 'kvm:kvm_mmio', 'hex gpa, u32 len, u32 type, hex val'],
  [385, 'kvm:kvm_mmio_emulate', 'hex cpsr, hex instr, hex vcpu_pc'],
  [386, 'kvm:kvm_set_guest_debug', 'u32 guest_debug, hex vcpu'],
  [387, 'kvm:kvm_set_irq', 'u32 gsi, i32 irq_source_id, i32 level'],
  [388, 'kvm:kvm_set_spte_hva', 'hex hva'],
  [389, 'kvm:kvm_set_way_flush', 'u32 cache, hex vcpu_pc'],
  [390, 'kvm:kvm_sys_access', 'u32 CRm, u32 CRn, u32 Op0, u32 Op1, u32 Op2, u32 is_write, text name, hex vcpu_pc'],
  [391, 'kvm:kvm_test_age_hva', 'hex hva'],
  [392, 'kvm:kvm_timer_emulate', 'u32 should_fire, i32 timer_idx'],
  [393, 'kvm:kvm_timer_hrtimer_expire', 'i32 timer_idx'],
  [394, 'kvm:kvm_timer_restore_state', 'hex ctl, hex cval, i32 timer_idx'],
  [395, 'kvm:kvm_timer_save_state', 'hex ctl, hex cval, i32 timer_idx'],
  [396, 'kvm:kvm_timer_update_irq', 'u32 irq, i32 level, u64 vcpu_id'],
  [397, 'kvm:kvm_toggle_cache', 'u32 now, hex vcpu_pc, u32 was'],
  [398, 'kvm:kvm_unmap_hva_range', 'hex end, hex start'],
  [399, 'kvm:kvm_userspace_exit', 'u32 reason'],
  [400, 'kvm:kvm_vcpu_wakeup', 'u64 ns, u32 valid, u32 waited'],
  [401, 'kvm:kvm_wfx_arm64', 'u32 is_wfe, hex vcpu_pc'],
  [402, 'kvm:trap_reg', 'text fn, u32 is_write, i32 reg, hex write_value'],
  [403, 'kvm:vgic_update_irq_pending', 'u32 irq, u32 level, u64 vcpu_id'],
  [476, 'hyp:hyp_enter', ''],
  [477, 'hyp:hyp_exit', ''],
  [478, 'hyp:host_hcall', 'u32 id, u32 invalid'],
  [479, 'hyp:host_smc', 'hex id, u32 forwarded'],
  [480, 'hyp:host_mem_abort', 'hex esr, hex addr'],
];

export const protoEvents: ReadonlyMap<number, { name: string; fields: readonly ProtoField[] }> = new Map(
  table.map(([number, name, fields]) => [
    number,
    {
      name,
      fields:
        fields === ''
          ? []
          : fields.split(', ').map((text, index) => {
              const [kind, field] = text.split(' ') as [ProtoKind, string];
              return { name: field, field: index + 1, kind };
            }),
    },
  ]),
);

/** Numbers that the reader makes events of itself, or that have no fields of their own. */
export const eventNumber = { schedSwitch: 4, schedWaking: 20, generic: 327 } as const;
