import { commitMask, type PageShape } from './ring-buffer.ts';
import type { PageLayout } from './tracing-data.ts';

/*
 * What pages of a ring buffer that stand in a file of their own (per_cpu/cpuN/trace_pipe_raw) look like, by the bytes alone: they have no
 * header that would tell. Their layout is that of ring-buffer.ts.
 */

/** The kernel's limits of a sub-buffer: a page of the machine, and 128 of 64 KiB. */
const leastPage = 4096;
const mostPage = 8 << 20;

/** Called for each event, with its common_type and the size of its payload. */
type OnEvent = (type: number, size: number) => void;

/**
 * The shape of the pages that a file begins with, undefined where it does not begin with pages. `known` is what header_page says of
 * them, which goes before other sizes that fit; `size` that of the file, where it is known.
 */
export function shapeOfPages(head: Uint8Array, size?: number, known?: PageLayout): PageShape | undefined {
  // The kernel gives whole pages; in a few bytes of anything, one could be seen.
  if (head.length < leastPage) return undefined;
  const sizes: number[] = known === undefined ? [] : [known.dataOffset + known.dataSize];
  for (let pageSize = leastPage; pageSize <= mostPage; pageSize *= 2) sizes.push(pageSize);
  let cut: PageShape | undefined;
  for (const little of [true, false]) {
    for (const commitSize of known === undefined ? ([8, 4] as const) : [known.commitSize]) {
      if (!isPage(head, 0, { little, commitSize, pageSize: Number.POSITIVE_INFINITY })) continue;
      for (const pageSize of sizes) {
        const shape = { little, commitSize, pageSize };
        if (!eachPage(head, shape)) continue;
        if (size === undefined || size % pageSize === 0) return shape;
        cut ??= shape;
      }
    }
  }
  return cut;
}

/** Tells of the events of the pages in `head`, as far as those are whole. */
export function eventsOfPages(head: Uint8Array, shape: PageShape, onEvent: OnEvent): void {
  eachPage(head, shape, onEvent);
}

/** Whether there are pages and nothing else, in order of time. */
function eachPage(head: Uint8Array, shape: PageShape, onEvent?: OnEvent): boolean {
  const view = viewOf(head);
  let last = 0n;
  for (let at = 0; at + 16 <= head.length; at += shape.pageSize) {
    const stamp = view.getBigUint64(at, shape.little);
    if (stamp < last || !isPage(head, at, shape, onEvent)) return false;
    last = stamp;
  }
  return last > 0n;
}

/** Whether a page with events stands at `at`: each ends where the next begins, and the last where the page says. */
function isPage(head: Uint8Array, page: number, shape: PageShape, onEvent?: OnEvent): boolean {
  const { little, commitSize, pageSize } = shape;
  const view = viewOf(head);
  const first = page + 8 + commitSize;
  if (first + 4 > head.length) return false;
  const stamp = view.getBigUint64(page, little);
  const commit = view.getUint32(page + (little || commitSize === 4 ? 8 : 12), little);
  if (commitSize === 8) {
    // The flag of lost events is a negative number to some kernels.
    const high = view.getInt32(page + (little ? 12 : 8), little);
    if (high !== 0 && high !== -1) return false;
  }
  const used = commit & commitMask;
  if (stamp === 0n || stamp >> 62n !== 0n || (commit & 0x38000000) !== 0) return false;
  if (used < 8 || used % 4 !== 0 || used > pageSize - 8 - commitSize) return false;
  const stop = first + used;
  // What follows tells larger pages from smaller ones with something else behind them; not all kernels clear it.
  if (pageSize > leastPage && Number.isFinite(pageSize) && !isClear(head, stop + 8, page + pageSize)) return false;
  let events = 0;
  for (let at = first; at < stop; ) {
    // What is not at hand is taken for good, but for the first event.
    if (at + 10 > head.length) return events > 0;
    const word = view.getUint32(at, little);
    const kind = little ? word & 31 : word >>> 27;
    const more = view.getUint32(at + 4, little);
    at += 4;
    if (kind > 0 && kind <= 28) {
      const type = view.getUint16(at, little);
      if (kind === 1 || type === 0) return false;
      at += 4 * kind;
      if (at <= head.length) onEvent?.(type, 4 * kind);
      events++;
    } else if (kind >= 30) at += 4;
    else if (kind === 29) {
      // Nothing follows padding without a length.
      if ((little ? word >>> 5 : word & 0x7ffffff) === 0) return events > 0 && at <= stop;
      if (more < 4 || more > stop - at) return false;
      at += (more + 3) & ~3;
    } else {
      if (more < 12 || more > stop - at || at + 6 > head.length) return false;
      const type = view.getUint16(at + 4, little);
      if (type === 0) return false;
      at += (more + 3) & ~3;
      if (at <= head.length) onEvent?.(type, more - 4);
      events++;
    }
    if (at > stop) return false;
  }
  return events > 0;
}

function isClear(bytes: Uint8Array, from: number, to: number): boolean {
  const end = Math.min(to, bytes.length);
  for (let at = from; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
