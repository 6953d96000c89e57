import { type DeviceKind, roleOf } from '../spans/device-kinds.ts';
import type { Queue } from '../spans/devices.ts';
import { hex64 } from '../trace/event-type.ts';

/** A virtqueue by what people call it. */
export type QueueName = {
  pid: number | undefined;
  kind: DeviceKind | undefined;
  /** Its device's address, undefined where no event told. */
  vdev: string | undefined;
  number: number | undefined;
  role: string;
  vq: string;
};

/** What people call a queue. */
export function queueNameOf(queue: Queue): QueueName {
  const { device, number, qemu } = queue;
  const kind = device?.kind;
  return {
    pid: qemu.pid >= 0 ? qemu.pid : undefined,
    kind,
    vdev: device === undefined ? undefined : hex64(device.high, device.low),
    number: number >= 0 ? number : undefined,
    role: roleOf(queue, kind),
    vq: hex64(queue.high, queue.low),
  };
}

/** What conditions call a queue: its device and number, `0x55f0d2a4e880,0`. */
export function queueWord({ vdev, number, vq }: QueueName): string {
  return `${vdev ?? ''},${number ?? vq}`;
}
