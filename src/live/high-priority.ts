import { constants, setPriority } from 'node:os';

/** Lets this thread have a CPU before others: while it waits for one, the kernel's buffers fill up. Only root can. */
export function takeHighPriority(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGH);
  } catch {}
}
