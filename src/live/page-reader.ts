import { parentPort, workerData } from 'node:worker_threads';
import { commitMask } from '../formats/ring-buffer.ts';
import { takeHighPriority } from './high-priority.ts';
import { type OpenBuffers, Pace, RawPages } from './raw-pages.ts';
import { writeTracefs } from './tracefs.ts';

/*
 * A thread that empties the kernel's buffers, so that they do not overflow while events are looked at. It sends pages, and after each
 * round the time up to which all that was recorded has been sent.
 */

/** What the thread is given. */
export type ReaderData = {
  buffers: OpenBuffers;
  bufferKiB: number;
  /** Where to write another size of the buffers; undefined where it is fixed. */
  sizeFile: string | undefined;
  /** Shared: `control[stopAt]` is set to end the thread, `control[waitingAt]` counts bytes that were sent and not yet looked at. */
  control: Int32Array;
};
export const stopAt = 0;
export const waitingAt = 1;

/** What it sends. */
export type ReaderMessage =
  | { kind: 'pages'; cpu: number; pages: Uint8Array }
  /** All that was recorded before this moment (ns of the clock mono) has been sent; undefined where a round was cut. */
  | { kind: 'round'; until: bigint | undefined }
  | { kind: 'end' }
  | { kind: 'error'; message: string };

/** Pages that are sent together, in bytes. */
export const chunkSize = 1 << 18;
/** Bytes on their way, above which the kernel's buffers have to hold what comes: lost events are counted there. */
const mostWaiting = 64 << 20;

if (parentPort !== null) {
  const port = parentPort;
  const { buffers, bufferKiB, sizeFile, control } = workerData as ReaderData;
  const send = (message: ReaderMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  const pages = new RawPages(buffers);
  const pace = new Pace(bufferKiB, sizeFile === undefined ? undefined : (kib) => writeTracefs(sizeFile, String(kib)));
  takeHighPriority();
  let cpu = -1;
  let chunk = new Uint8Array(0);
  let used = 0;
  const flush = () => {
    if (used === 0) return;
    Atomics.add(control, waitingAt, used);
    send({ kind: 'pages', cpu, pages: chunk.subarray(0, used) }, [chunk.buffer as ArrayBuffer]);
    used = 0;
  };
  const take = (of: number, page: Buffer): number => {
    if (of !== cpu || used + page.length > chunk.length) flush();
    cpu = of;
    if (used === 0) chunk = new Uint8Array(Math.max(chunkSize, page.length));
    chunk.set(page, used);
    used += page.length;
    return page.readUInt32LE(8) & commitMask;
  };
  try {
    while (Atomics.load(control, stopAt) === 0) {
      let pause = 5;
      if (Atomics.load(control, waitingAt) < mostWaiting) {
        const before = process.hrtime.bigint();
        const { fullest, complete } = pages.round(take);
        flush();
        send({ kind: 'round', until: complete ? before : undefined });
        pause = pace.next(fullest);
      }
      Atomics.wait(control, stopAt, 0, pause);
    }
    pages.drain(take);
    flush();
    send({ kind: 'end' });
  } catch (error) {
    send({ kind: 'error', message: (error as Error).message });
  }
}
