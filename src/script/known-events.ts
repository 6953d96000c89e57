// biome-ignore-all format: one event a line
import type { Hex } from '../spans/kind.ts';

/**
 * The arguments of the events that virtap knows, by the events' full names: what known-kernel.ts and QEMU's signatures say. Written by
 * `UPDATE_TYPES=1 npm test src/script/declare.test.ts`.
 */
export interface KnownEvents {
  'irq:irq_handler_entry': { readonly irq: number; readonly name: string };
  'irq:irq_handler_exit': { readonly irq: number; readonly ret: number };
  'irq:softirq_entry': { readonly vec: number };
  'irq:softirq_exit': { readonly vec: number };
  'irq:softirq_raise': { readonly vec: number };
  'kvm:kvm_ack_irq': { readonly irqchip: number | string; readonly pin: number };
  'kvm:kvm_age_hva': { readonly start: Hex; readonly end: Hex };
  'kvm:kvm_apic': { readonly rw: number; readonly reg: number | string; readonly val: Hex };
  'kvm:kvm_apic_accept_irq': { readonly apicid: number; readonly dm: number; readonly tm: number; readonly vec: number };
  'kvm:kvm_apic_ipi': { readonly icr_low: number; readonly dest_id: number };
  'kvm:kvm_apicv_inhibit_changed': { readonly reason: number; readonly set: number; readonly inhibits: Hex };
  'kvm:kvm_async_pf_ready': { readonly token: Hex; readonly gva: Hex };
  'kvm:kvm_cpuid': { readonly function: number; readonly index?: number; readonly rax: Hex; readonly rbx: Hex; readonly rcx: Hex; readonly rdx: Hex; readonly found: number; readonly used_max_basic?: number };
  'kvm:kvm_cr': { readonly rw: number; readonly cr: number; readonly val: Hex };
  'kvm:kvm_emulate_insn': { readonly rip: Hex; readonly csbase: number; readonly len?: number; readonly insn: string; readonly flags?: number | string; readonly failed?: number };
  'kvm:kvm_entry': { readonly vcpu_id: number; readonly rip?: Hex; readonly immediate_exit?: number; readonly intr_info?: number; readonly error_code?: number; readonly vcpu_pc?: Hex };
  'kvm:kvm_eoi': { readonly apicid: number; readonly vector: number };
  'kvm:kvm_exit': { readonly reason: string; readonly exit_reason: number | string; readonly guest_rip: Hex; readonly isa?: number; readonly info1?: Hex; readonly info2?: Hex; readonly intr_info?: number; readonly error_code?: number; readonly vcpu_id?: number; readonly requests?: Hex; readonly ret?: number | string; readonly esr_ec?: number; readonly vcpu_pc?: Hex };
  'kvm:kvm_fast_mmio': { readonly gpa: Hex };
  'kvm:kvm_fpu': { readonly load: number };
  'kvm:kvm_halt_poll_ns': { readonly grow: number; readonly vcpu_id: number; readonly new: number; readonly old: number };
  'kvm:kvm_hv_stimer_cleanup': { readonly vcpu_id: number; readonly timer_index: number };
  'kvm:kvm_hv_stimer_set_config': { readonly vcpu_id: number; readonly timer_index: number; readonly config: Hex; readonly host: number };
  'kvm:kvm_hv_stimer_set_count': { readonly vcpu_id: number; readonly timer_index: number; readonly count: number; readonly host: number };
  'kvm:kvm_hv_syndbg_get_msr': { readonly vcpu_id: number; readonly vp_index: number; readonly msr: number; readonly data: Hex };
  'kvm:kvm_hv_timer_state': { readonly vcpu_id: number; readonly hv_timer_in_use: number };
  'kvm:kvm_hypercall': { readonly nr: Hex; readonly a0: Hex; readonly a1: Hex; readonly a2: Hex; readonly a3: Hex };
  'kvm:kvm_inj_virq': { readonly vector: number; readonly soft: number; readonly reinjected: number };
  'kvm:kvm_ioapic_set_irq': { readonly e?: Hex; readonly pin: number; readonly coalesced?: number; readonly dst?: number; readonly vec?: number };
  'kvm:kvm_mmio': { readonly type: number; readonly len: number; readonly gpa: Hex; readonly val: Hex };
  'kvm:kvm_msi_set_irq': { readonly address: Hex; readonly data: number };
  'kvm:kvm_msr': { readonly write: number; readonly ecx: number; readonly data: Hex; readonly exception: number };
  'kvm:kvm_page_fault': { readonly vcpu_id?: number; readonly guest_rip?: Hex; readonly fault_address: Hex; readonly error_code: Hex };
  'kvm:kvm_pic_set_irq': { readonly chip: number; readonly pin: number; readonly elcr: number; readonly imr: number; readonly coalesced: number };
  'kvm:kvm_pio': { readonly rw: number; readonly port: number; readonly size: number; readonly count: number; readonly val?: number };
  'kvm:kvm_pv_eoi': { readonly apicid: number; readonly vector: number };
  'kvm:kvm_pv_tlb_flush': { readonly vcpu_id: number; readonly need_flush_tlb: number };
  'kvm:kvm_pvclock_update': { readonly vcpu_id: number; readonly version: number; readonly tsc_timestamp: Hex; readonly system_time: Hex; readonly tsc_to_system_mul: number; readonly tsc_shift: number; readonly flags: number };
  'kvm:kvm_set_irq': { readonly gsi: number; readonly level: number; readonly irq_source_id: number };
  'kvm:kvm_set_spte_hva': { readonly hva: Hex };
  'kvm:kvm_smm_transition': { readonly vcpu_id: number; readonly smbase: Hex; readonly entering: number };
  'kvm:kvm_track_tsc': { readonly vcpu_id: number; readonly nr_vcpus_matched_tsc: number; readonly online_vcpus: number; readonly use_master_clock: number; readonly host_clock: number };
  'kvm:kvm_unmap_hva_range': { readonly start: Hex; readonly end: Hex };
  'kvm:kvm_update_master_clock': { readonly use_master_clock: number; readonly host_clock: number; readonly offset_matched: number };
  'kvm:kvm_userspace_exit': { readonly reason?: number; readonly reason_name?: string; readonly errno?: number };
  'kvm:kvm_vcpu_wakeup': { readonly ns: number; readonly waited: number; readonly valid: number };
  'kvm:kvm_wait_lapic_expire': { readonly vcpu_id: number; readonly delta: number };
  'kvm:kvm_write_tsc_offset': { readonly vcpu_id: number; readonly previous_tsc_offset: Hex; readonly next_tsc_offset: Hex };
  'kvm:vcpu_match_mmio': { readonly gva: Hex; readonly gpa: Hex; readonly write: number; readonly gpa_match: number };
  /** void *ctx, void *co */
  'qemu:aio_co_schedule': { readonly ctx: Hex; readonly co: Hex };
  /** void *ctx, void *co */
  'qemu:aio_co_schedule_bh_cb': { readonly ctx: Hex; readonly co: Hex };
  /** void *opaque, unsigned long addr */
  'qemu:balloon_event': { readonly opaque: Hex; readonly addr: number };
  /** void *src, int64_t src_offset, void *dst, int64_t dst_offset, int64_t bytes, int read_flags, int write_flags */
  'qemu:bdrv_co_copy_range_from': { readonly src: Hex; readonly src_offset: number; readonly dst: Hex; readonly dst_offset: number; readonly bytes: number; readonly read_flags: number; readonly write_flags: number };
  /** void *src, int64_t src_offset, void *dst, int64_t dst_offset, int64_t bytes, int read_flags, int write_flags */
  'qemu:bdrv_co_copy_range_to': { readonly src: Hex; readonly src_offset: number; readonly dst: Hex; readonly dst_offset: number; readonly bytes: number; readonly read_flags: number; readonly write_flags: number };
  /** void *bs, int64_t offset, int64_t bytes, int64_t cluster_offset, int64_t cluster_bytes */
  'qemu:bdrv_co_do_copy_on_readv': { readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly cluster_offset: number; readonly cluster_bytes: number };
  /** void *bs, int64_t offset, int64_t bytes, unsigned int flags */
  'qemu:bdrv_co_preadv_part': { readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly flags: number };
  /** void *bs, int64_t offset, int64_t bytes, int flags */
  'qemu:bdrv_co_pwrite_zeroes': { readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly flags: number };
  /** void *bs, int64_t offset, int64_t bytes, unsigned int flags */
  'qemu:bdrv_co_pwritev_part': { readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly flags: number };
  /** void *bs, bool locked */
  'qemu:bdrv_lock_medium': { readonly bs: Hex; readonly locked: number };
  /** void *bs, const char *filename, int flags, const char *format_name */
  'qemu:bdrv_open_common': { readonly bs: Hex; readonly filename: string; readonly flags: number; readonly format_name: string };
  /** void *blk, void *bs, int64_t offset, int64_t bytes, int flags */
  'qemu:blk_co_preadv': { readonly blk: Hex; readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly flags: number };
  /** void *blk, void *bs, int64_t offset, int64_t bytes, int flags */
  'qemu:blk_co_pwritev': { readonly blk: Hex; readonly bs: Hex; readonly offset: number; readonly bytes: number; readonly flags: number };
  /** void *child, void *blk, void *bs */
  'qemu:blk_root_attach': { readonly child: Hex; readonly blk: Hex; readonly bs: Hex };
  /** void *child, void *blk, void *bs */
  'qemu:blk_root_detach': { readonly child: Hex; readonly blk: Hex; readonly bs: Hex };
  /** unsigned int addr, char size, unsigned int val */
  'qemu:cpu_in': { readonly addr: number; readonly size: number; readonly val: number };
  /** unsigned int addr, char size, unsigned int val */
  'qemu:cpu_out': { readonly addr: number; readonly size: number; readonly val: number };
  /** void *dbs, int ret */
  'qemu:dma_blk_cb': { readonly dbs: Hex; readonly ret: number };
  /** void *dbs, void *bs, int64_t offset, bool to_dev */
  'qemu:dma_blk_io': { readonly dbs: Hex; readonly bs: Hex; readonly offset: number; readonly to_dev: number };
  /** void *bs, int src, int64_t src_off, int dst, int64_t dst_off, int64_t bytes, int flags, int64_t ret */
  'qemu:file_copy_file_range': { readonly bs: Hex; readonly src: number; readonly src_off: number; readonly dst: number; readonly dst_off: number; readonly bytes: number; readonly flags: number; readonly ret: number };
  /** int err */
  'qemu:file_flush_fdatasync_failed': { readonly err: number };
  /** void *acb, void *opaque, int64_t offset, int count, int type */
  'qemu:file_paio_submit': { readonly acb: Hex; readonly opaque: Hex; readonly offset: number; readonly count: number; readonly type: number };
  /** void *mon, const char *req */
  'qemu:handle_qmp_command': { readonly mon: Hex; readonly req: string };
  /** int fd, int type, void *arg */
  'qemu:kvm_device_ioctl': { readonly fd: number; readonly type: number; readonly arg: Hex };
  /** int cpu_index, unsigned long arch_cpu_id */
  'qemu:kvm_init_vcpu': { readonly cpu_index: number; readonly arch_cpu_id: number };
  /** int type, void *arg */
  'qemu:kvm_ioctl': { readonly type: number; readonly arg: Hex };
  /** char *name, int vector, int virq */
  'qemu:kvm_irqchip_add_msi_route': { readonly name: string; readonly vector: number; readonly virq: number };
  'qemu:kvm_irqchip_commit_routes': Record<string, never>;
  /** int virq */
  'qemu:kvm_irqchip_release_virq': { readonly virq: number };
  /** int virq */
  'qemu:kvm_irqchip_update_msi_route': { readonly virq: number };
  /** int cpu_index, uint32_t reason */
  'qemu:kvm_run_exit': { readonly cpu_index: number; readonly reason: number };
  /** int fd, uint64_t addr, uint32_t val, bool assign, uint32_t size, bool datamatch */
  'qemu:kvm_set_ioeventfd_mmio': { readonly fd: number; readonly addr: Hex; readonly val: number; readonly assign: number; readonly size: number; readonly datamatch: number };
  /** int fd, uint16_t addr, uint32_t val, bool assign, uint32_t size, bool datamatch */
  'qemu:kvm_set_ioeventfd_pio': { readonly fd: number; readonly addr: number; readonly val: number; readonly assign: number; readonly size: number; readonly datamatch: number };
  /** uint32_t slot, uint32_t flags, uint64_t guest_phys_addr, uint64_t memory_size, uint64_t userspace_addr, int ret */
  'qemu:kvm_set_user_memory': { readonly slot: number; readonly flags: number; readonly guest_phys_addr: Hex; readonly memory_size: Hex; readonly userspace_addr: Hex; readonly ret: number };
  /** int cpu_index, int type, void *arg */
  'qemu:kvm_vcpu_ioctl': { readonly cpu_index: number; readonly type: number; readonly arg: Hex };
  /** int type, void *arg */
  'qemu:kvm_vm_ioctl': { readonly type: number; readonly arg: Hex };
  /** const char *name, const char *path */
  'qemu:load_file': { readonly name: string; readonly path: string };
  /** void *s */
  'qemu:luring_cleanup_state': { readonly s: Hex };
  /** void *bs, void *s, void *luringcb, int fd, uint64_t offset, size_t nbytes, int type */
  'qemu:luring_co_submit': { readonly bs: Hex; readonly s: Hex; readonly luringcb: Hex; readonly fd: number; readonly offset: number; readonly nbytes: number; readonly type: number };
  /** void *s, int blocked, int plugged, int queued, int inflight */
  'qemu:luring_do_submit': { readonly s: Hex; readonly blocked: number; readonly plugged: number; readonly queued: number; readonly inflight: number };
  /** void *s, int ret */
  'qemu:luring_do_submit_done': { readonly s: Hex; readonly ret: number };
  /** void *s, size_t size */
  'qemu:luring_init_state': { readonly s: Hex; readonly size: number };
  /** void *s */
  'qemu:luring_io_plug': { readonly s: Hex };
  /** void *s, int blocked, int plugged, int queued, int inflight */
  'qemu:luring_io_unplug': { readonly s: Hex; readonly blocked: number; readonly plugged: number; readonly queued: number; readonly inflight: number };
  /** void *s, int ret */
  'qemu:luring_io_uring_submit': { readonly s: Hex; readonly ret: number };
  /** void *s, void *aiocb, int ret */
  'qemu:luring_process_completion': { readonly s: Hex; readonly aiocb: Hex; readonly ret: number };
  /** void *s, void *luringcb, int nread */
  'qemu:luring_resubmit_short_read': { readonly s: Hex; readonly luringcb: Hex; readonly nread: number };
  /** int cpu_index, void *mr, uint64_t addr, uint64_t value, unsigned size, const char *name */
  'qemu:memory_region_ops_read': { readonly cpu_index: number; readonly mr: Hex; readonly addr: Hex; readonly value: Hex; readonly size: number; readonly name?: string };
  /** int cpu_index, void *mr, uint64_t addr, uint64_t value, unsigned size, const char *name */
  'qemu:memory_region_ops_write': { readonly cpu_index: number; readonly mr: Hex; readonly addr: Hex; readonly value: Hex; readonly size: number; readonly name?: string };
  /** int cpu_index, void *mr, uint64_t addr, uint64_t value, unsigned size */
  'qemu:memory_region_ram_device_read': { readonly cpu_index: number; readonly mr: Hex; readonly addr: Hex; readonly value: Hex; readonly size: number };
  /** int cpu_index, void *mr, uint64_t addr, uint64_t value, unsigned size */
  'qemu:memory_region_ram_device_write': { readonly cpu_index: number; readonly mr: Hex; readonly addr: Hex; readonly value: Hex; readonly size: number };
  /** int cpu_index, void *mr, uint64_t offset, uint64_t value, unsigned size */
  'qemu:memory_region_subpage_read': { readonly cpu_index: number; readonly mr: Hex; readonly offset: Hex; readonly value: Hex; readonly size: number };
  /** int cpu_index, void *mr, uint64_t offset, uint64_t value, unsigned size */
  'qemu:memory_region_subpage_write': { readonly cpu_index: number; readonly mr: Hex; readonly offset: Hex; readonly value: Hex; readonly size: number };
  /** const char *id */
  'qemu:monitor_qmp_cmd_in_band': { readonly id: string };
  /** const char *id */
  'qemu:monitor_qmp_cmd_out_of_band': { readonly id: string };
  /** const char *desc */
  'qemu:monitor_qmp_err_in_band': { readonly desc: string };
  /** void *req, unsigned len */
  'qemu:monitor_qmp_in_band_dequeue': { readonly req: Hex; readonly len: number };
  /** void *req, void *mon, unsigned len */
  'qemu:monitor_qmp_in_band_enqueue': { readonly req: Hex; readonly mon: Hex; readonly len: number };
  /** void *mon, const char *json */
  'qemu:monitor_qmp_respond': { readonly mon: Hex; readonly json: string };
  /** void *ctx, void *node, int fd, unsigned revents */
  'qemu:poll_add': { readonly ctx: Hex; readonly node: Hex; readonly fd: number; readonly revents: number };
  /** void *ctx, int64_t old, int64_t new */
  'qemu:poll_grow': { readonly ctx: Hex; readonly old: number; readonly new: number };
  /** void *ctx, void *node, int fd */
  'qemu:poll_remove': { readonly ctx: Hex; readonly node: Hex; readonly fd: number };
  /** void *ctx, int64_t old, int64_t new */
  'qemu:poll_shrink': { readonly ctx: Hex; readonly old: number; readonly new: number };
  /** void *ctx, void *from, void *to, void *opaque */
  'qemu:qemu_aio_coroutine_enter': { readonly ctx: Hex; readonly from: Hex; readonly to: Hex; readonly opaque: Hex };
  /** void *mutex, void *self */
  'qemu:qemu_co_mutex_lock_entry': { readonly mutex: Hex; readonly self: Hex };
  /** void *mutex, void *self */
  'qemu:qemu_co_mutex_lock_return': { readonly mutex: Hex; readonly self: Hex };
  /** void *mutex, void *self */
  'qemu:qemu_co_mutex_lock_uncontended': { readonly mutex: Hex; readonly self: Hex };
  /** void *mutex, void *self */
  'qemu:qemu_co_mutex_unlock_entry': { readonly mutex: Hex; readonly self: Hex };
  /** void *mutex, void *self */
  'qemu:qemu_co_mutex_unlock_return': { readonly mutex: Hex; readonly self: Hex };
  /** void *co */
  'qemu:qemu_coroutine_terminate': { readonly co: Hex };
  /** void *from, void *to */
  'qemu:qemu_coroutine_yield': { readonly from: Hex; readonly to: Hex };
  /** void *mutex, const char *file, const int line */
  'qemu:qemu_mutex_lock': { readonly mutex: Hex; readonly file: string; readonly line: number };
  /** void *mutex, const char *file, const int line */
  'qemu:qemu_mutex_locked': { readonly mutex: Hex; readonly file: string; readonly line: number };
  /** void *mutex, const char *file, const int line */
  'qemu:qemu_mutex_unlock': { readonly mutex: Hex; readonly file: string; readonly line: number };
  'qemu:qemu_system_powerdown_request': Record<string, never>;
  /** int reason */
  'qemu:qemu_system_shutdown_request': { readonly reason: number };
  /** void *ctx, int64_t max_ns, int64_t timeout */
  'qemu:run_poll_handlers_begin': { readonly ctx: Hex; readonly max_ns: number; readonly timeout: number };
  /** void *ctx, bool progress, int64_t timeout */
  'qemu:run_poll_handlers_end': { readonly ctx: Hex; readonly progress: number; readonly timeout: number };
  /** int current_state, const char *current_state_str, int new_state, const char *new_state_str */
  'qemu:runstate_set': { readonly current_state: number; readonly current_state_str: string; readonly new_state: number; readonly new_state_str: string };
  /** int target, int lun, int tag */
  'qemu:scsi_req_alloc': { readonly target: number; readonly lun: number; readonly tag: number };
  /** int target, int lun, int tag, int key, int asc, int ascq */
  'qemu:scsi_req_build_sense': { readonly target: number; readonly lun: number; readonly tag: number; readonly key: number; readonly asc: number; readonly ascq: number };
  /** int target, int lun, int tag */
  'qemu:scsi_req_cancel': { readonly target: number; readonly lun: number; readonly tag: number };
  /** int target, int lun, int tag */
  'qemu:scsi_req_continue': { readonly target: number; readonly lun: number; readonly tag: number };
  /** int target, int lun, int tag */
  'qemu:scsi_req_continue_canceled': { readonly target: number; readonly lun: number; readonly tag: number };
  /** int target, int lun, int tag, int len */
  'qemu:scsi_req_data': { readonly target: number; readonly lun: number; readonly tag: number; readonly len: number };
  /** int target, int lun, int tag, int len */
  'qemu:scsi_req_data_canceled': { readonly target: number; readonly lun: number; readonly tag: number; readonly len: number };
  /** int target, int lun, int tag */
  'qemu:scsi_req_dequeue': { readonly target: number; readonly lun: number; readonly tag: number };
  /** int target, int lun, int tag, int cmd */
  'qemu:scsi_req_parse_bad': { readonly target: number; readonly lun: number; readonly tag: number; readonly cmd: number };
  /** int target, int lun, int tag, int cmd, int mode, int xfer */
  'qemu:scsi_req_parsed': { readonly target: number; readonly lun: number; readonly tag: number; readonly cmd: number; readonly mode: number; readonly xfer: number };
  /** int target, int lun, int tag, int cmd, uint64_t lba */
  'qemu:scsi_req_parsed_lba': { readonly target: number; readonly lun: number; readonly tag: number; readonly cmd: number; readonly lba: number };
  /** int reason */
  'qemu:system_wakeup_request': { readonly reason: number };
  /** void *req, void *opaque */
  'qemu:thread_pool_cancel': { readonly req: Hex; readonly opaque: Hex };
  /** void *req, void *opaque */
  'qemu:thread_pool_cancel_aio': { readonly req: Hex; readonly opaque: Hex };
  /** void *pool, void *req, void *opaque, int ret */
  'qemu:thread_pool_complete': { readonly pool: Hex; readonly req: Hex; readonly opaque: Hex; readonly ret: number };
  /** void *pool, void *req, void *opaque, int ret */
  'qemu:thread_pool_complete_aio': { readonly pool: Hex; readonly req: Hex; readonly opaque: Hex; readonly ret: number };
  /** void *pool, void *req, void *opaque */
  'qemu:thread_pool_submit': { readonly pool: Hex; readonly req: Hex; readonly opaque: Hex };
  /** void *pool, void *req, void *opaque */
  'qemu:thread_pool_submit_aio': { readonly pool: Hex; readonly req: Hex; readonly opaque: Hex };
  /** uint64_t gpa */
  'qemu:virtio_balloon_bad_addr': { readonly gpa: Hex };
  /** uint32_t num_pages, uint32_t actual */
  'qemu:virtio_balloon_get_config': { readonly num_pages: number; readonly actual: number };
  /** const char *name, uint64_t gpa */
  'qemu:virtio_balloon_handle_output': { readonly name: string; readonly gpa: Hex };
  /** uint32_t actual, uint32_t oldactual */
  'qemu:virtio_balloon_set_config': { readonly actual: number; readonly oldactual: number };
  /** uint64_t target, uint32_t num_pages */
  'qemu:virtio_balloon_to_target': { readonly target: Hex; readonly num_pages: number };
  /** void *s */
  'qemu:virtio_blk_data_plane_start': { readonly s: Hex };
  /** void *s */
  'qemu:virtio_blk_data_plane_stop': { readonly s: Hex };
  /** void *vdev, void *req, uint64_t sector, size_t nsectors */
  'qemu:virtio_blk_handle_read': { readonly vdev: Hex; readonly req: Hex; readonly sector: number; readonly nsectors: number };
  /** void *vdev, void *req, uint64_t sector, size_t nsectors */
  'qemu:virtio_blk_handle_write': { readonly vdev: Hex; readonly req: Hex; readonly sector: number; readonly nsectors: number };
  /** void *vdev, void *req, int status */
  'qemu:virtio_blk_req_complete': { readonly vdev: Hex; readonly req: Hex; readonly status: number };
  /** void *vdev, void *req, int ret */
  'qemu:virtio_blk_rw_complete': { readonly vdev: Hex; readonly req: Hex; readonly ret: number };
  /** void *vdev, void *mrb, int start, int num_reqs, uint64_t offset, size_t size, bool is_write */
  'qemu:virtio_blk_submit_multireq': { readonly vdev: Hex; readonly mrb: Hex; readonly start: number; readonly num_reqs: number; readonly offset: number; readonly size: number; readonly is_write: number };
  /** unsigned int port, int event */
  'qemu:virtio_console_chr_event': { readonly port: number; readonly event: number };
  /** unsigned int port, int size */
  'qemu:virtio_console_chr_read': { readonly port: number; readonly size: number };
  /** unsigned int port, size_t len, ssize_t ret */
  'qemu:virtio_console_flush_buf': { readonly port: number; readonly len: number; readonly ret: number };
  /** uint64_t offset */
  'qemu:virtio_mmio_read': { readonly offset: Hex };
  /** uint64_t offset, uint64_t value */
  'qemu:virtio_mmio_write_offset': { readonly offset: Hex; readonly value: Hex };
  'qemu:virtio_net_announce_notify': Record<string, never>;
  /** int round */
  'qemu:virtio_net_announce_timer': { readonly round: number };
  /** int round */
  'qemu:virtio_net_handle_announce': { readonly round: number };
  'qemu:virtio_net_post_load_device': Record<string, never>;
  'qemu:virtio_net_rss_disable': Record<string, never>;
  /** uint32_t p1, uint16_t p2, uint8_t p3 */
  'qemu:virtio_net_rss_enable': { readonly p1: number; readonly p2: number; readonly p3: number };
  /** const char *msg, uint32_t value */
  'qemu:virtio_net_rss_error': { readonly msg: string; readonly value: number };
  /** void *vdev, void *vq */
  'qemu:virtio_notify': { readonly vdev: Hex; readonly vq: Hex };
  /** void *vdev, void *vq */
  'qemu:virtio_notify_irqfd': { readonly vdev: Hex; readonly vq: Hex };
  /** void *vdev, void *vq */
  'qemu:virtio_notify_irqfd_deferred_fn': { readonly vdev: Hex; readonly vq: Hex };
  /** uint16_t vector */
  'qemu:virtio_pci_notify': { readonly vector: number };
  /** uint64_t addr, uint64_t val, unsigned int size */
  'qemu:virtio_pci_notify_write': { readonly addr: Hex; readonly val: Hex; readonly size: number };
  /** uint64_t addr, uint64_t val, unsigned int size */
  'qemu:virtio_pci_notify_write_pio': { readonly addr: Hex; readonly val: Hex; readonly size: number };
  /** void *vdev, int n, void *vq */
  'qemu:virtio_queue_notify': { readonly vdev: Hex; readonly n: number; readonly vq: Hex };
  /** void *rng, int size */
  'qemu:virtio_rng_cpu_is_stopped': { readonly rng: Hex; readonly size: number };
  /** void *rng */
  'qemu:virtio_rng_guest_not_ready': { readonly rng: Hex };
  /** void *rng */
  'qemu:virtio_rng_popped': { readonly rng: Hex };
  /** void *rng, size_t len */
  'qemu:virtio_rng_pushed': { readonly rng: Hex; readonly len: number };
  /** void *rng, size_t size, unsigned quota */
  'qemu:virtio_rng_request': { readonly rng: Hex; readonly size: number; readonly quota: number };
  /** void *rng, int running, int state */
  'qemu:virtio_rng_vm_state_change': { readonly rng: Hex; readonly running: number; readonly state: number };
  /** int lun, uint32_t event_requested */
  'qemu:virtio_scsi_an_req': { readonly lun: number; readonly event_requested: number };
  /** int lun, int response */
  'qemu:virtio_scsi_an_resp': { readonly lun: number; readonly response: number };
  /** int lun, uint32_t tag, uint8_t cmd */
  'qemu:virtio_scsi_cmd_req': { readonly lun: number; readonly tag: number; readonly cmd: number };
  /** int lun, uint32_t tag, int response, uint8_t status */
  'qemu:virtio_scsi_cmd_resp': { readonly lun: number; readonly tag: number; readonly response: number; readonly status: number };
  /** int lun, int event, int reason */
  'qemu:virtio_scsi_event': { readonly lun: number; readonly event: number; readonly reason: number };
  /** int lun, uint32_t tag, int subtype */
  'qemu:virtio_scsi_tmf_req': { readonly lun: number; readonly tag: number; readonly subtype: number };
  /** int lun, uint32_t tag, int response */
  'qemu:virtio_scsi_tmf_resp': { readonly lun: number; readonly tag: number; readonly response: number };
  /** uint16_t event, uint16_t value */
  'qemu:virtio_serial_handle_control_message': { readonly event: number; readonly value: number };
  /** unsigned int port */
  'qemu:virtio_serial_handle_control_message_port': { readonly port: number };
  /** unsigned int port, uint16_t event, uint16_t value */
  'qemu:virtio_serial_send_control_event': { readonly port: number; readonly event: number; readonly value: number };
  /** unsigned int port, bool throttle */
  'qemu:virtio_serial_throttle_port': { readonly port: number; readonly throttle: number };
  /** void *vdev, uint8_t val */
  'qemu:virtio_set_status': { readonly vdev: Hex; readonly val: number };
  /** void *elem, size_t sz, unsigned in_num, unsigned out_num */
  'qemu:virtqueue_alloc_element': { readonly elem: Hex; readonly sz: number; readonly in_num: number; readonly out_num: number };
  /** void *vq, const void *elem, unsigned int len, unsigned int idx */
  'qemu:virtqueue_fill': { readonly vq: Hex; readonly elem: Hex; readonly len: number; readonly idx: number };
  /** void *vq, unsigned int count */
  'qemu:virtqueue_flush': { readonly vq: Hex; readonly count: number };
  /** void *vq, void *elem, unsigned int in_num, unsigned int out_num */
  'qemu:virtqueue_pop': { readonly vq: Hex; readonly elem: Hex; readonly in_num: number; readonly out_num: number };
  /** int running, int reason, const char *reason_str */
  'qemu:vm_state_notify': { readonly running: number; readonly reason: number; readonly reason_str: string };
  'raw_syscalls:sys_enter': { readonly id: number; readonly args: string };
  'raw_syscalls:sys_exit': { readonly id: number; readonly ret: number };
  'sched:sched_migrate_task': { readonly comm: string; readonly pid: number; readonly prio: number; readonly orig_cpu: number; readonly dest_cpu: number };
  'sched:sched_process_exec': { readonly filename: string; readonly pid: number; readonly old_pid: number };
  'sched:sched_process_exit': { readonly comm: string; readonly pid: number; readonly prio: number };
  'sched:sched_process_fork': { readonly parent_comm?: string; readonly parent_pid?: number; readonly comm?: string; readonly pid?: number; readonly child_comm: string; readonly child_pid: number };
  'sched:sched_process_free': { readonly comm: string; readonly pid: number; readonly prio: number };
  'sched:sched_stat_runtime': { readonly comm: string; readonly pid: number; readonly runtime: number; readonly vruntime: number };
  'sched:sched_switch': { readonly prev_comm: string; readonly prev_pid: number; readonly prev_prio: number; readonly prev_state: number | string; readonly next_comm: string; readonly next_pid: number; readonly next_prio: number };
  'sched:sched_wakeup': { readonly comm: string; readonly pid: number; readonly prio: number; readonly target_cpu: number };
  'sched:sched_wakeup_new': { readonly comm: string; readonly pid: number; readonly prio: number; readonly target_cpu: number };
  'sched:sched_waking': { readonly comm: string; readonly pid: number; readonly prio: number; readonly target_cpu: number };
  'syscalls:sys_enter_ioctl': { readonly __syscall_nr?: number; readonly fd: number; readonly cmd: number; readonly arg: Hex };
  'syscalls:sys_exit_ioctl': { readonly __syscall_nr?: number; readonly ret: number };
  'task:task_rename': { readonly pid: number; readonly oldcomm: string; readonly newcomm: string; readonly oom_score_adj: number };
}
