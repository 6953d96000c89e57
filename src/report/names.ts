import type { LockRole } from '../views/lock-answers.ts';
import type { QueueName } from '../views/queue-name.ts';
import { escapeText } from './escape.ts';

/** What things are called for people: threads, devices, queues. */

/** A thread as people know it: `vCPU 0`, `main loop`, `thread 1104`. */
export function roleName(role: LockRole, several = false): string {
  const process = several && role.pid !== undefined ? `${role.pid} ` : '';
  switch (role.kind) {
    case 'vcpu':
      return `${process}vCPU ${role.vcpu ?? `thread ${role.tid}`}`;
    case 'iothread':
      return `${process}IOThread ${role.name === undefined ? role.tid : escapeText(role.name)}`;
    case 'main loop':
      return `${process}main loop`;
    case 'rcu':
      return `${process}RCU thread`;
    case 'worker':
      return `${process}worker ${role.tid}`;
    default:
      return `thread ${role.tid}`;
  }
}

/** `main loop (thread 1102)`: the same with its thread, where the name does not say that. */
export function threadName(role: LockRole, several = false): string {
  if (role.tid < 0) return 'not known';
  const name = roleName(role, several);
  return name.endsWith(String(role.tid)) ? name : `${name} (thread ${role.tid})`;
}

/** `virtio-blk 0x…`; with its process where there are several. */
export function deviceName({ kind, vdev, pid }: QueueName, several = false): string {
  const name = [kind === undefined ? 'unknown device' : `virtio-${kind}`, vdev].filter((part) => part !== undefined);
  return `${several && pid !== undefined ? `${pid} ` : ''}${name.join(' ')}`;
}

/** `0 request`. */
export function queueName({ number: n, role, vq }: QueueName): string {
  return [n === undefined ? `at ${vq}` : String(n), role].filter((part) => part !== '').join(' ');
}
