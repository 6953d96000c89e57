import type { Metadata } from './classes.ts';
import { bareName, isText, type NamedField } from './layout.ts';
import type { Node } from './nodes.ts';

/*
 * LTTng's kernel events have names and fields of its own (lttng-modules, include/instrumentation/events). Events get the kernel's names
 * here, so that all that is known of them holds: kvm_x86_exit is kvm:kvm_exit, sched_switch's prev_tid is prev_pid.
 */

/** LTTng's names to the kernel's, the first that fits. */
const kernelNames: readonly [pattern: RegExp, name: string][] = [
  [/^kvm_x86_(vcpu_match_mmio)$/, 'kvm:$1'],
  [/^kvm_(?:x86_)?(mmu_\w+)$/, 'kvmmmu:kvm_$1'],
  [/^kvm_(?:x86_|arm_|arm64_)?(\w+)$/, 'kvm:kvm_$1'],
  [/^(sched_\w+)$/, 'sched:$1'],
  [/^irq_(handler_\w+)$/, 'irq:irq_$1'],
  [/^(?:irq_)?(softirq_\w+|tasklet_\w+)$/, 'irq:$1'],
  [/^(?:timer_)?(hrtimer_\w+|itimer_\w+)$/, 'timer:$1'],
  [/^(timer_\w+)$/, 'timer:$1'],
  [/^x86_irq_vectors_(\w+)$/, 'irq_vectors:$1'],
  [/^x86_exceptions_(\w+)$/, 'exceptions:$1'],
  [/^(?:compat_)?syscall_entry_(\w+)$/, 'syscalls:sys_enter_$1'],
  [/^(?:compat_)?syscall_exit_(\w+)$/, 'syscalls:sys_exit_$1'],
  [/^kmem_(\w+)$/, 'kmem:$1'],
  [/^rpm_(\w+)$/, 'rpm:rpm_$1'],
  [
    /^((block|net|skb|signal|power|rcu|workqueue|writeback|random|module|ext4|jbd2|btrfs|scsi|regulator|gpio|i2c|napi|udp|sock)_\w+)$/,
    '$2:$1',
  ],
];

/** Whether these are LTTng's events of the kernel. */
function isLttngKernel({ environment }: Metadata): boolean {
  return environment.get('domain') === 'kernel' && environment.get('tracer_name') !== 'perf';
}

/** `system:event` for an event's name in a trace. */
export function eventName(metadata: Metadata, name: string): string {
  if (name === '') return 'ctf:unnamed';
  // perf's and LTTng's events of user space bring their provider along.
  if (/^\w[^:]*:[^:]/.test(name)) return name;
  for (const [pattern, kernel] of kernelNames) if (pattern.test(name)) return name.replace(pattern, kernel);
  return `${isLttngKernel(metadata) || name.startsWith('lttng_') ? 'lttng' : 'ctf'}:${name}`;
}

/** The kernel's name of a field of such an event. */
function fieldName(event: string, name: string): string {
  if (!event.startsWith('sched:')) return name;
  // What the kernel calls a process, LTTng calls a thread, as it is one; and its processes are the kernel's thread groups.
  return name
    .replace(/^(parent_|child_)pid$/, '$1tgid')
    .replace(/^((?:prev_|next_|parent_|child_|old_)?)tid$/, '$1pid');
}

/** What perf puts before each event's own fields. */
const perfs =
  /^_?(perf_(ip|tid|pid|id|stream_id|cpu|period|time|callchain\w*|raw_len|raw_data)|common_(type|flags|preempt_count|pid)|__probe_\w+)$/;
/** Contexts that virtap has columns for, or that say the same in other words. */
const columns = /^(tid|vtid|pid|vpid|procname|pthread_id|cpu_id|prio|ppid|vppid|hostname)$/;

/** The fields of an event, in order: its own first. Structures are there as a whole and by their parts. */
export function namedFields(event: string, fields: Node | undefined, contexts: readonly Node[]): NamedField[] {
  const named: NamedField[] = [];
  const taken = new Set<string>();
  const add = (node: Node, path: string, listed: boolean): void => {
    const own = path === '' ? bareName(node.name) : `${path}.${bareName(node.name)}`;
    const name = path === '' ? fieldName(event, own) : own;
    if (!taken.has(name)) {
      taken.add(name);
      const int = node.kind === 'array' && event === 'kvm:kvm_mmio' && name === 'val';
      named.push({ name, declared: int ? 'uint64_t' : declaredAs(node), node, listed });
    }
    if (node.kind === 'struct') for (const child of node.children) add(child, own, false);
  };
  for (const node of fields?.children ?? []) add(node, '', !perfs.test(node.name) && !isPadding(node));
  for (const context of contexts)
    for (const node of context.children) add(node, '', !columns.test(bareName(node.name)));
  // The length of a sequence says what the sequence shows.
  const lengths = new Set(named.map(({ node }) => (node.kind === 'array' ? node.by : undefined)));
  return named.map((field) =>
    lengths.has(field.node) && /_length$/.test(field.node.name) ? { ...field, listed: false } : field,
  );
}

/** A structure of nothing, which is there for its alignment. */
function isPadding({ kind, children }: Node): boolean {
  return kind === 'struct' && children.length === 0;
}

function declaredAs(node: Node): string {
  switch (node.kind) {
    case 'int':
      return `${node.signed ? '' : 'u'}int${node.size}_t`;
    case 'varint':
      return node.signed ? 'varint' : 'unsigned varint';
    case 'float':
      return node.size === 32 ? 'float' : node.size === 64 ? 'double' : 'half';
    case 'string':
      return 'string';
    case 'array': {
      const [element] = node.children as [Node];
      return `${isText(node) ? 'char' : declaredAs(element)}[${node.length < 0 ? '' : node.length}]`;
    }
    default:
      return node.kind;
  }
}
