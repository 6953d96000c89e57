/**
 * The kernel events that scripts know out of the box, one a line: the event's name, then its fields as its format file
 * names them (Linux 6.1 and 6.12; include/trace/events/kvm.h, sched.h, arch/x86/kvm/trace.h).
 *
 * A bare field is a number; `:x` is 64 bits that the kernel prints in hexadecimal, `:s` text, `:w` a number in binary traces
 * and a word in text traces. An exit's `reason` is the name of its exit_reason, which virtap adds. `?` after it: not in every kernel, or of another architecture.
 */
export const knownKernelEvents = `
irq:softirq_entry vec
irq:softirq_exit vec
irq:softirq_raise vec
kvm:kvm_ack_irq irqchip:w pin
kvm:kvm_age_hva start:x end:x
kvm:kvm_apic rw reg:w val:x
kvm:kvm_apic_accept_irq apicid dm tm vec
kvm:kvm_apic_ipi icr_low dest_id
kvm:kvm_apicv_inhibit_changed reason set inhibits:x
kvm:kvm_async_pf_ready token:x gva:x
kvm:kvm_cpuid function index? rax:x rbx:x rcx:x rdx:x found used_max_basic?
kvm:kvm_emulate_insn rip:x csbase len? insn:s flags:w? failed?
kvm:kvm_entry vcpu_id rip:x? immediate_exit? intr_info? error_code? vcpu_pc:x?
kvm:kvm_eoi apicid vector
kvm:kvm_exit reason:s exit_reason:w guest_rip:x isa? info1:x? info2:x? intr_info? error_code? vcpu_id? requests:x? ret:w? esr_ec? vcpu_pc:x?
kvm:kvm_fpu load
kvm:kvm_halt_poll_ns grow vcpu_id new old
kvm:kvm_hv_stimer_cleanup vcpu_id timer_index
kvm:kvm_hv_stimer_set_config vcpu_id timer_index config:x host
kvm:kvm_hv_stimer_set_count vcpu_id timer_index count host
kvm:kvm_hv_syndbg_get_msr vcpu_id vp_index msr data:x
kvm:kvm_hv_timer_state vcpu_id hv_timer_in_use
kvm:kvm_hypercall nr:x a0:x a1:x a2:x a3:x
kvm:kvm_inj_virq vector soft reinjected
kvm:kvm_ioapic_set_irq e:x? pin coalesced? dst? vec?
kvm:kvm_mmio type len gpa:x val:x
kvm:kvm_msi_set_irq address:x data
kvm:kvm_msr write ecx data:x exception
kvm:kvm_page_fault vcpu_id? guest_rip:x? fault_address:x error_code:x
kvm:kvm_pic_set_irq chip pin elcr imr coalesced
kvm:kvm_pio rw port size count val?
kvm:kvm_pv_eoi apicid vector
kvm:kvm_pv_tlb_flush vcpu_id need_flush_tlb
kvm:kvm_pvclock_update vcpu_id version tsc_timestamp:x system_time:x tsc_to_system_mul tsc_shift flags
kvm:kvm_set_irq gsi level irq_source_id
kvm:kvm_set_spte_hva hva:x
kvm:kvm_smm_transition vcpu_id smbase:x entering
kvm:kvm_track_tsc vcpu_id nr_vcpus_matched_tsc online_vcpus use_master_clock host_clock
kvm:kvm_unmap_hva_range start:x end:x
kvm:kvm_update_master_clock use_master_clock host_clock offset_matched
kvm:kvm_userspace_exit reason? reason_name:s? errno?
kvm:kvm_vcpu_wakeup ns waited valid
kvm:kvm_wait_lapic_expire vcpu_id delta
kvm:kvm_write_tsc_offset vcpu_id previous_tsc_offset:x next_tsc_offset:x
kvm:vcpu_match_mmio gva:x gpa:x write gpa_match
raw_syscalls:sys_enter id args:s
raw_syscalls:sys_exit id ret
sched:sched_migrate_task comm:s pid prio orig_cpu dest_cpu
sched:sched_process_exec filename:s pid old_pid
sched:sched_process_exit comm:s pid prio
sched:sched_process_free comm:s pid prio
sched:sched_stat_runtime comm:s pid runtime vruntime
sched:sched_switch prev_comm:s prev_pid prev_prio prev_state:w next_comm:s next_pid next_prio
sched:sched_wakeup comm:s pid prio target_cpu
sched:sched_waking comm:s pid prio target_cpu
syscalls:sys_enter_ioctl __syscall_nr? fd cmd arg:x
syscalls:sys_exit_ioctl __syscall_nr? ret
sched:sched_process_fork parent_comm:s? parent_pid? comm:s? pid? child_comm:s child_pid
sched:sched_wakeup_new comm:s pid prio target_cpu
irq:irq_handler_entry irq name:s
irq:irq_handler_exit irq ret
kvm:kvm_fast_mmio gpa:x
kvm:kvm_cr rw cr val:x
task:task_rename pid oldcomm:s newcomm:s oom_score_adj
`;
